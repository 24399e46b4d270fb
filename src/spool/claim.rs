//! Taking a task: from a queue into `active/`, stamped with its run and its attempt; or back again, as if nothing had
//! happened.

use std::io;
use std::path::Path;

use super::belief::Belief;
use super::found::FILE_LIMIT;
use super::input::Input;
use super::lease::Lease;
use super::queue::Spool;
use super::steps::{self, Step};
use super::store::{Identity, StepError, Store};
use crate::clock::Timestamp;
use crate::os::durable::parent;
use crate::task::{Attempt, FileName, Place, RunId, TaskFile};

/// Why a task was not claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Somebody else took it, or its owner took it away.
    #[error("`{0}` is gone")]
    Gone(FileName),
    /// A task of the same file name is being worked on.
    #[error("`{0}` is being worked on under the same name")]
    Live(FileName),
    /// It was being written while it was taken; it is back where it was.
    #[error("`{0}` changed while it was taken")]
    Changed(FileName),
    /// The disk refused.
    #[error("could not claim `{file}`")]
    Disk {
        /// The file.
        file: FileName,
        /// The step that failed.
        #[source]
        source: StepError,
        /// Whether it is back where it was; if not, it stands in `active/`, and nothing was started for it.
        undone: bool,
    },
    /// The file could not be read.
    #[error("could not read `{file}`")]
    Unreadable {
        /// The file.
        file: FileName,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a claim came to.
#[derive(Debug)]
pub enum Claimed {
    /// The task is ours and stamped: the agent may be started.
    Lease(Box<Lease>),
    /// It came back from a queue with an attempt that nobody ended: it stands in `active/` again, and recovery
    /// decides.
    Open(FileName),
}

/// A file on its way into `active/`, and what was read of it.
pub(super) struct Taken<'a> {
    pub(super) from: &'a Path,
    pub(super) active: &'a Path,
    pub(super) file: &'a FileName,
    pub(super) content: Option<(&'a [u8], Identity)>,
}

impl<S: Store> Spool<S> {
    /// Takes a task. `plan` makes the attempt that is stamped into it, before anything is started, from the task and the
    /// run that it goes on with: its own, or that of its last life where the conversation of that goes on.
    pub fn claim(
        &self,
        place: Place,
        file: &FileName,
        plan: impl FnOnce(&TaskFile, RunId) -> Attempt,
    ) -> Result<Claimed, ClaimError> {
        let from = self.path(place, file);
        let active = self.path(Place::Active, file);
        let (bytes, identity) = self.read(&from, file)?;
        let drop = Taken { from: &from, active: &active, file, content: Some((&bytes, identity)) };
        let mut task = TaskFile::parse(&bytes).map_err(|_| ClaimError::Changed(file.clone()))?;
        if task.is_held() {
            // It was not when it was chosen.
            return Err(ClaimError::Changed(file.clone()));
        }
        let belief = self
            .belief(file, &task)
            .map_err(|source| ClaimError::Unreadable { file: file.clone(), source })?;
        let (ours, left) = match belief {
            Belief::Ours => (true, None),
            Belief::Not | Belief::Over => (false, None),
            Belief::Left(input) => (true, Some(Input { worker: self.worker.clone(), ..*input })),
            Belief::Elsewhere(_) | Belief::Copy(..) => return Err(ClaimError::Changed(file.clone())),
        };
        if ours && task.record.open_attempt().is_some() {
            return self.take_back(&from, &active, file, left);
        }
        // A run that has ended, or that is not ours, is no run: this is a new life.
        let goes_on = ours && task.record.outcome().is_none();
        let unread = |source| ClaimError::Unreadable { file: file.clone(), source };
        let continues = if ours { self.continues(&task).map_err(unread)? } else { None };
        let begin =
            |task: &mut TaskFile| Input { continues, ..self.begin(task, file, &from, (&bytes, identity)) };
        let input = if goes_on { left } else { Some(begin(&mut task)) };
        let new_run = input.as_ref().filter(|_| !goes_on).map(|it| it.run_id);
        let run = task.record.run_id.unwrap_or_else(RunId::mint);
        let attempt = plan(&task, continues.unwrap_or(run));
        task.begin_attempt(attempt);
        let input_path = self.layout.run(&run).input();
        let steps = steps::claim(steps::Claim {
            from: &from,
            active: &active,
            identity,
            input: input.map(|input| (input_path.as_path(), input.to_bytes())),
            stamped: task.to_bytes(),
        });
        self.store.perform_all(&steps).map_err(|error| self.unbegun(new_run, self.unclaim(error, &drop)))?;
        if let Some(before) = continues {
            self.took_along(before);
        }
        let lease = Lease::of(&self.worker, file, task).ok_or_else(|| ClaimError::Changed(file.clone()))?;
        Ok(Claimed::Lease(Box::new(lease)))
    }

    /// A new life; its `input.json`.
    pub(super) fn begin(
        &self,
        task: &mut TaskFile,
        file: &FileName,
        from: &Path,
        (bytes, dropped): (&[u8], Identity),
    ) -> Input {
        task.forget_record();
        let run = RunId::mint();
        let mtime = Timestamp::from_nanosecond(i128::from(dropped.mtime_ns)).unwrap_or_default();
        let name = task.name(file);
        task.begin_run(run, &name, mtime);
        Input {
            run_id: run,
            task: name,
            worker: self.worker.clone(),
            file: file.as_str().to_owned(),
            claimed_at: self.clock.wall(),
            dropped_at: from.strip_prefix(self.layout.root()).unwrap_or(from).display().to_string(),
            dropped,
            continues: None,
            content: serde_json::from_slice(bytes).unwrap_or_default(),
        }
    }

    /// Takes an interrupted run back into `active/`, from another worker if that `left` it.
    fn take_back(
        &self,
        from: &Path,
        active: &Path,
        file: &FileName,
        left: Option<Input>,
    ) -> Result<Claimed, ClaimError> {
        let open = Taken { from, active, file, content: None };
        let input = left.map(|it| (self.layout.run(&it.run_id).input(), it.to_bytes()));
        let steps = steps::take_back(from, active, input);
        self.store.perform_all(&steps).map_err(|error| self.unclaim(error, &open))?;
        Ok(Claimed::Open(file.clone()))
    }

    /// Puts back what a failed claim had already moved; if that fails too, the next survey of `active/` does it.
    pub(super) fn unclaim(&self, error: StepError, taken: &Taken<'_>) -> ClaimError {
        let file = taken.file.clone();
        if error.is_gone() {
            return ClaimError::Gone(file);
        }
        if error.is_occupied() {
            return ClaimError::Live(file);
        }
        let undone = self.way_back(taken, &error).and_then(|steps| self.store.perform_all(&steps)).is_ok();
        if error.is_changed() {
            ClaimError::Changed(file)
        } else {
            ClaimError::Disk { file, source: error, undone }
        }
    }

    /// Removes the record of a run that was `begun` for a task which somebody else had first: nobody will ever name it.
    pub(super) fn unbegun(&self, begun: Option<RunId>, error: ClaimError) -> ClaimError {
        let is_theirs = matches!(error, ClaimError::Gone(_) | ClaimError::Live(_) | ClaimError::Changed(_));
        if let Some(run) = begun.filter(|_| is_theirs) {
            let paths = self.layout.run(&run);
            for path in [paths.input(), paths.dir().to_owned()] {
                self.store.perform(&Step::Remove(path)).ok();
            }
        }
        error
    }

    /// The steps that undo a claim: none where it failed before it moved anything, whoever has the drop by now. A stamp goes
    /// too, since nothing was started and nothing is to be charged.
    fn way_back(&self, taken: &Taken<'_>, why: &StepError) -> Result<Vec<Step>, StepError> {
        let Some(there) = self.store.find(taken.active)? else { return Ok(Vec::new()) };
        let moved = Ok(steps::transfer(taken.active, taken.from));
        match taken.content {
            None if self.store.find(taken.from)?.is_some() => Ok(Vec::new()),
            None => moved,
            Some((_, identity)) if why.is_changed() || there == identity => moved,
            Some((bytes, identity)) if is_after_the_stamp(why, taken) => {
                Ok(steps::requeue(taken.active, taken.from, bytes.to_vec(), Some(identity.mtime())))
            }
            Some(_) => Ok(Vec::new()),
        }
    }

    pub(super) fn read(&self, path: &Path, file: &FileName) -> Result<(Vec<u8>, Identity), ClaimError> {
        self.store.read(path, FILE_LIMIT).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                ClaimError::Gone(file.clone())
            } else {
                ClaimError::Unreadable { file: file.clone(), source }
            }
        })
    }
}

