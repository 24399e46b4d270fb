//! Every example that a `--help` shows is typed here, in bash, on a root where a worker with the echo agent is at work.
//!
//! The examples are read off the grammar: a new verb's are run without anybody saying so.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use agent_worker::cli::{agentctl, supervisor, watcher};
use clap::CommandFactory;

use crate::root::{Root, until};

/// What does not end by itself, needs a person, or an agent around it: by how it begins.
const ENDLESS: &[&str] = &[
    "agentctl attach",
    "agentctl logs -f marie",
    "agentctl progress",
    "agentctl top",
    "NO_COLOR=1 agentctl top",
    "agentctl watch",
    "supervisor monitor",
    "supervisor run",
    "supervisor up",
    "watcher --worker",
];

/// What ends by itself all the same.
const ENDS: &[&str] = &["--no-follow", "--print-config", "logs -f marie/hello"];

/// Verbs whose examples depend on how a task or a worker stands: they must be understood, whatever comes of them, and
/// come last, since they may leave nobody at work.
const DEPENDS: &[&str] = &[
    "cancel",
    "doctor",
    "drain",
    "edit",
    "fsck",
    "hold",
    "interrupt",
    "pause",
    "prune",
    "recover",
    "release",
    "resume",
    "retry",
    "stop",
    "tell",
];

/// The lines below `Example:` or `Examples:`, without what is said about them, of a command and of its verbs.
fn examples(command: &clap::Command) -> Vec<String> {
    let help = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let mut lines: Vec<String> = Vec::new();
    let shown = help.unwrap_or_default();
    let below = shown.lines().skip_while(|line| !matches!(*line, "Example:" | "Examples:")).skip(1);
    for line in below.take_while(|line| line.starts_with("  ")) {
        lines.push(line.trim().split("  ").next().unwrap_or_default().to_owned());
    }
    lines.extend(command.get_subcommands().flat_map(examples));
    lines
}

/// The word after the last of our programs.
fn verb(example: &str) -> &str {
    let ours = |word: &str| ["agentctl", "supervisor", "watcher"].contains(&word);
    let words: Vec<&str> = example.split_whitespace().collect();
    let at = words.iter().rposition(|word| ours(word)).unwrap_or(0);
    words.get(at + 1).copied().unwrap_or_default()
}

/// A worker with the echo agent.
struct Marie(Child);

impl Marie {
    fn at_work(root: &Root) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_watcher"))
            .args(["--worker", "marie", "--agent", "echo", "--metrics-addr", "none"])
            .args(["--log-level", "error", "--log-dir"])
            .arg(root.path("log"))
            .arg("--root")
            .arg(root.dir.path())
            .env_clear()
            .env("HOME", root.dir.path())
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let beat = root.path("workers/marie/heartbeat.json");
        until("marie is at work", || beat.exists());
        Self(child)
    }
}

impl Drop for Marie {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a person finds before they type the first example.
fn prepare(root: &Root) -> std::path::PathBuf {
    let here = root.path("here");
    let bin = here.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(root.path("log")).unwrap();
    for (name, program) in [
        ("agentctl", env!("CARGO_BIN_EXE_agentctl")),
        ("supervisor", env!("CARGO_BIN_EXE_supervisor")),
        ("watcher", env!("CARGO_BIN_EXE_watcher")),
    ] {
        std::os::unix::fs::symlink(program, bin.join(name)).unwrap();
    }
    // The examples' own tools: what is not installed everywhere is played.
    let sudo = "while [[ $1 == -* ]]; do [[ $1 == -u ]] && shift; shift; done; exec \"$@\"";
    let last = "cat \"${@: -1}\"";
    let last_or_stdin = "[ -f \"${@: -1}\" ] && exec cat \"${@: -1}\"; exec cat";
    for (name, script) in
        [("git", "echo '-a'; echo '+b'"), ("man", last), ("jq", last_or_stdin), ("sudo", sudo)]
    {
        let path = bin.join(name);
        std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
    root.lay("here/nightly.json", r#"{"prompt":"tidy up"}"#);
    root.lay("here/tasks.json", "{\"prompt\":\"one\"}\n{\"prompt\":\"two\"}\n");
    root.lay("log/marie.log", "");
    for path in ["here/review.toml", "packs/review.toml"] {
        root.lay(path, "model = \"opus\"\n");
    }
    here
}

/// Types a line; what was said and the code, 124 if it did not end.
fn typed(root: &Root, here: &std::path::Path, line: &str) -> (i32, String) {
    let path = format!("{}:/usr/bin:/bin", here.join("bin").display());
    let mut child = Command::new("timeout")
        .args(["60", "bash", "-o", "pipefail", "-c", &format!("{{ {line}\n}} 2>&1")])
        .current_dir(here)
        .env_clear()
        .env("PATH", path)
        .env("HOME", here)
        .env("SHARED_ROOT", root.dir.path())
        .env("LOG_DIR", root.path("log"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), said)
}

#[test]
fn every_example_of_a_help_can_be_typed() {
    let programs =
        [watcher::Watcher::command(), supervisor::Supervisor::command(), agentctl::Agentctl::command()];
    let mut all: Vec<String> = programs.iter().flat_map(examples).collect();
    all.sort();
    all.dedup();
    let ends = |it: &String| ENDS.iter().any(|mark| it.contains(mark));
    all.retain(|it| ends(it) || !ENDLESS.iter().any(|begin| it.starts_with(begin)));
    assert!(all.len() > 25, "the examples were not found: {all:#?}");
    all.sort_by_key(|it| DEPENDS.contains(&verb(it)));

    let root = Root::new();
    let here = prepare(&root);
    let _marie = Marie::at_work(&root);
    for name in ["hello", "a", "b"] {
        let (code, said) =
            typed(&root, &here, &format!("agentctl submit 'say {name}' --id {name} --worker marie --wait"));
        assert_eq!(code, 0, "{said}");
    }
    for line in all {
        let (code, said) = typed(&root, &here, &line);
        if DEPENDS.contains(&verb(&line)) {
            assert!(![64, 70, 101, 124, 127].contains(&code), "`{line}` was not understood ({code}): {said}");
        } else {
            assert_eq!(code, 0, "`{line}`: {said}");
        }
    }
}
