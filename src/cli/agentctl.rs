//! The command line of `agentctl`.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::config::{Environment, Exit};

use super::parse;

/// Submit tasks, see what is going on, and change it.
#[derive(Debug, Parser)]
#[command(name = "agentctl", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Agentctl {
    /// The root directory [default: /shared]
    #[arg(long, global = true, env = "SHARED_ROOT", value_name = "DIR", hide_env_values = true)]
    pub root: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  agentctl submit 'say hello' --wait     hand in a task and wait for its answer
  agentctl status                        one screen that tells everything
  agentctl logs -f marie                 what marie is doing

Data goes to stdout, talk to stderr. Exit codes: 0, 64 usage, 65 data (an unknown task too), 69 unavailable,
70 internal, 75 try again, 77 permission, 78 configuration; `wait` has its own, see `agentctl wait --help`.";

/// The verbs of `agentctl`.
#[derive(Debug, Subcommand)]
pub enum Verb {}

/// Runs `agentctl` with `args`, the program first.
pub fn run(args: &[OsString], _env: &Environment) -> Exit {
    match Agentctl::try_parse_from(args) {
        Err(error) => parse::refuse(&error),
        Ok(parsed) => match parsed.verb {},
    }
}
