//! Looking at a living watcher: its lock's mirror, its heartbeat, its process, the disk. Changes nothing.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::condition::{Facts, Held, Process, condition};
use super::core::Assessed;
use super::look;
use super::pulse::{Limits, Pulse, Sign};
use super::state::Worker;
use crate::clock::Ticks;
use crate::layout::Layout;
use crate::os::holder::{Holder, Role};
use crate::os::process::ProcessId;
use crate::os::process::identity::Stat;
use crate::os::space;
use crate::task::{HoldCause, WorkerName};
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::state_file::State;

/// How many times the allowed silence a watcher may take until its first heartbeat: it recovers first.
const START: u32 = 5;
/// Looks that are so many times further apart than they should be were not taken on time.
const LATE: u32 = 3;

/// Whether there is room below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// There is.
    Roomy,
    /// What is written now is likely to fail.
    Full,
}

/// Everything that has to be remembered between two looks.
#[derive(Debug)]
pub(super) struct Ward {
    layout: Layout,
    limits: Limits,
    pulses: HashMap<WorkerName, Pulse>,
    said: HashMap<WorkerName, State>,
}

impl Ward {
    /// Watchers may be silent for `hung_after`; they are looked at every `look`.
    pub(super) fn new(layout: Layout, hung_after: Duration, look: Duration) -> Self {
        let limits = Limits { silence: hung_after, start: hung_after * START, look: look * LATE };
        Self { layout, limits, pulses: HashMap::new(), said: HashMap::new() }
    }

    /// Whether there is room below the root for a heartbeat; asked once for all workers. Their reserves are their own:
    /// a worker says itself when it holds for too little room.
    pub(super) fn disk(&self) -> Disk {
        let is_full = space::of(self.layout.root()).is_ok_and(|space| space.is_out());
        if is_full { Disk::Full } else { Disk::Roomy }
    }

    /// How the watcher of `worker` is.
    pub(super) fn assess(&mut self, worker: &Worker, disk: Disk, now: Ticks) -> Assessed {
        let holder = look::holder(&self.layout, &worker.name);
        let named = holder.as_ref().filter(|it| it.role == Role::Watcher).map(|it| it.process.clone());
        let process = worker.child.clone().or(named);
        let beat = Heartbeat::read(&self.layout.heartbeat(&worker.name));
        let is_its = match (&beat, &process, &holder) {
            (Some(beat), Some(process), Some(holder)) => {
                beat.pid == process.pid && beat.boot_id == process.boot_id && beat.timestamp >= holder.since
            }
            _ => false,
        };
        let sign = self.sign(&worker.name, beat.as_ref());
        let pulse = self.pulses.entry(worker.name.clone()).or_default();
        let felt = pulse.look(process.clone(), (sign, is_its), now, &self.limits);
        let state = self.said.entry(worker.name.clone()).or_default();
        let running = running(state, State::read(&self.layout.state(&worker.name)));
        let says_full = state.hold.as_ref().is_some_and(|hold| hold.cause == HoldCause::Disk);
        let seen = seen(process.as_ref());
        let facts = Facts {
            held: held(holder.as_ref()),
            process: seen,
            has_beaten: felt.has_beaten,
            is_overdue: felt.is_overdue,
            is_disk_full: disk == Disk::Full || says_full,
            says: state.status,
        };
        Assessed {
            condition: condition(&facts),
            silent: felt.silent,
            running,
            within_reach: seen != Process::Unknown,
        }
    }

    fn sign(&self, worker: &WorkerName, beat: Option<&Heartbeat>) -> Option<Sign> {
        let meta = std::fs::symlink_metadata(self.layout.heartbeat(worker)).ok()?;
        Some(Sign {
            seq: beat.map_or(0, |it| it.seq),
            boottime_ns: beat.map_or(0, |it| it.boottime_ns),
            mtime_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
        })
    }
}

/// How many tasks a worker says that it works on. A read that is refused says nothing, and leaves what it said `last`.
fn running(last: &mut State, read: io::Result<Option<State>>) -> Option<usize> {
    *last = read.ok()?.unwrap_or_default();
    Some(last.running.len())
}

/// The waiting thread says when the lock is free; until it does, somebody holds it.
fn held(holder: Option<&Holder>) -> Held {
    match holder.map(|it| it.role) {
        Some(Role::Recovery | Role::Supervisor | Role::Operator) => Held::Other,
        Some(Role::Watcher) | None => Held::Watcher,
    }
}

fn seen(process: Option<&ProcessId>) -> Process {
    let Some(process) = process.filter(|it| it.is_of_this_boot()) else { return Process::Unknown };
    match Stat::read(process.pid) {
        Some(stat) if stat.start_ticks == process.start_ticks && !stat.is_dead() => {
            Process::State(stat.state)
        }
        // It is about to be told as dead, or the number means somebody else.
        Some(_) | None => Process::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::state_file::Hold;

    #[test]
    fn a_worker_that_cannot_be_asked_is_as_it_said_last_and_not_idle() {
        let mut last = State::default();
        let (reason, cause) = ("no room".to_owned(), HoldCause::Disk);
        let hold = Some(Hold { cause, reason, remedy: None, until: None, error_code: None });
        let full = State { hold, ..State::default() };
        assert_eq!(running(&mut last, Ok(Some(full.clone()))), Some(0));
        assert_eq!(running(&mut last, Err(io::Error::from_raw_os_error(nix::libc::EMFILE))), None);
        assert_eq!(last, full);
        assert_eq!(running(&mut last, Ok(None)), Some(0));
        assert_eq!(last, State::default(), "it says nothing any more");
    }
}
