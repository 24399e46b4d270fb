//! Gathering the facts: the task's own, and those of every worker that may take it.

use crate::agent::LineSplitter;
use crate::checkout::seat;
use crate::clock::Timestamp;
use crate::os::holder::Role;
use crate::os::lock;
use crate::recovery::ramp::Phase;
use crate::spool::order::Rank;
use crate::spool::suitable;
use crate::task::{Place, TaskFile, WorkerName};
use crate::telemetry::state_file::Limits;
use crate::watcher::core::SETTLE;

use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::look::{self, Seen};
use super::super::packs;
use super::super::stream_view::render;
use super::super::tail::Tail;
use super::super::worker::{WorkerView, silence, view};
use super::reasons::{Ended, Facts, Running, Stage, Taker, Waiting, after};

/// How many lines of a stream are looked at for what was said last.
const LAST_LINES: usize = 50;

/// The facts about a task.
pub(super) fn facts(desk: &Desk, seen: &Seen) -> Result<Facts, OperatorError> {
    let stage = match (&seen.entry.worker, seen.entry.place) {
        (Some(worker), Place::Active) => Stage::Runs(Box::new(running(desk, seen, worker)?)),
        (_, Place::Completed | Place::Failed | Place::Cancelled) => {
            Stage::Ended(Box::new(ended(desk, seen)?))
        }
        (_, Place::Inbox | Place::Pending | Place::Staged | Place::Active) => {
            Stage::Waits(Box::new(waiting(desk, seen)?))
        }
    };
    Ok(Facts { name: seen.full_name(), agentctl: desk.agentctl(), now: desk.clock.wall(), stage })
}

fn waiting(desk: &Desk, seen: &Seen) -> Result<Waiting, OperatorError> {
    let task = seen.task.as_ref().ok();
    let pinned = task.and_then(|task| task.spec.worker.clone());
    let workers = look::workers(&desk.layout)?;
    let may_take: Vec<WorkerName> = match (&seen.entry.worker, &pinned) {
        (Some(folder), Some(pinned)) if folder != pinned => Vec::new(),
        (Some(folder), _) => vec![folder.clone()],
        (None, Some(pinned)) => workers.into_iter().filter(|worker| worker == pinned).collect(),
        (None, None) => workers,
    };
    let backlog = backlog(desk, &may_take)?;
    let takers = may_take.into_iter().map(|worker| {
        let ahead = ahead(&backlog, seen, &worker);
        Ok(taker(seen, &view(desk, worker)?, ahead, desk))
    });
    let unsettled = seen.task.as_ref().err().map(|error| {
        (error.to_string(), after(seen.entry.mtime, SETTLE.as_secs()).filter(|at| *at > desk.clock.wall()))
    });
    Ok(Waiting {
        place: seen.entry.place,
        folder: seen.entry.worker.clone(),
        unsettled,
        held: seen.held(),
        pack: task.and_then(|task| packs::bar(desk, task.spec.kind.as_deref())),
        directory: task.and_then(|task| sitter(desk, task)),
        not_before: task.and_then(|task| task.spec.not_before),
        retry_at: task.and_then(|task| task.record.retry_at),
        failed: task.map_or((0, None), |task| (task.record.charges(), task.record.failure_reason.clone())),
        pinned,
        agent_lives: task.is_some_and(|task| agent_lives(desk, task)),
        takers: takers.collect::<Result<_, OperatorError>>()?,
    })
}

/// Who works in the directory that it is to work in, if not itself.
fn sitter(desk: &Desk, task: &TaskFile) -> Option<String> {
    let dir = packs::directory(desk, &task.spec)?.canonicalize().ok()?;
    let sitter = seat::look(&desk.layout, &dir).ok().flatten()?;
    let is_other = Some(sitter.run_id) != task.record.run_id;
    is_other.then(|| format!("{} works in `{}`", sitter.full_name(), sitter.directory.display()))
}

/// Whether the agent of the last attempt holds the lock of its stream, unless its end is recorded.
fn agent_lives(desk: &Desk, task: &TaskFile) -> bool {
    let open = task.record.open_attempt().zip(task.record.run_id);
    open.is_some_and(|(attempt, run)| {
        lock::is_held(&desk.layout.run(&run).stream(attempt.number)).unwrap_or(false)
    })
}

fn taker(seen: &Seen, worker: &WorkerView, ahead: u64, desk: &Desk) -> Taker {
    let wrong = suitable::standing(&desk.layout, &worker.name).into_iter().filter(suitable::Finding::forbids);
    let resume = worker.resume.as_ref().filter(|(record, _)| record.state != Phase::Stopped);
    Taker {
        name: worker.name.clone(),
        absent: (worker.held_by != Some(Role::Watcher)).then(|| worker.word().0),
        conditions: worker.conditions(),
        folders: wrong.map(|it| (it.what, it.remedy)).collect(),
        resume: resume.map(|(record, _)| record.summary().to_string()),
        slots: limits(worker).map(|limits| limits.concurrency),
        runs: worker.running.iter().map(|it| (it.seen.full_name(), ends_at(&it.seen, it.limit_s))).collect(),
        namesake: namesake(seen, worker).or_else(|| first_of_name(desk, seen, worker)),
        ahead,
    }
}

fn limits(worker: &WorkerView) -> Option<Limits> {
    worker.state.as_ref()?.limits
}

fn ends_at(seen: &Seen, limit_s: Option<u64>) -> Option<Timestamp> {
    let attempt = seen.task.as_ref().ok()?.record.attempts.last()?;
    after(attempt.started_at, limit_s?)
}

