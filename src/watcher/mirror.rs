//! Lock files for people and runbooks: mirrors of the facts, made again when somebody unlinks them.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;
use crate::os::durable::{FILE_MODE, remove_if_there};
use crate::os::holder::{Holder, Role};
use crate::os::lock::Lock;
use crate::task::WorkerName;

/// The lock files of this worker.
#[derive(Debug)]
pub(super) struct Mirrors {
    worker: WorkerName,
    held: BTreeMap<PathBuf, Lock>,
}

impl Mirrors {
    pub(super) const fn new(worker: WorkerName) -> Self {
        Self { worker, held: BTreeMap::new() }
    }

    /// Makes sure that exactly `wanted` are there, locked by us and fresh.
    pub(super) fn keep(&mut self, wanted: &[(PathBuf, Option<String>)], now: Timestamp) -> io::Result<()> {
        // One that cannot be made, for a link that lies in its place, does not cost the others.
        let mut refused = Ok(());
        let gone: Vec<_> =
            self.held.keys().filter(|path| !wanted.iter().any(|(it, _)| it == *path)).cloned().collect();
        for path in gone {
            self.release(&path);
        }
        for (path, task) in wanted {
            if let Err(error) = self.keep_one(path, task.as_deref(), now) {
                refused = Err(error);
            }
        }
        refused
    }

    fn keep_one(&mut self, path: &Path, task: Option<&str>, now: Timestamp) -> io::Result<()> {
        if !self.held.get(path).is_some_and(|lock| lock.is_still(path)) {
            self.held.remove(path);
            if let Some(lock) = self.take(path, task.map(str::to_owned), now)? {
                self.held.insert(path.to_owned(), lock);
            }
        }
        match self.held.get(path).and_then(Lock::file) {
            Some(file) => file.set_modified(now.into()),
            None => Ok(()),
        }
    }

    /// Unlinks a mirror, still locked, so that nobody finds it free; then lets go.
    fn release(&mut self, path: &Path) {
        if let Some(lock) = self.held.remove(path) {
            if lock.is_still(path) {
                remove_if_there(path).ok();
            }
            drop(lock);
        }
    }

    /// Lets all go.
    pub(super) fn release_all(&mut self) {
        let all: Vec<_> = self.held.keys().cloned().collect();
        for path in all {
            self.release(&path);
        }
    }

    fn take(&self, path: &Path, task: Option<String>, now: Timestamp) -> io::Result<Option<Lock>> {
        let file: File = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(path)?;
        let Some(lock) = Lock::try_exclusive_on(file)? else { return Ok(None) };
        if let Some(file) = lock.file() {
            let mut holder = Holder::current(Role::Watcher, Some(self.worker.clone()), now);
            holder.task = task;
            // On a full disk: one that says nothing would be nobody's when its task has ended.
            holder.write(file).inspect_err(|_| drop(remove_if_there(path)))?;
        }
        Ok(Some(lock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_was_unlinked_is_made_again_and_one_of_another_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marie_watcher.lock");
        let mut mirrors = Mirrors::new("marie".parse().unwrap());
        let wanted = [(path.clone(), None)];
        mirrors.keep(&wanted, Timestamp::UNIX_EPOCH).unwrap();
        assert!(crate::os::lock::is_held(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        mirrors.keep(&wanted, Timestamp::UNIX_EPOCH).unwrap();
        assert!(crate::os::lock::is_held(&path).unwrap(), "it is there again, and ours");
        std::fs::remove_file(&path).unwrap();
        File::create(&path).unwrap();
        mirrors.keep(&[], Timestamp::UNIX_EPOCH).unwrap();
        assert!(path.exists(), "that is not ours");
        mirrors.keep(&[(dir.path().join("b.lock"), None)], Timestamp::UNIX_EPOCH).unwrap();
        mirrors.release_all();
        assert!(!dir.path().join("b.lock").exists());
    }
}
