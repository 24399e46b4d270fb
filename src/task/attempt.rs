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

    /// The larger of two counts, field by field.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cache_read: self.cache_read.max(other.cache_read),
            cache_write: self.cache_write.max(other.cache_write),
        }
    }

    /// What counts against a limit: all but what was read from the prompt cache, which is sent again with every request
    /// and costs a tenth.
    pub const fn counted(self) -> u64 {
        self.input.saturating_add(self.output).saturating_add(self.cache_write)
    }
}

/// What an attempt used, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// US dollars of this attempt alone.
    pub cost_usd: Option<f64>,
    /// Tokens of this attempt alone.
    pub tokens: Option<Tokens>,
}

/// How an attempt began: which conversation it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Began {
    /// With a new one, from the prompt on.
    New,
    /// It went on with that of an earlier attempt.
    Resumed,
    /// With a copy of one that could not be gone on with itself.
    Forked,
    /// With a new one that was told what earlier attempts had done, since theirs is lost.
    Told,
}

impl Began {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Resumed => "resumed",
            Self::Forked => "forked",
            Self::Told => "told",
        }
    }

    /// Whether it needs a conversation that is there already.
    pub const fn goes_on(self) -> bool {
        matches!(self, Self::Resumed | Self::Forked)
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
    /// Its turns were used up before it was finished, and it may have more.
    NeedsMore,
}

/// One start of the agent. It is recorded, durably, before the start; its end is filled in later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Attempt {
    /// Counted from 1 within the run.
    pub number: u32,
    /// The conversation that this attempt begins or goes on with.
    pub session_id: SessionId,
    /// How it began; absent until that is decided, right before the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Began>,
    /// The conversation that this one is a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<SessionId>,
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
    /// The control group of the run, in which it and all that it started are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// The agent's working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Where the CLI keeps its transcripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_dir: Option<String>,
    /// What its conversation had cost in lives of the task before this one, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_before_usd: Option<f64>,
    /// What this attempt cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// What this attempt used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// The most memory that it had with all that it started, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

impl Attempt {
    /// A new attempt that has not ended.
    pub fn open(number: u32, session_id: SessionId, started_at: Timestamp) -> Self {
        Self {
            number,
            session_id,
            began: None,
            forked_from: None,
            started_at,
            ended_at: None,
            outcome: None,
            reason: None,
            charged: false,
            pid: None,
            start_ticks: None,
            boot_id: None,
            pid_ns: None,
            cgroup: None,
            cwd: None,
            config_dir: None,
            cost_before_usd: None,
            cost_usd: None,
            tokens: None,
            peak_memory_bytes: None,
        }
    }

    /// What it used, as far as it is known.
    pub const fn usage(&self) -> Usage {
        Usage { cost_usd: self.cost_usd, tokens: self.tokens }
    }

    /// Whether nobody has recorded its end yet.
    pub const fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// Whether it was to go on with a conversation; true where that is not known, since it may have been.
    pub fn goes_on(&self) -> bool {
        self.began.is_none_or(Began::goes_on)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_goes_on_unless_it_is_known_to_begin_anew() {
        let mut attempt = Attempt::open(1, SessionId::mint(), Timestamp::UNIX_EPOCH);
        assert!(attempt.goes_on(), "it may have");
        for (began, goes_on) in
            [(Began::New, false), (Began::Told, false), (Began::Resumed, true), (Began::Forked, true)]
        {
            attempt.began = Some(began);
            assert_eq!((began.goes_on(), attempt.goes_on()), (goes_on, goes_on), "{began:?}");
        }
        attempt.cost_usd = Some(0.5);
        attempt.tokens = Some(Tokens { input: 7, ..Tokens::default() });
        assert_eq!(attempt.usage(), Usage { cost_usd: Some(0.5), tokens: attempt.tokens });
    }
}
