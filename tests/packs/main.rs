//! Packs under real watchers: what they say reaches the agent, what is wrong with one holds its own tasks, and a pack
//! that was taken back stays so. The stand-in agent.

#![cfg(feature = "test-support")]
#![allow(clippy::disallowed_methods, reason = "a test plays the operator: it writes packs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/http.rs"]
mod http;
#[path = "../support/world.rs"]
mod world;

mod example;
mod held;
mod hostile;
mod said;
mod switched;
mod verbs;

use std::path::PathBuf;

use serde_json::Value;
use world::{World, json};

fn packs(world: &World) -> PathBuf {
    world.root().join("packs")
}

/// `state.json` of marie, once it names these packs as those that nothing is started with.
fn barred(world: &World, names: &[&str]) -> Value {
    let path = world.root().join("workers/marie/state.json");
    world.until(&format!("{names:?} are barred"), || {
        let state = json(&path)?;
        let packs = state["packs"].as_array().cloned().unwrap_or_default();
        let said: Vec<&str> = packs.iter().filter_map(|it| it["pack"].as_str()).collect();
        (said == names).then(|| state.clone())
    })
}

fn out(output: &std::process::Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
