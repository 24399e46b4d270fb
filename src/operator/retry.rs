//! `agentctl retry`: tasks that ended begin a new life; one that waits for its retry is tried now.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::config::{Exit, parse_duration};
use crate::task::{ErrorCode, Place};

use super::act::{self, Deed, Manner};
use super::desk::Desk;
use super::error::OperatorError;
use super::find;
use super::look::{self, Seen};

/// What to try again.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A new life has a new run and no charges. Which failed tasks are meant can be said by a filter; then it is asked for, unless
--yes is said.

Examples:
  agentctl retry hello
  agentctl retry hello --continue          what it has done so far counts
  agentctl retry --error-code E006 --failed-since 2h --yes
  agentctl retry --worker marie --all --dry-run")]
pub struct RetryArgs {
    /// The tasks, each by its name or worker/name
    #[arg(
        value_name = "TASK",
        required_unless_present_any = ["all", "failed_since", "error_code", "worker"],
        conflicts_with_all = ["all", "failed_since", "error_code", "worker"]
    )]
    pub tasks: Vec<String>,
    /// All that failed
    #[arg(long)]
    pub all: bool,
    /// Those that failed no longer ago than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub failed_since: Option<Duration>,
    /// Those that failed with this code
    #[arg(long, value_name = "CODE", value_parser = code)]
    pub error_code: Option<ErrorCode>,
    /// Those of this worker
    #[arg(long, short, value_name = "NAME")]
    pub worker: Option<String>,
    /// Also what ended well
    #[arg(long)]
    pub force: bool,
    /// Go on with the conversation that it had, in the folder that it had, in place of beginning from the prompt
    #[arg(long = "continue")]
    pub goes_on: bool,
    /// How it is done.
    #[command(flatten)]
    pub manner: Manner,
}

fn code(text: &str) -> Result<ErrorCode, String> {
    let word = text.to_ascii_uppercase();
    serde_json::from_value(word.into()).map_err(|_| "takes a code from E001 to E008".to_owned())
}

/// Tries tasks again.
pub fn run(desk: &Desk, args: &RetryArgs) -> Result<Exit, OperatorError> {
    let deed = Deed::Retry { force: args.force, goes_on: args.goes_on };
    if !args.tasks.is_empty() {
        return act::run(desk, &deed, &find::all(desk, &args.tasks)?, args.manner);
    }
    let chosen = failed(desk, args)?;
    if chosen.is_empty() {
        desk.report.talk("nothing that failed is meant by that");
        return Ok(Exit::Done);
    }
    if !args.manner.dry_run {
        let what = format!("{} failed tasks begin a new life, and are paid for again", chosen.len());
        act::confirm(desk, args.manner.yes.into(), &what)?;
    }
    act::run(desk, &deed, &chosen, args.manner)
}

/// The failed tasks that the filter means, the oldest first. What was filed as no task would only fail again.
fn failed(desk: &Desk, args: &RetryArgs) -> Result<Vec<Seen>, OperatorError> {
    look::check_root(&desk.layout)?;
    let workers = match &args.worker {
        Some(called) => vec![find::worker(desk, called)?],
        None => look::workers(&desk.layout)?,
    };
    let mut chosen = Vec::new();
    for worker in &workers {
        for entry in look::entries(&desk.layout, Some(worker), Place::Failed)? {
            chosen.extend(entry.read()?.filter(|seen| is_meant(args, seen, desk.clock.wall())));
        }
    }
    chosen.sort_by_key(|seen| seen.entry.mtime);
    Ok(chosen)
}

fn is_meant(args: &RetryArgs, seen: &Seen, now: Timestamp) -> bool {
    let Ok(task) = &seen.task else { return false };
    let since = |age: Duration| now.checked_sub(age).is_ok_and(|from| seen.entry.mtime >= from);
    args.failed_since.is_none_or(since)
        && args.error_code.is_none_or(|code| task.record.error_code == Some(code))
}
