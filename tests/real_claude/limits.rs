//! What a run may not exceed, and what it may not leave behind.

use serde_json::json;

use crate::stub_api::Scenario;
use crate::{Real, outcomes};

#[test]
fn a_call_that_hangs_is_ended_by_the_time_limit() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let watcher = real.up();
    real.world.submit("marie/pending", "hang", &json!({"prompt": "wait", "timeout_s": 3, "max_retries": 0}));
    let path = real.world.root().join("tasks/marie/failed/hang.json");
    let task = real.world.within("marie", 3 + 15, "it is filed", || crate::world::json(&path));
    assert_eq!((&task["state"], &task["error_code"]), (&json!("TIMEOUT"), &json!("E003")), "{task}");
    real.only_the_watcher_is_left(&watcher);
}

#[test]
fn a_command_that_is_silent_for_too_long_is_the_fault_of_the_task() {
    let Some(real) = Real::new(Scenario::bash_until("/nonexistent/gate")) else { return };
    // The CLI needs a second before it says its first word, and on a busy machine ten.
    let _watcher = real.start(real.watcher().args(["--idle-timeout", "12s", "--max-retries", "0"]));
    real.world.submit("marie/pending", "mute", &json!({"prompt": "wait for it"}));
    let task = real.failed("mute");
    assert_eq!(task["error_code"], "E003", "{task}");
    assert!(task["failure_reason"].as_str().unwrap().contains("the tool Bash was at work"), "{task}");
}

#[test]
fn a_timeout_is_tried_again_in_the_same_conversation() {
    let Some(real) = Real::new(Scenario::Gated("done".to_owned())) else { return };
    let _watcher = real.up();
    // Long enough for a busy machine to start the CLI twice.
    real.world.submit("marie/pending", "slow", &json!({"prompt": "take your time", "timeout_s": 12}));
    assert!(real.api.wait_for_requests(2, crate::world::PATIENCE), "{}", real.world.said());
    real.api.open_gate();
    let task = real.completed("slow");
    assert_eq!(outcomes(&task), ["timed_out", "completed"]);
    assert_eq!(task["retry_count"], 1);
    let second = &real.api.requests()[1];
    assert!(second.body["messages"].to_string().contains("take your time"), "{}", second.body["messages"]);
}

#[test]
fn more_turns_than_allowed_fail_the_task_for_good() {
    let looped = Scenario::ToolLoop { name: "Bash".to_owned(), input: json!({"command": "echo again"}) };
    let Some(real) = Real::new(looped) else { return };
    let _watcher = real.up();
    real.world.submit("marie/pending", "turns", &json!({"prompt": "go round", "max_turns": 2}));
    let task = real.failed("turns");
    assert_eq!((&task["state"], &task["error_code"]), (&json!("FAILED"), &json!("E004")), "{task}");
    assert_eq!(real.api.count(), 2);
}

#[test]
fn more_money_than_allowed_fails_the_task_for_good() {
    let looped = Scenario::ToolLoop { name: "Bash".to_owned(), input: json!({"command": "echo again"}) };
    let Some(real) = Real::new(looped) else { return };
    let _watcher = real.up();
    real.world.submit("marie/pending", "dear", &json!({"prompt": "go round", "max_cost_usd": 0.01}));
    let task = real.failed("dear");
    assert_eq!(task["error_code"], "E004", "{task}");
    assert!(task["failure_reason"].as_str().unwrap().contains("cost"), "{task}");
}

#[test]
fn what_a_command_leaves_running_is_gone_when_the_task_is() {
    let left = "setsid sleep 300 >/dev/null 2>&1 </dev/null & \
                (setsid setsid env -i sleep 300 >/dev/null 2>&1 </dev/null &) ; echo left";
    let Some(real) = Real::new(Scenario::bash(left)) else { return };
    let watcher = real.up();
    real.world.submit("marie/pending", "litter", &json!({"prompt": "leave something"}));
    let task = real.completed("litter");
    assert_eq!(task["result"], "All done.");
    real.only_the_watcher_is_left(&watcher);
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", watcher.pid())).unwrap();
    assert_eq!(children.trim(), "", "one that shed its environment came to the watcher and is gone as well");
    assert_eq!(watcher.stop(), 0);
}
