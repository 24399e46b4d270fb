//! The one who notices deaths and restarts: `supervisor up`.
//!
//! What it promises:
//! - at most one acts per root: it holds `locks/supervisor.lock`, and a second one says who does;
//! - a death is a fact: a thread per worker waits blocked for the lock on the worker's folder, so it is known
//!   within milliseconds, and no age is ever taken for one;
//! - a watcher that lives is never started a second time, whoever started it: it is taken over;
//! - its own death touches nobody: watchers have their own process groups and write to files;
//! - a clean stop is no crash, a wrong configuration is told and not tried in a loop, and whoever dies too often
//!   is set aside, loudly.
//!
//! What is wanted (every named worker up, until somebody asks to stop) and what is actual (the table in
//! [`state`]) are two things; [`core`] brings the second to the first, [`shell`] does what it says.
//!
//! It deliberately does not touch tasks, except that it lets a backlog go in batches ([`resume`]): a watcher recovers
//! its own when it starts. What it keeps on disk is its lock and `resume.json`, so its successor only has to look.

mod aftermath;
mod banner;
pub mod core;
mod ears;
mod face;
mod follow;
pub mod foreground;
mod launch;
mod look;
pub mod monitor;
pub mod notice;
pub mod recover;
mod recovery_trace;
pub mod restart;
pub mod resume;
mod shell;
mod speaker;
pub mod state;
mod telling;
pub mod up;
mod waiter;
