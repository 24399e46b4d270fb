//! An agent that is not Claude: it speaks the CLI's protocol and repeats what it was asked, at no cost.
//!
//! For trying the queue out without an account, and for demonstrations. Invariants:
//! - every answer says that it is not Claude's;
//! - as with the CLI, nothing is printed before the first message, each message is a turn with an init and a result
//!   of its own, one with an identifier is said to be taken up, and the process stays until its input ends;
//! - a line that is not JSON ends it.
//!
//! It deliberately does not run tools, read files or keep conversations.

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};

use crate::task::outcome::head;

/// How every answer begins.
pub const MARK: &str = "[echo agent, not Claude]";

/// The most of a prompt that is repeated, in bytes.
const REPEATED: usize = 2000;

/// The name of the model that it claims to be.
const MODEL: &str = "echo";

/// Runs the agent until its input ends; the result is its exit status.
pub fn run(args: &[String], stdin: impl BufRead, stdout: impl Write) -> i32 {
    let session =
        value_of(args, &["--session-id", "--resume", "-r"]).unwrap_or("00000000-0000-4000-8000-000000000000");
    let mut agent = Echo { out: stdout, session: session.to_owned(), turns: 0 };
    for line in stdin.lines() {
        let Ok(line) = line else { return 1 };
        if line.trim().is_empty() {
            continue;
        }
        let Ok(message) = serde_json::from_str::<Value>(&line) else { return 1 };
        if agent.take(&message).is_err() {
            return 1;
        }
    }
    0
}

struct Echo<W> {
    out: W,
    session: String,
    turns: u32,
}

impl<W: Write> Echo<W> {
    fn take(&mut self, message: &Value) -> io::Result<()> {
        match message["type"].as_str() {
            Some("user") => {
                if message["uuid"].is_string() {
                    self.say(&json!({
                        "type": "command_lifecycle", "command_uuid": message["uuid"], "state": "started",
                        "session_id": self.session,
                    }))?;
                }
                self.turn(&text_of(&message["message"]["content"]))
            }
            Some("control_request") => self.say(&json!({
                "type": "control_response",
                "response": {"subtype": "success", "request_id": message["request_id"], "response": {}},
            })),
            _ => Ok(()),
        }
    }

    fn turn(&mut self, prompt: &str) -> io::Result<()> {
        let answer = answer(prompt);
        self.say(&json!({
            "type": "system", "subtype": "init", "session_id": self.session, "model": MODEL, "tools": [],
            "mcp_servers": [], "permissionMode": "default", "apiKeySource": "none",
            "claude_code_version": concat!("echo ", env!("CARGO_PKG_VERSION")),
        }))?;
        self.say(&json!({
            "type": "assistant", "session_id": self.session, "parent_tool_use_id": null,
            "message": {"role": "assistant", "model": MODEL, "content": [{"type": "text", "text": answer}]},
        }))?;
        self.say(&json!({
            "type": "result", "subtype": "success", "is_error": false, "result": answer,
            "session_id": self.session, "num_turns": 1, "total_cost_usd": 0, "duration_ms": 0,
            "duration_api_ms": 0, "usage": {"input_tokens": 0, "output_tokens": 0}, "permission_denials": [],
            "terminal_reason": "completed", "stop_reason": "end_turn", "result_index": self.turns,
        }))?;
        self.turns += 1;
        Ok(())
    }

    fn say(&mut self, message: &Value) -> io::Result<()> {
        self.out.write_all(format!("{message}\n").as_bytes())?;
        self.out.flush()
    }
}

fn answer(prompt: &str) -> String {
    let prompt = prompt.trim();
    let repeated = head(prompt, REPEATED);
    let more = if repeated.len() < prompt.len() { " …" } else { "" };
    format!("{MARK} You said: {repeated}{more}")
}

/// The text of a message: a string, or the text blocks of an array.
fn text_of(content: &Value) -> String {
    let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    content.as_str().map_or_else(|| texts.join("\n"), str::to_owned)
}

fn value_of<'a>(args: &'a [String], flags: &[&str]) -> Option<&'a str> {
    let at = args.iter().position(|arg| flags.contains(&arg.as_str()))?;
    args.get(at + 1).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{Ending, Evidence, Exit, Verdict, message, verdict};

    fn said(input: &str) -> (i32, Vec<u8>) {
        let mut out = Vec::new();
        let args = ["-p", "--session-id", "11111111-1111-4111-8111-111111111111"].map(str::to_owned);
        let code = run(&args, input.as_bytes(), &mut out);
        (code, out)
    }

    #[test]
    fn its_answer_is_judged_as_done_and_is_marked() {
        let (code, out) = said(&message::user_message("say \"hello\""));
        let evidence = Evidence::of(&out);
        let ending = Ending { exit: Some(Exit::Code(code)), ..Ending::default() };
        let judgement = verdict::judge(&evidence, &ending);
        assert_eq!(
            judgement.verdict,
            Verdict::Done { answer: "[echo agent, not Claude] You said: say \"hello\"".to_owned() }
        );
        assert_eq!(judgement.cost_usd, Some(0.0));
        assert_eq!(judgement.session_id.as_deref(), Some("11111111-1111-4111-8111-111111111111"));
    }

    #[test]
    fn it_says_nothing_until_it_is_asked_and_answers_every_message() {
        assert_eq!(said(""), (0, Vec::new()));
        let two = format!("{}{}", message::user_message("a"), message::user_message("b"));
        let (code, out) = said(&two);
        let results = String::from_utf8(out).unwrap().matches("\"type\":\"result\"").count();
        assert_eq!((code, results), (0, 2));
    }

    #[test]
    fn it_answers_an_interrupt_and_ends_at_garbage() {
        let (code, out) = said(&message::interrupt("r1"));
        assert_eq!(code, 0);
        assert!(String::from_utf8(out).unwrap().contains("\"request_id\":\"r1\""));
        assert_eq!(said("hello\n").0, 1);
    }
}
