//! The restart policy with real watchers: hung and suspended ones, hosts, set aside, backups, a second supervisor.

#![cfg(feature = "test-support")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the person, and fails by panicking"
)]

#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/traces.rs"]
mod traces;
#[path = "../support/world.rs"]
mod world;

mod aside;
mod conditions;
mod hosts;
mod second;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use http::{body, get};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use world::{Started, World, until};

/// `supervisor run` on a world's root, to be changed, then started.
fn run(world: &World, workers: &str, addr: &str) -> Command {
    // It starts the one that stands beside it.
    world.program("watcher");
    let mut command = world.command("supervisor");
    command.args(["run", "--root", "shared", "--log-dir", "log", "--log-format", "json", "--grace", "1"]);
    command.args(["--metrics-addr", addr, "--workers", workers, "--concurrency", "1", "--claude-bin"]);
    command.arg(world.program("fake-claude"));
    command
}

/// A supervisor that runs, and what it said.
struct Service<'a> {
    world: &'a World,
    started: Started,
    tag: &'static str,
}

impl<'a> Service<'a> {
    fn start(world: &'a World, command: &mut Command, tag: &'static str) -> Self {
        Self { world, started: world.start(command, tag), tag }
    }

    /// The lines for people; those for programs stand among them.
    fn said(&self) -> String {
        let text =
            fs::read_to_string(self.world.logs().join(format!("{}.err", self.tag))).unwrap_or_default();
        text.lines().filter(|line| !line.starts_with('{')).fold(String::new(), |all, line| all + line + "\n")
    }

    fn says(&self, text: &str, times: usize) -> String {
        self.world.until(&format!("`{text}` is said {times} times"), || {
            let said = self.said();
            (said.matches(text).count() >= times).then_some(said)
        })
    }

    fn never_says(&self, text: &str, for_so_long: Duration) {
        let found = until(for_so_long, || self.said().contains(text).then_some(()));
        assert!(found.is_none(), "it said `{text}`:\n{}", self.said());
    }

    fn stop(self) {
        assert_eq!(self.started.stop(), 0);
    }
}

fn watcher_pid(world: &World, worker: &str) -> i32 {
    let path = world.root().join(format!("locks/{worker}_watcher.lock"));
    let pid = world.until("the lock's mirror is there", || world::json(&path)?["pid"].as_i64());
    i32::try_from(pid).unwrap()
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What is served, once it is as expected.
fn status(world: &World, addr: SocketAddr, worker: usize, is: impl Fn(&Value) -> bool) -> Value {
    world.until("the status is as expected", || {
        std::net::TcpStream::connect(addr).ok()?;
        let status: Value = serde_json::from_str(body(&get(addr, "/api/status"))).ok()?;
        Some(status["workers"][worker].clone()).filter(|it| is(it))
    })
}

/// The lines for programs about a worker, by their message.
fn logged(world: &World, message: &str) -> Vec<Value> {
    let text = fs::read_to_string(world.logs().join("supervisor.log")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.to_string().contains(message)).collect()
}
