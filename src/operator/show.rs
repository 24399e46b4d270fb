//! `agentctl show`: everything about one task.
//!
//! It deliberately does not know why a task waits: `why` does.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::config::{Exit, show_size};
use crate::os::trouble::if_there;
use crate::task::outcome::head;
use crate::task::{Attempt, AttemptOutcome, Began, Place, TaskFile, Tokens};

use super::conclusion::answer;
use super::desk::{Desk, spoken};
use super::diff;
use super::error::OperatorError;
use super::find;
use super::list::{as_json, state_cell};
use super::look::Seen;
use super::packs;
use super::report::{Cell, Tone, printable};
use super::telling::Told;
use super::word::Word;
use super::worth;

/// Which task to show.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl show hello
  agentctl show hello --history            what happened to it, from its first claim on
  agentctl show hello --diff               what it changed in its repository, as a patch
  agentctl show marie/hello --json | jq .file")]
pub struct ShowArgs {
    /// The task, by its name or worker/name
    #[arg(value_name = "TASK")]
    pub task: String,
    /// What happened to it, line by line
    #[arg(long)]
    pub history: bool,
    /// What it changed in the git repository that it works on, as a patch
    #[arg(long, conflicts_with_all = ["history", "json"])]
    pub diff: bool,
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Shows a task.
pub fn run(desk: &Desk, args: &ShowArgs) -> Result<Exit, OperatorError> {
    let seen = find::find(desk, &args.task)?;
    if args.json {
        desk.report.json(&whole_json(desk, &seen)?);
        return Ok(Exit::Done);
    }
    if args.history {
        return history(desk, &seen);
    }
    if args.diff {
        return diff::print(desk, &seen);
    }
    desk.report.data(&whole(desk, &seen));
    Ok(Exit::Done)
}

/// All of it, for a person.
pub(super) fn whole(desk: &Desk, seen: &Seen) -> String {
    let rest = match &seen.task {
        Ok(task) => {
            let spec = spec(desk, task, seen.held());
            let worth = fields(desk, &worth::lines(desk, task));
            [spec, attempts(desk, task), worth, result(desk, task), paths(desk, task)].concat()
        }
        Err(error) => format!("cannot be read: {}\n", printable(&error.to_string())),
    };
    heading(desk, seen) + &rest
}

/// The run's history in words.
fn history(desk: &Desk, seen: &Seen) -> Result<Exit, OperatorError> {
    let told = told(desk, seen)?;
    if told.is_empty() {
        desk.report.talk(&format!("{} has no history: it was not claimed yet", seen.full_name()));
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<Cell>> = told.iter().map(|line| without_who(line.cells())).collect();
    desk.report.data(&desk.report.table(&["TIME", "EVENT", "WHAT"], &rows));
    Ok(Exit::Done)
}

/// Everybody knows whose history it is.
fn without_who(mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.remove(1);
    cells
}

fn told(desk: &Desk, seen: &Seen) -> Result<Vec<Told>, OperatorError> {
    let Some(run) = seen.task.as_ref().ok().and_then(|task| task.record.run_id) else {
        return Ok(Vec::new());
    };
    let path = desk.layout.run(&run).history();
    let bytes = if_there(std::fs::read(&path)).map_err(OperatorError::io("read", &path))?;
    Ok(bytes.unwrap_or_default().split(|byte| *byte == b'\n').filter_map(Told::parse).collect())
}

fn whole_json(desk: &Desk, seen: &Seen) -> Result<Value, OperatorError> {
    let mut value = as_json(desk, seen);
    value["file"] = serde_json::from_slice(&seen.bytes).unwrap_or(Value::Null);
    value["history"] = told(desk, seen)?.into_iter().map(Told::into_json).collect();
    value["answer"] = answer(desk, seen).into();
    value["verify"] = seen.task.as_ref().ok().map_or(Value::Null, |task| worth::verify(desk, task));
    value["changes"] = diff::as_json(desk, seen)?;
    value["paths"] = seen.task.as_ref().ok().map_or(Value::Null, |task| {
        let paths = places(desk, task).into_iter().map(|(name, path)| (name.to_owned(), json!(path)));
        Value::Object(paths.collect())
    });
    Ok(value)
}

/// What there is on disk about a task's run, and where.
fn places(desk: &Desk, task: &TaskFile) -> Vec<(&'static str, PathBuf)> {
    let Some(run) = task.record.run_id else { return Vec::new() };
    let paths = desk.layout.run(&run);
    let mut places = vec![
        ("artifacts", paths.dir().to_owned()),
        ("input", paths.input()),
        ("history", paths.history()),
        ("result", paths.result()),
        ("output", paths.output()),
    ];
    if let Some(attempt) = task.record.attempts.last() {
        places.push(("stream", paths.stream(attempt.number)));
        places.push(("stderr", paths.stderr(attempt.number)));
        places.push(("verify_log", paths.verify_log(attempt.number)));
    }
    places.push(("workspace", desk.layout.workspace(&run)));
    places.retain(|(_, path)| path.exists());
    places
}

fn heading(desk: &Desk, seen: &Seen) -> String {
    let age = spoken(desk.age_s(seen.entry.mtime));
    let age = if seen.state().is_terminal() { format!("{age} ago") } else { format!("for {age}") };
    let first = desk.report.line(&[
        Cell::toned(seen.full_name(), Tone::Strong),
        state_cell(seen.state()),
        Cell::toned(age, Tone::Faint),
    ]);
    let file = seen.entry.path.display().to_string();
    format!("{first}\n{}", fields(desk, &[("file", file), ("waits, since", barred(desk, seen))]))
}

/// Why it is not started, as far as its pack goes; empty where nothing bars it.
fn barred(desk: &Desk, seen: &Seen) -> String {
    let waits = Place::QUEUES.contains(&seen.entry.place);
    let kind = seen.task.as_ref().ok().filter(|_| waits).map(|task| task.spec.kind.as_deref());
    let bar = kind.and_then(|kind| packs::bar(desk, kind));
    bar.map(|it| format!("{}; {}", it.why, it.remedy)).unwrap_or_default()
}

/// `name  value` lines; what is empty is left out.
fn fields(desk: &Desk, fields: &[(&str, String)]) -> String {
    fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            let label = Cell::toned(format!("  {name:<14}"), Tone::Faint);
            desk.report.line(&[label, Cell::plain(value)]) + "\n"
        })
        .collect()
}

