//! What is changed by hand: tasks, settings, agents, workers; and the batches of a gradual resume.

use std::fs;

use serde_json::json;

use crate::stage::Stage;
use crate::traces;

pub(crate) const STOPPED: &[&str] = &["The gradual resume stopped"];
pub(crate) const PIPE: &[&str] = &["The pipe does not answer"];
pub(crate) const MAINTENANCE: &[&str] = &["Maintenance"];
pub(crate) const CHANGES: &[&str] = &["Changing things", "Changing settings"];
pub(crate) const STEERS: &[&str] = &["To steer an agent"];
pub(crate) const RESUMES: &[&str] = &["A gradual resume"];

/// Tasks that wait for marie while nobody works, oldest first.
fn backlog(stage: &Stage, names: &[&str], task: &serde_json::Value) {
    for name in names {
        stage.world().submit("marie/pending", name, task);
    }
}

#[test]
fn a_gradual_resume_that_stopped_waits_for_a_hand() {
    let Some(stage) = Stage::at_work(STOPPED, &[]) else { return };
    stage.says("agentctl pause marie").tells(&[]);
    let fails = json!({"prompt": "fake: fail error", "max_retries": 0});
    backlog(&stage, &["A", "B", "C", "D", "E"], &fails);
    backlog(&stage, &["T", "f"], &json!({"prompt": "fake: succeed text=on"}));
    let both = "supervisor resume marie & leader=$!; until jq -e .resume /shared/workers/marie/state.json > /dev/null; do :; done; \
                agentctl resume marie >&2; wait $leader";
    stage.says(both).ends(1, &["stopping gradual resume"]);
    stage.holds("resume");
    stage.types("agentctl status").tells(&["marie", "stopped"]);
    stage.types("jq -r .reason /shared/tasks/marie/failed/*.reason").tells(&["something went wrong"]);
    stage.types("mv /shared/tasks/marie/pending/T.json /shared/tasks/marie/staged/").tells(&[]);
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "on", "one is tried");
    stage.types_until("supervisor resume marie", |said| said.contains("Found 1 pending tasks"));
    stage.types("supervisor resume marie --abandon").tells(&["marie"]);
    assert_eq!(stage.world().filed("marie/completed", "f")["result"], "on");
    stage.done();
    stage.host.stop();
}

#[test]
fn a_backlog_goes_in_batches() {
    let Some(stage) = Stage::at_work(RESUMES, &[]) else { return };
    stage.says("agentctl pause marie").tells(&[]);
    let names = ["a", "b", "c", "d"];
    backlog(&stage, &names, &json!({"prompt": "fake: succeed text=on"}));
    stage.types("supervisor resume marie --dry-run").tells(&["Found 4 pending tasks"]);
    assert_eq!(
        fs::read_dir(stage.world().root().join("tasks/marie/pending")).unwrap().count(),
        4,
        "nothing is touched"
    );
    let narrow = "supervisor resume marie --batch-size 2 --delay 1m --max-failure-rate 0.3 --adaptive";
    stage.types_until(narrow, |said| {
        if !said.contains("Waiting 60s") {
            return false;
        }
        stage.types("jq . /shared/workers/marie/resume.json").tells(&["\"batch\""]);
        stage.types("supervisor resume marie").ends(75, &["marie"]);
        true
    });
    stage.types_until("supervisor up", |said| said.contains("supervisor"));
    stage.says("supervisor resume marie --abandon").tells(&[]);
    stage.says("agentctl resume marie").tells(&[]);
    for name in names {
        assert_eq!(stage.world().filed("marie/completed", name)["result"], "on");
    }
    stage.done();
    stage.host.stop();
}

