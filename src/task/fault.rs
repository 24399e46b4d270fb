//! The error codes, and which of them are worth another try.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a task or an attempt failed, as operators know it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum ErrorCode {
    /// The pack named by `type` does not exist.
    E001,
    /// The task file or its input is invalid.
    E002,
    /// A time limit was reached.
    E003,
    /// A resource limit was reached: memory, budget, turns, output or prompt size.
    E004,
    /// Authentication failed, or a tool was denied.
    E005,
    /// The external API failed or the model refused.
    E006,
    /// The artifact storage failed.
    E007,
    /// The queue failed.
    E008,
}

impl ErrorCode {
    /// Whether a task that failed with this code may succeed when it is tried again.
    pub const fn is_retried(self) -> bool {
        match self {
            Self::E003 | Self::E006 | Self::E007 | Self::E008 => true,
            Self::E001 | Self::E002 | Self::E004 | Self::E005 => false,
        }
    }

    /// The code as it stands in files, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::E001 => "E001",
            Self::E002 => "E002",
            Self::E003 => "E003",
            Self::E004 => "E004",
            Self::E005 => "E005",
            Self::E006 => "E006",
            Self::E007 => "E007",
            Self::E008 => "E008",
        }
    }

    /// What the code means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::E001 => "pack not found",
            Self::E002 => "invalid input",
            Self::E003 => "timeout",
            Self::E004 => "resource limit",
            Self::E005 => "authentication or permission",
            Self::E006 => "external API or refusal",
            Self::E007 => "artifact storage",
            Self::E008 => "queue",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_succeed_the_next_time_is_tried_again_and_each_code_says_what_it_means() {
        use ErrorCode::{E001, E002, E003, E004, E005, E006, E007, E008};
        for (code, is_retried, meaning) in [
            (E001, false, "pack not found"),
            (E002, false, "invalid input"),
            (E003, true, "timeout"),
            (E004, false, "resource limit"),
            (E005, false, "authentication or permission"),
            (E006, true, "external API or refusal"),
            (E007, true, "artifact storage"),
            (E008, true, "queue"),
        ] {
            assert_eq!((code.is_retried(), code.meaning()), (is_retried, meaning), "{code}");
        }
    }
}
