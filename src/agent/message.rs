//! The lines that an agent is sent through its standard input, and the texts in them.
//!
//! Invariants:
//! - one message is one line, newline included: a line that is not JSON would end the CLI;
//! - what a task says, and what a running agent is told, reaches the model as text, never as a slash command of the CLI;
//! - what was checked with [`crate::task::prompt::check`] fits.
//!
//! It deliberately does not know how the lines travel.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::task::outcome::head;
use crate::task::prompt::PROMPT_MAX;
use crate::task::{Attempt, AttemptOutcome};

/// The longest reason that is quoted, in bytes: the rest is in the record.
const REASON_MAX: usize = 300;

/// Why a conversation was cut, as far as the agent has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// Its process died, or its watcher did.
    Crashed(&'a str),
    /// Somebody stopped it: an operator, or the worker at its end.
    Stopped,
    /// A limit or an outage, and no fault of its own.
    HeldUp(&'a str),
    /// Its time was up.
    TimedOut(&'a str),
    /// Its turns were used up.
    OutOfTurns,
    /// It failed, and may try again.
    Failed(&'a str),
    /// Its task had ended, and whoever runs it lets it go on.
    Renewed(&'a str),
}

impl<'a> Cause<'a> {
    /// Why the last of `earlier` ended that had got to work.
    pub fn of(earlier: &'a [Attempt]) -> Self {
        let ended = earlier.iter().rev().find_map(|it| Some((it.outcome?, it.reason.as_deref())));
        let worked = |it: &&Attempt| {
            !matches!(it.outcome, None | Some(AttemptOutcome::NotStarted | AttemptOutcome::SessionLost))
        };
        let last = earlier.iter().rev().find(worked).and_then(|it| Some((it.outcome?, it.reason.as_deref())));
        let Some((outcome, reason)) = last.or(ended) else { return Self::Stopped };
        let reason = reason.unwrap_or_default();
        match outcome {
            AttemptOutcome::Crashed => Self::Crashed(reason),
            AttemptOutcome::TimedOut => Self::TimedOut(reason),
            AttemptOutcome::Deferred | AttemptOutcome::NotStarted | AttemptOutcome::SessionLost => {
                Self::HeldUp(reason)
            }
            AttemptOutcome::Failed => Self::Failed(reason),
            AttemptOutcome::NeedsMore => Self::OutOfTurns,
            AttemptOutcome::Interrupted | AttemptOutcome::Cancelled | AttemptOutcome::Completed => {
                Self::Stopped
            }
        }
    }

    fn words(self) -> String {
        let with = |what: &str, reason: &str| {
            let reason = head(reason.trim().trim_end_matches('.'), REASON_MAX);
            if reason.is_empty() { what.to_owned() } else { format!("{what} ({reason})") }
        };
        match self {
            Self::Crashed(reason) => with("the program that you work through was killed", reason),
            Self::Stopped => "it was stopped by whoever runs it".to_owned(),
            Self::HeldUp(reason) => with("it was held up by something that is not its fault", reason),
            Self::TimedOut(reason) => with("its time was up", reason),
            Self::OutOfTurns => "its turns were used up, and it gets as many again".to_owned(),
            Self::Failed(reason) => with("it failed", reason),
            Self::Renewed(reason) => with("its task had ended, and whoever runs it lets it go on", reason),
        }
    }

    /// Whether a tool may have been cut in the middle.
    const fn cuts(self) -> bool {
        match self {
            Self::Crashed(_) | Self::Stopped | Self::HeldUp(_) | Self::TimedOut(_) => true,
            Self::OutOfTurns | Self::Failed(_) | Self::Renewed(_) => false,
        }
    }
}

/// What an agent is told when its conversation goes on. `done` is what the run's record says of what was done, where the
/// conversation may not know all of it; empty else.
pub fn resume_message(cause: Cause<'_>, done: &str) -> String {
    let cut = if cause.cuts() {
        " A tool call that was under way may have been carried out, in part or not at all: look before you repeat it."
    } else {
        ""
    };
    let known = if done.is_empty() {
        String::new()
    } else {
        format!(
            "\n\nThe machine went down as well, so the end of this conversation may be missing. The run's own record, the \
             latest first:\n\n{done}"
        )
    };
    format!(
        "This run was interrupted: {}.{cut} Go on with the task from there to its end, and do not repeat what is \
         done.{known}",
        cause.words()
    )
}

/// What an agent is told that begins anew in place of one whose conversation is lost: the task's `prompt`, and `done`,
/// which the run's record says of what came before.
pub fn told_message(prompt: &str, done: &str) -> String {
    let told = "\n\n---\n\nThis task was begun before, and the conversation about it is lost. What is known of it stands \
         below, the latest first. A tool call without an answer may have been carried out, in part or not at all: look \
         before you repeat it. Go on from there, and do not repeat what is done.\n\n";
    let room = PROMPT_MAX.saturating_sub(prompt.len() + told.len());
    format!("{prompt}{told}{}", head(done, room))
}

/// What an agent is told whose answer did not count, when its conversation goes on: `why`, a sentence, and the end of what
/// its work was checked with.
pub fn mend_message(why: &str, tail: &str) -> String {
    let why = why.trim().trim_end_matches('.');
    let tail = tail.trim();
    let quoted = if tail.is_empty() { String::new() } else { format!(" It ended with:\n\n{tail}\n\n") };
    let head = format!("Your answer does not count yet: {why}.");
    format!(
        "{head}{}Mend what is wrong, see for yourself that it is, and answer again.",
        if quoted.is_empty() { " " } else { &quoted }
    )
}

/// What an agent is reminded of that goes on with a task whose answer has to be JSON.
pub const AS_JSON: &str =
    "Your last message is taken as it is and has to be one JSON document, with nothing before or after it.";

/// A user message.
pub fn user_message(text: &str) -> String {
    line(&user(text))
}

/// A user message whose fate the CLI tells (`command_lifecycle`): it says when `id` is taken up.
pub fn told(text: &str, id: Uuid) -> String {
    let mut message = user(text);
    message["uuid"] = id.to_string().into();
    line(&message)
}

fn user(text: &str) -> Value {
    // `client_composed` has the CLI take the text as it is. Versions that do not know it look for a slash in the
    // first place only.
    let text = if text.starts_with('/') { format!(" {text}") } else { text.to_owned() };
    json!({
        "type": "user",
        "message": {"role": "user", "content": text},
        "client_composed": true,
    })
}

/// A request to end the turn. The CLI answers with a `control_response` and a result.
pub fn interrupt(request_id: &str) -> String {
    line(&json!({
        "type": "control_request",
        "request_id": request_id,
        "request": {"subtype": "interrupt"},
    }))
}

fn line(message: &Value) -> String {
    format!("{message}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::SessionId;

    fn content(line: &str) -> String {
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?} is one line");
        let message: Value = serde_json::from_str(line).unwrap();
        message["message"]["content"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_message_is_one_line_and_no_command() {
        assert_eq!(content(&user_message("two\nlines \"quoted\"")), "two\nlines \"quoted\"");
        let line = user_message("/compact");
        assert_eq!(content(&line), " /compact");
        assert!(line.contains("\"client_composed\":true"));
        let told = told("/compact", Uuid::nil());
        assert_eq!(content(&told), " /compact");
        assert!(told.contains(&format!("\"uuid\":\"{}\"", Uuid::nil())));
    }

    #[test]
    fn an_interrupt_can_be_told_by_its_answer() {
        let request: Value = serde_json::from_str(&interrupt("r1")).unwrap();
        assert_eq!(request["request_id"], "r1");
        assert_eq!(request["request"]["subtype"], "interrupt");
    }

    fn attempt(outcome: AttemptOutcome, reason: &str) -> Attempt {
        let mut attempt = Attempt::open(1, SessionId::mint(), jiff::Timestamp::UNIX_EPOCH);
        attempt.close(outcome, Some(reason.to_owned()), jiff::Timestamp::UNIX_EPOCH);
        attempt
    }

    #[test]
    fn a_resumed_agent_is_told_why_and_to_look_where_a_tool_was_cut() {
        for (outcome, reason, said, looks) in [
            (AttemptOutcome::Crashed, "worker_crash", "was killed (worker_crash).", true),
            (AttemptOutcome::Interrupted, "interrupted on request", "was stopped by whoever runs it.", true),
            (
                AttemptOutcome::Deferred,
                "429, too fast.",
                "held up by something that is not its fault (429, too",
                true,
            ),
            (AttemptOutcome::TimedOut, "the limit", "its time was up (the limit).", true),
            (
                AttemptOutcome::NeedsMore,
                "40 turns",
                "its turns were used up, and it gets as many again.",
                false,
            ),
            (AttemptOutcome::Failed, "it refused", "it failed (it refused).", false),
            (AttemptOutcome::Failed, "", "it failed.", false),
        ] {
            let earlier = [
                attempt(outcome, reason),
                attempt(AttemptOutcome::SessionLost, "gone"),
                attempt(AttemptOutcome::NotStarted, "no CLI"),
            ];
            let message = resume_message(Cause::of(&earlier), "");
            assert!(message.starts_with("This run was interrupted: ") && message.contains(said), "{message}");
            assert_eq!(message.contains("look before you repeat it"), looks, "{message}");
            assert!(message.len() < 400 && message.ends_with("do not repeat what is done."), "{message}");
        }
        let never = [attempt(AttemptOutcome::NotStarted, "no CLI")];
        assert_eq!(Cause::of(&never), Cause::HeldUp("no CLI"));
        assert_eq!(Cause::of(&[]), Cause::Stopped);
        let long = resume_message(Cause::Crashed(&"x".repeat(9000)), "");
        assert!(long.len() < 700, "{}", long.len());
        let after = resume_message(Cause::Crashed("worker_crash"), "- Bash: make");
        assert!(after.contains("machine went down") && after.ends_with("- Bash: make"), "{after}");
    }

    #[test]
    fn one_that_begins_anew_is_asked_first_and_told_after() {
        let text = told_message("fake: do it", "- Bash: make");
        assert!(text.starts_with("fake: do it\n\n---\n\n") && text.ends_with("- Bash: make"), "{text}");
    }

    #[test]
    fn an_agent_whose_answer_does_not_count_is_told_why_and_with_what() {
        let said = mend_message("the command `cargo test` failed (exit status 101)", "test a ... FAILED\n");
        assert_eq!(
            said,
            "Your answer does not count yet: the command `cargo test` failed (exit status 101). It ended with:\n\n\
             test a ... FAILED\n\nMend what is wrong, see for yourself that it is, and answer again."
        );
        let said = mend_message("it is no JSON.", "");
        assert!(said.starts_with("Your answer does not count yet: it is no JSON. Mend"), "{said}");
    }
}
