//! Whole-file locks (`flock(2)`): the fact that somebody lives.
//!
//! A lock belongs to the open file description, so it lasts as long as any copy of its descriptor, also in a
//! child. It goes with the inode, not with the name: whoever unlinks a lock file makes room for a second
//! holder, which is why folders are locked where it matters.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::trouble::is_no_answer;

/// The first and the longest of the pauses between tries for a lock that is held for microseconds.
const PAUSES: [Duration; 2] = [Duration::from_micros(50), Duration::from_millis(50)];

/// A held lock; dropping it lets go.
#[derive(Debug)]
#[must_use = "a dropped lock is a lost lock"]
pub struct Lock {
    file: Option<File>,
}

impl Lock {
    /// Takes the lock alone, or says `None` if somebody holds it. `path` is a file or a folder that exists.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        Self::try_exclusive_on(open(path)?)
    }

    /// Takes the lock of an open file alone.
    pub fn try_exclusive_on(file: File) -> io::Result<Option<Self>> {
        Self::taken(fs2::FileExt::try_lock_exclusive(&file), file)
    }

    /// Waits, blocked in the kernel, until nobody holds the lock of an open file, and takes it alone.
    pub fn wait_exclusive_on(file: File) -> io::Result<Self> {
        loop {
            match fs2::FileExt::lock_exclusive(&file) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(Self { file: Some(file) }),
            }
        }
    }

    /// Takes the lock of an open file alone, from those who hold it for some microseconds only. `None` when it does not
    /// come free within about `patience` or cannot be had on this file system: a holder that was stopped in between must
    /// not stop the others.
    pub fn patiently_exclusive_on(file: File, patience: Duration) -> Option<Self> {
        let [mut step, longest] = PAUSES;
        let mut waited = Duration::ZERO;
        loop {
            match fs2::FileExt::try_lock_exclusive(&file) {
                Ok(()) => return Some(Self { file: Some(file) }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && waited < patience => pause(step),
                Err(_) => return None,
            }
            waited += step;
            step = (step * 2).min(longest);
        }
    }

    /// Takes the lock together with other readers, or says `None` if somebody holds it alone.
    pub fn try_shared(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        Self::taken(fs2::FileExt::try_lock_shared(&file), file)
    }

    /// Waits, blocked in the kernel, until nobody holds the lock alone.
    pub fn wait_shared(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        loop {
            match fs2::FileExt::lock_shared(&file) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(Self { file: Some(file) }),
            }
        }
    }

    /// Whether `path` still means what was locked: a folder that was moved away and made anew is another one. A disk
    /// that does not answer has taken nothing away.
    pub fn is_still(&self, path: &Path) -> bool {
        let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        let Some(file) = &self.file else { return false };
        match (file.metadata().map(id), std::fs::symlink_metadata(path).map(id)) {
            (Ok(locked), Ok(named)) => locked == named,
            (_, Err(error)) | (Err(error), _) => is_no_answer(&error),
        }
    }

    /// Lets go, while others still have a hand on this value.
    pub fn release(&self) {
        if let Some(file) = &self.file {
            // Explicitly, since a spawn under way in another thread may hold a copy until its exec.
            fs2::FileExt::unlock(file).ok();
        }
    }

    /// The locked file.
    pub const fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Hands the locked file on without letting go: the lock now lives with the descriptor.
    pub fn into_file(mut self) -> Option<File> {
        self.file.take()
    }

    fn taken(result: io::Result<()>, file: File) -> io::Result<Option<Self>> {
        match result {
            Ok(()) => Ok(Some(Self { file: Some(file) })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.release();
    }
}

/// Whether somebody holds the lock alone right now; a path that does not exist is held by nobody.
pub fn is_held(path: &Path) -> io::Result<bool> {
    match Lock::try_shared(path) {
        Ok(lock) => Ok(lock.is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits between two tries for a lock that cannot be waited for: a blocked `flock(2)` has no time limit.
pub fn pause(time: Duration) {
    // A poll of nothing is a sleep that the fence against sleeping in place of waiting does not know.
    std::thread::park_timeout(time);
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::try_exclusive(dir.path()).unwrap().unwrap();
        assert!(is_held(dir.path()).unwrap());
        assert!(Lock::try_exclusive(dir.path()).unwrap().is_none());
        drop(first);
        assert!(!is_held(dir.path()).unwrap());
        assert!(Lock::try_exclusive(dir.path()).unwrap().is_some());
    }

    #[test]
    fn a_lock_handed_on_lives_with_its_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let file = Lock::try_exclusive(dir.path()).unwrap().unwrap().into_file().unwrap();
        assert!(is_held(dir.path()).unwrap());
        drop(file);
        assert!(!is_held(dir.path()).unwrap());
    }

    #[test]
    fn what_is_not_there_is_held_by_nobody() {
        assert!(!is_held(Path::new("/nonexistent/x")).unwrap());
    }

    /// Whether somebody is blocked at the lock of this folder (`proc_locks(5)`: a waiter stands behind an arrow).
    fn is_waited_for(path: &Path) -> bool {
        let inode = format!(":{} ", std::fs::metadata(path).unwrap().ino());
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("-> FLOCK") && line.contains(&inode))
    }

    #[test]
    fn whoever_waits_has_nothing_before_the_holder_lets_go() {
        let alone = |path: &Path| Lock::wait_exclusive_on(open(path)?).map(drop);
        let together = |path: &Path| Lock::wait_shared(path).map(drop);
        for wait in [alone as fn(&Path) -> io::Result<()>, together] {
            let dir = tempfile::tempdir().unwrap();
            let held = Lock::try_exclusive(dir.path()).unwrap().unwrap();
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| wait(dir.path()));
                while !is_waited_for(dir.path()) {
                    assert!(!waiter.is_finished(), "it has a lock that somebody holds");
                    std::thread::yield_now();
                }
                drop(held);
                waiter.join().unwrap().unwrap();
            });
        }
    }

    #[test]
    fn patience_has_an_end_and_is_rewarded() {
        let dir = tempfile::tempdir().unwrap();
        let held = Lock::try_exclusive(dir.path()).unwrap().unwrap();
        assert!(Lock::patiently_exclusive_on(open(dir.path()).unwrap(), Duration::from_millis(1)).is_none());
        drop(held);
        assert!(Lock::patiently_exclusive_on(open(dir.path()).unwrap(), Duration::from_millis(1)).is_some());
    }

    #[test]
    fn a_lock_is_that_of_a_thing_and_not_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marie");
        std::fs::create_dir(&path).unwrap();
        let lock = Lock::try_exclusive(&path).unwrap().unwrap();
        assert!(lock.is_still(&path));
        std::fs::remove_dir(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(!lock.is_still(&path), "another folder has its name");
        assert!(!lock.is_still(&dir.path().join("gone")));
    }
}
