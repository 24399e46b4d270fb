//! The configuration file as an operator has it: the shipped example, mistakes told with their place, and a reload.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test plays the operator: it starts programs and writes files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "support/world.rs"]
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use agent_worker::config::KEYS;
use nix::sys::signal::Signal;
use serde_json::json;
use world::World;

/// Settings that are said to one program only.
const NOT_IN_A_FILE: [&str; 1] = ["worker"];

fn example() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/config.toml");
    fs::read_to_string(path).unwrap()
}

/// The example with every setting in force.
fn uncommented() -> String {
    let keys = |line: &str| KEYS.iter().any(|key| line.starts_with(&format!("# {key} = ")));
    example()
        .lines()
        .map(|line| if keys(line) { &line[2..] } else { line })
        .fold(String::new(), |all, line| all + line + "\n")
}

/// What a program would use: each setting with its value.
fn settings(world: &World, program: &str, args: &[&str], config: &Path) -> Vec<(String, String)> {
    let mut command = world.command(program);
    let done = command.args(args).arg("--config").arg(config).arg("--print-config").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    let cells = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next().unwrap().to_owned(), words.next().unwrap_or_default().to_owned())
    };
    text.lines().skip(1).map(cells).collect()
}

#[test]
fn the_example_has_every_setting_with_its_default() {
    let said = uncommented();
    for key in KEYS.iter().filter(|key| !NOT_IN_A_FILE.contains(key)) {
        assert!(said.lines().any(|line| line.starts_with(&format!("{key} = "))), "`{key}` is missing");
    }
    let world = World::new();
    let (bare, full) = (world.path().join("bare.toml"), world.path().join("full.toml"));
    fs::write(&bare, example()).unwrap();
    // Where nothing is the default there is no word for it: an empty text stands for that in the example.
    let meant: String = said
        .lines()
        .filter(|line| !line.contains("= \"\""))
        .fold(String::new(), |all, line| all + line + "\n");
    fs::write(&full, meant).unwrap();
    for (program, args) in [
        ("watcher", &["--worker", "marie"][..]),
        ("watcher", &["--worker", "fabien"]),
        ("supervisor", &["run"]),
    ] {
        let (bare, full) = (settings(&world, program, args, &bare), settings(&world, program, args, &full));
        let differ: Vec<_> = bare.iter().zip(&full).filter(|(one, other)| !is_same(one, other)).collect();
        assert!(differ.is_empty(), "{program} {args:?}: {differ:?}");
    }
}

/// What is off may be said in two ways.
fn is_same((key, bare): &(String, String), (other, full): &(String, String)) -> bool {
    let off = |value: &str| matches!(value, "-" | "none");
    let is_collector = key == "otlp_endpoint" && bare == "-";
    key == other && (bare == full || off(bare) && off(full) || is_collector)
}

#[test]
fn a_mistake_is_told_with_its_place_before_anything_begins() {
    let world = World::new();
    let config = world.path().join("config.toml");
    for (text, words) in [
        ("\n  concurency = 3\n", "line 2, column 3"),
        ("[workers.marie]\nconcurrency = \"many\"\n", "line 2, column 1"),
    ] {
        fs::write(&config, text).unwrap();
        let mut watcher = world.watcher("marie");
        let done = watcher.arg("--config").arg(&config).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(78), "{said}");
        assert!(said.contains(words) && said.contains("config.toml"), "{said}");
    }
}

#[test]
fn agentctl_finds_the_root_that_the_file_names() {
    let world = World::new();
    let config = world.path().join("config.toml");
    fs::write(&config, format!("root = \"{}\"\n", world.root().display())).unwrap();
    fs::create_dir(world.root().join("tasks")).unwrap();
    let mut agentctl = world.command("agentctl");
    let done = agentctl.args(["submit", "hi"]).env("AGENT_WORKER_CONFIG", &config).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let dropped = fs::read_dir(world.root().join("tasks")).unwrap().map_while(Result::ok);
    assert_eq!(dropped.filter(|it| it.path().extension().is_some_and(|it| it == "json")).count(), 1);
}

#[test]
fn a_reload_takes_over_what_it_can_and_says_what_needs_a_restart() {
    let world = World::new();
    let config = world.path().join("config.toml");
    fs::write(&config, "concurrency = 1\n").unwrap();
    let mut command = world.watcher("marie");
    let watcher = world.start(command.arg("--config").arg(&config), "marie");
    world.at_work("marie", &watcher);
    let gate = world.path().join("gate");
    let prompt = format!("fake: gate={}; succeed", gate.display());
    for name in ["one", "two"] {
        world.submit("marie/pending", name, &json!({ "prompt": prompt }));
    }
    world.until("one of them is at work", || (active(&world) == 1).then_some(()));
    fs::write(&config, "concurrency = 2\nallowed_host = [\"box\"]\n").unwrap();
    watcher.signal(Signal::SIGHUP);
    world.until("both are at work", || (active(&world) == 2).then_some(()));
    let said = |text: &str| world.until(text, || world.said().contains(text).then_some(()));
    said("changed: concurrency from 1 to 2; needs a restart: allowed_host from nothing to box");
    fs::write(&config, "concurrency = 0\n").unwrap();
    watcher.signal(Signal::SIGHUP);
    said("the configuration is wrong, and the worker goes on with what it had");
    fs::write(&gate, "").unwrap();
    world.filed("marie/completed", "one");
    world.filed("marie/completed", "two");
}

fn active(world: &World) -> usize {
    fs::read_dir(world.root().join("tasks/marie/active")).map_or(0, |files| {
        files.map_while(Result::ok).filter(|it| it.path().extension().is_some_and(|it| it == "json")).count()
    })
}
