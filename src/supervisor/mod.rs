//! The one who notices deaths and hangs, and restarts: `supervisor up`, `supervisor run`.
//!
//! What it promises:
//! - at most one acts per root: it holds `locks/supervisor.lock`, and a second one says who does, or waits for it;
//! - a death is a fact: a thread per worker waits blocked for the lock on the worker's folder, so it is known
//!   within milliseconds, and no age is ever taken for one;
//! - a hang is what two looks on our own clock found and nothing else explains ([`condition`]); only that is ended;
//! - a watcher that lives is never started a second time, whoever started it: it is taken over;
//! - its own death touches nobody: watchers have their own process groups and write to files;
//! - a clean stop is no crash, a wrong configuration is told and not tried in a loop, and whoever dies too often
//!   is set aside, loudly; what lies with it is brought home or handed on.
//!
//! What is wanted (every named worker up, until somebody asks to stop) and what is actual (the table in
//! [`state`]) are two things; [`core`] brings the second to the first, [`shell`] does what it says.
//!
//! It deliberately does not touch the tasks of a worker that somebody brings back, except that it lets a backlog go in
//! batches ([`resume`]): a watcher recovers its own when it starts. What it keeps on disk is its lock and
//! `resume.json`, so its successor only has to look.

mod aftermath;
mod banner;
pub mod condition;
pub mod core;
mod door;
mod ears;
mod face;
mod facts;
mod follow;
pub mod foreground;
mod hands;
mod host;
mod launch;
pub mod level;
mod look;
pub mod monitor;
pub mod notice;
pub mod pulse;
pub mod recover;
mod recovery_trace;
pub mod restart;
pub mod restarter;
pub mod resume;
mod seeing;
mod shell;
mod single;
mod speaker;
pub mod state;
mod sweep;
mod telling;
pub mod unit_end;
pub mod up;
mod waiter;
