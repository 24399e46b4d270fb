//! Room on the disk, and whether it may be written at all.

use std::io;
use std::path::Path;

use nix::sys::statvfs::FsFlags;

use super::trouble::Trouble;

/// What is left on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that we may still write.
    pub bytes: u64,
    /// All the bytes that it has.
    pub bytes_total: u64,
    /// Files that we may still make, and all that it can have; `None` where the file system does not count them.
    pub inodes: Option<(u64, u64)>,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// Below this room nothing new is begun: what runs must still be able to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Bytes.
    pub bytes: u64,
    /// Files.
    pub inodes: u64,
}

impl Reserve {
    /// What is kept free where nobody said otherwise.
    pub const USUAL: Self = Self { bytes: 64 << 20, inodes: 500 };
}

/// The part of a small file system that a reserve takes at most: one eighth.
const SHARE: u64 = 8;

impl Space {
    /// What there is too little of, in words, with its kind; `None` while there is enough. Of a small file system the
    /// reserve is at most an eighth.
    pub fn scarce(&self, reserve: &Reserve) -> Option<(Trouble, String)> {
        if self.read_only {
            return Some((Trouble::ReadOnly, "it is mounted read-only".to_owned()));
        }
        if self.bytes < reserve.bytes.min(self.bytes_total / SHARE) {
            return Some((Trouble::Full, format!("only {} MiB left", self.bytes >> 20)));
        }
        let (inodes, _) = self.inodes.filter(|(left, total)| *left < reserve.inodes.min(total / SHARE))?;
        Some((Trouble::Full, format!("only {inodes} inodes left")))
    }

    /// Whether so little is left that what somebody writes now is likely to fail.
    pub fn is_out(&self) -> bool {
        /// A file system keeps some room for itself, so the last page is never had.
        const LAST: u64 = 256 << 10;
        self.read_only || self.bytes < LAST || self.inodes.is_some_and(|(left, _)| left == 0)
    }
}

/// The room on the file system of `path` (`statvfs(3)`).
pub fn of(path: &Path) -> io::Result<Space> {
    let bytes = fs2::available_space(path)?;
    let counts = nix::sys::statvfs::statvfs(path)?;
    let inodes = (counts.files() > 0).then(|| (counts.files_available(), counts.files()));
    Ok(Space {
        bytes,
        bytes_total: counts.blocks().saturating_mul(counts.fragment_size()),
        inodes,
        read_only: counts.flags().contains(FsFlags::ST_RDONLY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Space =
        Space { bytes: 1 << 40, bytes_total: 1 << 41, inodes: Some((1 << 20, 1 << 21)), read_only: false };

    fn said(space: Space) -> Option<String> {
        space.scarce(&Reserve::USUAL).map(|(_, what)| what)
    }

    #[test]
    fn what_is_scarce_is_named() {
        assert_eq!(said(PLENTY), None);
        assert_eq!(said(Space { inodes: None, ..PLENTY }), None, "some file systems count none");
        assert_eq!(said(Space { bytes: 3 << 20, ..PLENTY }).as_deref(), Some("only 3 MiB left"));
        let few = Space { inodes: Some((7, 1 << 20)), ..PLENTY };
        assert_eq!(said(few).as_deref(), Some("only 7 inodes left"));
        let read_only = Space { read_only: true, ..PLENTY };
        assert_eq!(read_only.scarce(&Reserve::USUAL).map(|it| it.0), Some(Trouble::ReadOnly));
    }

    #[test]
    fn a_small_file_system_is_not_held_for_being_small() {
        let small = Space { bytes: 3 << 20, bytes_total: 16 << 20, inodes: Some((200, 1024)), ..PLENTY };
        assert_eq!(said(small), None, "an eighth of 16 MiB is 2 MiB, of 1024 files 128");
        assert!(said(Space { bytes: 1 << 20, ..small }).is_some());
        assert!(said(Space { inodes: Some((100, 1024)), ..small }).is_some());
        let none = Reserve { bytes: 0, inodes: 0 };
        assert_eq!(Space { bytes: 0, inodes: Some((0, 9)), ..small }.scarce(&none), None);
    }

    #[test]
    fn out_is_less_than_scarce() {
        assert!(!PLENTY.is_out() && !Space { bytes: 1 << 20, ..PLENTY }.is_out());
        assert!(Space { bytes: 4096, ..PLENTY }.is_out());
        assert!(Space { inodes: Some((0, 9)), ..PLENTY }.is_out());
        assert!(Space { read_only: true, ..PLENTY }.is_out());
    }
}
