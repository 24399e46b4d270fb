//! The control group of one run: everything that the run started is in it, whatever became of its environment, its session
//! and its parents.
//!
//! Invariants:
//! - nothing is taken for a group that is not on the kernel's own file system for them, and nobody but whoever knows its
//!   name asks for it;
//! - this process is never counted among its members, and never ended with them;
//! - a group that somebody is in stays: the kernel removes empty ones only.
//!
//! Version 2 ends and bounds a group as one; of version 1 a hierarchy with memory does the same in several steps. What a
//! kernel does not offer is left out: then there is no number, and the caller goes by the processes.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

use crate::os::process::ProcessId;
use crate::os::process::identity::Stat;
use crate::os::{knob, lock, oom};

/// A run that grows by so much of its limit between two looks is faster than anybody answers: there the kernel ends it.
const SLACK: u64 = 4;
/// How often, and how long apart, it is tried to remove a group whose last process has just gone.
const TRIES: u32 = 40;
const TRY: Duration = Duration::from_millis(5);
/// Groups within groups, at most: whoever makes more is up to something.
const DEPTH: u32 = 8;

/// Which of the kernel's two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller.
    One,
    /// One for all.
    Two,
}

impl Version {
    /// That of the file system at `path`; `None` if it is not one of control groups.
    pub fn of(path: &Path) -> Option<Self> {
        let kind = statfs(path).ok()?.filesystem_type();
        if kind == CGROUP2_SUPER_MAGIC {
            Some(Self::Two)
        } else {
            (kind == CGROUP_SUPER_MAGIC).then_some(Self::One)
        }
    }
}

/// How often the OOM killer struck in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Struck {
    /// How many processes of it were ended.
    pub kills: u64,
    /// Whether the group's own limit was reached, and not that of somebody around it or the machine.
    pub by_own_limit: bool,
}

/// A control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    path: PathBuf,
    version: Version,
}

impl Group {
    /// The one at `path`, if there is one.
    pub fn at(path: &Path) -> Option<Self> {
        let is_plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        let version = Version::of(path).filter(|_| is_plain)?;
        path.join("cgroup.procs").is_file().then(|| Self { path: path.to_owned(), version })
    }

