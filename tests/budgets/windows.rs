//! What workers and packs may use in an hour and in a day.

use serde_json::{Value, json};

use crate::world::World;
use crate::{http, journal, set_clock, state, stepped, text, told};

/// So long before now that the hour is over, and the day is not.
const AN_HOUR_AGO: i64 = -3700;

fn events(world: &World, event: &str) -> Vec<String> {
    let lines = journal(world).into_iter().filter(|line| line["event"] == event);
    lines.filter_map(|line| line["reason"].as_str().map(str::to_owned)).collect()
}

fn is_spent(state: &Value) -> bool {
    state["hold"]["cause"] == "budget"
}

#[test]
fn a_worker_that_used_up_its_hour_holds_over_a_restart_and_goes_on_when_it_is_over() {
    let world = World::new();
    set_clock(&world, AN_HOUR_AGO);
    let start = || {
        let mut command = stepped(&world, "marie");
        let started =
            world.start(command.args(["--budget-usd-per-hour", "0.04", "--concurrency", "1"]), "marie");
        world.at_work("marie", &started);
        started
    };
    let first = start();
    for name in ["a", "b", "c", "d", "e"] {
        world.submit("marie/pending", name, &json!({"prompt": "fake: cost usd=0.01; succeed"}));
    }
    let held = state(&world, "marie", is_spent);
    assert_eq!((&held["status"], &held["queues"]["completed"]), (&json!("degraded"), &json!(4)), "{held}");
    let reason = held["hold"]["reason"].as_str().unwrap();
    assert!(reason.contains("marie has used $0.04 of $0.04 in the last 60 minutes"), "{reason}");
    assert!(held["hold"]["until"].is_string() && held["hold"]["error_code"] == "E004", "{held}");
    let tiers = events(&world, "budget");
    assert_eq!(tiers.len(), 2, "three quarters, and all; each once: {tiers:?}");
    assert!(tiers[0].contains("(75 %)") && tiers[1].contains("(100 %)"), "{tiers:?}");

    let address = world.address("marie");
    let health = http::get(address, "/health");
    let body: Value = serde_json::from_str(http::body(&health)).unwrap();
    assert_eq!((http::code(&health), &body["status"]), ("200", &json!("degraded")), "{body}");
    let metrics = http::get(address, "/metrics");
    for line in [
        "agent_worker_held{cause=\"budget\"} 1",
        "agent_worker_budget_used_ratio{name=\"marie\",scope=\"worker\",unit=\"usd\",window=\"hour\"} 1",
        "agent_worker_pack_cost_usd_total{pack=\"default\"} 0.04",
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line} in {metrics}");
    }
    let homes = |world: &World| ["a", "b", "c", "d", "e"].map(|it| world.homes(it)).concat();
    let waits = homes(&world).iter().filter(|it| *it == "marie/pending").count();
    assert_eq!(waits, 1, "{:?}", homes(&world));
    let last = ["a", "b", "c", "d", "e"].into_iter().find(|it| world.homes(it) == ["marie/pending"]).unwrap();
    let (_, why, _) = text(&world.agentctl(&["why", last]));
    assert!(why.contains("its budget is used up") && why.contains("agentctl budget reset"), "{why}");

    assert_eq!(first.stop(), 0);
    let _second = start();
    state(&world, "marie", |it| is_spent(it) && it["status"] == "degraded");
    assert_eq!(world.homes(last), ["marie/pending"], "the journal remembers");
    set_clock(&world, 0);
    world.filed("marie/completed", last);
    state(&world, "marie", |it| it["hold"].is_null() && it["status"] == "running");
    let (code, said, _) = text(&world.agentctl(&["status"]));
    assert!(code == Some(0) && said.contains("LAST 24 H") && said.contains("$0.05"), "{said}");
}

#[test]
fn a_packs_budget_is_that_of_all_workers_and_holds_its_own_tasks_only() {
    let world = World::new();
    world.pack("dear", "usd_per_day = 0.02\n");
    let _marie = world.up("marie");
    let _anga = world.up("anga");
    for worker in ["marie", "anga"] {
        let task = json!({"type": "dear", "prompt": "fake: cost usd=0.01; succeed"});
        world.submit(&format!("{worker}/pending"), &format!("{worker}1"), &task);
        world.filed(&format!("{worker}/completed"), &format!("{worker}1"));
    }
    for worker in ["marie", "anga"] {
        let barred = state(&world, worker, |it| it["packs"][0]["pack"] == "dear");
        let reason = barred["packs"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("the pack `dear` has used $0.02 of $0.02 in the last 24 hours"), "{reason}");
        assert_eq!((&barred["status"], &barred["hold"]), (&json!("running"), &Value::Null), "{barred}");
        let task = json!({"type": "dear", "prompt": "fake: succeed"});
        world.submit(&format!("{worker}/pending"), &format!("{worker}2"), &task);
        let other = format!("{worker}3");
        world.submit(&format!("{worker}/pending"), &other, &json!({"prompt": "fake: succeed"}));
        world.filed(&format!("{worker}/completed"), &other);
        assert_eq!(world.homes(&format!("{worker}2")), [format!("{worker}/pending")]);
    }
    let account = told(&world, "pack", "dear");
    assert_eq!((&account["usd_last_day"], &account["is_spent"]), (&json!(0.02), &json!(true)), "{account}");
    assert!(account["bounds"][0]["eases_at"].is_string(), "{account}");
    // A file that was written a moment ago is not looked into yet.
    let why = world.until("its pack's budget is the reason", || {
        let (_, said, _) = text(&world.agentctl(&["why", "marie2", "--json"]));
        let why: Value = serde_json::from_str(&said).unwrap();
        why["reasons"][0]["until"].is_string().then_some(why)
    });
    assert_eq!(why["reasons"][0]["reason"], "pack", "{why}");
    assert!(why["earliest"].is_string(), "{why}");
    let (_, said, _) = text(&world.agentctl(&["status"]));
    assert!(said.contains("the pack `dear` has used $0.02 of $0.02"), "{said}");

    // Twice the budget: it goes on without a restart, and stops there.
    world.pack("dear", "usd_per_day = 0.04\n");
    for worker in ["marie", "anga"] {
        world.filed(&format!("{worker}/completed"), &format!("{worker}2"));
    }
    assert_eq!(told(&world, "pack", "dear")["usd_last_day"], json!(0.04));
    state(&world, "marie", |it| it["packs"][0]["pack"] == "dear");
}

