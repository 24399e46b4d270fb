//! Writes that a reader never sees by half and that survive what their [`Durability`] says.
//!
//! The order is always: data, `fsync`, `rename`, `fsync` of the directory. A `rename` of an unsynced file can
//! come back empty after a power cut, and one whose directory was not synced can come back undone.
//!
//! After an `fsync` that failed the kernel may mark the pages clean, and the next one says yes to data that are nowhere
//! (`fsync(2)`): a file whose sync failed is thrown away, and what was to stand in it is written anew, from memory, under
//! another name. Directories are synced again: their names are in the file system's own journal, which does not forget
//! an error.

#![expect(clippy::disallowed_methods, reason = "the one place that renames")]

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::fs::{CWD, RenameFlags, renameat_with};

pub use crate::config::Durability;

/// The mode of files that the operators' group may read.
pub const FILE_MODE: u32 = 0o640;
/// The mode of directories below the root.
pub const DIR_MODE: u32 = 0o2770;

/// Replaces `path` by `bytes` in one instant: written beside it, synced, renamed over it.
pub fn write_atomic(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let temp = beside(path);
    let done = create(&temp, bytes)
        .and_then(|file| if durability == Durability::Full { file.sync_all() } else { Ok(()) })
        .and_then(|()| replace(&temp, path));
    if let Err(error) = done {
        remove_if_there(&temp).ok();
        return Err(error);
    }
    if durability == Durability::Full { sync_dir(parent(path)) } else { Ok(()) }
}

/// A new file with `bytes`; it must not exist. `mtime`, if given, becomes its age.
pub fn write_new(path: &Path, bytes: &[u8], mtime: Option<SystemTime>) -> io::Result<()> {
    let file = create(path, bytes)?;
    mtime.map_or(Ok(()), |mtime| file.set_modified(mtime))
}

fn create(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Renames `from` over `to`.
pub fn replace(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Renames `from` to `to`, which must not exist (`renameat2(2)`, `RENAME_NOREPLACE`). Where the file system
/// does not know the flag, a link and an unlink do it: whoever recovers knows a task with two names.
pub fn rename_noreplace(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        other => other.map_err(io::Error::from),
    }
}

/// Waits until the data of `path` are on the disk.
pub fn sync_file(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)?
        .sync_all()
}

/// Lets the disk begin with the data of `file`, and waits for nothing: a hint, so that many files are on their way when the
/// first is waited for (`posix_fadvise(2)`, `POSIX_FADV_DONTNEED` begins to write what is dirty).
pub fn begin(file: &File) {
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).ok();
}

/// Waits until the names in the directory `path` are on the disk.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes `path` and what is missing above it. What is new gets exactly `mode`, whatever the umask says: a folder
/// that others are to drop into must not lose its group.
pub fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        // One that is there is fine, whoever may make folders in the one above, and however it is mounted.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = parent(path);
            if above == path || above.as_os_str().is_empty() {
                return Err(error);
            }
            make_dir(above, mode)?;
            make_dir(path, mode)
        }
        Err(error) => Err(error),
        Ok(()) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)),
    }
}

/// Removes a file; one that is not there is fine.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Gives a file the age `mtime`.
pub fn set_mtime(path: &Path, mtime: SystemTime) -> io::Result<()> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(path)?.set_modified(mtime)
}

/// A temporary name beside `path` that nobody else uses: hidden, and not a task's. A process number alone would not do:
/// every container has a process 1.
pub fn beside(path: &Path) -> PathBuf {
    static COUNTER: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(anywhere()));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}.{n}.tmp", std::process::id()))
}

/// A number by chance, of at most 15 digits: names have room for no more.
fn anywhere() -> u64 {
    RandomState::new().hash_one(std::process::id()) >> 16
}

/// The directory that holds `path`.
pub fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        for text in ["one", "two"] {
            write_atomic(&path, text.as_bytes(), Durability::Full).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn temporary_names_begin_anywhere_and_are_short_enough() {
        let all: std::collections::HashSet<u64> = (0..64).map(|_| anywhere()).collect();
        assert!(all.len() == 64 && all.iter().all(|it| *it < 1 << 48), "{all:?}");
        assert_ne!(beside(Path::new("/x/y")), beside(Path::new("/x/y")));
    }

    #[test]
    fn a_move_refuses_to_replace() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        write_new(&a, b"a", None).unwrap();
        write_new(&b, b"b", None).unwrap();
        let error = rename_noreplace(&a, &b).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&b).unwrap(), b"b");
    }

    #[test]
    fn a_new_file_takes_nobodys_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_new(&path, b"first", None).unwrap();
        assert_eq!(write_new(&path, b"x", None).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }
}
