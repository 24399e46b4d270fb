//! What there is to be seen, as one value: what a survey found, and nothing of how it is shown.
//!
//! Texts are as they were found: whoever shows them escapes them.

use crate::task::{Place, TaskState};

use super::super::stream_view::Shown;
use super::rows::WorkerRow;

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scene {
    /// The root.
    pub(super) root: String,
    /// The time of day, in UTC.
    pub(super) time: String,
    /// Whether a supervisor is there.
    pub(super) supervised: bool,
    /// How many tasks lie in the inbox.
    pub(super) inbox: usize,
    /// The workers, by name.
    pub(super) workers: Vec<Worker>,
    /// What runs.
    pub(super) running: Vec<Task>,
    /// What waits: in the inbox, staged, pending.
    pub(super) waiting: Vec<Task>,
    /// What failed.
    pub(super) failed: Vec<Task>,
    /// What the selected one says or is.
    pub(super) detail: Detail,
}

/// One worker, and what it spent today (UTC).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Worker {
    /// How it is.
    pub(super) row: WorkerRow,
    /// US dollars of the attempts that ended today.
    pub(super) cost_usd: f64,
    /// How many tasks it claimed today.
    pub(super) claims: usize,
}

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Task {
    /// `worker/task`, which names it.
    pub(super) full_name: String,
    /// The task's own name.
    pub(super) name: String,
    /// Whose it is; `inbox` where nobody's.
    pub(super) worker: String,
    /// Where it lies.
    pub(super) place: Place,
    /// How far it is.
    pub(super) state: TaskState,
    /// Seconds: since its attempt began, since it waits, since it failed.
    pub(super) age_s: u64,
    /// What one attempt may take.
    pub(super) limit_s: Option<u64>,
    /// Since its agent last wrote anything.
    pub(super) silent_s: Option<u64>,
    /// US dollars of its attempts that have ended.
    pub(super) cost_usd: f64,
    /// How often it was charged.
    pub(super) charges: u32,
    /// What was asked for.
    pub(super) priority: i32,
    /// Whether an operator holds it.
    pub(super) is_held: bool,
    /// What it says: its progress or its last line, why it failed, or what it was asked.
    pub(super) says: String,
}

/// What stands in the pane below the lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Detail {
    /// Of which task or worker.
    pub(super) of: Option<String>,
    /// The last lines, escaped.
    pub(super) lines: Vec<Shown>,
}
