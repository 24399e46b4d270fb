//! The verbs of `agentctl`, one a file, and how things read to a person.
//!
//! Invariants:
//! - looking takes no lock and changes nothing; what was seen may have moved on a moment later;
//! - data goes to stdout, talk to stderr, and only [`report`] prints;
//! - everything that is printed from a file or an agent is escaped first, unless the lines were asked for raw.
//!
//! It deliberately does not know how a task is run: it sees files, locks and streams as anybody could.

mod act;
pub mod attach;
pub mod budget;
pub mod cancel;
pub mod candidates;
mod conclusion;
mod desk;
mod diff;
pub mod doctor;
pub mod edit;
mod error;
mod find;
pub mod fsck;
mod gazette;
pub mod hold;
pub mod inside;
pub mod limits;
pub mod list;
pub mod logs;
mod look;
pub mod moment;
pub mod packs;
pub mod pause;
pub mod prune;
pub mod report;
pub mod retry;
pub mod show;
pub mod status;
mod stream_view;
pub mod submit;
mod tail;
pub mod tell;
mod telling;
pub mod top;
mod user_view;
mod vigil;
pub mod wait;
pub mod watch;
pub mod why;
mod word;
mod worker;
mod worth;

pub use desk::Desk;
pub use error::OperatorError;
pub use report::Report;
