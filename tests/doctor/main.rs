//! `agentctl doctor` on real roots: what is well, what is missing, and what `--fix` does about it.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test plays the user and the machine, and one that cannot go on ends"
)]

mod claude;
mod fixes;
mod root;

#[path = "../support/real.rs"]
mod real;
#[path = "../support/world.rs"]
mod world;

use std::process::Command;

use serde_json::Value;
use world::World;

/// What the doctor said, and with which code it ended.
struct Said {
    code: i32,
    checks: Vec<Value>,
    err: String,
}

impl Said {
    fn of(command: &mut Command) -> Self {
        let said = command.output().unwrap();
        let err = String::from_utf8_lossy(&said.stderr).into_owned();
        let json: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{err}"));
        Self { code: said.status.code().unwrap(), checks: json["checks"].as_array().unwrap().clone(), err }
    }

    /// The lines about `check` with this verdict, found and remedy as one text.
    fn told(&self, check: &str, verdict: &str) -> Vec<String> {
        let is_it = |it: &&Value| it["check"] == check && it["verdict"] == verdict;
        let text = |it: &Value| {
            format!("{}; {}", it["found"].as_str().unwrap(), it["remedy"].as_str().unwrap_or(""))
        };
        self.checks.iter().filter(is_it).map(text).collect()
    }

    /// That one line about `check` with this verdict says all of `words`.
    fn says(&self, check: &str, verdict: &str, words: &[&str]) {
        let told = self.told(check, verdict);
        let is_it = |line: &String| words.iter().all(|word| line.contains(word));
        assert!(told.iter().any(is_it), "{check} {verdict} {words:?}: {:#?}\n{}", self.checks, self.err);
    }
}

/// The doctor with the stand-in agent.
fn doctor(world: &World, more: &[&str]) -> Command {
    let mut command = world.command("agentctl");
    command.arg("--root").arg(world.root()).args(["doctor", "--json"]).args(more);
    command.arg("--claude-bin").arg(world.program("fake-claude")).arg("--log-dir").arg(world.logs());
    command
}

fn ask(world: &World, more: &[&str]) -> Said {
    Said::of(&mut doctor(world, more))
}
