//! Removing lock files that nobody holds.
//!
//! The files are mirrors for people, so removing one endangers nobody; still it is done only by somebody who
//! just took its lock, and only if the name still means the file that was locked (`flock(2)` follows the
//! inode, not the name).

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::os::durable;
use crate::os::lock::Lock;

/// Removes `path` if nobody holds it; whether it was removed.
pub fn remove_stale(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let locked = file.metadata()?;
    let Some(lock) = Lock::try_exclusive_on(file)? else { return Ok(false) };
    let same = remove_if_it_is(path, &locked)?;
    drop(lock);
    Ok(same)
}

fn remove_if_it_is(path: &Path, locked: &Metadata) -> io::Result<bool> {
    let named = std::fs::symlink_metadata(path)?;
    let same = (named.dev(), named.ino()) == (locked.dev(), locked.ino());
    if same {
        durable::remove_if_there(path)?;
    }
    Ok(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marie_watcher.lock");
        File::create(&path).unwrap();
        let held = Lock::try_exclusive(&path).unwrap().unwrap();
        assert!(!remove_stale(&path).unwrap());
        assert!(path.exists());
        drop(held);
        assert!(remove_stale(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_came_after_the_one_that_was_locked_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, aside) = (dir.path().join("marie_watcher.lock"), dir.path().join("aside"));
        let locked = File::create(&path).unwrap().metadata().unwrap();
        durable::replace(&path, &aside).unwrap();
        File::create(&path).unwrap();
        assert!(!remove_if_it_is(&path, &locked).unwrap());
        assert!(path.exists(), "somebody may hold it");
        assert!(remove_if_it_is(&aside, &locked).unwrap());
    }
}
