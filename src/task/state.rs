//! The states of a task, and the places (directories) that are their coarse form.
//!
//! The place is the truth; the state field inside the file refines it.
//!
//! | place | states found there | who moves it in |
//! |---|---|---|
//! | inbox, pending | `PENDING` (or none yet) | the person who drops it; a requeue |
//! | staged | `PENDING` | a gradual resume |
//! | active | `INITIALIZING`, `RUNNING`, `COMPLETING`, for an instant `PENDING` or a terminal one | the claim |
//! | completed | `COMPLETED` | the outcome |
//! | failed | `FAILED`, `TIMEOUT` | the outcome |
//! | cancelled | `CANCELLED` | an operator |

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskState {
    /// Waiting to be claimed.
    Pending,
    /// Claimed; the agent is about to be started.
    Initializing,
    /// The agent works.
    Running,
    /// The agent has answered; its outcome is being made durable.
    Completing,
    /// Ended well.
    Completed,
    /// Ended badly, after all retries.
    Failed,
    /// Ended by a time limit, after all retries.
    Timeout,
    /// Ended by an operator.
    Cancelled,
}

impl TaskState {
    /// Whether nothing more will happen to a task in this state by itself.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Timeout | Self::Cancelled)
    }

    /// Where a task that ended in this state is filed; `None` while it has not ended.
    pub const fn terminal_place(self) -> Option<Place> {
        match self {
            Self::Completed => Some(Place::Completed),
            Self::Failed | Self::Timeout => Some(Place::Failed),
            Self::Cancelled => Some(Place::Cancelled),
            Self::Pending | Self::Initializing | Self::Running | Self::Completing => None,
        }
    }

    /// The word written into files, metrics and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Initializing => "INITIALIZING",
            Self::Running => "RUNNING",
            Self::Completing => "COMPLETING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Timeout => "TIMEOUT",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A directory in which a task can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// `tasks/`: any worker may take it.
    Inbox,
    /// `tasks/<worker>/pending/`.
    Pending,
    /// `tasks/<worker>/staged/`: released by a gradual resume.
    Staged,
    /// `tasks/<worker>/active/`.
    Active,
    /// `tasks/<worker>/completed/`.
    Completed,
    /// `tasks/<worker>/failed/`.
    Failed,
    /// `tasks/<worker>/cancelled/`.
    Cancelled,
}

impl Place {
    /// The places from which a task can be claimed, the most urgent first.
    pub const QUEUES: [Self; 3] = [Self::Staged, Self::Pending, Self::Inbox];
    /// The places where a task rests for good.
    pub const TERMINAL: [Self; 3] = [Self::Completed, Self::Failed, Self::Cancelled];
    /// The places that are folders of one worker.
    pub const OF_WORKER: [Self; 6] =
        [Self::Pending, Self::Staged, Self::Active, Self::Completed, Self::Failed, Self::Cancelled];

    /// The directory's name; the inbox is `tasks/` itself and is called `inbox` in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Pending => "pending",
            Self::Staged => "staged",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_terminal_exactly_when_it_has_a_place_to_rest() {
        for state in [
            TaskState::Pending,
            TaskState::Initializing,
            TaskState::Running,
            TaskState::Completing,
            TaskState::Completed,
            TaskState::Failed,
            TaskState::Timeout,
            TaskState::Cancelled,
        ] {
            assert_eq!(state.is_terminal(), state.terminal_place().is_some(), "{state}");
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{state}\""), "the file's word and the log's word are one");
        }
    }
}
