//! Who does it: the worker's watcher where it lives, else we.

use std::time::Duration;

use crate::config::Exit;
use crate::os::holder::{Holder, Role};
use crate::os::lock;
use crate::pipe::client::{self, AskError};
use crate::pipe::reply::Reply;
use crate::pipe::words::Request;
use crate::task::WorkerName;

use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::look::{self, Seen};
use super::plan::Via;

/// How long an answer may take: an agent that is ended has its grace.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a watcher that has its lock may take until it listens.
const STARTING: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// By whom something is done to a task. What lies in the inbox is nobody's: any worker does it, best the one that the
/// task is for, and one that lives.
pub(in crate::operator) fn way(desk: &Desk, seen: &Seen) -> Result<Via, OperatorError> {
    let via = |worker: &WorkerName| {
        let worker = worker.clone();
        if of_worker(desk, &worker) { Via::Worker(worker) } else { Via::Files(worker) }
    };
    if let Some(worker) = &seen.entry.worker {
        return Ok(via(worker));
    }
    let workers = look::workers(&desk.layout)?;
    let pinned = seen.task.as_ref().ok().and_then(|task| task.spec.worker.as_ref());
    let known = pinned.filter(|pinned| workers.contains(pinned));
    let living = || workers.iter().find(|worker| of_worker(desk, worker));
    known.or_else(living).or_else(|| workers.first()).map(via).ok_or_else(|| OperatorError::NotPossible {
        why: "there is no worker yet under whose lock it could be done".to_owned(),
        hint: Some(
            "`supervisor up` makes some; what lies in the inbox can also be taken away by hand".to_owned(),
        ),
        exit: Exit::Unavailable,
    })
}

/// Whether the watcher of `worker` lives. Operators hold the same lock for moments, and say so.
pub(in crate::operator) fn of_worker(desk: &Desk, worker: &WorkerName) -> bool {
    let role = || Holder::read(&desk.layout.watcher_lock(worker)).map(|holder| holder.role);
    look::is_alive(&desk.layout, worker) && role() != Some(Role::Operator)
}

/// Asks the watcher of `worker`.
pub(in crate::operator) fn ask(
    desk: &Desk,
    worker: &WorkerName,
    request: &Request,
) -> Result<Reply, AskError> {
    // One that is started again meanwhile did not hear us.
    let who = || Holder::read(&desk.layout.watcher_lock(worker)).map(|holder| holder.process);
    let asked = who();
    let lives = || look::is_alive(&desk.layout, worker) && who().is_none_or(|now| Some(now) == asked);
    let due = desk.clock.ticks().plus(STARTING);
    loop {
        match client::ask(&desk.layout, worker, request.clone(), (&*desk.clock, PATIENCE), &lives) {
            Err(AskError::Nobody { .. }) if lives() && desk.clock.ticks() < due => lock::pause(PAUSE),
            answered => return answered,
        }
    }
}

/// How the program ends by an answer.
pub(in crate::operator) fn said(reply: &Reply) -> Exit {
    const CODES: [Exit; 6] =
        [Exit::Usage, Exit::Data, Exit::Unavailable, Exit::TryAgain, Exit::Denied, Exit::Configuration];
    if reply.ok {
        return Exit::Done;
    }
    CODES.into_iter().find(|exit| exit.code() == reply.code).unwrap_or(Exit::Internal)
}
