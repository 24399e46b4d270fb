//! An agent's stream as a person reads it: what it said, which tools it used, how it ended.
//!
//! Invariants:
//! - every text is escaped, since it comes from a model, from tools and from the web;
//! - what is only a sign of life makes no line.
//!
//! It deliberately does not judge: whether a run went well stands in the task.

use serde::Deserialize;

use crate::agent::stream::{Assistant, BRIEF, Init, RateLimit, ResultLine, Retry, parse};
use crate::agent::{Line, StreamEvent};
use crate::clock::Timestamp;
use crate::task::outcome::head;

use super::report::{Tone, one_line, printable};
use super::user_view::{Given, given};

/// The bytes of a line that is not JSON, or of a result, that are shown.
const SHOWN: usize = 2000;

/// One line for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Escaped; it may have several lines of text.
    pub(super) text: String,
    /// How loud it is.
    pub(super) tone: Tone,
}

fn shown(tone: Tone, text: impl AsRef<str>) -> Shown {
    Shown { text: printable(text.as_ref()), tone }
}

/// What a line of the stream says to a person: nothing, one line, or several.
pub(super) fn render(line: Line<'_>) -> Vec<Shown> {
    let line = match line {
        Line::Whole(line) => line,
        Line::Oversized { bytes } => return vec![shown(Tone::Faint, format!("(a line of {bytes} bytes)"))],
    };
    match parse(line) {
        StreamEvent::Init(init) => vec![begin(&init)],
        StreamEvent::Assistant(said) => assistant(&said, line),
        StreamEvent::ToolResults(_) | StreamEvent::Other => given(line).iter().map(to_agent).collect(),
        StreamEvent::Retry(retry) => vec![again(&retry)],
        StreamEvent::RateLimit(limit) => rate_limit(&limit).into_iter().collect(),
        StreamEvent::PermissionDenied(denial) => vec![shown(Tone::Bad, format!("✗ denied: {}", denial.tool))],
        StreamEvent::Result(result) => vec![end(&result)],
        StreamEvent::TakenUp(_)
        | StreamEvent::ControlResponse(_)
        | StreamEvent::Hook(_)
        | StreamEvent::Partial
        | StreamEvent::Metered(_) => Vec::new(),
        StreamEvent::Garbage => garbage(line).into_iter().collect(),
    }
}

fn begin(init: &Init) -> Shown {
    let part = |label: &str, value: &Option<String>| value.as_ref().map(|value| format!(" {label} {value}"));
    let parts =
        [part("session", &init.session_id), part("model", &init.model), part("version", &init.version)];
    shown(Tone::Faint, format!("· turn begins:{}", parts.into_iter().flatten().collect::<String>()))
}

fn assistant(said: &Assistant, line: &[u8]) -> Vec<Shown> {
    let indent = if said.is_subagent { "  ↳ " } else { "" };
    let mut lines = Vec::new();
    if let Some(error) = &said.error {
        lines.push(shown(Tone::Bad, format!("✗ {error}")));
    }
    if !said.text.trim().is_empty() {
        // The event keeps a beginning only; a reader wants all of it.
        let whole = (said.text.len() + 8 >= BRIEF).then(|| whole_text(line)).flatten();
        lines.push(shown(
            Tone::Plain,
            format!("{indent}{}", whole.as_deref().unwrap_or(&said.text).trim_end()),
        ));
    }
    lines.extend(
        said.tools
            .iter()
            .map(|tool| shown(Tone::Strong, one_line(&format!("{indent}→ {} {}", tool.name, tool.brief)))),
    );
    lines
}

/// All that an `assistant` line says.
fn whole_text(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Wire {
        message: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        content: Vec<Block>,
    }
    #[derive(Deserialize)]
    struct Block {
        text: Option<String>,
    }
    let wire: Wire = serde_json::from_slice(line).ok()?;
    let texts: Vec<String> = wire.message.content.into_iter().filter_map(|block| block.text).collect();
    Some(texts.join("\n"))
}

