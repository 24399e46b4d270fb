//! The fields of a task file: those of whoever dropped it, and ours.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::attempt::{Attempt, Tokens};
use super::fault::ErrorCode;
use super::held::{self, Held};
use super::name::{RunId, TaskName, WorkerName};
use super::outcome::Outcome;
use super::state::TaskState;
use super::workdir::{Changes, WorkdirMode};

/// What whoever dropped the file asks for. All fields are optional but `prompt` or `input`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Spec {
    /// The task's name; without it, the stem of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<TaskName>,
    /// The pack that says how the agent is run; `default` without it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What the agent is asked to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Any JSON, handed to the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<serde_json::Value>,
    /// The one worker that may take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerName>,
    /// Higher first; 0 without it. Waiting tasks age upward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// The wall-clock limit of one attempt, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timeout_s: Option<u32>,
    /// How many charged failures it may have and still be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000))]
    pub max_retries: Option<u32>,
    /// Not claimed before this moment, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub not_before: Option<Timestamp>,
    /// Where the agent works; it must lie under a `--workdir-root`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Handed through to every log line of this task.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub correlation_id: Option<String>,
    /// The most that all attempts together may cost, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// The most turns one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_turns: Option<u32>,
    /// The most tokens that all attempts together may use: input, output, and what is written to the prompt cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
    /// Not taken until it is released.
    #[serde(deserialize_with = "held::mark", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<held::Mark>")]
    pub held: Option<Held>,
    /// How the agent works there: in the directory itself (`dir`), in a worktree of that repository (`worktree`), or in an
    /// empty folder of its own (`empty`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir_mode: Option<WorkdirMode>,
}

impl Spec {
    /// The fields as they are called in the file.
    pub const FIELDS: &'static [&'static str] = &[
        "id",
        "type",
        "prompt",
        "input",
        "worker",
        "priority",
        "timeout_s",
        "max_retries",
        "not_before",
        "workdir",
        "correlation_id",
        "max_cost_usd",
        "max_turns",
        "max_tokens",
        "held",
        "workdir_mode",
    ];
}

/// What we write into the file, from the claim on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Record {
    /// When the file was dropped (its mtime at the first claim), RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub submitted_at: Option<Timestamp>,
    /// This life of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Refines the directory the file is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<TaskState>,
    /// How often it has been charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<u32>,
    /// Not tried again before this moment, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub retry_at: Option<Timestamp>,
    /// When it last failed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<f64>,
    /// Why it last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Why it last failed, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
    /// Every start of an agent for this run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// The first 4 KiB of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The path of the whole answer, relative to the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The tools that the agent was denied, where its answer counts all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied_tools: Vec<String>,
    /// What the run changed in the git repository that it works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
}

impl Record {
    /// The fields of the record as they are called in the file.
    pub const FIELDS: &'static [&'static str] = &[
        "submitted_at",
        "run_id",
        "state",
        "retry_count",
        "retry_at",
        "last_failure",
        "failure_reason",
        "error_code",
        "attempts",
        "result",
        "output",
        "denied_tools",
        "changes",
    ];

    /// The attempt that nobody has recorded the end of.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        self.attempts.last().filter(|attempt| attempt.is_open())
    }

    /// Same, to be changed.
    pub fn open_attempt_mut(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut().filter(|attempt| attempt.is_open())
    }

    /// How often it has been charged, whoever counted: a runbook's script may have raised the number only.
    pub fn charges(&self) -> u32 {
        let counted = self.attempts.iter().filter(|attempt| attempt.charged).count();
        self.retry_count.unwrap_or(0).max(u32::try_from(counted).unwrap_or(u32::MAX))
    }

    /// The outcome, if there is one.
    pub fn outcome(&self) -> Option<Outcome> {
        let state = self.state.filter(|state| state.is_terminal())?;
        Some(Outcome {
            state,
            error_code: self.error_code,
            failure_reason: self.failure_reason.clone(),
            result: self.result.clone(),
            output: self.output.clone(),
            denied_tools: self.denied_tools.clone(),
        })
    }

    /// What all attempts cost, in US dollars.
    pub fn cost_usd(&self) -> f64 {
        // From a zero of ours: the sum of nothing is a negative one.
        self.attempts.iter().filter_map(|attempt| attempt.cost_usd).fold(0.0, |sum, usd| sum + usd)
    }

    /// What all attempts used.
    pub fn tokens(&self) -> Tokens {
        self.attempts.iter().filter_map(|attempt| attempt.tokens).fold(Tokens::default(), Tokens::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::super::name::SessionId;
    use super::*;

    #[test]
    fn a_record_adds_up_what_its_attempts_cost_and_counts_their_charges() {
        let mut record = Record::default();
        assert!(record.cost_usd().is_sign_positive(), "nothing is told as 0, and not as -0");
        for (n, (usd, output)) in (1..).zip([(0.25, 3), (0.5, 4)]) {
            let mut attempt = Attempt::open(n, SessionId::mint(), Timestamp::UNIX_EPOCH);
            attempt.cost_usd = Some(usd);
            attempt.tokens = Some(Tokens { output, ..Tokens::default() });
            attempt.charged = true;
            record.attempts.push(attempt);
        }
        assert_eq!(record.cost_usd().to_bits(), 0.75f64.to_bits());
        assert_eq!((record.tokens().output, record.charges()), (7, 2));
        record.retry_count = Some(5);
        assert_eq!(record.charges(), 5, "a script may have raised the number alone");
        assert_eq!(Record::default().charges(), 0);
    }
}
