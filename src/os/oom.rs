//! What the kernel says about processes that it ended for want of memory.
//!
//! Three witnesses: its log (`/dev/kmsg`, `dev-kmsg` in the kernel's ABI documentation), which names the pid as the
//! first PID namespace counts it; the counter `oom_kill` of the memory cgroup (`cgroups(7)`: `memory.events` in
//! version 2, `memory.oom_control` in version 1), which only says that somebody in it was ended, and goes with a
//! container; and the one of `/proc/vmstat`, which says so of the whole machine, is seen from every container and
//! outlives them. Each may be out of reach; then there is no answer, which is another thing than no.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::cgroup;
use super::process::identity::{ProcessId, pid_ns};
use crate::clock::{Clock, SystemClock};

/// The inode of the first PID namespace (`PROC_PID_INIT_INO` of the kernel): in others, its log's pids mean others.
const FIRST_PID_NS: u64 = 0xEFFF_FFFC;
/// The longest record of the log, in bytes; a shorter buffer is refused with `EINVAL`.
const RECORD_MAX: usize = 8192;
/// More records than a log of some megabytes holds: a reader that never catches up ends.
const RECORDS: usize = 200_000;

/// A part of the uptime by which the log's clock, which nobody corrects, may have fallen behind: twice the 500 ppm that
/// `adjtimex(2)` allows.
const DRIFT: u32 = 1000;
/// What its stamps and the start of a process, in ticks of a hundredth of a second, are rounded by, and more.
const ROUNDED: Duration = Duration::from_secs(1);

/// The line of the kernel's log that says that it ended `process`; `None` if there is none. The error says why that
/// cannot be known.
pub fn logged(process: &ProcessId) -> io::Result<Option<String>> {
    is_numbered_alike(process.pid_ns)?;
    let Some(began) = process.began() else { return Ok(None) };
    Ok(find(&kernel_log()?, process.pid, began.0, behind()))
}

/// Everybody of our boot whom the kernel's log says it ended, and when, of each pid the last one.
#[derive(Debug, Default)]
pub struct Killed {
    stamps: HashMap<i32, Duration>,
    behind: Duration,
}

impl Killed {
    /// Who stands in the log now. The error says why that cannot be known.
    pub fn read() -> io::Result<Self> {
        is_numbered_alike(pid_ns())?;
        let log = kernel_log()?;
        let stamps = log.lines().filter_map(|line| Some((killed(line)?, stamp(line))));
        Ok(Self { stamps: stamps.collect(), behind: behind() })
    }

    /// Whether `process` is among them, and not only an earlier one of its number.
    pub fn has(&self, process: &ProcessId) -> bool {
        let Some(began) = process.began().filter(|_| process.pid_ns == pid_ns()) else { return false };
        self.stamps.get(&process.pid).is_some_and(|stamp| is_since(*stamp, began.0, self.behind))
    }
}

fn is_numbered_alike(of: u64) -> io::Result<()> {
    if of == FIRST_PID_NS {
        return Ok(());
    }
    Err(io::Error::other("the kernel's log numbers processes otherwise than this container"))
}

/// How far the log's clock may be behind the boot clock now: it stands still while the machine sleeps.
fn behind() -> Duration {
    let boot = SystemClock.ticks().0;
    let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    boot.saturating_sub(monotonic) + boot / DRIFT + ROUNDED
}

/// Whether what the log stamped was after `began` on the boot clock. Numbers of processes are used again, and the log is
/// long.
fn is_since(stamp: Duration, began: Duration, behind: Duration) -> bool {
    stamp.saturating_add(behind) >= began
}

/// When a record (`6,1234,5678901,-;text`) was written, in microseconds since the boot; the end of time if it does not say.
fn stamp(line: &str) -> Duration {
    let micros = line.split_once(';').and_then(|(head, _)| head.split(',').nth(2)?.parse().ok());
    micros.map_or(Duration::MAX, Duration::from_micros)
}

