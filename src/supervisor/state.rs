//! What the supervisor knows of one worker.
//!
//! | actual | lock | own child | left by |
//! |---|---|---|---|
//! | absent | free or unknown | no | a look, a start |
//! | starting | not seen yet | yes | the lock is seen, the child ends, or is ended |
//! | asked | free, or a hung one's | no | the lock is seen; the time comes: a failed restart |
//! | up | held by a watcher | yes, or taken over | the lock is free, the child ends, it hangs |
//! | ousting | held by a hung watcher | yes, or taken over | the lock is free, the child ends |
//! | ending | free | yes | the child ends, or is ended |
//! | refused | to be looked at | no | a look |
//! | occupied | held by a recovery or an operator | no | the lock is free |
//! | cooling | free | no | the time comes |
//! | resting | free, or for an instant our own sweep's | no | a watcher that somebody started by hand, SIGHUP |
//!
//! Who brings a dead worker's tasks home, so that two never do and nobody waits for ever:
//!
//! | restarted by | a death is followed by | recovery is done by | nobody came |
//! |---|---|---|---|
//! | exec | a start of our own | the new watcher, before it works | its exit is the next death |
//! | systemd, docker | `systemctl` or `docker restart` | the new watcher | a failed restart, by the same rule |
//! | none | waiting for the host | the new watcher | set aside after the cooldown |
//! | (set aside) | sweeps | the supervisor, for the instants in which it holds the lock as `recovery` | a watcher that starts waits for such an instant, at most 60 s; a sweep that finds the lock held is over at once |

use super::condition::Condition;
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
    /// Whether it runs only while another is gone.
    pub is_backup: bool,
    /// How it is.
    pub actual: Actual,
    /// How its living watcher is, as far as somebody has looked.
    pub condition: Option<Condition>,
    /// The watcher that we started and have not reaped.
    pub child: Option<ProcessId>,
    /// What its latest child printed last.
    pub said: String,
    /// Its restarts.
    pub tally: Tally,
    /// Since when it has been without a watcher, if that was not by anybody's wish.
    pub gone_since: Option<Ticks>,
    /// When its lock is looked at again, after a look that was refused.
    pub look_at: Option<Ticks>,
    /// When it is swept again, while it is set aside.
    pub sweep_at: Option<Ticks>,
    /// What kept the last sweep from its end.
    pub trouble: Option<String>,
    /// Its watcher hung and was asked to end: however that says good-bye, it was no clean stop.
    pub ousted: bool,
    /// Its watcher hung and could not be ended: it is not asked again until it moved.
    pub spared: bool,
    /// How far a backup has come in leaving.
    pub retiring: Retiring,
}

impl Worker {
    /// A worker that nobody has looked at yet.
    pub fn new(name: WorkerName) -> Self {
        Self {
            name,
            is_backup: false,
            actual: Actual::Absent,
            condition: None,
            child: None,
            said: String::new(),
            tally: Tally::default(),
            gone_since: None,
            look_at: None,
            sweep_at: None,
            trouble: None,
            ousted: false,
            spared: false,
            retiring: Retiring::No,
        }
    }

    /// One that runs only while another is gone.
    pub fn backup(name: WorkerName) -> Self {
        Self { is_backup: true, actual: Actual::Resting(Rest::Reserve), ..Self::new(name) }
    }

    /// When it is to be looked at again.
    pub fn due(&self) -> Option<Ticks> {
        self.actual.due().into_iter().chain(self.look_at).chain(self.sweep_at).min()
    }

    /// Its watcher lives: what was said of the last one is over.
    pub(super) fn is_back(&mut self) {
        self.condition = None;
        self.gone_since = None;
        self.sweep_at = None;
        self.trouble = None;
        self.ousted = false;
        self.spared = false;
        self.retiring = Retiring::No;
    }
}

/// How far a backup has come in leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retiring {
    /// It is wanted.
    No,
    /// It is to leave as soon as it has nothing to do.
    Wished,
    /// It was asked to.
    Asked,
}

/// Whose a living watcher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// We started it: its exit will be told.
    Child,
    /// It was there before us, or its host started it: only its lock speaks.
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
        /// When that has taken too long.
        until: Ticks,
    },
    /// Its host was asked to restart it, or does so by itself.
    Asked {
        /// When that has taken too long.
        until: Ticks,
        /// Whether the lock was free since: before that, whoever holds it is the old one.
        freed: bool,
    },
    /// A watcher holds the lock.
    Up {
        /// Whose it is.
        origin: Origin,
        /// Since when, as far as we know.
        began: Ticks,
    },
    /// A hung watcher holds the lock and was asked to end.
    Ousting {
        /// Whose it is.
        origin: Origin,
        /// Since when it was up.
        began: Ticks,
        /// When that has taken too long.
        until: Ticks,
        /// Whether it was killed by now.
        killed: bool,
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
            Self::Starting { until, .. }
            | Self::Ending { until, .. }
            | Self::Cooling { until }
            | Self::Asked { until, .. }
            | Self::Ousting { until, .. } => Some(until),
            Self::Absent | Self::Up { .. } | Self::Refused | Self::Occupied | Self::Resting(_) => None,
        }
    }

    /// Whether there is a watcher to be stopped.
    pub const fn is_running(self) -> bool {
        match self {
            Self::Starting { .. } | Self::Up { .. } | Self::Ousting { .. } | Self::Ending { .. } => true,
            Self::Absent
            | Self::Asked { .. }
            | Self::Refused
            | Self::Occupied
            | Self::Cooling { .. }
            | Self::Resting(_) => false,
        }
    }

    /// The state of one that is not running and will not be started any more.
    #[must_use]
    pub const fn rest(self) -> Self {
        match self {
            Self::Absent | Self::Asked { .. } | Self::Refused | Self::Occupied | Self::Cooling { .. } => {
                Self::Resting(Rest::Stopped)
            }
            Self::Starting { .. }
            | Self::Up { .. }
            | Self::Ousting { .. }
            | Self::Ending { .. }
            | Self::Resting(_) => self,
        }
    }
}

/// Why a worker rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It stopped as it was told.
    Stopped,
    /// It died too often, or nobody brought it back.
    SetAside,
    /// It cannot start the way it is configured.
    Misconfigured,
    /// It could not be ended.
    LeftRunning,
    /// Nobody is gone, so this backup is not needed.
    Reserve,
}

/// What a look at a worker's lock found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nobody holds it; how the last one left.
    Free(Left),
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

/// How much a sweep over a worker that is set aside does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// A whole clean recovery, the first time.
    All,
    /// Only what is left to do, if anything is.
    WhatIsLeft,
}

/// What a sweep over a worker that is set aside has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Agents that are still at work.
    pub living: usize,
    /// Tasks that were filed or put back.
    pub recovered: usize,
    /// Tasks that went to the inbox.
    pub handed: usize,
    /// Tasks that its watcher has to do something for, since their agents have answered.
    pub owed: usize,
    /// Tasks that stay in its queue: pinned to it, or with a session of its own.
    pub kept: usize,
    /// What went wrong, if anything did.
    pub trouble: Option<String>,
}
