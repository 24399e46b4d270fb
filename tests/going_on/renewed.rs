//! `agentctl retry --continue`: a task that ended goes on with the conversation that it had.

use std::fs::{self, File};

use serde_json::{Value, json};

use crate::world::{World, json};
use crate::{artifact, attempts, each, never_twice, told, transcript};

/// A task whose turns were used up, and which goes on in its second process.
fn used_up(world: &World, then: &str) -> Value {
    let prompt =
        format!("fake: cost usd=0.5; write file=kept.txt text=mine; result text=half; fail turns | {then}");
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    world.filed("marie/failed", "t")
}

fn retried(world: &World, how: &[&str]) -> String {
    // For an instant after its file has moved the run of a task is not over for its worker.
    let output = world.until("it is tried again", || {
        Some(world.agentctl(&[&["retry", "t"], how].concat())).filter(|it| it.status.success())
    });
    String::from_utf8(output.stdout).unwrap()
}

const CONTINUES: &str = "cost usd=0.25; cwd";

/// What must be so after it went on.
fn has_gone_on(world: &World, old: &Value) {
    let task = world.filed("marie/completed", "t");
    assert_ne!(task["run_id"], old["run_id"], "a new life");
    assert_eq!((&task["retry_count"], each(&task, "began")), (&json!(0), vec!["resumed"]), "{task}");
    assert_eq!(task["attempts"][0]["session_id"], old["attempts"][0]["session_id"]);
    assert_eq!(task["result"], old["attempts"][0]["cwd"], "where the other one left its files: {task}");
    assert_eq!(
        task["attempts"][0]["cost_usd"], 0.25,
        "what the first life cost is not counted twice: {task}"
    );
    let last = told(world).pop().unwrap();
    assert!(last.contains("whoever runs it lets it go on (the limit of turns was reached"), "{last}");
    assert!(!artifact(world, old, "continue").exists(), "the mark has done its work");
    never_twice(world);
}

#[test]
fn it_goes_on_through_its_watcher_and_on_the_files() {
    for lives in [true, false] {
        let world = World::new();
        let watcher = world.up("marie");
        let old = used_up(&world, CONTINUES);
        if lives {
            assert!(retried(&world, &["--continue"]).contains("to go on where it ended"));
            has_gone_on(&world, &old);
        } else {
            assert_eq!(watcher.stop(), 0);
            assert!(retried(&world, &["--continue"]).contains("goes on where it ended"));
            assert!(artifact(&world, &old, "continue").exists());
            let _watcher = world.up("marie");
            has_gone_on(&world, &old);
        }
    }
}

#[test]
fn without_the_word_it_begins_from_its_prompt_also_after_it_was_said_once() {
    let world = World::new();
    let watcher = world.up("marie");
    let old = used_up(&world, CONTINUES);
    assert_eq!(watcher.stop(), 0);
    // Said and cut before the move: the mark alone.
    fs::write(artifact(&world, &old, "continue"), "").unwrap();
    retried(&world, &[]);
    let _watcher = world.up("marie");
    let task = world.until("it has failed again", || {
        json(&world.root().join("tasks/marie/failed/t.json")).filter(|task| task["run_id"] != old["run_id"])
    });
    assert_eq!(each(&task, "began"), ["new"]);
    assert_ne!(task["attempts"][0]["session_id"], old["attempts"][0]["session_id"]);
}

#[test]
fn without_its_transcript_it_is_told_what_the_life_before_had_done() {
    let world = World::new();
    let watcher = world.up("marie");
    let prompt = "fake: say text=I have begun; tool name=Bash text=make install; fail turns";
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let old = world.filed("marie/failed", "t");
    assert_eq!(watcher.stop(), 0);
    fs::remove_file(transcript(&world, &old["attempts"][0]["session_id"])).unwrap();
    retried(&world, &["--continue"]);
    let _watcher = world.up("marie");
    let task = world.until("it has failed again", || {
        json(&world.root().join("tasks/marie/failed/t.json")).filter(|task| task["run_id"] != old["run_id"])
    });
    assert_eq!(each(&task, "began"), ["told"], "{task}");
    let last = told(&world).pop().unwrap();
    assert!(last.contains("- Bash: make install (no answer"), "{last}");
}

#[test]
fn one_at_which_a_person_sits_goes_on_in_a_copy() {
    let world = World::new();
    let _watcher = world.up("marie");
    let old = used_up(&world, CONTINUES);
    // As somebody who is attached to it holds it.
    let stream = File::open(artifact(&world, &old, "attempt-1/stream.ndjson")).unwrap();
    fs2::FileExt::try_lock_exclusive(&stream).unwrap();
    retried(&world, &["--continue"]);
    let task = world.filed("marie/completed", "t");
    assert_eq!(each(&task, "began"), ["forked"], "{task}");
    assert_eq!(task["attempts"][0]["forked_from"], old["attempts"][0]["session_id"]);
    assert_eq!(task["attempts"][0]["cost_usd"], 0.25, "{task}");
    never_twice(&world);
}

#[test]
fn a_watcher_that_dies_in_a_life_that_goes_on_goes_on_with_it() {
    let world = World::new();
    let watcher = world.up("marie");
    let gate = crate::gate(&world);
    let then = format!("say text=again; gate={} | cost usd=0.25; cwd", gate.display());
    let old = used_up(&world, &then);
    retried(&world, &["--continue"]);
    let task = world.active("marie", "t", |task| {
        task["run_id"] != old["run_id"] && task["attempts"][0]["pid"].is_number()
    });
    let stream = artifact(&world, &task, "attempt-1/stream.ndjson");
    world.until("it is at work", || fs::read_to_string(&stream).ok()?.contains("again").then_some(()));
    watcher.murder();
    crate::kill_agent(&task);
    let _watcher = world.up("marie");
    let task = world.filed("marie/completed", "t");
    assert_eq!(
        (each(&task, "began"), &task["retry_count"]),
        (vec!["resumed", "resumed"], &json!(1)),
        "{task}"
    );
    assert_eq!(task["result"], old["attempts"][0]["cwd"]);
    let costs: f64 = attempts(&task).iter().filter_map(|it| it["cost_usd"].as_f64()).sum();
    assert!((costs - 0.25).abs() < 1e-9, "{task}");
    never_twice(&world);
}

#[test]
fn what_has_no_conversation_is_not_gone_on_with() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("marie/pending", "t", &json!({"type": "nowhere", "prompt": "x"}));
    world.filed("marie/failed", "t");
    let refused = world.agentctl(&["retry", "t", "--continue"]);
    assert_eq!(refused.status.code(), Some(69));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("no session") && said.contains("without --continue"), "{said}");
}
