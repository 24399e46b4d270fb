//! What is promised everywhere, done in the same way on each host on which a worker can live: `docs/promises.md` is the
//! table of it.
//!
//! A host is told apart by its shells alone: that of an operator, and one where marie's processes are seen. What became of
//! it is read from the tree and from what the stand-in agents wrote about themselves.

#![allow(dead_code, unreachable_pub, reason = "each host plays its own part of it")]
#![allow(clippy::disallowed_methods, reason = "a test plays the user")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

pub mod drops;
pub mod flow;
pub mod names;
pub mod room;
pub mod trees;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::world::{World, json};

/// Where a watcher of marie lives.
pub trait Host {
    /// The root as it is called here.
    fn root(&self) -> PathBuf;

    /// The root as it is called there.
    fn there(&self) -> String;

    /// The file in which the stand-in agents write about themselves, as it is called here.
    fn agents(&self) -> PathBuf;

    /// Types a line as an operator, who may write in the queues; what it printed. It has to go well.
    fn operator(&self, line: &str) -> String;

    /// Types a line where marie's processes are seen; whether it went well, and what it printed.
    fn inside(&self, line: &str) -> (bool, String);

    /// Waits for a fact; the test fails, with everything that was said, when it does not come.
    fn until<T>(&self, what: &str, fact: impl FnMut() -> Option<T>) -> T;
}

/// A place of marie's, as it is called here.
fn place(host: &impl Host, place: &str) -> PathBuf {
    host.root().join("tasks/marie").join(place)
}

/// The task in a place of marie's, once it is there.
pub fn filed(host: &impl Host, at: &str, name: &str) -> Value {
    let path = place(host, at).join(format!("{name}.json"));
    host.until(&format!("{} is there", path.display()), || json(&path))
}

/// Drops a task for marie whose agent does `script`; `more` stands beside the prompt.
pub fn submit(host: &impl Host, name: &str, script: &str, more: &str) {
    let pending = place(host, "pending");
    let temp = pending.join(format!(".{name}.tmp"));
    fs::write(&temp, format!(r#"{{"prompt":"fake: {script}"{more}}}"#)).unwrap();
    fs::rename(temp, pending.join(format!("{name}.json"))).unwrap();
}

/// Lets the agents go on that wait for this gate (`gate=` and its name below the root as it is called there).
pub fn open(host: &impl Host, gate: &str) {
    fs::write(host.root().join(gate), "").unwrap();
}

/// The lines of one kind that the agents of a task wrote.
pub fn told(host: &impl Host, task: &str, event: &str) -> Vec<Value> {
    let text = fs::read_to_string(host.agents()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["task"] == task && line["event"] == event).collect()
}

/// Every place below `tasks/` in which a file of this name stands.
pub fn homes(host: &impl Host, name: &str) -> Vec<PathBuf> {
    let mut homes = Vec::new();
    let mut dirs = vec![host.root().join("tasks")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            if entry.path().is_dir() {
                dirs.push(entry.path());
            } else if entry.path().file_name().is_some_and(|it| it == Path::new(&format!("{name}.json"))) {
                homes.push(dir.clone());
            }
        }
    }
    homes
}

/// Waits until marie's watcher has turned two more times.
fn two_beats(host: &impl Host) {
    let path = host.root().join("workers/marie/heartbeat.json");
    let beat = || json(&path).and_then(|beat| beat["seq"].as_u64());
    let now = host.until("marie beats", beat);
    host.until("marie beats on", || beat().filter(|it| *it >= now + 2));
}

/// Plain `exec`: the watcher is a program like any other, and all that is typed is typed beside it.
impl Host for World {
    fn root(&self) -> PathBuf {
        self.root()
    }

    fn there(&self) -> String {
        self.root().display().to_string()
    }

    fn agents(&self) -> PathBuf {
        self.home().join("fake-claude.log")
    }

    fn operator(&self, line: &str) -> String {
        let (is_well, text) = self.inside(line);
        assert!(is_well, "{line}: {text}\n{}", self.said());
        text
    }

    fn inside(&self, line: &str) -> (bool, String) {
        let Output { status, stdout, stderr } = Command::new("bash").args(["-c", line]).output().unwrap();
        let text = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
        (status.success(), text.into_owned())
    }

    fn until<T>(&self, what: &str, fact: impl FnMut() -> Option<T>) -> T {
        self.until(what, fact)
    }
}
