//! `agentctl show --diff`: what a task changed in its repository.
//!
//! Into a file or a pipe the patch goes as it is, so that `git apply` takes it; a person sees it escaped, and in colours.

use serde_json::{Value, json};

use crate::checkout::Report as Changed;
use crate::config::Exit;
use crate::os::trouble::if_there;
use crate::task::TaskFile;

use super::desk::Desk;
use super::error::OperatorError;
use super::look::Seen;
use super::report::{Cell, Tone, printable};

/// Prints the patch.
pub(super) fn print(desk: &Desk, seen: &Seen) -> Result<Exit, OperatorError> {
    let Some(changed) = changed(desk, seen)? else {
        desk.report.talk(&format!("nothing is recorded of what {} changed: it works on no git repository, or no attempt of it has ended yet", seen.full_name()));
        return Ok(Exit::Done);
    };
    for note in &changed.notes {
        desk.report.warn(&printable(note));
    }
    let run = seen.task.as_ref().ok().and_then(|task| task.record.run_id);
    let from = run.map(|run| desk.layout.run(&run).patch()).unwrap_or_default();
    let patch = if_there(std::fs::read(&from)).map_err(OperatorError::io("read", &from))?.unwrap_or_default();
    if patch.is_empty() {
        desk.report.talk(&format!("{} changed no files", seen.full_name()));
    } else if desk.env.terminals().stdout {
        let text = String::from_utf8_lossy(&patch);
        let lines = text.lines().map(|line| desk.report.line(&[Cell::toned(line, tone(line))]) + "\n");
        desk.report.data(&lines.collect::<String>());
    } else {
        desk.report.raw(&patch);
    }
    Ok(Exit::Done)
}

/// What is recorded of it, for programs.
pub(super) fn as_json(desk: &Desk, seen: &Seen) -> Result<Value, OperatorError> {
    Ok(changed(desk, seen)?.map_or(Value::Null, |changed| json!(changed)))
}

/// The same in a line.
pub(super) fn in_short(task: &TaskFile) -> String {
    let Some(changes) = &task.record.changes else { return String::new() };
    let note = changes.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    format!("{changes}{note}")
}

fn changed(desk: &Desk, seen: &Seen) -> Result<Option<Changed>, OperatorError> {
    let run = seen.task.as_ref().ok().and_then(|task| task.record.run_id);
    let Some(run) = run else { return Ok(None) };
    let paths = desk.layout.run(&run);
    Changed::read(&paths).map_err(OperatorError::io("read", &paths.changes()))
}

fn tone(line: &str) -> Tone {
    match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Tone::Strong,
        [b'+', ..] => Tone::Good,
        [b'-', ..] => Tone::Bad,
        [b'@', b'@', ..] => Tone::Faint,
        _ if line.starts_with("diff --git ") => Tone::Strong,
        _ => Tone::Plain,
    }
}
