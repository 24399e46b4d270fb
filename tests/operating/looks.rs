//! One look: everything that answers a question while nothing is wrong.

use std::cell::Cell;

use crate::stage::Stage;
use crate::traces;

pub(crate) const ONE: &[&str] = &["One look"];
pub(crate) const TOP: &[&str] = &["agentctl top"];

#[test]
fn one_look_tells_what_is_going_on() {
    let Some(stage) = Stage::at_work(ONE, &[]) else { return };
    let gate = stage.runs("say text=seen; succeed text=done");
    stage.types("agentctl status").tells(&["marie", "anga", "fabien", "T"]);
    stage.types("agentctl list").tells(&["T", "RUNNING"]);
    let health = stage.types("curl -s http://127.0.0.1:9091/health | jq .").json();
    assert_eq!(health["status"], "ok", "{health}");
    let all = stage.types("curl -s http://127.0.0.1:9002/api/status | jq .").json();
    let workers = all["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 3, "{all}");
    assert!(workers.iter().all(|it| it["condition"].is_string() && it.get("severity").is_some()), "{all}");
    stage.types("jq . /shared/workers/*/state.json").tells(&["\"status\": \"running\""]);
    stage.types("ls /shared/tasks/*/{pending,active,failed}/").tells(&["marie/active/:\nT.json"]);

    let alive = stage.types("flock -ns /shared/workers/marie true && echo dead");
    assert!(alive.out.is_empty() && alive.code != 0, "she lives: {alive:?}");
    stage.types("cat /shared/locks/marie_watcher.lock").tells(&["watcher", "pid"]);
    stage.types("jq .timestamp /shared/workers/marie/heartbeat.json").tells(&["Z"]);
    stage.types("jq '.status, .hold' /shared/workers/marie/state.json").tells(&["\"running\"\nnull"]);
    stage.types("agentctl why T").tells(&["RUNNING", "attempt 1"]);
    stage.types("agentctl show T").tells(&["T", "RUNNING"]);
    stage.types("find /shared/tasks -name T.json").tells(&["/shared/tasks/marie/active/T.json"]);
    stage.types_until("agentctl logs -f T", |said| !said.is_empty());
    stage
        .types_until("tail -f /shared/artifacts/*/attempt-*/stream.ndjson", |said| said.contains("\"init\""));
    stage.types_until("tail -f /shared/workers/*/journal/*.ndjson", |said| said.contains("started"));
    stage.types("agentctl top");
    traces::open(&gate);
    stage.world().filed("marie/completed", "T");
    // It tells of what happens from its start on, and nobody sees that: one task after the other ends until it has.
    let ended = Cell::new(0);
    stage.types_until("agentctl watch", |said| {
        let last = format!("tasks/marie/completed/w{}.json", ended.get());
        if ended.get() == 0 || stage.world().root().join(last).exists() {
            ended.set(ended.get() + 1);
            let task = serde_json::json!({"prompt": "fake: succeed"});
            stage.world().submit("marie/pending", &format!("w{}", ended.get()), &task);
        }
        said.contains("COMPLETED")
    });
    stage.types(r"jq '[.attempts[].cost_usd] | add' /shared/tasks/marie/completed/T.json").tells(&["0.01"]);
    stage.types("agentctl list --state completed --worker marie").tells(&["T", "COMPLETED"]);
    stage.types("tail -n 100 /var/log/agents/marie.log").tells(&["task COMPLETED"]);
    stage.world().submit("marie/pending", "T", &serde_json::json!({"prompt": "fake: fail budget"}));
    stage.world().filed("marie/failed", "T");
    stage.types("jq . /shared/tasks/marie/failed/T.json.reason").tells(&["E004"]);
    stage.done();
    stage.host.stop();
}

/// Where it is built in it is tried by `tests/top.rs`, at a terminal.
#[test]
fn the_view_is_there_or_says_why_not() {
    let Some(stage) = Stage::set(TOP) else { return };
    let said = stage.types("agentctl top");
    if cfg!(feature = "top") {
        assert_ne!(said.code, 0, "there is no terminal: {said:?}");
    } else {
        said.ends(69, &["--features top"]);
    }
    stage.says("agentctl status").ends(69, &["supervisor up"]);
    stage.done();
}
