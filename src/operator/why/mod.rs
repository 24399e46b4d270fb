//! `agentctl why`: why a task is not running now, and when it will; what a running one does; why an ended one ended.
//!
//! Rooms: [`look`] gathers facts, [`reasons`] makes the answer of them, pure and with a table of tests.

mod look;
mod reasons;

use clap::Args;
use serde_json::{Value, json};

use crate::config::Exit;

use self::reasons::{Answer, Reason};
use super::desk::{Desk, spoken};
use super::error::OperatorError;
use super::find;
use super::list::{as_json, state_cell};
use super::look::Seen;
use super::report::{Cell, Tone};

/// Which task to explain.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl why hello
  agentctl why marie/hello --json | jq -r '.reasons[].reason'")]
pub struct WhyArgs {
    /// The task, by its name or worker/name
    #[arg(value_name = "TASK")]
    pub task: String,
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Explains a task.
pub fn run(desk: &Desk, args: &WhyArgs) -> Result<Exit, OperatorError> {
    let seen = find::find(desk, &args.task)?;
    let answer = reasons::answer(&look::facts(desk, &seen)?);
    if args.json {
        desk.report.json(&whole_json(desk, &seen, &answer));
    } else {
        desk.report.data(&whole_text(desk, &seen, &answer));
    }
    Ok(Exit::Done)
}

fn whole_text(desk: &Desk, seen: &Seen, answer: &Answer) -> String {
    let age = spoken(desk.age_s(seen.entry.mtime));
    let mut text = desk.report.line(&[
        Cell::toned(seen.full_name(), Tone::Strong),
        state_cell(seen.state()),
        Cell::plain(&answer.verdict),
        Cell::toned(format!("(file written {age} ago)"), Tone::Faint),
    ]);
    text.push('\n');
    for reason in &answer.reasons {
        text += &told(desk, reason);
    }
    if let Some(at) = answer.earliest {
        let wait = u64::try_from(at.as_second() - desk.clock.wall().as_second()).unwrap_or(0);
        text += &desk.report.line(&[
            Cell::plain("at the earliest:"),
            Cell::toned(format!("{at:.0}, in {}", spoken(wait)), Tone::Strong),
        ]);
        text.push('\n');
    }
    text
}

fn told(desk: &Desk, reason: &Reason) -> String {
    let until = reason.until.map(|at| format!("(until {at:.0})")).unwrap_or_default();
    let line = [Cell::plain("-"), Cell::plain(&reason.text), Cell::toned(until, Tone::Strong)];
    let mut text = desk.report.line(&line).trim_end().to_owned() + "\n";
    if let Some(remedy) = &reason.remedy {
        text += &desk.report.line(&[Cell::toned("  remedy:", Tone::Faint), Cell::plain(remedy)]);
        text.push('\n');
    }
    text
}

fn whole_json(desk: &Desk, seen: &Seen, answer: &Answer) -> Value {
    let reasons = answer.reasons.iter().map(|reason| {
        json!({
            "reason": reason.word,
            "worker": reason.worker,
            "text": reason.text,
            "until": reason.until,
            "remedy": reason.remedy,
        })
    });
    let mut value = as_json(desk, seen);
    value["runs_now"] = answer.runs_now.into();
    value["verdict"] = answer.verdict.clone().into();
    value["earliest"] = json!(answer.earliest);
    value["reasons"] = reasons.collect();
    value
}
