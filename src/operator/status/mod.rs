//! `agentctl status`: one screen that tells everything, and what to type next.
//!
//! Rooms: [`survey`] looks, [`screen`] writes what was seen for a person and [`json`] for a program. What a worker's
//! signs mean is judged in [`super::worker`].

mod json;
mod screen;
mod survey;

use clap::Args;

use crate::config::Exit;
use crate::os::space::{self, Reserve};

use super::desk::Desk;
use super::error::OperatorError;
use super::look;

/// How to show it.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl status
  agentctl status --json | jq '.workers[] | {worker, alive, status}'")]
pub struct StatusArgs {
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Shows the status.
pub fn run(desk: &Desk, args: &StatusArgs) -> Result<Exit, OperatorError> {
    look::check_root(&desk.layout)?;
    let screen = survey::look(desk)?;
    // On a full disk no worker can write down how it is.
    if let Some((trouble, what)) =
        space::of(desk.layout.root()).ok().and_then(|it| it.scarce(&Reserve::USUAL))
    {
        let root = desk.layout.root().display();
        let remedy = trouble.remedy();
        desk.report.warn(&format!("{what} below {root}: workers claim nothing until that is over; {remedy}"));
    }
    if args.json {
        desk.report.json(&json::whole(desk, &screen));
        return Ok(Exit::Done);
    }
    desk.report.data(&screen::whole(desk, &screen));
    Ok(Exit::Done)
}
