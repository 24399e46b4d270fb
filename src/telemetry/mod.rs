//! What the world can see of a worker: logs, journal, metrics, heartbeat and state files, and the HTTP face.
//!
//! | module | what it is for |
//! |---|---|
//! | [`log`] | structured lines to stderr and to a file that survives rotation |
//! | [`journal`] | one line for every state change of every task, append only |
//! | [`heartbeat`] | the sign of progress, written by the loop that works |
//! | [`vital`] | whether a worker that gives no sign is dead, hangs, or cannot write (pure) |
//! | [`state_file`] | `state.json`: what the worker is doing, how often it crashed |
//! | [`metrics`] | numbers in a registry of our own, under the runbooks' names |
//! | [`health`] | from a snapshot to the answers of `/health…` (pure) |
//! | [`face`] | the little HTTP server on its own thread |
//! | [`fetch`] | one bounded question to such a server |
//! | [`report`] | the last words of a watcher that ended itself |
//! | [`traces`] | spans on their way to a collector |
//!
//! Invariants:
//! - telemetry never decides what happens to a task; its failure never stops one, but a disk that refuses a move's line
//!   in the journal holds up the move, which it would refuse as well;
//! - a scrape or a health question reads numbers that are already there: no disk but `/proc`, no wait for the
//!   work loop;
//! - nothing an agent or a task file says reaches a terminal unescaped, and secrets are taken out before
//!   anything is written;
//! - no task's name is ever a label.
//!
//! It deliberately does not know how tasks are queued, started or recovered, nor where the numbers come from.

pub mod face;
pub mod fetch;
pub mod health;
pub mod heartbeat;
pub mod journal;
pub mod log;
pub mod metrics;
pub mod report;
pub mod state_file;
pub mod traces;
pub mod vital;
