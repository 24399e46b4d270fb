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

/// Below this room nothing new is begun: what runs must still be able to end.
const RESERVE_BYTES: u64 = 64 << 20;
const RESERVE_INODES: u64 = 500;

impl Space {
    /// What there is too little of, in words; `None` while there is enough.
    pub fn scarce(&self) -> Option<String> {
        if self.bytes < RESERVE_BYTES {
            return Some(format!("only {} MiB left", self.bytes >> 20));
        }
        let inodes = self.inodes.filter(|left| *left < RESERVE_INODES)?;
        Some(format!("only {inodes} inodes left"))
    }
}

/// The room on the file system of `path` (`statvfs(3)`).
pub fn of(path: &Path) -> io::Result<Space> {
    let bytes = fs2::available_space(path)?;
    let counts = nix::sys::statvfs::statvfs(path)?;
    let inodes = (counts.files() > 0).then(|| counts.files_available());
    Ok(Space { bytes, inodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scarce_is_named() {
        let plenty = Space { bytes: 1 << 40, inodes: Some(1 << 20) };
        assert_eq!(plenty.scarce(), None);
        assert_eq!(Space { inodes: None, ..plenty }.scarce(), None, "some file systems count none");
        assert_eq!(Space { bytes: 3 << 20, ..plenty }.scarce().as_deref(), Some("only 3 MiB left"));
        assert_eq!(Space { inodes: Some(7), ..plenty }.scarce().as_deref(), Some("only 7 inodes left"));
    }
}
