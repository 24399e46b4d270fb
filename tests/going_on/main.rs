//! How a run goes on whose agent or watcher was killed: with its conversation, a copy of it, or what its record tells. Real
//! watchers, the stand-in agent.

#![cfg(feature = "test-support")]
#![allow(clippy::disallowed_methods, reason = "a test plays the user, and whoever damages a transcript")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/world.rs"]
mod world;

mod ladder;
mod renewed;
mod turns;
mod twice;

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use world::World;

/// A task whose agent says something, calls a tool, and then waits for [`gate`].
fn begin(world: &World, name: &str) -> Value {
    let script = "say text=I have begun; tool name=Bash text=make install";
    let prompt = format!("fake: {script}; gate={}; succeed text=done", gate(world).display());
    world.submit("marie/pending", name, &json!({"prompt": prompt}));
    at_gate(world, name, 1)
}

/// The task, once its attempt `number` waits at the gate.
fn at_gate(world: &World, name: &str, number: usize) -> Value {
    let task = world.active("marie", name, |task| task["attempts"][number - 1]["pid"].is_number());
    let stream = artifact(world, &task, &format!("attempt-{number}/stream.ndjson"));
    world.until("its agent is at work", || {
        fs::read_to_string(&stream).is_ok_and(|text| text.contains("make install")).then_some(())
    });
    task
}

fn gate(world: &World) -> PathBuf {
    world.path().join("gate")
}

fn open_gate(world: &World) {
    fs::write(gate(world), "").unwrap();
}

fn artifact(world: &World, task: &Value, name: &str) -> PathBuf {
    world.root().join("artifacts").join(task["run_id"].as_str().unwrap()).join(name)
}

/// Kills the agent of the task's last attempt.
fn kill_agent(task: &Value) {
    let pid = attempts(task).last().unwrap()["pid"].as_i64().unwrap();
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
}

/// The transcript of a conversation.
fn transcript(world: &World, session: &Value) -> PathBuf {
    let projects = world.home().join(".claude/projects");
    let name = format!("{}.jsonl", session.as_str().unwrap());
    let folders = fs::read_dir(projects).unwrap().flatten();
    folders.map(|it| it.path().join(&name)).find(|path| path.exists()).unwrap()
}

/// What the stand-in says in place of beginning in this way: `new`, `resume`, `fork`.
fn refuse(world: &World, mode: &str, text: &str) -> PathBuf {
    let path = world.home().join(format!("refuse-{mode}"));
    fs::write(&path, text).unwrap();
    path
}

fn attempts(task: &Value) -> &[Value] {
    task["attempts"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn each<'a>(task: &'a Value, field: &str) -> Vec<&'a str> {
    attempts(task).iter().map(|it| it[field].as_str().unwrap_or("-")).collect()
}

/// What the agents were told, in order.
fn told(world: &World) -> Vec<String> {
    let lines = world.agent_log().into_iter().filter(|line| line["event"] == "message");
    lines.map(|line| line["text"].as_str().unwrap().to_owned()).collect()
}

/// No two processes ever worked on one conversation.
fn never_twice(world: &World) {
    let log = world.agent_log();
    assert!(log.iter().all(|line| line["event"] != "overlap"), "{log:?}");
}
