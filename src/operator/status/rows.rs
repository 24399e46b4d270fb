//! The same for a view that lives: one row a worker and one a running task, as texts and numbers.

use crate::clock::Timestamp;
use crate::task::{Place, WorkerName};

use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::look::Seen;
use super::super::report::Tone;
use super::survey::{self, Running, Screen, WorkerView};

/// Everything, as rows.
#[derive(Debug)]
pub(in super::super) struct Rows {
    /// Whether a supervisor is there.
    pub(in super::super) supervised: bool,
    /// How many tasks lie in the inbox.
    pub(in super::super) inbox: usize,
    /// The workers, by name.
    pub(in super::super) workers: Vec<WorkerRow>,
    /// What runs, the longest first within a worker.
    pub(in super::super) running: Vec<RunningRow>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct WorkerRow {
    pub(in super::super) name: WorkerName,
    /// What it is doing, in a word.
    pub(in super::super) word: &'static str,
    pub(in super::super) tone: Tone,
    pub(in super::super) is_alive: bool,
    /// Whether an operator paused it.
    pub(in super::super) is_paused: bool,
    /// How many agents it runs at a time.
    pub(in super::super) slots: Option<u64>,
    pub(in super::super) pending: usize,
    pub(in super::super) staged: usize,
    pub(in super::super) active: usize,
    pub(in super::super) completed: usize,
    pub(in super::super) failed: usize,
    /// Seconds since the last beat.
    pub(in super::super) beat_s: Option<u64>,
    /// What a person should know, the worst first.
    pub(in super::super) told: Vec<Told>,
}

/// One thing that a person should know about a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Told {
    pub(in super::super) what: String,
    pub(in super::super) until: Option<Timestamp>,
    pub(in super::super) remedy: Option<String>,
    /// Whether it lasts until a person acts.
    pub(in super::super) is_yours: bool,
}

/// One task at work.
#[derive(Debug)]
pub(in super::super) struct RunningRow {
    pub(in super::super) seen: Seen,
    pub(in super::super) elapsed_s: u64,
    pub(in super::super) silent_s: Option<u64>,
    pub(in super::super) limit_s: Option<u64>,
    pub(in super::super) progress: Option<String>,
}

/// Looks at all of it.
pub(in super::super) fn look(desk: &Desk) -> Result<Rows, OperatorError> {
    let screen = survey::look(desk)?;
    let workers = screen.workers.iter().map(|worker| row(worker, &screen)).collect();
    let running =
        screen.workers.into_iter().flat_map(|worker| worker.running).map(RunningRow::from).collect();
    Ok(Rows { supervised: screen.supervised, inbox: screen.inbox, workers, running })
}

fn row(worker: &WorkerView, screen: &Screen) -> WorkerRow {
    let depth = |place| worker.depths.iter().find(|(it, _)| *it == place).map_or(0, |(_, depth)| *depth);
    let (word, tone) = worker.word();
    let conditions = worker.conditions(screen.supervised);
    let is_paused = word == "paused" || conditions.iter().any(|it| it.word == "paused");
    let told = conditions.into_iter().map(|it| Told {
        what: it.what,
        until: it.until,
        remedy: it.remedy,
        is_yours: it.is_yours,
    });
    WorkerRow {
        name: worker.name.clone(),
        word,
        tone,
        is_alive: worker.is_alive(),
        is_paused,
        slots: worker.state.as_ref().and_then(|state| state.limits).map(|limits| limits.concurrency),
        pending: depth(Place::Pending),
        staged: depth(Place::Staged),
        active: depth(Place::Active),
        completed: depth(Place::Completed),
        failed: depth(Place::Failed),
        beat_s: worker.beat_s,
        told: told.collect(),
    }
}

impl From<Running> for RunningRow {
    fn from(it: Running) -> Self {
        let Running { seen, elapsed_s, silent_s, limit_s, progress } = it;
        Self { seen, elapsed_s, silent_s, limit_s, progress }
    }
}