#[test]
fn a_pipe_says_first_how_its_worker_is() {
    let Some(stage) = Stage::at_work(PIPE, &[]) else { return };
    let shown = stage.types("ls -l /shared/pipes").out;
    for pipe in ["marie.in", "marie.out"] {
        assert!(shown.lines().any(|line| line.starts_with('p') && line.ends_with(pipe)), "{shown}");
    }
    let said = stage.types("timeout 5 cat /shared/pipes/marie.out").out;
    let told: Vec<serde_json::Value> = said.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let first = told.iter().find(|it| it["type"] != "agent-worker.worker.dropped").unwrap();
    assert_eq!(
        (&first["type"], &first["data"]["status"]),
        (&"agent-worker.worker.status".into(), &"running".into())
    );
    assert!(stage.types("agentctl doctor").out.contains("pipe"));
    stage.done();
    stage.host.stop();
}

#[test]
fn a_worker_is_paused_drained_and_stopped() {
    let Some(stage) = Stage::at_work(MAINTENANCE, &[]) else { return };
    let gate = stage.runs("succeed text=finished");
    stage.types("echo 'pause the disk is moved' > /shared/pipes/marie.in").tells(&[]);
    let told = traces::state(stage.world(), "marie", |it| it["status"] == "paused");
    assert_eq!(told["wanted"]["reason"], "the disk is moved", "{told}");
    stage.types("agentctl status").tells(&["paused", "the disk is moved"]);
    stage.types("echo resume > /shared/pipes/marie.in").tells(&[]);
    traces::state(stage.world(), "marie", |it| it["status"] == "running");
    traces::open(&gate);
    stage.types("agentctl drain marie --wait").tells(&["marie"]);
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "finished");
    traces::state(stage.world(), "marie", |it| it["status"] == "stopped");
    stage.types_until("watcher --worker marie", |said| said.contains("at work"));
    traces::state(stage.world(), "marie", |it| it["status"] == "stopped");
    let marie = stage.starts_marie();
    stage.runs("succeed text=later");
    let agent = traces::pid(traces::said(stage.world(), "start", "T").last().unwrap());
    stage.types("agentctl stop marie --wait --yes").tells(&["marie"]);
    assert!(!traces::is_alive(agent));
    let task = stage.world().filed("marie/pending", "T");
    assert_eq!(task["retry_count"].as_u64().unwrap_or(0), 0, "{task}");
    assert_eq!(marie.ended(), 0);
    stage.done();
    stage.host.stop();
}

#[test]
fn a_task_is_held_edited_steered_and_ended_by_hand() {
    let Some(stage) = Stage::at_work(CHANGES, &[]) else { return };
    stage.types("agentctl pause marie").tells(&["marie"]);
    stage.drops("succeed text=old");
    stage.types("agentctl hold T --reason 'not yet'").tells(&["T"]);
    let edited = stage.types_with("agentctl edit T", &[("EDITOR", "sed -i s/old/new/")]);
    edited.tells(&["T"]);
    stage.types("agentctl release T").tells(&[]);
    stage.types("agentctl resume marie").tells(&["marie"]);
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "new");

    // At work: told, interrupted, ended.
    stage.drops("steer; hang");
    stage.begun(2);
    stage.types("agentctl tell T 'use French'").tells(&[]);
    stage.types("agentctl interrupt T 'do this instead'").tells(&[]);
    let task = stage.world().filed("marie/completed", "T");
    assert_eq!(task["result"], "heard: do this instead", "{task}");
    stage.runs("hang | succeed text=went on");
    stage.types("agentctl cancel T --yes --reason 'not needed'").tells(&["T"]);
    let session = stage.world().filed("marie/cancelled", "T")["attempts"][0]["session_id"].clone();
    stage.types("agentctl retry T --continue").tells(&["T"]);
    let task = stage.world().filed("marie/completed", "T");
    assert_eq!(task["attempts"][0]["session_id"], session, "in the same conversation: {task}");
    settings(&stage);

    fs::write(
        stage.desk().join("tasks.ndjson"),
        "{\"prompt\":\"one\",\"id\":\"one\"}\n{\"prompt\":\"two\",\"id\":\"two\"}\n",
    )
    .unwrap();
    stage.types("agentctl submit --file tasks.ndjson").tells(&["one", "two"]);
    attaches(&stage);
    stage.types("agentctl retry T").ends(69, &["T"]);
    stage.types("agentctl retry --error-code E006 --failed-since 2h --yes");
    stage.types("agentctl drain marie --wait").tells(&["marie"]);
    let marie = stage.starts_marie();
    stage.types("agentctl stop marie --wait --yes").tells(&["marie"]);
    assert_eq!(marie.ended(), 0);
    stage.done();
    stage.host.stop();
}