fn or_empty<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn spec(desk: &Desk, task: &TaskFile, held: Option<Word>) -> String {
    let (spec, record) = (&task.spec, &task.record);
    let reason = record.failure_reason.clone().unwrap_or_default();
    let code = record.error_code.map(|code| format!("{code} ({})", code.meaning()));
    let prompt = spec.prompt.as_deref().unwrap_or_default();
    let cut = head(prompt, 600);
    let prompt =
        if cut.len() < prompt.len() { format!("{cut}… ({} bytes)", prompt.len()) } else { cut.to_owned() };
    fields(
        desk,
        &[
            ("prompt", prompt),
            ("input", or_empty(spec.input.as_ref())),
            ("type", spec.kind.clone().unwrap_or_default()),
            ("pinned to", or_empty(spec.worker.as_ref())),
            ("priority", or_empty(spec.priority.as_ref())),
            ("held", held.map(|held| format!("yes{}", held.tail())).unwrap_or_default()),
            ("timeout", spec.timeout_s.map(|s| spoken(s.into())).unwrap_or_default()),
            ("max retries", or_empty(spec.max_retries.as_ref())),
            ("max cost", spec.max_cost_usd.map(|usd| format!("${usd}")).unwrap_or_default()),
            ("max tokens", or_empty(spec.max_tokens.as_ref())),
            ("max turns", or_empty(spec.max_turns.as_ref())),
            ("workdir", spec.workdir.clone().unwrap_or_default()),
            ("workdir mode", or_empty(spec.workdir_mode.as_ref())),
            ("not before", or_empty(spec.not_before.as_ref())),
            ("correlation", spec.correlation_id.clone().unwrap_or_default()),
            ("submitted", record.submitted_at.map(|at| format!("{at:.0}")).unwrap_or_default()),
            ("charged", if record.charges() > 0 { record.charges().to_string() } else { String::new() }),
            ("tried again at", or_empty(record.retry_at.as_ref())),
            ("error code", or_empty(code.as_ref())),
            ("reason", reason),
            ("peak memory", or_empty(peak(record.attempts.last()).as_ref())),
            ("changes", diff::in_short(task)),
            ("patch", record.changes.as_ref().and_then(|it| it.patch.clone()).unwrap_or_default()),
        ],
    )
}

