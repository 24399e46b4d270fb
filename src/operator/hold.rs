//! `agentctl hold` and `agentctl release`: a waiting task is not taken, until it is let go.

use clap::Args;

use crate::config::Exit;

use super::act::{self, Deed, Manner};
use super::desk::Desk;
use super::error::OperatorError;
use super::find;

/// What to hold.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A held task keeps its place in the queue and is not taken until `agentctl release`. It holds up nobody else.

Examples:
  agentctl hold report --reason 'the figures come on Monday'
  agentctl release report")]
pub struct HoldArgs {
    /// The tasks, each by its name or worker/name
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Why: stands in the task
    #[arg(long, short, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How it is done.
    #[command(flatten)]
    pub manner: Manner,
}

/// What to release.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  agentctl release report")]
pub struct ReleaseArgs {
    /// The tasks, each by its name or worker/name
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<String>,
    /// How it is done.
    #[command(flatten)]
    pub manner: Manner,
}

/// Holds tasks.
pub fn hold(desk: &Desk, args: &HoldArgs) -> Result<Exit, OperatorError> {
    let seen = find::all(desk, &args.tasks)?;
    act::run(desk, &Deed::Hold { reason: args.reason.clone() }, &seen, args.manner)
}

/// Releases tasks.
pub fn release(desk: &Desk, args: &ReleaseArgs) -> Result<Exit, OperatorError> {
    let seen = find::all(desk, &args.tasks)?;
    act::run(desk, &Deed::Release, &seen, args.manner)
}
