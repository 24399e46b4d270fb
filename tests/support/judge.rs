//! Reads a root after a storm and says which promises are broken: the one place where tests that kill and refuse agree on
//! what must hold. Every finding is a sentence; none is a promise that is kept.

#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "each test uses its own part")]
#![allow(clippy::disallowed_methods, reason = "a test plays the user: it reads what is written")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::world::{World, json, until};

/// A field of every task that is handed in, which must survive as it was written.
pub const MINE: &str = r#""mine":{"b":1,"a":[1.50]}"#;

/// A task that was accepted, and where it may lie when all is quiet.
#[derive(Clone, Copy)]
pub struct Accepted {
    pub name: &'static str,
    /// Relative to `tasks/`; the inbox is the empty word.
    pub homes: &'static [&'static str],
    /// Whether it may also be nowhere: it had not been handed in yet, or was taken away.
    pub may_be_gone: bool,
}

impl Accepted {
    /// One that is somewhere at any time.
    pub const fn in_one(name: &'static str, homes: &'static [&'static str]) -> Self {
        Self { name, homes, may_be_gone: false }
    }
}

/// The text of a task file with this prompt.
pub fn task(prompt: &str) -> String {
    format!("{{\"prompt\":{},{MINE}}}", Value::from(prompt))
}

/// What is broken at this very moment; no program of ours need be at rest.
pub fn at_any_moment(world: &World, accepted: &[Accepted]) -> Vec<String> {
    let mut broken = Vec::new();
    for task in accepted {
        let homes = world.homes(task.name);
        if homes.len() != 1 && !(homes.is_empty() && task.may_be_gone) {
            broken.push(format!("{} is in {homes:?}", task.name));
        }
        for home in homes {
            let text = text(&file_of(world, &home, task.name));
            if serde_json::from_str::<Value>(&text).is_err() {
                broken.push(format!("{} in {home} is no JSON: {text:?}", task.name));
            } else if !text.contains(MINE) && !text.replace(": ", ":").replace(", ", ",").contains(MINE) {
                broken.push(format!("{} in {home} has lost a field that is not ours: {text}", task.name));
            }
        }
    }
    for path in ["heartbeat.json", "state.json", "resume.json"] {
        let path = world.root().join("workers/marie").join(path);
        if path.exists() && json(&path).is_none() {
            broken.push(format!("{} is not whole: {:?}", path.display(), text(&path)));
        }
    }
    broken
}

/// What is broken when everything has ended that was started.
pub fn at_rest(world: &World, accepted: &[Accepted]) -> Vec<String> {
    let mut broken = at_any_moment(world, accepted);
    for task in accepted {
        let homes = world.homes(task.name);
        let Some(home) = homes.first() else { continue };
        if !task.homes.contains(&home.as_str()) {
            broken.push(format!("{} ended in {home} and not in {:?}", task.name, task.homes));
        }
        if let Some(file) = json(&file_of(world, home, task.name)) {
            broken.extend(told(world, &file, task.name, home));
            broken.extend(runs(world, &file, task.name));
        }
    }
    let overlaps = world.agent_log().into_iter().filter(|line| line["event"] == "overlap");
    broken.extend(overlaps.map(|line| format!("two agents worked on one conversation: {line}")));
    broken.extend(lines(world));
    broken.extend(left(world));
    broken.extend(left_behind(world));
    let fsck = world.agentctl(&["fsck", "--json"]);
    if !fsck.status.success() {
        broken.push(format!("fsck: {}", String::from_utf8_lossy(&fsck.stdout)));
    }
    broken
}

/// Processes that go on. Whoever was asked for the CLI's version was killed with the worker that asked, and dies when it gets
/// its turn.
fn left_behind(world: &World) -> Vec<String> {
    let line = |pid: i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).replace('\0', " ")
    };
    let asked = || world.processes().into_iter().any(|pid| line(pid).contains(" --version"));
    until(Duration::from_secs(5), || (!asked()).then_some(()));
    world
        .processes()
        .into_iter()
        .map(|pid| format!("a process was left behind: {pid} {}", line(pid)))
        .collect()
}

