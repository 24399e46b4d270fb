//! The CLI: found, good enough, logged in.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::world::World;
use super::{Said, ask};

/// The doctor with this program as the CLI.
fn with(world: &World, script: Option<&str>, mode: u32) -> Said {
    let path = world.path().join("claude");
    if let Some(script) = script {
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = world.command("agentctl");
    command.arg("--root").arg(world.root()).args(["doctor", "--json", "--log-dir"]).arg(world.logs());
    Said::of(command.env("CLAUDE_BIN", &path).env("ANTHROPIC_API_KEY", "sk-very-secret"))
}

#[test]
fn a_cli_that_is_not_there_or_too_old_stops_the_work() {
    let world = World::new();
    let watcher = world.up("marie");
    let missing = with(&world, None, 0);
    assert_eq!(missing.code, 78);
    missing.says("claude", "bad", &["is not there", "npm install"]);
    let old = with(&world, Some("echo 1.0.3"), 0o755);
    assert_eq!(old.code, 78);
    old.says("claude", "bad", &["1.0.3", "oldest"]);
    let failing = with(&world, Some("exit 9"), 0o755);
    failing.says("claude", "bad", &["it ended with 9"]);
    if nix::unistd::geteuid().is_root() {
        // To root a file without any x is not executable either.
        with(&world, Some("echo 2.1.330"), 0o600).says("claude", "bad", &["cannot be executed", "chmod a+x"]);
    }
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn whether_it_is_logged_in_is_asked_of_itself_and_no_secret_is_shown() {
    let world = World::new();
    let watcher = world.up("marie");
    ask(&world, &[]).says("login", "ok", &["logged in (oauth)"]);
    fs::write(world.home().join("logged-out"), "").unwrap();
    let out = ask(&world, &[]);
    assert_eq!(out.code, 69);
    out.says("login", "bad", &["/login"]);
    assert!(world.agent_log().is_empty(), "no agent was started: {:?}", world.agent_log());
    // One that does not know the question is not asked it: it would be a prompt.
    let asked = world.path().join("asked");
    let old = with(
        &world,
        Some(&format!("[ \"$1\" = --version ] || touch {}; echo 2.1.200", asked.display())),
        0o755,
    );
    old.says("login", "ok", &["there is a key in the environment"]);
    assert!(!asked.exists(), "it was asked for its version only");
    assert!(!format!("{:?}{}", old.checks, old.err).contains("secret"));
    assert_eq!(watcher.stop(), 0);
}
