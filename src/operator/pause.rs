//! `agentctl pause`, `resume`, `drain` and `stop`: whether workers take tasks.
//!
//! Without a watcher the wish is written into `state.json`, where the next one reads it.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::config::{Exit, parse_duration};
use crate::os::durable::Durability;
use crate::pipe::client::AskError;
use crate::pipe::words::{Op, Request};
use crate::task::WorkerName;
use crate::telemetry::state_file::{self, State, Wanted, WantedMode, WorkerStatus};

use super::act::{self, Ground, ask, of_worker, said, who};
use super::desk::Desk;
use super::error::OperatorError;
use super::vigil::Vigil;
use super::{find, look};

/// Which workers to pause.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A paused worker takes no new tasks, over restarts too, until `agentctl resume`. What is at work goes on.

Examples:
  agentctl pause marie --reason 'deploying'
  agentctl pause")]
pub struct PauseArgs {
    /// The workers; all without any
    #[arg(value_name = "WORKER")]
    pub workers: Vec<String>,
    /// Why: is shown in `agentctl status`
    #[arg(long, short, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How it is done.
    #[command(flatten)]
    pub manner: Manner,
}

/// Which workers to resume.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Also ends the wait for something that was mended, such as a login. Not to be confused with `supervisor resume`, which lets
a backlog go in batches.

Example:
  agentctl resume marie")]
pub struct ResumeArgs {
    /// The workers; all without any
    #[arg(value_name = "WORKER")]
    pub workers: Vec<String>,
    /// How it is done.
    #[command(flatten)]
    pub manner: Manner,
}

/// Which workers to drain.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A draining worker takes no new tasks, lets the running ones finish, then stops.

Examples:
  agentctl drain marie --wait && echo it has stopped
  agentctl drain --wait --timeout 1h")]
pub struct DrainArgs {
    /// The workers; all without any
    #[arg(value_name = "WORKER")]
    pub workers: Vec<String>,
    /// Until they have stopped
    #[arg(long)]
    pub wait: bool,
    /// Wait at most so long; ends with 75 then
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait")]
    pub timeout: Option<Duration>,
    /// How it is done.
    #[command(flatten)]
    pub manner: Manner,
}

/// Which workers to stop.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Like SIGTERM: its agents are interrupted, and their tasks put back uncharged. `agentctl drain` lets them finish.

Examples:
  agentctl stop marie --dry-run
  agentctl stop marie --yes --wait")]
pub struct StopArgs {
    /// The workers; all without any
    #[arg(value_name = "WORKER")]
    pub workers: Vec<String>,
    /// Until they have stopped
    #[arg(long)]
    pub wait: bool,
    /// Wait at most so long; ends with 75 then
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait")]
    pub timeout: Option<Duration>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// How it is done.
    #[command(flatten)]
    pub manner: Manner,
}

/// How it is done.
#[derive(Clone, Copy, Debug, Args)]
pub struct Manner {
    /// Show what would be done, and by whom, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
}

/// What is wanted of workers.
enum Wish<'a> {
    Pause(Option<&'a String>),
    Resume,
    Drain,
    Stop,
}

impl Wish<'_> {
    const fn op(&self) -> Op {
        match self {
            Self::Pause(_) => Op::Pause,
            Self::Resume => Op::Resume,
            Self::Drain => Op::Drain,
            Self::Stop => Op::Stop,
        }
    }
}

/// Pauses workers.
pub fn pause(desk: &Desk, args: &PauseArgs) -> Result<Exit, OperatorError> {
    each(desk, &Wish::Pause(args.reason.as_ref()), &args.workers, args.manner).map(|(exit, _)| exit)
}

/// Has workers take tasks again.
pub fn resume(desk: &Desk, args: &ResumeArgs) -> Result<Exit, OperatorError> {
    each(desk, &Wish::Resume, &args.workers, args.manner).map(|(exit, _)| exit)
}

/// Drains workers.
pub fn drain(desk: &Desk, args: &DrainArgs) -> Result<Exit, OperatorError> {
    let (exit, workers) = each(desk, &Wish::Drain, &args.workers, args.manner)?;
    if exit != Exit::Done || !args.wait || args.manner.dry_run {
        return Ok(exit);
    }
    until_stopped(desk, &workers, args.timeout)
}

/// Stops workers.
pub fn stop(desk: &Desk, args: &StopArgs) -> Result<Exit, OperatorError> {
    if !args.manner.dry_run {
        let alive: Vec<_> = chosen(desk, &args.workers)?
            .into_iter()
            .filter(|worker| of_worker(desk, worker))
            .map(|worker| worker.to_string())
            .collect();
        if !alive.is_empty() {
            let what = format!("stop {}: the agents at work are interrupted", alive.join(", "));
            act::confirm(desk, args.yes.into(), &what)?;
        }
    }
    let (exit, workers) = each(desk, &Wish::Stop, &args.workers, args.manner)?;
    if exit != Exit::Done || !args.wait || args.manner.dry_run {
        return Ok(exit);
    }
    until_stopped(desk, &workers, args.timeout)
}

fn chosen(desk: &Desk, called: &[String]) -> Result<Vec<WorkerName>, OperatorError> {
    look::check_root(&desk.layout)?;
    if called.is_empty() {
        return look::workers(&desk.layout);
    }
    called.iter().map(|called| find::worker(desk, called)).collect()
}

