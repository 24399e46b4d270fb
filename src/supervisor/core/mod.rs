//! What the supervisor decides: an event comes in, effects go out. Nothing here touches the world.
//!
//! Invariants:
//! - a worker whose lock is held is never started a second time;
//! - a death is counted once: of an own child when it was reaped, of a watcher taken over when its lock is free;
//! - a clean stop is no crash, and a wrong configuration is not tried in a loop;
//! - only a hung watcher is ended, and what it says of its end does not make it a clean stop;
//! - once a stop was asked for, nothing is started any more.
//!
//! It deliberately does not know how a watcher is started, signalled or looked at, nor what a task is.

mod aside;
mod ends;
mod looks;
mod reserve;
mod stopping;
mod ward;

use std::time::Duration;

use super::condition::Condition;
use super::notice::{Force, Notice};
use super::restart::Policy;
use super::state::{Actual, Found, Left, Sweep, Swept, Worker};
use crate::clock::Ticks;
use crate::config::RestartBy;
use crate::os::process::{Exit, ProcessId};
use crate::task::WorkerName;

pub use stopping::STOP_MARGIN;
use stopping::Stopping;

/// How long an own child may live on after its lock was let go.
const AFTER_LOCK: Duration = Duration::from_secs(15);
/// The least pause before a worker that asked to be tried again is, and for which a host is waited.
const LEAST_COOLDOWN: Duration = Duration::from_secs(5);
/// How long an own child may take to its lock: it waits up to a minute for a recovery.
const START_LIMIT: Duration = Duration::from_mins(5);
/// How long a killed watcher may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(5);
/// How long a watcher may take to its lock, after its host was told to start it and has answered.
const AFTER_ASKING: Duration = Duration::from_secs(30);

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody looked at the worker's lock.
    Looked(Found),
    /// Nobody could look at the worker's lock now, and why: the machine is in trouble, and nothing is known.
    LookDelayed(String),
    /// Somebody looked at how its watcher is.
    Assessed(Assessed),
    /// A watcher was started.
    Spawned(ProcessId),
    /// The host is being asked to start one.
    Asked,
    /// A watcher could not be started, and why; trying again would not help.
    Unstartable(String),
    /// A watcher could not be started now, and why; trying again may help.
    SpawnFailed(String),
    /// A watcher could not be started while the machine is in trouble, and why: no watcher is at fault.
    SpawnDelayed(String),
    /// An own child was reaped; what it said last, in case it matters.
    ChildExited(Exit, String),
    /// The worker's lock is free, and how the worker left it.
    Freed(Left),
    /// A watcher could not be signalled, and why.
    Unreachable(String),
    /// A sweep is over.
    Swept(Swept),
}

/// How a living watcher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assessed {
    /// In a word.
    pub condition: Condition,
    /// How long it has shown no progress.
    pub silent: Duration,
    /// How many tasks it works on; `None` where it could not be asked.
    pub running: Option<usize>,
    /// Whether its process can be signalled from here.
    pub within_reach: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look at the worker's lock.
    Look(WorkerName),
    /// Start a watcher, or have it started.
    Spawn(WorkerName),
    /// Wait until the worker's lock is free.
    Await(WorkerName),
    /// Signal the watcher.
    End(WorkerName, Force),
    /// Bring home what lies with a worker that is set aside, and hand on what others may do.
    Sweep(WorkerName, Sweep),
    /// Tell the person.
    Say(Notice),
    /// Everything is over.
    Finish,
}

/// When something happened, and the dice thrown for it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// When.
    pub now: Ticks,
    /// From 0 to 1.
    pub jitter: f64,
}

/// What the core goes by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Who restarts.
    pub by: RestartBy,
    /// How often.
    pub policy: Policy,
    /// How long watchers may take to stop their agents.
    pub grace: Duration,
    /// How long the host may take to answer.
    pub host_deadline: Duration,
    /// Whether a worker that is found stopped is left so: where a host owns the watchers, and where another supervisor
    /// did before us.
    pub keep_stopped: bool,
}

/// The deciding half of the supervisor.
#[derive(Debug)]
pub struct Core {
    workers: Vec<Worker>,
    rules: Rules,
    stopping: Stopping,
}

impl Core {
    /// Looks after `workers`.
    pub fn new(workers: impl IntoIterator<Item = Worker>, rules: Rules) -> Self {
        Self { workers: workers.into_iter().collect(), rules, stopping: Stopping::No }
    }

    /// What is to be done first.
    pub fn start(&self) -> Vec<Effect> {
        self.workers.iter().map(|it| Effect::Look(it.name.clone())).collect()
    }

    /// The workers as they are.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// Whether somebody is about to take a lock that has not been seen yet.
    pub fn is_anyone_starting(&self) -> bool {
        self.workers.iter().any(|it| matches!(it.actual, Actual::Starting { .. } | Actual::Asked { .. }))
    }