#[test]
fn tokens_are_a_budget_too_and_what_was_used_can_be_forgiven() {
    let world = World::new();
    world.pack("wordy", "tokens_per_hour = 1000\n");
    let watcher = world.up("marie");
    let task = json!({"type": "wordy", "prompt": "fake: succeed"});
    world.submit("marie/pending", "one", &task);
    world.filed("marie/completed", "one");
    state(&world, "marie", |it| it["packs"][0]["pack"] == "wordy");
    world.submit("marie/pending", "two", &task);
    world.submit("marie/pending", "other", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "other");
    assert_eq!(world.homes("two"), ["marie/pending"]);
    let (code, _, error) = text(&world.agentctl(&["budget", "reset", "--pack", "wrdy"]));
    assert!(code == Some(65) && error.contains("did you mean `wordy`?"), "{error}");
    let (code, said, error) =
        text(&world.agentctl(&["budget", "reset", "--pack", "wordy", "--reason", "once"]));
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "the pack `wordy`: what was used so far is forgiven\n"),
        "{error}"
    );
    let done = world.filed("marie/completed", "two");
    assert_eq!(done["attempts"].as_array().unwrap().len(), 1, "{done}");
    let account = told(&world, "pack", "wordy");
    assert_eq!(account["forgiven"]["reason"], "once", "{account}");
    assert_eq!(account["tokens_last_hour"], json!(2100), "what was used is told all the same: {account}");
    let (code, said, _) = text(&world.agentctl(&["fsck"]));
    assert_eq!(code, Some(0), "a mark is nothing strange: {said}");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_workers_budget_is_raised_in_the_file_and_by_a_reset_without_a_restart() {
    let world = World::new();
    let config = world.path().join("config.toml");
    let allow = |text: &str| std::fs::write(&config, format!("budget_usd_per_day = 0.02\n{text}")).unwrap();
    allow("[workers.marie]\nbudget_usd_per_day = 0.01\n");
    let mut command = world.served("marie", "127.0.0.1:0");
    let watcher = world.start(command.arg("--config").arg(&config).args(["--concurrency", "1"]), "marie");
    world.at_work("marie", &watcher);
    for name in ["a", "b", "c"] {
        world.submit(
            "marie/pending",
            name,
            &json!({"prompt": "fake: cost usd=0.01; succeed", "priority": 0}),
        );
    }
    let done = |n: u64| {
        move |it: &Value| is_spent(it) && it["queues"]["completed"] == json!(n) && it["running"] == json!([])
    };
    state(&world, "marie", done(1));
    assert_eq!(told(&world, "worker", "marie")["bounds"][0]["limit"], 0.01, "its own table wins");
    allow("");
    watcher.signal(nix::sys::signal::Signal::SIGHUP);
    state(&world, "marie", done(2));
    let (code, _, error) = text(&world.agentctl(&["budget", "reset", "--worker", "marie"]));
    assert_eq!(code, Some(0), "{error}");
    state(&world, "marie", |it| it["hold"].is_null() && it["queues"]["completed"] == 3);
    assert_eq!(told(&world, "worker", "marie")["usd_last_day"], 0.03);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_clock_that_is_set_back_does_not_hold_for_ever() {
    let world = World::new();
    set_clock(&world, 5 * 86_400);
    let start = |world: &World| {
        let mut command = stepped(world, "marie");
        let started = world.start(command.args(["--budget-usd-per-hour", "0.01"]), "marie");
        world.at_work("marie", &started);
        started
    };
    let _watcher = start(&world);
    world.submit("marie/pending", "one", &json!({"prompt": "fake: cost usd=0.01; succeed"}));
    world.filed("marie/completed", "one");
    state(&world, "marie", is_spent);
    world.submit("marie/pending", "two", &json!({"prompt": "fake: succeed"}));
    set_clock(&world, 0);
    world.filed("marie/completed", "two");
}
