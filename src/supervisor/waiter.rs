//! One thread per worker, blocked in `flock(2)` until the lock on its folder is free: the fact of a death.
//!
//! The shared lock is let go at once. For that instant a starting watcher may be refused; it tries again for
//! two seconds. A thread whose wait fails says so with the error and is gone; whoever listens looks again, and where
//! that is refused too, has another wait after a pause.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::os::lock::{self, Lock};
use crate::task::WorkerName;

/// The pause before a wait that told nothing is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// A wait that is over.
#[derive(Debug)]
pub(super) struct Waited {
    /// Whose lock it was.
    pub(super) worker: WorkerName,
    /// Whether it was free, or could not be waited for.
    pub(super) result: io::Result<()>,
}

/// What a wait that is over tells, with the look that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nobody holds the lock.
    Free,
    /// It was free, and somebody holds it.
    HeldAgain,
    /// It was not seen free, or nobody could look: nothing is known of a death.
    Nothing,
}

impl Waited {
    /// What it tells, where a look found the lock `held`.
    pub(super) const fn heard(&self, held: &io::Result<bool>) -> Heard {
        match (&self.result, held) {
            (Ok(()) | Err(_), Ok(false)) => Heard::Free,
            (Ok(()), Ok(true)) => Heard::HeldAgain,
            (Err(_), Ok(true)) | (Ok(()) | Err(_), Err(_)) => Heard::Nothing,
        }
    }
}

/// The threads that wait.
#[derive(Debug)]
pub(super) struct Waiters {
    tell: mpsc::UnboundedSender<Waited>,
    waiting: HashSet<WorkerName>,
    refused: HashSet<WorkerName>,
}

impl Waiters {
    /// No thread yet; what they find arrives at the receiver.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Waited>) {
        let (tell, told) = mpsc::unbounded_channel();
        (Self { tell, waiting: HashSet::new(), refused: HashSet::new() }, told)
    }

    /// Waits for the lock on `folder` after a `pause`, unless a thread does already.
    pub(super) fn wait(&mut self, worker: &WorkerName, folder: PathBuf, pause: Duration) -> io::Result<()> {
        if !self.waiting.insert(worker.clone()) {
            return Ok(());
        }
        let (tell, name) = (self.tell.clone(), worker.clone());
        let thread = std::thread::Builder::new().name(format!("wait-{worker}")).stack_size(64 * 1024);
        let spawned = thread.spawn(move || {
            if !pause.is_zero() {
                lock::pause(pause);
            }
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

    /// The wait for `worker` is over and was told; whether it is news that it told nothing.
    pub(super) fn is_over(&mut self, worker: &WorkerName, heard: Heard) -> bool {
        self.waiting.remove(worker);
        match heard {
            Heard::Nothing => self.refused.insert(worker.clone()),
            Heard::Free | Heard::HeldAgain => {
                self.refused.remove(worker);
                false
            }
        }
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
            waiters.wait(&worker, dir.path().to_owned(), Duration::ZERO).unwrap();
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
    fn a_refused_wait_or_look_is_no_death_and_is_told_once() {
        let worker: WorkerName = "marie".parse().unwrap();
        let refused = || io::Error::from_raw_os_error(nix::libc::EMFILE);
        let heard = |result, held| Waited { worker: worker.clone(), result }.heard(&held);
        assert_eq!(heard(Ok(()), Ok(false)), Heard::Free);
        assert_eq!(heard(Err(refused()), Ok(false)), Heard::Free);
        assert_eq!(heard(Ok(()), Ok(true)), Heard::HeldAgain);
        assert_eq!(heard(Err(refused()), Ok(true)), Heard::Nothing, "nobody saw it free");
        assert_eq!(heard(Ok(()), Err(refused())), Heard::Nothing);
        assert_eq!(heard(Err(refused()), Err(refused())), Heard::Nothing);
        let (mut waiters, _told) = Waiters::new();
        assert!(waiters.is_over(&worker, Heard::Nothing));
        assert!(!waiters.is_over(&worker, Heard::Nothing), "told once");
        assert!(!waiters.is_over(&worker, Heard::Free));
        assert!(waiters.is_over(&worker, Heard::Nothing), "anew");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_answer_too() {
        let dir = tempfile::tempdir().unwrap();
        let (mut waiters, mut told) = Waiters::new();
        waiters.wait(&"marie".parse().unwrap(), dir.path().join("gone"), Duration::ZERO).unwrap();
        assert!(told.blocking_recv().unwrap().result.is_err());
    }
}
