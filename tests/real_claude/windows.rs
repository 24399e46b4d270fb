//! The windows of a subscription, as the real CLI tells them that is logged in with a token: waited for until the second
//! that was told, and seen before they are used up.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::stub_api::{Scenario, seconds_ahead};
use crate::world::json;
use crate::{Real, charges, outcomes};

/// A watcher whose agents are logged in as a subscriber's.
fn subscriber(real: &Real, addr: &str) -> std::process::Command {
    let mut command = real.served("marie", addr);
    command.env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-dummy");
    command
}

fn spoken(second: u64) -> String {
    let at = jiff::Timestamp::from_second(second.cast_signed()).unwrap();
    at.to_string()
}

fn said(real: &Real, args: &[&str]) -> String {
    String::from_utf8(real.world.agentctl(args).stdout).unwrap()
}

/// What the account is known to be like.
fn account(real: &Real) -> Value {
    let known: Value = serde_json::from_str(&said(real, &["limits", "--json"])).unwrap();
    known[0].clone()
}

#[test]
fn a_window_that_is_used_up_is_waited_for_until_its_reset_and_seen_everywhere() {
    let reset = seconds_ahead(7_200);
    let Some(real) = Real::new(Scenario::window_used_up(reset)) else { return };
    let _watcher = real.start(&mut subscriber(&real, "127.0.0.1:0"));
    real.world.submit("marie/pending", "late", &json!({"prompt": "say hello"}));
    let (state, _) = real.held("rate_limit", "late");
    let at = spoken(reset);
    assert_eq!(state["hold"]["until"], at.as_str(), "to the second: {state}");
    assert_eq!(account(&real)["rate_limit"]["until"], at.as_str());
    let why: Value = serde_json::from_str(&said(&real, &["why", "late", "--json"])).unwrap();
    assert_eq!(why["reasons"][0]["reason"], "rate_limit", "{why}");
    assert!(why["reasons"][0].to_string().contains(&at), "{why}");
    assert!(said(&real, &["status"]).contains("rate_limit"), "{}", said(&real, &["status"]));
    let page = crate::http::get(real.world.address("marie"), "/metrics");
    for line in ["agent_worker_rate_limited 1", "agent_worker_held{cause=\"rate_limit\"} 1"] {
        assert!(page.lines().any(|it| it == line), "{line} in {page}");
    }
    assert_eq!(real.api.count(), 1, "it is not asked in vain");
}

#[test]
fn a_task_goes_on_by_itself_when_its_window_begins_anew() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let reset = seconds_ahead(12);
    real.api.play(Scenario::window_used_up(reset));
    let _watcher = real.start(&mut subscriber(&real, "none"));
    real.world.submit("marie/pending", "soon", &json!({"prompt": "say hello"}));
    real.held("rate_limit", "soon");
    real.api.play(Scenario::Text("anew".to_owned()));
    assert!(real.api.wait_for_requests(2, crate::world::PATIENCE), "{}", real.world.said());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(now >= reset, "it was asked {} s before the reset", reset - now);
    let task = real.completed("soon");
    assert_eq!((outcomes(&task), charges(&task)), (vec!["deferred", "completed"], 0), "{task}");
    real.state("it is well", |it| it["status"] == "running" && it["hold"].is_null());
    assert!(account(&real)["rate_limit"].is_null());
}

#[test]
fn a_reset_that_no_clock_will_see_stops_nobody_for_ever() {
    let Some(real) = Real::new(Scenario::window_used_up(999_999_999_999_999)) else { return };
    let _watcher = real.start(&mut subscriber(&real, "none"));
    real.world.submit("marie/pending", "odd", &json!({"prompt": "say hello"}));
    let (state, _) = real.held("rate_limit", "odd");
    let until: jiff::Timestamp = state["hold"]["until"].as_str().unwrap().parse().unwrap();
    assert!(
        until.as_second() < seconds_ahead(3_600).cast_signed(),
        "what is no time is not waited for: {state}"
    );
}

#[test]
fn a_window_that_is_nearly_used_up_is_told_before_it_is() {
    let reset = seconds_ahead(3_600);
    let Some(real) = Real::new(Scenario::near_the_limit("done", "0.87", reset)) else { return };
    let _watcher = real.start(&mut subscriber(&real, "none"));
    real.world.submit("marie/pending", "near", &json!({"prompt": "say hello"}));
    assert_eq!(real.completed("near")["result"], "done");
    let warning =
        real.world.until("it is kept", || Some(account(&real)["warning"].clone()).filter(Value::is_object));
    assert_eq!(
        (&warning["window"], &warning["used_percent"], &warning["resets_at"]),
        (&json!("five_hour"), &json!(87), &json!(spoken(reset))),
        "{warning}"
    );
    for verb in ["status", "limits"] {
        assert!(said(&real, &[verb]).contains("87 % are used up"), "{verb}: {}", said(&real, &[verb]));
    }
    let state = json(&real.world.root().join("workers/marie/state.json")).unwrap();
    assert!(state["hold"].is_null(), "nothing is held: {state}");
}
