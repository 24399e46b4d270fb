//! The worker: takes tasks, has Claude run them, files what comes of it.
//!
//! | room | what happens there |
//! |---|---|
//! | [`core`] | decides: which task is next, when to hold, when to stop (pure) |
//! | [`hold`] | when nothing is started, and when one task may try whether that is over (pure) |
//! | `start` | takes the lock, recovers, opens everything |
//! | `revive` | why the last watcher died, and what it left |
//! | `shell` | the loop: waits for signals, hints, runs and time, asks the core, does what it says |
//! | `look` | finds what is new in the queues |
//! | [`takes`] | from which places tasks are taken (pure) |
//! | `ramp` | whether a gradual resume is under way |
//! | `attend` | follows one run from its claim to its end: one async task for each, nobody else knows its process |
//! | `trace` | the span of an attempt |
//! | `beat` | says once a second what is going on: heartbeat, state, mirrors of locks |
//! | `outside` | what comes from outside: hints of the kernel, lines in the pipe |
//! | `verdicts` | filing what is no task |
//! | `keeping` | its own rounds of retention, on a thread of its own |
//! | `board` | what the face and `state.json` show |
//! | `command` | carries out what is asked on the pipe for commands |
//! | `herald` | tells on the pipe for events what happens, and answers commands |
//! | `ground` | what it stands on: its lock, its folders, room |
//! | `machine` | its memory: whether there is enough to start an agent |
//! | `cli` | whether the CLI will do |
//! | `scale` | how much memory each run uses |
//! | `account` | what all workers of the account know |
//! | `packs` | which packs nothing may be started with |
//! | `homecoming` | bringing home what another watcher began, and its span |
//! | `tenure` | how long it may go on when its lock is in doubt (pure) |
//!
//! Invariants:
//! - the flock on `workers/<worker>/` is held from before recovery until after the last write;
//! - an agent is started only for a task whose attempt is durable in `active/`;
//! - a run's task is filed or queued again before its slot is free;
//! - nothing here waits for a reader, a person or an agent without a limit.
//!
//! It deliberately does not know how tasks are stored: that is the spool's.

mod account;
mod attend;
mod beat;
mod board;
mod budgets;
mod cli;
mod command;
pub mod core;
mod ctx;
mod disks;
mod effects;
mod enter;
mod face;
mod fence;
mod ground;
mod groups;
mod herald;
pub mod hold;
mod homecoming;
mod keeping;
mod live;
mod look;
mod looks;
mod machine;
mod mirror;
mod outside;
mod packs;
mod panic;
mod past;
mod ramp;
mod revive;
mod scale;
mod seats;
mod shell;
#[cfg(feature = "test-support")]
mod stall;
mod start;
pub mod takes;
mod tenure;
mod trace;
mod verdicts;
mod wait;
mod watchdog;
mod way;

pub use live::{Live, Reread, Resolved};
pub use start::run;
