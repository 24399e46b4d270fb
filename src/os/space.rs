//! Room on the disk.

use std::io;
use std::path::Path;

/// What is left on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that we may still write.
    pub bytes: u64,
    /// Files that we may still make; `None` where the file system does not count them.
    pub inodes: Option<u64>,
}

/// The room on the file system of `path` (`statvfs(3)`).
pub fn of(path: &Path) -> io::Result<Space> {
    let bytes = fs2::available_space(path)?;
    let counts = nix::sys::statvfs::statvfs(path)?;
    let inodes = (counts.files() > 0).then(|| counts.files_available());
    Ok(Space { bytes, inodes })
}
