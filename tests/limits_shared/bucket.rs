//! The requests of a minute, spent by three watchers that are killed again and again.

use std::time::Instant;

use serde_json::json;

use crate::sight::{self, tasks};
use crate::world::World;
use crate::{WORKERS, account, limits, starts, up};

const RATE: usize = 30;

#[test]
fn no_more_agents_are_started_than_there_are_requests_whoever_is_killed() {
    let world = World::new();
    let rate = RATE.to_string();
    let flags = [("--api-requests-per-minute", rate.as_str()), ("--concurrency", "8")];
    let began = Instant::now();
    let mut watchers: Vec<_> = WORKERS.iter().map(|worker| Some(up(&world, worker, &flags))).collect();
    for n in 0..RATE + 6 {
        world.submit("", &format!("t{n}"), &json!({"prompt": "fake: succeed"}));
    }
    // Each of them dies in the middle of it.
    for (n, worker) in WORKERS.iter().enumerate() {
        world.until("some more were started", || (starts(&world) >= 5 * (n + 1)).then_some(()));
        watchers[n].take().unwrap().murder();
        watchers[n] = Some(up(&world, worker, &flags));
    }
    // What there was, and what came back in the meantime; the clock is read after the starts are counted.
    let allowed = || {
        let started = starts(&world);
        let back = usize::try_from(began.elapsed().as_millis()).unwrap() * RATE / 60_000;
        assert!(started <= RATE + back + 1, "{started} were started, {RATE} and {back} were allowed");
        started
    };
    world.until("the requests are used up", || (allowed() >= RATE - 3).then_some(()));
    world.until("each was done once", || {
        allowed();
        let done: usize = WORKERS.iter().map(|it| tasks(&world, &format!("{it}/completed")).len()).sum();
        (done == RATE + 6).then_some(())
    });
    let left = sight::names(&limits(&world)).into_iter().filter(|name| name.starts_with('.')).count();
    assert_eq!(left, 0, "a killed writer's file is removed by the next one");
}

#[test]
fn a_worker_that_waits_for_a_request_says_so_and_is_not_degraded() {
    let world = World::new();
    let _marie = up(&world, "marie", &[("--api-requests-per-minute", "1")]);
    for name in ["a", "b"] {
        world.submit("marie/pending", name, &json!({"prompt": "fake: succeed"}));
    }
    world.until("one is done", || (tasks(&world, "marie/completed").len() == 1).then_some(()));
    let waits = &tasks(&world, "marie/pending");
    if let [file] = &waits[..] {
        let why = world.agentctl(&["why", file.trim_end_matches(".json"), "--json"]);
        let why: serde_json::Value = serde_json::from_slice(&why.stdout).unwrap_or_default();
        // On a machine that took a minute for all this it runs by now.
        assert!(why["runs_now"] == true || why["reasons"][0]["reason"] == "paced", "{why}");
    }
    let state = sight::state(&world, "marie", |it| it["status"].is_string());
    assert_eq!((&state["status"], &state["hold"]), (&json!("running"), &json!(null)), "{state}");
    account(&world, "it is counted", |it| it["per_minute"] == 1);
    let cleared = world.agentctl(&["limits", "--clear"]);
    assert!(cleared.status.success());
    world
        .until("the other one need not wait", || (tasks(&world, "marie/completed").len() == 2).then_some(()));
}
