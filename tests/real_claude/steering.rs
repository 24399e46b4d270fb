//! The real CLI is told something while it works, is interrupted, and says something itself.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use serde_json::{Value, json};

use crate::stub_api::Scenario;
use crate::world::PATIENCE;
use crate::{Real, attempts, charges, lines};

/// One line into the pipe of the agent that works on `task`.
fn say(real: &Real, task: &str, line: &str) {
    let pipe = real.world.root().join(format!("pipes/marie_{task}.in"));
    let mut pipe = real.world.until("its agent can hear", || {
        OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(&pipe).ok()
    });
    pipe.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The lines that the agent of an active task has printed, once they are as expected.
fn printed(real: &Real, task: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let task = real.world.active("marie", task, |task| task["run_id"].is_string());
    real.world.until(what, || {
        let stream = real
            .world
            .root()
            .join("artifacts")
            .join(task["run_id"].as_str()?)
            .join("attempt-1/stream.ndjson");
        lines(&fs::read_to_string(stream).ok()?).into_iter().find(|line| is(line))
    })
}

fn results(real: &Real, task: &Value) -> Vec<Value> {
    let mut all = lines(&real.artifact(task, "attempt-1/stream.ndjson"));
    all.retain(|line| line["type"] == "result");
    all
}

fn is_queued(line: &Value) -> bool {
    line["type"] == "command_lifecycle" && line["state"] == "queued"
}

#[test]
fn a_message_while_a_tool_works_steers_the_turn() {
    let Some(real) = Real::new(Scenario::Text(String::new())) else { return };
    let gate = real.world.home().join("gate");
    real.api.play(Scenario::bash_until(&gate.display().to_string()));
    let _watcher = real.up();
    real.world.submit("", "t", &json!({"prompt": "begin"}));
    printed(&real, "t", "the tool works", |line| line.to_string().contains("\"tool_use\""));
    say(&real, "t", "look at the other file too");
    printed(&real, "t", "the message is there", is_queued);
    fs::write(&gate, "").unwrap();
    let task = real.completed("t");
    assert_eq!(results(&real, &task).len(), 1, "one turn");
    let last = real.api.requests().pop().unwrap();
    assert_eq!(last.tool_results(), 1);
    assert!(
        last.body["messages"].to_string().contains("look at the other file too"),
        "{}",
        last.body["messages"]
    );
    real.history(&task, "told");
    assert_eq!((attempts(&task).len(), charges(&task)), (1, 0), "{task}");
}

#[test]
fn a_message_while_the_model_speaks_is_the_next_turn_and_its_answer_is_the_task_s() {
    let Some(real) = Real::new(Scenario::Gated("first".to_owned())) else { return };
    let watcher = real.up();
    real.world.submit("", "t", &json!({"prompt": "begin"}));
    assert!(real.api.wait_for_requests(1, PATIENCE), "{}", real.world.said());
    say(&real, "t", "and now the second");
    printed(&real, "t", "the message is there", is_queued);
    real.api.play(Scenario::Text("second".to_owned()));
    real.api.open_gate();
    let task = real.completed("t");
    assert_eq!(task["result"], "second", "{task}");
    assert_eq!(results(&real, &task).len(), 2);
    assert_eq!(real.api.requests()[1].last_text(), "and now the second");
    assert!(real.history(&task, "turn").contains("wait first"), "the answer before is kept");
    assert_eq!(real.artifact(&task, "output.txt").trim(), "second");
    real.only_the_watcher_is_left(&watcher);
}

#[test]
fn an_interrupt_with_a_text_ends_the_tool_and_goes_on() {
    let Some(real) = Real::new(Scenario::Text(String::new())) else { return };
    let gate = real.world.home().join("never");
    real.api.play(Scenario::bash_until(&gate.display().to_string()));
    let watcher = real.up();
    real.world.submit("", "t", &json!({"prompt": "begin"}));
    printed(&real, "t", "the tool works", |line| line.to_string().contains("\"tool_use\""));
    real.api.play(Scenario::Text("something else".to_owned()));
    say(&real, "t", r#"{"op":"interrupt","text":"leave that and do something else"}"#);
    let task = real.completed("t");
    assert_eq!(task["result"], "something else", "{task}");
    let results = results(&real, &task);
    assert_eq!(results[0]["terminal_reason"], "aborted_tools", "{}", results[0]);
    assert_eq!((results.len(), attempts(&task).len(), charges(&task)), (2, 1, 0));
    assert_eq!(real.api.requests().pop().unwrap().last_text(), "leave that and do something else");
    real.only_the_watcher_is_left(&watcher);
}

#[test]
fn an_interrupt_alone_holds_the_task_with_its_session() {
    let Some(real) = Real::new(Scenario::Gated("never said".to_owned())) else { return };
    let watcher = real.up();
    real.world.submit("", "t", &json!({"prompt": "the first word"}));
    assert!(real.api.wait_for_requests(1, PATIENCE), "{}", real.world.said());
    say(&real, "t", r#"{"op":"interrupt"}"#);
    let held = real.world.until("it is held", || {
        let task = real.world.filed("marie/pending", "t");
        task["held"].is_object().then_some(task)
    });
    assert_eq!((charges(&held), &attempts(&held)[0]["outcome"]), (0, &json!("interrupted")), "{held}");
    real.only_the_watcher_is_left(&watcher);
    real.api.play(Scenario::Text("the second word".to_owned()));
    // Its file is where it belongs a moment before its worker is done with it; until then a release is refused.
    real.world.until("it is released", || {
        let mut agentctl = real.world.command("agentctl");
        let release = agentctl.args(["--root", "shared", "release", "t"]).output().unwrap();
        release.status.success().then_some(())
    });
    let task = real.completed("t");
    assert_eq!(task["result"], "the second word");
    assert_eq!(attempts(&task)[0]["session_id"], attempts(&task)[1]["session_id"]);
    let last = real.api.requests().pop().unwrap();
    assert!(last.body["messages"].to_string().contains("the first word"));
}

#[test]
fn an_agent_hands_a_task_on_from_a_tool_of_its_own() {
    let Some(real) = Real::new(Scenario::Text(String::new())) else { return };
    let agentctl = real.world.program("agentctl");
    let command = format!(
        "{0} progress 'half done' && {0} submit 'say hello to marie' --priority 3",
        agentctl.display()
    );
    real.api.play(Scenario::bash(&command));
    let _watcher = real.up();
    real.world.submit("", "parent", &json!({"prompt": "begin"}));
    let parent = real.completed("parent");
    assert!(real.history(&parent, "handed_on").contains("inbox/say-hello-to-marie"));
    let child = real.world.until("its child has ended too", || {
        let done = real.world.root().join("tasks/marie/completed");
        let files = fs::read_dir(done).ok()?.flatten();
        files.filter_map(|file| crate::json(&file.path())).find(|task| task["parent_run"] == parent["run_id"])
    });
    assert_eq!((&child["depth"], &child["priority"]), (&json!(1), &Value::Null), "{child}");
    assert_eq!(child["prompt"], "say hello to marie");
}
