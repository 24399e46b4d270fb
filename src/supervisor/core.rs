//! What the supervisor decides: an event comes in, effects go out. Nothing here touches the world.
//!
//! Invariants:
//! - a worker whose lock is held is never started a second time;
//! - a death is counted once: of an own child when it was reaped, of a watcher taken over when its lock is free;
//! - a clean stop is no crash, and a wrong configuration is not tried in a loop;
//! - once a stop was asked for, nothing is started any more.
//!
//! It deliberately does not know how a watcher is started, signalled or looked at, nor what a task is.

use std::time::Duration;

use super::notice::{Force, Notice};
use super::restart::{Death, Policy, Restart, decide};
use super::state::{Actual, Found, Left, Origin, Rest, Worker};
use crate::clock::Ticks;
use crate::os::process::{Exit, ProcessId};
use crate::task::WorkerName;

/// How long an own child may live on after its lock was let go.
const AFTER_LOCK: Duration = Duration::from_secs(15);
/// How much longer than their grace watchers may take to stop.
pub const STOP_MARGIN: Duration = Duration::from_secs(15);
/// The least pause before a worker that asked to be tried again is.
const LEAST_COOLDOWN: Duration = Duration::from_secs(5);
/// How long a killed watcher may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody looked at the worker's lock.
    Looked(Found),
    /// A watcher was started.
    Spawned(ProcessId),
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
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look at the worker's lock.
    Look(WorkerName),
    /// Start a watcher.
    Spawn(WorkerName),
    /// Wait until the worker's lock is free.
    Await(WorkerName),
    /// Signal the watcher.
    End(WorkerName, Force),
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

/// How far the stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    /// Nobody asked.
    No,
    /// Asked so many times; at `until` patience ends.
    Asked { times: u32, until: Ticks },
    /// Everybody was killed; at `until` whoever is left is left.
    Killed { until: Ticks },
    /// Over.
    Done,
}

/// The deciding half of the supervisor.
#[derive(Debug)]
pub struct Core {
    workers: Vec<Worker>,
    policy: Policy,
    grace: Duration,
    stopping: Stopping,
}

impl Core {
    /// Looks after `workers`.
    pub fn new(workers: impl IntoIterator<Item = WorkerName>, policy: Policy, grace: Duration) -> Self {
        let workers = workers.into_iter().map(Worker::new).collect();
        Self { workers, policy, grace, stopping: Stopping::No }
    }

    /// What is to be done first.
    pub fn start(&self) -> Vec<Effect> {
        self.workers.iter().map(|it| Effect::Look(it.name.clone())).collect()
    }

    /// The workers as they are.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// Whether a child has been started whose lock has not been seen yet.
    pub fn is_anyone_starting(&self) -> bool {
        self.workers.iter().any(|it| matches!(it.actual, Actual::Starting { .. }))
    }

    /// When [`Core::due`] is to be called, if nothing happens before.
    pub fn next_due(&self) -> Option<Ticks> {
        let stop = match self.stopping {
            Stopping::Asked { until, .. } | Stopping::Killed { until } => Some(until),
            Stopping::No | Stopping::Done => None,
        };
        self.workers.iter().filter_map(|it| it.actual.due()).chain(stop).min()
    }

