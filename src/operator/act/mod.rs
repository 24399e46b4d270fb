//! What an operator changes: decided as a plan that can be read, then done.
//!
//! | room | what happens there |
//! |---|---|
//! | `plan` | what is to be done to one task, by whom, and whether it is possible (pure) |
//! | `way` | who it is done by: the worker's watcher through its pipe, or we, on the files |
//! | `files` | doing it on the files |
//! | `tenure` | the worker's lock meanwhile |
//! | `confirm` | what cannot be undone is asked for twice |
//!
//! Invariants:
//! - where the watcher lives, nothing is moved but by it;
//! - where none lives, the worker's lock is held while anything is moved, and it is said that the files are acted on;
//! - `--dry-run` takes no lock, writes nothing, and asks nobody.
//!
//! It deliberately does not know the command lines: those are the verbs', one a file.

mod confirm;
mod files;
mod plan;
mod tenure;
mod way;

use clap::Args;
use serde_json::{Value, json};

use crate::config::Exit;
use crate::pipe::client::AskError;
use crate::task::Place;

use super::desk::Desk;
use super::error::OperatorError;
use super::look::Seen;
use super::report::printable;

pub(super) use confirm::{Sure, confirm};
pub(super) use files::{Ground, who};
pub(super) use plan::{Act, Deed, Target, Via};
pub(super) use way::{ask, of_worker, said, way};

/// How it is done.
#[derive(Clone, Copy, Debug, Args)]
pub struct Manner {
    /// Show what would be done, and by whom, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
    /// Do not ask, also where it cannot be undone
    #[arg(long, short)]
    pub yes: bool,
}

/// What became of one task.
#[derive(Debug)]
struct Done {
    target: String,
    via: Option<Via>,
    exit: Exit,
    message: String,
    hint: Option<String>,
}

/// Does `deed` to each of `seen`; ends with the code of the first that could not be.
pub(super) fn run(desk: &Desk, deed: &Deed, seen: &[Seen], manner: Manner) -> Result<Exit, OperatorError> {
    let planned: Vec<(String, Result<Act, OperatorError>)> =
        seen.iter().map(|seen| (seen.full_name(), plan(desk, deed, seen))).collect();
    if manner.dry_run {
        return Ok(show(desk, &planned, manner));
    }
    let last: Vec<&str> = planned
        .iter()
        .filter(|(_, act)| act.as_ref().is_ok_and(Act::is_final))
        .map(|(name, _)| name.as_str())
        .collect();
    if !last.is_empty() {
        let what =
            format!("{deed} {}, at work now: what it has done so far is not gone on with", last.join(", "));
        confirm(desk, manner.yes.into(), &what)?;
    }
    let mut ground = Ground::new(desk);
    let done =
        planned.into_iter().map(|(name, act)| match act.and_then(|act| perform(desk, &mut ground, &act)) {
            Ok(done) => done,
            Err(error) => refused(name, &error),
        });
    let done: Vec<Done> = done.collect();
    Ok(tell(desk, &done, manner))
}

/// Does `deed` to one task, asking nothing: for whoever has asked already. What was done, or why it was not.
#[cfg(feature = "top")]
pub(super) fn one(desk: &Desk, deed: &Deed, seen: &Seen) -> Result<String, String> {
    let done = plan(desk, deed, seen).and_then(|act| perform(desk, &mut Ground::new(desk), &act));
    let done = done.unwrap_or_else(|error| refused(seen.full_name(), &error));
    if done.exit == Exit::Done { Ok(done.message) } else { Err(hinted(&done.message, done.hint.as_deref())) }
}

/// What was said and what to do, on one line.
#[cfg(feature = "top")]
pub(super) fn hinted(message: &str, hint: Option<&str>) -> String {
    hint.map_or_else(|| message.to_owned(), |hint| format!("{message} ({hint})"))
}

/// What is to be done to one task.
pub(super) fn plan(desk: &Desk, deed: &Deed, seen: &Seen) -> Result<Act, OperatorError> {
    plan::decide(deed, &Target::of(seen), way(desk, seen)?)
}

fn perform(desk: &Desk, ground: &mut Ground<'_>, act: &Act) -> Result<Done, OperatorError> {
    let target = act.target.full.clone();
    if let Via::Worker(worker) = &act.via {
        match ask(desk, worker, &act.request(&who(desk))) {
            Ok(reply) => {
                let exit = said(&reply);
                let (message, hint) = (reply.message, reply.hint);
                return Ok(Done { target, via: Some(act.via.clone()), exit, message, hint });
            }
            // It died since we looked.
            Err(AskError::Nobody { .. }) if act.can_be_done_on_files() && !of_worker(desk, worker) => {}
            Err(error) => return Err(OperatorError::Ask(error)),
        }
    }
    let worker = act.via.worker().clone();
    let message = ground.perform(&worker, act)?;
    Ok(Done { target, via: Some(Via::Files(worker)), exit: Exit::Done, message, hint: None })
}

/// An error with its causes, on one line.
pub(super) fn in_words(error: &OperatorError) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        message.extend([": ", &source.to_string()]);
        cause = source.source();
    }
    message
}

fn refused(target: String, error: &OperatorError) -> Done {
    Done { target, via: None, exit: error.exit(), message: in_words(error), hint: error.hint() }
}

/// The plan, as it would be carried out.
fn show(desk: &Desk, planned: &[(String, Result<Act, OperatorError>)], manner: Manner) -> Exit {
    let mut exit = Exit::Done;
    let mut rows = Vec::new();
    for (name, act) in planned {
        match act {
            Ok(act) => {
                rows.push(
                    json!({"task": name, "op": act.deed.word(), "via": act.via.to_string(), "done": false}),
                );
                if !manner.json {
                    desk.report.data(&printable(&format!("would {act}")));
                }
            }
            Err(error) => {
                let no = refused(name.clone(), error);
                exit = first(exit, no.exit);
                rows.push(as_json(&no));
                if !manner.json {
                    complain(desk, &no);
                }
            }
        }
    }
    if manner.json {
        desk.report.json(&Value::Array(rows));
    }
    exit
}

fn tell(desk: &Desk, all: &[Done], manner: Manner) -> Exit {
    let mut exit = Exit::Done;
    for done in all {
        exit = first(exit, done.exit);
        if done.exit != Exit::Done {
            complain(desk, done);
        } else if !manner.json {
            desk.report.data(&printable(&format!("{}: {}", done.target, done.message)));
        }
    }
    if manner.json {
        desk.report.json(&Value::Array(all.iter().map(as_json).collect()));
    }
    exit
}

fn complain(desk: &Desk, done: &Done) {
    let hint = done.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    desk.report.warn(&printable(&format!("{}: {}{hint}", done.target, done.message)));
}

fn as_json(done: &Done) -> Value {
    json!({
        "task": done.target,
        "via": done.via.as_ref().map(ToString::to_string),
        "done": done.exit == Exit::Done,
        "code": done.exit.code(),
        "message": done.message,
        "hint": done.hint,
    })
}

const fn first(exit: Exit, next: Exit) -> Exit {
    if matches!(exit, Exit::Done) { next } else { exit }
}

/// Whether a task waits in a queue.
pub(super) fn waits(place: Place) -> bool {
    Place::QUEUES.contains(&place)
}
