//! Where tasks live: the moves between the state directories, and what each survives.
//!
//! Rows are the states that a crash can leave, columns the homes a task may have in them; every durable step
//! moves a task exactly one row (`+` there, `-` not there, `?` either, after a power cut only).
//!
//! | row | queue | active | filed | what is written inside | what the next start does |
//! |---|---|---|---|---|---|
//! | dropped | + | - | - | nothing of ours | claims it |
//! | taken | ? | + | - | nothing of ours | puts it back |
//! | stamped | ? | + | - | run, attempt open | adopts, judges or requeues |
//! | judged | - | + | - | outcome, or `PENDING` | files it, or moves it back |
//! | requeued | + | ? | - | `PENDING`, attempt closed | claims it again |
//! | filed | - | ? | + | outcome | nothing |
//!
//! Where a power cut shows two homes: *filed wins over worked, worked wins over queued*.
//!
//! Invariants:
//! - content is replaced only in `active/`, which belongs to whoever holds the worker's lock;
//! - every move is one rename that refuses to replace;
//! - the order of every durable operation is data ([`steps`]), performed by [`disk`] here and by a model disk
//!   in the tests, which cut it after every step.
//!
//! It deliberately does not know how an agent is run, nor when a task should be tried again.

pub mod belief;
pub mod claim;
pub mod continuing;
pub mod disk;
mod filing;
pub mod found;
pub mod fresh;
pub mod identity;
pub mod input;
#[cfg(feature = "test-support")]
mod kill_point;
pub mod lease;
mod mending;
mod names;
pub mod order;
mod papers;
pub mod probe;
pub mod queue;
mod release;
pub mod steps;
pub mod store;
pub mod suitable;
pub mod waiting;

pub use belief::Belief;
pub use claim::{ClaimError, Claimed};
pub use disk::Disk;
pub use found::{Examined, Head, Special};
pub use lease::Lease;
pub use order::Queue;
pub use queue::Spool;
pub use steps::Step;
pub use store::{Identity, StepError, Store};
pub use waiting::WaitingError;
