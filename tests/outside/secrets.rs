//! Secrets that an agent says: in no record of ours; in its own output they stay, since that is what was asked for.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::sight::{logged, reason, state};
use crate::world::World;

/// No look gives it away: only its value does.
const OWN: &str = "plain words of mine";
/// The beginning that its issuer gives it gives it away.
const TOKEN: &str = "sk-ant-api03-A1b2C3d4E5f6G7h8";

/// Every file below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// The files in which one of the secrets stands.
fn leaks(world: &World) -> Vec<PathBuf> {
    let all = files(&world.root()).into_iter().chain(files(&world.logs()));
    all.filter(|path| {
        let text = fs::read(path).map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default();
        [OWN, TOKEN].iter().any(|secret| text.contains(secret))
    })
    .collect()
}

#[test]
fn what_an_agent_says_of_secrets_is_in_no_record_of_ours() {
    let world = World::new();
    let mut command = world.watcher("marie");
    command
        .args(["--max-retries", "0", "--debug"])
        .env("ANTHROPIC_API_KEY", OWN)
        .env("LOG_DIR", world.logs());
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    // As the reason of a crash, of a bad result, of a silent tool; and as a field of the wrong kind.
    let prompt = format!("fake: env name=ANTHROPIC_API_KEY; raw stderr text=key {OWN} and {TOKEN}; die");
    world.submit("", "answered", &json!({"prompt": prompt}));
    let crash = "fake: raw stderr text=key \\x {} and {}; die".replace("\\x ", "").replacen("{}", OWN, 1);
    world.submit("", "crashed", &json!({"prompt": crash.replacen("{}", TOKEN, 1)}));
    world.submit(
        "",
        "refused",
        &json!({"prompt": format!("fake: tool text=curl -H 'x: {OWN}' {TOKEN}; hang"), "timeout_s": 1}),
    );
    world.submit("", "odd", &json!({"prompt": "x", "max_retries": format!("{OWN} {TOKEN}")}));
    let crashed = world.filed("marie/failed", "crashed");
    let why = crashed["failure_reason"].as_str().unwrap();
    assert!(why.contains("key [redacted] and sk-ant-[redacted]"), "{why}");
    assert!(reason(&world, "marie", "crashed")["reason"].as_str().unwrap().contains("sk-ant-[redacted]"));
    world.filed("marie/failed", "refused");
    let odd = reason(&world, "marie", "odd");
    assert_eq!(odd["error_code"], "E002", "{odd}");
    // The answer is the submitter's, and it is there whole.
    let answered = world.filed("marie/completed", "answered");
    assert_eq!(answered["result"], format!("ANTHROPIC_API_KEY={OWN}"));

    // What was dropped, what was asked and what was answered; and what the agent printed.
    let theirs = ["input.json", "output.txt", "stream.ndjson", "stderr.log"];
    let is_theirs = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        theirs.contains(&name)
    };
    for path in leaks(&world).iter().filter(|path| !is_theirs(path)) {
        // The task files hold the prompt, and one of them the answer; none of our fields does.
        let mut task: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let theirs = task.as_object_mut().unwrap();
        theirs.retain(|field, _| !["prompt", "result", "max_retries"].contains(&field.as_str()));
        assert!(
            !task.to_string().contains(OWN) && !task.to_string().contains(TOKEN),
            "{}: {task}",
            path.display()
        );
    }
    let shown = world.agentctl(&["logs", "crashed"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("sk-ant-[redacted]") && !shown.contains(TOKEN), "{shown}");
}

#[test]
fn a_hold_says_why_without_the_key_that_was_refused() {
    let world = World::new();
    let mut command = world.watcher("marie");
    let watcher = world.start(command.env("ANTHROPIC_AUTH_TOKEN", OWN), "marie");
    world.at_work("marie", &watcher);
    world.submit("", "t", &json!({"prompt": format!("fake: refuse text=bad key {OWN} or {TOKEN}")}));
    let held = state(&world, "marie", |it| it["hold"].is_object());
    assert!(
        held["hold"]["reason"].as_str().unwrap().contains("bad key [redacted] or sk-ant-[redacted]"),
        "{held}"
    );
    assert!(!logged(&world, "marie", "back to pending").is_empty());
    let task = world.filed("marie/pending", "t");
    assert!(!task["failure_reason"].to_string().contains(OWN), "{task}");
    assert!(!fs::read_to_string(world.logs().join("marie.log")).unwrap().contains(OWN));
    let shown = world.agentctl(&["status"]);
    assert!(!String::from_utf8_lossy(&shown.stdout).contains(OWN));
}
