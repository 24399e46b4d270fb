//! The worker's lock, held for the moments in which an operator acts in the place of its watcher.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::os::durable;
use crate::os::holder::{Holder, Role};
use crate::os::lock::{self, Lock};
use crate::recovery::locks;
use crate::task::WorkerName;

use super::super::desk::Desk;
use super::super::error::OperatorError;

/// How long another operator or a recovery may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long somebody may hold the lock who does not say that he is one of those: a watcher keeps it.
const DOUBT: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// The lock of a worker, and the mirror that says who has it: a watcher that starts reads there that it should wait.
#[derive(Debug)]
pub(in crate::operator) struct Tenure {
    // Before the lock is let go, so that the mirror of the next holder is not taken away.
    _mirror: Mirror,
    lock: Lock,
}

impl Tenure {
    /// Takes it, from others who hold it for moments too.
    pub(in crate::operator) fn take(desk: &Desk, worker: &WorkerName) -> Result<Self, OperatorError> {
        let folder = desk.layout.worker(worker);
        for dir in desk.layout.worker_dirs(worker).into_iter().filter(|dir| !dir.is_dir()) {
            durable::make_dir(&dir, durable::DIR_MODE).map_err(OperatorError::io("make", &dir))?;
        }
        let began = desk.clock.ticks();
        loop {
            let tried = Lock::try_exclusive(&folder).map_err(OperatorError::io("lock", &folder))?;
            if let Some(lock) = tried {
                let mirror = Mirror(desk.layout.watcher_lock(worker));
                Holder::current(Role::Operator, Some(worker.clone()), desk.clock.wall())
                    .write_to(&mirror.0)
                    .ok();
                return Ok(Self { _mirror: mirror, lock });
            }
            let role = Holder::read(&desk.layout.watcher_lock(worker)).map(|holder| holder.role);
            let passes = matches!(role, Some(Role::Operator | Role::Recovery));
            if desk.clock.ticks().since(began) >= if passes { PATIENCE } else { DOUBT } {
                return Err(OperatorError::Held { worker: worker.clone() });
            }
            lock::pause(PAUSE);
        }
    }

    /// That it is still ours: the lock goes with the folder.
    pub(in crate::operator) fn check(&self, desk: &Desk, worker: &WorkerName) -> Result<(), OperatorError> {
        let folder = desk.layout.worker(worker);
        if self.lock.is_still(&folder) {
            return Ok(());
        }
        Err(OperatorError::io("act in", &folder)(io::Error::other("the folder was replaced meanwhile")))
    }
}

#[derive(Debug)]
struct Mirror(PathBuf);

impl Drop for Mirror {
    fn drop(&mut self) {
        locks::remove_stale(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_acts_for_a_worker_holds_its_folder_and_notices_when_that_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let desk =
            Desk::new(dir.path(), crate::clock::SystemClock::shared(), crate::config::Environment::of(&[]));
        let marie: WorkerName = "marie".parse().unwrap();
        let tenure = Tenure::take(&desk, &marie).unwrap();
        let folder = desk.layout.worker(&marie);
        assert!(lock::is_held(&folder).unwrap());
        tenure.check(&desk, &marie).unwrap();
        durable::rename_noreplace(&folder, &dir.path().join("aside")).unwrap();
        durable::make_dir(&folder, durable::DIR_MODE).unwrap();
        assert!(tenure.check(&desk, &marie).is_err(), "another may act in the new one");
    }
}
