//! `docs/agentctl.md` tells every field of every `--json`, and none that is not there.

use std::collections::BTreeSet;

use agent_worker::telemetry::journal::Line;
use serde_json::{Value, json};

use crate::root::Root;
use crate::scene::Scene;

/// What belongs to somebody else, and is told elsewhere.
const OPAQUE: &[&str] = &["file", "history", "go", "going", "stay", "gone", "fix", "repair", "repaired"];

fn page() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/agentctl.md");
    std::fs::read_to_string(path).unwrap()
}

/// The fields that a section of the page tells; whoever tells of a task tells all of a task's.
fn told(section: &str) -> BTreeSet<String> {
    let page = page();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).expect("the section");
    let text = rest.split("\n## ").next().unwrap_or_default();
    let table = text.split("| field | |").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    let mut fields = BTreeSet::new();
    if section != "A task" && text.contains("\n[A task](#a-task), and:") {
        fields.extend(told("A task"));
    }
    for row in table.lines() {
        let Some(field) = row.strip_prefix("| `").and_then(|row| row.split('`').next()) else { continue };
        if row.contains("[a task](#a-task)") {
            fields.extend(told("A task").into_iter().map(|it| format!("{field}.{it}")));
        } else {
            fields.insert(field.to_owned());
        }
    }
    assert!(!fields.is_empty(), "{section} tells no field");
    fields
}

/// The fields of a value: `a`, `a.b`, `a[].b`.
fn fields(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                // A list is told by what is in it, and so is an object that only groups.
                let groups = value.is_array() || name == "depths";
                if OPAQUE.contains(&name.as_str()) {
                    found.insert(path);
                    continue;
                }
                if !groups {
                    found.insert(path.clone());
                }
                fields(value, &path, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| {
            let path = if at.is_empty() { String::new() } else { format!("{at}[]") };
            fields(value, &path, found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn compare(section: &str, values: &[Value]) {
    let mut shown = BTreeSet::new();
    for value in values {
        fields(value, "", &mut shown);
    }
    let told = told(section);
    let missing: Vec<_> = shown.difference(&told).collect();
    // Of a task that runs or has failed nobody says that it is held; of one that waits it is looked at.
    let stale: Vec<_> = told.difference(&shown).filter(|field| !field.contains(".held.")).collect();
    assert!(missing.is_empty(), "docs/agentctl.md, {section}: does not tell {missing:#?}");
    assert!(stale.is_empty(), "docs/agentctl.md, {section}: tells what is not there: {stale:#?}");
}

/// A resume under way, and a run with all its papers.
fn lay_the_rest(root: &Root) {
    let leader = json!({"pid": 1, "start_ticks": 1, "boot_id": "b", "pid_ns": 1});
    root.lay(
        "workers/fabien/resume.json",
        &json!({
            "id": "0198a000-0000-7000-8000-000000000009", "state": "waiting", "leader": leader,
            "started_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "terms": {"batch_size": 5, "delay_s": 30.0, "max_failure_rate": 0.5, "adaptive": false, "leaderless_s": 60.0},
            "found": 12, "released": 5, "done": 1, "failed": 0, "batch": 1, "next_size": 5,
            "batches": [], "set_back": [], "deferred": [],
        })
        .to_string(),
    );
    let run = "0198a000-0000-7000-8000-000000000002";
    for paper in
        ["input.json", "result.json", "output.txt", "attempt-1/stream.ndjson", "attempt-1/stderr.log"]
    {
        root.lay(&format!("artifacts/{run}/{paper}"), "{}");
    }
    std::fs::create_dir_all(root.path(&format!("workspaces/{run}"))).unwrap();
}

/// A worker that starts nothing with one of the packs.
fn lay_a_barred_pack(root: &Root) {
    let barred = json!({"pack": "review", "reason": "r", "remedy": "m"});
    let state = json!({"status": "running", "packs": [barred], "budget": {"usd_per_day": 5}});
    root.lay("workers/anga/state.json", &state.to_string());
    let forgiven = json!({"until": "2026-01-01T00:00:00Z", "by": "ann", "reason": "r"});
    root.lay("workers/anga/budget.json", &forgiven.to_string());
}

/// An account of which everything is known.
fn known() -> Value {
    let stop = |cause| {
        json!({
            "cause": cause, "reason": "r", "remedy": "m", "by": "marie", "at": "2026-01-01T00:00:00Z", "since_ns": 1,
            "until": "2026-01-01T00:01:00Z", "due_ns": 2, "times": 1,
        })
    };
    json!({
        "version": 1, "endpoint": "https://api.example", "boot_id": "b", "per_minute": 50, "spent_until_ns": 0,
        "rate_limit": stop("rate_limit"), "breaker": stop("outage"),
        "warning": {
            "window": "five_hour", "used_percent": 87, "resets_at": "2026-01-01T00:00:00Z", "by": "marie",
            "at": "2026-01-01T00:00:00Z",
        },
    })
}

#[test]
fn the_page_tells_every_field_and_none_that_is_not_there() {
    let scene = Scene::new();
    let root = &scene.root;
    lay_the_rest(root);
    lay_a_barred_pack(root);
    let json = |args: &[&str]| root.run(args).json();
    compare("A task", &[json(&["list", "--json"]), json(&["wait", "invoice", "--json"])]);
    compare("status", &[json(&["status", "--json"])]);
    compare("show", &[json(&["show", "invoice", "--json"]), json(&["show", "count", "--json"])]);
    compare("why", &[json(&["why", "letter", "--json"]), json(&["why", "count", "--json"])]);
    root.lay("limits/api.example-1.json", &known().to_string());
    compare("limits", &[json(&["limits", "--json"])]);
    compare("budget", &[json(&["budget", "--json"])]);
    let moves = [json(&["retry", "invoice", "--dry-run", "--json"]), json(&["cancel", "invoice", "--json"])];
    compare("What moves a task", &moves);
    compare("What moves a worker", &[json(&["pause", "fabien", "--dry-run", "--json"])]);
    compare("doctor", &[json(&["doctor", "--json"])]);
    compare("fsck", &[json(&["fsck", "--json"])]);
    compare("prune", &[json(&["prune", "--dry-run", "--json"])]);
}

#[test]
fn the_page_tells_every_field_of_a_line_of_the_journal() {
    let run = "0198a000-0000-7000-8000-000000000001";
    let full = json!({
        "time": "2026-01-01T00:00:00Z", "worker": "marie", "task": "t", "file": "t.json", "run_id": run,
        "event": "concluded", "id": "x", "from": "RUNNING", "to": "COMPLETED", "attempt": 1, "session_id": run,
        "pid": 7, "error_code": "E001", "reason": "r", "by": "ann", "charged": true, "cost_usd": 0.5, "correlation_id": "c",
        "changes": "1 file changed",
        "tokens": {"input": 1, "output": 1, "cache_read": 1, "cache_write": 1}, "pack": "default",
        "changes": "1 file",
    });
    // What the type does not know does not come back, and what it knows stands in `full`: it has no field more.
    let line: Line = serde_json::from_value(full).unwrap();
    let debug = format!("{line:#?}");
    assert!(
        !debug.contains("None"),
        "a new field of the journal: tell it in docs/agentctl.md, and here: {debug}"
    );
    compare("watch", &[serde_json::to_value(line).unwrap()]);
}
