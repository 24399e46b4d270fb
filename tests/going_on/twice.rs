//! Two processes never have one conversation.

use std::fs::{self, File};

use serde_json::json;

use crate::world::{World, json};
use crate::{artifact, begin, each, gate, kill_agent, never_twice, open_gate, transcript};

#[test]
fn one_that_somebody_has_open_goes_on_in_a_copy() {
    let world = World::new();
    let first = world.up("marie");
    let task = begin(&world, "t");
    // Its agent lives on for the lock: a person at a terminal holds it like that.
    first.murder();
    kill_agent(&task);
    world.until("its agent is gone", || world.processes().is_empty().then_some(()));
    let stream = File::open(artifact(&world, &task, "attempt-1/stream.ndjson")).unwrap();
    let recovered =
        world.command("supervisor").args(["recover", "marie", "--root"]).arg(world.root()).output();
    assert!(recovered.unwrap().status.success());
    fs2::FileExt::try_lock_exclusive(&stream).unwrap();
    open_gate(&world);
    let _second = world.up("marie");
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "began"), ["new", "forked"], "{task}");
    assert_eq!(task["attempts"][1]["forked_from"], task["attempts"][0]["session_id"]);
    never_twice(&world);
}

#[test]
fn a_conversation_of_another_task_is_not_gone_on_with() {
    let world = World::new();
    let watcher = world.up("marie");
    let secret = begin(&world, "secret");
    let secret = secret["attempts"][0]["session_id"].clone();
    let prompt = format!("fake: say text=mine; gate={}; succeed text=mine", gate(&world).display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let running = world.active("marie", "t", |task| task["attempts"][0]["pid"].is_number());
    let stream = artifact(&world, &running, "attempt-1/stream.ndjson");
    world.until("it has begun", || fs::read_to_string(&stream).ok()?.contains("mine").then_some(()));
    assert_eq!(watcher.stop(), 0);
    let path = world.root().join("tasks/marie/pending/t.json");
    let mut forged = json(&path).unwrap();
    let own = forged["attempts"][0]["session_id"].clone();
    fs::remove_file(transcript(&world, &own)).unwrap();
    forged["attempts"][0]["session_id"] = secret.clone();
    fs::remove_file(&path).unwrap();
    world.submit("marie/pending", "t", &forged);
    open_gate(&world);
    let _watcher = world.up("marie");
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "began"), ["new", "told"], "{task}");
    assert_ne!(task["attempts"][1]["session_id"], secret);
    let starts = world.agent_log().into_iter().filter(|line| line["event"] == "start" && line["task"] == "t");
    assert!(starts.into_iter().all(|line| line["session"] != secret), "{task}");
    never_twice(&world);
}
