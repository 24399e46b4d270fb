//! Deciding: from a survey to a list of actions that can be read before they are done. Pure.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::crash::CrashReason;
use super::owed::Owed;
use super::survey::{ActiveFile, Surroundings};
use super::witness::{Liveness, Testimony};
use crate::agent::disposition::{self, Disposition, Terms};
use crate::clock::Timestamp;
use crate::os::process::ProcessId;
use crate::pack::Pack;
use crate::task::{
    AttemptOutcome, FileName, Outcome, Requeue, RunId, TaskFile, TaskState, Usage, WorkerName,
};
use crate::text::redact::Redactor;

/// What to do with a living agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LivingAgents {
    /// Leave it, to be adopted by the next watcher.
    Adopt,
    /// End it, and queue its task uncharged.
    End,
    /// It was ended for that a moment ago, and its last word counts.
    Ended,
}

/// What a plan depends on besides the survey.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How often a task may be charged before it fails for good, where it does not say so itself.
    pub max_retries: u32,
    /// What to do with living agents.
    pub living: LivingAgents,
    /// Now.
    pub now: Timestamp,
    /// 0 to 1, for the backoff.
    pub jitter: f64,
    /// What an attempt is charged with that its watcher's death interrupted: `worker_crash`, or what is known.
    pub failure: &'static str,
    /// Whether the open attempt is known to have started no agent: whoever asks made the claim himself, and the disk
    /// refused to have it undone.
    pub unstarted: bool,
    /// What takes secrets out of the reasons.
    pub redactor: Redactor,
}

impl Policy {
    fn terms(&self, pack: &Pack) -> Terms<'_> {
        Terms {
            max_retries: pack.max_retries.unwrap_or(self.max_retries),
            most_retries: pack.max_retries,
            continues: pack.continues(),
            now: self.now,
            jitter: self.jitter,
            // Its worker did not hear of it; whoever takes it next does.
            fails_at_limit: false,
            redactor: &self.redactor,
        }
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Leave the agent at work; the next watcher takes it up.
    Adopt {
        /// Its task.
        file: FileName,
        /// Its run.
        run_id: RunId,
        /// Its process, where it is known.
        pid: Option<i32>,
    },
    /// Leave a run whose agent has answered: what is still to be done before it can be filed is the next watcher's.
    TakeUp {
        /// Its task.
        file: FileName,
        /// Its run.
        run_id: RunId,
        /// What is still to be done.
        owed: Owed,
    },
    /// End processes of the run that are left.
    End {
        /// Their task.
        file: FileName,
        /// Them.
        pids: Vec<i32>,
        #[serde(skip)]
        /// Them, beyond a number.
        processes: Vec<ProcessId>,
    },
    /// File a task whose outcome is recorded.
    File {
        /// Its file.
        file: FileName,
        /// Its state.
        state: TaskState,
    },
    /// Record the outcome that nobody had recorded, and file the task.
    Conclude {
        /// Its file.
        file: FileName,
        #[serde(flatten)]
        /// The outcome.
        outcome: Outcome,
        #[serde(skip)]
        /// The whole answer.
        answer: Option<String>,
        #[serde(skip)]
        /// What the attempt used.
        usage: Usage,
    },
    /// Record the end of the attempt, and move the task back to pending.
    Requeue {
        /// Its file.
        file: FileName,
        /// Whether the attempt counts.
        charged: bool,
        /// Why.
        reason: String,
        #[serde(skip)]
        /// All of it.
        entry: Requeue,
    },
    /// Move a task back to pending, its record as it is: it was recorded before.
    PutBack {
        /// Its file.
        file: FileName,
    },
    /// Move a file back to pending untouched: it was taken and never started.
    MoveBack {
        /// Its file.
        file: FileName,
    },
    /// Leave a file alone that the disk does not show now.
    Leave {
        /// Its file.
        file: FileName,
        /// Why.
        reason: String,
    },
    /// Move what is no task to failed.
    Reject {
        /// Its file.
        file: FileName,
        /// Why.
        reason: String,
    },
    /// Remove the second home of a task.
    DropGhost {
        /// The name that goes; the task stays elsewhere.
        path: PathBuf,
    },
    /// Remove a temporary file.
    RemoveTemp {
        /// The file.
        path: PathBuf,
    },
    /// Remove a lock file that nobody holds.
    RemoveLock {
        /// The file.
        path: PathBuf,
    },
    /// Empty the scratch of runs that are over.
    ClearScratch,
}

