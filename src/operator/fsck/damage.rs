//! What can be found on a tree, which promise it breaks, and what mends it.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::seen::Stamp;
use crate::task::{FileName, Place, WorkerName};

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Nothing has to be done; it goes by itself, or nobody needs it.
    Note,
    /// A promise is broken, and can be kept again.
    Broken,
    /// A promise is broken, and what would mend it is not there: a person has to decide.
    Damaged,
}

/// What kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Damage {
    /// One task in two places.
    TwoHomes,
    /// What a cut write left.
    TempLeft,
    /// Filed where its outcome does not belong.
    WrongFolder,
    /// Filed without an outcome.
    NoOutcome,
    /// Filed, and cannot be read.
    Unreadable,
    /// Filed without a result.
    NoResult,
    /// The result tells of another outcome than the task.
    OtherResult,
    /// Failed without a reason beside it.
    NoReason,
    /// A reason that is no JSON object.
    BadReason,
    /// A reason without its file.
    ReasonAlone,
    /// Worked on, and no record of the run names it.
    NoRecord,
    /// Worked on by nobody: recovery puts it right.
    Unrecovered,
    /// Staged, and no gradual resume is under way.
    StagedLeft,
    /// A lock file that nobody holds.
    FreeLock,
    /// Lines of a journal that are none.
    TornJournal,
    /// Concluded, and no journal tells of it.
    Untold,
    /// May be written by everybody.
    OpenToAll,
    /// The folders cannot carry a queue.
    Shape,
    /// Something that is no task's file.
    Foreign,
    /// A run that no task belongs to.
    Orphan,
}

impl Damage {
    /// Which promise it is about.
    pub(super) const fn promise(self) -> &'static str {
        match self {
            Self::TwoHomes | Self::TempLeft | Self::WrongFolder | Self::Shape | Self::Foreign => "one place",
            Self::NoOutcome | Self::Unreadable | Self::NoResult | Self::OtherResult => "outcome before move",
            Self::NoReason | Self::BadReason | Self::ReasonAlone => "every failure has its reason",
            Self::NoRecord | Self::Unrecovered => "every start is recorded before it happens",
            Self::StagedLeft => "staged only during a gradual resume",
            Self::FreeLock => "a lock file is there as long as its holder",
            Self::TornJournal | Self::Untold => "the journal tells of every task",
            Self::OpenToAll => "what is ours is written by us",
            Self::Orphan => "what is done with goes",
        }
    }

    /// The word for tables and programs.
    pub(super) fn word(self) -> String {
        serde_json::to_value(self).ok().and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// What mends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub(super) enum Repair {
    /// Clean recovery of the worker.
    Recover {
        /// Whose.
        worker: WorkerName,
    },
    /// Its move to the folder that its outcome names.
    Refile {
        /// Whose.
        worker: WorkerName,
        /// Where it is.
        place: Place,
        /// Its file.
        file: FileName,
    },
    /// Writing the papers beside a filed task again.
    Papers {
        /// Whose.
        worker: WorkerName,
        /// Where it is.
        place: Place,
        /// Its file.
        file: FileName,
    },
    /// Its move back to pending.
    Unstage {
        /// Whose.
        worker: WorkerName,
        /// Its file.
        file: FileName,
    },
    /// A line in the journal.
    Tell {
        /// Whose.
        worker: WorkerName,
        /// Where it is.
        place: Place,
        /// Its file.
        file: FileName,
    },
    /// Removing a name of a worker's that nobody needs.
    Remove {
        /// Whose.
        worker: WorkerName,
    },
    /// Removing a lock file, if still nobody holds it.
    RemoveLock,
    /// Taking the right to write from everybody.
    Close,
    /// A person.
    ByHand {
        /// What to type, or to decide.
        remedy: String,
    },
    /// Nobody has to do anything.
    None,
}

impl Repair {
    /// The worker whose lock it needs; `None` if it is safe beside a living watcher.
    pub(super) const fn needs(&self) -> Option<&WorkerName> {
        match self {
            Self::Recover { worker }
            | Self::Refile { worker, .. }
            | Self::Papers { worker, .. }
            | Self::Unstage { worker, .. }
            | Self::Tell { worker, .. }
            | Self::Remove { worker } => Some(worker),
            Self::RemoveLock | Self::Close | Self::ByHand { .. } | Self::None => None,
        }
    }

    /// Whether `fsck --repair` does it.
    pub(super) const fn is_ours(&self) -> bool {
        !matches!(self, Self::ByHand { .. } | Self::None)
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recover { worker } => write!(f, "recover {worker} (`supervisor recover {worker}`)"),
            Self::Refile { .. } => f.write_str("move it to the folder that its outcome names"),
            Self::Papers { .. } => f.write_str("write it again from the task's file"),
            Self::Unstage { worker, .. } => write!(f, "move it back to {worker}'s pending/"),
            Self::Tell { .. } => f.write_str("write the line from the task's file"),
            Self::Remove { .. } | Self::RemoveLock => f.write_str("remove it"),
            Self::Close => f.write_str("take the right to write from others (`chmod o-w`)"),
            Self::ByHand { remedy } => f.write_str(remedy),
            Self::None => f.write_str("nothing has to be done"),
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// How much it weighs.
    pub(super) severity: Severity,
    /// Its kind.
    pub(super) damage: Damage,
    /// Where.
    pub(super) path: PathBuf,
    /// What is so, as a sentence without its full stop.
    pub(super) what: String,
    /// What mends it.
    pub(super) repair: Repair,
    /// Which version of the path was seen.
    #[serde(skip)]
    pub(super) stamp: Stamp,
}

impl Finding {
    /// Whether `other` is the same finding of another look.
    pub(super) fn is_again(&self, other: &Self) -> bool {
        (self.damage, &self.path, self.stamp) == (other.damage, &other.path, other.stamp)
    }
}
