//! Being the only supervisor of a root: `locks/supervisor.lock`, held as long as we act.
//!
//! Invariants:
//! - whoever acts holds the flock of the file that has this name now: a file that was unlinked is nobody's, and whoever
//!   held it takes the new one, or goes;
//! - the death of whoever acts is known at once to one that waits, blocked in `flock(2)`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, oneshot};

use crate::clock::Timestamp;
use crate::os::durable;
use crate::os::holder::{Holder, Role};
use crate::os::lock::Lock;
use crate::os::signals::Signal;

/// How often one that waits says that it does.
const TURN: std::time::Duration = std::time::Duration::from_secs(10);

/// The lock of the one acting supervisor.
#[derive(Debug)]
pub(super) struct Single {
    path: PathBuf,
    lock: Lock,
}

/// What became of the lock.
#[derive(Debug)]
pub(super) enum Kept {
    /// It is ours.
    Ours,
    /// Its file was gone, and was made again.
    Anew,
    /// Its file was gone, and another supervisor holds the new one.
    Lost(Option<Box<Holder>>),
}

impl Single {
    /// Takes the lock and writes down who we are; the holder, where there is one.
    pub(super) fn take(path: &Path, since: Timestamp) -> io::Result<Result<Self, Option<Box<Holder>>>> {
        loop {
            let file = open(path)?;
            let Some(lock) = Lock::try_exclusive_on(file)? else {
                return Ok(Err(Holder::read(path).map(Box::new)));
            };
            if let Some(single) = Self::sign(path, lock, since)? {
                return Ok(Ok(single));
            }
        }
    }

    /// Waits until the lock is free and takes it; `None` if somebody asked to stop before that. Meanwhile `turned` is called
    /// every few seconds.
    pub(super) async fn wait(
        path: &Path,
        signals: &mut mpsc::UnboundedReceiver<Signal>,
        now: impl Fn() -> Timestamp,
        mut turned: impl FnMut(),
    ) -> io::Result<Option<Self>> {
        loop {
            let free = wait_blocked(path)?;
            tokio::pin!(free);
            let lock = loop {
                turned();
                tokio::select! {
                    lock = &mut free => break lock.map_err(|_| io::Error::other("the thread that waited is gone"))??,
                    Some(signal) = signals.recv() => if signal == Signal::Stop { return Ok(None) },
                    () = tokio::time::sleep(TURN) => {}
                }
            };
            if let Some(single) = Self::sign(path, lock, now())? {
                return Ok(Some(single));
            }
        }
    }

    /// Whether the lock is still that of the name; where it is not, it is taken again.
    pub(super) fn keep(&mut self, since: Timestamp) -> io::Result<Kept> {
        if self.lock.is_still(&self.path) {
            return Ok(Kept::Ours);
        }
        match Self::take(&self.path, since)? {
            Ok(anew) => {
                *self = anew;
                Ok(Kept::Anew)
            }
            Err(holder) => Ok(Kept::Lost(holder)),
        }
    }

    /// Somebody may have unlinked the file between our opening and our locking: then we locked a file of nobody's.
    fn sign(path: &Path, lock: Lock, since: Timestamp) -> io::Result<Option<Self>> {
        let Some(file) = lock.file().filter(|file| is_still(file, path)) else { return Ok(None) };
        Holder::current(Role::Supervisor, None, since).write(file)?;
        Ok(Some(Self { path: path.to_owned(), lock }))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(durable::FILE_MODE)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)
}

/// A thread that waits; it ends with the program if nobody lets the lock go before.
fn wait_blocked(path: &Path) -> io::Result<oneshot::Receiver<io::Result<Lock>>> {
    let file = open(path)?;
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("standby".to_owned()).stack_size(64 * 1024);
    thread.spawn(move || {
        // Nobody listens any more when the program is about to end.
        tell.send(Lock::wait_exclusive_on(file)).ok();
    })?;
    Ok(told)
}

fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since() -> Timestamp {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_second_one_learns_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("supervisor.lock");
        let first = Single::take(&path, since()).unwrap().unwrap();
        let holder = Single::take(&path, since()).unwrap().unwrap_err().unwrap();
        assert_eq!(holder.process.pid, std::process::id().cast_signed());
        drop(first);
        drop(Single::take(&path, since()).unwrap().unwrap());
    }

    #[test]
    fn a_file_that_was_unlinked_is_made_again_unless_another_was_faster() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("supervisor.lock");
        let mut first = Single::take(&path, since()).unwrap().unwrap();
        assert!(matches!(first.keep(since()).unwrap(), Kept::Ours));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(first.keep(since()).unwrap(), Kept::Anew));
        assert!(matches!(first.keep(since()).unwrap(), Kept::Ours));
        std::fs::remove_file(&path).unwrap();
        let second = Single::take(&path, since()).unwrap().unwrap();
        assert!(matches!(first.keep(since()).unwrap(), Kept::Lost(Some(_))));
        drop(second);
    }

    #[test]
    fn a_file_that_was_unlinked_before_it_was_locked_is_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("supervisor.lock");
        let lock = Lock::try_exclusive_on(open(&path).unwrap()).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(Single::sign(&path, lock, since()).unwrap().is_none());
        let lock = Lock::try_exclusive_on(open(&path).unwrap()).unwrap().unwrap();
        assert!(Single::sign(&path, lock, since()).unwrap().is_some());
    }
}
