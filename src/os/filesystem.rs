//! Which kind of file system a path is on (`statfs(2)`), and what that means for locks, renames and events.

use std::io;
use std::path::Path;

/// A kind of file system, by what it can promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A disk of this machine, or one that is not known to be anything else.
    Local,
    /// In memory: a reboot empties it.
    Memory,
    /// The writable layer of a container: it goes with the container.
    Layer,
    /// Somebody else keeps the files: another machine, or a program. Its name.
    Remote(&'static str),
}

/// The numbers of `statfs(2)` and of the kernel's `include/uapi/linux/magic.h`.
const KINDS: [(u32, Kind); 20] = [
    (0x0000_6969, Kind::Remote("NFS")),
    (0x0000_517b, Kind::Remote("SMB")),
    (0xfe53_4d42, Kind::Remote("SMB")),
    (0xff53_4d42, Kind::Remote("SMB (CIFS)")),
    (0x6573_5546, Kind::Remote("FUSE")),
    (0x00c3_6400, Kind::Remote("Ceph")),
    (0x5346_414f, Kind::Remote("AFS")),
    (0x6b41_4653, Kind::Remote("AFS")),
    (0x0102_1997, Kind::Remote("9P")),
    (0x7375_7245, Kind::Remote("Coda")),
    (0x0116_1970, Kind::Remote("GFS2")),
    (0x7461_636f, Kind::Remote("OCFS2")),
    (0x0bd0_0bd0, Kind::Remote("Lustre")),
    (0x1983_0326, Kind::Remote("BeeGFS")),
    (0x4750_4653, Kind::Remote("GPFS")),
    (0x786f_4256, Kind::Remote("a VirtualBox share")),
    (0xbacb_acbc, Kind::Remote("a VMware share")),
    (0x0102_1994, Kind::Memory),
    (0x8584_58f6, Kind::Memory),
    (0x794c_7630, Kind::Layer),
];

/// What a number means. One that is in no list is taken for a disk: what it can do is tried anyway.
pub fn kind(f_type: u32) -> Kind {
    KINDS.iter().find(|(number, _)| *number == f_type).map_or(Kind::Local, |(_, kind)| *kind)
}

/// The kind of file system that `path` is on, links followed.
pub fn of(path: &Path) -> io::Result<Kind> {
    let told = rustix::fs::statfs(path)?.f_type;
    // The field is as wide as a word; all numbers have 32 bits, some with the sign.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the numbers have 32 bits")]
    Ok(kind(told as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_keeps_files_elsewhere_is_known_by_number() {
        for (number, name) in [
            (0x6969, "NFS"),
            (0xfe53_4d42, "SMB"),
            (0x6573_5546, "FUSE"),
            (0x00c3_6400, "Ceph"),
            (0x0102_1997, "9P"),
        ] {
            assert_eq!(kind(number), Kind::Remote(name), "{number:x}");
        }
        // ext4, XFS, Btrfs, ZFS, bcachefs, F2FS.
        for number in [0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1, 0xca45_1a4e, 0xf2f5_2010] {
            assert_eq!(kind(number), Kind::Local, "{number:x}");
        }
        assert_eq!((kind(0x0102_1994), kind(0x794c_7630)), (Kind::Memory, Kind::Layer));
    }

    #[test]
    fn the_kernel_is_asked() {
        assert_eq!(of(Path::new("/proc")).unwrap(), Kind::Local);
        assert!(of(Path::new("/nonexistent")).is_err());
    }
}
