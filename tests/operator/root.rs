//! A root laid out by hand, and a program run on it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) const RUN: &str = "0198a000-0000-7000-8000-000000000001";

pub(crate) const SAID: &str = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"hello"},{"type":"tool_use","id":"t","name":"Bash","input":{"command":"ls"}}]}}"#;
pub(crate) const ENDED: &str =
    r#"{"type":"result","subtype":"success","is_error":false,"result":"hello","num_turns":1}"#;

/// A root with the worker marie, and nobody at work.
pub(crate) struct Root {
    pub(crate) dir: tempfile::TempDir,
}

impl Root {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Self { dir };
        for place in ["pending", "staged", "active", "completed", "failed", "cancelled"] {
            std::fs::create_dir_all(root.path("tasks/marie").join(place)).unwrap();
        }
        for folder in ["workers/marie", "locks", "pipes", "artifacts", "workspaces"] {
            std::fs::create_dir_all(root.path(folder)).unwrap();
        }
        root
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    pub(crate) fn lay(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// `ended` fields as the watcher leaves them, in the folder that goes with them.
    pub(crate) fn lay_ended(&self, place: &str, name: &str, state: &str) {
        let record = format!(
            r#""state":"{state}","run_id":"{RUN}","result":"42","error_code":"E006","failure_reason":"api down""#
        );
        self.lay(&format!("tasks/marie/{place}/{name}.json"), &format!(r#"{{"prompt":"hi",{record}}}"#));
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
        command.args(args).env_clear().env("SHARED_ROOT", self.dir.path());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        Said::from(self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    pub(crate) fn run_with_stdin(&self, args: &[&str], text: &str) -> Said {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Said::from(child.wait_with_output().unwrap())
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// What a program said, and its code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits for a fact, half a minute at most.
pub(crate) fn until(what: &str, fact: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(2);
    while !fact() {
        assert!(std::time::Instant::now() < deadline, "never came true: {what}");
        std::thread::yield_now();
    }
}

/// Waits until a program has asked for kernel events.
pub(crate) fn until_it_listens(child: &Child) {
    let fds = PathBuf::from(format!("/proc/{}/fd", child.id()));
    until("it listens", || {
        std::fs::read_dir(&fds).is_ok_and(|entries| {
            entries.flatten().any(|fd| {
                std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().contains("inotify"))
            })
        })
    });
}
