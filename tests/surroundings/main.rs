//! Hostile surroundings: what an agent finds around it, and what a worker does when the machine itself is against it. The
//! kernel is the real one; `kernel.rs` boots one of its own where this machine's may not be touched.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "a test plays the machine and the user, and one that cannot go on ends"
)]

#[path = "../support/http.rs"]
mod http;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/uml.rs"]
mod uml;
#[path = "../support/world.rs"]
mod world;

mod agents;
mod clocks;
mod crowd;
mod frozen;
mod kernel;
mod mounts;
mod numbers;
mod scarce;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use world::{Started, World};

/// `outer` with `inner` behind it, in the environment of `inner`.
fn wrap(world: &World, mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args()).env_clear().current_dir(world.path());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|it| it.status.success())
}

/// Whether the test plays root; without, it says why it is skipped.
fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        real::skip("only root may do this to a machine");
    }
    root
}

/// A task whose agent waits for a gate, dropped for marie; the gate.
fn gated(world: &World, name: &str) -> PathBuf {
    let gate = world.path().join(format!("gate-{name}"));
    let prompt = format!("fake: gate={}; succeed text=done", gate.display());
    world.submit("marie/pending", name, &json!({ "prompt": prompt }));
    gate
}

/// Waits until an agent works on it; the agent's process as it is recorded.
fn at_work(world: &World, name: &str) -> i32 {
    sight::agent(world, name);
    let task = world.active("marie", name, |it| it["attempts"][0]["pid"].is_number());
    i32::try_from(task["attempts"][0]["pid"].as_i64().unwrap()).unwrap()
}

/// It ended well, after one start of an agent, and was charged nothing.
fn done_once(world: &World, place: &str, name: &str) -> Value {
    let task = world.filed(place, name);
    assert_eq!(world.homes(name), [place], "{name}");
    assert_eq!(sight::events(world, "start", name).len(), 1, "{name} was started once\n{}", world.said());
    assert_eq!(task["retry_count"].as_u64().unwrap_or(0), 0, "{task}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task}");
    task
}

/// Waits until the worker says why it claims nothing.
fn held_for(world: &World, reason: &str) -> Value {
    let is = |it: &Value| it["hold"]["reason"].as_str().is_some_and(|it| it.contains(reason));
    let found = sight::state(world, "marie", is);
    assert_eq!(found["status"], "degraded", "{found}");
    found["hold"].clone()
}

/// Waits until it holds for nothing.
fn released(world: &World) {
    sight::state(world, "marie", |it| it["hold"].is_null() && it["status"] == "running");
}

/// Waits until the watcher has beaten `n` times more.
fn beats(world: &World, n: u64) {
    let path = world.root().join("workers/marie/heartbeat.json");
    let seq = || world::json(&path).and_then(|it| it["seq"].as_u64());
    let now = world.until("the watcher beats", seq);
    world.until("the watcher beats on", || seq().filter(|it| *it >= now + n));
}

/// A mount that is taken away with its value.
struct Mount(PathBuf);

impl Mount {
    /// `mount ARGS AT`; `None`, said aloud, where that is refused.
    fn new(args: &[&str], at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let output = Command::new("mount").args(args).arg(at).output().unwrap();
        if !output.status.success() {
            real::skip(&format!("mount {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim()));
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        runs("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

/// A group of control groups in the hierarchy `name` of version 1, or of version 2; it goes with its value, empty.
struct Group(PathBuf);

impl Group {
    fn new(world: &World, hierarchy: &str) -> Option<Self> {
        let top = Path::new("/sys/fs/cgroup").join(hierarchy);
        let group = Self(top.join(world.path().file_name()?));
        if top.join("cgroup.procs").is_file() && std::fs::create_dir(&group.0).is_ok() {
            return Some(group);
        }
        real::skip(&format!("no control group can be made in {}", top.display()));
        None
    }

    fn set(&self, file: &str, value: &str) {
        let path = self.0.join(file);
        std::fs::write(&path, value).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    fn get(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap().trim().to_owned()
    }

    /// Takes a running program in, with what it starts from now on.
    fn take(&self, program: &Started) {
        self.set("cgroup.procs", &program.pid().to_string());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What was in it goes with its world, whose value is dropped after this one: it is moved out.
        let procs = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines() {
            std::fs::write(self.0.parent().unwrap().join("cgroup.procs"), pid).ok();
        }
        std::fs::remove_dir(&self.0).ok();
    }
}
