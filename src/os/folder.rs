//! Folders below a root, reached without following a link: what was a folder of ours yesterday may be a link to
//! somebody else's today, and nothing may be taken or put through it.
//!
//! Invariants:
//! - links above the root, and the root itself, may be links; below it none is followed (`openat2(2)`,
//!   `RESOLVE_NO_SYMLINKS`; on kernels and in sandboxes without it, one `openat(2)` with `O_NOFOLLOW` a folder);
//! - what was opened stays the same folder while it is used, whatever happens to its name meanwhile.
//!
//! It deliberately does not know which folders a tree has.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// Something else stands where a folder is expected: nothing can be said of what is below it.
#[derive(Debug, thiserror::Error)]
#[error("something on the way to `{0}` is a link, or no folder")]
pub struct NoFolder(String);

/// Whether an error says that a folder on the way is none.
pub fn is_no_folder(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<NoFolder>)
}

/// A folder that was opened.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
}

/// For the calls that need a descriptor to start at.
const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// For listing and syncing.
const READ: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens `dir`, a folder at or below `root`, to reach what is in it.
    pub fn open(root: &Path, dir: &Path) -> io::Result<Self> {
        Self::open_as(root, dir, PLACE)
    }

    /// Opens it to be listed or synced.
    pub fn open_to_read(root: &Path, dir: &Path) -> io::Result<Self> {
        Self::open_as(root, dir, READ)
    }

    fn open_as(root: &Path, dir: &Path, flags: OFlags) -> io::Result<Self> {
        let base = rustix::fs::open(root, if dir == root { flags } else { PLACE }, Mode::empty());
        let base = base.map_err(|errno| of_errno(errno, root))?;
        let fd = match dir.strip_prefix(root) {
            Ok(below) if below.as_os_str().is_empty() => Ok(base),
            Ok(below) => descend(base, below, flags),
            Err(_) => rustix::fs::open(dir, flags.union(OFlags::NOFOLLOW), Mode::empty()),
        };
        Ok(Self { fd: fd.map_err(|errno| of_errno(errno, dir))? })
    }

    /// The names in it; it has to be opened to be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            names.push((entry.ino(), OsStr::from_bytes(entry.file_name().to_bytes()).to_owned()));
        }
        names.retain(|(_, name)| name != "." && name != "..");
        // Whoever looks at them one by one goes through the disk from end to end.
        names.sort_unstable_by_key(|(inode, _)| *inode);
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    /// Waits until its names are on the disk; it has to be opened to be read.
    pub fn sync(&self) -> io::Result<()> {
        rustix::fs::fsync(&self.fd).map_err(io::Error::from)
    }

    /// Opens a file in it for reading: without blocking, since a pipe may lie there, and never through a link. That it was
    /// read is not written down where it is ours: a backlog that is read would be one that is written.
    pub fn file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(&self.fd, name, flags, Mode::empty());
        let opened = match open(flags | OFlags::NOATIME) {
            // Somebody else's (`open(2)`, O_NOATIME).
            Err(Errno::PERM) => open(flags),
            other => other,
        };
        Ok(File::from(opened?))
    }

    /// Makes a new file in it, to be written.
    pub fn new_file(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode))?))
    }

    /// Opens a file in it to be read and appended to; it is made if it is missing.
    pub fn appended(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(
            &self.fd,
            name,
            flags | OFlags::NONBLOCK,
            Mode::from_raw_mode(mode),
        )?))
    }

    /// Makes a folder in it with exactly `mode`; one that is there is fine.
    pub fn make_dir(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match rustix::fs::mkdirat(&self.fd, name, mode) {
            Err(Errno::EXIST) if self.is_dir(name) => Ok(()),
            Err(errno) => Err(errno.into()),
            Ok(()) => rustix::fs::chmodat(&self.fd, name, mode, AtFlags::empty()).map_err(io::Error::from),
        }
    }

    fn is_dir(&self, name: &OsStr) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    }

    /// Looks at a name in it, links not followed; `None` if there is none.
    pub fn look(&self, name: &OsStr) -> io::Result<Option<Look>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Look::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Looks at the folder itself.
    pub fn look_at_itself(&self) -> io::Result<Look> {
        Ok(Look::of(&rustix::fs::fstat(&self.fd)?))
    }

    /// Opens a named pipe in it, without blocking and never through a link; what is no pipe is not opened, and what
    /// became another thing meanwhile is refused.
    pub fn fifo(&self, name: &OsStr, end: End) -> io::Result<(File, Inode)> {
        let no_pipe = || io::Error::new(io::ErrorKind::InvalidInput, "it is no named pipe");
        if !self.look(name)?.ok_or(io::ErrorKind::NotFound)?.is_fifo() {
            return Err(no_pipe());
        }
        let access = match end {
            End::Both => OFlags::RDWR,
            End::Write => OFlags::WRONLY,
        };
        let flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?);
        let look = Look::of(&rustix::fs::fstat(&file)?);
        if look.is_fifo() { Ok((file, look.inode)) } else { Err(no_pipe()) }
    }

    /// Holds what is at `name` without opening it, links not followed.
    pub fn hold(&self, name: &OsStr) -> io::Result<Held> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        Ok(Held { look: Look::of(&rustix::fs::fstat(&fd)?), fd })
    }

    /// Makes a named pipe in it.
    pub fn make_fifo(&self, name: &OsStr) -> io::Result<()> {
        rustix::fs::mkfifoat(&self.fd, name, Mode::RUSR | Mode::WUSR).map_err(io::Error::from)
    }

    /// Moves `name` to `to` in the folder `into`, where nothing may stand (`renameat2(2)`, `RENAME_NOREPLACE`).
    /// Where the file system does not know the flag, a link and an unlink do it: whoever recovers knows a task with
    /// two names.
    pub fn move_noreplace(&self, name: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        match self.rename_noreplace(name, into, to) {
            Err(error) if lacks_noreplace(&error) => {
                rustix::fs::linkat(&self.fd, name, &into.fd, to, AtFlags::empty())?;
                self.remove(name)
            }
            other => other,
        }
    }

    /// The same, as one call or not at all.
    pub fn rename_noreplace(&self, name: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        rustix::fs::renameat_with(&self.fd, name, &into.fd, to, RenameFlags::NOREPLACE)
            .map_err(io::Error::from)
    }

    /// Renames `name` over `to`, in it.
    pub fn replace(&self, name: &OsStr, to: &OsStr) -> io::Result<()> {
        rustix::fs::renameat(&self.fd, name, &self.fd, to).map_err(io::Error::from)
    }

    /// Removes a file in it; one that is not there is fine.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => other.map_err(io::Error::from),
        }
    }

    /// Removes a folder in it, which must be empty.
    pub fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR).map_err(io::Error::from)
    }
}

