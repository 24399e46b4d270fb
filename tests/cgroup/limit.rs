//! The memory of a run is bounded by the kernel too, which tells whose limit it was. In version 1; `kernel.rs` has version 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sight::{agent, lives, logged, place};
use crate::syscalls::Call;
use crate::tracer::{Fate, Traced};
use crate::world::{Started, World, until};
use crate::{Base, Version, stray};

/// What a run may use, and that it is tried once.
const FLAGS: [&str; 4] = ["--agent-memory", "100MiB", "--max-retries", "0"];

/// Failed for its own limit, once.
fn over_its_limit(world: &World, name: &str) -> Value {
    let task = world.filed("marie/failed", name);
    assert_eq!((&task["error_code"], &task["state"]), (&json!("E004"), &json!("FAILED")), "{task}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "not tried again: {task}");
    task
}

#[test]
fn what_the_kernel_ends_at_the_limit_of_the_run_is_over_its_limit() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::One) else { return };
    let _watcher = base.watcher(&world, &["--agent-memory", "100MiB"]);
    // The agent itself, and something that it started and that goes on without it.
    world.submit("marie/pending", "agent", &json!({"prompt": "fake: eat mib=200; hang stubborn"}));
    world.submit("marie/pending", "tool", &json!({"prompt": "fake: run text=tail /dev/zero; hang stubborn"}));
    for name in ["agent", "tool"] {
        let task = over_its_limit(&world, name);
        let reason = task["failure_reason"].as_str().unwrap();
        assert!(reason.contains("more than the 100MiB that its worker allows"), "{reason}");
        let peak = task["attempts"][0]["peak_memory_bytes"].as_u64().unwrap();
        assert!((100 << 20..=125 << 20).contains(&peak), "the kernel held it at a quarter above: {task}");
    }
    world.until("no group is left", || base.groups().is_empty().then_some(()));
}

#[test]
fn an_agent_at_its_limit_while_its_watcher_is_dead_is_told_from_one_that_others_starved() {
    for (limit, around, code, expected) in
        [("100MiB", None, Some("E004"), "it used 1"), ("none", Some("67108864"), None, "oom_killed")]
    {
        let world = World::new();
        let Some(base) = Base::new(&world, Version::One) else { return };
        if let Some(around) = around {
            fs::write(base.0.join("memory.limit_in_bytes"), around).unwrap();
        }
        let flags = ["--agent-memory", limit, "--max-retries", "0"];
        let first = base.watcher(&world, &flags);
        let gate = world.path().join("gate");
        let script = format!("fake: gate={}; eat mib=200; hang stubborn", gate.display());
        world.submit("marie/pending", "t", &json!({"prompt": script}));
        let agent = agent(&world, "t");
        // The kernel's log names processes: what took one that nobody wrote down is not known.
        world.active("marie", "t", |it| it["attempts"][0]["pid"] == agent);
        first.murder();
        fs::write(gate, "").unwrap();
        world.until("the kernel has taken it", || (!lives(agent)).then_some(()));
        let _second = base.watcher(&world, &flags);
        let task = world.filed("marie/failed", "t");
        assert_eq!(task["error_code"].as_str(), code, "{limit}: {task}");
        let reason = task["attempts"][0]["reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with(expected), "{limit}: {task}");
    }
}

/// At its limit in a group of its own while its watcher is dead; the watcher, and what opens the gate to that.
fn fed(world: &World, base: &Base, more: &str) -> (Started, i32, PathBuf) {
    let first = base.watcher(world, &FLAGS);
    let gate = world.path().join("gate");
    let agent = submit(world, &gate, more);
    (first, agent, gate)
}

/// The watcher is killed, and then the agent by the kernel.
fn taken(world: &World, base: &Base, more: &str) {
    let (first, agent, gate) = fed(world, base, more);
    first.murder();
    fs::write(gate, "").unwrap();
    world.until("the kernel has taken it", || (!lives(agent)).then_some(()));
}

/// A task whose agent uses more than it may once its gate is open; its process, which is written down.
fn submit(world: &World, gate: &Path, more: &str) -> i32 {
    let script = format!("fake: gate={}; {more}eat mib=200; hang stubborn", gate.display());
    world.submit("marie/pending", "t", &json!({"prompt": script}));
    let agent = agent(world, "t");
    world.active("marie", "t", |it| it["attempts"][0]["pid"] == agent);
    agent
}

#[test]
fn who_dies_at_its_limit_while_it_is_about_to_be_adopted_is_over_its_limit() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::One) else { return };
    let (first, agent, gate) = fed(&world, &base, "");
    first.murder();
    // It is found alive, and is dead before the scratch of runs that are over is cleared.
    let scratch = world.root().join("scratch/marie").display().to_string();
    let dies = move |call: &Call| {
        if call.name == "getdents64" && call.what == scratch && !gate.exists() {
            fs::write(&gate, "").unwrap();
            until(Duration::from_secs(20), || (!lives(agent)).then_some(()));
        }
        false
    };
    let watcher = base.command(&world, &FLAGS);
    let _second = Traced::start(&world, &watcher, "marie", Arc::new(dies), Fate::Watch);
    over_its_limit(&world, "t");
    assert!(!logged(&world, "marie", "to be adopted").is_empty(), "{}", world.said());
    world.until("no group is left", || base.groups().is_empty().then_some(()));
}

