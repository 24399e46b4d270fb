//! What agents and task files say, in front of a person: nothing steers the terminal, and no line is forged.

use std::process::Command;

use serde_json::{Value, json};

use crate::world::World;

/// Everything that a terminal acts on.
const HOSTILE: &str = "\u{1b}]0,pwn\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{2066}\u{200b}\r\u{7f}";

/// What is left of a terminal's own language once our colours are taken out.
fn steering(shown: &str) -> Option<char> {
    let mut rest = shown.replace("\r\n", "\n");
    while let Some(at) = rest.find("\u{1b}[") {
        let length = rest[at + 2..].find(|c: char| !(c.is_ascii_digit() || c == ';')).unwrap_or(0);
        if !rest[at + 2 + length..].starts_with('m') {
            return Some('\u{1b}');
        }
        rest.replace_range(at..=at + 2 + length, "");
    }
    let is_steering = |c: &char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    rest.chars().find(is_steering)
}

/// What `agentctl` shows to a person: at a terminal of its own, and through a pipe.
fn shown(world: &World, args: &[&str]) -> Vec<String> {
    let piped = world.agentctl(args);
    let line = format!(
        "{} --root {} {}",
        world.program("agentctl").display(),
        world.root().display(),
        args.join(" ")
    );
    // script(1) of util-linux, which every Linux has.
    let seen =
        Command::new("script").args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    vec![text(&piped.stdout) + &text(&piped.stderr), text(&seen.stdout)]
}

#[test]
fn nothing_that_an_agent_says_steers_a_terminal_or_forges_a_line() {
    let world = World::new();
    let forged = r#"{"time":"2026-01-01T00:00:00Z","level":"ERROR","worker":"marie","message":"forged"}"#;
    let mut command = world.watcher("marie");
    let watcher = world.start(command.args(["--max-retries", "0"]), "marie");
    world.at_work("marie", &watcher);
    let says = format!(
        "raw stderr text={HOSTILE}\\n{forged}; say text={HOSTILE}; raw text={forged}{HOSTILE}; tool text={HOSTILE}"
    );
    world.submit("", "good", &json!({"prompt": format!("fake: {says}; succeed text=an answer {HOSTILE}")}));
    world.submit(
        "",
        "bad",
        &json!({"prompt": format!("fake: {says}; exit code=3"), "correlation_id": "x\u{1b}[2J\n{}\u{202e}"}),
    );
    world.filed("marie/completed", "good");
    world.filed("marie/failed", "bad");

    let logs = world.logs().display().to_string();
    for args in [
        &["logs", "good"][..],
        &["logs", "bad"],
        &["logs", "marie", "--log-dir", &logs],
        &["show", "good"],
        &["show", "bad"],
        &["show", "bad", "--history"],
        &["why", "good"],
        &["why", "bad"],
        &["watch", "--since", "1h", "--no-follow"],
        &["list"],
        &["status"],
        &["wait", "bad"],
    ] {
        for text in shown(&world, args) {
            assert_eq!(steering(&text), None, "{args:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with(r#"{"time":"2026-01-01"#)), "{args:?}: {text}");
        }
    }
    // The log has one line for each thing that happened, and each is ours.
    let log = std::fs::read_to_string(world.logs().join("marie.log")).unwrap();
    assert_eq!(steering(&log), None, "{log:?}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["worker"] == "marie" && line["message"] != "forged", "{line}");
    }
}
