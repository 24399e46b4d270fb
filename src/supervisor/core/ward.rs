//! What follows from how a living watcher is: told when it changes, and ended only when it hangs.

use super::{AFTER_KILL, Assessed, Core, Effect, Moment};
use crate::clock::Ticks;
use crate::config::RestartBy;
use crate::supervisor::condition::Condition;
use crate::supervisor::notice::{Force, Notice};
use crate::supervisor::restart::{Death, Restart, decide};
use crate::supervisor::state::{Actual, Origin, Retiring};

impl Core {
    pub(super) fn assessed(&mut self, n: usize, seen: Assessed, at: Moment) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let by = self.rules.by;
        let worker = &mut self.workers[n];
        let Actual::Up { origin, began } = worker.actual else { return Vec::new() };
        let before = worker.condition.replace(seen.condition);
        if stopping {
            return Vec::new();
        }
        // Docker ends what hangs in a container, where no signal of ours goes.
        let by_its_host = by == RestartBy::Docker && !seen.within_reach;
        if seen.condition == Condition::Hung && !worker.spared {
            return self.oust(n, (origin, began), seen, at);
        }
        if seen.condition == Condition::Silent && by_its_host {
            return if worker.spared { Vec::new() } else { self.have_it_ended(n, began, seen, at) };
        }
        if seen.condition != Condition::Hung {
            worker.spared = false;
        }
        let mut out = self.told(n, before, seen);
        out.extend(self.retire_if_idle(n, seen.running));
        out
    }

    /// A condition that needs a person is told when it comes and when it goes.
    fn told(&self, n: usize, before: Option<Condition>, seen: Assessed) -> Vec<Effect> {
        let worker = self.workers[n].name.clone();
        let was_stuck = before.is_some_and(Condition::is_stuck);
        let condition = seen.condition;
        if before == Some(condition) {
            Vec::new()
        } else if condition.is_stuck() {
            vec![Effect::Say(Notice::Stuck { worker, condition, silent: seen.silent })]
        } else if was_stuck {
            vec![Effect::Say(Notice::Moves { worker })]
        } else {
            Vec::new()
        }
    }

    fn oust(
        &mut self,
        n: usize,
        (origin, began): (Origin, Ticks),
        seen: Assessed,
        at: Moment,
    ) -> Vec<Effect> {
        let until = at.now.plus(self.rules.grace);
        let worker = &mut self.workers[n];
        worker.ousted = true;
        worker.retiring = Retiring::No;
        worker.actual = Actual::Ousting { origin, began, until, killed: false };
        let name = worker.name.clone();
        let hung = Notice::Hung { worker: name.clone(), silent: seen.silent };
        vec![Effect::Say(hung), Effect::End(name, Force::Ask)]
    }

    /// Its host ends it by restarting it: once, and then again only after it has moved.
    fn have_it_ended(&mut self, n: usize, began: Ticks, seen: Assessed, at: Moment) -> Vec<Effect> {
        let policy = self.rules.policy;
        let worker = &mut self.workers[n];
        worker.spared = true;
        let name = worker.name.clone();
        let death = Death { began, died: at.now };
        if decide(&mut worker.tally, death, at.now, &policy, at.jitter) != Restart::Now {
            let why =
                "its host was asked to restart it a moment ago, and it still makes no progress".to_owned();
            return vec![Effect::Say(Notice::NotEnded { worker: name, why })];
        }
        worker.gone_since = Some(at.now);
        let hung = Notice::Hung { worker: name.clone(), silent: seen.silent };
        vec![Effect::Say(hung), self.restarting(n), Effect::Spawn(name)]
    }

    /// It did not hear.
    pub(super) fn oust_harder(&mut self, n: usize, now: Ticks) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        let Actual::Ousting { origin, began, killed, .. } = worker.actual else { return Vec::new() };
        if killed {
            return self
                .spare(n, "it is still there after SIGKILL, so it waits inside the kernel".to_owned());
        }
        worker.actual = Actual::Ousting { origin, began, until: now.plus(AFTER_KILL), killed: true };
        vec![Effect::End(worker.name.clone(), Force::Kill)]
    }

    /// A hung watcher that cannot be ended is left, and not asked again until it has moved.
    pub(super) fn spare(&mut self, n: usize, why: String) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        let Actual::Ousting { origin, began, .. } = worker.actual else { return Vec::new() };
        worker.actual = Actual::Up { origin, began };
        worker.spared = true;
        vec![Effect::Say(Notice::NotEnded { worker: worker.name.clone(), why })]
    }
}
