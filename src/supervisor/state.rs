//! What the supervisor knows of one worker.
//!
//! | actual | lock | own child | left by |
//! |---|---|---|---|
//! | absent | free or unknown | no | a look, a start |
//! | starting | not seen yet | yes | the lock is seen, the child ends |
//! | up | held by a watcher | yes, or taken over | the lock is free, the child ends |
//! | ending | free | yes | the child ends, or is ended |
//! | refused | to be looked at | no | a look |
//! | occupied | held by a recovery or an operator | no | the lock is free |
//! | cooling | free | no | the time comes |
//! | resting | free | no | a watcher that somebody started by hand |

use super::restart::Tally;
use crate::clock::Ticks;
use crate::os::holder::Role;
use crate::os::process::ProcessId;
use crate::task::WorkerName;

/// One worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its name.
    pub name: WorkerName,
    /// How it is.
    pub actual: Actual,
    /// The watcher that we started and have not reaped.
    pub child: Option<ProcessId>,
    /// What its latest child printed last.
    pub said: String,
    /// Its restarts.
    pub tally: Tally,
}

impl Worker {
    /// A worker that nobody has looked at yet.
    pub fn new(name: WorkerName) -> Self {
        Self { name, actual: Actual::Absent, child: None, said: String::new(), tally: Tally::default() }
    }
}

/// Whose a living watcher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// We started it: its exit will be told.
    Child,
    /// It was there before us: only its lock speaks.
    TakenOver,
}

/// How a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actual {
    /// There is no watcher as far as we know.
    Absent,
    /// Our child has not taken the lock yet.
    Starting {
        /// When it was started.
        began: Ticks,
    },
    /// A watcher holds the lock.
    Up {
        /// Whose it is.
        origin: Origin,
        /// Since when, as far as we know.
        began: Ticks,
    },
    /// Our child let the lock go and has not exited yet.
    Ending {
        /// When it was started.
        began: Ticks,
        /// When that becomes strange.
        until: Ticks,
    },
    /// Our child went with exit status 78 before it had the lock: wrongly configured, or another was first.
    Refused,
    /// Somebody who is no watcher holds the lock.
    Occupied,
    /// To be started again at that time.
    Cooling {
        /// When.
        until: Ticks,
    },
    /// Not to be started again by us.
    Resting(Rest),
}

impl Actual {
    /// When this state is to be looked at again.
    pub const fn due(self) -> Option<Ticks> {
        match self {
            Self::Ending { until, .. } | Self::Cooling { until } => Some(until),
            Self::Absent
            | Self::Starting { .. }
            | Self::Up { .. }
            | Self::Refused
            | Self::Occupied
            | Self::Resting(_) => None,
        }
    }

    /// Whether there is a watcher to be stopped.
    pub const fn is_running(self) -> bool {
        match self {
            Self::Starting { .. } | Self::Up { .. } | Self::Ending { .. } => true,
            Self::Absent | Self::Refused | Self::Occupied | Self::Cooling { .. } | Self::Resting(_) => false,
        }
    }

    /// The state of one that is not running and will not be started any more.
    #[must_use]
    pub const fn rest(self) -> Self {
        match self {
            Self::Absent | Self::Refused | Self::Occupied | Self::Cooling { .. } => {
                Self::Resting(Rest::Stopped)
            }
            Self::Starting { .. } | Self::Up { .. } | Self::Ending { .. } | Self::Resting(_) => self,
        }
    }
}

/// Why a worker rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It stopped as it was told.
    Stopped,
    /// It died too often.
    SetAside,
    /// It cannot start the way it is configured.
    Misconfigured,
    /// It could not be ended.
    LeftRunning,
}

/// What a look at a worker's lock found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nobody holds it.
    Free,
    /// A watcher does; who it is, where its mirror says so.
    Watcher(Option<ProcessId>),
    /// Somebody else does.
    Other(Role),
}

/// How a worker whose lock is free left its state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It says `stopped`: nothing went wrong.
    Stopped,
    /// It says anything else, or nothing.
    Otherwise,
}
