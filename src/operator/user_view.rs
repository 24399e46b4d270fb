//! What an agent is given while it works, as a person reads it: what it was told, and what its tools answered. Pure.
//!
//! It deliberately does not escape: whoever shows it does.

use serde::Deserialize;
use serde_json::Value;

/// The bytes of a tool's answer that are shown.
const RESULT_SHOWN: usize = 160;

/// One thing that the agent was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// A message.
    Told(String),
    /// A tool's answer, its beginning.
    Result {
        /// Whether the tool failed.
        is_error: bool,
        /// The first line of it, and how many there are.
        text: String,
    },
}

#[derive(Deserialize)]
struct Wire {
    r#type: String,
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Value,
}

/// What a `user` line gives the agent; nothing, if it is none or cannot be understood.
pub(super) fn given(line: &[u8]) -> Vec<Given> {
    let Some(wire) = serde_json::from_slice::<Wire>(line).ok().filter(|wire| wire.r#type == "user") else {
        return Vec::new();
    };
    match &wire.message.content {
        Value::String(text) => vec![Given::Told(text.clone())],
        Value::Array(blocks) => blocks.iter().filter_map(block).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn block(block: &Value) -> Option<Given> {
    match block.get("type")?.as_str()? {
        "text" => Some(Given::Told(block.get("text")?.as_str()?.to_owned())),
        "tool_result" => Some(Given::Result {
            is_error: block.get("is_error").and_then(Value::as_bool).unwrap_or(false),
            text: in_short(&text_of(block.get("content").unwrap_or(&Value::Null))),
        }),
        _ => None,
    }
}

/// The text of a tool's answer, which is a string or a list of blocks.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect();
            texts.join("\n")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn in_short(text: &str) -> String {
    let text = text.trim();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default().trim_end();
    let short = crate::task::outcome::head(first, RESULT_SHOWN);
    let cut = if short.len() < first.len() { "…" } else { "" };
    let more = match lines.count() {
        0 => String::new(),
        1 => " (and 1 line more)".to_owned(),
        more => format!(" (and {more} lines more)"),
    };
    format!("{short}{cut}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_was_told_and_what_its_tools_answered_is_read() {
        let result = |is_error, text: &str| Given::Result { is_error, text: text.to_owned() };
        for (content, expected) in [
            (r#""use French""#, vec![Given::Told("use French".to_owned())]),
            (r#"[{"type":"text","text":"stop"}]"#, vec![Given::Told("stop".to_owned())]),
            (
                r#"[{"type":"tool_result","tool_use_id":"t","content":"a\n\nb\nc\n"}]"#,
                vec![result(false, "a (and 2 lines more)")],
            ),
            (
                r#"[{"type":"tool_result","is_error":true,"content":[{"type":"text","text":"Exit code 1"},{"type":"image"}]}]"#,
                vec![result(true, "Exit code 1")],
            ),
            (r#"[{"type":"tool_result"}]"#, vec![result(false, "")]),
            (r#"[7,{"type":"document"}]"#, vec![]),
            ("7", vec![]),
        ] {
            let line = format!(r#"{{"type":"user","message":{{"role":"user","content":{content}}}}}"#);
            assert_eq!(given(line.as_bytes()), expected, "{content}");
        }
        assert_eq!(given(br#"{"type":"assistant","message":{"content":"x"}}"#), []);
        assert_eq!(given(b"oops"), []);
        assert!(in_short(&"x".repeat(500)).len() < 200);
    }
}
