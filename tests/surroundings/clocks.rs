//! The wall clock is set while work goes on. `kernel.rs` does the same to the clock of a whole kernel.

use std::fs;

use serde_json::json;

use crate::sight::events;
use crate::world::World;
use crate::{beats, http, sight};

const HALF_A_DAY: i64 = 43_200;

#[test]
fn a_pause_that_began_before_the_clock_was_set_back_does_not_last_until_it_is_that_late_again() {
    let world = World::new();
    let step = world.path().join("step");
    fs::write(&step, HALF_A_DAY.to_string()).unwrap();
    let mut command = world.watcher("marie");
    let watcher = world.start(command.env("AGENT_WORKER_CLOCK_STEP", &step), "marie");
    world.at_work("marie", &watcher);
    world.submit(
        "marie/pending",
        "again",
        &json!({"prompt": "fake: fail error | fail error | succeed", "max_retries": 5}),
    );
    let later = json!({"prompt": "fake: succeed", "not_before": "2999-01-01T00:00:00Z"});
    world.submit("marie/pending", "later", &later);
    let waits = || {
        let task = crate::world::json(&world.root().join("tasks/marie/pending/again.json"))?;
        task["retry_at"].is_string().then_some(task)
    };
    let waiting = world.until("it waits to be tried again", waits);
    fs::write(&step, "0").unwrap();
    let task = world.filed("marie/completed", "again");
    assert_eq!(task["retry_count"], 2, "{task} after {waiting}");
    beats(&world, 2);
    assert_eq!(world.homes("later"), ["marie/pending"], "what was asked for is waited for");
    assert!(events(&world, "start", "later").is_empty());
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn one_that_starts_after_the_clock_was_set_back_does_not_wait_for_it_either() {
    let world = World::new();
    assert_eq!(world.up("marie").stop(), 0);
    let step = world.path().join("step");
    fs::write(&step, HALF_A_DAY.to_string()).unwrap();
    let start = || {
        let mut command = world.served("marie", "127.0.0.1:0");
        let watcher = world.start(command.env("AGENT_WORKER_CLOCK_STEP", &step), "marie");
        world.at_work("marie", &watcher);
        watcher
    };
    let first = start();
    world.submit(
        "marie/pending",
        "again",
        &json!({"prompt": "fake: fail error | fail error | fail error | succeed", "max_retries": 5}),
    );
    sight::state(&world, "marie", |it| it["queues"]["pending"] == 1 && it["queues"]["active"] == 0);
    world.filed("marie/pending", "again");
    first.murder();
    fs::write(&step, "0").unwrap();
    let second = start();
    world.filed("marie/completed", "again");
    assert_eq!(http::code(&http::get(world.address("marie"), "/health")), "200");
    assert_eq!(second.stop(), 0);
}
