//! A control group for each run: whoever started in it is found, ended and bounded with it, whatever else it shed.
//!
//! Here in groups that the test makes, as root, of both versions; `kernel.rs` boots a kernel of its own, where version 2 also
//! counts memory.

#![cfg(feature = "test-support")]
#![allow(clippy::disallowed_methods, reason = "a test plays the operator and the kernel: it writes files")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/real.rs"]
mod real;
#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/syscalls.rs"]
mod syscalls;
#[path = "../support/tracer.rs"]
mod tracer;
#[path = "../support/uml.rs"]
mod uml;
#[path = "../support/world.rs"]
mod world;

mod entrance;
mod kernel;
mod leftovers;
mod limit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use world::{Started, World};

/// Which of the kernel's two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// A hierarchy of version 1 that counts memory.
    One,
    /// Version 2, be it with memory or without.
    Two,
}

const BOTH: [Version; 2] = [Version::One, Version::Two];

/// A group in which the groups of runs are made; removed with all below it.
struct Base(PathBuf);

impl Base {
    /// Where this machine lets us make one; else the test is told to skip.
    fn new(world: &World, version: Version) -> Option<Self> {
        let mount = Path::new("/sys/fs/cgroup");
        let top = match version {
            Version::One => mount.join("memory"),
            Version::Two if mount.join("cgroup.controllers").is_file() => mount.to_owned(),
            Version::Two => mount.join("unified"),
        };
        let base = Self(top.join(world.path().file_name()?));
        if top.join("cgroup.procs").is_file() && fs::create_dir(&base.0).is_ok() {
            return Some(base);
        }
        real::skip(&format!("no control group of version {version:?} can be made here"));
        None
    }

    /// A watcher that makes its groups here.
    fn watcher(&self, world: &World, flags: &[&str]) -> Started {
        let watcher = world.start(&mut self.command(world, flags), "marie");
        world.at_work("marie", &watcher);
        watcher
    }

    /// What starts one.
    fn command(&self, world: &World, flags: &[&str]) -> Command {
        let mut command = world.watcher("marie");
        command.arg("--cgroup").arg(&self.0).args(flags);
        command
    }

    /// The groups in it that are there.
    fn groups(&self) -> Vec<PathBuf> {
        let mut groups: Vec<PathBuf> =
            fs::read_dir(&self.0).unwrap().flatten().map(|it| it.path()).filter(|it| it.is_dir()).collect();
        groups.sort();
        groups
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // Its processes are gone a moment after they were killed.
        world::until(Duration::from_secs(20), || {
            for group in self.groups() {
                for pid in pids(&group) {
                    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).ok();
                }
                fs::remove_dir(group).ok();
            }
            fs::remove_dir(&self.0).ok()
        });
    }
}

/// Who is in a group.
fn pids(group: &Path) -> Vec<i32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The group that the open attempt of a task in `active/` has written down.
fn written_down(task: &Value) -> PathBuf {
    let attempts = task["attempts"].as_array().unwrap();
    attempts.last().unwrap()["cgroup"].as_str().unwrap_or_else(|| panic!("no group: {task}")).into()
}

/// The process that an agent left behind, once it has said so.
fn stray(world: &World) -> i32 {
    world.until("a process is left behind", || {
        let line = world.agent_log().into_iter().find(|line| line["event"] == "grandchild")?;
        i32::try_from(line["pid"].as_i64()?).ok()
    })
}
