//! The verbs of `agentctl` that change something, as a person sees them: with a watcher that lives, and with none.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and writes files")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cuts;
mod files;
mod living;
mod others;
mod tree;
#[path = "../support/world.rs"]
mod world;