fn to_agent(given: &Given) -> Shown {
    match given {
        Given::Told(text) => shown(Tone::Strong, format!("» told: {}", text.trim_end())),
        Given::Result { is_error, text } => {
            let (tone, word) = if *is_error { (Tone::Warn, "failed") } else { (Tone::Faint, "ok") };
            let colon = if text.is_empty() { "" } else { ": " };
            shown(tone, one_line(&format!("← {word}{colon}{text}")))
        }
    }
}

fn again(retry: &Retry) -> Shown {
    let status = retry.status.map(|status| format!("{status} ")).unwrap_or_default();
    let why = retry.error.as_deref().unwrap_or("the API did not answer");
    let seconds = retry.delay_ms.div_ceil(1000);
    shown(Tone::Warn, format!("… retry {} of {} in {seconds} s: {status}{why}", retry.attempt, retry.max))
}

fn rate_limit(limit: &RateLimit) -> Option<Shown> {
    let until = limit.resets_at.and_then(|at| Timestamp::from_second(at).ok());
    let until = until.map(|at| format!(" until {at}")).unwrap_or_default();
    limit.is_rejected.then(|| shown(Tone::Warn, format!("… rate limit reached{until}")))
}

fn end(result: &ResultLine) -> Shown {
    let plural = if result.num_turns == Some(1) { "" } else { "s" };
    let turns = result.num_turns.map(|n| format!(", {n} turn{plural}")).unwrap_or_default();
    let cost = result.cost_usd.map(|usd| format!(", ${usd:.4}")).unwrap_or_default();
    if !result.is_error {
        return shown(Tone::Good, format!("✓ answered{turns}{cost}"));
    }
    let status = result.api_error_status.map(|status| format!(" {status}")).unwrap_or_default();
    let why = result.errors.first().or(result.answer.as_ref()).map_or("", String::as_str);
    shown(Tone::Bad, format!("✗ {}{status}{turns}{cost}: {}", result.subtype, head(why, SHOWN)))
}

fn garbage(line: &[u8]) -> Option<Shown> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    (!text.is_empty()).then(|| shown(Tone::Faint, format!("? {}", one_line(head(text, SHOWN)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        render(Line::Whole(line.as_bytes())).into_iter().map(|shown| shown.text).collect()
    }

    #[test]
    fn a_person_reads_what_was_said_and_used_and_how_it_ended() {
        for (line, expected) in [
            (
                r#"{"type":"assistant","message":{"content":[{"type":"text","text":"hello"},{"type":"tool_use","id":"t","name":"Bash","input":{"command":"ls -la"}}]}}"#,
                &["hello", "→ Bash ls -la"][..],
            ),
            (
                r#"{"type":"result","subtype":"success","is_error":false,"result":"x","num_turns":2,"total_cost_usd":0.5}"#,
                &["✓ answered, 2 turns, $0.5000"],
            ),
            (
                r#"{"type":"user","message":{"content":[{"type":"tool_result","content":"a\u001b[2J\nb","is_error":true},{"type":"text","text":"use French"}]}}"#,
                &["← failed: a\\u{1b}[2J (and 1 line more)", "» told: use French"],
            ),
            (r#"{"type":"stream_event","event":{"type":"content_block_delta"}}"#, &[]),
            ("oops \u{1b}[2J", &["? oops \\u{1b}[2J"]),
            ("", &[]),
        ] {
            assert_eq!(texts(line), expected, "{line}");
        }
    }

    #[test]
    fn a_long_answer_is_shown_whole_and_nothing_in_it_steers() {
        let long = "word ".repeat(500);
        let line = serde_json::json!({"type":"assistant","message":{"content":[{"type":"text","text":format!("{long}\u{7}end")}]}});
        let texts = texts(&line.to_string());
        assert!(texts[0].ends_with("\\u{7}end") && texts[0].len() > 2500, "{}", texts[0].len());
    }

    #[test]
    fn failures_are_loud() {
        let failed = r#"{"type":"result","subtype":"success","is_error":true,"result":"API Error","api_error_status":529}"#;
        let shown = render(Line::Whole(failed.as_bytes()));
        assert_eq!((shown[0].tone, shown[0].text.as_str()), (Tone::Bad, "✗ success 529: API Error"));
    }
}
