//! What a person said of a task or a worker, as it is shown: who, when and why.
//!
//! It deliberately does not know what was wanted: that a task is held, or that a worker is paused.

use serde_json::Value;

use crate::clock::Timestamp;
use crate::task::Held;
use crate::telemetry::state_file::Wanted;

/// Who said so, when and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    since: Option<Timestamp>,
    by: Option<String>,
    reason: Option<String>,
}

impl Word {
    /// Such as ` by ann since 2026-01-01T00:00:00Z: the invoice first`, to go after a verb.
    pub(super) fn tail(&self) -> String {
        let by = self.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let since = self.since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
        let why = self.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{by}{since}{why}")
    }

    /// The same for a program.
    pub(super) fn as_json(&self) -> Value {
        serde_json::json!({"since": self.since, "by": self.by, "reason": self.reason})
    }
}

impl From<&Held> for Word {
    fn from(held: &Held) -> Self {
        let Held { since, by, reason } = held.clone();
        Self { since, by, reason }
    }
}

impl From<&Wanted> for Word {
    fn from(wanted: &Wanted) -> Self {
        let Wanted { mode: _, reason, by, at } = wanted.clone();
        Self { since: at, by, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::state_file::WantedMode;

    #[test]
    fn what_is_known_is_said_and_nothing_else() {
        let at = "2026-01-01T00:00:00Z".parse().ok();
        let (by, reason) = (Some("ann".to_owned()), Some("the invoice first".to_owned()));
        let wanted = Wanted { mode: WantedMode::Pause, reason: reason.clone(), by: by.clone(), at };
        let held = Held { since: at, by, reason };
        for word in [Word::from(&wanted), Word::from(&held)] {
            assert_eq!(word.tail(), " by ann since 2026-01-01T00:00:00Z: the invoice first");
            assert_eq!(word.as_json()["by"], "ann");
        }
        assert_eq!(Word::from(&Held::default()).tail(), "");
    }
}
