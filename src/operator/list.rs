//! `agentctl list`: the tasks of all workers.

use std::cmp::Reverse;

use clap::Args;
use serde_json::{Value, json};

use crate::config::Exit;
use crate::task::outcome::head;
use crate::task::{ErrorCode, Place, TaskState};

use super::desk::{Desk, spoken};
use super::error::OperatorError;
use super::find;
use super::look::{self, Entry, Seen};
use super::moment::{Moment, past};
use super::report::{Cell, Tone};
use super::word::Word;

/// What to list.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl list                               what is queued and running, and what ended of late
  agentctl list --state failed --since 1d     the dead letters of a day, the latest first
  agentctl list --grep invoice --sort cost --reverse
  agentctl list --state failed --error-code E006 -q | xargs -r -n1 agentctl show
  agentctl list --worker marie --json | jq -r '.[].task'")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct ListArgs {
    /// Only this worker's
    #[arg(long, short, value_name = "NAME")]
    pub worker: Option<String>,
    /// Only in these states: inbox, pending, staged, active, completed, failed, cancelled; can be repeated
    #[arg(long, short, value_name = "STATE", value_delimiter = ',', value_parser = place)]
    pub state: Vec<Place>,
    /// Only those written since then: an age such as 10m, or a moment
    #[arg(long, value_name = "WHEN", value_parser = past)]
    pub since: Option<Moment>,
    /// Only those not written since then
    #[arg(long, value_name = "WHEN", value_parser = past)]
    pub until: Option<Moment>,
    /// Only those with this error code; can be repeated
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = error_code)]
    pub error_code: Vec<ErrorCode>,
    /// Only those that an operator holds
    #[arg(long)]
    pub held: bool,
    /// Only those with this text in their name, prompt or reason, in whatever case
    #[arg(long, value_name = "TEXT")]
    pub grep: Option<String>,
    /// By name, worker, age (the oldest first), priority (the highest first), charges or cost (the least first)
    #[arg(long, value_name = "BY", value_enum, hide_possible_values = true)]
    pub sort: Option<SortBy>,
    /// The other way round
    #[arg(long)]
    pub reverse: bool,
    /// At most so many; 0 for all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Only their names, one a line
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
}

/// What a list can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SortBy {
    /// The task's name.
    Name,
    /// The worker.
    Worker,
    /// How long ago its file was written.
    Age,
    /// What was asked for.
    Priority,
    /// How often it was charged.
    Charges,
    /// What all its attempts cost.
    Cost,
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

fn error_code(text: &str) -> Result<ErrorCode, String> {
    let code = serde_json::from_value(text.to_ascii_uppercase().into());
    code.map_err(|_| "takes E001 to E008".to_owned())
}

/// Lists tasks.
pub fn run(desk: &Desk, args: &ListArgs) -> Result<Exit, OperatorError> {
    look::check_root(&desk.layout)?;
    let (seen, all) = choose(desk, args)?;
    if args.json {
        desk.report.json(&Value::Array(seen.iter().map(|seen| as_json(desk, seen)).collect()));
    } else if args.quiet {
        desk.report.data(&seen.iter().map(|seen| seen.full_name() + "\n").collect::<String>());
    } else if seen.is_empty() {
        desk.report.talk("no tasks");
    } else {
        let rows: Vec<Vec<Cell>> = seen.iter().map(|seen| row(desk, seen)).collect();
        desk.report.data(&desk.report.table(&["TASK", "WORKER", "STATE", "AGE", "CHARGED", "ABOUT"], &rows));
    }
    if args.limit > 0 && all > args.limit {
        desk.report.talk(&format!("{} more; --limit 0 shows all", all - args.limit));
    }
    Ok(Exit::Done)
}

/// The tasks that are wanted, in order and as many as are wanted, and how many there are in all.
fn choose(desk: &Desk, args: &ListArgs) -> Result<(Vec<Seen>, usize), OperatorError> {
    let mut entries = gather(desk, args)?;
    entries.sort_by(in_order);
    let reads_all = args.held || args.grep.is_some() || !args.error_code.is_empty() || args.sort.is_some();
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut all = entries.len();
    // What decides without opening a file decides before any is opened.
    if !reads_all {
        if args.reverse {
            entries.reverse();
        }
        entries.truncate(limit);
    }
    let mut seen = Vec::new();
    for entry in entries {
        seen.extend(entry.read()?.filter(|seen| is_wanted(args, seen)));
    }
    if reads_all {
        all = seen.len();
        sort(&mut seen, args);
        seen.truncate(limit);
    }
    Ok((seen, all))
}