    /// When [`Core::due`] is to be called, if nothing happens before.
    pub fn next_due(&self) -> Option<Ticks> {
        let workers = self.workers.iter().filter_map(Worker::due);
        workers.chain(self.stopping.due()).chain(self.reserve_due()).min()
    }

    /// Something happened to `worker`; one that is not ours is nobody's business.
    pub fn handle(&mut self, worker: &WorkerName, event: Event, at: Moment) -> Vec<Effect> {
        let Some(n) = self.workers.iter().position(|it| it.name == *worker) else { return Vec::new() };
        let mut out = match event {
            Event::Looked(found) => self.looked(n, found, at),
            Event::LookDelayed(why) => self.look_delayed(n, why, at.now),
            Event::Assessed(assessed) => self.assessed(n, assessed, at),
            Event::Spawned(process) => self.spawned(n, process, at.now),
            Event::Asked => self.asked(n, at.now),
            Event::Unstartable(why) => self.misconfigured(n, why),
            Event::SpawnFailed(why) => self.spawn_failed(n, why, at),
            Event::SpawnDelayed(why) => self.spawn_delayed(n, why, at.now),
            Event::ChildExited(exit, said) => self.child_exited(n, exit, said, at),
            Event::Freed(left) => self.freed(n, left, at),
            Event::Unreachable(why) => self.unreachable(n, why),
            Event::Swept(swept) => self.swept(n, swept, at.now),
        };
        out.extend(self.call_or_retire(at.now));
        self.finish_if_over(&mut out);
        out
    }

    /// A time that was waited for has come.
    pub fn due(&mut self, at: Moment) -> Vec<Effect> {
        let mut out = Vec::new();
        for n in 0..self.workers.len() {
            if self.workers[n].actual.due().is_some_and(|due| due <= at.now) {
                out.extend(self.worker_due(n, at.now));
            }
            out.extend(self.look_due(n, at.now));
            out.extend(self.sweep_due(n, at.now));
        }
        out.extend(self.stopping_due(at.now));
        out.extend(self.call_or_retire(at.now));
        self.finish_if_over(&mut out);
        out
    }

    fn worker_due(&mut self, n: usize, now: Ticks) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        let name = worker.name.clone();
        match worker.actual {
            Actual::Starting { .. } | Actual::Cooling { .. } | Actual::Ousting { .. } if stopping => {
                Vec::new()
            }
            Actual::Starting { began, .. } => {
                worker.actual = Actual::Starting { began, until: now.plus(START_LIMIT) };
                let hung = Notice::Hung { worker: name.clone(), silent: now.since(began) };
                vec![Effect::Say(hung), Effect::End(name, Force::Kill)]
            }
            Actual::Cooling { .. } => {
                worker.actual = Actual::Absent;
                vec![self.restarting(n), Effect::Spawn(name)]
            }
            Actual::Ending { began, .. } => {
                worker.actual = Actual::Ending { began, until: now.plus(AFTER_LOCK) };
                vec![Effect::Look(name)]
            }
            // Somebody may hold the lock without a mirror that says so: a look decides, now and later.
            Actual::Asked { .. } => vec![Effect::Look(name)],
            Actual::Ousting { .. } => self.oust_harder(n, now),
            Actual::Absent | Actual::Up { .. } | Actual::Refused | Actual::Occupied | Actual::Resting(_) => {
                Vec::new()
            }
        }
    }

    fn restarting(&self, n: usize) -> Effect {
        let worker = &self.workers[n];
        Effect::Say(Notice::Restarting { worker: worker.name.clone(), death: worker.tally.count() })
    }

    fn spawned(&mut self, n: usize, process: ProcessId, now: Ticks) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        worker.child = Some(process);
        worker.actual = Actual::Starting { began: now, until: now.plus(START_LIMIT) };
        Vec::new()
    }

    fn asked(&mut self, n: usize, now: Ticks) -> Vec<Effect> {
        let until = now.plus(self.rules.host_deadline).plus(AFTER_ASKING);
        let worker = &mut self.workers[n];
        let freed = !matches!(worker.actual, Actual::Up { .. } | Actual::Ousting { .. });
        worker.actual = Actual::Asked { until, freed };
        Vec::new()
    }

    fn misconfigured(&mut self, n: usize, why: String) -> Vec<Effect> {
        use super::state::Rest;
        let worker = &mut self.workers[n];
        worker.actual = Actual::Resting(Rest::Misconfigured);
        vec![Effect::Say(Notice::Misconfigured { worker: worker.name.clone(), why })]
    }

    /// A watcher could not be signalled: while we stop it is left, a hung one is spared.
    fn unreachable(&mut self, n: usize, why: String) -> Vec<Effect> {
        if self.is_stopping() { self.left_running(n, why) } else { self.spare(n, why) }
    }
}

#[cfg(test)]
mod tests;
