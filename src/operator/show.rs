//! `agentctl show`: everything about one task.

use clap::Args;
use serde_json::{Value, json};

use crate::config::Exit;
use crate::task::outcome::head;
use crate::task::{Attempt, AttemptOutcome, Place, TaskFile};

use super::desk::{Desk, spoken};
use super::error::OperatorError;
use super::find;
use super::list::{as_json, state_cell};
use super::look::Seen;
use super::packs;
use super::report::{Cell, Tone, printable};

/// Which task to show.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl show hello
  agentctl show marie/hello --json | jq .file")]
pub struct ShowArgs {
    /// The task, by its name or worker/name
    #[arg(value_name = "TASK")]
    pub task: String,
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Shows a task.
pub fn run(desk: &Desk, args: &ShowArgs) -> Result<Exit, OperatorError> {
    let seen = find::find(desk, &args.task)?;
    if args.json {
        desk.report.json(&whole_json(desk, &seen));
        return Ok(Exit::Done);
    }
    desk.report.data(&heading(desk, &seen));
    match &seen.task {
        Ok(task) => {
            desk.report.data(&spec(desk, task));
            desk.report.data(&attempts(desk, task));
            desk.report.data(&result(desk, task));
            desk.report.data(&paths(desk, task));
        }
        Err(error) => {
            desk.report.data(&format!("cannot be read: {}", printable(&error.to_string())));
        }
    }
    Ok(Exit::Done)
}

fn whole_json(desk: &Desk, seen: &Seen) -> Value {
    let mut value = as_json(desk, seen);
    value["file"] = serde_json::from_slice(&seen.bytes).unwrap_or(Value::Null);
    if let Some(run) = seen.task.as_ref().ok().and_then(|task| task.record.run_id) {
        let paths = desk.layout.run(&run);
        value["paths"] = json!({
            "artifacts": paths.dir(),
            "result": paths.result(),
            "output": paths.output(),
            "history": paths.history(),
            "workspace": desk.layout.workspace(&run),
        });
    }
    value
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
    bar.map(|(why, remedy)| format!("{why}; {remedy}")).unwrap_or_default()
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

fn spec(desk: &Desk, task: &TaskFile) -> String {
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
            ("timeout", spec.timeout_s.map(|s| spoken(s.into())).unwrap_or_default()),
            ("workdir", spec.workdir.clone().unwrap_or_default()),
            ("not before", or_empty(spec.not_before.as_ref())),
            ("correlation", spec.correlation_id.clone().unwrap_or_default()),
            ("submitted", record.submitted_at.map(|at| format!("{at:.0}")).unwrap_or_default()),
            ("charged", if record.charges() > 0 { record.charges().to_string() } else { String::new() }),
            ("tried again at", or_empty(record.retry_at.as_ref())),
            ("error code", or_empty(code.as_ref())),
            ("reason", reason),
        ],
    )
}

fn attempts(desk: &Desk, task: &TaskFile) -> String {
    if task.record.attempts.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<Cell>> =
        task.record.attempts.iter().map(|attempt| attempt_row(desk, attempt)).collect();
    let heading = ["TRY", "STARTED", "TOOK", "OUTCOME", "CHARGED", "COST", "WHY"];
    format!("\n{}", desk.report.table(&heading, &rows))
}

fn attempt_row(desk: &Desk, attempt: &Attempt) -> Vec<Cell> {
    let end = attempt.ended_at.unwrap_or_else(|| desk.clock.wall());
    let took = u64::try_from(end.as_second() - attempt.started_at.as_second()).unwrap_or(0);
    vec![
        Cell::plain(attempt.number.to_string()),
        Cell::plain(format!("{:.0}", attempt.started_at)),
        Cell::plain(spoken(took)),
        outcome_cell(attempt.outcome),
        Cell::plain(if attempt.charged { "yes" } else { "no" }),
        Cell::plain(attempt.cost_usd.map_or_else(|| "-".to_owned(), |usd| format!("${usd:.4}"))),
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
    let paths = desk.layout.run(&run);
    let there = |path: &std::path::Path| {
        if path.exists() { path.display().to_string() } else { String::new() }
    };
    let session = task.record.attempts.last().map(|attempt| attempt.session_id.to_string());
    let last = task.record.attempts.last().map_or(0, |attempt| attempt.number);
    let text = fields(
        desk,
        &[
            ("run", run.to_string()),
            ("session", session.unwrap_or_default()),
            ("artifacts", there(paths.dir())),
            ("answer", there(&paths.output())),
            ("stream", there(&paths.stream(last))),
            ("stderr", there(&paths.stderr(last))),
            ("workspace", there(&desk.layout.workspace(&run))),
        ],
    );
    format!("\n{text}")
}
