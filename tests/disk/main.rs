//! Disks that are full, read-only or failing: nothing is lost, nothing is run twice, it is said, and the work goes on
//! by itself.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test plays the machine and the user, and one that cannot go on ends"
)]

mod agent;
mod calls;
mod full;
mod records;
mod start;
mod tiny;

#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/judge.rs"]
mod judge;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/world.rs"]
mod world;

use serde_json::{Value, json};
use world::{Started, World};

/// How soon work goes on after a fault, in seconds of the worker's own.
const SOON: u64 = 10;

/// A task whose agent waits for a gate, at work; the gate.
fn at_work(world: &World, name: &str, more: &str) -> std::path::PathBuf {
    let gate = world.path().join(format!("gate-{name}"));
    let prompt = format!("fake: gate={}; {more}", gate.display());
    world.submit("marie/pending", name, &json!({"prompt": prompt}));
    world.active("marie", name, |task| task["state"] == "RUNNING");
    gate
}

/// Opens a gate, and waits until its agent has said its last word.
fn let_through(world: &World, gate: &std::path::Path, name: &str) {
    std::fs::write(gate, "").unwrap();
    world.until(&format!("the agent of {name} has ended"), || {
        (!sight::events(world, "end", name).is_empty()).then_some(())
    });
}

/// A fact that comes within ten seconds of the fault's end, which is now.
fn soon<T>(world: &World, what: &str, fact: impl FnMut() -> Option<T>) -> T {
    world.within("marie", SOON, what, fact)
}

/// The task `name` ended well, once, and everything that tells of it agrees.
fn ended_once(world: &World, name: &str) -> Value {
    let task = world.filed("marie/completed", name);
    assert_eq!(world.homes(name), ["marie/completed"], "{name}");
    let starts = sight::events(world, "start", name);
    assert_eq!(starts.len(), 1, "{name} was run once\n{}", world.said());
    let run = task["run_id"].as_str().unwrap();
    let result = world::json(&world.root().join(format!("artifacts/{run}/result.json"))).unwrap();
    assert_eq!(result["state"], "COMPLETED", "{name}");
    assert_eq!(task["retry_count"].as_u64().unwrap_or(0), 0, "{name}: {task:#}");
    told(world, name, run, &["claimed", "started", "concluded"]);
    task
}

/// The changes of a run stand in its history and in the journal: each, in order, and no half of a line.
fn told(world: &World, name: &str, run: &str, expected: &[&str]) {
    let history = world.root().join(format!("artifacts/{run}/history.ndjson"));
    let whole = |text: String| -> Vec<Value> {
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{name}: {line}")))
            .collect()
    };
    let lines = world.until(&format!("the history of {name} is complete"), || {
        let lines = whole(std::fs::read_to_string(&history).ok()?);
        lines
            .iter()
            .any(|line| Some(&line["event"]) == expected.last().map(|it| json!(it)).as_ref())
            .then_some(lines)
    });
    let journal: Vec<Value> =
        sight::journal(world, "marie").into_iter().filter(|it| it["run_id"] == run).collect();
    for lines in [lines, journal] {
        let mut seen: Vec<&str> = Vec::new();
        let mut ids: Vec<&Value> = Vec::new();
        for line in &lines {
            if !ids.contains(&&line["id"]) || line["id"].is_null() {
                ids.push(&line["id"]);
                seen.push(line["event"].as_str().unwrap());
            }
        }
        assert_eq!(seen, expected, "{name}: {lines:#?}");
    }
}

/// A watcher of marie with a face; it is at work.
fn served(world: &World, flags: &[(&str, &str)]) -> (Started, std::net::SocketAddr) {
    let flags: Vec<_> = flags.iter().copied().chain([("--metrics-addr", "127.0.0.1:0")]).collect();
    let mut command = sight::watcher_with(world, "marie", &flags);
    for (flag, value) in flags.iter().filter(|(flag, _)| flag.starts_with("--reserve")) {
        command.args([flag, value]);
    }
    let told = || sight::logged(world, "marie", "serving /metrics");
    let before = told().len();
    let started = world.start(&mut command, "marie");
    world.at_work("marie", &started);
    // What an earlier watcher said stands in the same log.
    let address = world.until("it serves", || told().get(before)?["addr"].as_str()?.parse().ok());
    (started, address)
}

/// Waits until `/health` answers with this status; its reasons.
fn health(world: &World, address: std::net::SocketAddr, status: &str) -> String {
    world.until(&format!("/health says {status}"), || {
        let answer = http::get(address, "/health");
        (http::code(&answer) == status).then(|| http::body(&answer).to_owned())
    })
}
