//! `workers/<w>/state.json`: what the worker is doing and how often it crashed.
//!
//! Invariants:
//! - only whoever holds the worker's lock writes it, so reading, changing and replacing needs no lock here;
//! - fields of others are kept through a rewrite (the runbooks overwrite the file);
//! - each of our fields is read by itself: a broken one, or a broken file, is as good as absent and never an
//!   error; a file that cannot be read is an error, and never as good as absent;
//! - a file that says nothing is never read as `stopped`, which would hide a crash.
//!
//! It deliberately does not know what follows from a status.

use std::path::Path;
use std::{fs, io};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::config::Allowance;
use crate::os::durable::{self, Durability};
use crate::os::trouble::if_there;
pub use crate::task::HoldCause;
use crate::task::{ErrorCode, RunId, TaskName, TaskState};

/// The longest file that is read as a state, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What a worker is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerStatus {
    /// Taking its lock and cleaning up; also what an unreadable file reads as.
    #[default]
    Starting,
    /// At work.
    Running,
    /// Takes no new tasks, by an operator's word.
    Paused,
    /// Takes no new tasks and lets the running ones finish.
    Draining,
    /// Ended on purpose.
    Stopped,
    /// Its tasks are being recovered after a crash.
    Recovering,
    /// Alive, and unable to claim.
    Degraded,
}

impl WorkerStatus {
    /// The word written into files and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Recovering => "recovering",
            Self::Degraded => "degraded",
        }
    }
}

impl std::fmt::Display for WorkerStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a worker holds, and what would end it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The kind of trouble.
    pub cause: HoldCause,
    /// What happened, in words.
    pub reason: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// When the worker tries again by itself, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The code operators know it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
}

/// A pack that nothing is started with; its tasks wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarredPack {
    /// Its name; `*`: any but `default`.
    pub pack: String,
    /// Why, in words.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// What a person wants of a worker, whether it works now or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// What is wanted.
    pub mode: WantedMode,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who, as they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Since when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// How a worker is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedMode {
    /// Taking no new tasks, over restarts too, until it is resumed.
    Pause,
}

/// One task that the worker has in `active/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTask {
    /// The task's name.
    pub task: TaskName,
    /// This life of it.
    pub run_id: RunId,
    /// Which start of an agent, counted from 1.
    pub attempt: u32,
    /// How far it has come.
    pub state: TaskState,
    /// The agent's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// When this attempt began, RFC 3339.
    pub started_at: Timestamp,
    /// When the agent last said anything, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sign_at: Option<Timestamp>,
    /// What the submitter called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// What the agent itself last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// The memory that it uses with all that it started, in bytes, as of some seconds ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// A gradual resume, as the worker sees it: while it is under way the worker takes from `staged/` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resuming {
    /// Which one.
    pub id: uuid::Uuid,
    /// Whether it stopped since too much failed.
    pub stopped: bool,
    /// How many tasks waited when it began.
    pub found: u64,
    /// How many were let go.
    pub released: u64,
    /// How many of those ended well.
    pub done: u64,
    /// How many of those failed.
    pub failed: u64,
    /// The latest batch, counted from 1.
    pub batch: u32,
}

impl std::fmt::Display for Resuming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { found, released, failed, batch, .. } = self;
        write!(f, "{released}/{found}, batch {batch}, {failed} failed")
    }
}

/// How many tasks lie where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueDepths {
    /// In the inbox, for any worker.
    pub inbox: u64,
    /// In `pending/`.
    pub pending: u64,
    /// In `staged/`.
    pub staged: u64,
    /// In `active/`.
    pub active: u64,
    /// In `completed/`.
    pub completed: u64,
    /// In `failed/`.
    pub failed: u64,
    /// In `cancelled/`.
    pub cancelled: u64,
}