fn file_of(world: &World, home: &str, name: &str) -> PathBuf {
    world.root().join("tasks").join(home).join(format!("{name}.json"))
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The outcome is where it is looked for, and agrees with the task.
fn told(world: &World, file: &Value, name: &str, home: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let attempts = file["attempts"].as_array().cloned().unwrap_or_default();
    let charged = attempts.iter().filter(|it| it["charged"] == true).count() as u64;
    if file["retry_count"].as_u64().unwrap_or(0) != charged {
        broken.push(format!("{name} counts {} and was charged {charged} times: {file}", file["retry_count"]));
    }
    if attempts.iter().any(|it| !it["outcome"].is_string()) {
        broken.push(format!("{name} is at rest with an open attempt: {file}"));
    }
    if !home.ends_with("completed") {
        return broken;
    }
    if file["state"] != "COMPLETED" || file["result"] != "done" {
        broken.push(format!("{name} is completed without being so: {file}"));
    }
    let Some(run) = file["run_id"].as_str() else { return broken };
    let dir = world.root().join("artifacts").join(run);
    let result = json(&dir.join("result.json")).unwrap_or_default();
    if result["state"] != "COMPLETED" {
        broken.push(format!("{name}: result.json says {result}"));
    }
    let output = file["output"].as_str().map(|it| text(&world.root().join(it)));
    if output.as_deref().map(str::trim_end) != Some("done") {
        broken.push(format!("{name}: its output is {output:?}"));
    }
    let history = text(&dir.join("history.ndjson"));
    for (called, text) in [("history", history), ("journal", journal(world))] {
        let concluded = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut ids: Vec<String> = concluded
            .filter(|line| line["event"] == "concluded" && line["run_id"] == run)
            .map(|line| line["id"].to_string())
            .collect();
        ids.sort();
        ids.dedup();
        if ids.len() != 1 {
            broken.push(format!("{name}: its {called} tells {} ends of it", ids.len()));
        }
    }
    broken
}

/// Starts are recorded, and what ended well is not run again.
fn runs(world: &World, file: &Value, name: &str) -> Vec<String> {
    let log = world.agent_log();
    let of = |event: &str| log.iter().filter(|line| line["event"] == event && line["task"] == name).count();
    let attempts = file["attempts"].as_array().map_or(0, Vec::len);
    let well =
        log.iter().filter(|line| line["event"] == "end" && line["task"] == name && line["code"] == 0).count();
    let mut broken = Vec::new();
    if of("start") > attempts {
        broken.push(format!("{name} was started {} times, and {attempts} are recorded", of("start")));
    }
    if well > 1 {
        broken.push(format!("{name} was finished {well} times"));
    }
    broken
}

/// The journals of all workers.
fn journal(world: &World) -> String {
    let all = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|it| it.path());
    all(world.root().join("workers"))
        .flat_map(|worker| all(worker.join("journal")))
        .map(|day| text(&day))
        .collect()
}

/// No half of a line stands anywhere.
fn lines(world: &World) -> Vec<String> {
    let mut all = vec![("the journal".to_owned(), journal(world))];
    for run in fs::read_dir(world.root().join("artifacts")).into_iter().flatten().flatten() {
        let path = run.path().join("history.ndjson");
        all.push((path.display().to_string(), text(&path)));
    }
    let torn = |(path, text): (String, String)| {
        let torn: Vec<&str> = text
            .lines()
            .filter(|line| !line.is_empty() && serde_json::from_str::<Value>(line).is_err())
            .collect();
        (!torn.is_empty()).then(|| format!("{path} holds half a line: {torn:?}"))
    };
    all.into_iter().filter_map(torn).collect()
}

/// What nobody needs any more and nobody took away. A part of a file that a killed write left is no such thing where it
/// may be somebody's who still writes, in the inbox and `pending/`, and where it is beside nobody's way, in `artifacts/` and
/// `workers/`: those the retention takes after a day.
pub fn left(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    let mut dirs = vec![world.root()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let below = path.strip_prefix(world.root()).unwrap().display().to_string();
            let is_part = name.starts_with('.') && name.as_bytes().ends_with(b".tmp");
            let may_be_written = below.contains("/pending/") || below.matches('/').count() == 1;
            if is_part && below.starts_with("tasks/") && (!may_be_written || name == ".renewal.tmp") {
                broken.push(format!("{below} was left behind"));
            }
            if below.starts_with("locks/") && below.contains("_task_") {
                broken.push(format!("{below} is the lock of nothing"));
            }
            if below.starts_with("pipes/") && below.contains('_') {
                broken.push(format!("{below} is the pipe of nothing"));
            }
            if entry.file_type().is_ok_and(|it| it.is_dir()) {
                dirs.push(path);
            }
        }
    }
    broken
}
