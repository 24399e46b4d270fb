//! Workers and supervisors that are dead, set aside, stopped, or not let in.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::stage::Stage;
use crate::traces;

pub(crate) const DEAD: &[&str] = &["The worker is dead"];
pub(crate) const ASIDE: &[&str] = &["The worker is set aside"];
pub(crate) const STILL: &[&str] = &["The worker stands still"];
pub(crate) const NO_START: &[&str] = &["The worker does not start"];
pub(crate) const NO_METRICS: &[&str] = &["The metrics do not answer"];
pub(crate) const NO_SUPERVISOR: &[&str] = &["The supervisor is dead", "Who restarts"];
pub(crate) const AWAY: &[&str] = &["The machine was away"];

#[test]
fn of_a_dead_worker_it_is_told_why_and_its_tasks_are_put_right() {
    let Some(mut stage) = Stage::at_work(DEAD, &[]) else { return };
    stage.host.murder("marie");
    let why = traces::state(stage.world(), "marie", |it| it["last_crash_reason"] == "signal_9");
    stage
        .types("jq .last_crash_reason,.last_crash_detail /shared/workers/marie/state.json")
        .tells(&["\"signal_9\"", why["last_crash_detail"].as_str().unwrap()]);
    stage.host.until_beating("marie");
    // Nobody is left who would start her again.
    stage.runs("succeed text=done");
    let agent = traces::pid(&traces::said(stage.world(), "start", "T")[0]);
    stage.host.supervisor().murder();
    stage.host.murder("marie");
    traces::slay(stage.world(), agent);
    stage.world().until("she is dead", || stage.types("agentctl status").out.contains("dead").then_some(()));
    stage.types("tail -n 100 /var/log/agents/marie.log").tells(&["at work"]);
    stage.types("uptime -s").tells(&["-", ":"]);
    stage.types("supervisor recover marie --dry-run").tells(&["T"]);
    assert_eq!(stage.world().homes("T"), ["marie/active"], "nothing was done");
    stage
        .types("supervisor recover marie")
        .tells(&["Moving T.json back to pending", "Clean recovery completed for marie"]);
    assert_eq!(stage.world().homes("T"), ["marie/pending"]);
    stage.types_until("supervisor monitor marie", |said| {
        said.contains("Monitoring marie recovery for 300s") && said.lines().count() > 1
    });
    stage.types_until("supervisor up", |said| said.contains("marie: up"));
    stage.done();
}

#[test]
fn one_that_is_set_aside_is_tried_again_by_a_signal() {
    let Some(stage) = Stage::at_work(ASIDE, &["--max-restarts", "0"]) else { return };
    stage.host.murder("marie");
    stage.world().until("she is set aside", || {
        stage.says("agentctl status").out.contains("set aside since").then_some(())
    });
    stage.types("agentctl status").tells(&["set aside since", "SIGHUP"]);
    stage
        .types("curl -s http://127.0.0.1:9002/health/orchestrator | jq .")
        .tells(&["marie is down: it is set aside"]);
    stage.types("tail -n 100 /var/log/agents/marie.log").tells(&["at work"]);
    stage.types("kill -HUP $(jq .pid /shared/locks/supervisor.lock)").tells(&[]);
    stage.host.until_beating("marie");
    stage.done();
    stage.host.stop();
}

#[test]
fn one_that_is_suspended_is_told_and_waked() {
    let Some(stage) = Stage::at_work(STILL, &["--hung-after", "2s"]) else { return };
    let pid = stage.host.until_beating("marie");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    let ask = "curl -s http://127.0.0.1:9002/api/status | jq '.workers[] | {worker, condition, severity}'";
    stage
        .world()
        .until("the supervisor sees it", || stage.types(ask).out.contains("\"suspended\"").then_some(()));
    stage
        .world()
        .until("it is told", || stage.types("agentctl status").out.contains("suspended").then_some(()));
    let seen = stage.types("ps -o pid,stat,wchan:20,args -p $(jq .pid /shared/workers/marie/heartbeat.json)");
    assert!(seen.tells(&["watcher"]).out.lines().nth(1).unwrap().contains(" T"), "{seen:?}");
    stage.types("dmesg | tail").tells(&[]);
    stage.types("kill -CONT $(jq .pid /shared/workers/marie/heartbeat.json)").tells(&[]);
    stage
        .world()
        .until("she works again", || stage.says(ask).out.matches("\"working\"").count().eq(&3).then_some(()));
    assert_eq!(stage.host.until_beating("marie"), pid, "the same process");
    stage.done();
    stage.host.stop();
}

#[test]
fn one_that_may_not_start_says_who_has_its_name() {
    let Some(stage) = Stage::at_work(NO_START, &[]) else { return };
    let pid = stage.host.until_beating("marie").to_string();
    stage.types("watcher --worker marie").ends(78, &["marie", &pid]);
    stage.types("cat /shared/locks/marie_watcher.lock").tells(&[&pid]);
    stage.types("watcher --worker marie --print-config").tells(&["concurrency", "default"]);
    let said = stage.types("agentctl doctor");
    assert!(said.out.contains("marie"), "{said:?}");
    stage.done();
    stage.host.stop();
}

#[test]
fn metrics_answer_under_names_of_this_host() {
    let Some(stage) = Stage::at_work(NO_METRICS, &[]) else { return };
    stage.types("curl -f http://127.0.0.1:9091/metrics").tells(&["active_tasks 0"]);
    assert!(stage.types("agentctl doctor").out.contains("9091"));
    let status = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9091";
    stage.says(&format!("{status}/api/status -H 'Host: far.example'")).tells(&["421"]);
    stage.says(&format!("{status}/health -H 'Host: far.example'")).tells(&["200"]);
    stage.done();
    stage.host.stop();
}

#[test]
fn a_supervisor_takes_over_what_runs_and_is_the_only_one() {
    let Some(mut stage) = Stage::at_work(NO_SUPERVISOR, &[]) else { return };
    let before = stage.host.until_beating("marie");
    stage.types("supervisor up").ends(75, &["supervisor"]);
    stage.types_until("supervisor run --metrics-addr none", |said| said.contains("Standing by"));
    stage.host.supervisor().murder();
    stage.types("agentctl doctor | grep supervisor").tells(&["supervisor"]);
    stage.types("flock -ns /shared/locks/supervisor.lock true && echo dead").tells(&["dead"]);
    let said = stage.types_until("supervisor up", |said| said.matches("taken over as it is").count() == 3);
    assert!(said.contains(&before.to_string()), "the same watcher: {said}");
    stage.done();
}

#[test]
fn what_waits_for_a_time_of_day_is_listed() {
    let Some(stage) = Stage::at_work(AWAY, &[]) else { return };
    stage.world().submit(
        "marie/pending",
        "T",
        &json!({"prompt": "fake: succeed", "not_before": "2099-01-01T00:00:00Z"}),
    );
    stage.types("agentctl list").tells(&["T", "PENDING"]);
    stage.types("uptime -s").tells(&["-", ":"]);
    assert_eq!(stage.world().homes("T"), ["marie/pending"]);
    stage.done();
    stage.host.stop();
}
