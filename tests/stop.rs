//! The stop: agents end orderly, nothing is charged, nothing is lost, and the next start goes on.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "support/sight.rs"]
mod sight;
#[path = "support/world.rs"]
mod world;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use sight::{agent, events, state, tasks};
use world::World;

#[test]
fn a_stop_interrupts_and_the_next_start_resumes() {
    let world = World::new();
    let watcher = world.start(world.watcher("marie").args(["--grace", "3600"]), "marie");
    for name in ["a", "b"] {
        world.submit("", name, &json!({"prompt": format!("fake: hang | succeed text={name} again")}));
        agent(&world, name);
    }
    let session =
        world.active("marie", "a", |it| it["state"] == "RUNNING")["attempts"][0]["session_id"].clone();
    // The grace is longer than anybody waits: agents that hear are not given it.
    assert_eq!(watcher.stop(), 0);
    for name in ["a", "b"] {
        let task = world.filed("marie/pending", name);
        assert_eq!(task["state"], "PENDING", "{task}");
        assert!(task["retry_count"].is_null() || task["retry_count"] == 0, "{task}");
        assert_eq!(task["attempts"][0]["charged"], false, "{task}");
    }
    assert_eq!(state(&world, "marie", |_| true)["status"], "stopped");
    assert_eq!(sight::names(&world.root().join("locks")), Vec::<String>::new());
    let _watcher = world.up("marie");
    for name in ["a", "b"] {
        assert_eq!(world.filed("marie/completed", name)["result"], format!("{name} again"));
    }
    let again = &events(&world, "start", "a")[1];
    assert_eq!((&again["mode"], &again["session"]), (&json!("resume"), &session));
    assert_eq!(
        state(&world, "marie", |_| true)["recovery_count"].as_u64().unwrap_or(0),
        0,
        "a stop is no crash"
    );
}

#[test]
fn a_deaf_agent_gets_the_grace_and_no_more() {
    let world = World::new();
    let mut watcher = world.start(world.watcher("marie").args(["--grace", "1"]), "marie");
    world.submit("", "deaf", &json!({"prompt": "fake: ignore-term; hang stubborn"}));
    agent(&world, "deaf");
    let began = Instant::now();
    watcher.signal(Signal::SIGTERM);
    world.within("marie", 8, "it has stopped", || watcher.is_over().then_some(()));
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(watcher.ended(), 0);
    assert_eq!(world.filed("marie/pending", "deaf")["attempts"][0]["charged"], false);
}

#[test]
fn a_second_signal_does_not_wait() {
    let world = World::new();
    let watcher = world.start(world.watcher("marie").args(["--grace", "3600"]), "marie");
    world.submit("", "deaf", &json!({"prompt": "fake: ignore-term; hang stubborn"}));
    let pid = agent(&world, "deaf");
    watcher.signal(Signal::SIGINT);
    state(&world, "marie", |it| it["status"] == "draining");
    watcher.signal(Signal::SIGINT);
    assert_eq!(watcher.ended(), 0);
    assert!(!sight::lives(pid));
    assert_eq!(world.filed("marie/pending", "deaf")["attempts"][0]["charged"], false);
}

#[test]
fn an_answer_given_before_the_stop_is_filed() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: result text=paid; hang"}));
    world.until("it has answered", || {
        let state = world::json(&world.root().join("workers/marie/state.json"))?;
        (state["running"][0]["state"] == "COMPLETING").then_some(())
    });
    assert_eq!(watcher.stop(), 0);
    assert_eq!(world.filed("marie/completed", "t")["result"], "paid");
}

#[test]
fn what_is_being_claimed_at_the_stop_is_not_lost() {
    for round in 0..4 {
        let world = World::new();
        let watcher = world.up("marie");
        for n in 0..30 {
            world.submit("", &format!("t{n}"), &json!({"prompt": "fake: succeed"}));
        }
        // A stop at another moment of the burst each round.
        world.until("some are taken", || (tasks(&world, "").len() <= 29 - round * 3).then_some(()));
        assert_eq!(watcher.stop(), 0);
        assert_eq!(tasks(&world, "marie/active"), Vec::<String>::new());
        let _watcher = world.up("marie");
        world.until_all(30, "end well", || tasks(&world, "marie/completed").len());
        for n in 0..30 {
            let task = world.filed("marie/completed", &format!("t{n}"));
            assert!(task["attempts"].as_array().unwrap().iter().all(|it| it["charged"] == false), "{task}");
        }
    }
}

#[test]
fn nothing_is_claimed_after_the_signal() {
    let world = World::new();
    let watcher = world.start(world.watcher("marie").args(["--concurrency", "1", "--grace", "2"]), "marie");
    world.submit("", "first", &json!({"prompt": "fake: ignore-term; hang stubborn"}));
    agent(&world, "first");
    watcher.signal(Signal::SIGTERM);
    world.submit("", "late", &json!({"prompt": "fake: succeed"}));
    assert_eq!(watcher.ended(), 0);
    assert_eq!(world.homes("late"), [""]);
}