impl Action {
    /// Whether it puts a task back into the queue.
    pub const fn is_homecoming(&self) -> bool {
        matches!(self, Self::Requeue { .. } | Self::PutBack { .. } | Self::MoveBack { .. })
    }

    /// The task that it is about, where it is about one.
    pub const fn file(&self) -> Option<&FileName> {
        match self {
            Self::Adopt { file, .. }
            | Self::TakeUp { file, .. }
            | Self::Leave { file, .. }
            | Self::End { file, .. }
            | Self::File { file, .. }
            | Self::Conclude { file, .. }
            | Self::Requeue { file, .. }
            | Self::PutBack { file }
            | Self::MoveBack { file }
            | Self::Reject { file, .. } => Some(file),
            Self::DropGhost { .. }
            | Self::RemoveTemp { .. }
            | Self::RemoveLock { .. }
            | Self::ClearScratch => None,
        }
    }
}

/// What recovery would do, or did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// For whom.
    pub worker: WorkerName,
    /// In this order.
    pub actions: Vec<Action>,
}

impl Plan {
    /// Whether the dead watcher left a task at work.
    pub fn found_work(&self) -> bool {
        self.actions.iter().any(|action| {
            matches!(
                action,
                Action::Adopt { .. }
                    | Action::TakeUp { .. }
                    | Action::File { .. }
                    | Action::Conclude { .. }
                    | Action::Requeue { .. }
                    | Action::PutBack { .. }
                    | Action::MoveBack { .. }
            )
        })
    }
}

/// What to do about what lies about: before anything is done to the tasks, and after it.
///
/// Ghosts come first: a task must not be queued beside its own second home.
pub fn clear(seen: Surroundings) -> (Vec<Action>, Vec<Action>) {
    let ghosts = seen.ghosts.into_iter().map(|path| Action::DropGhost { path });
    let first = ghosts.chain(remove_temps(seen.temps)).collect();
    let locks = seen.stale_locks.into_iter().map(|path| Action::RemoveLock { path });
    (first, locks.chain(std::iter::once(Action::ClearScratch)).collect())
}

/// Removes what cut writes left behind.
pub fn remove_temps(temps: Vec<PathBuf>) -> impl Iterator<Item = Action> {
    temps.into_iter().map(|path| Action::RemoveTemp { path })
}

/// What to do about one file in `active/`.
pub fn decide(active: &ActiveFile, policy: &Policy) -> Vec<Action> {
    let file = active.file.clone();
    if active.filed.is_some() {
        // Filed wins over worked.
        return vec![Action::DropGhost { path: active.path.clone() }];
    }
    if let Some(reason) = &active.unread {
        return vec![Action::Leave { file, reason: reason.clone() }];
    }
    let task = match &active.task {
        // It cannot be read while it has two names, and it has them since a move was cut in the middle.
        Err(_) if active.is_linked => return vec![Action::MoveBack { file }],
        Err(reason) => return vec![Action::Reject { file, reason: reason.clone() }],
        Ok(task) => task,
    };
    let record = &task.record;
    if !active.believed || (record.attempts.is_empty() && record.outcome().is_none()) {
        return vec![Action::MoveBack { file }];
    }
    if let Some(outcome) = record.outcome() {
        return vec![Action::File { file, state: outcome.state }];
    }
    match &active.testimony {
        Some(testimony) => interrupted(file, task, testimony, policy),
        None => vec![Action::PutBack { file }],
    }
}

/// Why an attempt counts for nothing whose agent was ended here.
const ENDED: &str = "ended by the operator during recovery";

/// What to do about an attempt that nobody recorded the end of.
fn interrupted(file: FileName, task: &TaskFile, testimony: &Testimony, policy: &Policy) -> Vec<Action> {
    let agent = task.record.open_attempt().and_then(super::witness::process_of);
    if testimony.liveness == Liveness::Lives && policy.living == LivingAgents::Adopt {
        let Some(run_id) = task.record.run_id else { return Vec::new() };
        return vec![Action::Adopt { file, run_id, pid: agent.map(|it| it.pid) }];
    }
    let mut processes = testimony.strays.clone();
    let ended_here = testimony.liveness == Liveness::Lives;
    if ended_here {
        processes.extend(agent);
    }
    let mut actions = Vec::new();
    if !processes.is_empty() || ended_here {
        let pids = processes.iter().map(|it| it.pid).collect();
        actions.push(Action::End { file: file.clone(), pids, processes });
    }
    actions.push(match &testimony.heard {
        // Whoever does not want to wait for a watcher has it back in the queue, where it can be cancelled too.
        Some(_) if testimony.owed.is_some() && policy.living != LivingAgents::Adopt => {
            Action::PutBack { file }
        }
        Some(_) if let Some((owed, run_id)) = testimony.owed.zip(task.record.run_id) => {
            Action::TakeUp { file, run_id, owed }
        }
        Some(judgement) => {
            from_disposition(file, disposition::dispose(judgement, task, &policy.terms(&testimony.pack.pack)))
        }
        None => unheard(file, task, testimony, policy),
    });
    actions
}

