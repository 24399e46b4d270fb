//! The watcher dies, the agent lives: it is adopted, never run again, and its limits still hold.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and moves files")]

#[path = "support/traces.rs"]
mod traces;
#[path = "support/world.rs"]
mod world;

use serde_json::json;
use traces::{
    alone, at_work, count, gate, gated, is_alive, lost_its_first_thread, open, recorded, said, slay,
};
use world::World;

#[test]
fn an_agent_outlives_its_watcher_and_is_adopted() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    first.murder();
    assert!(is_alive(agent));

    let second = world.up("marie");
    world.until("it is adopted", || (count(&world, "adopted") == 1).then_some(()));
    assert!(is_alive(agent));
    assert_eq!(world.homes("t"), ["marie/active"]);
    open(&gate);
    let task = world.filed("marie/completed", "t");

    assert_eq!(task["result"], "done");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(task.get("retry_count").cloned().unwrap_or(json!(0)), 0);
    assert_eq!(said(&world, "start", "t").len(), 1);
    alone(&world);
    assert_eq!(second.stop(), 0);
}

/// To the kernel it is a zombie then, which a killed process also is while its last threads close their files.
#[test]
fn an_agent_whose_first_thread_has_ended_works_on_and_is_adopted() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    let prompt = format!("fake: lose-first-thread; gate={}; succeed text=done", gate.display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    world.until("its first thread has ended", || lost_its_first_thread(agent).then_some(()));
    first.murder();

    let second = world.up("marie");
    world.until("it is adopted", || (count(&world, "adopted") == 1).then_some(()));
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "done");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task:#}");
    alone(&world);
    assert_eq!(second.stop(), 0);
}

#[test]
fn an_agent_whose_process_was_not_recorded_is_adopted_too() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    let mut task = recorded(&world, "t", agent);
    first.murder();
    for field in ["pid", "start_ticks", "boot_id", "pid_ns"] {
        task["attempts"][0].as_object_mut().unwrap().remove(field);
    }
    std::fs::write(world.root().join("tasks/marie/active/t.json"), task.to_string()).unwrap();

    let second = world.up("marie");
    world.until("it is adopted", || (count(&world, "adopted") == 1).then_some(()));
    // It can still be ended: a worker that stops leaves no agent behind.
    assert_eq!(second.stop(), 0);
    assert!(!is_alive(agent), "{}", world.said());
    let task = world.filed("marie/pending", "t");
    assert_eq!(task["attempts"][0]["charged"], false);
    alone(&world);
}

#[test]
fn an_agent_that_cannot_be_seen_from_here_is_left_to_the_next_watcher() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    let mut task = recorded(&world, "t", agent);
    first.murder();
    // As it looks to a watcher in another container: a number that means nothing here.
    let recorded = task["attempts"][0]["pid_ns"].clone();
    task["attempts"][0]["pid_ns"] = json!(1);
    let active = world.root().join("tasks/marie/active/t.json");
    std::fs::write(&active, task.to_string()).unwrap();

    let second = world.start(world.watcher("marie").args(["--grace", "1"]), "marie");
    world.until("it is adopted", || (count(&world, "adopted") == 1).then_some(()));
    assert_eq!(second.stop(), 0, "{}", world.said());
    assert!(is_alive(agent));
    assert_eq!(world.homes("t"), ["marie/active"]);

    let third = world.up("marie");
    world.until("it is adopted again", || (count(&world, "adopted") == 2).then_some(()));
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "done");
    assert_ne!(task["attempts"][0]["pid_ns"], recorded);
    assert_eq!(said(&world, "start", "t").len(), 1);
    assert_eq!(third.stop(), 0);
}

#[test]
fn a_result_that_came_while_no_watcher_lived_is_filed_and_not_run_again() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    first.murder();
    open(&gate);
    world.until("the agent has ended", || (!is_alive(agent)).then_some(()));

    let second = world.up("marie");
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "done");
    assert_eq!(task["attempts"][0]["outcome"], "completed");
    assert_eq!(said(&world, "start", "t").len(), 1);
    assert_eq!(second.stop(), 0);
}

#[test]
fn an_adopted_run_has_its_time_limit() {
    let world = World::new();
    let first = world.up("marie");
    let prompt = "fake: ignore-term; hang stubborn";
    world.submit("marie/pending", "t", &json!({"prompt": prompt, "timeout_s": 4, "max_retries": 0}));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    first.murder();

    let second = world.up("marie");
    let task = world.filed("marie/failed", "t");
    assert_eq!(task["state"], "TIMEOUT");
    assert_eq!(task["error_code"], "E003");
    assert_eq!(count(&world, "adopted"), 1);
    assert!(!is_alive(agent));
    assert_eq!(second.stop(), 0);
}

#[test]
fn a_worker_that_stops_ends_what_it_adopted_and_puts_it_back_uncharged() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    first.murder();
    let second = world.up("marie");
    world.until("it is adopted", || (count(&world, "adopted") == 1).then_some(()));
    assert_eq!(second.stop(), 0);
    assert!(!is_alive(agent));
    let task = world.filed("marie/pending", "t");
    assert_eq!(task["attempts"][0]["outcome"], "interrupted", "{task:#}");
    assert_eq!(task["attempts"][0]["charged"], false);

    let third = world.up("marie");
    at_work(&world, "t", 2);
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "resumed");
    assert_eq!(said(&world, "start", "t")[1]["mode"], "resume");
    alone(&world);
    assert_eq!(third.stop(), 0);
}

#[test]
fn an_adopted_agent_that_hangs_after_its_result_is_ended_and_its_result_counts() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    let prompt = format!("fake: gate={}; result text=mine; hang stubborn", gate.display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    first.murder();
    let second = world.up("marie");
    world.until("it is adopted", || (count(&world, "adopted") == 1).then_some(()));
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "mine");
    assert!(!is_alive(agent));
    assert_eq!(second.stop(), 0);
}

#[test]
fn an_adopted_agent_that_is_killed_is_retried_with_its_session() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    first.murder();
    let second = world.up("marie");
    world.until("it is adopted", || (count(&world, "adopted") == 1).then_some(()));
    slay(&world, agent);
    at_work(&world, "t", 2);
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "resumed");
    assert_eq!(task["retry_count"], 1);
    assert_eq!(task["attempts"][0]["outcome"], "crashed", "{task:#}");
    assert_eq!(task["attempts"][0]["session_id"], task["attempts"][1]["session_id"]);
    alone(&world);
    assert_eq!(second.stop(), 0);
}
