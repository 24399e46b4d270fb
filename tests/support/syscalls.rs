//! System calls by number: what each is about, which of them change something, and which may say which error.

#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "each test uses its own part")]
#![allow(clippy::wildcard_enum_match_arm, reason = "there are more errors than anybody would like to list")]

use std::ffi::c_long;

use nix::errno::Errno;
use nix::libc;

/// Where in its arguments a call says what it is about.
#[derive(Clone, Copy)]
pub enum Shape {
    Path,
    TwoPaths,
    At,
    TwoAt,
    Descriptor,
    Nothing,
}

/// A call that was about to be made.
#[derive(Clone)]
pub struct Call {
    pub name: &'static str,
    /// The path or paths that it is about, if any.
    pub what: String,
    pub args: [u64; 6],
    /// Its flags, where they lie in memory.
    pub told: Option<u64>,
    /// Whether the program itself makes it, and not a child that is becoming another one.
    pub is_main: bool,
}

impl Call {
    fn flags(&self) -> u64 {
        match self.name {
            "open" => self.args[1],
            "openat" => self.args[2],
            "clone" => self.args[0],
            _ => self.told.unwrap_or(0),
        }
    }

    fn opens(&self) -> bool {
        matches!(self.name, "open" | "openat" | "openat2" | "creat")
    }

    fn makes_or_cuts(&self) -> bool {
        let flags = (libc::O_CREAT | libc::O_TRUNC).cast_unsigned();
        self.name == "creat" || self.opens() && self.flags() & u64::from(flags) != 0
    }

    /// Whether it makes a file that was not there.
    pub fn makes_anew(&self) -> bool {
        let flags = (libc::O_CREAT | libc::O_EXCL).cast_unsigned();
        self.opens() && self.flags() & u64::from(flags) == u64::from(flags)
    }

    /// Whether it makes a file if there is none.
    pub fn creates(&self) -> bool {
        self.opens() && self.flags() & u64::from(libc::O_CREAT.cast_unsigned()) != 0
    }

    /// On a file, a folder or a named pipe; of a thing without a name it is nobody's business.
    fn is_on_a_file(&self) -> bool {
        self.what.starts_with('/') && !self.what.starts_with("/dev/")
    }

    fn writes(&self) -> bool {
        matches!(
            self.name,
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "sendfile" | "copy_file_range"
        ) && self.is_on_a_file()
    }

    fn reads(&self) -> bool {
        matches!(self.name, "read" | "pread64" | "readv" | "getdents64") && self.is_on_a_file()
    }

    fn syncs(&self) -> bool {
        matches!(self.name, "fsync" | "fdatasync" | "syncfs" | "sync_file_range")
    }

    fn moves(&self) -> bool {
        matches!(self.name, "rename" | "renameat" | "renameat2")
    }

    fn links(&self) -> bool {
        matches!(self.name, "link" | "linkat" | "symlink" | "symlinkat")
    }

    fn unlinks(&self) -> bool {
        matches!(self.name, "unlink" | "unlinkat" | "rmdir")
    }

    fn makes_a_name(&self) -> bool {
        matches!(self.name, "mkdir" | "mkdirat" | "mknod" | "mknodat")
    }

    fn resizes(&self) -> bool {
        matches!(self.name, "truncate" | "ftruncate" | "fallocate")
    }

    fn marks(&self) -> bool {
        matches!(
            self.name,
            "chmod"
                | "fchmod"
                | "fchmodat"
                | "chown"
                | "fchown"
                | "fchownat"
                | "utimensat"
                | "setxattr"
                | "fsetxattr"
        )
    }

    fn locks(&self) -> bool {
        let kinds = [libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK, libc::F_OFD_SETLKW, libc::F_SETLEASE];
        self.name == "flock"
            || self.name == "fcntl" && kinds.iter().any(|it| u64::from(it.cast_unsigned()) == self.args[1])
    }

    /// Of the address 0 a library only asks whether the kernel knows the call, and keeps the answer for good.
    fn looks(&self) -> bool {
        let asks_whether_it_is_known = self.name == "statx" && self.args[1] == 0;
        !asks_whether_it_is_known
            && matches!(
                self.name,
                "stat" | "lstat" | "statx" | "newfstatat" | "fstat" | "statfs" | "fstatfs" | "faccessat"
            )
    }

    /// Whether it makes a thread of the program itself.
    pub fn is_of_a_thread(&self) -> bool {
        matches!(self.name, "clone" | "clone3")
            && self.flags() & u64::from(libc::CLONE_THREAD.cast_unsigned()) != 0
    }

    fn spawns(&self) -> bool {
        matches!(self.name, "clone" | "clone3" | "fork" | "vfork") && !self.is_of_a_thread()
            || self.name == "execve" && !self.is_main
    }

    fn signals(&self) -> bool {
        matches!(self.name, "kill" | "tgkill" | "pidfd_send_signal")
    }

    fn makes_a_descriptor(&self) -> bool {
        self.opens()
            || matches!(
                self.name,
                "socket" | "pipe2" | "epoll_create1" | "eventfd2" | "inotify_init1" | "pidfd_open"
            )
    }

    /// Whether it changes something that outlives the program, or another process.
    pub fn changes(&self) -> bool {
        self.makes_or_cuts()
            || self.writes()
            || self.syncs()
            || self.moves()
            || self.links()
            || self.unlinks()
            || self.makes_a_name()
            || self.resizes()
            || self.marks()
            || self.locks()
            || self.spawns()
            || self.signals()
    }

