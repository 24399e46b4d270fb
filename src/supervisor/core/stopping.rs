//! Ending everything: politely, then without the rest of the grace, then for good.

use std::time::Duration;

use super::{AFTER_KILL, Core, Effect, Moment};
use crate::clock::Ticks;
use crate::config::RestartBy;
use crate::supervisor::notice::{Force, Notice};
use crate::supervisor::state::{Actual, Rest};

/// How much longer than their grace watchers may take to stop.
pub const STOP_MARGIN: Duration = Duration::from_secs(15);

/// How far the stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopping {
    /// Nobody asked.
    No,
    /// Asked so many times; at `until` patience ends.
    Asked { times: u32, until: Ticks },
    /// Everybody was killed; at `until` whoever is left is left.
    Killed { until: Ticks },
    /// Over.
    Done,
}

impl Stopping {
    const fn is_asked(self) -> bool {
        matches!(self, Self::Asked { .. } | Self::Killed { .. })
    }

    pub(super) const fn due(self) -> Option<Ticks> {
        match self {
            Self::Asked { until, .. } | Self::Killed { until } => Some(until),
            Self::No | Self::Done => None,
        }
    }
}

impl Core {
    /// Whether somebody asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping != Stopping::No
    }

    /// Somebody asked to stop. Watchers that a host owns are left as they are.
    pub fn stop(&mut self, at: Moment) -> Vec<Effect> {
        let times = match self.stopping {
            Stopping::No => 1,
            Stopping::Asked { times, .. } => times + 1,
            Stopping::Killed { .. } => 3,
            Stopping::Done => return Vec::new(),
        };
        if self.rules.by != RestartBy::Exec {
            self.stopping = Stopping::Done;
            let running = self.workers.iter().filter(|it| it.actual.is_running()).count();
            return vec![Effect::Say(Notice::Leaving { running }), Effect::Finish];
        }
        for worker in self.workers.iter_mut().filter(|it| !it.actual.is_running()) {
            worker.actual = worker.actual.rest();
        }
        let running = self.workers.iter().filter(|it| it.actual.is_running()).count();
        let mut out = Vec::new();
        if times >= 3 {
            out.extend(self.kill_all(at.now));
        } else {
            out.push(Effect::Say(if times == 1 {
                Notice::Stopping { running, grace: self.rules.grace }
            } else {
                Notice::Hurrying
            }));
            out.extend(self.end_all(Force::Ask));
            let until = at.now.plus(self.rules.grace).plus(STOP_MARGIN);
            self.stopping = Stopping::Asked { times, until };
        }
        self.finish_if_over(&mut out);
        out
    }

    pub(super) fn stopping_due(&mut self, now: Ticks) -> Vec<Effect> {
        match self.stopping {
            Stopping::Asked { until, .. } if until <= now => self.kill_all(now),
            Stopping::Killed { until } if until <= now => {
                let why = "it is still there after SIGKILL, so it waits inside the kernel";
                (0..self.workers.len()).flat_map(|n| self.left_running(n, why.to_owned())).collect()
            }
            Stopping::No | Stopping::Asked { .. } | Stopping::Killed { .. } | Stopping::Done => Vec::new(),
        }
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

    pub(super) fn finish_if_over(&mut self, out: &mut Vec<Effect>) {
        if self.stopping.is_asked() && self.workers.iter().all(|it| !it.actual.is_running()) {
            self.stopping = Stopping::Done;
            out.push(Effect::Finish);
        }
    }

    pub(super) fn left_running(&mut self, n: usize, why: String) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        if !self.stopping.is_asked() || !worker.actual.is_running() {
            return Vec::new();
        }
        worker.actual = Actual::Resting(Rest::LeftRunning);
        vec![Effect::Say(Notice::NotEnded { worker: worker.name.clone(), why })]
    }
}
