//! The answer to a command, as it stands in the `data` of an event and as a caller reads it back.

use serde::{Deserialize, Serialize};

use super::words::{Op, Refusal};

/// What became of a command. What does not apply is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// What was asked, as far as it was understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// The caller's own mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether it was done.
    pub ok: bool,
    /// The exit code that goes with it (`sysexits.h`).
    pub code: u8,
    /// What happened, for people.
    pub message: String,
    /// What to do, or what was probably meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The words that are known, where nothing was understood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,
    /// What was found out or made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
}

impl Reply {
    /// It was done.
    pub fn done(message: impl Into<String>) -> Self {
        Self { ok: true, message: message.into(), ..Self::default() }
    }

    /// It was not done; `code` is an exit code such as [`crate::config::Exit`] has.
    pub fn refused(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), ..Self::default() }
    }

    /// It was not understood.
    pub fn not_understood(refusal: &Refusal) -> Self {
        Self {
            op: refusal.op.map(|op| op.as_str().to_owned()),
            id: refusal.id.clone(),
            hint: refusal.hint(),
            known: if refusal.is_of_the_op() {
                Op::ALL.iter().map(|op| op.as_str().to_owned()).collect()
            } else {
                Vec::new()
            },
            ..Self::refused(64, refusal.to_string())
        }
    }

    /// With a word on what to do.
    #[must_use]
    pub fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what was found out.
    #[must_use]
    pub fn with(mut self, result: serde_json::Value) -> Self {
        self.result = Some(result);
        self
    }
}