/// Which thing it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inode {
    dev: u64,
    ino: u64,
}

impl Inode {
    /// The thing that `stat` numbers so.
    pub const fn new(dev: u64, ino: u64) -> Self {
        Self { dev, ino }
    }
}

/// A thing that is held and not opened: as long as it is, no other one has its inode.
#[derive(Debug)]
pub struct Held {
    fd: OwnedFd,
    /// What it is.
    pub look: Look,
}

impl Held {
    /// Gives it this mode, whatever the umask is, and this group.
    pub fn allow(&self, mode: u32, group: Option<u32>) -> io::Result<()> {
        if let Some(group) = group {
            let group = Some(rustix::fs::Gid::from_raw(group));
            rustix::fs::chownat(&self.fd, "", None, group, AtFlags::EMPTY_PATH)?;
        }
        // A descriptor that stands for a name alone takes no fchmod(2) (`open(2)`, O_PATH).
        rustix::fs::chmod(self.path(), Mode::from_raw_mode(mode)).map_err(io::Error::from)
    }

    /// A path that means this very thing in this process (`proc(5)`).
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }
}

/// Which end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// For reading, with a writer of its own: it never ends, and no writer finds it without a reader.
    Both,
    /// For writing; `ENXIO` without a reader.
    Write,
}

/// What stands at a name.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Which thing it is.
    pub inode: Inode,
    /// Whose it is.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// How long it is, in bytes.
    pub size: u64,
    /// When its content changed last, in seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// When anything of it changed last, likewise.
    pub ctime: (i64, i64),
    /// How many names it has.
    pub names: u64,
    mode: u32,
}

