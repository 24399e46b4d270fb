//! The CLI is asked for its version before the first agent: one that will not do is an outage of the worker, and the
//! backlog stays as it is.

#![cfg(feature = "test-support")]
#![allow(clippy::disallowed_methods, reason = "a test plays the operator: it installs programs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "support/http.rs"]
mod http;
#[path = "support/sight.rs"]
mod sight;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use http::{code, get};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sight::{events, lives, logged, place, state, tasks, watcher_with};
use world::{Started, World};

/// Puts a script in the CLI's place, whole, as an installer does.
fn lay(world: &World, script: &str) -> PathBuf {
    let (claude, temp) = (world.home().join("claude"), world.home().join(".claude.new"));
    fs::write(&temp, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&temp, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(temp, &claude).unwrap();
    claude
}

/// The stand-in under another version.
fn stand_in(world: &World, version: &str) -> String {
    let fake = world.program("fake-claude");
    format!("[ \"$1\" = --version ] && echo '{version}' && exit 0\nexec {} \"$@\"", fake.display())
}

fn up(world: &World, claude: &Path) -> Started {
    let flags = [("--metrics-addr", "127.0.0.1:0"), ("--claude-bin", claude.to_str().unwrap())];
    let mut command = watcher_with(world, "marie", &flags);
    command.env("SECRET_OF_OURS", "x").args(["--concurrency", "4"]);
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    watcher
}

/// The worker's hold, once it says `why`.
fn held(world: &World, why: &str) -> Value {
    let state =
        state(world, "marie", |it| it["hold"]["reason"].as_str().is_some_and(|reason| reason.contains(why)));
    assert_eq!((&state["status"], &state["hold"]["cause"]), (&json!("degraded"), &json!("configuration")));
    assert!(state["hold"]["remedy"].as_str().unwrap().contains("npm install"), "{state}");
    assert_eq!(code(&get(world.address("marie"), "/health")), "503");
    state["hold"].clone()
}

fn names() -> Vec<String> {
    (0..20).map(|number| format!("t{number:02}")).collect()
}

#[test]
fn a_backlog_outlives_an_old_cli_and_goes_on_when_it_is_upgraded() {
    let world = World::new();
    let claude = lay(&world, &stand_in(&world, "1.0.3 (Claude Code)"));
    let task = json!({"prompt": "fake: succeed text=new", "mark": 7});
    let _watcher = up(&world, &claude);
    for name in names() {
        world.submit("marie/pending", &name, &task);
    }
    let hold = held(&world, "is older than 2.1.139");
    let reason = hold["reason"].as_str().unwrap();
    assert!(reason.contains("claude 1.0.3") && reason.contains(claude.to_str().unwrap()), "{hold}");
    assert!(hold["until"].is_string(), "{hold}");
    state(&world, "marie", |it| it["queues"]["pending"] == 20);
    for name in names() {
        let path = place(&world, &format!("marie/pending/{name}.json"));
        assert_eq!(world::json(&path), Some(task.clone()), "untouched, no attempt begun");
    }
    assert!(world.agent_log().is_empty() && tasks(&world, "marie/failed").is_empty());
    assert_eq!(logged(&world, "marie", "claiming nothing").len(), 1, "said once");

    lay(&world, &stand_in(&world, "2.1.400 (Claude Code)"));
    for name in names() {
        let done = world.filed("marie/completed", &name);
        assert_eq!(
            (&done["result"], done["attempts"].as_array().unwrap().len()),
            (&json!("new"), 1),
            "{done}"
        );
        assert_eq!(events(&world, "start", &name).len(), 1);
    }
    let state = state(&world, "marie", |it| it["status"] == "running");
    assert_eq!((&state["claude_version"], &state["hold"]), (&json!("2.1.400"), &Value::Null), "{state}");
    let metrics = get(world.address("marie"), "/metrics");
    assert!(metrics.contains("agent_worker_claude_info{version=\"2.1.400\"} 1"), "{metrics}");
}

#[test]
fn a_downgrade_in_mid_work_holds_the_rest_and_leaves_what_runs() {
    let world = World::new();
    let claude = lay(&world, &stand_in(&world, "2.1.139 (Claude Code)"));
    let watcher = up(&world, &claude);
    let gate = world.path().join("gate");
    world.submit("", "runs", &json!({"prompt": format!("fake: gate={}; succeed text=well", gate.display())}));
    world.active("marie", "runs", |it| it["state"] == "RUNNING");
    lay(&world, &stand_in(&world, "2.1.138 (Claude Code)"));
    held(&world, "claude 2.1.138");
    world.submit("", "waits", &json!({"prompt": "fake: succeed"}));
    state(&world, "marie", |it| it["queues"]["inbox"] == 1);
    fs::write(gate, "").unwrap();
    assert_eq!(world.filed("marie/completed", "runs")["result"], "well");
    assert!(events(&world, "start", "waits").is_empty());
    assert_eq!(watcher.stop(), 0, "who holds can be stopped");
}

#[test]
fn what_a_wrapper_starts_is_asked_again_by_itself_and_at_once_after_a_sighup() {
    let world = World::new();
    let real = world.path().join("real");
    fs::write(&real, "exit 1").unwrap();
    // Its own file never changes.
    let claude = lay(&world, &format!(". {}", real.display()));
    let watcher = up(&world, &claude);
    world.submit("", "t", &json!({"prompt": "fake: succeed"}));
    fs::write(&real, "echo node: no such file >&2; exit 127").unwrap();
    held(&world, "failed (exit status");
    // After its pause it has been asked again: its complaint is another one.
    held(&world, "node: no such file");
    fs::write(&real, stand_in(&world, "2.1.330 (Claude Code)")).unwrap();
    watcher.signal(Signal::SIGHUP);
    world.filed("marie/completed", "t");
}

#[test]
fn one_that_hangs_is_killed_and_one_that_is_no_version_is_worked_with() {
    let world = World::new();
    let mark = world.path().join("asked");
    let claude = lay(&world, &format!("echo $$ > {}\nenv > {0}.env\nexec sleep 3000", mark.display()));
    let _watcher = up(&world, &claude);
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed text=wrapped"}));
    held(&world, "gave no answer within 10 s");
    let pid = fs::read_to_string(&mark).unwrap().trim().parse().unwrap();
    world.until("it is gone", || (!lives(pid)).then_some(()));
    let given = fs::read_to_string(world.path().join("asked.env")).unwrap();
    assert!(
        given.contains("HOME=") && !given.contains("SECRET_OF_OURS") && !given.contains("AGENT_"),
        "{given}"
    );
    assert_eq!(tasks(&world, "marie/pending"), ["t.json"], "it waits");

    lay(&world, &stand_in(&world, "the wrapper of our house"));
    assert_eq!(world.filed("marie/completed", "t")["result"], "wrapped");
    let told = logged(&world, "marie", "does not tell its version");
    assert!(told.len() == 1 && told[0].to_string().contains("the wrapper of our house"), "{told:?}");
    assert!(state(&world, "marie", |it| it["status"] == "running")["claude_version"].is_null());
}

#[test]
fn a_worker_that_leaves_takes_a_question_that_hangs_with_it() {
    let world = World::new();
    let mark = world.path().join("asked");
    let claude = lay(&world, &format!("echo $$ > {}\nexec sleep 3000", mark.display()));
    let watcher = up(&world, &claude);
    let pid = world.until("it is asked", || fs::read_to_string(&mark).ok()?.trim().parse().ok());
    assert!(lives(pid));
    assert_eq!(watcher.stop(), 0);
    world.until("it is gone", || (!lives(pid)).then_some(()));
}
