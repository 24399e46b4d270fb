//! `agentctl tell` and `agentctl interrupt`: speaking to an agent at work.

use std::io::Read;

use clap::Args;

use crate::config::Exit;

use super::act::{self, Deed, Manner};
use super::desk::Desk;
use super::error::OperatorError;
use super::find;

/// What to say to whom.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
In the middle of its tool calls it steers the agent, otherwise it is the next turn. One line of a pipe is all that can be
said at once, 4096 bytes: put more into a file and name that.

Examples:
  agentctl tell hello 'answer in French'
  git diff --stat | agentctl tell hello -")]
pub struct TellArgs {
    /// The task, by its name or worker/name
    #[arg(value_name = "TASK")]
    pub task: String,
    /// What to say; `-` reads it from stdin
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// How it is done.
    #[command(flatten)]
    pub manner: Manner,
}

/// Whose work to end.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
With a text the agent goes on with that; without one its task goes back into the queue, uncharged, and is held until
`agentctl release`.

Examples:
  agentctl interrupt hello 'leave the tests alone, mend the parser'
  agentctl interrupt hello")]
pub struct InterruptArgs {
    /// The task, by its name or worker/name
    #[arg(value_name = "TASK")]
    pub task: String,
    /// What it goes on with; `-` reads it from stdin
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,
    /// How it is done.
    #[command(flatten)]
    pub manner: Manner,
}

/// Says something to an agent.
pub fn tell(desk: &Desk, args: &TellArgs) -> Result<Exit, OperatorError> {
    let text = words(&args.text)?;
    act::run(desk, &Deed::Tell { text }, &[find::find(desk, &args.task)?], args.manner)
}

/// Ends what an agent is doing.
pub fn interrupt(desk: &Desk, args: &InterruptArgs) -> Result<Exit, OperatorError> {
    let text = args.text.as_deref().map(words).transpose()?;
    act::run(desk, &Deed::Interrupt { text }, &[find::find(desk, &args.task)?], args.manner)
}

fn words(given: &str) -> Result<String, OperatorError> {
    let mut text = given.to_owned();
    if given == "-" {
        text.clear();
        std::io::stdin()
            .lock()
            .read_to_string(&mut text)
            .map_err(OperatorError::io("read", "stdin".as_ref()))?;
    }
    let text = text.trim_end().to_owned();
    if text.is_empty() { Err(OperatorError::Wish { why: "there is nothing to say" }) } else { Ok(text) }
}
