//! Why a worker starts nothing for a while: something is at fault that is no task's.

use serde::{Deserialize, Serialize};

use super::fault::ErrorCode;

/// The kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldCause {
    /// Nobody is logged in, or the key is refused.
    Auth,
    /// There is no credit.
    Billing,
    /// Too many requests; it ends by itself.
    RateLimit,
    /// The API, or the way to it, is down.
    Outage,
    /// The CLI is missing, too old or refuses its arguments, or the model does not exist.
    Configuration,
    /// The disk is full or fails.
    Disk,
    /// A gradual resume stopped: too much of a batch failed.
    Resume,
    /// What the worker may use in an hour or a day is used up.
    Budget,
    /// The machine, or the control group that the worker is in, is short of memory.
    Memory,
}

impl HoldCause {
    /// Every cause.
    pub const ALL: [Self; 9] = [
        Self::Auth,
        Self::Billing,
        Self::RateLimit,
        Self::Outage,
        Self::Configuration,
        Self::Disk,
        Self::Resume,
        Self::Budget,
        Self::Memory,
    ];

    /// The word written into files, labels and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Billing => "billing",
            Self::RateLimit => "rate_limit",
            Self::Outage => "outage",
            Self::Configuration => "configuration",
            Self::Disk => "disk",
            Self::Resume => "resume",
            Self::Budget => "budget",
            Self::Memory => "memory",
        }
    }

    /// The code that operators know it by.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Auth | Self::Billing | Self::Configuration => ErrorCode::E005,
            Self::RateLimit | Self::Outage => ErrorCode::E006,
            Self::Disk => ErrorCode::E007,
            Self::Resume => ErrorCode::E008,
            Self::Budget | Self::Memory => ErrorCode::E004,
        }
    }

    /// Whether it passes without a person.
    pub const fn passes_by_itself(self) -> bool {
        match self {
            Self::RateLimit | Self::Outage | Self::Disk | Self::Budget | Self::Memory => true,
            Self::Auth | Self::Billing | Self::Configuration | Self::Resume => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_needed_where_no_waiting_helps() {
        use HoldCause::{Auth, Billing, Budget, Configuration, Disk, Memory, Outage, RateLimit, Resume};
        for (cause, passes) in [
            (RateLimit, true),
            (Outage, true),
            (Disk, true),
            (Budget, true),
            (Memory, true),
            (Auth, false),
            (Billing, false),
            (Configuration, false),
            (Resume, false),
        ] {
            assert_eq!(cause.passes_by_itself(), passes, "{cause:?}");
        }
    }
}
