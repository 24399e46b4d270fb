//! A root on which everything that can be told is going on, with ages that do not change while a test looks.

use std::time::{Duration, SystemTime};

use agent_worker::os::lock::Lock;
use serde_json::{Value, json};

use crate::root::{RUN, Root};

/// Long enough ago that the half minute a test may take does not show.
const HOURS: Duration = Duration::from_secs(3 * 3600 + 5 * 60 + 20);
const DAYS: Duration = Duration::from_hours(50);

/// The root, and the locks of its living.
pub(crate) struct Scene {
    pub(crate) root: Root,
    _locks: Vec<Lock>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let root = Root::new();
        for worker in ["anga", "bob", "fabien"] {
            for place in ["pending", "staged", "active", "completed", "failed", "cancelled"] {
                std::fs::create_dir_all(root.path(&format!("tasks/{worker}/{place}"))).unwrap();
            }
            std::fs::create_dir_all(root.path(&format!("workers/{worker}"))).unwrap();
        }
        lay_workers(&root);
        lay_waiting(&root);
        lay_run(&root);
        let locks = ["marie", "bob"].map(|worker| {
            Lock::try_exclusive(&root.path(&format!("workers/{worker}"))).unwrap().expect("nobody has it")
        });
        Self { root, _locks: locks.into() }
    }
}

fn ago(age: Duration) -> String {
    let at: jiff::Timestamp = (SystemTime::now() - age).try_into().unwrap();
    format!("{at:.0}")
}

/// A file that was written so long ago.
fn lay(root: &Root, path: &str, value: &Value, age: Duration) {
    root.lay(path, &value.to_string());
    let file = std::fs::File::options().append(true).open(root.path(path)).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

fn lay_workers(root: &Root) {
    let limits = json!({"concurrency": 1, "agent_timeout_s": 7200, "idle_timeout_s": 600, "max_retries": 3});
    let states = [
        (
            "marie",
            json!({
                "status": "degraded", "recovery_count": 2, "limits": limits,
                "hold": {"cause": "auth", "reason": "not logged in", "remedy": "run `claude /login` as the service user",
                    "until": "2030-01-01T00:00:00Z", "error_code": "E005"},
                "running": [{"task": "report", "run_id": RUN, "attempt": 2, "state": "RUNNING",
                    "started_at": "2026-01-01T00:00:00Z", "progress": "3 of 7 chapters"}],
            }),
        ),
        ("anga", json!({"status": "running", "limits": limits})),
        (
            "bob",
            json!({
                "status": "paused", "limits": limits,
                "wanted": {"mode": "pause", "by": "ann", "at": "2026-01-01T00:00:00Z", "reason": "figures first"},
            }),
        ),
    ];
    for (worker, state) in states {
        root.lay(&format!("workers/{worker}/state.json"), &state.to_string());
    }
}

fn lay_waiting(root: &Root) {
    lay(root, "tasks/letter.json", &json!({"prompt": "write a letter 漢字"}), DAYS);
    let held =
        json!({"prompt": "count", "priority": 5, "held": {"by": "ann", "reason": "not before the audit"}});
    lay(root, "tasks/marie/pending/count.json", &held, DAYS);
    let later = json!({"prompt": "later", "not_before": "2030-01-01T06:00:00Z", "worker": "bob"});
    lay(root, "tasks/bob/pending/later.json", &later, HOURS);
    let lost = json!({"prompt": "lost", "worker": "anga"});
    lay(root, "tasks/marie/pending/lost.json", &lost, HOURS);
    let run = "0198a000-0000-7000-8000-000000000002";
    let failed = json!({
        "prompt": "pay the invoice", "state": "FAILED", "run_id": run, "error_code": "E006",
        "failure_reason": "api down", "retry_count": 1, "correlation_id": "board-42",
        "attempts": [{"number": 1, "session_id": run, "started_at": "2026-01-01T00:00:00Z",
            "ended_at": "2026-01-01T00:01:30Z", "outcome": "failed", "charged": true, "reason": "api down",
            "cost_usd": 0.25, "tokens": {"input": 10, "output": 20, "cache_read": 5, "cache_write": 0}}],
    });
    lay(root, "tasks/marie/failed/invoice.json", &failed, DAYS);
    root.lay(
        &format!("artifacts/{run}/history.ndjson"),
        concat!(
            r#"{"time":"2026-01-01T00:00:00Z","worker":"marie","task":"invoice","event":"claimed","from":"PENDING","to":"INITIALIZING","attempt":1}"#,
            "\n",
            r#"{"time":"2026-01-01T00:01:30Z","worker":"marie","task":"invoice","event":"concluded","from":"RUNNING","to":"FAILED","attempt":1,"charged":true,"cost_usd":0.25,"error_code":"E006","reason":"api down"}"#,
            "\n",
        ),
    );
}

fn lay_run(root: &Root) {
    let run = json!({
        "prompt": "write the report", "state": "RUNNING", "run_id": RUN, "timeout_s": 14_400,
        "attempts": [
            {"number": 1, "session_id": RUN, "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:10:00Z",
                "outcome": "crashed", "charged": true, "cost_usd": 0.5},
            {"number": 2, "session_id": RUN, "started_at": ago(HOURS), "charged": false}],
    });
    lay(root, "tasks/marie/active/report.json", &run, HOURS);
    let stream = format!("artifacts/{RUN}/attempt-2/stream.ndjson");
    root.lay(&stream, &format!("{}\n", crate::root::SAID));
    let file = std::fs::File::options().append(true).open(root.path(&stream)).unwrap();
    file.set_modified(SystemTime::now() - HOURS).unwrap();
}
