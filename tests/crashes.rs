//! The agent dies, with its watcher or without: its task is charged once and goes on, and what it left is ended.

#![cfg(feature = "test-support")]

#[path = "support/traces.rs"]
mod traces;
#[path = "support/world.rs"]
mod world;

use serde_json::json;
use traces::{alone, at_work, gate, gated, is_alive, open, pid, recorded, said, slay};
use world::World;

#[test]
fn when_both_die_the_session_goes_on_and_the_attempt_is_charged_once() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    first.murder();
    slay(&world, agent);

    let second = world.up("marie");
    let agent = at_work(&world, "t", 2);
    let task = recorded(&world, "t", agent);
    assert_eq!(task["retry_count"], 1);
    assert_eq!(task["failure_reason"], "worker_crash");
    assert!(task["last_failure"].as_f64().unwrap() > 1_600_000_000.0);
    open(&gate);
    let task = world.filed("marie/completed", "t");

    assert_eq!(task["result"], "resumed");
    assert_eq!(task["retry_count"], 1);
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["outcome"], "crashed");
    assert_eq!(attempts[0]["charged"], true);
    assert_eq!(attempts[0]["reason"], "worker_crash");
    assert_eq!(attempts[0]["session_id"], attempts[1]["session_id"]);
    let starts = said(&world, "start", "t");
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[1]["mode"], "resume");
    assert_eq!(starts[0]["cwd"], starts[1]["cwd"]);
    alone(&world);
    assert_eq!(second.stop(), 0);
}

#[test]
fn an_agent_that_is_killed_under_a_living_watcher_is_retried() {
    let world = World::new();
    let gate = gate(&world, "a");
    let watcher = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    slay(&world, at_work(&world, "t", 1));
    at_work(&world, "t", 2);
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "resumed");
    assert_eq!(task["retry_count"], 1);
    assert_eq!(task["attempts"][0]["outcome"], "crashed");
    alone(&world);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_task_that_kills_every_agent_ends_in_failed() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("marie/pending", "t", &json!({"prompt": "fake: die", "max_retries": 2}));
    let task = world.filed("marie/failed", "t");
    assert_eq!(task["state"], "FAILED");
    assert_eq!(said(&world, "start", "t").len(), 3);
    assert_eq!(task["attempts"].as_array().unwrap().len(), 3);
    assert!(world.root().join("tasks/marie/failed/t.json.reason").exists());
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_task_that_dies_with_its_watcher_again_and_again_ends_in_failed() {
    let world = World::new();
    let gate = gate(&world, "never");
    let mut task = gated(&gate);
    task["max_retries"] = json!(1);
    let mut watcher = world.up("marie");
    world.submit("marie/pending", "t", &task);
    for crash in 1..=2 {
        let agent = at_work(&world, "t", crash);
        recorded(&world, "t", agent);
        watcher.murder();
        slay(&world, agent);
        watcher = world.up("marie");
    }
    let task = world.filed("marie/failed", "t");
    assert_eq!(task["failure_reason"].as_str().unwrap().split(';').next(), Some("worker_crash"), "{task:#}");
    assert_eq!(said(&world, "start", "t").len(), 2);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_stray_that_holds_the_stream_is_not_taken_for_the_agent_and_is_ended_first() {
    for stray in ["stdout", "stdout setsid", "stdout double noterm", "double noterm"] {
        let world = World::new();
        let gate = gate(&world, "a");
        let first = world.up("marie");
        let prompt = format!("fake: grandchild {stray}; gate={0} | succeed text=resumed", gate.display());
        world.submit("marie/pending", "t", &json!({"prompt": prompt}));
        let agent = at_work(&world, "t", 1);
        recorded(&world, "t", agent);
        let line = world.until("the stray is there", || {
            world.agent_log().into_iter().find(|line| line["event"] == "grandchild")
        });
        first.murder();
        slay(&world, agent);
        assert!(is_alive(pid(&line)), "{stray}");

        let second = world.up("marie");
        let task = world.filed("marie/completed", "t");
        assert_eq!(task["result"], "resumed", "{stray}");
        assert_eq!(task["retry_count"], 1, "{stray}");
        assert!(!is_alive(pid(&line)), "{stray}: {}", world.said());
        alone(&world);
        assert_eq!(second.stop(), 0);
    }
}
