//! What a watcher holds on to.

use std::fs;

use serde_json::json;

use crate::world;
use crate::world::World;

/// What a process holds: anonymous memory in KiB, descriptors, threads.
fn held(pid: i32) -> (u64, usize, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    (field("RssAnon:"), fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), field("Threads:"))
}

#[test]
fn a_watcher_holds_on_to_nothing_of_the_tasks_that_went_through_it() {
    let world = World::new();
    let mut watcher = world.watcher("marie");
    watcher.args(["--agent", "echo", "--durability", "none", "--log-level", "warn"]);
    let started = world.start(&mut watcher, "marie");
    world.at_work("marie", &started);
    let state = world.root().join("workers/marie/state.json");
    let mut dropped = 0;
    let mut through = |tasks: u64| {
        for _ in 0..tasks / 150 {
            (0..150).for_each(|n| {
                world.submit("marie/pending", &format!("t{}", dropped + n), &json!({"prompt": "hello"}));
            });
            dropped += 150;
            world.until("they are done", || {
                world::json(&state).filter(|it| it["queues"]["completed"] == dropped).map(drop)
            });
        }
    };
    through(150);
    let before = held(started.pid());
    through(600);
    // One that is open for a moment, such as that of a heartbeat, is none that it holds on to.
    let after = world.until("it holds on to no more descriptors", || {
        Some(held(started.pid())).filter(|after| after.1 <= before.1)
    });
    // Those for errands stay, and are so many at most.
    assert!(after.2 < 32, "{} threads", after.2);
    assert!(after.0 <= before.0 + 1536, "{} KiB became {} KiB", before.0, after.0);
    assert_eq!(started.stop(), 0);
}
