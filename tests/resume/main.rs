//! `supervisor resume`, and the resumes that a supervisor leads by itself: real watchers, small delays.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and moves files")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../support/traces.rs"]
mod traces;
#[path = "../support/world.rs"]
mod world;

mod batches;
mod leaders;
mod supervised;

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use world::{Started, World};
fn resume(world: &World, args: &[&str]) -> Command {
    let mut command = world.command("supervisor");
    command.args(["resume", "marie", "--root"]).arg(world.root()).args(args);
    command
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Lays out the root: a watcher that was there and was stopped.
fn laid_out(world: &World) {
    assert_eq!(world.up("marie").stop(), 0);
}

/// Tasks that wait for marie, oldest first.
fn backlog(world: &World, prompts: impl IntoIterator<Item = String>) {
    let dir = world.root().join("tasks/marie/pending");
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    for (n, prompt) in (0..).zip(prompts) {
        let path = dir.join(format!(".t{n:02}.tmp"));
        fs::write(&path, json!({"prompt": prompt, "max_retries": 0}).to_string()).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(hour_ago + Duration::from_secs(n)).unwrap();
        fs::rename(path, dir.join(format!("t{n:02}.json"))).unwrap();
    }
}

fn succeed(n: usize) -> impl Iterator<Item = String> {
    std::iter::repeat_n("fake: succeed".to_owned(), n)
}

fn names(world: &World, place: &str) -> Vec<String> {
    let entries = fs::read_dir(world.root().join("tasks/marie").join(place)).unwrap();
    let mut names: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("t{n:02}")).collect()
}

fn record(world: &World) -> Option<Value> {
    world::json(&world.root().join("workers/marie/resume.json"))
}

/// Waits for a resume that is as expected.
fn recorded(world: &World, is: impl Fn(&Value) -> bool) -> Value {
    world.until("resume.json is as expected", || record(world).filter(|it| is(it)))
}

/// The tasks in the order in which they were started, those of one batch by name: an idle worker takes what it sees
/// first of a batch.
fn by_batch(world: &World, size: usize) -> Vec<String> {
    let mut all = started(world);
    all.retain(|name| name != "inbox");
    all.chunks_mut(size).for_each(<[String]>::sort);
    all
}

/// The tasks in the order in which they were started.
fn started(world: &World) -> Vec<String> {
    let starts = world.agent_log().into_iter().filter(|line| line["event"] == "start");
    starts.filter_map(|line| Some(line["task"].as_str()?.to_owned())).collect()
}

fn stderr(world: &World, tag: &str) -> String {
    fs::read_to_string(world.logs().join(format!("{tag}.err"))).unwrap_or_default()
}

fn one_at_a_time(world: &World) -> Started {
    let watcher = world.start(world.watcher("marie").args(["--concurrency", "1"]), "marie");
    world.at_work("marie", &watcher);
    watcher
}

/// Two whole looks of the watcher pass.
fn two_beats(world: &World) {
    let path = world.root().join("workers/marie/heartbeat.json");
    let seq = |path| world::json(path).and_then(|beat| beat["seq"].as_u64());
    let now = world.until("it beats", || seq(&path));
    world.until("it beats twice", || seq(&path).filter(|it| *it >= now + 3));
}
