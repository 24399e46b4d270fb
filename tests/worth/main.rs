//! What an answer is worth, under real watchers: the acceptance command of a pack has the last word, whoever is killed
//! meanwhile, and the agent is not paid twice for it. The stand-in agent.

#![cfg(feature = "test-support")]
#![allow(clippy::disallowed_methods, reason = "a test plays the operator: it writes packs and scripts")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/world.rs"]
mod world;

mod cut;
mod shaped;
mod verified;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use world::World;

/// A script that the worker's user can execute.
fn script(path: &Path, body: &str) {
    let temp = path.with_extension("new");
    fs::write(&temp, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&temp, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(temp, path).unwrap();
}

/// A pack `checked` whose acceptance command is this script.
fn checked(world: &World, body: &str) -> PathBuf {
    let check = world.path().join("check");
    script(&check, body);
    world.pack("checked", &format!("verify = ['{}', 'all']\nverify_timeout = '2m'\n", check.display()));
    check
}

fn submit(world: &World, prompt: &str) {
    world.submit("marie/pending", "t", &json!({"type": "checked", "prompt": format!("fake: {prompt}")}));
}

/// A file of the run of `task`.
fn of_run(world: &World, task: &Value, name: &str) -> PathBuf {
    world.root().join("artifacts").join(task["run_id"].as_str().unwrap()).join(name)
}

/// How often an agent was started.
fn starts(world: &World) -> usize {
    world.agent_log().iter().filter(|it| it["event"] == "start").count()
}

/// The events of a kind in the run's history.
fn history(world: &World, task: &Value, event: &str) -> Vec<Value> {
    let text = fs::read_to_string(of_run(world, task, "history.ndjson")).unwrap_or_default();
    let lines = text.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
    lines.filter(|it| it["event"] == event).collect()
}
