//! The runbook about worker crashes, as operators have it: every block of it is accounted for in `docs/runbook.md`, and
//! what runs there as it is, or through something of ours, is run here.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and moves files")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod blocks;
mod host;
mod page;
#[path = "../support/real.rs"]
mod real;
mod scripts;
#[path = "../support/traces.rs"]
mod traces;
mod verbatim;
#[path = "../support/world.rs"]
mod world;