fn is_wanted(args: &ListArgs, seen: &Seen) -> bool {
    let code = seen.task.as_ref().ok().and_then(|task| task.record.error_code);
    let has_code = args.error_code.is_empty() || code.is_some_and(|code| args.error_code.contains(&code));
    let is_held = !args.held || seen.held().is_some();
    has_code && is_held && args.grep.as_deref().is_none_or(|text| says(seen, text))
}

fn says(seen: &Seen, text: &str) -> bool {
    let text = text.to_lowercase();
    let prompt = seen.task.as_ref().ok().and_then(|task| task.spec.prompt.clone());
    let reason = seen.task.as_ref().ok().and_then(|task| task.record.failure_reason.clone());
    let told = seen.task.as_ref().err().map(ToString::to_string);
    [Some(seen.name()), prompt, reason, told].iter().flatten().any(|it| it.to_lowercase().contains(&text))
}

fn sort(seen: &mut [Seen], args: &ListArgs) {
    let record = |seen: &Seen| seen.task.as_ref().map(|task| task.record.clone()).unwrap_or_default();
    let priority = |seen: &Seen| seen.task.as_ref().ok().and_then(|task| task.spec.priority).unwrap_or(0);
    match args.sort {
        None => {}
        Some(SortBy::Name) => seen.sort_by_key(Seen::name),
        Some(SortBy::Worker) => seen.sort_by_key(|it| it.worker_word().to_owned()),
        Some(SortBy::Age) => seen.sort_by_key(|it| it.entry.mtime),
        Some(SortBy::Priority) => seen.sort_by_key(|it| Reverse(priority(it))),
        Some(SortBy::Charges) => seen.sort_by_key(|it| record(it).charges()),
        Some(SortBy::Cost) => seen.sort_by(|a, b| record(a).cost_usd().total_cmp(&record(b).cost_usd())),
    }
    if args.reverse {
        seen.reverse();
    }
}

fn gather(desk: &Desk, args: &ListArgs) -> Result<Vec<Entry>, OperatorError> {
    let workers = match &args.worker {
        Some(called) => vec![find::worker(desk, called)?],
        None => look::workers(&desk.layout)?,
    };
    let now = desk.clock.wall();
    let (since, until) = (args.since.map(|it| it.seen_from(now)), args.until.map(|it| it.seen_from(now)));
    let mut entries = Vec::new();
    for (worker, place) in look::all_places(&workers) {
        let wanted = args.state.is_empty() || args.state.contains(&place);
        if wanted && (worker.is_some() || args.worker.is_none()) {
            entries.extend(look::entries(&desk.layout, worker.as_ref(), place)?);
        }
    }
    entries.retain(|it| since.is_none_or(|at| it.mtime >= at) && until.is_none_or(|at| it.mtime <= at));
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
        waiting_cell(seen),
        Cell::plain(age),
        Cell::plain(if charges == 0 { "-".to_owned() } else { charges.to_string() }),
        Cell::toned(about(seen), Tone::Faint),
    ]
}

/// The state, and whether an operator holds it.
fn waiting_cell(seen: &Seen) -> Cell {
    let held = Place::QUEUES.contains(&seen.entry.place) && seen.held().is_some();
    if held { Cell::toned(format!("{}, held", seen.state()), Tone::Warn) } else { state_cell(seen.state()) }
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
    in_short(&text)
}

/// The beginning of a text, on one line.
pub(super) fn in_short(text: &str) -> String {
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
        "held": seen.held().as_ref().map(Word::as_json),
        "run_id": record.run_id,
        "retry_count": record.charges(),
        "retry_at": record.retry_at,
        "error_code": record.error_code,
        "failure_reason": record.failure_reason,
        "cost_usd": record.cost_usd(),
        "unreadable": seen.task.as_ref().err().map(ToString::to_string),
    })
}
