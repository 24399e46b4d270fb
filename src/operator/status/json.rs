//! The same for a program.

use serde_json::{Value, json};

use super::super::desk::Desk;
use super::super::list::as_json;
use super::survey::{Screen, WorkerView};

/// All of it.
pub(super) fn whole(desk: &Desk, screen: &Screen) -> Value {
    json!({
        "root": desk.layout.root(),
        "supervised": screen.supervised,
        "inbox": screen.inbox,
        "workers": screen.workers.iter().map(|worker| worker_json(desk, worker)).collect::<Vec<_>>(),
        "failures": screen.failures.iter().map(|seen| as_json(desk, seen)).collect::<Vec<_>>(),
    })
}

fn worker_json(desk: &Desk, worker: &WorkerView) -> Value {
    let running: Vec<Value> = worker
        .running
        .iter()
        .map(|running| {
            let mut value = as_json(desk, &running.seen);
            value["elapsed_s"] = running.elapsed_s.into();
            value["silent_s"] = running.silent_s.into();
            value
        })
        .collect();
    let depths: serde_json::Map<String, Value> =
        worker.depths.iter().map(|(place, depth)| (place.as_str().to_owned(), (*depth).into())).collect();
    json!({
        "worker": worker.name,
        "alive": worker.is_alive(),
        "held_by": worker.held_by,
        "status": worker.word().0,
        "set_aside": worker.set_aside(),
        "resume": worker.resume.as_ref().map(|(record, is_led)| json!({
            "state": record.state,
            "led": is_led,
            "leader": record.leader.pid,
            "found": record.found,
            "released": record.released,
            "done": record.done,
            "failed": record.failed,
            "batch": record.batch,
            "reason": record.reason,
        })),
        "hold": worker.state.as_ref().and_then(|state| state.hold.as_ref()),
        "last_crash": worker.state.as_ref().and_then(|state| state.last_crash),
        "last_crash_reason": worker.state.as_ref().and_then(|state| state.last_crash_reason.as_ref()),
        "last_crash_detail": worker.state.as_ref().and_then(|state| state.last_crash_detail.as_ref()),
        "recovery_count": worker.crashes(),
        "heartbeat_age_s": worker.beat_s,
        "vital": worker.vital.as_str(),
        "trouble": worker.trouble().map(|(what, _)| what),
        "pid": worker.pid,
        "depths": depths,
        "running": running,
    })
}
