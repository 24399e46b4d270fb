//! The same for a program.

use serde_json::{Value, json};

use super::super::budget::bound_json;
use super::super::desk::Desk;
use super::super::list::as_json;
use super::super::word::Word;
use super::super::worker::{Condition, WorkerView};
use super::survey::Screen;

/// All of it.
pub(super) fn whole(desk: &Desk, screen: &Screen) -> Value {
    let workers: Vec<_> = screen.workers.iter().map(|worker| worker_json(desk, screen, worker)).collect();
    json!({
        "root": desk.layout.root(),
        "supervised": screen.supervised,
        "inbox": screen.inbox,
        "inbox_oldest_s": screen.inbox_oldest_s,
        "held": screen.held.iter().map(|seen| as_json(desk, seen)).collect::<Vec<_>>(),
        "dead_letters": screen.dead_letters,
        "needs_you": needs(screen),
        "workers": workers,
        "failures": screen.failures.iter().map(|seen| as_json(desk, seen)).collect::<Vec<_>>(),
    })
}

/// Whether anything lasts until a person acts.
fn needs(screen: &Screen) -> bool {
    screen.dead_letters > 0 || screen.workers.iter().flat_map(WorkerView::conditions).any(|it| it.is_yours)
}

fn condition_json(condition: &Condition) -> Value {
    json!({
        "condition": condition.word,
        "what": condition.what,
        "until": condition.until,
        "remedy": condition.remedy,
        "needs_you": condition.is_yours,
    })
}

fn worker_json(desk: &Desk, screen: &Screen, worker: &WorkerView) -> Value {
    let spent = screen.spent(&worker.name);
    let conditions = worker.conditions();
    let running: Vec<Value> = worker
        .running
        .iter()
        .map(|running| {
            let mut value = as_json(desk, &running.seen);
            value["elapsed_s"] = running.elapsed_s.into();
            value["silent_s"] = running.silent_s.into();
            value["limit_s"] = running.limit_s.into();
            value["progress"] = running.progress.clone().into();
            value["memory_bytes"] = running.memory_bytes.into();
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
        "packs": worker.state.as_ref().map_or(&[][..], |state| &state.packs),
        "last_crash": worker.state.as_ref().and_then(|state| state.last_crash),
        "last_crash_reason": worker.state.as_ref().and_then(|state| state.last_crash_reason.as_ref()),
        "last_crash_detail": worker.state.as_ref().and_then(|state| state.last_crash_detail.as_ref()),
        "recovery_count": worker.crashes(),
        "heartbeat_age_s": worker.beat_s,
        "vital": worker.vital.as_str(),
        "trouble": conditions.first().map(|it| &it.what),
        "conditions": conditions.iter().map(condition_json).collect::<Vec<_>>(),
        "paused": worker.paused().as_ref().map(Word::as_json),
        "limits": worker.state.as_ref().and_then(|state| state.limits),
        "usd_last_day": spent.map(|it| it.day.usd()),
        "tokens_last_day": spent.map(|it| it.day.tokens),
        "budget": spent.map_or_else(Vec::new, |it| it.uses.iter().map(bound_json).collect()),
        "pid": worker.pid,
        "depths": depths,
        "oldest_s": worker.oldest_s,
        "running": running,
    })
}