    /// A new one at `path`; what an earlier run left there must be empty, and goes, so that all counts begin at 0.
    pub fn make(path: &Path) -> io::Result<Self> {
        if let Some(left) = Self::at(path) {
            left.remove()?;
        }
        fs::create_dir(path)?;
        Self::at(path).ok_or_else(|| io::Error::other("what was made is no control group"))
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file through which a process gets in.
    pub fn door(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Who is in it and lives; of another PID namespace nobody is.
    pub fn members(&self) -> Vec<ProcessId> {
        let mut pids = Vec::new();
        pids_below(&self.path, DEPTH, &mut pids);
        let own = std::process::id().cast_signed();
        let lives = |pid: &i32| Stat::read(*pid).is_some_and(|stat| !stat.is_dead());
        pids.into_iter()
            .filter(|pid| *pid > 0 && *pid != own)
            .filter(lives)
            .filter_map(ProcessId::of)
            .collect()
    }

    /// Kills all of it as one, so that what forks fast is not missed. Only version 2 can.
    pub fn kill(&self) {
        let mut pids = Vec::new();
        pids_below(&self.path, DEPTH, &mut pids);
        // Somebody whom we cannot see, or we ourselves, may have been put into it.
        let is_safe = pids.iter().all(|pid| *pid > 0 && *pid != std::process::id().cast_signed());
        if self.version == Version::Two
            && is_safe
            && let Err(error) = knob::set(&self.path.join("cgroup.kill"), "1")
        {
            tracing::debug!(group = %self.path.display(), error = %error, "it cannot be killed as one");
        }
    }

    /// Bounds its memory: a quarter above `limit` the kernel ends it. It is not swapped out before that.
    pub fn bound(&self, limit: Option<u64>) -> io::Result<()> {
        let set = |name: &str, value: &str| knob::set(&self.path.join(name), value);
        let most = limit.map(|limit| limit.saturating_add(limit / SLACK).to_string());
        match self.version {
            Version::Two => {
                let swap = if most.is_some() { "0" } else { "max" };
                // Not every kernel counts swap. Whom else's limit takes is not taken with all the rest (`memory.oom.group`):
                // a tool that is gone costs an answer less than a run.
                set("memory.swap.max", swap).ok();
                set("memory.max", most.as_deref().unwrap_or("max"))
            }
            Version::One => {
                // No limit on memory and swap together: it would be in the way first, and then nobody counts that.
                if most.is_some() {
                    set("memory.swappiness", "0").ok();
                }
                set("memory.limit_in_bytes", most.as_deref().unwrap_or("-1"))
            }
        }
    }

    /// What would be free if it were gone, in bytes: files that can be read again do not count. `None` where the kernel does
    /// not count it.
    pub fn used(&self) -> Option<u64> {
        let stat = fs::read_to_string(self.path.join("memory.stat")).ok()?;
        match self.version {
            Version::Two => {
                let swapped = number(&self.path.join("memory.swap.current")).unwrap_or(0);
                Some(named(&stat, "anon")? + named(&stat, "shmem").unwrap_or(0) + swapped)
            }
            Version::One => {
                let swapped = named(&stat, "total_swap").unwrap_or(0);
                Some(named(&stat, "total_rss")? + named(&stat, "total_shmem").unwrap_or(0) + swapped)
            }
        }
    }

    /// The most that it ever held, in bytes, files that it read included.
    pub fn peak(&self) -> Option<u64> {
        let name = match self.version {
            Version::Two => "memory.peak",
            Version::One => "memory.max_usage_in_bytes",
        };
        number(&self.path.join(name))
    }

    /// Whether the OOM killer struck in it since it was made.
    pub fn struck(&self) -> Struck {
        let text = |name: &str| fs::read_to_string(self.path.join(name)).unwrap_or_default();
        match self.version {
            Version::Two => {
                let events = text("memory.events");
                let own = named(&events, "oom").unwrap_or(0) > 0;
                Struck { kills: oom::count(&events).unwrap_or(0), by_own_limit: own }
            }
            Version::One => {
                // It only counts how often the limit was in the way; who was killed then was killed for that.
                let own = number(&self.path.join("memory.failcnt")).is_some_and(|it| it > 0);
                let kills = oom::count(&text("memory.oom_control")).unwrap_or(0);
                Struck { kills, by_own_limit: own }
            }
        }
    }

    /// Removes it with the groups that were made in it. Whose last process ended just now may need a moment.
    pub fn remove(&self) -> io::Result<()> {
        let mut tries = 0;
        loop {
            match remove_below(&self.path, DEPTH) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < TRIES => {
                    if !self.members().is_empty() {
                        return Err(error);
                    }
                    tries += 1;
                    lock::pause(TRY);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                done => return done,
            }
        }
    }
}

fn pids_below(dir: &Path, depth: u32, pids: &mut Vec<i32>) {
    let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(procs.lines().filter_map(|line| line.trim().parse::<i32>().ok()));
    if depth > 0 {
        folders(dir).for_each(|folder| pids_below(&folder, depth - 1, pids));
    }
}

fn remove_below(dir: &Path, depth: u32) -> io::Result<()> {
    if depth > 0 {
        folders(dir).try_for_each(|folder| remove_below(&folder, depth - 1))?;
    }
    fs::remove_dir(dir)
}

/// The groups in a group.
pub(super) fn folders(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir())).map(|entry| entry.path())
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The line `name N`.
fn named(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel wrote, in a folder of our own: nothing there is a door.
    fn written(version: Version, files: &[(&str, &str)]) -> (tempfile::TempDir, Group) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            io::Write::write_all(&mut fs::File::create(dir.path().join(name)).unwrap(), text.as_bytes())
                .unwrap();
        }
        let group = Group { path: dir.path().to_owned(), version };
        (dir, group)
    }

    #[test]
    fn what_is_no_control_group_is_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::File::create(dir.path().join("cgroup.procs")).unwrap();
        assert_eq!(Group::at(dir.path()), None, "a folder that looks like one");
        assert_eq!(Group::at(Path::new("/sys/fs/cgroup/../cgroup")), None);
        assert!(Group::make(&dir.path().join("run-x")).is_err());
    }

    #[test]
    fn who_struck_is_told_by_whose_limit_was_reached() {
        let events = |oom: u32, kills: u32| format!("low 0\nhigh 0\nmax 7\noom {oom}\noom_kill {kills}\n");
        for (oom, kills, expected) in [(0, 0, (0, false)), (1, 2, (2, true)), (0, 1, (1, false))] {
            let (_dir, group) = written(Version::Two, &[("memory.events", &events(oom, kills))]);
            let seen = group.struck();
            assert_eq!((seen.kills, seen.by_own_limit), expected, "oom {oom} oom_kill {kills}");
        }
        for (failed, kills, expected) in [("0", 0, (0, false)), ("12", 1, (1, true)), ("0", 1, (1, false))] {
            let control = format!("oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n");
            let files = [("memory.failcnt", failed), ("memory.oom_control", control.as_str())];
            let (_dir, group) = written(Version::One, &files);
            let seen = group.struck();
            assert_eq!((seen.kills, seen.by_own_limit), expected, "failcnt {failed} oom_kill {kills}");
        }
        let (_dir, group) = written(Version::Two, &[]);
        assert_eq!(group.struck(), Struck::default(), "a kernel that does not count");
    }

    #[test]
    fn what_can_be_read_again_weighs_nothing() {
        let stat = "anon 100\nfile 5000\nkernel 7\nshmem 30\ninactive_file 4000\n";
        let files = [("memory.stat", stat), ("memory.swap.current", "4\n"), ("memory.peak", "9000\n")];
        let (_dir, group) = written(Version::Two, &files);
        assert_eq!((group.used(), group.peak()), (Some(134), Some(9000)));
        let stat =
            "cache 5000\nrss 1\nshmem 1\ntotal_cache 5000\ntotal_rss 100\ntotal_shmem 30\ntotal_swap 4\n";
        let files = [("memory.stat", stat), ("memory.max_usage_in_bytes", "9000\n")];
        let (_dir, group) = written(Version::One, &files);
        assert_eq!((group.used(), group.peak()), (Some(134), Some(9000)));
        assert_eq!(written(Version::Two, &[]).1.used(), None);
    }

    #[test]
    fn the_kernel_s_limit_lies_a_quarter_above_ours() {
        let (dir, group) = written(Version::Two, &[("memory.max", "max"), ("memory.swap.max", "max")]);
        let max = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        group.bound(Some(100 << 20)).unwrap();
        assert_eq!(max("memory.max"), (125_u64 << 20).to_string());
        assert!(max("memory.swap.max").starts_with('0'));
        let (_dir, group) = written(Version::Two, &[]);
        assert!(group.bound(Some(1)).is_err(), "without the controller there is nothing to set");
    }
}
