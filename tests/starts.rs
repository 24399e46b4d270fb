//! A program that does not get to be executed, as on a disk that hangs, keeps its own task, and neither its worker nor the
//! others.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "support/world.rs"]
mod world;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::json;
use world::{Started, World};

/// Keeps whoever opens a file, until its standard input ends: a lease (`fcntl(2)`), which the kernel takes back after
/// `/proc/sys/fs/lease-break-time`, 45 seconds.
const KEEPER: &str = r#"
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, lambda *_: os.write(1, b"asked\n"))
file = open(sys.argv[1])
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
os.write(1, b"kept\n")
sys.stdin.read()
"#;

struct Keeper {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Keeper {
    fn of(path: &Path) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", KEEPER]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut keeper = Self { child, said };
        keeper.hear("kept");
        keeper
    }

    fn hear(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }

    fn let_go(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// A worker whose program can be kept: a script, since what it becomes is not the file that is kept.
fn worker(world: &World) -> (Started, PathBuf) {
    let (program, real) = (world.program("fake-claude"), world.path().join("real"));
    std::fs::rename(&program, &real).unwrap();
    let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", real.display());
    let options = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&program);
    options.unwrap().write_all(script.as_bytes()).unwrap();
    let watcher = world.start(world.watcher("marie").args(["--concurrency", "3", "--grace", "1"]), "marie");
    world.at_work("marie", &watcher);
    world.submit("", "before", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "before");
    (watcher, program)
}

fn assert_kept_began_once(world: &World) {
    let kept = world.filed("marie/completed", "kept");
    assert_eq!(kept["result"], "at last");
    assert_eq!(kept["attempts"].as_array().unwrap().len(), 1, "{kept}");
}

#[test]
fn a_program_that_does_not_get_to_be_executed_keeps_nobody_else() {
    let world = World::new();
    let (watcher, program) = worker(&world);
    let gate = world.path().join("gate");
    world.submit(
        "",
        "other",
        &json!({"prompt": format!("fake: gate={}; succeed text=meanwhile", gate.display())}),
    );
    world.active("marie", "other", |it| it["state"] == "RUNNING");

    let mut keeper = Keeper::of(&program);
    world.submit("", "kept", &json!({"prompt": "fake: succeed text=at last"}));
    keeper.hear("asked");
    let beat = || world::json(&world.root().join("workers/marie/heartbeat.json"))?["seq"].as_u64();
    let then = beat().unwrap();
    world.until("the heart beats on", || (beat()? >= then + 3).then_some(()));
    // Who ends is seen to end, though the end of its stdin comes late: what hangs holds a copy of it.
    std::fs::write(gate, "").unwrap();
    assert_eq!(world.filed("marie/completed", "other")["result"], "meanwhile");
    world.active("marie", "kept", |it| it["state"] == "INITIALIZING");
    assert_eq!(world.homes("kept").len(), 1);

    keeper.let_go();
    assert_kept_began_once(&world);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_worker_that_is_stopped_leaves_a_start_that_hangs_to_the_next() {
    let world = World::new();
    let (watcher, program) = worker(&world);
    let mut keeper = Keeper::of(&program);
    world.submit("", "kept", &json!({"prompt": "fake: succeed text=at last"}));
    keeper.hear("asked");
    assert_eq!(watcher.stop(), 0);
    world.active("marie", "kept", |it| it["state"] == "INITIALIZING");

    let watcher = world.up("marie");
    keeper.let_go();
    assert_kept_began_once(&world);
    assert_eq!(watcher.stop(), 0);
}
