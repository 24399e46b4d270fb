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

    #[test]
    fn a_resumed_agent_is_told_why() {
        assert!(
            resume_message("the worker was stopped.")
                .starts_with("This run was interrupted: the worker was stopped. L")
        );
    }
}
