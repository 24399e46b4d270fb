//! A worker that nobody restarts any more: what lies with it is swept, until somebody brings it back.

use std::time::Duration;

use super::{Core, Effect};
use crate::clock::Ticks;
use crate::config::RestartBy;
use crate::supervisor::notice::Notice;
use crate::supervisor::restart::Tally;
use crate::supervisor::state::{Actual, Rest, Sweep, Swept};

/// Between two sweeps while an agent is still at work.
const WHILE_AGENTS_LIVE: Duration = Duration::from_secs(5);
/// Between two sweeps otherwise: people go on dropping tasks into its folder.
const OTHERWISE: Duration = Duration::from_secs(15);

impl Core {
    pub(super) fn set_aside(&mut self, n: usize, notice: Notice, now: Ticks) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        worker.gone_since.get_or_insert(now);
        worker.actual = Actual::Resting(Rest::SetAside);
        vec![Effect::Say(notice), Effect::Sweep(worker.name.clone(), Sweep::All)]
    }

    pub(super) fn swept(&mut self, n: usize, swept: Swept, now: Ticks) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        if worker.actual == Actual::Resting(Rest::SetAside) {
            let pause = if swept.living > 0 { WHILE_AGENTS_LIVE } else { OTHERWISE };
            worker.sweep_at = Some(now.plus(pause));
        }
        // The same trouble is told once.
        let is_news = swept.trouble.is_some() && swept.trouble != worker.trouble;
        worker.trouble.clone_from(&swept.trouble);
        if swept.recovered + swept.handed + swept.owed == 0 && !is_news {
            return Vec::new();
        }
        vec![Effect::Say(Notice::Swept { worker: worker.name.clone(), swept })]
    }

    pub(super) fn sweep_due(&mut self, n: usize, now: Ticks) -> Vec<Effect> {
        let stopping = self.is_stopping();
        let worker = &mut self.workers[n];
        if stopping || worker.sweep_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        worker.sweep_at = None;
        vec![Effect::Sweep(worker.name.clone(), Sweep::WhatIsLeft)]
    }

    /// Somebody says that what was wrong was put right: who was given up is tried again, its past forgotten.
    pub fn anew(&mut self) -> Vec<Effect> {
        if self.is_stopping() || self.rules.by == RestartBy::Nobody {
            return Vec::new();
        }
        let mut out = Vec::new();
        for worker in &mut self.workers {
            if !matches!(worker.actual, Actual::Resting(Rest::SetAside | Rest::Misconfigured)) {
                continue;
            }
            worker.tally = Tally::default();
            worker.sweep_at = None;
            worker.actual = Actual::Absent;
            out.push(Effect::Say(Notice::Anew { worker: worker.name.clone() }));
            out.push(Effect::Look(worker.name.clone()));
        }
        out
    }
}
