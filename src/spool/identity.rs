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
