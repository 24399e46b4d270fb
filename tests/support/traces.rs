//! What agents and watchers left behind, as far as a test about crashes asks for it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of it")]
#![allow(clippy::disallowed_methods, reason = "a test plays the user: it kills, and reads what is written")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::world::World;

/// A file that opens when it is made.
pub fn gate(world: &World, name: &str) -> PathBuf {
    world.path().join(format!("gate-{name}"))
}

/// Opens it.
pub fn open(gate: &Path) {
    fs::write(gate, "").unwrap();
}

/// A task whose agent waits at `gate`, then says `done`; resumed, it says `resumed`.
pub fn gated(gate: &Path) -> Value {
    json!({"prompt": format!("fake: gate={0}; succeed text=done | gate={0}; succeed text=resumed", gate.display())})
}

/// The lines of one kind that the agents of a task wrote.
pub fn said(world: &World, event: &str, task: &str) -> Vec<Value> {
    let mut lines = world.agent_log();
    lines.retain(|line| line["event"] == event && line["task"] == task);
    lines
}

/// Waits until `n` agents of a task have been told what to do; the pid of the last.
pub fn at_work(world: &World, task: &str, n: usize) -> i32 {
    world.until(&format!("agent {n} of {task} is at work"), || {
        (said(world, "message", task).len() >= n).then_some(())
    });
    pid(&said(world, "start", task)[n - 1])
}

/// Waits until the process of the agent is written down.
pub fn recorded(world: &World, task: &str, agent: i32) -> Value {
    world.active("marie", task, |it| {
        it["attempts"].as_array().and_then(|all| all.last()).is_some_and(|last| last["pid"] == agent)
    })
}

/// The process that a line is about.
pub fn pid(line: &Value) -> i32 {
    i32::try_from(line["pid"].as_i64().unwrap()).unwrap()
}

/// Whether a process is there and no zombie: it is one when its last thread has ended.
pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    !["Z", "X"].contains(&fields[0]) || fields[17] != "1"
}

/// Whether the first thread of a process has ended.
pub fn lost_its_first_thread(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z"))
}

/// `kill -9`, and gone.
pub fn slay(world: &World, pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    world.until(&format!("{pid} is gone"), || (!is_alive(pid)).then_some(()));
}

/// The journal of a worker.
pub fn journal(world: &World, worker: &str) -> Vec<Value> {
    let dir = world.root().join(format!("workers/{worker}/journal"));
    let mut days: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().map(|day| day.path()).collect();
    days.sort();
    let text: String = days.iter().map(|day| fs::read_to_string(day).unwrap_or_default()).collect();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How often the journal of marie tells of `event`.
pub fn count(world: &World, event: &str) -> usize {
    journal(world, "marie").iter().filter(|line| line["event"] == event).count()
}

/// No two agents ever worked on one conversation at a time.
pub fn alone(world: &World) {
    let overlaps: Vec<_> = world.agent_log().into_iter().filter(|line| line["event"] == "overlap").collect();
    assert!(overlaps.is_empty(), "two agents at once: {overlaps:?}\n{}", world.said());
}

/// `state.json` of a worker, once it is as expected.
pub fn state(world: &World, worker: &str, is: impl Fn(&Value) -> bool) -> Value {
    let path = world.root().join(format!("workers/{worker}/state.json"));
    world.until("state.json is as expected", || crate::world::json(&path).filter(|state| is(state)))
}