    /// Something happened to `worker`; one that is not ours is nobody's business.
    pub fn handle(&mut self, worker: &WorkerName, event: Event, at: Moment) -> Vec<Effect> {
        let Some(n) = self.workers.iter().position(|it| it.name == *worker) else { return Vec::new() };
        let mut out = match event {
            Event::Looked(found) => self.looked(n, found, at.now),
            Event::Spawned(process) => self.spawned(n, process, at.now),
            Event::Unstartable(why) => self.misconfigured(n, why),
            Event::SpawnFailed(why) => self.spawn_failed(n, why, at),
            Event::SpawnDelayed(why) => self.spawn_delayed(n, why, at.now),
            Event::ChildExited(exit, said) => self.child_exited(n, exit, said, at),
            Event::Freed(left) => self.freed(n, left, at),
            Event::Unreachable(why) => self.unreachable(n, why),
        };
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
        }
        match self.stopping {
            Stopping::Asked { until, .. } if until <= at.now => out.extend(self.kill_all(at.now)),
            Stopping::Killed { until } if until <= at.now => {
                for worker in self.workers.iter_mut().filter(|it| it.actual.is_running()) {
                    worker.actual = Actual::Resting(Rest::LeftRunning);
                    let why = "it is still there after SIGKILL, so it waits inside the kernel".to_owned();
                    out.push(Effect::Say(Notice::NotEnded { worker: worker.name.clone(), why }));
                }
            }
            Stopping::No | Stopping::Asked { .. } | Stopping::Killed { .. } | Stopping::Done => {}
        }
        self.finish_if_over(&mut out);
        out
    }

    /// Somebody asked to stop: first politely, then without the rest of the grace, then for good.
    pub fn stop(&mut self, at: Moment) -> Vec<Effect> {
        let times = match self.stopping {
            Stopping::No => 1,
            Stopping::Asked { times, .. } => times + 1,
            Stopping::Killed { .. } => 3,
            Stopping::Done => return Vec::new(),
        };
        for worker in self.workers.iter_mut().filter(|it| !it.actual.is_running()) {
            worker.actual = worker.actual.rest();
        }
        let running = self.workers.iter().filter(|it| it.actual.is_running()).count();
        let mut out = Vec::new();
        if times >= 3 {
            out.extend(self.kill_all(at.now));
        } else {
            out.push(Effect::Say(if times == 1 {
                Notice::Stopping { running, grace: self.grace }
            } else {
                Notice::Hurrying
            }));
            out.extend(self.end_all(Force::Ask));
            let until = at.now.plus(self.grace).plus(STOP_MARGIN);
            self.stopping = Stopping::Asked { times, until };
        }
        self.finish_if_over(&mut out);
        out
    }

    fn end_all(&self, force: Force) -> impl Iterator<Item = Effect> {
        let running = self.workers.iter().filter(|it| it.actual.is_running());
        running.map(move |it| Effect::End(it.name.clone(), force))
    }

    fn kill_all(&mut self, now: Ticks) -> Vec<Effect> {
        self.stopping = Stopping::Killed { until: now.plus(AFTER_KILL) };
        let mut out = vec![Effect::Say(Notice::Killing)];
        out.extend(self.end_all(Force::Kill));
        out
    }

    fn finish_if_over(&mut self, out: &mut Vec<Effect>) {
        let stopping = matches!(self.stopping, Stopping::Asked { .. } | Stopping::Killed { .. });
        if stopping && self.workers.iter().all(|it| !it.actual.is_running()) {
            self.stopping = Stopping::Done;
            out.push(Effect::Finish);
        }
    }

    /// Whether somebody asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping != Stopping::No
    }

    fn worker_due(&mut self, n: usize, now: Ticks) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        let name = worker.name.clone();
        match worker.actual {
            Actual::Cooling { .. } if stopping => Vec::new(),
            Actual::Cooling { .. } => {
                worker.actual = Actual::Absent;
                vec![Effect::Say(Notice::Restarting { worker: name.clone() }), Effect::Spawn(name)]
            }
            Actual::Ending { began, .. } => {
                worker.actual = Actual::Ending { began, until: now.plus(AFTER_LOCK) };
                vec![Effect::Look(name)]
            }
            Actual::Absent
            | Actual::Starting { .. }
            | Actual::Up { .. }
            | Actual::Refused
            | Actual::Occupied
            | Actual::Resting(_) => Vec::new(),
        }
    }

    fn looked(&mut self, n: usize, found: Found, now: Ticks) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        let name = worker.name.clone();
        match (worker.actual, found) {
            // The lock was never free, or is held again: nothing happened.
            (Actual::Ending { began, .. }, Found::Watcher(_)) => {
                worker.actual = Actual::Up { origin: Origin::Child, began };
                vec![Effect::Await(name)]
            }
            (Actual::Ending { .. }, Found::Free | Found::Other(_)) => vec![Effect::End(name, Force::Kill)],
            (Actual::Starting { began }, Found::Watcher(Some(id))) if worker.child.as_ref() == Some(&id) => {
                worker.actual = Actual::Up { origin: Origin::Child, began };
                vec![Effect::Say(Notice::Up { worker: name.clone(), pid: id.pid }), Effect::Await(name)]
            }
            // If somebody else was first, our child will see that and go.
            (Actual::Starting { .. } | Actual::Up { .. }, _) => Vec::new(),
            _ if stopping => Vec::new(),
            (Actual::Absent, Found::Free) => vec![Effect::Spawn(name)],
            (Actual::Refused, Found::Free) => {
                let why = std::mem::take(&mut worker.said);
                self.misconfigured(n, why)
            }
            (
                Actual::Absent
                | Actual::Refused
                | Actual::Occupied
                | Actual::Cooling { .. }
                | Actual::Resting(_),
                Found::Watcher(id),
            ) => {
                worker.actual = Actual::Up { origin: Origin::TakenOver, began: now };
                let pid = id.map(|id| id.pid);
                vec![Effect::Say(Notice::TakenOver { worker: name.clone(), pid }), Effect::Await(name)]
            }
            (Actual::Absent | Actual::Refused, Found::Other(role)) => {
                worker.actual = Actual::Occupied;
                vec![Effect::Say(Notice::Occupied { worker: name.clone(), role }), Effect::Await(name)]
            }
            (
                Actual::Occupied | Actual::Cooling { .. } | Actual::Resting(_),
                Found::Free | Found::Other(_),
            ) => Vec::new(),
        }
    }

    fn spawned(&mut self, n: usize, process: ProcessId, now: Ticks) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        worker.child = Some(process);
        worker.actual = Actual::Starting { began: now };
        Vec::new()
    }

    fn misconfigured(&mut self, n: usize, why: String) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        worker.actual = Actual::Resting(Rest::Misconfigured);
        vec![Effect::Say(Notice::Misconfigured { worker: worker.name.clone(), why })]
    }

    fn unreachable(&mut self, n: usize, why: String) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        if !self.stopping.is_asked() || !worker.actual.is_running() {
            return Vec::new();
        }
        worker.actual = Actual::Resting(Rest::LeftRunning);
        vec![Effect::Say(Notice::NotEnded { worker: worker.name.clone(), why })]
    }

    fn child_exited(&mut self, n: usize, exit: Exit, said: String, at: Moment) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        worker.child = None;
        let name = worker.name.clone();
        let (began, locked) = match worker.actual {
            Actual::Starting { began } => (began, false),
            Actual::Up { origin: Origin::Child, began } | Actual::Ending { began, .. } => (began, true),
            Actual::Absent
            | Actual::Up { origin: Origin::TakenOver, .. }
            | Actual::Refused
            | Actual::Occupied
            | Actual::Cooling { .. }
            | Actual::Resting(_) => return Vec::new(),
        };
        if stopping {
            return self.ended(n, Some(exit));
        }
        match exit {
            // 78 before it ever had the lock: either another watcher holds it, or it was told nonsense.
            Exit::Code(78) if !locked => {
                worker.actual = Actual::Refused;
                worker.said = said;
                vec![Effect::Look(name)]
            }
            Exit::Code(78) => self.misconfigured(n, said),
            Exit::Code(0) if locked => self.cleanly_stopped(n),
            Exit::Code(75) => self.asked_for_time(n, exit, began, at.now),
            Exit::Code(_) | Exit::Signal(_) => self.died(n, Some(exit), began, at),
        }
    }

    fn freed(&mut self, n: usize, left: Left, at: Moment) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        match worker.actual {
            Actual::Up { origin: Origin::Child, began } => {
                // Its exit follows at once and says more; if it does not, something is wrong.
                let until = at.now.plus(AFTER_LOCK);
                worker.actual = Actual::Ending { began, until };
                Vec::new()
            }
            Actual::Up { origin: Origin::TakenOver, began } => {
                if stopping {
                    return self.ended(n, None);
                }
                match left {
                    Left::Stopped => self.cleanly_stopped(n),
                    Left::Otherwise => self.died(n, None, began, at),
                }
            }
            Actual::Occupied if stopping => Vec::new(),
            Actual::Occupied => {
                worker.actual = Actual::Absent;
                vec![Effect::Look(worker.name.clone())]
            }
            Actual::Absent
            | Actual::Starting { .. }
            | Actual::Ending { .. }
            | Actual::Refused
            | Actual::Cooling { .. }
            | Actual::Resting(_) => Vec::new(),
        }
    }

    fn ended(&mut self, n: usize, exit: Option<Exit>) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        worker.actual = Actual::Resting(Rest::Stopped);
        vec![Effect::Say(Notice::Ended { worker: worker.name.clone(), exit })]
    }

    fn cleanly_stopped(&mut self, n: usize) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        worker.actual = Actual::Resting(Rest::Stopped);
        vec![Effect::Say(Notice::StoppedByItself { worker: worker.name.clone() })]
    }

    fn died(&mut self, n: usize, exit: Option<Exit>, began: Ticks, at: Moment) -> Vec<Effect> {
        let lived = at.now.since(began);
        let mut out = vec![Effect::Say(Notice::Died { worker: self.workers[n].name.clone(), exit, lived })];
        out.extend(self.restart(n, Death { began, died: at.now }, at));
        out
    }

    /// It said itself that it should be tried again, for a disk that is full, say: that is no crash, and is not
    /// given up, since nobody else would start it once there is room.
    fn asked_for_time(&mut self, n: usize, exit: Exit, began: Ticks, now: Ticks) -> Vec<Effect> {
        let wait = self.policy.cooldown.max(LEAST_COOLDOWN);
        let worker = &mut self.workers[n];
        worker.actual = Actual::Cooling { until: now.plus(wait) };
        let (name, lived) = (worker.name.clone(), now.since(began));
        vec![
            Effect::Say(Notice::Died { worker: name.clone(), exit: Some(exit), lived }),
            Effect::Say(Notice::Cooldown { worker: name, wait }),
        ]
    }

    /// Nobody died, so nothing is counted, and it is never given up.
    fn spawn_delayed(&mut self, n: usize, why: String, now: Ticks) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        worker.actual = Actual::Cooling { until: now.plus(LEAST_COOLDOWN) };
        let name = worker.name.clone();
        vec![
            Effect::Say(Notice::NotStarted { worker: name.clone(), why }),
            Effect::Say(Notice::Cooldown { worker: name, wait: LEAST_COOLDOWN }),
        ]
    }

    fn spawn_failed(&mut self, n: usize, why: String, at: Moment) -> Vec<Effect> {
        let mut out = vec![Effect::Say(Notice::NotStarted { worker: self.workers[n].name.clone(), why })];
        out.extend(self.restart(n, Death { began: at.now, died: at.now }, at));
        out
    }

    fn restart(&mut self, n: usize, death: Death, at: Moment) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        let name = worker.name.clone();
        let mut out = Vec::new();
        match decide(&mut worker.tally, death, at.now, &self.policy, at.jitter) {
            Restart::Now => {
                worker.actual = Actual::Absent;
                out.push(Effect::Say(Notice::Restarting { worker: name.clone() }));
                out.push(Effect::Spawn(name));
            }
            Restart::At(until) => {
                worker.actual = Actual::Cooling { until };
                out.push(Effect::Say(Notice::Cooldown { worker: name, wait: until.since(at.now) }));
            }
            Restart::SetAside => {
                worker.actual = Actual::Resting(Rest::SetAside);
                out.push(Effect::Say(Notice::SetAside { worker: name, policy: self.policy }));
            }
        }
        out
    }
}

impl Stopping {
    const fn is_asked(self) -> bool {
        matches!(self, Self::Asked { .. } | Self::Killed { .. })
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
