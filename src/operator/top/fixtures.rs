//! A scene for tests, made by hand.

#![expect(clippy::unwrap_used, reason = "what is made by hand is sound")]

use super::super::report::Tone;
use super::super::stream_view::Shown;
use super::super::worker::Condition;
use super::rows::WorkerRow;
use super::scene::{Detail, Scene, Task, Worker};
use crate::task::{Place, TaskState};

/// A worker with nothing to do.
pub(super) fn worker(name: &str) -> Worker {
    let row = WorkerRow {
        name: name.parse().unwrap(),
        word: "running",
        tone: Tone::Good,
        is_alive: true,
        is_paused: false,
        slots: Some(5),
        pending: 0,
        staged: 0,
        active: 0,
        completed: 0,
        failed: 0,
        beat_s: Some(0),
        told: Vec::new(),
    };
    Worker { row, cost_usd: 0.0, claims: 0 }
}

/// A task.
pub(super) fn task(worker: &str, name: &str, place: Place, state: TaskState) -> Task {
    Task {
        full_name: format!("{worker}/{name}"),
        name: name.to_owned(),
        worker: worker.to_owned(),
        place,
        state,
        age_s: 90,
        limit_s: None,
        silent_s: None,
        cost_usd: 0.0,
        charges: 0,
        priority: 0,
        is_held: false,
        says: String::new(),
    }
}

/// Three workers: one at work, one that waits for a rate limit to pass, one that an operator paused.
pub(super) fn scene() -> Scene {
    let mut marie = worker("marie");
    (marie.row.active, marie.row.pending, marie.row.failed, marie.row.completed) = (2, 2, 1, 41);
    (marie.cost_usd, marie.claims) = (12.5, 44);
    let mut anga = worker("anga");
    (anga.row.word, anga.row.tone) = ("degraded", Tone::Bad);
    anga.row.told = vec![Condition {
        word: "rate_limit",
        what: "takes no tasks: E006 rate_limit: five hours are used up".to_owned(),
        until: Some("2026-01-31T06:00:00Z".parse().unwrap()),
        remedy: Some("nothing: it goes on by itself".to_owned()),
        is_yours: false,
    }];
    let mut fabien = worker("fabien");
    (fabien.row.word, fabien.row.tone, fabien.row.is_paused) = ("paused", Tone::Warn, true);
    Scene {
        root: "/shared".to_owned(),
        time: "05:00:00Z".to_owned(),
        supervised: true,
        inbox: 1,
        workers: vec![anga, fabien, marie],
        running: running(),
        waiting: vec![
            Task {
                priority: 5,
                says: "make slides".to_owned(),
                ..task("marie", "slides", Place::Pending, TaskState::Pending)
            },
            Task { is_held: true, ..task("marie", "later", Place::Pending, TaskState::Pending) },
            task("inbox", "anyone", Place::Inbox, TaskState::Pending),
        ],
        failed: vec![Task {
            charges: 4,
            cost_usd: 1.25,
            says: "E003 the time limit was reached".to_owned(),
            ..task("marie", "endless", Place::Failed, TaskState::Timeout)
        }],
        detail: Detail {
            of: Some("marie/report".to_owned()),
            lines: (1..=40)
                .map(|n| Shown { text: format!("line {n} of what it said"), tone: Tone::Plain })
                .collect(),
        },
    }
}

fn running() -> Vec<Task> {
    let at_work = |name: &str, age_s: u64, says: &str| Task {
        age_s,
        limit_s: Some(1800),
        silent_s: Some(3),
        says: says.to_owned(),
        ..task("marie", name, Place::Active, TaskState::Running)
    };
    let report =
        Task { cost_usd: 0.42, ..at_work("report", 1520, "→ Bash grep -n total ledgers/march.csv") };
    vec![report, at_work("invoices", 95, "14 of 40 \u{1b}[2J are matched")]
}
