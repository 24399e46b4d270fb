//! A watcher that is killed again and again, at random, while tasks come: each is done once.
//!
//! `SEED=n` repeats a round; a failure names its seed.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "the seed is said by whoever runs the tests")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/traces.rs"]
mod traces;
#[path = "support/world.rs"]
mod world;

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use traces::{alone, gate, open, said};
use world::World;

const KILLS: u64 = 30;
const TASKS: u64 = 40;

/// xorshift: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|it| it.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1)
}

/// A third of the tasks wait at a gate, so that their agents outlive some watchers.
fn task(world: &World, number: u64) -> Value {
    let waits = format!("fake: gate={}; succeed text=done", gate(world, &number.to_string()).display());
    let prompt =
        if number.is_multiple_of(3) { waits.as_str() } else { "fake: say text=hello; succeed text=done" };
    json!({"prompt": prompt, "max_retries": 100})
}

#[test]
fn thirty_kills_over_forty_tasks() {
    let seed = seed();
    let (world, mut dice) = (World::new(), Dice(seed));
    std::fs::create_dir_all(world.root().join("tasks/marie/pending")).unwrap();
    let mut dropped = 0;
    for kill in 0..KILLS {
        let due = TASKS * (kill + 1) / KILLS;
        for number in dropped..due {
            world.submit("marie/pending", &format!("t{number}"), &task(&world, number));
        }
        dropped = due;
        if kill > 2 {
            // The gates of what was dropped three watchers ago.
            (0..TASKS * (kill - 2) / KILLS).for_each(|number| open(&gate(&world, &number.to_string())));
        }
        let mut watcher = world.watcher("marie");
        watcher.args(["--concurrency", "8"]);
        let watcher = world.start(&mut watcher, "marie");
        // Its death is looked for at a random moment; nothing else ends it.
        let moment = Duration::from_millis(20 + dice.below(400));
        world::until(moment, || (!traces::is_alive(watcher.pid())).then_some(()));
        watcher.murder();
    }
    (0..TASKS).for_each(|number| open(&gate(&world, &number.to_string())));
    let last = world.up("marie");
    for number in 0..TASKS {
        check(&world, &format!("t{number}"), seed);
    }
    alone(&world);
    assert_eq!(last.stop(), 0);
}

fn check(world: &World, name: &str, seed: u64) {
    let task = world.filed("marie/completed", name);
    let when = format!("SEED={seed} {name}: {task:#}");
    assert_eq!(world.homes(name), ["marie/completed"], "{when}");
    assert_eq!(task["result"], "done", "{when}");
    let attempts = task["attempts"].as_array().unwrap();
    let recorded: HashSet<i64> = attempts.iter().filter_map(|it| it["pid"].as_i64()).collect();
    let started: HashSet<i64> =
        said(world, "start", name).iter().filter_map(|it| it["pid"].as_i64()).collect();
    assert!(started.len() <= attempts.len(), "{when}: {started:?}");
    // An agent may be killed before it says a word, so what is recorded may be more; never the other way round,
    // but for a watcher that died between the start and the record of it.
    let unrecorded = attempts.iter().filter(|it| it["pid"].is_null()).count();
    assert!(started.difference(&recorded).count() <= unrecorded, "{when}: {started:?}");
    let ended = said(world, "end", name).iter().filter(|line| line["code"] == 0).count();
    assert_eq!(ended, 1, "{when}: it ended well {ended} times");
}
