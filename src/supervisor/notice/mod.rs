//! What the supervisor tells the person in front of it, as values and as lines.
//!
//! The runbook's lines ("Restarting W", "Cooldown period for W", "Max restarts reached for W") stand at the
//! beginning of theirs, word for word.

mod wording;

use std::time::Duration;

use super::condition::Condition;
use super::level::Level;
use super::restart::Policy;
use super::state::Swept;
use crate::os::holder::Role;
use crate::os::process::Exit;
use crate::task::WorkerName;

/// How a watcher is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// `SIGTERM`: it puts its tasks back; a second one skips its grace.
    Ask,
    /// `SIGKILL`: whoever comes next puts its tasks back.
    Kill,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A watcher that was started now holds its lock.
    Up {
        /// Whose.
        worker: WorkerName,
        /// Its pid, where the lock's mirror says it.
        pid: Option<i32>,
        /// How long nobody was at work, if one had died before.
        after: Option<Duration>,
    },
    /// A watcher was there already.
    TakenOver {
        /// Whose.
        worker: WorkerName,
        /// Its pid, where the lock's mirror says it.
        pid: Option<i32>,
    },
    /// Somebody who is no watcher holds the worker's lock.
    Occupied {
        /// Whose.
        worker: WorkerName,
        /// Who.
        role: Role,
    },
    /// A watcher died.
    Died {
        /// Whose.
        worker: WorkerName,
        /// How, where we are its parent.
        exit: Option<Exit>,
        /// How long it had lived, as far as we know.
        lived: Duration,
        /// Which of its deaths this is, of those that count.
        death: usize,
    },
    /// A watcher could not be started now.
    NotStarted {
        /// Whose.
        worker: WorkerName,
        /// Why not.
        why: String,
    },
    /// It is started again.
    Restarting {
        /// Whose.
        worker: WorkerName,
        /// After which of its deaths that count.
        death: usize,
    },
    /// Its host starts it by itself.
    Awaited {
        /// Whose.
        worker: WorkerName,
        /// How long that may take.
        wait: Duration,
    },
    /// Its host did not.
    NotBack {
        /// Whose.
        worker: WorkerName,
        /// How long that was waited for.
        waited: Duration,
    },
    /// A watcher makes no progress, and is ended.
    Hung {
        /// Whose.
        worker: WorkerName,
        /// For how long it has shown none.
        silent: Duration,
    },
    /// A watcher is in a condition in which it does nothing, and ending it would not help.
    Stuck {
        /// Whose.
        worker: WorkerName,
        /// Which.
        condition: Condition,
        /// For how long it has shown no progress.
        silent: Duration,
    },
    /// That is over.
    Moves {
        /// Whose.
        worker: WorkerName,
    },
    /// What lay with a worker that nobody restarts was brought home or handed on.
    Swept {
        /// Whose.
        worker: WorkerName,
        /// What of it.
        swept: Swept,
    },
    /// One that had been given up is tried again.
    Anew {
        /// Whose.
        worker: WorkerName,
    },
    /// A backup is wanted.
    Called {
        /// Which.
        worker: WorkerName,
        /// For whom.
        instead_of: WorkerName,
    },
    /// A backup is not wanted any more, and ends as soon as it has nothing to do.
    Retiring {
        /// Which.
        worker: WorkerName,
    },
    /// A backup waits until it is wanted.
    InReserve {
        /// Which.
        worker: WorkerName,
    },
    /// It will be.
    Cooldown {
        /// Whose.
        worker: WorkerName,
        /// In how long.
        wait: Duration,
    },
    /// It will not be.
    SetAside {
        /// Whose.
        worker: WorkerName,
        /// The rule that said so.
        policy: Policy,
    },
    /// It stopped without our asking, and said so.
    StoppedByItself {
        /// Whose.
        worker: WorkerName,
    },
    /// It cannot start the way it is configured.
    Misconfigured {
        /// Whose.
        worker: WorkerName,
        /// What it said.
        why: String,
    },
    /// Everybody is asked to stop.
    Stopping {
        /// How many there are.
        running: usize,
        /// What their agents get.
        grace: Duration,
    },
    /// We go; watchers that their host owns stay.
    Leaving {
        /// How many there are.
        running: usize,
    },
    /// Everybody is asked again.
    Hurrying,
    /// Everybody is killed.
    Killing,
    /// A watcher has ended as we asked.
    Ended {
        /// Whose.
        worker: WorkerName,
        /// How, where we are its parent.
        exit: Option<Exit>,
    },
    /// A watcher could not be ended.
    NotEnded {
        /// Whose.
        worker: WorkerName,
        /// Why not.
        why: String,
    },
}

