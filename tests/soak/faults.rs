//! What is broken, one thing at a time: most are over at once, some last a while.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{Pid as ToldPid, PidfdFlags, Signal as ToldSignal, pidfd_open, pidfd_send_signal};

use crate::world::{Started, World};
use crate::{Soak, WORKERS};

/// Something that is broken until this goes.
enum Lasting {
    Full(PathBuf),
    Shut(PathBuf, u32),
    /// A descriptor of the process: no other will ever be meant.
    Stopped(OwnedFd),
}

impl Drop for Lasting {
    fn drop(&mut self) {
        match self {
            Self::Full(filler) => drop(fs::remove_file(filler)),
            Self::Shut(folder, mode) => {
                fs::set_permissions(folder, fs::Permissions::from_mode(*mode)).unwrap();
            }
            Self::Stopped(process) => pidfd_send_signal(process, ToldSignal::CONT).unwrap_or_default(),
        }
    }
}

pub(crate) struct Faults {
    every_ms: u64,
    next: Instant,
    lasting: Option<(Lasting, Instant)>,
    counts: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(crate) fn new(every_ms: u64) -> Self {
        Self { every_ms, next: Instant::now(), lasting: None, counts: BTreeMap::new() }
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(crate) fn told(&self) -> String {
        format!("{:?}", self.counts)
    }

    /// Ends what lasts.
    pub(crate) fn end(&mut self, _: &Soak) {
        self.lasting = None;
    }

    /// Breaks the next thing, if it is time; the supervisor only where that is allowed.
    pub(crate) fn next(&mut self, soak: &mut Soak, may_kill_supervisor: bool) {
        let now = Instant::now();
        if self.lasting.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.lasting = None;
        }
        if now < self.next || self.lasting.is_some() {
            return;
        }
        self.next = now + Duration::from_millis(self.every_ms + soak.dice.below(self.every_ms));
        // Marie's watcher is measured: whatever else happens to it, it is not killed.
        let other = WORKERS[1 + usize::try_from(soak.dice.below(2)).unwrap()];
        let any = WORKERS[usize::try_from(soak.dice.below(3)).unwrap()];
        let lasts = now + Duration::from_millis(self.every_ms / 2 + soak.dice.below(self.every_ms));
        let name = match soak.dice.below(12) {
            0..3 => signal(&soak.world, soak.pid(other), Signal::SIGKILL).then_some("watchers killed"),
            3..6 => kill_agent(soak).then_some("agents killed"),
            6 if may_kill_supervisor => {
                soak.supervisor.take().map(Started::murder);
                soak.supervise();
                Some("supervisors killed")
            }
            7 => soak.disk.as_ref().map(|disk| fill(disk.at())).map(|full| {
                self.lasting = Some((full, lasts));
                "disks full"
            }),
            8 | 9 => Some(self.shut(soak, any, lasts)),
            10 => {
                let pid = soak.pid(any);
                stop(&soak.world, pid).map(|stopped| {
                    self.lasting = Some((stopped, lasts));
                    "watchers stopped"
                })
            }
            _ => {
                let pid = soak.pid(any);
                signal(&soak.world, pid, Signal::SIGHUP).then_some("settings read again")
            }
        };
        if let Some(name) = name {
            *self.counts.entry(name).or_default() += 1;
        }
    }

    /// A folder that cannot be opened; root opens them all, so that the workers are run by somebody else.
    fn shut(&mut self, soak: &mut Soak, worker: &str, lasts: Instant) -> &'static str {
        let place = ["pending", "active", "completed"][usize::try_from(soak.dice.below(3)).unwrap()];
        let folder = soak.world.root().join(format!("tasks/{worker}/{place}"));
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
        self.lasting = Some((Lasting::Shut(folder, mode), lasts));
        "folders shut"
    }
}

/// A number that was read somewhere may be another's by now: only what is the world's own is struck.
fn signal(world: &World, pid: i32, signal: Signal) -> bool {
    world.owns(pid) && kill(Pid::from_raw(pid), signal).is_ok()
}

fn stop(world: &World, pid: i32) -> Option<Lasting> {
    let process = pidfd_open(ToldPid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let is_stopped = world.owns(pid) && pidfd_send_signal(&process, ToldSignal::STOP).is_ok();
    is_stopped.then_some(Lasting::Stopped(process))
}

/// Whether a process is there and no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

/// Kills one that works just now: whoever has a task in its environment.
fn kill_agent(soak: &mut Soak) -> bool {
    let is_agent = |pid: &i32| {
        let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        env.split(|byte| *byte == 0).any(|it| it.starts_with(b"AGENT_TASK="))
    };
    let agents: Vec<i32> = soak.world.processes().into_iter().filter(is_agent).collect();
    if agents.is_empty() {
        return false;
    }
    let chosen = usize::try_from(soak.dice.below(agents.len() as u64)).unwrap();
    signal(&soak.world, agents[chosen], Signal::SIGKILL)
}

/// Takes all the room that there is; nothing is written for it.
fn fill(disk: &Path) -> Lasting {
    let filler = disk.join(".filler");
    let file = fs::File::create(&filler).unwrap();
    let (mut at, mut step) = (0, 1_i64 << 32);
    while step >= 1 << 10 {
        match nix::fcntl::posix_fallocate(&file, at, step) {
            Ok(()) => at += step,
            Err(_) => step /= 2,
        }
    }
    Lasting::Full(filler)
}
