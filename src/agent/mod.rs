//! One run of the Claude CLI: what it is told, what it says, and what came of it.
//!
//! A run is one process. We give it [`argv::arguments`] and [`env::environment`], write [`message`] lines into its
//! standard input, read NDJSON from its standard output and judge it once, at its end:
//!
//! ```text
//! stream file ─ tail::Tail ─ lines ─ stream::parse ─ StreamEvent ─ evidence::Evidence ─┐
//!                                 how the process ended, who ended it, stderr ─ verdict::judge ─ Judgement
//! ```
//!
//! Invariants:
//! - the prompt never stands in an argument: it goes through standard input;
//! - nothing is decided by what a person would read: only fields, exit statuses and the order of lines count;
//! - the last result line decides. A run that answered is done, whatever happened to its process afterwards;
//! - what is not the task's fault is a [`verdict::Verdict::Wait`], which names the remedy in words that can be
//!   typed;
//! - memory is bounded, whatever the agent prints.
//!
//! The modules named here are pure: bytes and values in, values out; so are [`course`], which says when a run is
//! to be ended and how, [`disposition`], which says what becomes of its task, [`ladder`] and [`digest`], which say how it
//! goes on and what it is told then, [`handing`], which says what it may hand on, and [`version`], which says whether a CLI
//! will do. Thin are [`child`], which starts
//! the process, [`tail`] and [`replay`], which read its output, and [`transcript`]. None of them knows how a task is
//! filed.

pub mod acceptance;
pub mod argv;
mod cause;
pub mod child;
pub mod course;
pub mod digest;
pub mod disposition;
pub mod echo;
pub mod ending;
pub mod env;
pub mod evidence;
pub mod handing;
pub mod ladder;
pub mod lines;
pub mod message;
pub mod meter;
pub mod remedy;
pub mod replay;
pub mod stream;
pub mod tail;
pub mod transcript;
pub mod trouble;
pub mod verdict;
pub mod version;
pub mod worth;

mod wire;

pub use argv::{Invocation, Manner, SessionStart};
pub use digest::Digest;
pub use env::RunEnv;
pub use evidence::Evidence;
pub use lines::{Line, LineSplitter};
pub use stream::StreamEvent;
pub use verdict::{EndedBy, Ending, Exit, HoldCause, Interruption, Judgement, Until, Verdict};