/// Whether what failed comes after the drop was replaced by what was stamped: the folders are waited for last.
fn is_after_the_stamp(why: &StepError, taken: &Taken<'_>) -> bool {
    let folders = [taken.active, taken.from].map(parent);
    matches!(&why.step, Step::SyncDir(dir) if folders.contains(&dir.as_path()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::disk::Disk;
    use super::super::store::Entry;
    use super::*;
    use crate::clock::SystemClock;
    use crate::layout::Layout;
    use crate::os::durable::{Durability, make_dir, write_new};
    use crate::task::SessionId;

    /// A disk that is full as soon as a claim writes, while another worker takes the same drop.
    struct Full {
        disk: Disk,
        theirs: Step,
    }

    impl Store for Full {
        fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
            self.disk.list(dir)
        }
        fn read(&self, path: &Path, limit: u64) -> io::Result<(Vec<u8>, Identity)> {
            self.disk.read(path, limit)
        }
        fn identity(&self, path: &Path) -> io::Result<Identity> {
            self.disk.identity(path)
        }
        fn perform(&self, step: &Step) -> io::Result<()> {
            let is_stamp =
                matches!(step, Step::Write { path, .. } if path.to_string_lossy().contains("/active/"));
            // They have it at once; after that there is room again.
            if is_stamp && self.disk.perform(&self.theirs).is_ok() {
                return Err(io::Error::from_raw_os_error(nix::libc::ENOSPC));
            }
            self.disk.perform(step)
        }
    }

    #[test]
    fn a_claim_that_moved_nothing_puts_nothing_back_though_another_worker_has_the_drop_by_now() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, file) = (Layout::new(dir.path()), "x.json".parse::<FileName>().unwrap());
        let [marie, anga] = ["marie", "anga"].map(|it| it.parse().unwrap());
        for made in layout
            .common_dirs()
            .into_iter()
            .chain([&marie, &anga].into_iter().flat_map(|it| layout.worker_dirs(it)))
        {
            make_dir(&made, 0o755).unwrap();
        }
        let (inbox, theirs) =
            (layout.task(&marie, Place::Inbox, &file), layout.task(&anga, Place::Active, &file));
        write_new(&inbox, br#"{"prompt":"x"}"#, None).unwrap();
        let store = Full {
            disk: Disk::new(dir.path(), Durability::None),
            theirs: Step::Move { from: inbox.clone(), to: theirs.clone() },
        };
        let ours = Spool::new(layout, marie, store, Arc::new(SystemClock));
        let claimed =
            ours.claim(Place::Inbox, &file, |_, _| Attempt::open(1, SessionId::mint(), ours.clock.wall()));
        assert!(matches!(claimed, Err(ClaimError::Disk { undone: true, .. })), "{claimed:?}");
        assert!(theirs.exists());
        assert!(!inbox.exists() && !ours.path(Place::Active, &file).exists(), "one task, one place");
    }
}
