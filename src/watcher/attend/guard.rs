//! The task's own file, while the agent works: it belongs in `active/`, and whoever takes it out is put right.
//!
//! Runbooks do take it out: their recovery moves everything back to pending, whether its agent lives or not.

use std::path::PathBuf;
use std::sync::Arc;

use super::Run;

impl Run {
    /// Puts the file back into `active/` if it is not there any more.
    pub(super) async fn guard(&mut self) {
        // Without the lock another watcher may hold this worker: nothing in active/ is ours.
        if !self.ctx.is_ours() || !self.is_gone() {
            return;
        }
        if self.is_taken_over() {
            return;
        }
        let (spool, lease) = (Arc::clone(&self.ctx.spool), self.lease.clone());
        match tokio::task::spawn_blocking(move || spool.restore(&lease)).await {
            Ok(Ok(())) => {
                tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, "its file had been taken out of active/; put back");
            }
            // The beat says that the folder is none, once; here it would be said at every line of the agent.
            Ok(Err(error)) if crate::os::folder::is_no_folder(&error.source) => {
                tracing::debug!(task = %self.lease.name, error = %error.source, "its file waits for its folder");
            }
            Ok(Err(error)) => {
                tracing::warn!(task = %self.lease.name, error = %error, "could not put its file back into active/");
            }
            Err(error) => {
                tracing::error!(task = %self.lease.name, error = %error, "putting back its file failed inside");
            }
        }
    }

    /// Whether another worker took the run over, which it does only where nothing told it that we work on it: then the
    /// run is its, and nothing of it may be written here any more.
    pub(super) fn is_taken_over(&mut self) -> bool {
        let owner = self.ctx.spool.owner(self.lease.run).filter(|it| *it != self.lease.worker);
        if let Some(owner) = owner.filter(|_| !self.lost) {
            self.lost = true;
            tracing::error!(task = %self.lease.name, run_id = %self.lease.run, owner = %owner, "its file was moved away and another worker took the run over; ended here");
        }
        self.lost
    }

    /// Removes the copy in a queue; the file in `active/` is put back first, if it has to be.
    pub(super) async fn take_back(&mut self, queued: PathBuf) {
        self.guard().await;
        if self.is_gone() {
            return;
        }
        let (spool, path, run) = (Arc::clone(&self.ctx.spool), queued.clone(), self.lease.run);
        match tokio::task::spawn_blocking(move || spool.drop_copy(&path, run)).await {
            Ok(Ok(())) => {
                tracing::warn!(task = %self.lease.name, queued = %queued.display(), "somebody queued a task that is being worked on; taken back");
            }
            Ok(Err(error)) => {
                tracing::warn!(task = %self.lease.name, error = %error, "could not take back a queued task that is being worked on");
            }
            Err(error) => {
                tracing::error!(task = %self.lease.name, error = %error, "taking back failed inside");
            }
        }
    }

    /// Whether its file is known not to be there: a disk that does not answer has taken nothing away.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.lease.active(self.ctx.layout()).try_exists(), Ok(false))
    }
}
