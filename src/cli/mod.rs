//! The command lines of the three programs: `watcher`, `supervisor`, `agentctl`.
//!
//! Invariants:
//! - wrong usage ends with 64, whatever clap thinks of it;
//! - nothing is decided here: flags become a config or a verb, and a lower floor acts;
//! - every program ends by returning an [`Exit`].
//!
//! It deliberately does not know what a setting means: it hands the text of flags and environment to
//! [`crate::config`].

pub mod agentctl;
pub mod completion;
pub mod ended;
pub mod flags;
pub mod man;
pub mod monitor;
mod parse;
mod seams;
pub mod supervisor;
pub mod watcher;

use std::ffi::OsString;

use crate::config::{Environment, Exit};

/// Runs one of the programs with the arguments and the environment of this process.
pub fn main(program: fn(&[OsString], &Environment) -> Exit) -> Exit {
    let args: Vec<OsString> = std::env::args_os().collect();
    program(&args, &Environment::snapshot())
}
