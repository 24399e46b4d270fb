//! What a task is: its names, its states, its attempts and how they end.
//!
//! Invariants:
//! - nothing here reads a clock, a disk, an environment or a random number;
//! - a field that we did not define survives a rewrite byte for byte and in its place ([`file::TaskFile`]);
//! - a task is tried again only by the rule in [`retry`].
//!
//! It deliberately does not know where a task is kept: directories belong to [`crate::layout`], moves to
//! [`crate::spool`].

pub mod acceptance;
pub mod attempt;
pub mod fault;
pub mod fields;
pub mod file;
pub mod held;
pub mod hold;
pub mod ledger;
mod limits;
pub mod name;
pub mod outcome;
pub mod prompt;
pub mod retry;
pub mod schema;
pub mod sound;
pub mod state;
pub mod text;
pub mod workdir;

pub use attempt::{Attempt, AttemptOutcome, Began, Tokens, Usage};
pub use fault::ErrorCode;
pub use fields::{Record, Spec};
pub use file::{ParseError, TaskFile};
pub use held::Held;
pub use hold::HoldCause;
pub use ledger::Requeue;
pub use name::{FileName, Misfit, RunId, SessionId, TaskName, WorkerName};
pub use outcome::Outcome;
pub use state::{Place, TaskState};
pub use workdir::{Changes, WorkdirMode};
