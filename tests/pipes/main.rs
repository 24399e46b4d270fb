//! Talking to a worker through its pipes, as people and programs do, and as nobody should. Real FIFOs, the real watcher.

#![cfg(feature = "test-support")]
#![allow(clippy::disallowed_methods, reason = "a test plays the user: it writes into pipes and moves files")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/http.rs"]
mod http;
#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/world.rs"]
mod world;

mod events;
mod lasting;
mod lines;
mod places;
mod tasks;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use serde_json::{Value, json};
use world::World;

/// The pipe for commands to marie.
fn commands(world: &World) -> PathBuf {
    world.root().join("pipes/marie.in")
}

/// The pipe with marie's events.
fn out(world: &World) -> PathBuf {
    world.root().join("pipes/marie.out")
}

fn is_pipe(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
}

/// The writing end of a pipe, once it is one (a file in its place takes every word) and somebody reads it.
fn writer(world: &World, pipe: &Path) -> File {
    world.until(&format!("somebody reads {}", pipe.display()), || {
        let file = OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(pipe).ok()?;
        file.metadata().ok()?.file_type().is_fifo().then_some(file)
    })
}

/// Bytes into the pipe for commands, by one write.
fn write(world: &World, bytes: &[u8]) {
    writer(world, &commands(world)).write_all(bytes).unwrap();
}

/// One line for the worker.
fn say(world: &World, line: &str) {
    write(world, format!("{line}\n").as_bytes());
}

/// Somebody who reads a pipe, line by line.
struct Listener {
    pipe: File,
    text: Vec<u8>,
}

impl Listener {
    /// Opens a pipe that is there.
    fn to(world: &World, path: &Path) -> Self {
        let pipe = world.until(&format!("{} can be read", path.display()), || {
            is_pipe(path)
                .then(|| OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).ok())?
        });
        Self { pipe, text: Vec::new() }
    }

    /// Hears marie, from the first line that she says to us on.
    fn to_marie(world: &World) -> Self {
        let mut listener = Self::to(world, &out(world));
        listener.next(world, |event| event["type"] == "agent-worker.worker.status");
        listener
    }

    /// A line that is there, if one is.
    fn line(&mut self) -> Option<Value> {
        let mut bytes = [0; 16384];
        let n = self.pipe.read(&mut bytes).unwrap_or(0);
        self.text.extend_from_slice(&bytes[..n]);
        let end = self.text.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.text.drain(..=end).collect();
        assert!(line.len() <= 4096, "{} bytes", line.len());
        Some(serde_json::from_slice(&line).unwrap_or_else(|error| panic!("{line:?}: {error}")))
    }

    /// The next event that `is`.
    fn next(&mut self, world: &World, is: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        let found = world::until(world::PATIENCE, || {
            let line = self.line()?;
            seen.push(line.clone());
            is(&line).then_some(line)
        });
        found
            .unwrap_or_else(|| panic!("waited in vain for an event; these came: {seen:#?}\n{}", world.said()))
    }

    /// The next answer's data.
    fn answer(&mut self, world: &World) -> Value {
        self.next(world, |event| event["type"] == "agent-worker.reply")["data"].clone()
    }
}

/// A command of a program, and the data of its answer on a pipe of its own.
fn ask(world: &World, mut command: Value) -> Value {
    let name = format!("reply-{}", uuid::Uuid::new_v4());
    let path = world.root().join("pipes").join(&name);
    drop(writer(world, &commands(world)));
    nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let pipe = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open(&path);
    let mut answers = Listener { pipe: pipe.unwrap(), text: Vec::new() };
    command["reply_to"] = name.into();
    say(world, &command.to_string());
    let answer = answers.answer(world);
    fs::remove_file(path).unwrap();
    answer
}

/// The same, which is done.
fn done(world: &World, command: Value) -> Value {
    let answer = ask(world, command);
    assert!(answer["ok"] == true && answer["code"] == 0, "{answer}\n{}", world.said());
    answer
}

/// The same, which is refused with this code.
fn refused(world: &World, command: Value, code: u8) -> String {
    let answer = ask(world, command);
    assert!(answer["ok"] == false && answer["code"] == code, "{answer}\n{}", world.said());
    answer["message"].as_str().unwrap().to_owned()
}

/// An agent that waits until the file `gate` is there.
fn gated(world: &World, gate: &str) -> Value {
    json!({"prompt": format!("fake: gate={}; succeed", world.path().join(gate).display())})
}

fn open_gate(world: &World, gate: &str) {
    fs::write(world.path().join(gate), "").unwrap();
}