/// Does it to each worker; the code of the first that it could not be done to, and to whom it was.
fn each(
    desk: &Desk,
    wish: &Wish<'_>,
    called: &[String],
    manner: Manner,
) -> Result<(Exit, Vec<WorkerName>), OperatorError> {
    let workers = chosen(desk, called)?;
    let mut ground = Ground::new(desk);
    let (mut exit, mut rows) = (Exit::Done, Vec::new());
    for worker in &workers {
        let done = if manner.dry_run {
            Ok(Ok(would(desk, wish, worker)))
        } else {
            one(desk, &mut ground, wish, worker)
        };
        let (own, message, hint) = match done {
            Ok(Ok(message)) => (Exit::Done, message, None),
            Ok(Err((own, message, hint))) => (own, message, hint),
            Err(error) => (error.exit(), act::in_words(&error), error.hint()),
        };
        if exit == Exit::Done {
            exit = own;
        }
        let text = super::report::printable(&format!("{worker}: {message}"));
        if own != Exit::Done {
            let hint = hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
            desk.report.warn(&format!("{text}{hint}"));
        } else if !manner.json {
            desk.report.data(&text);
        }
        let (code, is_done) = (own.code(), own == Exit::Done && !manner.dry_run);
        rows.push(json!({"worker": worker, "done": is_done, "code": code, "message": message, "hint": hint}));
    }
    if manner.json {
        desk.report.json(&Value::Array(rows));
    }
    Ok((exit, workers))
}

/// Pauses one worker; what was done, or why it was not.
#[cfg(feature = "top")]
pub(super) fn pause_one(desk: &Desk, worker: &WorkerName) -> Result<String, String> {
    one_alone(desk, &Wish::Pause(None), worker)
}

/// Has one worker take tasks again; the same.
#[cfg(feature = "top")]
pub(super) fn resume_one(desk: &Desk, worker: &WorkerName) -> Result<String, String> {
    one_alone(desk, &Wish::Resume, worker)
}

#[cfg(feature = "top")]
fn one_alone(desk: &Desk, wish: &Wish<'_>, worker: &WorkerName) -> Result<String, String> {
    match one(desk, &mut Ground::new(desk), wish, worker) {
        Ok(Ok(message)) => Ok(message),
        Ok(Err((_, message, hint))) => Err(act::hinted(&message, hint.as_deref())),
        Err(error) => Err(act::hinted(&act::in_words(&error), error.hint().as_deref())),
    }
}

fn would(desk: &Desk, wish: &Wish<'_>, worker: &WorkerName) -> String {
    let via = if of_worker(desk, worker) { "through its watcher" } else { "on the files, under its lock" };
    format!("would {} {via}", wish.op())
}

/// What was done, or how the worker refused.
type Told = Result<String, (Exit, String, Option<String>)>;

fn one(
    desk: &Desk,
    ground: &mut Ground<'_>,
    wish: &Wish<'_>,
    worker: &WorkerName,
) -> Result<Told, OperatorError> {
    if of_worker(desk, worker) {
        let reason = if let Wish::Pause(reason) = wish { reason.cloned() } else { None };
        let request = Request { by: Some(who(desk)), reason, ..Request::new(wish.op()) };
        match ask(desk, worker, &request) {
            Ok(reply) if reply.ok => return Ok(Ok(reply.message)),
            Ok(reply) => return Ok(Err((said(&reply), reply.message, reply.hint))),
            // It ended since we looked.
            Err(AskError::Nobody { .. }) if !of_worker(desk, worker) => {}
            Err(error) => return Err(OperatorError::Ask(error)),
        }
    }
    let wanted = match wish {
        Wish::Drain | Wish::Stop => {
            return Ok(Ok(format!("no watcher lives: there is nothing to {}", wish.op())));
        }
        Wish::Resume => None,
        Wish::Pause(reason) => Some(Wanted {
            mode: WantedMode::Pause,
            reason: reason.cloned(),
            by: Some(who(desk)),
            at: Some(desk.clock.wall()),
        }),
    };
    ground.enter(worker)?;
    let path = desk.layout.state(worker);
    let is_paused = wanted.is_some();
    state_file::update(&path, Durability::Full, |state| want(state, wanted))
        .map_err(OperatorError::io("write", &path))?;
    Ok(Ok(if is_paused {
        "paused: its next watcher takes nothing until it is resumed"
    } else {
        "is to take tasks"
    }
    .to_owned()))
}

/// A status of its own is the watcher's to write; one that only says that it was paused goes with the wish.
fn want(state: &mut State, wanted: Option<Wanted>) {
    if wanted.is_none() && state.status == WorkerStatus::Paused {
        state.status = WorkerStatus::Stopped;
    }
    state.wanted = wanted;
}

fn until_stopped(
    desk: &Desk,
    workers: &[WorkerName],
    limit: Option<Duration>,
) -> Result<Exit, OperatorError> {
    let due = limit.map(|limit| desk.clock.ticks().plus(limit));
    let mut vigil = Vigil::start()?;
    vigil.listen(workers.iter().map(|worker| desk.layout.worker(worker)));
    loop {
        let left: Vec<&str> = workers
            .iter()
            .filter(|worker| look::is_alive(&desk.layout, worker))
            .map(WorkerName::as_str)
            .collect();
        if left.is_empty() {
            return Ok(Exit::Done);
        }
        let time = due.map(|due| due.since(desk.clock.ticks()));
        if time == Some(Duration::ZERO) {
            desk.report.warn(&format!("still at work: {}", left.join(", ")));
            return Ok(Exit::TryAgain);
        }
        vigil.wait(time);
    }
}
