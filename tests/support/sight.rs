//! What a test sees of a world: folders, logs, and processes by what the kernel says of them.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]
#![allow(clippy::disallowed_methods, reason = "a test plays the user")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::world::World;

/// A place below `tasks/`.
pub fn place(world: &World, place: &str) -> PathBuf {
    world.root().join("tasks").join(place)
}

/// The names in a folder, in order; none if it is not there.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The task files in a place.
pub fn tasks(world: &World, at: &str) -> Vec<String> {
    let mut names = names(&place(world, at));
    names.retain(|name| Path::new(name).extension().is_some_and(|it| it == "json"));
    names
}

/// The lines of one kind that the stand-in agents wrote about `task`.
pub fn events(world: &World, event: &str, task: &str) -> Vec<Value> {
    let mut lines = world.agent_log();
    lines.retain(|line| line["event"] == event && line["task"] == task);
    lines
}

/// Waits until an agent works on `task`; its pid.
pub fn agent(world: &World, task: &str) -> i32 {
    let line = world.until(&format!("an agent hears of {task}"), || events(world, "message", task).pop());
    i32::try_from(line["pid"].as_i64().unwrap()).unwrap()
}

/// The reason beside a failed task.
pub fn reason(world: &World, worker: &str, file: &str) -> Value {
    let path = place(world, &format!("{worker}/failed/{file}.json.reason"));
    world.until(&format!("{} is there", path.display()), || crate::world::json(&path))
}

/// The lines in the log `tag` which contain `part`.
pub fn logged(world: &World, tag: &str, part: &str) -> Vec<Value> {
    let text = fs::read_to_string(world.logs().join(format!("{tag}.err"))).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains(part));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The lines of a worker's journal.
pub fn journal(world: &World, worker: &str) -> Vec<Value> {
    let dir = world.root().join(format!("workers/{worker}/journal"));
    let text: String = names(&dir).iter().map(|name| fs::read_to_string(dir.join(name)).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A worker's `state.json`, once it satisfies `is`.
pub fn state(world: &World, worker: &str, is: impl Fn(&Value) -> bool) -> Value {
    let path = world.root().join(format!("workers/{worker}/state.json"));
    world.until(&format!("{} is as expected", path.display()), || {
        crate::world::json(&path).filter(|it| is(it))
    })
}

/// A field of `/proc/<pid>/status`.
pub fn status(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Whether a process works, as opposed to being gone or a zombie.
pub fn lives(pid: i32) -> bool {
    status(pid, "State").is_some_and(|state| !state.starts_with('Z') && !state.starts_with('X'))
}

/// The zombies whose parent is `pid`.
pub fn zombies_of(pid: i32) -> Vec<i32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|it| status(*it, "PPid").is_some_and(|parent| parent == pid.to_string()))
        .filter(|it| status(*it, "State").is_some_and(|state| state.starts_with('Z')))
        .collect()
}

/// The watcher of `worker` with the values of some flags replaced; an empty one takes its flag away.
pub fn watcher_with(world: &World, worker: &str, replaced: &[(&str, &str)]) -> std::process::Command {
    let usual = world.watcher(worker);
    let args: Vec<_> = usual.get_args().map(|it| it.to_str().unwrap().to_owned()).collect();
    let mut command = world.command("watcher");
    for pair in args.chunks(2) {
        match replaced.iter().find(|(flag, _)| *flag == pair[0]) {
            Some((_, "")) => {}
            Some((flag, value)) => drop(command.args([flag, value])),
            None => drop(command.args(pair)),
        }
    }
    command
}
