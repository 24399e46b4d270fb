//! One start of an agent for a task, as it is recorded in the task file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::SessionId;

/// Tokens as the API counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Tokens {
    /// Tokens sent.
    pub input: u64,
    /// Tokens received.
    pub output: u64,
    /// Tokens read from the prompt cache.
    pub cache_read: u64,
    /// Tokens written to the prompt cache.
    pub cache_write: u64,
}

impl Tokens {
    /// The sum of two counts, field by field.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
        }
    }
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// The agent answered.
    Completed,
    /// The task's own fault, or the agent's.
    Failed,
    /// A time limit ended it.
    TimedOut,
    /// The watcher or the agent died under it.
    Crashed,
    /// An operator or a shutdown ended it.
    Interrupted,
    /// Not the task's fault: rate limit, outage, authentication, billing, configuration.
    Deferred,
    /// The agent could not be started.
    NotStarted,
    /// The conversation that was to go on is not there any more: the next attempt begins another.
    SessionLost,
    /// An operator cancelled it.
    Cancelled,
}

/// One start of the agent. It is recorded, durably, before the start; its end is filled in later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Attempt {
    /// Counted from 1 within the run.
    pub number: u32,
    /// The conversation that this attempt begins or goes on with.
    pub session_id: SessionId,
    /// When it was claimed, RFC 3339.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// When its end was recorded, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub ended_at: Option<Timestamp>,
    /// How it ended; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AttemptOutcome>,
    /// Why it ended so, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it counts against `max_retries`.
    #[serde(default)]
    pub charged: bool,
    /// The agent's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Field 22 of `/proc/<pid>/stat`, which tells a reused pid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ticks: Option<u64>,
    /// The boot in which `pid` means something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The PID namespace in which `pid` means something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_ns: Option<u64>,
    /// The agent's working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Where the CLI keeps its transcripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_dir: Option<String>,
    /// What this attempt cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// What this attempt used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
}

impl Attempt {
    /// A new attempt that has not ended.
    pub fn open(number: u32, session_id: SessionId, started_at: Timestamp) -> Self {
        Self {
            number,
            session_id,
            started_at,
            ended_at: None,
            outcome: None,
            reason: None,
            charged: false,
            pid: None,
            start_ticks: None,
            boot_id: None,
            pid_ns: None,
            cwd: None,
            config_dir: None,
            cost_usd: None,
            tokens: None,
        }
    }

    /// Whether nobody has recorded its end yet.
    pub const fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// Records the end, once: the first durable outcome wins.
    pub fn close(&mut self, outcome: AttemptOutcome, reason: Option<String>, at: Timestamp) {
        if self.is_open() {
            self.outcome = Some(outcome);
            self.reason = reason;
            self.ended_at = Some(at);
        }
    }
}