    /// Whether the kernel, a disk or a file server may answer it so.
    pub fn may_say(&self, errno: Errno) -> bool {
        let on_disk =
            self.opens() || self.reads() || self.writes() || self.syncs() || self.moves() || self.unlinks();
        let grows =
            self.makes_or_cuts() || self.writes() || self.makes_a_name() || self.moves() || self.links();
        match errno {
            Errno::ENOSPC | Errno::EDQUOT => grows || self.syncs() || self.resizes(),
            Errno::EIO => on_disk || self.makes_a_name() || self.looks() || self.resizes() || self.marks(),
            Errno::EROFS => {
                grows && !self.writes() || self.unlinks() || self.marks() || self.name == "truncate"
            }
            Errno::EMFILE => self.makes_a_descriptor(),
            Errno::ENOMEM => {
                self.opens()
                    || self.looks()
                    || self.moves()
                    || self.makes_a_name()
                    || self.spawns() && self.is_main
            }
            Errno::EINTR => {
                self.opens()
                    || self.reads()
                    || self.writes()
                    || self.syncs()
                    || self.name == "flock"
                    || matches!(self.name, "epoll_wait" | "poll" | "wait4" | "waitid" | "recvfrom")
            }
            Errno::EAGAIN => self.is_of_a_thread() || self.spawns() && self.is_main || self.name == "openat2",
            Errno::ENOLCK => self.locks(),
            Errno::ESTALE => on_disk || self.makes_a_name() || self.looks(),
            _ => false,
        }
    }
}

/// The errors that are tried.
pub const ERRORS: [Errno; 10] = [
    Errno::ENOSPC,
    Errno::EDQUOT,
    Errno::EIO,
    Errno::EROFS,
    Errno::EMFILE,
    Errno::ENOMEM,
    Errno::EINTR,
    Errno::EAGAIN,
    Errno::ENOLCK,
    Errno::ESTALE,
];

/// The calls that are looked at.
pub fn shape(number: c_long) -> Option<(&'static str, Shape)> {
    CALLS.iter().find(|(it, ..)| *it == number).map(|(_, name, shape)| (*name, *shape))
}

macro_rules! calls {
    ($($number:ident $name:literal $shape:ident),* $(,)?) => {
        &[$((libc::$number, $name, Shape::$shape)),*]
    };
}

const CALLS: &[(c_long, &str, Shape)] = calls![
    SYS_open "open" Path, SYS_openat "openat" At, SYS_openat2 "openat2" At, SYS_creat "creat" Path,
    SYS_read "read" Descriptor, SYS_pread64 "pread64" Descriptor, SYS_readv "readv" Descriptor,
    SYS_getdents64 "getdents64" Descriptor,
    SYS_write "write" Descriptor, SYS_pwrite64 "pwrite64" Descriptor, SYS_writev "writev" Descriptor,
    SYS_pwritev "pwritev" Descriptor, SYS_pwritev2 "pwritev2" Descriptor, SYS_sendfile "sendfile" Descriptor,
    SYS_copy_file_range "copy_file_range" Descriptor,
    SYS_fsync "fsync" Descriptor, SYS_fdatasync "fdatasync" Descriptor, SYS_syncfs "syncfs" Descriptor,
    SYS_sync_file_range "sync_file_range" Descriptor,
    SYS_rename "rename" TwoPaths, SYS_renameat "renameat" TwoAt, SYS_renameat2 "renameat2" TwoAt,
    SYS_link "link" TwoPaths, SYS_linkat "linkat" TwoAt, SYS_symlink "symlink" TwoPaths,
    SYS_symlinkat "symlinkat" Nothing,
    SYS_unlink "unlink" Path, SYS_unlinkat "unlinkat" At, SYS_rmdir "rmdir" Path,
    SYS_mkdir "mkdir" Path, SYS_mkdirat "mkdirat" At, SYS_mknod "mknod" Path, SYS_mknodat "mknodat" At,
    SYS_truncate "truncate" Path, SYS_ftruncate "ftruncate" Descriptor, SYS_fallocate "fallocate" Descriptor,
    SYS_chmod "chmod" Path, SYS_fchmod "fchmod" Descriptor, SYS_fchmodat "fchmodat" At,
    SYS_chown "chown" Path, SYS_fchown "fchown" Descriptor, SYS_fchownat "fchownat" At,
    SYS_utimensat "utimensat" At, SYS_setxattr "setxattr" Path, SYS_fsetxattr "fsetxattr" Descriptor,
    SYS_flock "flock" Descriptor, SYS_fcntl "fcntl" Descriptor,
    SYS_stat "stat" Path, SYS_lstat "lstat" Path, SYS_statx "statx" At, SYS_newfstatat "newfstatat" At,
    SYS_fstat "fstat" Descriptor, SYS_statfs "statfs" Path, SYS_fstatfs "fstatfs" Descriptor,
    SYS_faccessat "faccessat" At,
    SYS_clone "clone" Nothing, SYS_clone3 "clone3" Nothing, SYS_fork "fork" Nothing, SYS_vfork "vfork" Nothing,
    SYS_execve "execve" Path,
    SYS_kill "kill" Nothing, SYS_tgkill "tgkill" Nothing, SYS_pidfd_send_signal "pidfd_send_signal" Nothing,
    SYS_socket "socket" Nothing, SYS_pipe2 "pipe2" Nothing, SYS_epoll_create1 "epoll_create1" Nothing,
    SYS_eventfd2 "eventfd2" Nothing, SYS_inotify_init1 "inotify_init1" Nothing, SYS_pidfd_open "pidfd_open" Nothing,
    SYS_epoll_wait "epoll_wait" Nothing, SYS_poll "poll" Nothing, SYS_wait4 "wait4" Nothing,
    SYS_waitid "waitid" Nothing, SYS_recvfrom "recvfrom" Nothing,
];
