//! What the stand-in keeps: its conversations, where the real CLI has them, and a log for the tests.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, which reads its own environment and files"
)]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A conversation's transcript.
pub(crate) struct Transcript {
    path: PathBuf,
    /// Held as long as this process lives, so that a second one of the same conversation is seen.
    lock: Option<File>,
}

/// What a transcript tells.
pub(crate) struct Past {
    /// The prompt that began it.
    pub(crate) prompt: String,
    /// How many processes there were.
    pub(crate) processes: usize,
    /// What they cost.
    pub(crate) cost_usd: f64,
}

impl Transcript {
    /// Where a conversation of this working directory would be.
    pub(crate) fn here(session: &str) -> Self {
        let cwd = std::env::current_dir().unwrap_or_default().display().to_string();
        let folder: String = cwd.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Self { path: projects().join(folder).join(format!("{session}.jsonl")), lock: None }
    }

    /// A conversation of any working directory, if anything in it can be read.
    pub(crate) fn find(session: &str) -> Option<Self> {
        let folders = fs::read_dir(projects()).ok()?;
        let name = format!("{session}.jsonl");
        let path = folders.flatten().map(|folder| folder.path().join(&name)).find(|path| path.exists())?;
        let text = fs::read_to_string(&path).unwrap_or_default();
        let is_read = text.lines().any(|line| serde_json::from_str::<Value>(line).is_ok());
        is_read.then_some(Self { path, lock: None })
    }

    /// A copy of it.
    pub(crate) fn copy(&self, session: &str) -> Self {
        let path = self.path.with_file_name(format!("{session}.jsonl"));
        fs::copy(&self.path, &path).expect("a copy of the transcript");
        Self { path, lock: None }
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Whether nobody else is at work on it.
    pub(crate) fn lock(&mut self) -> bool {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).expect("the folder of the transcript");
        }
        let file = OpenOptions::new().create(true).append(true).open(self.path.with_extension("lock"));
        let file = file.expect("the lock of the transcript");
        let is_ours = fs2::FileExt::try_lock_exclusive(&file).is_ok();
        self.lock = Some(file);
        is_ours
    }

    pub(crate) fn append(&self, line: &Value) {
        append(&self.path, line);
    }

    pub(crate) fn past(&self) -> Past {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Past {
            prompt: lines.iter().find_map(|l| l["prompt"].as_str()).unwrap_or_default().to_owned(),
            processes: lines.iter().filter(|line| line["type"] == "process").count(),
            cost_usd: lines.iter().filter_map(|line| line["cost_usd"].as_f64()).next_back().unwrap_or(0.0),
        }
    }
}

/// Why a conversation may not begin in this way, if it may not.
pub(crate) fn refusal(mode: &str) -> Option<String> {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    fs::read_to_string(home.join(format!("refuse-{mode}"))).ok()
}

fn projects() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".claude");
    std::env::var_os("CLAUDE_CONFIG_DIR").map_or_else(home, PathBuf::from).join("projects")
}

/// One line for the tests, in `$FAKE_CLAUDE_LOG` or `$HOME/fake-claude.log`.
pub(crate) fn log(event: &str, more: &Value) {
    let path = std::env::var_os("FAKE_CLAUDE_LOG").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join("fake-claude.log"),
        PathBuf::from,
    );
    let mut line = json!({
        "event": event, "pid": std::process::id(), "task": variable("AGENT_TASK"), "run": variable("AGENT_RUN_ID"),
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        line[key] = value.clone();
    }
    append(&path, &line);
}

/// The value of an environment variable; empty if there is none.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// One line at the end of a file, in one call, so that several writers never mix.
fn append(path: &Path, line: &Value) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.unwrap_or_else(|error| eprintln!("fake-claude: {}: {error}", path.display()));
}
