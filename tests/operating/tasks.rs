//! Tasks that fail, wait, are many, or are none.

use std::fs;

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::traces;

pub(crate) const MANY_FAIL: &[&str] = &["Many tasks fail"];
pub(crate) const FAILED: &[&str] = &["A task failed"];
pub(crate) const NO_TASK: &[&str] = &["What was dropped is no task"];
pub(crate) const WAITS: &[&str] = &["A task waits"];
pub(crate) const DEEP: &[&str] = &["The queue is deep"];
pub(crate) const SILENT: &[&str] = &["The agent is silent"];

/// A task that fails with E006 in its first life and does well in the next.
fn fails_once(stage: &Stage, name: &str) {
    let file = stage.world().path().join(format!("mended-{name}"));
    let check = format!("verify = [\"test\", \"-e\", \"{}\"]\n", file.display());
    stage.world().pack("review", &check);
    stage.world().submit(
        "marie/pending",
        name,
        &json!({"type": "review", "prompt": "fake: succeed text=done", "max_retries": 0}),
    );
    let task = stage.world().filed("marie/failed", name);
    assert_eq!(task["error_code"], "E006", "{task}");
    fs::write(file, "").unwrap();
}

#[test]
fn what_failed_for_one_cause_is_tried_again_at_once() {
    let Some(stage) = Stage::at_work(MANY_FAIL, &[]) else { return };
    fails_once(&stage, "T");
    stage.types("agentctl list --state failed").tells(&["T", "E006"]);
    stage.types("agentctl why T").tells(&["the acceptance command"]);
    stage.types("agentctl pack disable review").tells(&[]);
    stage.world().until("she has seen that", || {
        let metrics = stage.says("curl -s http://127.0.0.1:9091/metrics").out;
        metrics.contains(r#"agent_worker_pack_available{pack="review"} 0"#).then_some(())
    });
    stage.types("agentctl retry --error-code E006 --failed-since 2h --yes").tells(&["T"]);
    stage
        .world()
        .until("it waits for its pack", || (stage.world().homes("T") == ["marie/pending"]).then_some(()));
    stage.says("agentctl why T").tells(&["review", "disable"]);
    stage.says("agentctl pack enable review").tells(&[]);
    assert_eq!(stage.world().filed("marie/completed", "T")["retry_count"], 0);
    stage.done();
    stage.host.stop();
}

#[test]
fn one_that_failed_says_why_and_begins_a_new_life() {
    let Some(stage) = Stage::at_work(FAILED, &[]) else { return };
    fails_once(&stage, "T");
    let first = stage.world().filed("marie/failed", "T")["run_id"].clone();
    stage.types("jq . /shared/tasks/marie/failed/T.json.reason").tells(&["E006", "the acceptance command"]);
    stage.types("agentctl show T").tells(&["E006", "verify.log"]);
    stage.types("agentctl logs T").tells(&["done"]);
    stage.types("agentctl why T").tells(&["failed"]);
    stage.types("agentctl retry T").tells(&["T"]);
    assert_ne!(stage.world().filed("marie/completed", "T")["run_id"], first, "a new life");
    fs::remove_file(stage.world().path().join("mended-T")).unwrap();
    stage.forgets();
    fails_once(&stage, "T");
    stage.types("mv /shared/tasks/marie/failed/T.json /shared/tasks/marie/pending/").tells(&[]);
    assert_eq!(stage.world().filed("marie/completed", "T")["retry_count"], 0);
    stage.done();
    stage.host.stop();
}

#[test]
fn what_is_no_task_says_what_is_wrong_with_it() {
    let Some(stage) = Stage::at_work(NO_TASK, &[]) else { return };
    let wrong = r#"{"prompt": "hello", "priority": "high"}"#;
    stage.says(&format!("echo '{wrong}' > /shared/tasks/marie/pending/T.json"));
    stage.world().until("it is filed", || {
        stage.world().root().join("tasks/marie/failed/T.json").exists().then_some(())
    });
    stage.types("jq . /shared/tasks/marie/failed/T.json.reason").tells(&["E002", "priority"]);
    assert_eq!(
        fs::read_to_string(stage.world().root().join("tasks/marie/failed/T.json")).unwrap().trim(),
        wrong
    );
    fs::write(stage.desk().join("T.json"), wrong).unwrap();
    stage.types("agentctl submit --file T.json").ends(65, &["priority"]);
    fs::write(stage.desk().join("T.json"), r#"{"prompt": "fake: succeed text=whole", "worker": "marie"}"#)
        .unwrap();
    let name = stage.says("agentctl submit --file T.json").tells(&[]).out.trim().to_owned();
    stage.says(&format!("agentctl wait {name}")).tells(&[]);
    stage.types_until("supervisor up", |said| said.contains("supervisor"));
    stage.done();
    stage.host.stop();
}

#[test]
fn one_that_waits_says_for_what_and_is_let_go() {
    let Some(stage) = Stage::at_work(WAITS, &[]) else { return };
    // It fails once, while no new task is begun; so it waits for its next try, is held, and its worker is paused.
    let gate = stage.runs("fail error | succeed text=let go");
    stage.says("agentctl pause marie").tells(&[]);
    traces::open(&gate);
    let path = stage.world().root().join("tasks/marie/pending/T.json");
    let task = stage
        .world()
        .until("it is back", || crate::world::json(&path).filter(|it| it["retry_at"].is_string()));
    let text = fs::read_to_string(&path).unwrap();
    // As far away as a pause may be.
    let far = (jiff::Timestamp::now() + std::time::Duration::from_secs(59)).to_string();
    let late = text.replace(task["retry_at"].as_str().unwrap(), &far);
    let beside = path.with_extension("tmp");
    fs::write(&beside, late).unwrap();
    fs::rename(beside, &path).unwrap();
    stage.says("agentctl hold T").tells(&[]);
    stage.types("agentctl why T").tells(&["held", "paused"]);
    stage.types("agentctl list --sort age").tells(&["T"]);
    stage.types("agentctl release T").tells(&[]);
    stage.types("agentctl resume marie").tells(&[]);
    let still = crate::world::json(&path).unwrap_or(Value::Null);
    assert_eq!(still["retry_at"], far.as_str(), "it waits for its next try: {still}");
    stage.types("agentctl retry T").tells(&[]);
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "let go");
    stage.done();
    stage.host.stop();
}

#[test]
fn a_deep_queue_is_counted() {
    let Some(stage) = Stage::at_work(DEEP, &["--concurrency", "1"]) else { return };
    let gate = stage.runs("succeed");
    for n in 0..20 {
        stage.world().submit("marie/pending", &format!("t{n:02}"), &json!({"prompt": "fake: succeed"}));
    }
    stage
        .world()
        .until("they are counted", || stage.types("agentctl status").out.contains("20").then_some(()));
    stage.types("agentctl limits").tells(&["left"]);
    assert_eq!(stage.types("ls /shared/tasks/marie/pending | wc -l").out.trim(), "20");
    traces::open(&gate);
    stage.done();
    stage.host.stop();
}

#[test]
fn a_silent_agent_is_looked_at_steered_and_ended() {
    let Some(stage) = Stage::at_work(SILENT, &[]) else { return };
    stage.drops("say text=it begins; steer; hang");
    stage.begun(1);
    stage.types("agentctl status").tells(&["LAST SIGN", "T"]);
    stage.types("agentctl show T").tells(&["RUNNING"]);
    stage.world().until("what it said can be read", || {
        stage.types("agentctl logs T").out.contains("it begins").then_some(())
    });
    stage.types("agentctl tell T 'use the other database'").tells(&[]);
    stage.world().until("it has heard that", || {
        stage.says("agentctl logs T").out.contains("steered: use the other database").then_some(())
    });
    stage.types("agentctl interrupt T 'leave that, do this'").tells(&[]);
    let task = stage.world().filed("marie/completed", "T");
    assert_eq!(task["result"], "heard: leave that, do this", "{task}");
    stage.drops("hang stubborn");
    stage.begun(2);
    stage.types("agentctl cancel T --yes --reason 'not needed'").tells(&["T"]);
    let task = stage.world().filed("marie/cancelled", "T");
    assert!(task["failure_reason"].as_str().unwrap().contains("not needed"), "{task}");
    stage.done();
    stage.host.stop();
}
