//! The gradual resume: after a crash a backlog is let go in batches, and no further than it does well.
//!
//! | room | what happens there |
//! |---|---|
//! | [`core`] | decides: when the next batch goes, how large it is, when it is enough (pure) |
//! | [`lines`] | what there is to tell, word for word as the runbook has it (pure) |
//! | [`automatic`] | whether a crash calls for one (pure) |
//! | [`record`] | `resume.json`: what a successor has to know |
//! | [`leader`] | who leads: a lock on that very file |
//! | [`shelf`] | which tasks are next |
//! | [`mod@fate`] | what became of a task of a batch |
//!
//! Invariants:
//! - a batch is durable in `resume.json` before the first of its tasks moves, so a successor goes on with that batch;
//! - a task moves by one rename that refuses to replace, so it is in one place whoever dies;
//! - no batch goes while one of the last still waits: never more than a batch and what is at work are out of `pending/`;
//! - a batch is judged by its own tasks; what is not a task's fault holds the resume and counts nothing;
//! - each task that failed is let go once; it comes back when the resume is over.
//!
//! It deliberately does not know who asks for a resume, nor how a task is run. Time is handed in.

pub mod automatic;
pub mod core;
#[cfg(test)]
mod core_tests;
pub mod fate;
pub mod leader;
pub mod lines;
pub mod record;
pub mod shelf;

pub use automatic::after_crash;
pub use core::{Core, Effect, End, Event, Seen, Watcher};
pub use fate::{Fate, fate};
pub use leader::{Approach, Leader, LeaderError, approach};
pub use lines::Line;
pub use record::{Batch, Phase, Record, Terms, Ticket};
pub use shelf::Shelf;