fn settings(stage: &Stage) {
    stage.types("watcher --worker marie --print-config").tells(&["max_retries", "default"]);
    stage.types("echo reload > /shared/pipes/marie.in").tells(&[]);
    stage.world().until("it was read again", || {
        stage.says("cat /var/log/agents/marie.log").out.contains("log reopened").then_some(())
    });
}

/// The CLI on the session of a task that waits, at a terminal; nobody takes the task meanwhile.
fn attaches(stage: &Stage) {
    stage.runs("hang | succeed text=went on | succeed text=went on");
    stage.says("agentctl interrupt T").tells(&[]);
    let path = stage.world().root().join("tasks/marie/pending/T.json");
    let task =
        stage.world().until("it is held", || crate::world::json(&path).filter(|it| it["held"].is_object()));
    stage.says("agentctl pause marie").tells(&[]);
    stage.says("agentctl release T").tells(&[]);
    stage.types_at_a_terminal("agentctl attach T", "\u{4}y\n");
    let session = &task["attempts"][0]["session_id"];
    let log = stage.world().agent_log();
    let begun =
        log.iter().any(|it| it["event"] == "start" && it["mode"] == "resume" && it["session"] == *session);
    assert!(begun, "the CLI, in the session that there is: {log:?}");
    stage.says("agentctl resume marie").tells(&[]);
    stage.world().filed("marie/completed", "T");
}

#[test]
fn an_agent_is_told_interrupted_and_ended_by_the_shell() {
    let Some(stage) = Stage::at_work(STEERS, &[]) else { return };
    let told = stage.an_agent_types("agentctl progress 'three of seven files are done'");
    assert_eq!(told["code"], 0, "{told}");
    let told = stage.an_agent_types("agentctl submit 'check the figures' --worker anga");
    assert_eq!(told["code"], 0, "{told}");
    let told = stage.an_agent_types("agentctl status");
    assert_eq!(told["code"], 0, "{told}");

    stage.drops("steer; hang");
    stage.begun(1);
    let pipe = stage.world().root().join("pipes/marie_T.in");
    stage.world().until("its pipe is there", || pipe.exists().then_some(()));
    stage.types("echo 'use the other database' > /shared/pipes/marie_T.in").tells(&[]);
    stage.world().until("it has heard that", || {
        stage.says("agentctl logs T").out.contains("steered: use the other database").then_some(())
    });
    stage
        .types(r#"echo '{"op":"interrupt","text":"leave that, do this"}' > /shared/pipes/marie_T.in"#)
        .tells(&[]);
    stage.world().until("it goes on with that", || {
        stage.world().root().join("tasks/marie/completed/T.json").exists().then_some(())
    });
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "heard: leave that, do this");
    stage.runs("hang | hang");
    stage.types("echo 'interrupt T' > /shared/pipes/marie.in").tells(&[]);
    let path = stage.world().root().join("tasks/marie/pending/T.json");
    stage.world().until("it is held", || {
        let is_held = crate::world::json(&path)?["held"].is_object();
        // Where it lies is seen before its watcher is through with it.
        let log = fs::read_to_string(stage.world().logs().join("marie.log")).ok()?;
        (is_held && log.contains("task back to pending")).then_some(())
    });
    stage.types("echo 'release T' > /shared/pipes/marie.in").tells(&[]);
    stage.begun(3);
    stage.types("echo 'cancel T not needed' > /shared/pipes/marie.in").tells(&[]);
    let task = stage.world().filed("marie/cancelled", "T");
    assert!(task["failure_reason"].as_str().unwrap().contains("not needed"), "{task}");
    stage.done();
    stage.host.stop();
}
