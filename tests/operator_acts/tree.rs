//! A root that is laid out by hand, everything that stands in it, and what a command said.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use agent_worker::layout::Layout;
use serde_json::{Value, json};

use crate::world::World;

/// The folders of a root with marie.
pub(crate) fn laid_out() -> World {
    let world = World::new();
    let layout = Layout::new(world.root());
    let dirs = layout.common_dirs().into_iter().chain(layout.worker_dirs(&"marie".parse().unwrap()));
    dirs.for_each(|dir| fs::create_dir_all(dir).unwrap());
    world
}

/// A failed task of marie's, as a watcher leaves it.
pub(crate) fn fail(world: &World, name: &str, code: &str) {
    let dir = world.root().join("tasks/marie/failed");
    let task = json!({"prompt": "fake: succeed", "state": "FAILED", "error_code": code, "failure_reason": "as it was"});
    fs::write(dir.join(format!("{name}.json")), task.to_string()).unwrap();
    fs::write(dir.join(format!("{name}.json.reason")), "{}").unwrap();
}

/// Everything below `dir`: what it holds, and when it was written.
pub(crate) fn everything(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, u32)> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let meta = entry.path().symlink_metadata().unwrap();
            let bytes = if meta.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
            // Who only looks may be seen by the age of a folder's last read, and by nothing else.
            all.insert(entry.path(), (bytes, meta.mtime_nsec() + meta.mtime() * 1_000_000_000, meta.mode()));
            if meta.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    all
}

/// The lines of marie's journal, oldest first.
pub(crate) fn journal(world: &World) -> Vec<Value> {
    let dir = world.root().join("workers/marie/journal");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|it| it.path()).collect();
    files.sort();
    let text: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What was said on each side, and with which code it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap_or(-1),
        }
    }
}

/// Runs `agentctl` with these words.
pub(crate) fn agentctl(world: &World, words: &str) -> Said {
    world.agentctl(&words.split(' ').collect::<Vec<_>>()).into()
}

/// The same, which must succeed.
pub(crate) fn done(world: &World, words: &str) -> Said {
    let said = agentctl(world, words);
    assert_eq!(said.code, 0, "{words}: {said:?}\n{}", world.said());
    said
}
