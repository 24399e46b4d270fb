//! Watchers and agents that die or are stopped in the middle: the work goes on, and is not done twice.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::stub_api::Scenario;
use crate::world::PATIENCE;
use crate::{Real, attempts, charges, lines, outcomes};

/// Starts a task and waits until the API was asked and the file says who works.
fn at_work(real: &Real, name: &str) -> Value {
    real.world.submit("marie/pending", name, &json!({"prompt": "the first word"}));
    assert!(real.api.wait_for_requests(1, PATIENCE), "{}", real.world.said());
    real.world.active("marie", name, |task| task["attempts"][0]["pid"].is_number())
}

#[test]
fn an_agent_whose_watcher_was_killed_is_adopted_and_asks_the_api_once() {
    let Some(real) = Real::new(Scenario::Gated("in the end".to_owned())) else { return };
    let first = real.up();
    let before = at_work(&real, "kept");
    first.murder();
    let second = real.up();
    real.state("the run is taken up", |it| it["running"][0]["task"] == "kept" || it["active_tasks"] == 1);
    assert_eq!(real.world.homes("kept"), ["marie/active"]);
    real.api.open_gate();
    let task = real.completed("kept");
    assert_eq!(task["result"], "wait in the end");
    assert_eq!(real.api.count(), 1, "the answer is paid for once");
    assert_eq!((attempts(&task).len(), charges(&task)), (1, 0), "{task}");
    assert_eq!(task["attempts"][0]["pid"], before["attempts"][0]["pid"]);
    assert!(attempts(&task)[0]["cost_usd"].as_f64().is_some_and(|usd| usd > 0.0), "{task}");
    real.history(&task, "adopted");
    real.only_the_watcher_is_left(&second);
}

#[test]
fn an_agent_that_finished_while_nobody_watched_is_filed_and_not_run_again() {
    let Some(real) = Real::new(Scenario::Gated("alone".to_owned())) else { return };
    let first = real.up();
    at_work(&real, "alone");
    first.murder();
    real.api.open_gate();
    real.world.until("the agent is gone", || real.world.processes().is_empty().then_some(()));
    let _second = real.up();
    let task = real.completed("alone");
    assert_eq!((&task["result"], real.api.count()), (&json!("wait alone"), 1));
    assert_eq!(charges(&task), 0);
}

#[test]
fn when_both_were_killed_the_conversation_goes_on() {
    let Some(real) = Real::new(Scenario::Gated("never said".to_owned())) else { return };
    let first = real.up();
    let before = at_work(&real, "both");
    let agent = before["attempts"][0]["pid"].as_i64().unwrap();
    first.murder();
    kill(Pid::from_raw(i32::try_from(agent).unwrap()), Signal::SIGKILL).unwrap();
    real.world.until("the agent is gone", || real.world.processes().is_empty().then_some(()));
    real.api.play(Scenario::Text("the second word".to_owned()));
    let _second = real.up();
    let task = real.completed("both");
    assert_eq!(task["result"], "the second word");
    assert_eq!((outcomes(&task), charges(&task)), (vec!["crashed", "completed"], 1), "{task}");
    assert_eq!(attempts(&task)[0]["session_id"], attempts(&task)[1]["session_id"]);
    let second = real.api.requests().pop().unwrap();
    assert!(second.body["messages"].to_string().contains("the first word"), "{}", second.body["messages"]);
    let stream = lines(&real.artifact(&task, "attempt-2/stream.ndjson"));
    let init = stream.iter().find(|line| line["subtype"] == "init").unwrap();
    assert_eq!(init["session_id"], attempts(&task)[0]["session_id"]);
    assert!(task["last_failure"].as_f64().is_some(), "{task}");
}

#[test]
fn a_stop_in_the_middle_of_a_command_puts_the_task_back_and_the_next_start_resumes_it() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let (begun, gate) = (real.world.home().join("begun"), real.world.home().join("gate"));
    let command = format!("touch {}; until [ -e {} ]; do sleep 0.05; done", begun.display(), gate.display());
    real.api.play(Scenario::bash(&command));
    let first = real.up();
    at_work(&real, "stopped");
    real.world.until("the command runs", || begun.exists().then_some(()));
    assert_eq!(first.stop(), 0);
    assert!(real.world.processes().is_empty(), "nothing is left: {:?}", real.world.processes());
    let task = real.world.filed("marie/pending", "stopped");
    assert_eq!(
        (real.world.homes("stopped"), charges(&task)),
        (vec!["marie/pending".to_owned()], 0),
        "{task}"
    );
    assert_eq!(outcomes(&task), ["interrupted"]);
    let state = fs::read_to_string(real.world.root().join("workers/marie/state.json")).unwrap();
    assert!(state.contains("\"stopped\""), "{state}");

    real.api.play(Scenario::Text("resumed".to_owned()));
    let _second = real.up();
    let task = real.completed("stopped");
    assert_eq!((&task["result"], charges(&task)), (&json!("resumed"), 0));
    assert_eq!(attempts(&task)[0]["session_id"], attempts(&task)[1]["session_id"]);
    let last = real.api.requests().pop().unwrap().body["messages"].to_string();
    assert!(last.contains("the first word") && last.contains("begun"), "{last}");
}

#[test]
fn an_agent_that_alone_is_killed_is_resumed_at_once() {
    let Some(real) = Real::new(Scenario::Gated("never said".to_owned())) else { return };
    let _watcher = real.up();
    let before = at_work(&real, "shot");
    real.api.play(Scenario::Text("again".to_owned()));
    let agent = before["attempts"][0]["pid"].as_i64().unwrap();
    kill(Pid::from_raw(i32::try_from(agent).unwrap()), Signal::SIGKILL).unwrap();
    let task = real.completed("shot");
    assert_eq!((outcomes(&task), charges(&task)), (vec!["crashed", "completed"], 1), "{task}");
    assert_eq!(attempts(&task)[0]["session_id"], attempts(&task)[1]["session_id"]);
}
