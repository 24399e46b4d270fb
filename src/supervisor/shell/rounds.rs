//! The rounds: what is looked at without a hint, since hints can be lost and a watcher that hangs gives none.

use super::{Ended, Shell};
use crate::supervisor::core::{Effect, Event};
use crate::supervisor::look;
use crate::supervisor::single::Kept;
use crate::supervisor::state::{Actual, Worker};
use crate::task::WorkerName;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::state_file::State;

impl Shell {
    /// What a worker says about itself is told and shown.
    pub(super) fn what_it_says(&mut self, worker: &WorkerName) {
        // One that cannot be read now says nothing new.
        let Ok(state) = State::read(&self.layout.state(worker)) else { return };
        let state = state.unwrap_or_default();
        if !self.core.is_stopping() {
            self.telling.condition(worker, &state, self.clock.wall());
        }
        self.face.says(worker, state);
    }

    pub(super) fn heart(&mut self, worker: &WorkerName) {
        if let Some(beat) = Heartbeat::read(&self.layout.heartbeat(worker)) {
            self.face.beat(worker, &beat);
            self.aftermath.beat(worker, &beat);
        }
    }

    /// The look that needs no hint: our lock, our port, every worker.
    pub(super) fn look_at_everything(&mut self) {
        self.looked = self.clock.ticks();
        self.keep_the_lock();
        if let Some(log) = &self.log {
            log.tell_lost();
        }
        for line in self.aftermath.complaints().into_iter().chain(self.hands.bound_what_is_printed()) {
            self.telling.warn(&line);
        }
        if self.door.try_again() == Ok(true) {
            let at = self.door.at().map(|at| at.to_string()).unwrap_or_default();
            self.telling.warn(&format!("now served on http://{at}/health/orchestrator"));
        }
        for worker in self.workers.clone() {
            self.what_it_says(&worker);
            self.heart(&worker);
        }
        self.look_around();
        let disk = self.ward.disk();
        let up = |it: &&Worker| matches!(it.actual, Actual::Up { .. });
        let living: Vec<Worker> = self.core.workers().iter().filter(up).cloned().collect();
        for worker in living {
            let assessed = self.ward.assess(&worker, disk, self.clock.ticks());
            self.tell_core(&worker.name, Event::Assessed(assessed));
        }
    }

    /// Leads the resumes that nobody leads, and tells what goes wrong with those that we do.
    pub(super) fn look_after_resumes(&mut self) {
        if !self.core.is_stopping() {
            self.ramps.look_around(&self.workers);
        }
        for trouble in self.ramps.troubles() {
            self.telling.warn(&trouble);
        }
    }

    fn keep_the_lock(&mut self) {
        match self.single.keep(self.clock.wall()) {
            Ok(Kept::Ours) => {}
            Ok(Kept::Anew) => {
                self.telling.warn("the supervisor's lock file was removed, and is made again");
            }
            Ok(Kept::Lost(holder)) => {
                let who = holder.map(|it| format!(" (pid {})", it.process.pid)).unwrap_or_default();
                let text = format!(
                    "the supervisor's lock file was removed, and another supervisor{who} has the new one: leaving the workers to it"
                );
                self.telling.warn(&text);
                self.over = Some(Ended::Displaced);
            }
            Err(error) => self.telling.warn(&format!("could not look at our own lock: {error}")),
        }
    }

    /// Looks at every worker that is not known to be up, and waits for those for whom no thread could be had.
    pub(super) fn look_around(&mut self) {
        let effects = self.core.workers().iter().filter_map(|worker| self.look_worth(worker)).collect();
        self.perform(effects);
    }

    /// Where somebody is starting, the lock is left alone until the mirror names a holder, so that our look does not
    /// stand in its way.
    fn look_worth(&self, worker: &Worker) -> Option<Effect> {
        let name = &worker.name;
        let holder = || look::holder(&self.layout, name).map(|it| it.process);
        let look = match worker.actual {
            Actual::Starting { .. } => holder().is_some_and(|it| worker.child.as_ref() == Some(&it)),
            Actual::Asked { .. } | Actual::Resting(_) | Actual::Occupied | Actual::Cooling { .. } => {
                holder().is_some()
            }
            Actual::Up { .. } | Actual::Ousting { .. } if !self.waiters.is_waiting(name) => {
                return Some(Effect::Await(name.clone()));
            }
            Actual::Absent
            | Actual::Refused
            | Actual::Up { .. }
            | Actual::Ousting { .. }
            | Actual::Ending { .. } => false,
        };
        look.then(|| Effect::Look(name.clone()))
    }
}
