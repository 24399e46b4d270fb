//! What was spent, and what may be: dollars and tokens in an hour and in a day, by worker and by pack.
//!
//! Rooms: [`Buckets`] counts by the minute, [`assess`] judges (both pure), [`Ledger`] reads the journals, [`forgiven`]
//! knows what an operator has forgiven, and [`words`] says it.
//!
//! Invariants:
//! - the journals are the truth, and nothing else is kept: whoever filed a run, a dead watcher, its successor or a
//!   recovery, and whenever it was killed, an attempt counts once;
//! - windows slide, by the minute: what was spent in the last 60 minutes, in the last 24 hours;
//! - a clock that is set makes no window longer than it is;
//! - what cannot be read counts for nothing, and stops nobody.
//!
//! It deliberately does not know what follows when a budget is used up.

mod assess;
mod buckets;
pub mod forgiven;
mod ledger;
pub mod words;

pub use assess::{Tier, Unit, Use, Window, assess, most_pressing};
pub use buckets::{Buckets, Spent, minute_of};
pub use ledger::Ledger;

/// Whose budget it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One worker's, whatever its tasks are.
    Worker(crate::task::WorkerName),
    /// That of a pack, over all workers.
    Pack(String),
}

impl Scope {
    /// The word for it in labels and answers.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Worker(_) => "worker",
            Self::Pack(_) => "pack",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Worker(name) => name.as_str(),
            Self::Pack(name) => name,
        }
    }
}