fn attempts(desk: &Desk, task: &TaskFile) -> String {
    if task.record.attempts.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<Cell>> =
        task.record.attempts.iter().map(|attempt| attempt_row(desk, attempt)).collect();
    let heading = ["TRY", "STARTED", "TOOK", "BEGAN", "OUTCOME", "CHARGED", "COST", "TOKENS", "WHY"];
    format!("\n{}{}", desk.report.table(&heading, &rows), total(desk, task))
}

/// The most memory that an attempt had.
fn peak(attempt: Option<&Attempt>) -> Option<String> {
    attempt?.peak_memory_bytes.map(show_size)
}

/// What all attempts together cost and used, where there were several.
fn total(desk: &Desk, task: &TaskFile) -> String {
    let attempts = &task.record.attempts;
    if attempts.len() < 2 {
        return String::new();
    }
    let used = attempts.iter().filter_map(|attempt| attempt.tokens).reduce(Tokens::plus);
    let used = used.map(|used| format!("; tokens: {}", tokens_in_words(Some(used)))).unwrap_or_default();
    let text = format!("in all ${:.4}{used}", task.record.cost_usd());
    desk.report.line(&[Cell::toned(text, Tone::Faint)]) + "\n"
}

/// Tokens sent and received, and those of the cache.
fn tokens_in_words(tokens: Option<Tokens>) -> String {
    let Some(Tokens { input, output, cache_read, cache_write }) = tokens else { return "-".to_owned() };
    let cache = cache_read.saturating_add(cache_write);
    let cached = if cache > 0 { format!(" +{cache} cached") } else { String::new() };
    format!("{input} in, {output} out{cached}")
}

fn attempt_row(desk: &Desk, attempt: &Attempt) -> Vec<Cell> {
    let end = attempt.ended_at.unwrap_or_else(|| desk.clock.wall());
    let took = u64::try_from(end.as_second() - attempt.started_at.as_second()).unwrap_or(0);
    vec![
        Cell::plain(attempt.number.to_string()),
        Cell::plain(format!("{:.0}", attempt.started_at)),
        Cell::plain(spoken(took)),
        Cell::plain(attempt.began.map_or("-", Began::as_str)),
        outcome_cell(attempt.outcome),
        Cell::plain(if attempt.charged { "yes" } else { "no" }),
        Cell::plain(attempt.cost_usd.map_or_else(|| "-".to_owned(), |usd| format!("${usd:.4}"))),
        Cell::plain(tokens_in_words(attempt.tokens)),
        Cell::plain(attempt.reason.as_deref().unwrap_or("-")),
    ]
}

fn outcome_cell(outcome: Option<AttemptOutcome>) -> Cell {
    let (word, tone) = match outcome {
        None => ("open", Tone::Strong),
        Some(AttemptOutcome::Completed) => ("completed", Tone::Good),
        Some(AttemptOutcome::Failed) => ("failed", Tone::Bad),
        Some(AttemptOutcome::TimedOut) => ("timed out", Tone::Bad),
        Some(AttemptOutcome::Crashed) => ("crashed", Tone::Bad),
        Some(AttemptOutcome::Interrupted) => ("interrupted", Tone::Plain),
        Some(AttemptOutcome::Deferred) => ("deferred", Tone::Warn),
        Some(AttemptOutcome::NotStarted) => ("not started", Tone::Warn),
        Some(AttemptOutcome::SessionLost) => ("session lost", Tone::Warn),
        Some(AttemptOutcome::Cancelled) => ("cancelled", Tone::Plain),
        Some(AttemptOutcome::NeedsMore) => ("needs more", Tone::Warn),
    };
    Cell::toned(word, tone)
}

fn result(desk: &Desk, task: &TaskFile) -> String {
    let Some(text) = task.record.result.as_deref().filter(|text| !text.is_empty()) else {
        return String::new();
    };
    let label = desk.report.line(&[Cell::toned("result", Tone::Faint)]);
    let text = printable(head(text, 2000)).replace('\n', "\n  ");
    format!("\n{label}\n  {text}\n")
}

fn paths(desk: &Desk, task: &TaskFile) -> String {
    let Some(run) = task.record.run_id else { return String::new() };
    let session = task.record.attempts.last().map(|attempt| attempt.session_id.to_string());
    let mut lines = vec![("run", run.to_string()), ("session", session.unwrap_or_default())];
    lines.extend(places(desk, task).into_iter().map(|(name, path)| (name, path.display().to_string())));
    format!("\n{}", fields(desk, &lines))
}
