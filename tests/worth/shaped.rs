//! An answer that has to be JSON, and tools that were denied and are only told.

use serde_json::{Value, json};

use crate::world::{World, json as read};
use crate::{of_run, starts};

fn submit(world: &World, name: &str, prompt: &str) {
    world.submit("marie/pending", name, &json!({"type": "asked", "prompt": format!("fake: {prompt}")}));
}

#[test]
fn an_answer_that_is_one_json_document_is_filed_as_that() {
    let world = World::new();
    world.pack("asked", "output = 'json'\n");
    let _watcher = world.up("marie");
    submit(&world, "t", r#"succeed text={"a": [1, 2]}"#);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], r#"{"a": [1, 2]}"#);
    let whole = std::fs::read_to_string(of_run(&world, &task, "output.txt")).unwrap();
    assert_eq!(whole, r#"{"a": [1, 2]}"#);
}

#[test]
fn what_is_no_json_is_e006_and_the_same_conversation_is_told_what_was_wrong() {
    let world = World::new();
    world.pack("asked", "output = 'json'\n");
    let _watcher = world.up("marie");
    submit(&world, "t", r#"succeed text=Here it is: {"a": 1} | succeed text={"a": 1}"#);
    let task = world.filed("marie/completed", "t");
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &task["result"]), (2, &json!(r#"{"a": 1}"#)));
    assert_eq!(attempts[0]["session_id"], attempts[1]["session_id"]);
    let reason = attempts[0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(
            "the answer has to be one JSON document, and is none: expected value at line 1 column 1"
        ),
        "{reason}"
    );
    let told: Vec<Value> = world.agent_log().into_iter().filter(|it| it["event"] == "message").collect();
    let second = told[1]["text"].as_str().unwrap();
    assert!(second.contains("the answer has to be one JSON document"), "{second}");
    // For good, it is the model's fault and not the task's.
    let prompt = json!({"type": "asked", "prompt": "fake: succeed text=no", "max_retries": 0});
    world.submit("marie/pending", "never", &prompt);
    assert_eq!(world.filed("marie/failed", "never")["error_code"], "E006");
}

#[test]
fn what_the_task_lacks_is_e002_and_a_schema_that_is_none_lets_its_tasks_wait() {
    let world = World::new();
    world.pack("asked", "output = 'json'\nprompt = 'Count {{input.of}}.'\n");
    let _watcher = world.up("marie");
    submit(&world, "t", "succeed text={}");
    assert_eq!(world.filed("marie/failed", "t")["error_code"], "E002");
    assert_eq!(starts(&world), 0);
    world.pack("asked", "json_schema = '[]'\n");
    let waits = || {
        let state = read(&world.root().join("workers/marie/state.json"))?;
        state["packs"][0].is_object().then(|| state["packs"][0].to_string())
    };
    let why = world.until("the pack is barred", waits);
    assert!(why.contains("is JSON, and no object"), "{why}");
    submit(&world, "waits", r#"succeed text={"a": 1}"#);
    world.pack("asked", "output = 'json'\n");
    assert_eq!(world.filed("marie/completed", "waits")["result"], r#"{"a": 1}"#);
}

#[test]
fn the_word_of_the_command_and_the_denied_tools_are_shown() {
    let world = World::new();
    world.pack("asked", "denied_tools = 'report'\nverify = ['true']\n");
    let _watcher = world.up("marie");
    submit(&world, "t", "denied tool=WebFetch; succeed text=done");
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["denied_tools"], json!(["WebFetch"]));
    let result = read(&of_run(&world, &task, "result.json")).unwrap();
    assert_eq!(result["denied_tools"], json!(["WebFetch"]));
    assert_eq!(result["verify"], json!({"passed": true, "exit": 0}));
    let shown = world.agentctl(&["show", "t"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("verified") && shown.contains("`true` passed, after"), "{shown}");
    assert!(shown.contains("denied tools") && shown.contains("WebFetch"), "{shown}");
    let data: Value = serde_json::from_slice(&world.agentctl(&["show", "t", "--json"]).stdout).unwrap();
    assert_eq!((&data["verify"]["passed"], &data["verify"]["command"]), (&json!(true), &json!(["true"])));
}
