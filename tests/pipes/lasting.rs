//! Pause, resume, drain and stop: over deaths, and under a supervisor.

use nix::sys::signal::Signal;
use serde_json::json;

use super::{ask, done, gated, open_gate, refused, say};
use crate::sight::{agent, state, tasks};
use crate::world::World;

#[test]
fn a_pause_survives_a_kill_and_ends_with_a_word() {
    let world = World::new();
    let watcher = world.up("marie");
    let answer = done(&world, json!({"op": "pause", "reason": "the figures", "by": "ana"}));
    assert!(answer["message"].as_str().unwrap().contains("until `resume`"), "{answer}");
    let wanted = state(&world, "marie", |it| it["status"] == "paused")["wanted"].clone();
    assert_eq!(
        (&wanted["mode"], &wanted["reason"], &wanted["by"]),
        (&json!("pause"), &json!("the figures"), &json!("ana"))
    );
    world.submit("", "t", &json!({"prompt": "fake: succeed"}));
    watcher.murder();
    let _watcher = world.up("marie");
    state(&world, "marie", |it| it["status"] == "paused" && it["queues"]["inbox"] == 1);
    let status = done(&world, json!({"op": "status"}))["result"].clone();
    assert_eq!((&status["status"], &status["wanted"]["by"]), (&json!("paused"), &json!("ana")));
    assert_eq!(world.homes("t"), [""], "nothing was taken");
    done(&world, json!({"op": "resume"}));
    world.filed("marie/completed", "t");
    assert!(state(&world, "marie", |it| it["status"] == "running").get("wanted").is_none());
}

#[test]
fn a_drain_lets_the_running_ones_finish_and_takes_nothing_more() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("", "t", &gated(&world, "gate"));
    agent(&world, "t");
    done(&world, json!({"op": "drain"}));
    world.submit("", "u", &json!({"prompt": "fake: succeed"}));
    state(&world, "marie", |it| it["status"] == "draining" && it["queues"]["inbox"] == 1);
    for op in ["resume", "pause"] {
        refused(&world, json!({ "op": op }), 69);
    }
    open_gate(&world, "gate");
    assert_eq!(watcher.ended(), 0);
    assert_eq!(tasks(&world, "marie/completed"), ["t.json"]);
    assert_eq!(tasks(&world, ""), ["u.json"]);
    state(&world, "marie", |it| it["status"] == "stopped");
}

#[test]
fn a_stop_is_like_a_sigterm() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("", "t", &gated(&world, "gate"));
    agent(&world, "t");
    say(&world, "stop");
    assert_eq!(watcher.ended(), 0);
    assert_eq!(world.homes("t"), ["marie/pending"]);
    let task = world.filed("marie/pending", "t");
    assert_eq!((&task["state"], &task["retry_count"]), (&json!("PENDING"), &json!(0)), "uncharged");
}

#[test]
fn a_worker_that_was_drained_under_a_supervisor_stays_stopped() {
    let world = World::new();
    // It starts the one beside it.
    world.program("watcher");
    let mut command = world.command("supervisor");
    command
        .args(["up", "--workers", "marie=none", "--metrics-addr", "none", "--agent", "echo", "--log-dir"])
        .arg(world.logs())
        .args(["--pipe-mode", "0600", "--root"])
        .arg(world.root());
    let supervisor = world.start(&mut command, "supervisor");
    done(&world, json!({"op": "drain"}));
    state(&world, "marie", |it| it["status"] == "stopped");
    let heartbeat = world.root().join("workers/marie/heartbeat.json");
    let last = crate::world::json(&heartbeat).unwrap();
    let said = || std::fs::read_to_string(world.logs().join("supervisor.err")).unwrap();
    world.until("the supervisor says that it stopped", || said().contains("stopped").then_some(()));
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.ended(), 0);
    let now = crate::world::json(&heartbeat).unwrap();
    assert_eq!((&now["pid"], &now["seq"]), (&last["pid"], &last["seq"]), "nobody started it again");
}

#[test]
fn without_a_pause_a_resume_only_tries_what_was_mended() {
    let world = World::new();
    let _watcher = world.up("marie");
    let answer = ask(&world, json!({"op": "resume"}));
    assert_eq!(
        (&answer["ok"], &answer["message"]),
        (&json!(true), &json!("it was not paused; what was mended is tried"))
    );
}
