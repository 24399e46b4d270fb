//! Deaths, and what follows from them.

use std::time::Duration;

use super::{AFTER_LOCK, Core, Effect, LEAST_COOLDOWN, Moment};
use crate::clock::Ticks;
use crate::config::RestartBy;
use crate::os::process::Exit;
use crate::supervisor::notice::Notice;
use crate::supervisor::restart::{Death, Restart, decide};
use crate::supervisor::state::{Actual, Left, Origin, Rest};

impl Core {
    pub(super) fn child_exited(&mut self, n: usize, exit: Exit, said: String, at: Moment) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        worker.child = None;
        let (name, ousted) = (worker.name.clone(), worker.ousted);
        let (began, locked) = match worker.actual {
            Actual::Starting { began, .. } => (began, false),
            Actual::Up { origin: Origin::Child, began }
            | Actual::Ousting { origin: Origin::Child, began, .. }
            | Actual::Ending { began, .. } => (began, true),
            Actual::Absent
            | Actual::Asked { .. }
            | Actual::Up { origin: Origin::TakenOver, .. }
            | Actual::Ousting { origin: Origin::TakenOver, .. }
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
            Exit::Code(0) if locked && !ousted => self.cleanly_stopped(n),
            Exit::Code(75) => self.asked_for_time(n, exit, began, at.now),
            Exit::Code(_) | Exit::Signal(_) => self.died(n, Some(exit), began, at),
        }
    }

    pub(super) fn freed(&mut self, n: usize, left: Left, at: Moment) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        match worker.actual {
            Actual::Up { origin: Origin::Child, began }
            | Actual::Ousting { origin: Origin::Child, began, .. } => {
                // Its exit follows at once and says more; if it does not, something is wrong.
                let until = at.now.plus(AFTER_LOCK);
                worker.actual = Actual::Ending { began, until };
                Vec::new()
            }
            Actual::Up { origin: Origin::TakenOver, began }
            | Actual::Ousting { origin: Origin::TakenOver, began, .. } => {
                if stopping {
                    return self.ended(n, None);
                }
                match left {
                    Left::Stopped if !worker.ousted => self.cleanly_stopped(n),
                    Left::Stopped | Left::Otherwise => self.died(n, None, began, at),
                }
            }
            Actual::Asked { until, .. } => {
                worker.actual = Actual::Asked { until, freed: true };
                Vec::new()
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

    pub(super) fn cleanly_stopped(&mut self, n: usize) -> Vec<Effect> {
        if self.workers[n].is_backup {
            return self.retired(n);
        }
        let worker = &mut self.workers[n];
        worker.gone_since = None;
        worker.actual = Actual::Resting(Rest::Stopped);
        vec![Effect::Say(Notice::StoppedByItself { worker: worker.name.clone() })]
    }

    fn died(&mut self, n: usize, exit: Option<Exit>, began: Ticks, at: Moment) -> Vec<Effect> {
        let lived = at.now.since(began);
        let mut out = self.note_death(n, exit, lived, at.now);
        out.extend(self.restart(n, Death { began, died: at.now }, at));
        out
    }

    pub(super) fn note_death(
        &mut self,
        n: usize,
        exit: Option<Exit>,
        lived: Duration,
        now: Ticks,
    ) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        worker.gone_since.get_or_insert(now);
        worker.condition = None;
        let death = worker.tally.count() + 1;
        vec![Effect::Say(Notice::Died { worker: worker.name.clone(), exit, lived, death })]
    }

    /// It said itself that it should be tried again, for a disk that is full, say: that is no crash, and is not
    /// given up, since nobody else would start it once there is room.
    fn asked_for_time(&mut self, n: usize, exit: Exit, began: Ticks, now: Ticks) -> Vec<Effect> {
        let wait = self.rules.policy.cooldown.max(LEAST_COOLDOWN);
        let mut out = self.note_death(n, Some(exit), now.since(began), now);
        let worker = &mut self.workers[n];
        worker.actual = Actual::Cooling { until: now.plus(wait) };
        out.push(Effect::Say(Notice::Cooldown { worker: worker.name.clone(), wait }));
        out
    }

    /// Nobody died, so nothing is counted, and it is never given up.
    pub(super) fn spawn_delayed(&mut self, n: usize, why: String, now: Ticks) -> Vec<Effect> {
        if self.is_stopping() {
            return Vec::new();
        }
        let worker = &mut self.workers[n];
        worker.gone_since.get_or_insert(now);
        worker.actual = Actual::Cooling { until: now.plus(LEAST_COOLDOWN) };
        let name = worker.name.clone();
        vec![
            Effect::Say(Notice::NotStarted { worker: name.clone(), why }),
            Effect::Say(Notice::Cooldown { worker: name, wait: LEAST_COOLDOWN }),
        ]
    }

    pub(super) fn spawn_failed(&mut self, n: usize, why: String, at: Moment) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        // A host may answer late: what it failed to do was done by somebody else then, or is not wanted any more.
        if stopping || !matches!(worker.actual, Actual::Absent | Actual::Asked { .. }) {
            return Vec::new();
        }
        worker.gone_since.get_or_insert(at.now);
        let mut out = vec![Effect::Say(Notice::NotStarted { worker: worker.name.clone(), why })];
        out.extend(self.restart(n, Death { began: at.now, died: at.now }, at));
        out
    }

    pub(super) fn patience_with_the_host(&self) -> Duration {
        self.rules.policy.cooldown.max(LEAST_COOLDOWN)
    }

    pub(super) fn restart(&mut self, n: usize, death: Death, at: Moment) -> Vec<Effect> {
        if self.rules.by == RestartBy::Nobody {
            let wait = self.patience_with_the_host();
            let worker = &mut self.workers[n];
            worker.actual = Actual::Asked { until: at.now.plus(wait), freed: true };
            return vec![Effect::Say(Notice::Awaited { worker: worker.name.clone(), wait })];
        }
        let policy = self.rules.policy;
        let worker = &mut self.workers[n];
        let name = worker.name.clone();
        match decide(&mut worker.tally, death, at.now, &policy, at.jitter) {
            Restart::Now => {
                worker.actual = Actual::Absent;
                vec![self.restarting(n), Effect::Spawn(name)]
            }
            Restart::At(until) => {
                worker.actual = Actual::Cooling { until };
                vec![Effect::Say(Notice::Cooldown { worker: name, wait: until.since(at.now) })]
            }
            Restart::SetAside => self.set_aside(n, Notice::SetAside { worker: name, policy }, at.now),
        }
    }
}