#[test]
fn who_died_at_its_limit_is_over_it_though_its_recovery_was_killed() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::One) else { return };
    taken(&world, &base, "grandchild setsid double noenv noterm; ");
    // Before the end of its attempt is recorded.
    let records = |call: &Call| call.name.starts_with("rename") && call.what.ends_with("/active/t.json");
    let second =
        Traced::start(&world, &base.command(&world, &FLAGS), "marie", Arc::new(records), Fate::Kill(1));
    assert_eq!(second.ended(Duration::from_mins(1)), Some(-9), "{}", world.said());
    assert!(!lives(stray(&world)), "it had come so far: {}", world.said());
    let _third = base.watcher(&world, &FLAGS);
    over_its_limit(&world, "t");
    world.until("no group is left", || base.groups().is_empty().then_some(()));
}

#[test]
fn who_died_at_its_limit_is_over_it_though_a_runbook_put_its_file_back_into_the_queue() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::One) else { return };
    taken(&world, &base, "");
    fs::rename(place(&world, "marie/active").join("t.json"), place(&world, "marie/pending").join("t.json"))
        .unwrap();
    let _second = base.watcher(&world, &FLAGS);
    over_its_limit(&world, "t");
    world.until("no group is left", || base.groups().is_empty().then_some(()));
}

#[test]
fn who_died_at_its_limit_is_over_it_though_its_watcher_is_killed_before_it_says_so() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::One) else { return };
    let gate = world.path().join("gate");
    let is_open = gate.clone();
    // The first rename after the agent's death is that of its end.
    let records = move |call: &Call| {
        is_open.exists() && call.name.starts_with("rename") && call.what.ends_with("/active/t.json")
    };
    let first =
        Traced::start(&world, &base.command(&world, &FLAGS), "marie", Arc::new(records), Fate::Kill(1));
    submit(&world, &gate, "");
    fs::write(gate, "").unwrap();
    assert_eq!(first.ended(Duration::from_mins(1)), Some(-9), "{}", world.said());
    let _second = base.watcher(&world, &FLAGS);
    over_its_limit(&world, "t");
    world.until("no group is left", || base.groups().is_empty().then_some(()));
}

#[test]
fn what_shed_every_sign_is_weighed_too() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::One) else { return };
    let _watcher = base.watcher(&world, &["--agent-memory", "100MiB"]);
    let script = "fake: grandchild setsid double noenv eat:110; hang";
    world.submit("marie/pending", "t", &json!({"prompt": script}));
    let task = over_its_limit(&world, "t");
    assert!(task["attempts"][0]["cost_usd"].is_number(), "it was asked first: {task}");
}

#[test]
fn an_acceptance_command_over_the_limit_of_its_run_has_not_passed() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::One) else { return };
    let text =
        "verify = [\"/bin/sh\", \"-c\", \"tail /dev/zero\"]\nmax_memory = \"100MiB\"\nmax_retries = 0\n";
    world.pack("hungry", text);
    let _watcher = base.watcher(&world, &[]);
    world.submit("marie/pending", "t", &json!({"type": "hungry", "prompt": "fake: succeed text=done"}));
    let task = world.filed("marie/failed", "t");
    assert!(task["failure_reason"].as_str().unwrap().contains("tail /dev/zero"), "{task}");
    assert!(logged(&world, "marie", "OOM killer struck").is_empty(), "{}", world.said());
}
