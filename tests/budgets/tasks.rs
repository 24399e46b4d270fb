//! What one task may use, over all its attempts.

use std::fs;

use serde_json::{Value, json};

use crate::state;
use crate::world::World;

fn outcomes(task: &Value) -> Vec<&str> {
    task["attempts"].as_array().unwrap().iter().filter_map(|it| it["outcome"].as_str()).collect()
}

fn reason(task: &Value) -> &str {
    task["failure_reason"].as_str().unwrap_or_default()
}

/// What each agent was given to spend, in the order of their starts.
fn given(world: &World) -> Vec<String> {
    let starts = world.agent_log().into_iter().filter(|line| line["event"] == "start");
    let given = starts.map(|line| {
        let args: Vec<String> = serde_json::from_value(line["args"].clone()).unwrap();
        let at = args.iter().position(|it| it == "--max-budget-usd").unwrap();
        args[at + 1].clone()
    });
    given.collect()
}

/// A turn that ended badly, after the session has cost so much in all.
fn failed_at(usd: f64, more: &str) -> String {
    format!(
        r#"raw text={{"type":"result","subtype":"success","is_error":true,"terminal_reason":"api_error","result":"x","total_cost_usd":{usd}{more}}}\n; exit code=1"#
    )
}

#[test]
fn a_run_that_uses_more_tokens_than_it_may_is_ended_in_the_middle_of_its_turn() {
    let world = World::new();
    let _watcher = world.up("marie");
    let spends = "fake: use in=400 out=50; use in=400 out=50; use in=400 out=50; hang";
    world.submit("marie/pending", "big", &json!({"prompt": spends, "max_tokens": 1000}));
    let modest = "fake: use in=400 out=50; succeed";
    world.submit("marie/pending", "small", &json!({"prompt": modest, "max_tokens": 1050}));
    let task = world.filed("marie/failed", "big");
    assert_eq!((&task["error_code"], &task["state"]), (&json!("E004"), &json!("FAILED")), "{task}");
    assert!(reason(&task).contains("it used 1350 tokens of the 1000 it may"), "{task}");
    assert_eq!(outcomes(&task), ["failed"], "it is not tried again: {task}");
    let task = world.filed("marie/completed", "small");
    assert_eq!(task["attempts"][0]["tokens"]["input"], 1000, "the end of a turn says what it used: {task}");
}

#[test]
fn the_tokens_of_a_killed_agent_count_and_a_task_that_used_up_its_own_is_not_started_again() {
    let world = World::new();
    world.pack("thrifty", "max_tokens = 1000\n");
    let _watcher = world.up("marie");
    let dies = "fake: use in=600 out=50; die | use in=300 out=50; die | succeed";
    world.submit("marie/pending", "t", &json!({"type": "thrifty", "prompt": dies, "max_tokens": 900_000}));
    let task = world.filed("marie/failed", "t");
    assert_eq!(outcomes(&task), ["crashed", "crashed", "failed"], "{task}");
    let tokens =
        |n: usize| (&task["attempts"][n]["tokens"]["input"], &task["attempts"][n]["tokens"]["output"]);
    assert_eq!((tokens(0), tokens(1)), ((&json!(600), &json!(50)), (&json!(300), &json!(50))), "{task}");
    assert_eq!(task["error_code"], "E004", "{task}");
    assert!(reason(&task).contains("it used 1000 tokens of the 1000 it may"), "{task}");
    assert_eq!(given_starts(&world), 2, "nothing was spawned for the third");
    let run = task["run_id"].as_str().unwrap();
    let result = crate::world::json(&world.root().join(format!("artifacts/{run}/result.json"))).unwrap();
    assert_eq!(result["tokens"]["input"], 900, "{result}");
}

fn given_starts(world: &World) -> usize {
    world.agent_log().iter().filter(|line| line["event"] == "start").count()
}

#[test]
fn a_session_that_goes_on_is_counted_once_and_a_task_that_cost_all_it_may_is_not_started_again() {
    let world = World::new();
    let _watcher = world.up("marie");
    let prompt = format!("fake: {} | {} | succeed", failed_at(0.4, ""), failed_at(0.75, ""));
    world.submit("marie/pending", "t", &json!({"prompt": prompt, "max_cost_usd": 0.75}));
    let task = world.filed("marie/failed", "t");
    assert_eq!(task["attempts"][0]["cost_usd"], 0.4, "{task}");
    assert_eq!(task["attempts"][1]["cost_usd"], 0.35, "what the session had cost before is not its: {task}");
    assert_eq!((outcomes(&task).len(), &task["error_code"]), (3, &json!("E004")), "{task}");
    assert!(reason(&task).contains("it cost $0.7500 of the $0.75 it may"), "{task}");
    assert_eq!(given(&world), ["0.75", "0.35"], "the CLI counts its own process, and was not started again");
}

#[test]
fn a_session_that_begins_anew_gets_what_is_left() {
    let world = World::new();
    let watcher = world.up("marie");
    let limited = failed_at(0.4, r#","api_error_status":429"#);
    world.submit("marie/pending", "t", &json!({"prompt": format!("fake: {limited}"), "max_cost_usd": 0.6}));
    state(&world, "marie", |it| it["hold"]["cause"] == "rate_limit");
    assert_eq!(watcher.stop(), 0);
    // Its conversation is lost, and the one that begins is another.
    fs::remove_dir_all(world.home().join(".claude")).unwrap();
    let path = world.root().join("tasks/marie/pending/t.json");
    let mut task = crate::world::json(&path).unwrap();
    task["prompt"] = json!("fake: cost usd=0.1; succeed");
    fs::write(&path, task.to_string()).unwrap();
    assert!(world.agentctl(&["limits", "--clear"]).status.success());
    let _watcher = world.up("marie");
    let task = world.filed("marie/completed", "t");
    assert_eq!(given(&world), ["0.6", "0.2"], "{task}");
    assert_eq!(task["attempts"][1]["cost_usd"], 0.1, "it counts from nothing: {task}");
}