/// The last line in `log` that says so of the process that `began` then.
fn find(log: &str, pid: i32, began: Duration, behind: Duration) -> Option<String> {
    let is_it = |line: &&str| killed(line) == Some(pid) && is_since(stamp(line), began, behind);
    log.lines().rev().find(is_it).map(|line| message(line).to_owned())
}

/// Whom a line of the log says to be ended for want of memory: `Out of memory: Killed process 77 (watcher) …`,
/// `Memory cgroup out of memory: Killed process 77 (watcher) …`, older kernels `Kill process`.
fn killed(line: &str) -> Option<i32> {
    let (before, rest) = line.split_once("Killed process ").or_else(|| line.split_once("Kill process "))?;
    if !before.to_ascii_lowercase().contains("out of memory") {
        return None;
    }
    rest.split([' ', '(', ',']).next()?.parse().ok()
}

/// The text of a record (`6,1234,5678901,-;text`) or of a line of dmesg (`[  5.678901] text`).
fn message(line: &str) -> &str {
    let text = line.split_once(';').map_or(line, |(_, text)| text);
    text.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(text, |(_, text)| text)
}

fn kernel_log() -> io::Result<String> {
    // Without this, the read after the last record waits for the next one.
    let mut file = fs::File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open("/dev/kmsg")?;
    let (mut log, mut record) = (String::new(), vec![0; RECORD_MAX]);
    for _ in 0..RECORDS {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(n) => {
                // One record a read; lines that follow its first one are its properties.
                log.push_str(&String::from_utf8_lossy(&record[..n]));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // Records were overwritten while we read: the next read goes on with the oldest that is left.
            Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(log)
}

/// The counter of the memory cgroup in which process `pid` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The file.
    pub path: PathBuf,
    /// How many had been ended when it was read.
    pub kills: u64,
}

impl Counter {
    /// Where process `pid` counts, and how many there were; `None` if that cannot be read.
    pub fn of(pid: i32) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        files(&groups, Path::new(cgroup::MOUNT)).into_iter().find_map(|path| {
            let kills = count(&fs::read_to_string(&path).ok()?)?;
            Some(Self { path, kills })
        })
    }

    /// How many there were since.
    pub fn risen(&self) -> Option<u64> {
        Some(count(&fs::read_to_string(&self.path).ok()?)?.saturating_sub(self.kills))
    }
}

/// How much is in use of the tightest limit of the control groups that we are in, in percent, without what can simply be
/// dropped; `None` without a limit.
pub fn share_in_use() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    cgroup::levels(&groups, Path::new(cgroup::MOUNT)).iter().filter_map(cgroup::Level::percent).max()
}

/// How many the kernel has ended on this machine since it booted, containers of all kinds included
/// (`/proc/vmstat`, since Linux 4.13).
pub fn on_this_machine() -> Option<u64> {
    count(&fs::read_to_string("/proc/vmstat").ok()?)
}

/// Whether this process cannot read the kernel's log about itself: its pids are those of a container.
pub fn is_contained() -> bool {
    pid_ns() != FIRST_PID_NS
}

/// The files that may count for a process with this `/proc/<pid>/cgroup` (`cgroups(7)`), the likeliest first.
fn files(groups: &str, mount: &Path) -> Vec<PathBuf> {
    let below = |base: PathBuf, group: &str, file: &str| base.join(group.trim_start_matches('/')).join(file);
    groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
            Some(match controllers {
                "" => vec![below(mount.to_owned(), group, "memory.events")],
                list if list.split(',').any(|it| it == "memory") => vec![
                    below(mount.join("memory"), group, "memory.oom_control"),
                    // In a container its own group is mounted as the root.
                    mount.join("memory/memory.oom_control"),
                ],
                _ => Vec::new(),
            })
        })
        .flatten()
        .collect()
}

