//! Who a process is, beyond a number that is used again.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::clock::Ticks;

/// A process as it can be told from a later one with the same pid.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat` (`proc_pid_stat(5)`): clock ticks after boot.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The inode of the PID namespace.
    pub pid_ns: u64,
}

impl ProcessId {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id().cast_signed();
        Self::of(pid).unwrap_or(Self { pid, start_ticks: 0, boot_id: boot_id(), pid_ns: pid_ns() })
    }

    /// The process that has `pid` right now.
    pub fn of(pid: i32) -> Option<Self> {
        Self::ask(pid).ok().flatten()
    }

    /// The same; an error is a `/proc` that gave no answer.
    pub fn ask(pid: i32) -> io::Result<Option<Self>> {
        let known =
            |stat: Stat| Self { pid, start_ticks: stat.start_ticks, boot_id: boot_id(), pid_ns: pid_ns() };
        Ok(Stat::ask(pid)?.map(known))
    }

    /// Whether it lives; `None` where that cannot be judged: it belongs to another PID namespace, or `/proc` gives no
    /// answer now. Who would start something in its place takes that for alive.
    pub fn is_alive(&self) -> Option<bool> {
        self.judge(Stat::ask)
    }

    fn judge(&self, ask: impl FnOnce(i32) -> io::Result<Option<Stat>>) -> Option<bool> {
        if self.boot_id != boot_id() {
            return Some(false).filter(|_| !boot_id().is_empty());
        }
        if self.pid_ns != pid_ns() {
            return None;
        }
        ask(self.pid).ok().map(|stat| self.is_that_of(stat))
    }

    fn is_that_of(&self, stat: Option<Stat>) -> bool {
        stat.is_some_and(|stat| stat.start_ticks == self.start_ticks && !stat.is_dead())
    }

    /// Whether its pid means anything here: another boot, or another PID namespace, numbers anew.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot_id == boot_id() && self.pid_ns == pid_ns()
    }

    /// When it began, on the boot clock; `None` for one of another boot.
    pub fn began(&self) -> Option<Ticks> {
        if self.boot_id != boot_id() {
            return None;
        }
        let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok().filter(|it| *it > 0)?;
        let (seconds, rest) = (self.start_ticks / per_second, self.start_ticks % per_second);
        Some(Ticks(
            Duration::from_secs(seconds) + Duration::from_secs(rest) / u32::try_from(per_second).ok()?,
        ))
    }

    /// A handle that means this process and no later one; `ESRCH` if it is gone or nobody here can have one, and any
    /// other error where it could not be had now.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let gone = || io::Error::from_raw_os_error(nix::libc::ESRCH);
        if !self.is_of_this_boot() {
            return Err(gone());
        }
        let pid = Pid::from_raw(self.pid).ok_or_else(gone)?;
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        // Only now does the number belong to the handle: compare what it means.
        if self.is_that_of(Stat::ask(self.pid)?) { Ok(handle) } else { Err(gone()) }
    }
}

/// Sends `signal` to exactly this process; `ESRCH` if it is gone.
pub fn signal(process: &ProcessId, signal: Signal) -> io::Result<()> {
    let handle = process.open()?;
    pidfd_send_signal(handle, signal).map_err(io::Error::from)
}

/// The fields of `/proc/<pid>/stat` that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The pid.
    pub pid: i32,
    /// Field 3: `R`, `S`, `D`, `T`, `Z` …
    pub state: char,
    /// Field 4.
    pub parent: i32,
    /// Field 6.
    pub session: i32,
    /// Field 20: how many of its threads are left.
    pub threads: u32,
    /// Field 22.
    pub start_ticks: u64,
}

impl Stat {
    /// Reads it; `None` if there is no such process, or nobody can tell now.
    pub fn read(pid: i32) -> Option<Self> {
        Self::ask(pid).ok().flatten()
    }

    /// The same, for those to whom it matters: `None` means that there is no such process, and an error that `/proc`
    /// gave no answer.
    pub fn ask(pid: i32) -> io::Result<Option<Self>> {
        Self::heard(pid, contents(&format!("/proc/{pid}/stat")))
    }

