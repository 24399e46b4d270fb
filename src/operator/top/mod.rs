//! `agentctl top`: everything at a glance, as it changes, and the keys to change it.
//!
//! | room | what happens there |
//! |---|---|
//! | `scene` | what there is to be seen, as a value |
//! | `gather`, `voice`, `ledger` | from the tree to a scene, reading only what changed |
//! | `model`, `order`, `wrap` | what is shown, and what follows from a key (pure) |
//! | `keys` | which key means what (pure) |
//! | `view` | a model on a screen of some size (pure) |
//! | `acts` | what can be done, and the door through which it is |
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
mod keys;
#[cfg(feature = "top")]
mod ledger;
#[cfg(feature = "top")]
mod model;
#[cfg(feature = "top")]
mod order;
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
    shell::run(desk, hands(desk), paint)?;
    Ok(Exit::Done)
}

/// Says that it is not there, and how to have it.
#[cfg(not(feature = "top"))]
pub fn run(_: &Desk, _: TopArgs) -> Result<Exit, OperatorError> {
    Err(OperatorError::NotBuiltIn { verb: "top", feature: "top" })
}

#[cfg(feature = "top")]
fn hands(_: &Desk) -> std::sync::Arc<dyn acts::Acts> {
    std::sync::Arc::new(NoHands)
}

/// TEMP
#[cfg(feature = "top")]
struct NoHands;

#[cfg(feature = "top")]
impl acts::Acts for NoHands {
    fn pause(&self, worker: &crate::task::WorkerName) -> acts::Said {
        acts::Said::refused(format!("pause {worker}"))
    }
    fn resume(&self, worker: &crate::task::WorkerName) -> acts::Said {
        acts::Said::refused(format!("resume {worker}"))
    }
    fn cancel(&self, task: &str) -> acts::Said {
        acts::Said::refused(format!("cancel {task}"))
    }
    fn retry(&self, task: &str) -> acts::Said {
        acts::Said::refused(format!("retry {task}"))
    }
    fn tell(&self, task: &str, text: &str) -> acts::Said {
        acts::Said::refused(format!("tell {task} {text}"))
    }
    fn interrupt(&self, task: &str, text: Option<&str>) -> acts::Said {
        acts::Said::refused(format!("interrupt {task} {text:?}"))
    }
}