/// What becomes of a task whose agent came to no result, and is gone or is to be ended. What it used was used all the same:
/// or a task could begin its limit anew with each death.
fn unheard(file: FileName, task: &TaskFile, testimony: &Testimony, policy: &Policy) -> Action {
    if policy.unstarted {
        return requeue(file, unstarted());
    }
    let usage = disposition::unpriced(testimony.tokens);
    if testimony.liveness == Liveness::Lives || policy.living == LivingAgents::Ended {
        return requeue(file, uncharged(ENDED, usage));
    }
    let failure = if testimony.is_oom_killed { CrashReason::OomKilled.failure() } else { policy.failure };
    let terms = policy.terms(&testimony.pack.pack);
    from_disposition(file, disposition::after_crash(failure, usage, task, &terms))
}

fn uncharged(reason: &str, usage: Usage) -> Requeue {
    Requeue {
        outcome: AttemptOutcome::Interrupted,
        charged: false,
        reason: reason.to_owned(),
        error_code: None,
        retry_at: None,
        usage,
    }
}

fn unstarted() -> Requeue {
    let reason = "the disk refused the claim; no agent was started";
    Requeue { outcome: AttemptOutcome::NotStarted, ..uncharged(reason, Usage::default()) }
}

fn from_disposition(file: FileName, disposition: Disposition) -> Action {
    match disposition {
        Disposition::Conclude { outcome, answer, usage } => Action::Conclude { file, outcome, answer, usage },
        Disposition::Requeue { entry, .. } => requeue(file, entry),
    }
}

fn requeue(file: FileName, entry: Requeue) -> Action {
    Action::Requeue { file, charged: entry.charged, reason: entry.reason.clone(), entry }
}

impl Action {
    /// The file of a task whose agent lives and is ended before this.
    pub fn of_one_who_is_ended(&self) -> Option<&FileName> {
        let Self::Requeue { file, reason, .. } = self else { return None };
        (reason == ENDED).then_some(file)
    }
}

impl fmt::Display for Action {
    /// The runbook's lines where it has any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopt { file, pid: Some(pid), .. } => {
                write!(f, "Leaving {file} to its living agent (pid {pid}), to be adopted")
            }
            Self::Adopt { file, pid: None, .. } => {
                write!(f, "Leaving {file} to its living agent, to be adopted")
            }
            Self::TakeUp { file, owed, .. } => write!(f, "Leaving {file} to the next watcher: {owed}"),
            Self::End { file, pids, .. } => {
                write!(f, "Ending {} process(es) left by {file}: {pids:?}", pids.len())
            }
            Self::File { file, state } => write!(f, "Filing {file}: it was already {state}"),
            Self::Conclude { file, outcome, .. } => {
                write!(f, "Filing {file} as {}: its agent had come to an end", outcome.state)
            }
            Self::Requeue { file, charged, reason, .. } => {
                let note = if *charged { "charged" } else { "not charged" };
                write!(f, "Moving {file} back to pending ({reason}, {note})")
            }
            Self::PutBack { file } | Self::MoveBack { file } => write!(f, "Moving {file} back to pending"),
            Self::Leave { file, reason } => write!(f, "Leaving {file} where it is: {reason}"),
            Self::Reject { file, reason } => write!(f, "Moving {file} to failed: {reason}"),
            Self::DropGhost { path } => {
                write!(f, "Removing the second home of a task: {}", path.display())
            }
            Self::RemoveTemp { path } => write!(f, "Removing a temporary file: {}", name(path)),
            Self::RemoveLock { path } => write!(f, "Removing stale lock: {}", name(path)),
            Self::ClearScratch => write!(f, "Clearing the scratch of runs that are over"),
        }
    }
}

fn name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actions.iter().try_for_each(|action| writeln!(f, "{action}"))
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
