//! One thread per worker, blocked in `flock(2)` until the lock on its folder is free: the fact of a death.
//!
//! The shared lock is let go at once. For that instant a starting watcher may be refused; it tries again for
//! two seconds. A thread whose wait fails says so with the error and is gone; whoever listens looks again.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use tokio::sync::mpsc;

use crate::os::lock::Lock;
use crate::task::WorkerName;

/// A wait that is over.
#[derive(Debug)]
pub(super) struct Waited {
    /// Whose lock it was.
    pub(super) worker: WorkerName,
    /// Whether it was free, or could not be waited for.
    pub(super) result: io::Result<()>,
}

/// The threads that wait.
#[derive(Debug)]
pub(super) struct Waiters {
    tell: mpsc::UnboundedSender<Waited>,
    waiting: HashSet<WorkerName>,
}

impl Waiters {
    /// No thread yet; what they find arrives at the receiver.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Waited>) {
        let (tell, told) = mpsc::unbounded_channel();
        (Self { tell, waiting: HashSet::new() }, told)
    }

    /// Waits for the lock on `folder`, unless a thread does already.
    pub(super) fn wait(&mut self, worker: &WorkerName, folder: PathBuf) -> io::Result<()> {
        if !self.waiting.insert(worker.clone()) {
            return Ok(());
        }
        let (tell, name) = (self.tell.clone(), worker.clone());
        let thread = std::thread::Builder::new().name(format!("wait-{worker}")).stack_size(64 * 1024);
        let spawned = thread.spawn(move || {
            let result = Lock::wait_shared(&folder).map(drop);
            // Nobody listens any more when the program is about to end.
            tell.send(Waited { worker: name, result }).ok();
        });
        if spawned.is_err() {
            self.waiting.remove(worker);
        }
        spawned.map(drop)
    }

    /// Whether a thread waits for `worker`.
    pub(super) fn is_waiting(&self, worker: &WorkerName) -> bool {
        self.waiting.contains(worker)
    }

    /// The wait for `worker` is over and was told.
    pub(super) fn is_over(&mut self, worker: &WorkerName) {
        self.waiting.remove(worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_let_go_is_told_once_and_is_free_then() {
        let dir = tempfile::tempdir().unwrap();
        let held = Lock::try_exclusive(dir.path()).unwrap().unwrap();
        let (mut waiters, mut told) = Waiters::new();
        let worker: WorkerName = "marie".parse().unwrap();
        for _ in 0..2 {
            waiters.wait(&worker, dir.path().to_owned()).unwrap();
        }
        assert!(told.try_recv().is_err(), "it is held");
        drop(held);
        let waited = told.blocking_recv().unwrap();
        assert_eq!(waited.worker, worker);
        waited.result.unwrap();
        drop(waiters);
        assert!(told.blocking_recv().is_none(), "two requests, one thread");
        assert!(Lock::try_exclusive(dir.path()).unwrap().is_some());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_answer_too() {
        let dir = tempfile::tempdir().unwrap();
        let (mut waiters, mut told) = Waiters::new();
        waiters.wait(&"marie".parse().unwrap(), dir.path().join("gone")).unwrap();
        assert!(told.blocking_recv().unwrap().result.is_err());
    }
}
