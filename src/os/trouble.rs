//! What a failed system call says of the machine: the disk is full, fails, may not be written, or something has run
//! out. One table for everybody who waits for it to be over, and for the words that a person reads.
//!
//! | errno | trouble | ends by |
//! |---|---|---|
//! | `ENOSPC` | full | room |
//! | `EDQUOT` | quota | a larger quota, or room within it |
//! | `EFBIG` | too large | a higher limit on the size of files |
//! | `EROFS` | read-only | mounting it for writing again |
//! | `EIO`, `EUCLEAN`, `EBADMSG`, `EREMOTEIO`, `ESTALE`, `ETIMEDOUT`, `ENOTCONN`, `EHOSTDOWN`, `ENOLINK` | failing | another disk, or the network |
//! | `EMFILE`, `ENFILE` | descriptors | a higher limit, or whoever holds them |
//! | `ENOMEM` | memory | memory |
//! | `EINTR`, `EAGAIN` | passing | asking again |
//!
//! It deliberately does not know who asked, nor what was to be written.

use std::io;

use nix::libc;

use super::folder::is_no_folder;

/// What is the matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No block or no inode is left.
    Full,
    /// This user may have no more.
    Quota,
    /// The file would grow beyond what this process may write (`setrlimit(2)`, `RLIMIT_FSIZE`).
    TooLarge,
    /// Mounted read-only, by hand or by the kernel after an error.
    ReadOnly,
    /// The device or the server does not do what it should.
    Failing,
    /// This process or this machine has no file descriptor left.
    Descriptors,
    /// There is no memory left.
    Memory,
    /// A signal cut the call, as it may the opening of a file where a server or a user's process stands behind it
    /// (`open(2)`); or the kernel asks to be asked again, as `openat2(2)` does while a name on the way is changed all the
    /// time, and whoever may have no more processes (`fork(2)`).
    Passing,
}

impl Trouble {
    /// The trouble that `error` tells of; `None` if it says something of the file, not of the machine.
    pub fn of(error: &io::Error) -> Option<Self> {
        Some(match error.raw_os_error()? {
            libc::ENOSPC => Self::Full,
            libc::EDQUOT => Self::Quota,
            libc::EFBIG => Self::TooLarge,
            libc::EROFS => Self::ReadOnly,
            libc::EIO | libc::EUCLEAN | libc::EBADMSG | libc::EREMOTEIO => Self::Failing,
            // A server, or a user's process, that is not there.
            libc::ESTALE | libc::ETIMEDOUT | libc::ENOTCONN | libc::EHOSTDOWN | libc::ENOLINK => {
                Self::Failing
            }
            libc::EMFILE | libc::ENFILE => Self::Descriptors,
            libc::ENOMEM => Self::Memory,
            libc::EINTR | libc::EAGAIN => Self::Passing,
            _ => return None,
        })
    }

    /// Whether it is one that a write may wait for: the next one may succeed, and nothing has to be changed in our own
    /// files. A file that is too large stays so.
    pub const fn is_of_the_disk(self) -> bool {
        !matches!(self, Self::TooLarge)
    }

    /// What a person can do, in words that can be typed. Who waits goes on by itself.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Full => "make room: `df -h` and `df -i` show where; the worker goes on by itself",
            Self::Quota => {
                "raise the quota of the worker's user, or remove files of theirs: `quota -s -u USER` shows it; the \
                 worker goes on by itself"
            }
            Self::TooLarge => {
                "raise the limit on the size of files (LimitFSIZE= in the unit, `prlimit --fsize`), or move the large \
                 file away; the worker goes on by itself"
            }
            Self::ReadOnly => {
                "`dmesg` says whether the kernel did it after an error; once the disk is sound, `mount -o remount,rw` \
                 it; the worker goes on by itself"
            }
            Self::Failing => {
                "look at `dmesg`, and at the disk or the server behind it; the worker goes on by itself"
            }
            Self::Descriptors => {
                "raise the limit on open files (LimitNOFILE= in the unit, `prlimit --nofile`; `fs.file-max` for the \
                 machine); the worker goes on by itself"
            }
            Self::Memory => "free memory, or raise the unit's MemoryMax=; the worker goes on by itself",
            Self::Passing => {
                "it is tried again; if it stays, raise the limit on processes (TasksMax= in the unit, `prlimit --nproc`), \
                 or look at the server behind the disk; the worker goes on by itself"
            }
        }
    }
}

/// Whether the disk failed to answer, as opposed to saying what is there, or a folder on the way is none: nothing is
/// decided on that, and it is asked again later.
pub fn is_no_answer(error: &io::Error) -> bool {
    use Trouble::{Descriptors, Failing, Memory, Passing};
    matches!(Trouble::of(error), Some(Failing | Descriptors | Memory | Passing)) || is_no_folder(error)
}

/// An answer about a name, with "it is not there" as one of the answers.
pub fn if_there<T>(asked: io::Result<T>) -> io::Result<Option<T>> {
    match asked {
        Ok(it) => Ok(Some(it)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the error says that there is nothing of this name. What lies behind a folder that is none is not known.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) && !is_no_folder(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_of_a_machine_in_trouble_is_told_apart_and_has_a_remedy() {
        for (errno, trouble, no_answer) in [
            (libc::ENOSPC, Some(Trouble::Full), false),
            (libc::EDQUOT, Some(Trouble::Quota), false),
            (libc::EFBIG, Some(Trouble::TooLarge), false),
            (libc::EROFS, Some(Trouble::ReadOnly), false),
            (libc::EIO, Some(Trouble::Failing), true),
            (libc::EUCLEAN, Some(Trouble::Failing), true),
            (libc::ESTALE, Some(Trouble::Failing), true),
            (libc::EMFILE, Some(Trouble::Descriptors), true),
            (libc::ENFILE, Some(Trouble::Descriptors), true),
            (libc::ENOMEM, Some(Trouble::Memory), true),
            (libc::EINTR, Some(Trouble::Passing), true),
            (libc::EAGAIN, Some(Trouble::Passing), true),
            (libc::ENOTCONN, Some(Trouble::Failing), true),
            (libc::ENOENT, None, false),
            (libc::EACCES, None, false),
            (libc::EEXIST, None, false),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!((Trouble::of(&error), is_no_answer(&error)), (trouble, no_answer), "{error}");
            assert!(
                trouble.is_none_or(|it| it.remedy().contains("goes on by itself") || it == Trouble::Memory)
            );
        }
    }

    #[test]
    fn only_a_name_that_is_not_there_is_absent() {
        let none = |errno| if_there::<()>(Err(io::Error::from_raw_os_error(errno)));
        assert!(matches!(none(libc::ENOENT), Ok(None)));
        assert!(matches!(none(libc::ENOTDIR), Ok(None)));
        for errno in [libc::EIO, libc::EACCES, libc::EMFILE, libc::ELOOP] {
            assert!(none(errno).is_err(), "{errno}");
        }
    }
}