    fn heard(pid: i32, answer: io::Result<Vec<u8>>) -> io::Result<Option<Self>> {
        match answer {
            Ok(bytes) => Self::parse(pid, &String::from_utf8_lossy(&bytes))
                .map(Some)
                .ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(pid: i32, text: &str) -> Option<Self> {
        // The name in parentheses may hold anything, also parentheses: start after the last one.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        let threads = fields.nth(13)?.parse().ok()?;
        let start_ticks = fields.nth(1)?.parse().ok()?;
        Some(Self { pid, state, parent, session, threads, start_ticks })
    }

    /// Whether it has ended and only waits to be reaped. The state is that of its first thread alone: while there are
    /// others it may be at work, and holds its files and their locks.
    pub const fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// Whether the error says that there is no such process: before its file is opened, or after (`proc(5)`).
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::ESRCH))
}

/// A file of `/proc`, which has no size: asking for one and feeling the way, as `std::fs::read` does, costs three
/// calls more a file, and a sweep after each run reads two files of every process.
pub(super) fn contents(path: &str) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(bytes),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

/// The id of this boot.
pub fn boot_id() -> String {
    // Read once: a read that fails for want of a descriptor must not make a living process one of another boot.
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|it| it.trim().to_owned());
    kept(&BOOT, read).unwrap_or_default()
}

/// The inode of our PID namespace.
pub fn pid_ns() -> u64 {
    static NAMESPACE: OnceLock<u64> = OnceLock::new();
    kept(&NAMESPACE, || std::fs::metadata("/proc/self/ns/pid").map(|meta| meta.ino())).unwrap_or_default()
}

/// What never changes: the first answer is kept, and a refusal is not.
fn kept<T: Clone>(answer: &OnceLock<T>, ask: impl FnOnce() -> io::Result<T>) -> Option<T> {
    answer.get().cloned().or_else(|| ask().ok().map(|it| answer.get_or_init(|| it).clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse_the_fields() {
        let line = "7 (a) b (c) S 1 7 5 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let stat = Stat::parse(7, line).unwrap();
        assert_eq!(stat, Stat { pid: 7, state: 'S', parent: 1, session: 5, threads: 1, start_ticks: 4242 });
    }

    #[test]
    fn we_live_and_our_double_with_another_start_does_not() {
        let me = ProcessId::current();
        assert_eq!(me.is_alive(), Some(true));
        let reused = ProcessId { start_ticks: me.start_ticks + 1, ..me.clone() };
        assert_eq!(reused.is_alive(), Some(false));
        assert!(reused.open().is_err(), "a reused pid is never signalled");
        let elsewhere = ProcessId { pid_ns: me.pid_ns + 1, ..me.clone() };
        assert_eq!(elsewhere.is_alive(), None, "another namespace cannot be judged");
        assert_eq!(ProcessId { boot_id: "other".to_owned(), ..me }.is_alive(), Some(false));
    }

    #[test]
    fn a_refused_look_is_no_death() {
        use nix::libc::{EACCES, EINTR, EIO, EMFILE, ENFILE, ENOMEM};
        let me = ProcessId::current();
        let heard = |errno| me.judge(|pid| Stat::heard(pid, Err(io::Error::from_raw_os_error(errno))));
        for errno in [nix::libc::ENOENT, nix::libc::ESRCH] {
            assert_eq!(heard(errno), Some(false), "{errno}");
        }
        for errno in [EMFILE, ENFILE, ENOMEM, EINTR, EIO, EACCES] {
            assert_eq!(heard(errno), None, "{errno}");
        }
        assert_eq!(me.judge(|pid| Stat::heard(pid, Ok(Vec::new()))), None, "half an answer is none");
    }

    #[test]
    fn an_answer_is_kept_and_a_refusal_is_asked_again() {
        let answer = OnceLock::new();
        assert_eq!(kept(&answer, || Err(io::ErrorKind::Interrupted.into())), None);
        assert_eq!(kept(&answer, || Ok(7)), Some(7));
        assert_eq!(kept(&answer, || Ok(8)), Some(7));
    }
}
