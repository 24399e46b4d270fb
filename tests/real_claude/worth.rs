//! What an answer of the real CLI is worth: a schema reaches it, what is no schema it refuses, and an agent whose work the
//! acceptance command refuses mends it in the same conversation.

use serde_json::{Value, json};

use crate::packs::pack;
use crate::stub_api::Scenario;
use crate::{Real, attempts};

const SCHEMA: &str = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;

fn shaped() -> Scenario {
    Scenario::Tool { name: "StructuredOutput".to_owned(), input: json!({"a": "yes"}) }
}

#[test]
fn an_answer_of_the_shape_that_was_asked_for_is_filed_as_json() {
    let Some(real) = Real::new(shaped()) else { return };
    // Where nothing is asked and little is allowed the answer may still be given.
    let text = format!("permission_mode = 'dontAsk'\nallowed_tools = ['Read']\njson_schema = '{SCHEMA}'\n");
    pack(&real, "asked", &text);
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"type": "asked", "prompt": "answer"}));
    let task = real.completed("t");
    let answer: Value = serde_json::from_str(task["result"].as_str().unwrap()).unwrap();
    assert_eq!(answer, json!({"a": "yes"}));
}

#[test]
fn an_answer_of_another_shape_is_e006_and_the_conversation_goes_on_until_it_fits() {
    let Some(real) = Real::new(Scenario::Text("I would rather not.".to_owned())) else { return };
    pack(&real, "asked", &format!("json_schema = '{SCHEMA}'\n"));
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"type": "asked", "prompt": "answer"}));
    let waits = real.world.until("the first answer failed", || {
        let task = crate::json(&real.world.root().join("tasks/marie/pending/t.json"))?;
        (task["error_code"] == "E006").then_some(task)
    });
    assert_eq!(waits["failure_reason"], "the model gave no answer of the shape that was asked for");
    real.api.play(shaped());
    let task = real.completed("t");
    let attempts = attempts(&task);
    assert!(attempts.len() > 1 && attempts[0]["charged"] == true, "{task}");
    assert_eq!(attempts[0]["session_id"], attempts[attempts.len() - 1]["session_id"]);
    assert_eq!(task["result"], r#"{"a":"yes"}"#);
}

#[test]
fn an_answer_that_does_not_fit_its_schema_is_not_taken() {
    let input = json!({"a": 1});
    let Some(real) = Real::new(Scenario::Tool { name: "StructuredOutput".to_owned(), input }) else { return };
    pack(&real, "asked", &format!("json_schema = '{SCHEMA}'\nmax_retries = 0\n"));
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"type": "asked", "prompt": "answer"}));
    let task = real.failed("t");
    assert_eq!(task["error_code"], "E006", "{task}");
}

#[test]
fn what_is_no_schema_is_the_pack_s_mistake_and_its_tasks_wait_uncharged() {
    let Some(real) = Real::new(shaped()) else { return };
    pack(&real, "asked", "json_schema = '{\"type\": \"nonsense\"}'\n");
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"type": "asked", "prompt": "answer"}));
    let why = real.world.until("the pack is barred", || {
        let state = crate::json(&real.world.root().join("workers/marie/state.json"))?;
        state["packs"][0].is_object().then(|| state["packs"][0].to_string())
    });
    assert!(why.contains("not a valid JSON Schema") && why.contains("packs/asked.toml"), "{why}");
    pack(&real, "asked", &format!("json_schema = '{SCHEMA}'\n"));
    let task = real.completed("t");
    assert_eq!(task["retry_count"], 0, "{task}");
    assert!(attempts(&task).iter().all(|it| it["charged"] == false), "{task}");
}

#[test]
fn work_that_the_acceptance_command_refuses_is_mended_in_the_same_conversation() {
    let Some(real) = Real::new(Scenario::Text("done".to_owned())) else { return };
    pack(&real, "checked", "verify = ['test', '-s', 'mended.txt']\n");
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"type": "checked", "prompt": "mend it"}));
    let waits = real.world.until("the first answer failed", || {
        let task = crate::json(&real.world.root().join("tasks/marie/pending/t.json"))?;
        (task["error_code"] == "E006").then_some(task)
    });
    let workspace = real.world.root().join("workspaces").join(waits["run_id"].as_str().unwrap());
    real.api.play(Scenario::write_file(workspace.join("mended.txt").to_str().unwrap(), "yes\n"));
    let task = real.completed("t");
    let sessions: Vec<&Value> = attempts(&task).iter().map(|it| &it["session_id"]).collect();
    assert!(sessions.len() > 1 && sessions.windows(2).all(|two| two[0] == two[1]), "{task}");
    let told = |it: &crate::stub_api::Request| it.last_text().contains("Your answer does not count yet");
    assert!(real.api.requests().iter().any(told), "it is told why it goes on");
}
