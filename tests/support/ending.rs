//! How the agents of a model end, and what is made of that.

use agent_worker::agent::verdict::{HoldCause, Interruption, Judgement, Verdict};
use agent_worker::task::{ErrorCode, Tokens};

pub(crate) const ANSWER: &str = "an answer of some length";

/// How an agent ends if nobody cuts it short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    Done,
    /// Well, and something is owed before that counts.
    Owed,
    /// The same, and it cannot be done at once: the task waits in the queue with its attempt open.
    LaidBy,
    Fault,
    Denied,
    Busy,
    Stopped,
    Cancelled,
    Crash,
}

impl Ending {
    /// Whether its stream says so.
    pub(crate) const fn is_heard(self) -> bool {
        self.is_done() || matches!(self, Self::Fault | Self::Denied | Self::Busy)
    }

    /// Whether it has answered, and must not be paid for once more.
    pub(crate) const fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::Owed | Self::LaidBy)
    }

    pub(crate) fn judgement(self) -> Judgement {
        let reason = "as scripted".to_owned();
        let verdict = match self {
            Self::Done | Self::Owed | Self::LaidBy => Verdict::Done { answer: ANSWER.to_owned() },
            Self::Fault => Verdict::Failed { code: ErrorCode::E006, reason },
            Self::Denied => Verdict::Failed { code: ErrorCode::E005, reason },
            Self::Busy => {
                let cause = HoldCause::RateLimit;
                Verdict::Wait { cause, until: None, reason, remedy: "wait".to_owned() }
            }
            Self::Stopped => Verdict::Interrupted { cause: Interruption::Asked, reason },
            Self::Cancelled => Verdict::Cancelled { reason },
            Self::Crash => Verdict::Interrupted { cause: Interruption::Crashed, reason },
        };
        Judgement {
            needs_more: false,
            verdict,
            cost_usd: None,
            tokens: Tokens::default(),
            session_id: None,
            num_turns: None,
            model: None,
            answered_by: None,
            api_ms: None,
            denied: Vec::new(),
        }
    }
}
