//! Bringing home what a dead watcher left: survey → plan → apply.
//!
//! One code for a watcher's start and for `supervisor recover`. The plan is a value that can be printed before
//! it is done (`--dry-run` shows the very value that would be applied), and applying it may die at any step:
//! the next survey carries on from there.
//!
//! Invariants:
//! - whoever applies a plan holds the worker's lock;
//! - an outcome that exists, in the file or in the agent's own stream, is filed and never run again;
//! - an answer on which the last word was not said yet is left to the next watcher ([`owed`]);
//! - an agent that lives is adopted; what is left of a dead one is ended before its task is queued;
//! - an attempt is charged exactly once, however often recovery dies.
//!
//! It deliberately does not start agents, and does not judge by the age of anything.

pub mod apply;
pub mod crash;
pub mod groups;
pub mod hands;
pub mod locks;
pub mod owed;
pub mod plan;
pub mod ramp;
pub mod recover;
pub mod survey;
pub mod witness;

pub use apply::{Applied, ApplyError, Change, Hands, apply};
pub use hands::SystemHands;
pub use plan::{Action, LivingAgents, Plan, Policy};
pub use recover::{RecoveryError, carry_out, end_and_carry_out, planned, record_crash, recover, recover_one};
pub use witness::{Liveness, SystemWitness, Testimony, Witness};
