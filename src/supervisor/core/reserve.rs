//! Backups: workers that run only while another is gone, and leave when it is back and they have nothing to do.
//!
//! A backup takes what lies in the inbox, as everybody does. It has no task taken away to make it leave: it is asked
//! at its first idle moment.

use std::time::Duration;

use super::{Core, Effect};
use crate::clock::Ticks;
use crate::supervisor::notice::{Force, Notice};
use crate::supervisor::state::{Actual, Rest, Retiring, Sweep, Worker};
use crate::task::WorkerName;

/// How long a worker may be without a watcher before a backup is called.
const LONG: Duration = Duration::from_mins(5);

impl Core {
    /// When somebody will have been gone for long.
    pub(super) fn reserve_due(&self) -> Option<Ticks> {
        let waits = self.workers.iter().any(|it| it.actual == Actual::Resting(Rest::Reserve));
        let gone = self.workers.iter().filter(|it| !it.is_backup && !is_gone_for_good(it));
        gone.filter_map(|it| it.gone_since).map(|since| since.plus(LONG)).min().filter(|_| waits)
    }

    pub(super) fn call_or_retire(&mut self, now: Ticks) -> Vec<Effect> {
        if self.is_stopping() || !self.workers.iter().any(|it| it.is_backup) {
            return Vec::new();
        }
        let long = |it: &Worker| it.gone_since.is_some_and(|since| now.since(since) >= LONG);
        let gone = self.workers.iter().find(|it| !it.is_backup && (is_gone_for_good(it) || long(it)));
        let gone: Option<WorkerName> = gone.map(|it| it.name.clone());
        let backups = self.workers.iter_mut().filter(|it| it.is_backup);
        backups.flat_map(|backup| call_or_retire_one(backup, gone.as_ref())).collect()
    }

    /// One that could not be asked is not idle.
    pub(super) fn retire_if_idle(&mut self, n: usize, running: Option<usize>) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        if worker.retiring != Retiring::Wished || running != Some(0) {
            return Vec::new();
        }
        worker.retiring = Retiring::Asked;
        vec![Effect::End(worker.name.clone(), Force::Ask)]
    }

    /// A backup has stopped as it was told; what it may have taken at the last moment is handed on.
    pub(super) fn retired(&mut self, n: usize) -> Vec<Effect> {
        let worker = &mut self.workers[n];
        worker.is_back();
        worker.actual = Actual::Resting(Rest::Reserve);
        let name = worker.name.clone();
        vec![Effect::Say(Notice::InReserve { worker: name.clone() }), Effect::Sweep(name, Sweep::WhatIsLeft)]
    }
}

fn is_gone_for_good(worker: &Worker) -> bool {
    matches!(worker.actual, Actual::Resting(Rest::SetAside | Rest::Misconfigured))
}

fn call_or_retire_one(backup: &mut Worker, gone: Option<&WorkerName>) -> Vec<Effect> {
    let name = backup.name.clone();
    match (gone, backup.actual) {
        (Some(gone), Actual::Resting(Rest::Reserve)) => {
            backup.actual = Actual::Absent;
            let called = Notice::Called { worker: name.clone(), instead_of: gone.clone() };
            vec![Effect::Say(called), Effect::Look(name)]
        }
        (Some(_), Actual::Up { .. }) => {
            if backup.retiring == Retiring::Wished {
                backup.retiring = Retiring::No;
            }
            Vec::new()
        }
        (None, Actual::Up { .. }) if backup.retiring == Retiring::No => {
            backup.retiring = Retiring::Wished;
            vec![Effect::Say(Notice::Retiring { worker: name })]
        }
        // It died meanwhile, and is not needed any more.
        (None, Actual::Cooling { .. } | Actual::Resting(Rest::SetAside | Rest::Misconfigured)) => {
            backup.actual = Actual::Resting(Rest::Reserve);
            vec![Effect::Say(Notice::InReserve { worker: name })]
        }
        (Some(_) | None, _) => Vec::new(),
    }
}