/// The line `oom_kill N` of `memory.events` and of `memory.oom_control`.
pub(super) fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As kernels 6.18, 6.1 and 4.4 wrote them.
    const MEMCG: &str = "3,4711,11926100304,-;Memory cgroup out of memory: Killed process 12134 (python3) total-vm:323768kB, anon-rss:32356kB, file-rss:6616kB, shmem-rss:0kB, UID:0 pgtables:120kB oom_score_adj:0";
    const GLOBAL: &str =
        "[11926.100304] Out of memory: Killed process 77 (watcher) total-vm:1kB, anon-rss:1kB";
    const OLD: &str = "[  512.7] Out of memory: Kill process 78 (watcher) score 911 or sacrifice child";

    const BEGAN: Duration = Duration::ZERO;
    const NOTHING: Duration = Duration::ZERO;

    #[test]
    fn the_kernel_names_whom_it_ended() {
        for (line, pid) in [
            (MEMCG, Some(12134)),
            (GLOBAL, Some(77)),
            (OLD, Some(78)),
            ("6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,task=python3,pid=12134,uid=0", None),
            ("6,1,2,-;oom_reaper: reaped process 77 (watcher), now anon-rss:0kB", None),
            ("6,1,2,-;evil: Killed process 77 (watcher)", None),
            ("6,1,2,-;Out of memory: Killed process x (watcher)", None),
            ("", None),
        ] {
            assert_eq!(killed(line), pid, "{line}");
        }
    }

    #[test]
    fn the_line_of_that_pid_is_found_and_said_without_its_number() {
        let log = format!("{MEMCG}\n SUBSYSTEM=x\n{GLOBAL}\n{OLD}\n");
        assert_eq!(
            find(&log, 77, BEGAN, NOTHING).as_deref(),
            Some("Out of memory: Killed process 77 (watcher) total-vm:1kB, anon-rss:1kB")
        );
        assert!(
            find(&log, 12134, BEGAN, NOTHING)
                .unwrap()
                .starts_with("Memory cgroup out of memory: Killed process 12134")
        );
        assert_eq!(find(&log, 7, BEGAN, NOTHING), None);
        let other = ProcessId { pid_ns: 1, ..ProcessId::current() };
        assert!(logged(&other).is_err(), "another namespace numbers otherwise");
    }

    #[test]
    fn whoever_bore_the_number_before_was_another() {
        let stamped = Duration::from_micros(11_926_100_304);
        assert_eq!((stamp(MEMCG), stamp(GLOBAL)), (stamped, Duration::MAX));
        let says = |began, behind| find(MEMCG, 12134, began, behind).is_some();
        let (later, slept) = (stamped + Duration::from_mins(1), Duration::from_mins(1));
        assert!(says(stamped, NOTHING));
        assert!(!says(later, NOTHING), "the line is older than the process");
        assert!(says(later, slept), "the log's clock stood still while the machine slept");
        let mut own = ProcessId::current();
        let of =
            |own: &ProcessId, stamp| Killed { stamps: [(own.pid, stamp)].into(), behind: NOTHING }.has(own);
        assert!(of(&own, Duration::MAX) && !of(&own, Duration::ZERO));
        own.boot_id = "of another boot".to_owned();
        assert!(!of(&own, Duration::MAX), "its number means nothing in this log");
    }

    #[test]
    fn both_versions_of_cgroups_count() {
        assert_eq!(count("low 0\nhigh 0\nmax 4\noom 2\noom_kill 3\noom_group_kill 0\n"), Some(3));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), Some(1));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None, "before Linux 4.13");
    }

    #[test]
    fn the_counter_stands_where_the_process_is() {
        let mount = Path::new("/m");
        let v1 = "9:name=systemd:/\n4:memory:/jobs/a\n0::/\n";
        assert_eq!(
            files(v1, mount),
            ["/m/memory/jobs/a/memory.oom_control", "/m/memory/memory.oom_control", "/m/memory.events"]
                .map(PathBuf::from)
        );
        assert_eq!(
            files("0::/system.slice/agent-worker-marie.service\n", mount),
            [PathBuf::from("/m/system.slice/agent-worker-marie.service/memory.events")]
        );
    }
}
