//! The real Claude CLI under the real watcher, each run as a user that is not root, against an API on loopback.
//!
//! The CLI is looked for as [`real::claude`] says. It has the world's HOME, an emptied environment and a key that
//! opens nothing.

#![cfg(feature = "test-support")]
#![allow(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and writes files")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/http.rs"]
mod http;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/stub_api.rs"]
#[expect(unreachable_pub, reason = "it is a module of this test alone")]
mod stub_api;
#[path = "../support/world.rs"]
mod world;

mod answers;
mod budgets;
mod deaths;
mod going_on;
mod limits;
mod memory;
mod outages;
mod packs;
mod refusals;
mod steering;
mod unattended;
mod windows;
mod worth;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use stub_api::{Scenario, StubApi};
use world::{Started, World, json};

/// A world with the real CLI and an API for it.
struct Real {
    world: World,
    api: StubApi,
    claude: PathBuf,
}

impl Real {
    /// `None`: there is no CLI on this machine, and that is allowed.
    fn new(scenario: Scenario) -> Option<Self> {
        let claude = real::claude()?;
        Some(Self { world: World::unprivileged(), api: StubApi::start(scenario), claude })
    }

    /// A watcher of marie that is not logged in; to be changed, then started.
    fn watcher_without_key(&self) -> Command {
        self.watcher_of("marie")
    }

    /// The same of any worker.
    fn watcher_of(&self, worker: &str) -> Command {
        self.served(worker, "none")
    }

    /// The same with its metrics on `addr`.
    fn served(&self, worker: &str, addr: &str) -> Command {
        let mut command = self.world.command("watcher");
        command
            .args(["--worker", worker, "--metrics-addr", addr, "--log-format", "json"])
            .arg("--root")
            .arg(self.world.root())
            .arg("--log-dir")
            .arg(self.world.logs())
            .arg("--workdir-root")
            .arg(self.world.home())
            .arg("--claude-bin")
            .arg(&self.claude)
            .env("ANTHROPIC_BASE_URL", &self.api.base_url)
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_TELEMETRY", "1")
            .env("DISABLE_ERROR_REPORTING", "1");
        command
    }

    /// A watcher of marie; to be changed, then started.
    fn watcher(&self) -> Command {
        let mut command = self.watcher_without_key();
        command.env("ANTHROPIC_API_KEY", "dummy");
        command
    }

    fn start(&self, command: &mut Command) -> Started {
        let started = self.world.start(command, "marie");
        self.world.at_work("marie", &started);
        started
    }

    fn up(&self) -> Started {
        self.start(&mut self.watcher())
    }

    fn completed(&self, name: &str) -> Value {
        self.world.filed("marie/completed", name)
    }

    fn failed(&self, name: &str) -> Value {
        self.world.filed("marie/failed", name)
    }

    /// A file among the artifacts of this task's run.
    fn artifact(&self, task: &Value, name: &str) -> String {
        let run = task["run_id"].as_str().unwrap();
        let path = self.world.root().join("artifacts").join(run).join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The story of this task's run, once it tells of `event`: it is told after the file has moved.
    fn history(&self, task: &Value, event: &str) -> String {
        self.world.until(&format!("the history tells of {event}"), || {
            Some(self.artifact(task, "history.ndjson")).filter(|told| told.contains(&format!("\"{event}\"")))
        })
    }

    /// `state.json`, once it is as expected.
    fn state(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let path = self.world.root().join("workers/marie/state.json");
        self.world.until(what, || json(&path).filter(|state| is(state)))
    }

    /// `state.json`, once the worker holds for this cause, and the task that met it, which is back in its queue and
    /// has been charged nothing.
    fn held(&self, cause: &str, name: &str) -> (Value, Value) {
        let state = self.state(&format!("it holds for {cause}"), |it| it["hold"]["cause"] == cause);
        assert_eq!(state["status"], "degraded", "{state}");
        let task = self.world.filed("marie/pending", name);
        assert_eq!(self.world.homes(name), ["marie/pending"]);
        assert_eq!(charges(&task), 0, "{task}");
        assert_eq!(task["state"], "PENDING");
        (state, task)
    }

    /// Every process of this world except `watcher` is gone.
    fn only_the_watcher_is_left(&self, watcher: &Started) {
        self.world.until("nothing but the watcher is left", || {
            (self.world.processes() == [watcher.pid()]).then_some(())
        });
    }
}

/// How often this task has been charged, as its file says twice.
fn charges(task: &Value) -> usize {
    let charged = attempts(task).iter().filter(|it| it["charged"] == true).count();
    assert_eq!(task["retry_count"].as_u64().unwrap_or(0), charged as u64, "{task}");
    charged
}

fn attempts(task: &Value) -> &[Value] {
    task["attempts"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn outcomes(task: &Value) -> Vec<&str> {
    attempts(task).iter().filter_map(|it| it["outcome"].as_str()).collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
