//! `agentctl fsck` on real trees: each kind of damage is seen as what it is and mended, and a healthy tree that is being
//! worked on is never accused.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test plays the user and the mishap, and one that cannot go on ends"
)]

mod busy;
mod damages;

#[path = "../support/world.rs"]
mod world;

use std::fs;

use serde_json::{Value, json};
use world::World;

/// What `fsck` found, and with which code it ended.
struct Said {
    code: i32,
    json: Value,
    err: String,
}

impl Said {
    /// Severity and damage of everything but runs of no task, which follow from a task that cannot be read.
    fn found(&self) -> Vec<(String, String)> {
        let findings = self.json["findings"].as_array().unwrap();
        let word = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
        let runs = |it: &&Value| it["damage"] != "orphan";
        findings.iter().filter(runs).map(|it| (word(it, "severity"), word(it, "damage"))).collect()
    }
}

fn fsck(world: &World, more: &[&str]) -> Said {
    let args: Vec<&str> = ["fsck", "--json"].iter().chain(more).copied().collect();
    let said = world.agentctl(&args);
    let err = String::from_utf8_lossy(&said.stderr).into_owned();
    let json = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{err}"));
    Said { code: said.status.code().unwrap(), json, err }
}

/// A world whose worker has completed `good` and failed `bad`, and was stopped.
fn worked() -> World {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("marie/pending", "good", &json!({"prompt": "say hello"}));
    world.submit("marie/pending", "bad", &json!({"prompt": "say hello", "type": "no-such-pack"}));
    world.filed("marie/completed", "good");
    world.filed("marie/failed", "bad");
    assert_eq!(watcher.stop(), 0);
    world
}

fn edit(world: &World, path: &str, change: impl FnOnce(&mut Value)) {
    let path = world.root().join(path);
    let mut task: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut task);
    fs::write(path, task.to_string()).unwrap();
}
