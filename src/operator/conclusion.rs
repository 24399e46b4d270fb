//! How a task that ended reads, and with which code a command that waited for it ends.

use std::time::Duration;

use crate::clock::Ticks;
use crate::config::Exit;
use crate::layout::Layout;
use crate::task::{Place, TaskState, WorkerName};

use super::desk::Desk;
use super::error::OperatorError;
use super::find;
use super::look::{self, Seen};
use super::vigil::Vigil;

/// The code of a command that waited for a task; `None` while it has not ended.
pub(super) const fn exit_of(state: TaskState) -> Option<Exit> {
    match state {
        TaskState::Completed => Some(Exit::Done),
        TaskState::Failed => Some(Exit::TaskFailed),
        TaskState::Timeout => Some(Exit::TaskTimedOut),
        TaskState::Cancelled => Some(Exit::TaskCancelled),
        TaskState::Pending | TaskState::Initializing | TaskState::Running | TaskState::Completing => None,
    }
}

/// The folders in which it can be seen that a task moved.
pub(super) fn folders(layout: &Layout, workers: &[WorkerName]) -> Vec<std::path::PathBuf> {
    let of_worker = workers.iter().flat_map(|worker| {
        [Place::Pending, Place::Active, Place::Completed, Place::Failed, Place::Cancelled]
            .map(|place| layout.place(worker, place))
    });
    std::iter::once(layout.tasks()).chain(of_worker).collect()
}

/// Waits until the task that is called so has ended, however often it is tried again before; `None` if
/// `deadline` came first.
pub(super) fn wait_for(
    desk: &Desk,
    vigil: &mut Vigil,
    called: &str,
    deadline: Option<Ticks>,
) -> Result<Option<Seen>, OperatorError> {
    let mut trail = find::Trail::new(called);
    loop {
        vigil.listen(folders(&desk.layout, &look::workers(&desk.layout)?));
        let seen = trail.look(desk)?;
        if exit_of(seen.state()).is_some() {
            return Ok(Some(seen));
        }
        let left = deadline.map(|deadline| deadline.since(desk.clock.ticks()));
        if left == Some(Duration::ZERO) {
            return Ok(None);
        }
        vigil.wait(left);
    }
}

/// The whole answer of a task: its output file, else the beginning that stands in the task file.
pub(super) fn answer(desk: &Desk, seen: &Seen) -> Option<String> {
    let record = &seen.task.as_ref().ok()?.record;
    let run = record.run_id?;
    let whole = std::fs::read_to_string(desk.layout.run(&run).output()).ok();
    whole.or_else(|| record.result.clone())
}

/// Says on stderr what became of a task that did not end well.
pub(super) fn mourn(desk: &Desk, seen: &Seen) {
    let Ok(task) = &seen.task else {
        desk.report.warn(&format!("{} {}: not a task any more", seen.full_name(), seen.state()));
        return;
    };
    let code = task.record.error_code.map(|code| format!(" {code} ({})", code.meaning())).unwrap_or_default();
    let why = task.record.failure_reason.as_deref().unwrap_or("no reason was recorded");
    desk.report.warn(&super::report::one_line(&format!(
        "{} ended {}:{code} {why}",
        seen.full_name(),
        seen.state()
    )));
}

/// Says on stderr that nobody is there to take a task, if so.
pub(super) fn warn_if_nobody_works(desk: &Desk, pinned: Option<&WorkerName>) {
    let alive = match pinned {
        Some(worker) => look::is_alive(&desk.layout, worker),
        None => look::workers(&desk.layout)
            .unwrap_or_default()
            .iter()
            .any(|worker| look::is_alive(&desk.layout, worker)),
    };
    if alive {
        return;
    }
    let root = desk.layout.root().display();
    let who = pinned.map_or("no worker".to_owned(), |worker| format!("`{worker}`"));
    let verb = if pinned.is_some() { "is not alive" } else { "is alive" };
    let start = pinned.map_or_else(
        || format!("supervisor up --root {root}"),
        |worker| format!("watcher --worker {worker} --root {root}"),
    );
    desk.report.warn(&format!("{who} {verb}, so the task waits; start one with `{start}`"));
}
