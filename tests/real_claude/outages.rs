//! Each way in which an API fails, met by the real CLI: the task goes back uncharged, the worker says what it waits for,
//! and when the API is well again the task goes on where it was.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::stub_api::{Break, Scenario};
use crate::{Real, attempts, charges, outcomes};

/// Meets `scenario`, holds for `cause` with these words, and goes on when the API answers again.
fn meets(
    (real, watcher): (&Real, &crate::world::Started),
    (name, scenario): (&str, Scenario),
    cause: &str,
    words: &[&str],
) {
    real.api.play(scenario);
    real.world.submit("marie/pending", name, &json!({"prompt": "say hello"}));
    let (state, task) = real.held(cause, name);
    let said = state["hold"].to_string();
    for word in words {
        assert!(said.contains(word), "{name}: `{word}` in {said}");
    }
    assert!(outcomes(&task).iter().all(|it| *it == "deferred"), "{name}: {task}");
    real.api.play(Scenario::Text("well again".to_owned()));
    // Who knows that it is mended need not wait.
    watcher.signal(Signal::SIGHUP);
    let task = real.completed(name);
    assert_eq!((&task["result"], charges(&task)), (&json!("well again"), 0), "{name}: {task}");
    let sessions: Vec<_> = attempts(&task).iter().map(|it| &it["session_id"]).collect();
    assert!(sessions.windows(2).all(|two| two[0] == two[1]), "{name}: one conversation: {task}");
    real.state("it is well", |it| it["status"] == "running" && it["hold"].is_null());
}

#[test]
fn what_fails_at_the_server_is_an_outage() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let watcher = real.up();
    for (status, kind) in
        [(500, "api_error"), (502, "api_error"), (503, "api_error"), (529, "overloaded_error")]
    {
        let name = format!("s{status}");
        let scenario = Scenario::refuse(status, kind);
        meets((&real, &watcher), (&name, scenario), "outage", &[&status.to_string(), "by itself"]);
    }
}

#[test]
fn an_answer_that_breaks_off_or_makes_no_sense_is_an_outage() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let watcher = real.up();
    for how in [Break::Cut, Break::Malformed, Break::ErrorEvent] {
        let name = format!("{how:?}").to_lowercase();
        meets((&real, &watcher), (&name, Scenario::Broken(how)), "outage", &["by itself"]);
    }
}

#[test]
fn an_answer_that_stands_still_ends_with_the_silence_and_is_an_outage() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    // The CLI needs a second before it says its first word, and on a busy machine ten.
    let watcher = real.start(real.watcher().args(["--idle-timeout", "12s"]));
    meets(
        (&real, &watcher),
        ("stalled", Scenario::Broken(Break::Stalled)),
        "outage",
        &["nothing was heard from the API for too long"],
    );
}

#[test]
fn what_concerns_the_account_holds_for_it() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let watcher = real.up();
    for (name, scenario, cause, word) in [
        ("s401", Scenario::unauthorized(), "auth", "/login"),
        ("s403", Scenario::refuse(403, "permission_error"), "auth", "/login"),
        ("s402", Scenario::refuse(402, "billing_error"), "billing", "add credit"),
        ("credit", Scenario::no_credit(), "billing", "add credit"),
        ("s404", Scenario::refuse(404, "not_found_error"), "configuration", "the model's name"),
        ("s429", Scenario::refuse(429, "rate_limit_error"), "rate_limit", "by itself"),
        ("huge", Scenario::rate_limited(999_999_999_999), "rate_limit", "by itself"),
    ] {
        meets((&real, &watcher), (name, scenario), cause, &[word]);
    }
}

#[test]
fn a_refusal_of_the_model_is_told_as_one_and_fails_the_task() {
    let Some(real) = Real::new(Scenario::stopped("refusal")) else { return };
    let _watcher = real.up();
    real.world.submit("marie/pending", "no", &json!({"prompt": "do it", "max_retries": 0}));
    let task = real.failed("no");
    assert_eq!((&task["state"], &task["error_code"]), (&json!("FAILED"), &json!("E006")), "{task}");
    assert!(task["failure_reason"].as_str().unwrap().contains("the model refused"), "{task}");
    real.state("the worker works", |it| it["status"] == "running" && it["hold"].is_null());
}