/// What is at work under the task's name, or under the name of which its own is a numbered one.
fn namesake(seen: &Seen, worker: &WorkerView) -> Option<String> {
    let (file, name) = (&seen.entry.file, seen.name());
    let is_numbered = file.base() != file.stem();
    let clashes = |other: &Seen| {
        let of_file = other.entry.file == *file || (is_numbered && other.entry.file.base() == file.base());
        of_file || other.name() == name
    };
    let at_work = worker.running.iter().map(|it| &it.seen).find(|other| clashes(other));
    at_work.map(|it| format!("{} is at work", it.full_name()))
}

/// The first of its name, where it waits in the same queue.
fn first_of_name(desk: &Desk, seen: &Seen, worker: &WorkerView) -> Option<String> {
    let file = &seen.entry.file;
    if file.base() == file.stem() || seen.entry.place == Place::Inbox {
        return None;
    }
    let first = format!("{}.json", file.base()).parse().ok()?;
    let places: &[Place] =
        if seen.entry.place == Place::Staged { &[Place::Staged] } else { &[Place::Pending, Place::Staged] };
    let waits = |place: &Place| look::entry(&desk.layout, Some(&worker.name), *place, &first).is_some();
    places.iter().any(waits).then(|| format!("{}/{} waits", worker.name, file.base()))
}

/// A task that waits beside this one.
struct Other {
    worker: Option<WorkerName>,
    pinned: Option<WorkerName>,
    rank: Rank,
}

/// What may be taken now from the queues of these workers and from the inbox.
fn backlog(desk: &Desk, workers: &[WorkerName]) -> Result<Vec<Other>, OperatorError> {
    let mut others = Vec::new();
    let of_workers =
        workers.iter().flat_map(|worker| [Place::Staged, Place::Pending].map(|it| (Some(worker), it)));
    for (worker, place) in of_workers.chain([(None, Place::Inbox)]) {
        for entry in look::entries(&desk.layout, worker, place)? {
            let Some(seen) = entry.read()? else { continue };
            let Ok(task) = &seen.task else { continue };
            let due = task.spec.not_before.max(task.record.retry_at);
            if due.is_none_or(|at| at <= desk.clock.wall()) && !task.is_held() {
                others.push(Other {
                    worker: worker.cloned(),
                    pinned: task.spec.worker.clone(),
                    rank: rank(&seen, task),
                });
            }
        }
    }
    Ok(others)
}

fn rank(seen: &Seen, task: &TaskFile) -> Rank {
    let (entry, priority) = (&seen.entry, task.spec.priority.unwrap_or(0));
    Rank::of(entry.place, &entry.file, priority, entry.mtime)
}

/// How many of the backlog `worker` takes before this task.
fn ahead(backlog: &[Other], seen: &Seen, worker: &WorkerName) -> u64 {
    let Ok(task) = &seen.task else { return 0 };
    let own = rank(seen, task);
    let takes = |other: &&Other| {
        other.worker.as_ref().is_none_or(|it| it == worker)
            && other.pinned.as_ref().is_none_or(|it| it == worker)
    };
    backlog.iter().filter(takes).filter(|other| other.rank < own).count() as u64
}

fn running(desk: &Desk, seen: &Seen, worker: &WorkerName) -> Result<Running, OperatorError> {
    let view = view(desk, worker.clone())?;
    let task = seen.task.as_ref().ok();
    let own = task.and_then(|task| task.spec.timeout_s).map(u64::from);
    let limits = limits(&view);
    Ok(Running {
        worker: worker.clone(),
        conditions: view.conditions(),
        watched: view.is_alive(),
        agent_lives: task.is_some_and(|task| agent_lives(desk, task)),
        state: seen.state(),
        attempt: task
            .and_then(|task| task.record.attempts.last())
            .map(|attempt| (attempt.number, attempt.started_at)),
        limit_s: own.or(limits.map(|limits| limits.agent_timeout_s)),
        idle_limit_s: limits.map(|limits| limits.idle_timeout_s),
        silent_s: task.and_then(|task| silence(desk, task)),
        cost_usd: task.map_or(0.0, |task| task.record.cost_usd()),
        progress: task.and_then(|task| view.progress(&task.record.run_id?)),
        last: task.and_then(|task| last_words(desk, task)),
    })
}

/// What the agent said or did last, as a person reads it.
fn last_words(desk: &Desk, task: &TaskFile) -> Option<String> {
    let number = task.record.attempts.last()?.number;
    let mut tail = Tail::new(&desk.layout.run(&task.record.run_id?).stream(number));
    tail.skip_to_last(LAST_LINES).ok()?;
    let (mut lines, mut last) = (LineSplitter::default(), None);
    let read = tail.drain(|bytes| {
        lines.push(bytes, |line| last = render(line).pop().or(last.take()));
        true
    });
    let shown = read.ok().and(last)?;
    Some(desk.env.redactor().redact(&super::super::list::in_short(&shown.text)).into_owned())
}

fn ended(desk: &Desk, seen: &Seen) -> Result<Ended, OperatorError> {
    let task = seen.task.as_ref().ok();
    let record = task.map(|task| task.record.clone()).unwrap_or_default();
    let usual = match &seen.entry.worker {
        Some(worker) => limits(&view(desk, worker.clone())?).map(|limits| limits.max_retries),
        None => None,
    };
    Ok(Ended {
        state: seen.state(),
        code: record.error_code,
        why: record.failure_reason.clone(),
        unreadable: seen.task.as_ref().err().map(ToString::to_string),
        charges: record.charges(),
        max_retries: task.and_then(|task| task.spec.max_retries).or(usual),
        attempts: record.attempts.len(),
        cost_usd: record.cost_usd(),
    })
}