impl QueueDepths {
    /// Each depth with the name of its place.
    pub const fn by_place(&self) -> [(&'static str, u64); 7] {
        [
            ("inbox", self.inbox),
            ("pending", self.pending),
            ("staged", self.staged),
            ("active", self.active),
            ("completed", self.completed),
            ("failed", self.failed),
            ("cancelled", self.cancelled),
        ]
    }
}

/// What the worker's settings allow a run, for those who only look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How many agents it runs at a time.
    pub concurrency: u64,
    /// The wall clock of one attempt, in seconds, where the task does not say.
    pub agent_timeout_s: u64,
    /// After how many seconds of silence an agent is ended.
    pub idle_timeout_s: u64,
    /// How many charged failures a task may have, where it does not say.
    pub max_retries: u32,
}

/// The file in memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct State {
    /// What the worker is doing.
    pub status: WorkerStatus,
    /// When it last crashed, in seconds since 1970.
    pub last_crash: Option<f64>,
    /// How often it was recovered.
    pub recovery_count: u64,
    /// Why it last crashed, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_crash_reason: Option<String>,
    /// Why, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_crash_detail: Option<String>,
    /// Where its metrics and health are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_addr: Option<String>,
    /// What its settings allow a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What its settings let it use in an hour and in a day.
    #[serde(skip_serializing_if = "Allowance::is_none")]
    pub budget: Allowance,
    /// The account whose limits it shares, as the file in `limits/` is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The version of the CLI that its agents are started with, where that told one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claude_version: Option<String>,
    /// Where each of its runs gets a control group of its own; absent where they have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// By what its agents are kept from writing where they need not; absent where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confined: Option<String>,
    /// What keeps it from claiming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The packs that nothing is started with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<BarredPack>,
    /// What a person wants of it; absent while it is to work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Wanted>,
    /// Since when its supervisor restarts it no more, RFC 3339; a watcher that starts clears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<Timestamp>,
    /// The gradual resume that it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resuming>,
    /// What it has in `active/`.
    pub running: Vec<RunningTask>,
    /// How many tasks lie where.
    pub queues: QueueDepths,
    /// When this was written, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// Fields of others, in their order.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl State {
    /// A state from the bytes of its file; whatever cannot be understood is as good as absent.
    pub fn parse(bytes: &[u8]) -> Self {
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(bytes) else { return Self::default() };
        Self {
            status: take(&mut fields, "status"),
            last_crash: take(&mut fields, "last_crash"),
            recovery_count: take(&mut fields, "recovery_count"),
            last_crash_reason: take(&mut fields, "last_crash_reason"),
            last_crash_detail: take(&mut fields, "last_crash_detail"),
            metrics_addr: take(&mut fields, "metrics_addr"),
            limits: take(&mut fields, "limits"),
            budget: take(&mut fields, "budget"),
            account: take(&mut fields, "account"),
            claude_version: take(&mut fields, "claude_version"),
            cgroup: take(&mut fields, "cgroup"),
            confined: take(&mut fields, "confined"),
            hold: take(&mut fields, "hold"),
            packs: take(&mut fields, "packs"),
            wanted: take(&mut fields, "wanted"),
            set_aside: take(&mut fields, "set_aside"),
            resume: take(&mut fields, "resume"),
            running: take(&mut fields, "running"),
            queues: take(&mut fields, "queues"),
            updated_at: take(&mut fields, "updated_at"),
            others: fields,
        }
    }

    /// Reads the file at `path`; `None` if there is none. An error is a file that is there and cannot be read now: it
    /// may say anything, and is not to be taken for one that says nothing.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let Some(meta) = if_there(fs::symlink_metadata(path))? else { return Ok(None) };
        if !meta.is_file() || meta.len() > MAX_BYTES {
            return Ok(Some(Self::default()));
        }
        Ok(if_there(fs::read(path))?.map(|bytes| Self::parse(&bytes)))
    }

    /// Replaces the file at `path`.
    pub fn write(&self, path: &Path, durability: Durability) -> io::Result<()> {
        durable::write_atomic(path, &self.bytes()?, durability)
    }

    /// Whether the file at `path` is this one as it was written, and nobody has written there since.
    pub fn is_at(&self, path: &Path) -> bool {
        fs::read(path).is_ok_and(|bytes| self.bytes().is_ok_and(|ours| ours == bytes))
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Reads the state at `path`, lets `change` have its way, and replaces the file. For the holder of the lock.
pub fn update(path: &Path, durability: Durability, change: impl FnOnce(&mut State)) -> io::Result<State> {
    // What cannot be read right now is not overwritten by what it might have been.
    let mut state = State::read(path)?.unwrap_or_default();
    change(&mut state);
    state.write(path, durability)?;
    Ok(state)
}

fn take<T: DeserializeOwned + Default>(fields: &mut Map<String, Value>, name: &str) -> T {
    fields.shift_remove(name).and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runbook_wrote_is_understood_and_fields_of_others_stay() {
        let state = State::parse(
            br#"{"zeta":[1,{"b":2,"a":1}],"status":"recovering","last_crash":1735.25,"recovery_count":3,"alpha":null}"#,
        );
        assert_eq!(state.status, WorkerStatus::Recovering);
        assert_eq!((state.last_crash, state.recovery_count), (Some(1735.25), 3));
        let written = serde_json::to_string(&state).unwrap();
        assert!(written.contains(r#""zeta":[1,{"b":2,"a":1}],"alpha":null"#), "{written}");
        assert_eq!(State::parse(written.as_bytes()), state);
    }

    #[test]
    fn a_broken_file_or_field_is_as_good_as_absent() {
        for broken in ["", "{", "[]", "null", "{\"status\":7}", "{\"status\":\"on fire\"}"] {
            assert_eq!(State::parse(broken.as_bytes()).status, WorkerStatus::Starting, "{broken}");
        }
        let state =
            State::parse(br#"{"status":"paused","recovery_count":"many","running":5,"hold":{"cause":"?"}}"#);
        assert_eq!((state.status, state.recovery_count), (WorkerStatus::Paused, 0));
        assert_eq!((state.running, state.hold), (vec![], None));
    }

    #[test]
    fn what_a_person_wants_lasts() {
        let text = br#"{"status":"stopped","wanted":{"mode":"pause","reason":"figures","by":"ana","at":"2026-03-01T10:00:00Z"}}"#;
        let state = State::parse(text);
        assert_eq!(
            state.wanted.as_ref().map(|it| (it.mode, it.by.as_deref())),
            Some((WantedMode::Pause, Some("ana")))
        );
        assert_eq!(State::parse(serde_json::to_string(&state).unwrap().as_bytes()), state);
    }

    #[test]
    fn an_update_changes_only_what_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        durable::write_atomic(&path, br#"{"recovery_count":2,"note":"mine"}"#, Durability::None).unwrap();
        update(&path, Durability::None, |state| state.status = WorkerStatus::Stopped).unwrap();
        let state = State::read(&path).unwrap().unwrap();
        assert_eq!((state.status, state.recovery_count), (WorkerStatus::Stopped, 2));
        assert_eq!(state.others["note"], "mine");
    }

    #[test]
    fn what_somebody_wrote_since_is_not_taken_for_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let state = State { last_crash: Some(1_764_193_486.123_456_7), ..State::default() };
        assert!(!state.is_at(&path));
        state.write(&path, Durability::None).unwrap();
        assert!(state.is_at(&path));
        durable::write_atomic(&path, br#"{"status":"recovering"}"#, Durability::None).unwrap();
        assert!(!state.is_at(&path));
    }

    #[test]
    fn every_word_is_written_as_it_is_said() {
        for cause in HoldCause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
        }
        for word in ["starting", "running", "paused", "draining", "stopped", "recovering", "degraded"] {
            let status: WorkerStatus = serde_json::from_value(word.into()).unwrap();
            assert_eq!(status.as_str(), word);
        }
    }
}
