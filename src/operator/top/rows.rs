//! The workers and what they run, as rows: of all that is known about a worker, what is shown of it.

use crate::task::{Place, WorkerName};

use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::look;
use super::super::report::Tone;
use super::super::worker::{Condition, Running, WorkerView, is_supervised, view};

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorkerRow {
    /// Its name.
    pub(super) name: WorkerName,
    /// What it is doing, in a word.
    pub(super) word: &'static str,
    /// How loud that is.
    pub(super) tone: Tone,
    /// Whether its watcher lives.
    pub(super) is_alive: bool,
    /// Whether an operator paused it.
    pub(super) is_paused: bool,
    /// How many agents it runs at a time.
    pub(super) slots: Option<u64>,
    /// How many tasks wait.
    pub(super) pending: usize,
    /// How many of a batch wait.
    pub(super) staged: usize,
    /// How many are at work.
    pub(super) active: usize,
    /// How many ended well.
    pub(super) completed: usize,
    /// How many failed.
    pub(super) failed: usize,
    /// Seconds since the last beat.
    pub(super) beat_s: Option<u64>,
    /// What a person should know, the worst first.
    pub(super) told: Vec<Condition>,
}

/// Everything, as rows.
pub(super) struct Rows {
    /// Whether a supervisor is there.
    pub(super) supervised: bool,
    /// How many tasks lie in the inbox.
    pub(super) inbox: usize,
    /// The workers, by name.
    pub(super) workers: Vec<WorkerRow>,
    /// What runs.
    pub(super) running: Vec<Running>,
}

/// Looks at all of it.
pub(super) fn look(desk: &Desk) -> Result<Rows, OperatorError> {
    let (mut workers, mut running) = (Vec::new(), Vec::new());
    for name in look::workers(&desk.layout)? {
        let mut worker = view(desk, name)?;
        running.append(&mut worker.running);
        workers.push(row(worker));
    }
    let inbox = look::depth(&desk.layout, None, Place::Inbox)?;
    Ok(Rows { supervised: is_supervised(desk), inbox, workers, running })
}

fn row(worker: WorkerView) -> WorkerRow {
    let depth = |place| worker.depths.iter().find(|(it, _)| *it == place).map_or(0, |(_, depth)| *depth);
    let (word, tone) = worker.word();
    let told = worker.conditions();
    WorkerRow {
        word,
        tone,
        is_alive: worker.is_alive(),
        is_paused: word == "paused" || told.iter().any(|it| it.word == "paused"),
        slots: worker.state.as_ref().and_then(|state| state.limits).map(|limits| limits.concurrency),
        pending: depth(Place::Pending),
        staged: depth(Place::Staged),
        active: depth(Place::Active),
        completed: depth(Place::Completed),
        failed: depth(Place::Failed),
        beat_s: worker.beat_s,
        told,
        name: worker.name,
    }
}
