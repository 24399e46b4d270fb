//! `agentctl list`: the tasks of all workers.

use std::cmp::Reverse;

use clap::Args;
use serde_json::{Value, json};

use crate::config::Exit;
use crate::task::outcome::head;
use crate::task::{Place, TaskState};

use super::desk::{Desk, spoken};
use super::error::OperatorError;
use super::find;
use super::look::{self, Entry, Seen};
use super::report::{Cell, Tone};

/// What to list.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl list                        what is queued and running, and what ended of late
  agentctl list --state failed         the dead letters, the latest first
  agentctl list --worker marie --json | jq -r '.[].task'")]
pub struct ListArgs {
    /// Only this worker's
    #[arg(long, short, value_name = "NAME")]
    pub worker: Option<String>,
    /// Only in these states: inbox, pending, staged, active, completed, failed, cancelled; can be repeated
    #[arg(long, short, value_name = "STATE", value_delimiter = ',', value_parser = place)]
    pub state: Vec<Place>,
    /// At most so many; 0 for all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Reads a state as people say it.
fn place(text: &str) -> Result<Place, String> {
    match text.to_ascii_lowercase().as_str() {
        "inbox" => Ok(Place::Inbox),
        "pending" | "queued" | "waiting" => Ok(Place::Pending),
        "staged" => Ok(Place::Staged),
        "active" | "running" => Ok(Place::Active),
        "completed" | "done" => Ok(Place::Completed),
        "failed" | "timeout" => Ok(Place::Failed),
        "cancelled" | "canceled" => Ok(Place::Cancelled),
        _ => Err("takes inbox, pending, staged, active, completed, failed or cancelled".to_owned()),
    }
}

/// Lists tasks.
pub fn run(desk: &Desk, args: &ListArgs) -> Result<Exit, OperatorError> {
    look::check_root(&desk.layout)?;
    let mut entries = gather(desk, args)?;
    entries.sort_by(in_order);
    let all = entries.len();
    if args.limit > 0 {
        entries.truncate(args.limit);
    }
    let shown = entries.len();
    let mut seen = Vec::new();
    for entry in entries {
        seen.extend(entry.read()?);
    }
    if args.json {
        desk.report.json(&Value::Array(seen.iter().map(|seen| as_json(desk, seen)).collect()));
        return Ok(Exit::Done);
    }
    if seen.is_empty() {
        desk.report.talk("no tasks");
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<Cell>> = seen.iter().map(|seen| row(desk, seen)).collect();
    desk.report.data(&desk.report.table(&["TASK", "WORKER", "STATE", "AGE", "CHARGED", "ABOUT"], &rows));
    if all > shown {
        desk.report.talk(&format!("{} more; --limit 0 shows all", all - shown));
    }
    Ok(Exit::Done)
}

fn gather(desk: &Desk, args: &ListArgs) -> Result<Vec<Entry>, OperatorError> {
    let workers = match &args.worker {
        Some(called) => vec![find::worker(desk, called)?],
        None => look::workers(&desk.layout)?,
    };
    let mut entries = Vec::new();
    for (worker, place) in look::all_places(&workers) {
        let wanted = args.state.is_empty() || args.state.contains(&place);
        if wanted && (worker.is_some() || args.worker.is_none()) {
            entries.extend(look::entries(&desk.layout, worker.as_ref(), place)?);
        }
    }
    Ok(entries)
}

/// Running ones first, then what waits, the oldest first, then what ended, the latest first.
fn in_order(a: &Entry, b: &Entry) -> std::cmp::Ordering {
    let rank = |entry: &Entry| match entry.place {
        Place::Active => 0,
        Place::Staged => 1,
        Place::Pending | Place::Inbox => 2,
        Place::Completed | Place::Failed | Place::Cancelled => 3,
    };
    rank(a).cmp(&rank(b)).then_with(|| {
        if rank(a) == 3 { Reverse(a.mtime).cmp(&Reverse(b.mtime)) } else { a.mtime.cmp(&b.mtime) }
    })
}

fn row(desk: &Desk, seen: &Seen) -> Vec<Cell> {
    let charges = seen.task.as_ref().map_or(0, |task| task.record.charges());
    let age = spoken(desk.age_s(seen.entry.mtime));
    vec![
        Cell::plain(seen.name()),
        Cell::plain(seen.worker_word()),
        state_cell(seen.state()),
        Cell::plain(age),
        Cell::plain(if charges == 0 { "-".to_owned() } else { charges.to_string() }),
        Cell::toned(about(seen), Tone::Faint),
    ]
}

/// A state in its tone.
pub(super) fn state_cell(state: TaskState) -> Cell {
    let tone = match state {
        TaskState::Pending | TaskState::Cancelled => Tone::Plain,
        TaskState::Initializing | TaskState::Running | TaskState::Completing => Tone::Strong,
        TaskState::Completed => Tone::Good,
        TaskState::Failed | TaskState::Timeout => Tone::Bad,
    };
    Cell::toned(state.as_str(), tone)
}

/// In one line, what is most worth knowing about a task: why it failed, else what it was asked.
pub(super) fn about(seen: &Seen) -> String {
    let text = match &seen.task {
        Err(error) => error.to_string(),
        Ok(task) => {
            let code = task.record.error_code.map(|code| format!("{code} ")).unwrap_or_default();
            let why = task.record.failure_reason.as_ref().map(|why| format!("{code}{why}"));
            why.or_else(|| task.spec.prompt.clone()).unwrap_or_else(|| "(input)".to_owned())
        }
    };
    let line = text.lines().next().unwrap_or_default();
    let short = head(line, 60);
    if short.len() < text.trim_end().len() { format!("{short}…") } else { short.to_owned() }
}

/// A task as a program wants it.
pub(super) fn as_json(desk: &Desk, seen: &Seen) -> Value {
    let record = seen.task.as_ref().map(|task| task.record.clone()).unwrap_or_default();
    let spec = seen.task.as_ref().map(|task| task.spec.clone()).unwrap_or_default();
    json!({
        "task": seen.name(),
        "worker": seen.entry.worker,
        "state": seen.state(),
        "place": seen.entry.place,
        "path": seen.entry.path,
        "age_s": desk.age_s(seen.entry.mtime),
        "priority": spec.priority.unwrap_or(0),
        "not_before": spec.not_before,
        "run_id": record.run_id,
        "retry_count": record.charges(),
        "retry_at": record.retry_at,
        "error_code": record.error_code,
        "failure_reason": record.failure_reason,
        "cost_usd": record.cost_usd(),
        "unreadable": seen.task.as_ref().err().map(ToString::to_string),
    })
}
