//! What is not the task's fault: it goes back uncharged, the worker says why and what to do, and goes on by itself.

use std::net::TcpListener;

use serde_json::json;

use crate::stub_api::Scenario;
use crate::{Real, charges, outcomes};

#[test]
fn a_refused_key_is_said_everywhere_and_the_task_goes_on_when_it_is_mended() {
    let Some(real) = Real::new(Scenario::unauthorized()) else { return };
    let watcher = real.up();
    real.world.submit("marie/pending", "locked", &json!({"prompt": "say hello"}));
    let (state, task) = real.held("auth", "locked");
    assert_eq!(outcomes(&task), ["deferred"]);
    assert_eq!(attempt_code(&task), "E005");
    assert_eq!(state["hold"]["error_code"], "E005", "{state}");
    assert!(state["hold"]["remedy"].as_str().unwrap().contains("/login"), "{state}");
    assert!(state["hold"]["until"].is_string(), "it says when it tries again: {state}");

    let said = real.world.agentctl(&["status"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for word in ["degraded", "E005", "/login"] {
        assert!(said.contains(word), "`{word}` in:\n{said}");
    }

    real.api.play(Scenario::Text("open again".to_owned()));
    // Who mended it need not wait for the next try.
    watcher.signal(nix::sys::signal::Signal::SIGHUP);
    let task = real.completed("locked");
    assert_eq!((&task["result"], charges(&task)), (&json!("open again"), 0), "{task}");
    assert_eq!(outcomes(&task), ["deferred", "completed"]);
    real.state("it is well again", |it| it["status"] == "running" && it["hold"].is_null());
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn who_is_not_logged_in_is_told_what_to_type_and_the_api_is_not_asked() {
    let Some(real) = Real::new(Scenario::Text("never".to_owned())) else { return };
    let watcher = real.start(&mut real.watcher_without_key());
    real.world.submit("marie/pending", "nobody", &json!({"prompt": "say hello"}));
    let (state, _) = real.held("auth", "nobody");
    assert_eq!(state["hold"]["error_code"], "E005");
    assert!(state["hold"]["reason"].as_str().unwrap().contains("Not logged in"), "{state}");
    assert_eq!(real.api.count(), 0);
    // A key in the environment takes a restart, and that tries at once.
    assert_eq!(watcher.stop(), 0);
    let _watcher = real.up();
    assert_eq!(real.completed("nobody")["result"], "never");
}

#[test]
fn an_account_without_credit_holds_for_billing() {
    let Some(real) = Real::new(Scenario::no_credit()) else { return };
    let _watcher = real.up();
    real.world.submit("marie/pending", "poor", &json!({"prompt": "say hello"}));
    let (state, _) = real.held("billing", "poor");
    assert!(state["hold"]["remedy"].as_str().unwrap().contains("add credit"), "{state}");
}

#[test]
fn a_rate_limit_outlives_a_restart_and_is_cleared_by_hand() {
    let Some(real) = Real::new(Scenario::rate_limited(1)) else { return };
    let watcher = real.up();
    real.world.submit("marie/pending", "busy", &json!({"prompt": "say hello"}));
    let (state, _) = real.held("rate_limit", "busy");
    assert!(state["hold"]["remedy"].as_str().unwrap().contains("by itself"), "{state}");
    assert!(state["hold"]["until"].is_string(), "{state}");
    assert_eq!(watcher.stop(), 0);
    real.api.play(Scenario::Text("free".to_owned()));
    let asked = real.api.count();
    let _watcher = real.up();
    real.state("it holds again", |it| it["status"] == "degraded" && it["hold"]["cause"] == "rate_limit");
    assert_eq!(real.api.count(), asked, "who is started again knows what was known");
    assert!(real.world.agentctl(&["limits", "--clear"]).status.success());
    let task = real.completed("busy");
    assert_eq!((&task["result"], charges(&task)), (&json!("free"), 0));
}

#[test]
fn a_rate_limit_that_marie_met_holds_anga_and_one_answer_frees_both() {
    let Some(real) = Real::new(Scenario::rate_limited(3600)) else { return };
    let _marie = real.up();
    let anga = real.world.start(real.watcher_of("anga").env("ANTHROPIC_API_KEY", "dummy"), "anga");
    real.world.at_work("anga", &anga);
    real.world.submit("marie/pending", "met", &json!({"prompt": "say hello"}));
    real.held("rate_limit", "met");
    let path = real.world.root().join("workers/anga/state.json");
    let held = real
        .world
        .until("anga holds", || crate::world::json(&path).filter(|it| it["hold"]["cause"] == "rate_limit"));
    assert!(held["hold"]["reason"].as_str().unwrap().contains("(met by marie)"), "{held}");
    let asked = real.api.count();
    real.world.submit("anga/pending", "waits", &json!({"prompt": "say hello"}));
    real.world.until("it is seen", || crate::world::json(&path).filter(|it| it["queues"]["pending"] == 1));
    assert_eq!(real.api.count(), asked, "anga did not ask");
    real.api.play(Scenario::Text("free".to_owned()));
    assert!(real.world.agentctl(&["limits", "--clear"]).status.success());
    assert_eq!(real.world.filed("anga/completed", "waits")["result"], "free");
    assert_eq!(real.completed("met")["result"], "free");
}

#[test]
fn a_short_rate_limit_is_waited_for_by_the_agent_itself() {
    let Some(real) = Real::new(Scenario::rate_limited(1)) else { return };
    let _watcher = real.up();
    real.world.submit("marie/pending", "short", &json!({"prompt": "say hello"}));
    assert!(real.api.wait_for_requests(1, crate::world::PATIENCE));
    real.api.play(Scenario::Text("free".to_owned()));
    assert_eq!(outcomes(&real.completed("short")), ["completed"]);
}

#[test]
fn an_overloaded_api_is_tried_again_until_it_answers() {
    let Some(real) = Real::new(Scenario::overloaded()) else { return };
    let _watcher = real.up();
    real.world.submit("marie/pending", "over", &json!({"prompt": "say hello"}));
    real.held("outage", "over");
    real.api.play(Scenario::Text("back".to_owned()));
    let task = real.completed("over");
    assert_eq!((&task["result"], charges(&task)), (&json!("back"), 0));
    assert!(outcomes(&task).starts_with(&["deferred"]), "{task}");
}

#[test]
fn an_api_that_cannot_be_reached_is_an_outage() {
    let Some(real) = Real::new(Scenario::Text("never".to_owned())) else { return };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _watcher = real.start(real.watcher().env("ANTHROPIC_BASE_URL", format!("http://{closed}")));
    real.world.submit("marie/pending", "cut", &json!({"prompt": "say hello"}));
    let (state, _) = real.held("outage", "cut");
    assert!(state["hold"]["reason"].as_str().unwrap().contains("refused"), "{state}");
}

#[test]
fn a_denied_tool_fails_the_task_with_the_sentence_how_to_allow_it() {
    let Some(real) = Real::new(Scenario::denied()) else { return };
    let _watcher = real.up();
    real.world.submit("marie/pending", "fetch", &json!({"prompt": "fetch it"}));
    let task = real.failed("fetch");
    assert_eq!((&task["state"], &task["error_code"]), (&json!("FAILED"), &json!("E005")), "{task}");
    let reason = task["failure_reason"].as_str().unwrap();
    assert!(reason.contains("WebFetch") && reason.contains(r#""allow":["WebFetch"]"#), "{reason}");
    let path = real.world.root().join("tasks/marie/failed/fetch.json.reason");
    let beside = crate::world::json(&path).unwrap();
    assert_eq!(beside["error_code"], "E005", "{beside}");
    assert!(beside.to_string().contains("settings.json"), "{beside}");
}

#[test]
fn a_tool_is_allowed_by_what_the_sentence_says() {
    let Some(real) = Real::new(Scenario::denied()) else { return };
    let settings = real.world.home().join(".claude/settings.json");
    std::fs::create_dir_all(settings.parent().unwrap()).unwrap();
    std::fs::write(&settings, r#"{"permissions":{"allow":["WebFetch"]}}"#).unwrap();
    if let Some(uid) = real.world.uid {
        nix::unistd::chown(settings.parent().unwrap(), Some(uid.into()), Some(uid.into())).unwrap();
    }
    let _watcher = real.up();
    real.world.submit("marie/pending", "fetch", &json!({"prompt": "fetch it"}));
    assert_eq!(real.completed("fetch")["result"], "All done.");
}

fn attempt_code(task: &serde_json::Value) -> &str {
    task["error_code"].as_str().or(task["attempts"][0]["error_code"].as_str()).unwrap_or("none")
}
