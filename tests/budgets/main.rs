//! Budgets under real watchers: what a task may use over all its attempts, and what workers and packs may in an hour and
//! in a day. The stand-in agent, whose turns cost what they are told to.

#![cfg(feature = "test-support")]
#![allow(clippy::disallowed_methods, reason = "a test plays the operator: it writes packs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/http.rs"]
mod http;
#[path = "../support/world.rs"]
mod world;

mod deaths;
mod tasks;
mod windows;

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use world::{World, json};

/// A watcher whose wall clock is off by what the file `clock` of the world says, in seconds.
fn stepped(world: &World, worker: &str) -> Command {
    let mut command = world.served(worker, "127.0.0.1:0");
    command.env("AGENT_WORKER_CLOCK_STEP", world.path().join("clock"));
    command
}

/// Sets the clock of watchers that go by it.
fn set_clock(world: &World, seconds: i64) {
    let temp = world.path().join("clock.tmp");
    fs::write(&temp, seconds.to_string()).unwrap();
    fs::rename(temp, world.path().join("clock")).unwrap();
}

/// `state.json` of a worker, once it is as expected.
fn state(world: &World, worker: &str, is: impl Fn(&Value) -> bool) -> Value {
    let path = world.root().join(format!("workers/{worker}/state.json"));
    world.until(&format!("{worker} is as expected"), || json(&path).filter(|state| is(state)))
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What `agentctl budget --json` says of one worker or pack.
fn told(world: &World, scope: &str, name: &str) -> Value {
    let (code, said, error) = text(&world.agentctl(&["budget", "--json"]));
    assert_eq!(code, Some(0), "{error}");
    let all: Value = serde_json::from_str(&said).unwrap();
    let found = all.as_array().unwrap().iter().find(|it| it["scope"] == scope && it["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("{scope} {name} is told of in {said}"))
}

/// The journal's lines of today and its neighbours, of all workers.
fn journal(world: &World) -> Vec<Value> {
    let mut lines = Vec::new();
    for worker in fs::read_dir(world.root().join("workers")).unwrap().flatten() {
        for day in fs::read_dir(worker.path().join("journal")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(day.path()).unwrap();
            lines.extend(text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        }
    }
    lines
}