impl Look {
    fn of(stat: &rustix::fs::Stat) -> Self {
        let inode = Inode { dev: stat.st_dev, ino: stat.st_ino };
        let nanos = |it| i64::try_from(it).unwrap_or_default();
        #[allow(
            clippy::useless_conversion,
            clippy::allow_attributes,
            reason = "some machines count them in 32 bits"
        )]
        let names = u64::from(stat.st_nlink);
        Self {
            inode,
            owner: stat.st_uid,
            group: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime: (stat.st_mtime, nanos(stat.st_mtime_nsec)),
            ctime: (stat.st_ctime, nanos(stat.st_ctime_nsec)),
            names,
            mode: stat.st_mode,
        }
    }

    /// Its mode, with what kind of thing it is.
    pub const fn mode(&self) -> u32 {
        self.mode
    }

    /// Its permission bits.
    pub const fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// Whether it is a named pipe.
    pub fn is_fifo(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Fifo
    }

    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match FileType::from_raw_mode(self.mode) {
            FileType::RegularFile => "a regular file",
            FileType::Directory => "a folder",
            FileType::Symlink => "a link",
            FileType::Fifo => "a named pipe of somebody else's",
            FileType::Socket => "a socket",
            FileType::CharacterDevice | FileType::BlockDevice => "a device",
            FileType::Unknown => "something unknown",
        }
    }
}

/// Whether a rename failed since the file system or the kernel does not know how to refuse to replace.
pub fn lacks_noreplace(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::EINVAL | nix::libc::ENOSYS))
}

/// How often the kernel may be asked again before the way is gone step by step, which takes no notice of renames.
const UNSURE: u32 = 16;

fn descend(base: OwnedFd, below: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut unsure = 0;
    loop {
        match rustix::fs::openat2(&base, below, flags, Mode::empty(), resolve) {
            Err(Errno::INTR) => {}
            // A rename somewhere on the way made the kernel unsure; where one follows the other it would stay so.
            Err(Errno::AGAIN) if unsure < UNSURE => unsure += 1,
            // It stays so; or the kernel is older than 5.6, or a sandbox does not know the call.
            Err(Errno::AGAIN | Errno::NOSYS | Errno::PERM) => return step_by_step(base, below, flags),
            other => return other,
        }
    }
}

fn step_by_step(base: OwnedFd, below: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut at = base;
    let mut names = below.iter().peekable();
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() { PLACE } else { flags };
        at = rustix::fs::openat(&at, name, flags.union(OFlags::NOFOLLOW), Mode::empty())?;
    }
    Ok(at)
}

fn of_errno(errno: Errno, path: &Path) -> io::Error {
    if matches!(errno, Errno::LOOP | Errno::NOTDIR | Errno::XDEV) {
        return io::Error::new(io::ErrorKind::NotADirectory, NoFolder(path.display().to_string()));
    }
    errno.into()
}

/// What stands at a path that should be a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Missing,
    /// A link.
    Link,
    /// A file, a pipe, a device.
    NoFolder,
    /// A folder.
    Folder {
        /// Which mount it belongs to: two folders of one mount can exchange files by renames.
        mount: u64,
        /// Its permissions.
        mode: u32,
        /// Why we cannot do there what we have to; `None` if we can.
        denied: Option<Denied>,
    },
    /// Something above it lets us through to nothing in it.
    Barred,
    /// It does not answer, and why.
    Unknown(String),
}

/// Why a folder cannot be worked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// By its permissions, or those of one above it.
    Permission,
    /// It is mounted read-only.
    ReadOnly,
}

/// What we have to do in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Pass through it, to what is in it already.
    Pass,
    /// List it, and put things into it.
    Work,
}

/// Looks at `path`, links not followed (`statx(2)`, `access(2)` with the real user's rights).
pub fn standing(path: &Path, need: Need) -> Standing {
    use rustix::fs::{Access, StatxFlags};
    let looked =
        rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID);
    let found = match looked {
        Err(Errno::NOENT) => return Standing::Missing,
        Err(Errno::NOTDIR | Errno::LOOP) => return Standing::NoFolder,
        Err(Errno::ACCESS) => return Standing::Barred,
        Err(errno) => return Standing::Unknown(io::Error::from(errno).to_string()),
        Ok(found) => found,
    };
    let mode = u32::from(found.stx_mode);
    let kind = FileType::from_raw_mode(mode);
    if kind != FileType::Directory {
        return if kind == FileType::Symlink { Standing::Link } else { Standing::NoFolder };
    }
    let access = match need {
        Need::Pass => Access::EXEC_OK,
        Need::Work => Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
    };
    let denied = match rustix::fs::accessat(CWD, path, access, AtFlags::empty()) {
        Ok(()) => None,
        Err(Errno::ROFS) => Some(Denied::ReadOnly),
        Err(Errno::ACCESS | Errno::PERM) => Some(Denied::Permission),
        Err(Errno::NOENT) => return Standing::Missing,
        Err(errno) => return Standing::Unknown(io::Error::from(errno).to_string()),
    };
    let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
    let knows_mount = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    let mount = if knows_mount { found.stx_mnt_id } else { device };
    Standing::Folder { mount, mode: mode & 0o7777, denied }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
