//! What is too much: time, silence, output; and output that is no conversation.

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

use serde_json::json;
use sight::{agent, lives, logged, reason};
use world::{Started, World};

fn up_with(world: &World, args: &[&str]) -> Started {
    let started = world.start(world.watcher("marie").args(args), "marie");
    world.at_work("marie", &started);
    started
}

#[test]
fn a_run_that_takes_too_long_is_interrupted() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "0"]);
    world.submit("", "slow", &json!({"prompt": "fake: hang", "timeout_s": 1}));
    let task = world.filed("marie/failed", "slow");
    assert_eq!((&task["state"], &task["error_code"]), (&json!("TIMEOUT"), &json!("E003")), "{task}");
    assert_eq!(reason(&world, "marie", "slow")["error_code"], "E003");
    assert_eq!(world.agent_log().last().unwrap()["event"], "end", "it was asked, and ended by itself");
    assert_eq!(logged(&world, "marie", "Execution time: ").len(), 2, "people were warned twice");
}

#[test]
fn a_run_that_does_not_hear_is_killed() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "0"]);
    world.submit("", "deaf", &json!({"prompt": "fake: ignore-term; hang stubborn", "timeout_s": 1}));
    let pid = agent(&world, "deaf");
    let began = Instant::now();
    let task = world.filed("marie/failed", "deaf");
    assert_eq!((&task["state"], &task["error_code"]), (&json!("TIMEOUT"), &json!("E003")), "{task}");
    assert!(!lives(pid));
    assert!(began.elapsed() < Duration::from_secs(16), "{:?}", began.elapsed());
}

#[test]
fn a_timeout_is_charged_and_tried_again_in_the_same_session() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: hang | succeed text=second", "timeout_s": 1}));
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "second");
    assert_eq!(task["attempts"][0]["charged"], true, "{task}");
    assert_eq!(sight::events(&world, "start", "t")[1]["mode"], "resume");
}

#[test]
fn a_silent_tool_ends_a_run() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "0", "--idle-timeout", "1"]);
    world.submit("", "silent", &json!({"prompt": "fake: tool name=Bash text=make; hang"}));
    let task = world.filed("marie/failed", "silent");
    assert_eq!((&task["error_code"], &task["state"]), (&json!("E003"), &json!("TIMEOUT")), "{task}");
    assert!(task["failure_reason"].as_str().is_some_and(|it| it.contains("Bash")), "{task}");
}

#[test]
fn a_silent_api_is_no_fault_of_the_task() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "0", "--idle-timeout", "1", "--concurrency", "1"]);
    world.submit("", "silent", &json!({"prompt": "fake: say text=hello; hang"}));
    let task = world.filed("marie/pending", "silent");
    assert_eq!(
        (&task["attempts"][0]["charged"], &task["state"]),
        (&json!(false), &json!("PENDING")),
        "{task}"
    );
    // If it was the task after all, the others do not wait behind it.
    world.submit("", "other", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "other");
}

#[test]
fn an_agent_that_hangs_after_its_answer_has_answered() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: result text=answer; ignore-term; hang stubborn"}));
    let pid = agent(&world, "t");
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["state"], &task["result"]), (&json!("COMPLETED"), &json!("answer")));
    assert!(!lives(pid));
}

#[test]
fn an_agent_that_dies_after_its_answer_has_answered() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: result text=answer; die"}));
    assert_eq!(world.filed("marie/completed", "t")["result"], "answer");
}

#[test]
fn much_output_costs_no_memory() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("", "flood", &json!({"prompt": "fake: flood n=2000 bytes=100000; succeed text=dry"}));
    world.submit("", "line", &json!({"prompt": "fake: line bytes=20000000; succeed text=end"}));
    assert_eq!(world.filed("marie/completed", "line")["result"], "end");
    assert_eq!(world.filed("marie/completed", "flood")["result"], "dry");
    let peak = sight::status(watcher.pid(), "VmHWM").unwrap();
    let kib: u64 = peak.trim_end_matches(" kB").trim().parse().unwrap();
    assert!(kib < 64 * 1024, "{peak} at the peak");
}

#[test]
fn what_is_no_conversation_is_passed_over() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: bad-utf8; garbage; stderr text=hm; succeed text=fine"}));
    assert_eq!(world.filed("marie/completed", "t")["result"], "fine");
}

#[test]
fn without_an_answer_nothing_succeeded() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "0"]);
    world.submit("", "quiet", &json!({"prompt": "fake: say text=hello; exit code=0"}));
    world.submit("", "torn", &json!({"prompt": "fake: tear"}));
    world.submit("", "dead", &json!({"prompt": "fake: die signal=6"}));
    for name in ["quiet", "torn", "dead"] {
        let task = world.filed("marie/failed", name);
        assert_eq!(task["state"], "FAILED", "{task}");
        assert_eq!(task["retry_count"], 1, "{task}");
    }
}
