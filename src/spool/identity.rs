//! What tells one version of a file from another.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The file system.
    pub dev: u64,
    /// The inode.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl Identity {
    /// The age of the file as the file system has it.
    pub fn mtime(&self) -> SystemTime {
        let since = Duration::from_nanos(self.mtime_ns.unsigned_abs());
        if self.mtime_ns >= 0 { SystemTime::UNIX_EPOCH + since } else { SystemTime::UNIX_EPOCH - since }
    }

    /// Whether both are one version of one inode, seen before and after a boot: device numbers may change then.
    pub const fn is_same_version(&self, other: &Self) -> bool {
        self.inode == other.inode && self.size == other.size && self.mtime_ns == other.mtime_ns
    }

    /// Whether both are names of one inode.
    pub const fn is_same_inode(&self, other: &Self) -> bool {
        self.dev == other.dev && self.inode == other.inode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Identity = Identity { dev: 1, inode: 2, size: 3, mtime_ns: 4 };

    #[test]
    fn a_version_is_the_same_after_a_boot_and_another_one_is_not() {
        assert!(SEEN.is_same_version(&Identity { dev: 9, ..SEEN }), "a device may be numbered anew");
        for other in
            [Identity { inode: 9, ..SEEN }, Identity { size: 9, ..SEEN }, Identity { mtime_ns: 9, ..SEEN }]
        {
            assert!(!SEEN.is_same_version(&other), "{other:?}");
        }
        assert!(SEEN.is_same_inode(&Identity { size: 9, mtime_ns: 9, ..SEEN }));
        assert!(!SEEN.is_same_inode(&Identity { dev: 9, ..SEEN }), "on another disk it is another file");
        assert!(!SEEN.is_same_inode(&Identity { inode: 9, ..SEEN }));
    }

    #[test]
    fn an_age_is_what_the_disk_says_also_before_1970() {
        let at = |mtime_ns| Identity { mtime_ns, ..SEEN }.mtime();
        assert_eq!(at(1_500_000_000), SystemTime::UNIX_EPOCH + Duration::from_millis(1500));
        assert_eq!(at(-1_500_000_000), SystemTime::UNIX_EPOCH - Duration::from_millis(1500));
        assert_eq!(at(0), SystemTime::UNIX_EPOCH);
    }
}
