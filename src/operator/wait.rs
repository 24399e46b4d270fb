//! `agentctl wait`: until tasks have ended.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::config::{Exit, parse_duration};

use super::conclusion::{exit_of, mourn, wait_for};
use super::desk::Desk;
use super::error::OperatorError;
use super::find;
use super::list;
use super::look::Seen;
use super::vigil::Vigil;

/// What to wait for.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Ends with 0 if all completed; else with the code of the first that did not:
  1 FAILED · 124 TIMEOUT · 130 CANCELLED · 75 not yet (--timeout) · 65 no such task

Examples:
  agentctl wait hello && echo well done
  agentctl wait --timeout 10m marie/a marie/b")]
pub struct WaitArgs {
    /// The tasks, each by its name or worker/name
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Wait at most so long for all of them
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Waits for tasks.
pub fn run(desk: &Desk, args: &WaitArgs) -> Result<Exit, OperatorError> {
    let deadline = args.timeout.map(|timeout| desk.clock.ticks().plus(timeout));
    let mut vigil = Vigil::start()?;
    let mut seen_last: Vec<Seen> = Vec::new();
    let mut exit = Exit::Done;
    for called in &args.tasks {
        let seen = wait_for(desk, &mut vigil, called, deadline)?;
        let own = seen.as_ref().map_or(Some(Exit::TryAgain), |seen| exit_of(seen.state()));
        if exit == Exit::Done {
            exit = own.unwrap_or(Exit::Internal);
        }
        let Some(seen) = seen else {
            desk.report.talk(&format!("{called} has not ended yet"));
            // A program is told of every task that it asked for.
            seen_last.extend(find::find(desk, called).ok());
            continue;
        };
        if !args.json {
            tell(desk, &seen);
        }
        seen_last.push(seen);
    }
    if args.json {
        desk.report.json(&Value::Array(seen_last.iter().map(|seen| list::as_json(desk, seen)).collect()));
    }
    Ok(exit)
}

fn tell(desk: &Desk, seen: &Seen) {
    desk.report.data(&format!("{} {}", seen.full_name(), seen.state()));
    if exit_of(seen.state()) != Some(Exit::Done) {
        mourn(desk, seen);
    }
}
