//! What follows from a look at a worker's lock.

use super::{Core, Effect, LEAST_COOLDOWN, Moment};
use crate::clock::Ticks;
use crate::config::RestartBy;
use crate::os::holder::Role;
use crate::os::process::ProcessId;
use crate::supervisor::notice::{Force, Notice};
use crate::supervisor::restart::{Death, Tally};
use crate::supervisor::state::{Actual, Found, Left, Origin};

impl Core {
    pub(super) fn looked(&mut self, n: usize, found: Found, at: Moment) -> Vec<Effect> {
        self.workers[n].look_at = None;
        match found {
            Found::Free(left) => self.found_free(n, left, at),
            Found::Watcher(id) => self.found_watcher(n, id, at.now),
            Found::Other(role) => self.found_other(n, role),
        }
    }

    /// Nothing is known, so nothing follows from it but another look.
    pub(super) fn look_delayed(&mut self, n: usize, why: String, now: Ticks) -> Vec<Effect> {
        let (stopping, again) = (self.is_stopping(), now.plus(LEAST_COOLDOWN));
        let worker = &mut self.workers[n];
        worker.look_at = Some(again);
        match worker.actual {
            // Its time has come only once somebody could look.
            Actual::Asked { until, freed } => {
                worker.look_at = None;
                worker.actual = Actual::Asked { until: until.max(again), freed };
                Vec::new()
            }
            Actual::Absent if !stopping => {
                let name = worker.name.clone();
                vec![
                    Effect::Say(Notice::NotStarted { worker: name.clone(), why }),
                    Effect::Say(Notice::Cooldown { worker: name, wait: LEAST_COOLDOWN }),
                ]
            }
            Actual::Absent
            | Actual::Starting { .. }
            | Actual::Up { .. }
            | Actual::Ousting { .. }
            | Actual::Ending { .. }
            | Actual::Refused
            | Actual::Occupied
            | Actual::Cooling { .. }
            | Actual::Resting(_) => Vec::new(),
        }
    }

    pub(super) fn look_due(&mut self, n: usize, now: Ticks) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        if worker.look_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        worker.look_at = None;
        vec![Effect::Look(worker.name.clone())]
    }

    fn found_free(&mut self, n: usize, left: Left, at: Moment) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        let name = worker.name.clone();
        match worker.actual {
            Actual::Ending { .. } => vec![Effect::End(name, Force::Kill)],
            _ if stopping => Vec::new(),
            Actual::Absent if self.rules.keep_stopped && left == Left::Stopped && !worker.is_backup => {
                self.cleanly_stopped(n)
            }
            Actual::Absent => match self.rules.by {
                RestartBy::Exec => vec![Effect::Spawn(name)],
                RestartBy::Systemd | RestartBy::Docker | RestartBy::Nobody => self.found_dead(n, at),
            },
            Actual::Asked { until, .. } if until <= at.now => self.not_back(n, at),
            Actual::Asked { until, .. } => {
                worker.actual = Actual::Asked { until, freed: true };
                Vec::new()
            }
            Actual::Refused => {
                let why = std::mem::take(&mut worker.said);
                self.misconfigured(n, why)
            }
            // If somebody else was first, our child will see that and go.
            Actual::Starting { .. }
            | Actual::Up { .. }
            | Actual::Ousting { .. }
            | Actual::Occupied
            | Actual::Cooling { .. }
            | Actual::Resting(_) => Vec::new(),
        }
    }

    fn found_watcher(&mut self, n: usize, id: Option<ProcessId>, now: Ticks) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        match worker.actual {
            // The lock was never free, or is held again: nothing happened.
            Actual::Ending { began, .. } => {
                worker.actual = Actual::Up { origin: Origin::Child, began };
                vec![Effect::Await(worker.name.clone())]
            }
            Actual::Starting { began, .. } if id.is_some() && worker.child == id => {
                self.up(n, (Origin::Child, began), id, now)
            }
            Actual::Starting { .. } | Actual::Up { .. } | Actual::Ousting { .. } => Vec::new(),
            _ if stopping => Vec::new(),
            // The old one still, that its host was asked to restart: until it is late.
            Actual::Asked { freed: false, until } if now < until => Vec::new(),
            Actual::Asked { .. } => self.up(n, (Origin::TakenOver, now), id, now),
            Actual::Absent
            | Actual::Refused
            | Actual::Occupied
            | Actual::Cooling { .. }
            | Actual::Resting(_) => {
                if matches!(worker.actual, Actual::Resting(_)) {
                    // Somebody has looked at it: its past is forgotten.
                    worker.tally = Tally::default();
                }
                worker.is_back();
                worker.actual = Actual::Up { origin: Origin::TakenOver, began: now };
                let (worker, pid) = (worker.name.clone(), id.map(|id| id.pid));
                vec![Effect::Say(Notice::TakenOver { worker: worker.clone(), pid }), Effect::Await(worker)]
            }
        }
    }

    fn up(
        &mut self,
        n: usize,
        (origin, began): (Origin, Ticks),
        id: Option<ProcessId>,
        now: Ticks,
    ) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        let after = worker.gone_since.map(|since| now.since(since));
        worker.is_back();
        worker.actual = Actual::Up { origin, began };
        let name = worker.name.clone();
        let pid = id.map(|id| id.pid);
        vec![Effect::Say(Notice::Up { worker: name.clone(), pid, after }), Effect::Await(name)]
    }

    fn found_other(&mut self, n: usize, role: Role) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        let name = worker.name.clone();
        match worker.actual {
            Actual::Ending { .. } => vec![Effect::End(name, Force::Kill)],
            Actual::Absent | Actual::Refused if !stopping => {
                worker.actual = Actual::Occupied;
                vec![Effect::Say(Notice::Occupied { worker: name.clone(), role }), Effect::Await(name)]
            }
            Actual::Absent
            | Actual::Refused
            | Actual::Starting { .. }
            | Actual::Asked { .. }
            | Actual::Up { .. }
            | Actual::Ousting { .. }
            | Actual::Occupied
            | Actual::Cooling { .. }
            | Actual::Resting(_) => Vec::new(),
        }
    }

    /// One that a host owns is down, and did not stop as it was told: before our time.
    fn found_dead(&mut self, n: usize, at: Moment) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        worker.gone_since.get_or_insert(at.now);
        self.restart(n, Death { began: at.now, died: at.now }, at)
    }

    /// Its host was asked, or waited for, and nobody took the lock in time.
    fn not_back(&mut self, n: usize, at: Moment) -> Vec<Effect> {
        let worker = self.workers[n].name.clone();
        match self.rules.by {
            RestartBy::Nobody => {
                let waited = self.patience_with_the_host();
                self.set_aside(n, Notice::NotBack { worker, waited }, at.now)
            }
            RestartBy::Exec | RestartBy::Systemd | RestartBy::Docker => {
                let why = "its host was asked, and nobody has taken its lock since".to_owned();
                self.spawn_failed(n, why, at)
            }
        }
    }
}
