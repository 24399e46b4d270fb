//! How the worker is, in values. Pure.

use serde_json::{Value, json};

use super::super::board::Shown;
use crate::task::WorkerName;

/// How many running tasks are named: all of it goes into one line.
const NAMED_MAX: usize = 12;

/// The `result` of a `status`.
pub(super) fn status(worker: &WorkerName, shown: &Shown, active: usize) -> Value {
    let running: Vec<_> = shown
        .running
        .values()
        .take(NAMED_MAX)
        .map(|it| {
            json!({
                "task": it.task,
                "run_id": it.run_id,
                "attempt": it.attempt,
                "state": it.state,
                "started_at": it.started_at,
                "last_sign_at": it.last_sign_at,
            })
        })
        .collect();
    let mut said = json!({
        "worker": worker,
        "status": shown.status,
        "hold": shown.hold,
        "wanted": shown.wanted,
        "resume": shown.resume,
        "active": active,
        "running": running,
        "more_running": shown.running.len().checked_sub(NAMED_MAX).filter(|more| *more > 0),
        "queues": shown.queues,
        "last_crash": shown.last_crash.as_ref().and_then(|it| it.at),
        "last_crash_reason": shown.last_crash.as_ref().and_then(|it| it.reason.clone()),
        "version": env!("CARGO_PKG_VERSION"),
    });
    if let Value::Object(fields) = &mut said {
        fields.retain(|_, value| !value.is_null());
    }
    said
}

/// The `data` of a `worker.status`.
pub(in crate::watcher) fn event(shown: &Shown) -> Value {
    let queues = &shown.queues;
    json!({
        "status": shown.status,
        "active": queues.active,
        "pending": queues.pending + queues.staged + queues.inbox,
        "hold": shown.hold,
    })
}
