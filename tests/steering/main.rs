//! A running agent is told something, interrupted, cancelled; and says something itself. Real pipes, the stand-in agent.

#![cfg(feature = "test-support")]
#![allow(clippy::disallowed_methods, reason = "a test plays the user: it writes into pipes and moves files")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/world.rs"]
mod world;

mod ends;
mod handing;
mod hearing;
mod telling;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use serde_json::Value;
use world::World;

/// The pipe of a running agent.
fn agent_pipe(world: &World, task: &str) -> PathBuf {
    world.root().join(format!("pipes/marie_{task}.in"))
}

fn is_pipe(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
}

/// One line into a pipe, once somebody reads it.
fn write(world: &World, pipe: &Path, line: &str) {
    let mut file = world.until(&format!("somebody reads {}", pipe.display()), || {
        OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(pipe).ok()
    });
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// A command, and the `data` of its answer.
fn ask(world: &World, pipe: &Path, mut command: Value) -> Value {
    let name = format!("test-{}", uuid::Uuid::new_v4().simple());
    let path = world.root().join("pipes").join(&name);
    nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let answers = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open(&path);
    command["reply_to"] = name.into();
    write(world, pipe, &command.to_string());
    let event = heard(world, &mut answers.unwrap());
    fs::remove_file(path).unwrap();
    event["data"].clone()
}

/// The next line of a pipe.
fn heard(world: &World, pipe: &mut File) -> Value {
    let mut text = String::new();
    world.until("it is answered", || {
        let mut bytes = [0; 4096];
        let n = pipe.read(&mut bytes).unwrap_or(0);
        text.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
        text.ends_with('\n').then_some(())
    });
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A command to the worker itself.
fn ask_worker(world: &World, command: Value) -> Value {
    ask(world, &world.root().join("pipes/marie.in"), command)
}

/// The lines of a run's history with this event.
fn history(world: &World, task: &Value, event: &str) -> Vec<Value> {
    let path = world.root().join("artifacts").join(task["run_id"].as_str().unwrap()).join("history.ndjson");
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}
