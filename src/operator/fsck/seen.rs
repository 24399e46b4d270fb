//! What a look at the whole tree saw: a value, to be judged. It knows no rule.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use crate::spool::suitable;
use crate::task::{FileName, Place, RunId, TaskName, TaskState, WorkerName};

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// The workers.
    pub(super) workers: BTreeMap<WorkerName, WorkerSeen>,
    /// What lies in the places of tasks, in the order in which a task goes through them.
    pub(super) entries: Vec<EntrySeen>,
    /// The folders of runs under `artifacts/` and `workspaces/`.
    pub(super) runs: Vec<(RunId, PathBuf)>,
    /// Lock files that nobody holds.
    pub(super) free_locks: Vec<(PathBuf, Stamp)>,
    /// The runs of which some journal says that they were concluded.
    pub(super) concluded: HashSet<RunId>,
    /// Journals with lines that are none, and how many.
    pub(super) torn: Vec<(WorkerName, PathBuf, usize)>,
    /// What is wrong with the folders themselves.
    pub(super) shape: Vec<suitable::Finding>,
}

/// One worker.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkerSeen {
    /// Whether somebody holds its lock: then `active/` is nobody else's business.
    pub(super) is_held: bool,
    /// Whether a gradual resume is under way.
    pub(super) resumes: bool,
    /// The first day of which there is a journal.
    pub(super) told_since: Option<String>,
}

/// Tells one version of a thing at a path from another: its device and inode.
pub(super) type Stamp = (u64, u64);

/// One name in a place.
#[derive(Clone, Debug)]
pub(super) struct EntrySeen {
    /// Whose place; `None` is the inbox.
    pub(super) worker: Option<WorkerName>,
    /// The place.
    pub(super) place: Place,
    /// The name, as far as it can be shown.
    pub(super) name: String,
    /// The path.
    pub(super) path: PathBuf,
    /// Which file.
    pub(super) stamp: Stamp,
    /// Its permissions.
    pub(super) mode: u32,
    /// What it is.
    pub(super) what: What,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A task.
    Task(Box<TaskSeen>),
    /// A task's file with no task in it, and why.
    NoTask(FileName, String),
    /// A reason in `failed/`; whether it is a JSON object.
    Reason(bool),
    /// What a cut write left.
    Temp,
    /// Something else.
    Foreign(&'static str),
}

/// A task that was read.
#[derive(Clone, Debug)]
pub(super) struct TaskSeen {
    /// Its file's name.
    pub(super) file: FileName,
    /// Its name.
    pub(super) task: TaskName,
    /// Its run.
    pub(super) run: Option<RunId>,
    /// The state in its file.
    pub(super) state: Option<TaskState>,
    /// The day on which it ended, in UTC.
    pub(super) ended: Option<String>,
    /// What is kept of its run.
    pub(super) record: RecordSeen,
}

/// What is kept of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordSeen {
    /// There is no run, or its folder is not there.
    Gone,
    /// Its folder is there, and does not name this task.
    NotOurs,
    /// It names this task; and what its result says.
    Ours(ResultSeen),
}

/// What `result.json` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResultSeen {
    /// There is none.
    Missing,
    /// It cannot be read, or says something else than a state.
    Unreadable,
    /// The task's state.
    State(TaskState),
}

impl Survey {
    /// Whether somebody works as, or for, the worker of an entry.
    pub(super) fn is_held(&self, worker: Option<&WorkerName>) -> bool {
        match worker {
            Some(worker) => self.workers.get(worker).is_some_and(|it| it.is_held),
            None => self.workers.values().any(|it| it.is_held),
        }
    }
}

impl EntrySeen {
    /// The task in it.
    pub(super) fn task(&self) -> Option<&TaskSeen> {
        if let What::Task(task) = &self.what { Some(task) } else { None }
    }
}
