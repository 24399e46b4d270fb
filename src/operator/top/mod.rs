//! `agentctl top`: everything at a glance, as it changes, and the keys to change it.
//!
//! | room | what happens there |
//! |---|---|
//! | `scene` | what there is to be seen, as a value |
//! | `gather`, `rows`, `voice`, `ledger` | from the tree to a scene, reading only what changed |
//! | `model`, `order`, `wrap` | what is shown, and what follows from a key (pure) |
//! | `keys` | which key means what (pure) |
//! | `view` | a model on a screen of some size (pure) |
//! | `acts`, `hands` | what can be done, and that it is done as the verbs do it |
//! | `terminal`, `shell` | the terminal and the loop |
//!
//! It is a cargo feature: its libraries are not needed by a queue, and a fresh build is to be at work soon.

#[cfg(feature = "top")]
mod acts;
#[cfg(all(test, feature = "top"))]
mod fixtures;
#[cfg(feature = "top")]
mod gather;
#[cfg(feature = "top")]
mod hands;
#[cfg(feature = "top")]
mod keys;
#[cfg(feature = "top")]
mod ledger;
#[cfg(feature = "top")]
mod model;
#[cfg(feature = "top")]
mod order;
#[cfg(feature = "top")]
mod rows;
#[cfg(feature = "top")]
mod scene;
#[cfg(feature = "top")]
mod shell;
#[cfg(feature = "top")]
mod terminal;
#[cfg(feature = "top")]
mod view;
#[cfg(feature = "top")]
mod voice;
#[cfg(feature = "top")]
mod wrap;

use clap::Args;

use crate::config::Exit;

use super::desk::Desk;
use super::error::OperatorError;

/// How to show it.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = "\
Keys: arrows or j k move, Tab goes to the next list, Enter shows all of one, / filters, p pauses the worker,
c cancels, t tells, i interrupts, r retries, F1 shows all keys, q quits.

Examples:
  agentctl top
  NO_COLOR=1 agentctl top")]
pub struct TopArgs {}

/// Shows the screen until it is left.
#[cfg(feature = "top")]
pub fn run(desk: &Desk, _: TopArgs) -> Result<Exit, OperatorError> {
    use view::paint::Paint;

    super::look::check_root(&desk.layout)?;
    let terminals = desk.env.terminals();
    if !terminals.stdin || !terminals.stdout || desk.env.text("TERM").is_none_or(|term| term == "dumb") {
        return Err(OperatorError::NoTerminal);
    }
    let paint = if desk.env.get("NO_COLOR").is_some() { Paint::Plain } else { Paint::Coloured };
    shell::run(desk, std::sync::Arc::new(hands::Hands::new(desk)), paint)?;
    Ok(Exit::Done)
}

/// Says that it is not there, and how to have it.
#[cfg(not(feature = "top"))]
pub fn run(_: &Desk, _: TopArgs) -> Result<Exit, OperatorError> {
    Err(OperatorError::NotBuiltIn { verb: "top", feature: "top" })
}
