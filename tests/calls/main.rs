//! The programs are killed at every system call that changes something, and every call of theirs is refused once, and
//! once for a while: nothing is lost, nothing is doubled, nothing is torn, and what fails says so.
//!
//! | file | |
//! |---|---|
//! | `scene` | what is laid out, which program is struck, what goes on afterwards |
//! | `works`, `verbs` | the scenes: those who work, and the operator's commands |
//! | `sweep` | which points are tried: all of them, or a sample that is thrown anew each time and told |
//! | `kills`, `refusals`, `lasting` | what is done at a point |
//!
//! With the tests a sample runs. `CAMPAIGN=long` tries every point (`scripts/campaign.sh --long kills refusals`),
//! `CAMPAIGN_SEED` throws a sample again.

#![cfg(all(feature = "test-support", target_arch = "x86_64"))]
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test plays the machine and the user, tells what it does, and one that cannot go on ends"
)]

mod kills;
mod lasting;
mod refusals;
mod scene;
mod sweep;
mod synced;
mod verbs;
mod works;

#[path = "../support/dice.rs"]
mod dice;
#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/judge.rs"]
mod judge;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/syscalls.rs"]
mod syscalls;
#[path = "../support/tracer.rs"]
mod tracer;
#[path = "../support/traces.rs"]
mod traces;
#[path = "../support/world.rs"]
mod world;
