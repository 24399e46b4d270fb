//! What an acceptance command came to: `artifacts/<run_id>/attempt-N/verify.json`.
//!
//! Once it is durable the command is not run again for the same answer, whoever asks.

use serde::{Deserialize, Serialize};

/// How much of what was printed is quoted in a reason, in bytes.
const REASON_TAIL: usize = 400;

/// What the command came to that has the last word on an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Whether the answer counts.
    pub passed: bool,
    /// Its exit status, where it had one.
    #[serde(default)]
    pub exit: Option<i32>,
    /// The signal that ended it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether its time was up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// Whether it printed more than is kept, and was ended for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flooded: bool,
    /// How long it took, in seconds.
    #[serde(default)]
    pub took_s: f64,
    /// The last lines that it printed.
    #[serde(default)]
    pub tail: String,
}

impl Acceptance {
    /// The verdict in `bytes`; `None` for what is none, as after a cut in the middle of a write.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// As it is written down.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The command as a person would type it.
    pub fn typed(&self) -> String {
        typed(&self.command)
    }

    /// How it ended, in a few words.
    pub fn how(&self) -> String {
        match (self.timed_out, self.flooded, self.exit, self.signal) {
            (true, ..) => format!("was not done after {:.0} s", self.took_s),
            (_, true, ..) => "printed more than is kept of it".to_owned(),
            (.., Some(0), _) => "passed".to_owned(),
            (.., Some(code), _) => format!("failed (exit status {code})"),
            (.., None, Some(signal)) => format!("was ended by signal {signal}"),
            (.., None, None) => "failed".to_owned(),
        }
    }

    /// Why the answer does not count, with the last that was printed, on one line.
    pub fn reason(&self) -> String {
        let (command, how) = (self.typed(), self.how());
        let words: Vec<&str> = self.tail.split_whitespace().collect();
        let last = words.join(" ");
        // The end of it says what is wrong; half a character is none.
        let from = last.ceil_char_boundary(last.len().saturating_sub(REASON_TAIL));
        let dots = if from > 0 { "… " } else { "" };
        match &last[from..] {
            "" => format!("the acceptance command `{command}` {how}"),
            last => format!("the acceptance command `{command}` {how}: {dots}{last}"),
        }
    }
}

/// A command as a person would type it.
pub fn typed(command: &[String]) -> String {
    let words: Vec<String> = command.iter().map(|word| super::text::shell_word(word)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_told_in_words() {
        let base = Acceptance {
            command: ["cargo", "test", "two words"].map(str::to_owned).into(),
            took_s: 600.4,
            ..Acceptance::default()
        };
        for (acceptance, said) in [
            (Acceptance { exit: Some(0), passed: true, ..base.clone() }, "passed"),
            (Acceptance { exit: Some(101), ..base.clone() }, "failed (exit status 101)"),
            (Acceptance { signal: Some(11), ..base.clone() }, "was ended by signal 11"),
            (Acceptance { signal: Some(9), timed_out: true, ..base.clone() }, "was not done after 600 s"),
            (Acceptance { flooded: true, ..base.clone() }, "printed more than is kept of it"),
        ] {
            assert_eq!(acceptance.how(), said);
            assert_eq!(Acceptance::parse(&acceptance.to_bytes()), Some(acceptance));
        }
        let failed = Acceptance { exit: Some(1), tail: "one\ntwo\n".to_owned(), ..base };
        assert_eq!(
            failed.reason(),
            "the acceptance command `cargo test 'two words'` failed (exit status 1): one two"
        );
        let long = Acceptance { tail: "é".repeat(300), ..failed };
        assert!(long.reason().ends_with(&format!("… {}", "é".repeat(200))), "{}", long.reason());
        assert_eq!(Acceptance::parse(b"{\"passed\""), None);
    }
}
