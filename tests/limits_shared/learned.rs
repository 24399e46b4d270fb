//! What one learns holds the others before they start anything, and one good answer lets all of them go on.

use std::fs;

use serde_json::json;

use crate::sight::{self, events};
use crate::world::World;
use crate::{WORKERS, account, held, starts, up};

#[test]
fn a_rate_limit_that_marie_met_holds_anga_and_fabien() {
    let world = World::new();
    let _watchers = WORKERS.map(|worker| up(&world, worker, &[]));
    world.submit("marie/pending", "met", &json!({"prompt": "fake: api status=429 | succeed"}));
    held(&world, "marie", "rate_limit");
    for worker in ["anga", "fabien"] {
        let hold = held(&world, worker, "rate_limit");
        assert!(hold["reason"].as_str().unwrap().contains("(met by marie)"), "{hold}");
        assert!(hold["until"].is_string(), "{hold}");
        world.submit(&format!("{worker}/pending"), worker, &json!({"prompt": "fake: succeed"}));
        sight::state(&world, worker, |it| it["queues"]["pending"] == 1);
    }
    assert_eq!(starts(&world), 1, "nobody else spent a start on it");
    let why = world.agentctl(&["why", "anga", "--json"]);
    let why: serde_json::Value = serde_json::from_slice(&why.stdout).unwrap();
    assert_eq!(why["reasons"][0]["reason"], "rate_limit", "{why}");
    // A person knows better: all of them go on.
    assert!(world.agentctl(&["limits", "--clear"]).status.success());
    for (worker, task) in [("marie", "met"), ("anga", "anga"), ("fabien", "fabien")] {
        world.filed(&format!("{worker}/completed"), task);
    }
}

#[test]
fn after_an_outage_one_of_all_tries_and_who_is_killed_while_he_does_is_followed_by_another() {
    let world = World::new();
    let [marie, anga, fabien] = WORKERS.map(|worker| up(&world, worker, &[]));
    let gate = world.path().join("gate");
    let waits = format!("fake: gate={}; succeed", gate.display());
    world.submit(
        "marie/pending",
        "first",
        &json!({"prompt": format!("fake: api status=529 | gate={}; succeed", gate.display())}),
    );
    account(&world, "the breaker opens", |it| it["breaker"]["cause"] == "outage");
    for worker in WORKERS {
        held(&world, worker, "outage");
        world.submit(&format!("{worker}/pending"), &format!("{worker}-t"), &json!({"prompt": waits}));
    }
    // One tries; the two others see it, and wait.
    let trying = || {
        let running = |name: &str| !events(&world, "message", name).is_empty();
        WORKERS.into_iter().find(|worker| {
            running(&format!("{worker}-t"))
                || (*worker == "marie" && events(&world, "message", "first").len() > 1)
        })
    };
    let first = world.until("one tries", trying);
    assert_eq!(starts(&world), 2, "one at a time");
    let mut watchers =
        std::collections::HashMap::from([("marie", marie), ("anga", anga), ("fabien", fabien)]);
    watchers.remove(first).unwrap().murder();
    world.until("another one tries", || (starts(&world) == 3).then_some(()));
    for worker in WORKERS.into_iter().filter(|worker| *worker != first) {
        assert!(!sight::state(&world, worker, |it| it["hold"].is_object())["hold"].is_null());
    }
    assert_eq!(starts(&world), 3, "still one at a time");
    fs::write(&gate, "").unwrap();
    watchers.insert(first, up(&world, first, &[]));
    world.filed("marie/completed", "first");
    for worker in WORKERS {
        world.filed(&format!("{worker}/completed"), &format!("{worker}-t"));
        sight::state(&world, worker, |it| it["hold"].is_null());
    }
    account(&world, "the breaker is closed", |it| it["breaker"].is_null());
}

#[test]
fn a_warning_before_the_limit_is_kept_and_shown() {
    let world = World::new();
    let _marie = up(&world, "marie", &[]);
    let event = r#"raw text={"type":"rate_limit_event","rate_limit_info":{"status":"allowed_warning","resetsAt":4102444800,"rateLimitType":"five_hour","utilization":0.87}}"#;
    world.submit("marie/pending", "t", &json!({"prompt": format!("fake: {event}\\n; succeed")}));
    world.filed("marie/completed", "t");
    let known = account(&world, "it is kept", |it| it["warning"].is_object());
    assert_eq!(
        (&known["warning"]["used_percent"], &known["warning"]["window"]),
        (&json!(87), &json!("five_hour"))
    );
    assert_eq!(known["warning"]["by"], "marie");
    for verb in [&["limits"][..], &["status"]] {
        let shown = String::from_utf8(world.agentctl(verb).stdout).unwrap();
        assert!(shown.contains("87 % are used up") && shown.contains("five_hour"), "{verb:?}: {shown}");
    }
}

#[test]
fn a_task_that_is_not_to_wait_fails_and_costs_no_start_once_the_limit_is_known() {
    let world = World::new();
    let _marie = up(&world, "marie", &[("--on-rate-limit", "fail")]);
    world.submit("marie/pending", "met", &json!({"prompt": "fake: api status=429"}));
    let met = world.filed("marie/failed", "met");
    assert_eq!(met["error_code"], "E006", "{met}");
    assert!(met["failure_reason"].as_str().unwrap().contains("--on-rate-limit fail"), "{met}");
    account(&world, "it is known", |it| it["rate_limit"].is_object());
    world.submit("marie/pending", "next", &json!({"prompt": "fake: succeed"}));
    let next = world.filed("marie/failed", "next");
    assert_eq!((&next["error_code"], starts(&world)), (&json!("E006"), 1), "{next}");
    let _anga = up(&world, "anga", &[]);
    held(&world, "anga", "rate_limit");
}
