//! The lines that an agent is sent through its standard input, and the texts in them.
//!
//! Invariants:
//! - one message is one line, newline included: a line that is not JSON would end the CLI;
//! - what a task says reaches the model as text, never as a slash command of the CLI;
//! - what was checked with [`check`] fits.
//!
//! It deliberately does not know how the lines travel.

use serde_json::{Value, json};

use crate::task::Spec;

/// The longest prompt, in bytes: the CLI refuses more on its standard input.
pub const PROMPT_MAX: usize = 10_000_000;

/// Why a message cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The CLI would refuse it.
    #[error("prompt too long: {bytes} bytes, and {PROMPT_MAX} is the most the agent takes")]
    PromptTooLong {
        /// Its length.
        bytes: usize,
    },
    /// There is nothing to ask: the CLI would end at once.
    #[error("the prompt is empty")]
    PromptEmpty,
}

/// What the agent is asked to do: the prompt, and `input` below it as a block of JSON. An input that is a plain
/// string is the prompt where there is none.
pub fn compose_prompt(spec: &Spec) -> Result<String, MessageError> {
    let prompt = spec.prompt.as_deref().unwrap_or_default();
    let text = match (&spec.input, prompt.trim().is_empty()) {
        (None, _) => prompt.to_owned(),
        (Some(Value::String(input)), true) => input.clone(),
        (Some(input), true) => format!("Work on this input:\n\n{}\n", fenced(input)),
        (Some(input), false) => format!("{prompt}\n\nInput:\n\n{}\n", fenced(input)),
    };
    check(&text)?;
    Ok(text)
}

/// Whether a text can be sent.
pub fn check(text: &str) -> Result<(), MessageError> {
    if text.trim().is_empty() {
        return Err(MessageError::PromptEmpty);
    }
    if text.len() > PROMPT_MAX {
        return Err(MessageError::PromptTooLong { bytes: text.len() });
    }
    Ok(())
}

/// The JSON in a fence that is longer than any run of backticks in it, so that no input closes its own fence.
fn fenced(input: &Value) -> String {
    let json = format!("{input:#}");
    let longest = json.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}json\n{json}\n{fence}")
}

/// What an agent is told when its conversation goes on after `reason`, a fragment such as `the worker was stopped`.
pub fn resume_message(reason: &str) -> String {
    let reason = reason.trim().trim_end_matches('.');
    format!(
        "This run was interrupted: {reason}. Look at what is already done, since the last step may have been cut \
         short, then go on with the task to its end. Do not repeat what is done."
    )
}

/// A user message.
pub fn user_message(text: &str) -> String {
    // `client_composed` has the CLI take the text as it is. Versions that do not know it look for a slash in the
    // first place only.
    let text = if text.starts_with('/') { format!(" {text}") } else { text.to_owned() };
    line(&json!({
        "type": "user",
        "message": {"role": "user", "content": text},
        "client_composed": true,
    }))
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

    fn spec(prompt: Option<&str>, input: Option<Value>) -> Spec {
        Spec { prompt: prompt.map(str::to_owned), input, ..Spec::default() }
    }

    fn content(line: &str) -> String {
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?} is one line");
        let message: Value = serde_json::from_str(line).unwrap();
        message["message"]["content"].as_str().unwrap().to_owned()
    }

    #[test]
    fn prompt_and_input_are_put_together() {
        let table = [
            (Some("do it"), None, "do it"),
            (None, Some(json!("do it")), "do it"),
            (Some(" "), Some(json!("do it")), "do it"),
            (Some("do it"), Some(json!("x")), "do it\n\nInput:\n\n```json\n\"x\"\n```\n"),
            (Some("do it"), Some(json!({"a": 1})), "do it\n\nInput:\n\n```json\n{\n  \"a\": 1\n}\n```\n"),
            (None, Some(json!([1])), "Work on this input:\n\n```json\n[\n  1\n]\n```\n"),
        ];
        for (prompt, input, text) in table {
            assert_eq!(compose_prompt(&spec(prompt, input)).unwrap(), text);
        }
    }

    #[test]
    fn an_input_cannot_close_its_own_fence() {
        let text = compose_prompt(&spec(Some("p"), Some(json!({"a": "```\n`````"})))).unwrap();
        assert!(text.contains("\n``````json\n") && text.trim_end().ends_with("\n``````"));
    }

    #[test]
    fn what_the_agent_would_refuse_is_refused_here() {
        assert_eq!(compose_prompt(&spec(None, Some(json!(" ")))), Err(MessageError::PromptEmpty));
        let long = "x".repeat(PROMPT_MAX + 1);
        assert_eq!(
            compose_prompt(&spec(Some(&long), None)),
            Err(MessageError::PromptTooLong { bytes: PROMPT_MAX + 1 })
        );
        assert!(check(&long[1..]).is_ok());
    }

    #[test]
    fn a_message_is_one_line_and_no_command() {
        assert_eq!(content(&user_message("two\nlines \"quoted\"")), "two\nlines \"quoted\"");
        let line = user_message("/compact");
        assert_eq!(content(&line), " /compact");
        assert!(line.contains("\"client_composed\":true"));
    }

    #[test]
    fn an_interrupt_can_be_told_by_its_answer() {
        let request: Value = serde_json::from_str(&interrupt("r1")).unwrap();
        assert_eq!(request["request_id"], "r1");
        assert_eq!(request["request"]["subtype"], "interrupt");
    }

    #[test]
    fn a_resumed_agent_is_told_why() {
        assert!(
            resume_message("the worker was stopped.")
                .starts_with("This run was interrupted: the worker was stopped. L")
        );
    }
}