/// How much a line asks of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Good to know.
    Plain,
    /// Something is wrong, and we deal with it.
    Warning,
    /// Somebody has to do something.
    Alarm,
}

impl Notice {
    /// How much it asks of the person.
    pub const fn weight(&self) -> Weight {
        match self {
            Self::Died { .. }
            | Self::NotStarted { .. }
            | Self::Cooldown { .. }
            | Self::Awaited { .. }
            | Self::Hung { .. }
            | Self::Called { .. }
            | Self::Killing => Weight::Warning,
            Self::SetAside { .. }
            | Self::NotBack { .. }
            | Self::Stuck { .. }
            | Self::Misconfigured { .. }
            | Self::NotEnded { .. } => Weight::Alarm,
            Self::Up { .. }
            | Self::TakenOver { .. }
            | Self::Occupied { .. }
            | Self::Restarting { .. }
            | Self::Moves { .. }
            | Self::Swept { .. }
            | Self::Anew { .. }
            | Self::Retiring { .. }
            | Self::InReserve { .. }
            | Self::StoppedByItself { .. }
            | Self::Stopping { .. }
            | Self::Leaving { .. }
            | Self::Hurrying
            | Self::Ended { .. } => Weight::Plain,
        }
    }

    /// How far the trouble has gone, if it is about one.
    pub const fn level(&self) -> Option<Level> {
        match self {
            Self::Died { death, .. } | Self::Restarting { death, .. } => Some(Level::of_death(*death)),
            Self::Hung { .. } | Self::Awaited { .. } => Some(Level::L1),
            Self::NotStarted { .. } | Self::Cooldown { .. } | Self::Stuck { .. } => Some(Level::L2),
            Self::SetAside { .. }
            | Self::NotBack { .. }
            | Self::Swept { .. }
            | Self::Called { .. }
            | Self::Misconfigured { .. }
            | Self::NotEnded { .. } => Some(Level::L3),
            Self::Up { .. }
            | Self::TakenOver { .. }
            | Self::Occupied { .. }
            | Self::Moves { .. }
            | Self::Anew { .. }
            | Self::Retiring { .. }
            | Self::InReserve { .. }
            | Self::StoppedByItself { .. }
            | Self::Stopping { .. }
            | Self::Leaving { .. }
            | Self::Hurrying
            | Self::Killing
            | Self::Ended { .. } => None,
        }
    }

    /// Whom it is about, where it is about one.
    pub const fn worker(&self) -> Option<&WorkerName> {
        match self {
            Self::Up { worker, .. }
            | Self::TakenOver { worker, .. }
            | Self::Occupied { worker, .. }
            | Self::Died { worker, .. }
            | Self::NotStarted { worker, .. }
            | Self::Restarting { worker, .. }
            | Self::Awaited { worker, .. }
            | Self::NotBack { worker, .. }
            | Self::Hung { worker, .. }
            | Self::Stuck { worker, .. }
            | Self::Moves { worker }
            | Self::Swept { worker, .. }
            | Self::Anew { worker }
            | Self::Called { worker, .. }
            | Self::Retiring { worker }
            | Self::InReserve { worker }
            | Self::Cooldown { worker, .. }
            | Self::SetAside { worker, .. }
            | Self::StoppedByItself { worker }
            | Self::Misconfigured { worker, .. }
            | Self::Ended { worker, .. }
            | Self::NotEnded { worker, .. } => Some(worker),
            Self::Stopping { .. } | Self::Leaving { .. } | Self::Hurrying | Self::Killing => None,
        }
    }

    /// Whether it is one of the runbooks' lines, which are looked for at the beginning of a line.
    pub const fn is_of_the_runbook(&self) -> bool {
        matches!(self, Self::Restarting { .. } | Self::Cooldown { .. } | Self::SetAside { .. })
    }
}

/// What to type about one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Reads what its watcher printed.
    pub log: String,
    /// Starts its watcher by hand.
    pub start: String,
    /// Who it is, where that is known: to be continued after `SIGSTOP`.
    pub pid: Option<i32>,
}

pub use wording::seconds;
