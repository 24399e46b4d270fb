//! `agentctl cancel`: ends tasks for good.

use clap::Args;

use crate::config::Exit;

use super::act::{self, Deed, Manner};
use super::desk::Desk;
use super::error::OperatorError;
use super::find;

/// What to cancel.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
What waits goes to cancelled/ at once; of what is at work the agent is ended first, which is asked for unless --yes is
said. `agentctl retry` begins a new life of it. Without a watcher it is done on the files.

Examples:
  agentctl cancel hello
  agentctl cancel marie/a marie/b --reason 'not needed any more' --yes
  agentctl cancel hello --dry-run")]
pub struct CancelArgs {
    /// The tasks, each by its name or worker/name
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Why: stands in the task, and in the journal
    #[arg(long, short, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How it is done.
    #[command(flatten)]
    pub manner: Manner,
}

/// Cancels tasks.
pub fn run(desk: &Desk, args: &CancelArgs) -> Result<Exit, OperatorError> {
    let seen = find::all(desk, &args.tasks)?;
    act::run(desk, &Deed::Cancel { reason: args.reason.clone() }, &seen, args.manner)
}
