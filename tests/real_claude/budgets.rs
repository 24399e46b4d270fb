//! What a task used and cost, as the real CLI tells it while it works, when it is interrupted, and after a resume.

use serde_json::{Value, json};

use crate::stub_api::Scenario;
use crate::world::PATIENCE;
use crate::{Real, attempts, lines, outcomes};

fn looped() -> Scenario {
    Scenario::ToolLoop { name: "Bash".to_owned(), input: json!({"command": "echo again"}) }
}

fn usd(value: &Value) -> f64 {
    value["cost_usd"].as_f64().unwrap_or(0.0)
}

/// What the session had cost when the attempt's last turn ended.
fn total(real: &Real, task: &Value, attempt: usize) -> f64 {
    let stream = lines(&real.artifact(task, &format!("attempt-{attempt}/stream.ndjson")));
    let last = stream.iter().rfind(|line| line["type"] == "result").unwrap();
    last["total_cost_usd"].as_f64().unwrap()
}

/// Begins a task whose first command runs until nobody knows when, and stops the watcher in its middle.
fn stopped_in_a_command(real: &Real, task: &Value) {
    let begun = real.world.home().join("begun");
    let command = format!("touch {}; until false; do sleep 0.05; done", begun.display());
    real.api.play(Scenario::bash(&command));
    let watcher = real.up();
    real.world.submit("marie/pending", "t", task);
    assert!(real.api.wait_for_requests(1, PATIENCE), "{}", real.world.said());
    real.world.until("the command runs", || begun.exists().then_some(()));
    assert_eq!(watcher.stop(), 0);
    let task = real.world.filed("marie/pending", "t");
    assert!(usd(&attempts(&task)[0]) > 0.0, "{task}");
}

#[test]
fn more_tokens_than_allowed_end_the_run_in_the_middle() {
    let Some(real) = Real::new(looped()) else { return };
    let watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"prompt": "go round", "max_tokens": 5000}));
    let task = real.failed("t");
    assert_eq!((&task["error_code"], outcomes(&task)), (&json!("E004"), vec!["failed"]), "{task}");
    let reason = task["failure_reason"].as_str().unwrap();
    assert!(reason.contains("tokens of the 5000 it may"), "{reason}");
    // A request more may have been sent before the interrupt was heard.
    let used: u64 = reason.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(
        (5001..8000).contains(&used) && (5..9).contains(&real.api.count()),
        "{used} {}",
        real.api.count()
    );
    let tokens = &attempts(&task)[0]["tokens"];
    let told = tokens["input"].as_u64().unwrap() + tokens["output"].as_u64().unwrap();
    assert!(told >= used, "{task}");
    real.only_the_watcher_is_left(&watcher);
}

#[test]
fn what_a_session_cost_before_it_was_resumed_is_counted_once() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    stopped_in_a_command(&real, &json!({"prompt": "the first word"}));
    real.api.play(Scenario::Text("the second word".to_owned()));
    let _watcher = real.up();
    let task = real.completed("t");
    let (first, second) = (usd(&attempts(&task)[0]), usd(&attempts(&task)[1]));
    assert_eq!(outcomes(&task), ["interrupted", "completed"], "{task}");
    assert!(first > 0.0 && second > 0.0, "{task}");
    assert!((first + second - total(&real, &task, 2)).abs() < 1e-9, "{task}");
    let told = real.world.agentctl(&["budget", "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let marie = told.as_array().unwrap().iter().find(|it| it["name"] == "marie").unwrap();
    assert!((marie["usd_last_day"].as_f64().unwrap() - first - second).abs() < 2e-6, "{marie} {task}");
}

#[test]
fn the_limit_of_costs_goes_on_over_a_resume() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    // A request costs about half a cent here: one was paid for before the stop, and one more reaches the limit.
    stopped_in_a_command(&real, &json!({"prompt": "the first word", "max_cost_usd": 0.006}));
    let before = real.api.count();
    real.api.play(looped());
    let _watcher = real.up();
    let task = real.failed("t");
    assert_eq!(task["error_code"], "E004", "{task}");
    assert_eq!(real.api.count() - before, 1, "{task:#}\n{}", real.artifact(&task, "attempt-2/stream.ndjson"));
}
