//! What the core is told, and what it says.

use crate::agent::disposition::Holding;
use crate::clock::{Ticks, Timestamp};
use crate::limits::Word;
use crate::spool::{Examined, Identity};
use crate::task::{ErrorCode, FileName, Place, RunId, TaskName, WorkerName};

use super::super::takes::Takes;
use super::busy::Site;
use crate::pack::Bars;

/// Both answers of the clock, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For moments that are written in files.
    pub wall: Timestamp,
    /// For durations.
    pub ticks: Ticks,
}

/// What the operator wants of this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To work.
    Run,
    /// To take no new tasks, until it is to work again.
    Pause,
    /// To take no new tasks, and to stop when the running ones have ended.
    Drain,
    /// To stop: end the agents orderly, put back what did not finish.
    Stop,
    /// To stop at once: skip the rest of the grace.
    StopNow,
}

impl Wanted {
    /// Whether agents are ended, and none is started.
    pub const fn is_stop(self) -> bool {
        matches!(self, Self::Stop | Self::StopNow)
    }

    /// Whether it leaves when nothing runs any more.
    pub const fn leaves(self) -> bool {
        matches!(self, Self::Drain | Self::Stop | Self::StopNow)
    }
}

/// For how many agents that begin there is memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// For all of them, or nobody knows.
    #[default]
    Enough,
    /// For so many, those included that began a moment ago: what they take does not show yet.
    For(usize),
}

/// What the end of a run says of everything that is not its task's.
#[derive(Clone, Debug, PartialEq)]
pub enum After {
    /// Something is at fault that is no task's: the worker should hold.
    Hold(Holding),
    /// The API was reached and answered.
    Answered,
    /// Nothing: it never came so far.
    Unknown,
}

/// How a run ended, as far as the worker cares.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its file.
    pub file: FileName,
    /// What it says of the API.
    pub after: After,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody looked at names in queues, and this is what was there.
    Looked(Vec<((Place, FileName), Examined)>),
    /// A claim succeeded, or a living agent was adopted: a run is under way.
    Running {
        /// Its file.
        file: FileName,
        /// Its task.
        name: TaskName,
        /// Its life.
        run: RunId,
    },
    /// Somebody brings home a file in `active/`: nobody else may touch it until that is over.
    Recovering {
        /// The file.
        file: FileName,
    },
    /// A claim or a recovery came to nothing, and the name should be looked at again if it is still there.
    NotClaimed {
        /// The file.
        file: FileName,
    },
    /// Another run works in the directory that the task names: it waits, and so do all that name the same.
    Busy {
        /// Its file.
        file: FileName,
        /// What it names.
        site: Site,
        /// When it is asked again.
        until: Ticks,
    },
    /// A run ended, and its task is where it belongs.
    RunEnded(Ended),
    /// Something that concerns no single task makes starting impossible, or does so no longer.
    Fault(Option<Holding>),
    /// How much memory there is to start agents in.
    Room(Room),
    /// Whether the agent's program is not known to be fit: it is being tried out, or will not do.
    Trying(bool),
    /// The disk refused a write just now.
    Refused(Holding),
    /// From where tasks are taken now.
    Takes(Takes),
    /// With which packs nothing is started now.
    Bars(Bars),
    /// The worker's budget is used up, or is not any more.
    Budget(Option<Box<Holding>>),
    /// How many tasks may run at once now.
    Slots(usize),
    /// The operator, or a signal.
    Asked(Wanted),
    /// What all workers of the account know now, as far as it stops starts.
    Account(Option<Box<Word>>),
    /// The account's requests are used up until then.
    Paced(Ticks),
    /// The operator says that something was mended: a hold need not be waited out.
    TryNow,
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Claim this, and run it.
    Claim {
        /// Where it waits.
        place: Place,
        /// Its file.
        file: FileName,
    },
    /// Look at this name again.
    Look {
        /// Where.
        place: Place,
        /// At what.
        file: FileName,
        /// The version that need not be read again.
        unless: Option<Identity>,
    },
    /// File this as no task.
    Reject(Sentence),
    /// Remove a copy of a task that another worker has.
    DropCopy {
        /// Where it lies.
        place: Place,
        /// Its name.
        file: FileName,
        /// Who has the task.
        worker: WorkerName,
    },
    /// Give this drop another name: its own is being worked on.
    Aside {
        /// Where it lies.
        place: Place,
        /// Its name.
        file: FileName,
    },
    /// Somebody put the file of a task at work back into a queue: take it out again.
    TakeBack {
        /// Where it lies.
        place: Place,
        /// Its name.
        file: FileName,
    },
    /// End all agents, orderly.
    StopRuns,
    /// End all agents at once.
    KillRuns,
    /// Nothing is running any more: leave.
    Leave,
}

/// What is no task, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// Where it lies.
    pub place: Place,
    /// Its name.
    pub file: FileName,
    /// The code it is filed with.
    pub code: ErrorCode,
    /// Why.
    pub why: String,
    /// The version that had its time to settle; another one gets time of its own.
    pub settled: Option<Identity>,
}
