//! What a task left behind when it ended.

use serde::{Deserialize, Serialize};

use super::attempt::AttemptOutcome;
use super::fault::ErrorCode;
use super::state::TaskState;

/// The end of a task: a terminal state with its reason or its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// A terminal state.
    pub state: TaskState,
    /// Why, as a code.
    pub error_code: Option<ErrorCode>,
    /// Why, in words.
    pub failure_reason: Option<String>,
    /// The first 4 KiB of the answer.
    pub result: Option<String>,
    /// The path of the whole answer, relative to the root.
    pub output: Option<String>,
    /// The tools that were denied, where the answer counts all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied_tools: Vec<String>,
}

/// The bytes of an answer that stand in the task file itself.
pub const RESULT_BYTES: usize = 4096;

impl Outcome {
    /// Ended well.
    pub fn completed(answer: &str, output: Option<String>) -> Self {
        Self {
            state: TaskState::Completed,
            error_code: None,
            failure_reason: None,
            result: Some(head(answer, RESULT_BYTES).to_owned()),
            output,
            denied_tools: Vec::new(),
        }
    }

    /// Ended badly.
    pub fn failed(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self {
            state: if code == ErrorCode::E003 { TaskState::Timeout } else { TaskState::Failed },
            error_code: Some(code),
            failure_reason: Some(reason.into()),
            result: None,
            output: None,
            denied_tools: Vec::new(),
        }
    }

    /// Ended by an operator.
    pub fn cancelled(reason: impl Into<String>) -> Self {
        Self {
            state: TaskState::Cancelled,
            error_code: None,
            failure_reason: Some(reason.into()),
            result: None,
            output: None,
            denied_tools: Vec::new(),
        }
    }

    /// How the attempt that led here is recorded.
    pub fn attempt_outcome(&self) -> AttemptOutcome {
        match self.state {
            TaskState::Completed => AttemptOutcome::Completed,
            TaskState::Timeout => AttemptOutcome::TimedOut,
            TaskState::Cancelled => AttemptOutcome::Cancelled,
            TaskState::Failed
            | TaskState::Pending
            | TaskState::Initializing
            | TaskState::Running
            | TaskState::Completing => AttemptOutcome::Failed,
        }
    }
}

/// The longest beginning of `text` of at most `max` bytes that ends between two characters.
pub fn head(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_between_characters() {
        assert_eq!(head("añb", 2), "a");
        assert_eq!(head("añb", 3), "añ");
        assert_eq!(head("ab", 9), "ab");
    }

    #[test]
    fn a_time_limit_ends_in_the_state_of_its_own() {
        assert_eq!(Outcome::failed(ErrorCode::E003, "slow").state, TaskState::Timeout);
        assert_eq!(Outcome::failed(ErrorCode::E006, "api").state, TaskState::Failed);
    }
}
