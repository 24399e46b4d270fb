//! What a run has done so far, in a few lines, for an agent that has to go on without the conversation. Pure.
//!
//! Invariants:
//! - it is bounded, whatever was said: so many tools, texts and files, and so many bytes in all;
//! - the latest comes first, and what is left out is said to be;
//! - of a tool without an answer it is said that it has none.
//!
//! It deliberately does not know where the events come from.

use std::collections::VecDeque;
use std::fmt::Write;

use super::stream::{Assistant, StreamEvent, ToolResult};
use crate::task::outcome::head;

/// How many tool calls are told.
pub const TOOLS: usize = 50;
/// How many texts.
const TEXTS: usize = 8;
/// How many files.
const FILES: usize = 50;
/// The bytes of all of it.
pub const BYTES: usize = 8 * 1024;
/// The bytes of one line.
const LINE: usize = 300;

/// How a tool call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    None,
    Good,
    Failed,
}

#[derive(Clone, Debug)]
struct Call {
    id: String,
    line: String,
    answer: Answer,
}

/// What was done. Events are read in their order.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    texts: VecDeque<String>,
    calls: VecDeque<Call>,
    files: VecDeque<String>,
    /// How many calls were met.
    met: u64,
    has_more: bool,
}

impl Digest {
    /// Takes an event into account.
    pub fn read(&mut self, event: &StreamEvent) {
        match event {
            StreamEvent::Assistant(said) => self.hear(said),
            StreamEvent::ToolResults(results) => self.answer(results),
            StreamEvent::Init(_)
            | StreamEvent::Retry(_)
            | StreamEvent::Metered(_)
            | StreamEvent::RateLimit(_)
            | StreamEvent::PermissionDenied(_)
            | StreamEvent::Result(_)
            | StreamEvent::Hook(_)
            | StreamEvent::Partial
            | StreamEvent::TakenUp(_)
            | StreamEvent::ControlResponse(_)
            | StreamEvent::Other
            | StreamEvent::Garbage => {}
        }
    }

    /// Says that something before all this was not read.
    pub const fn leave_out(&mut self) {
        self.has_more = true;
    }

    /// Puts what came `before` all this in its place.
    pub fn precede(&mut self, before: Self) {
        put_before(&mut self.texts, before.texts, TEXTS);
        put_before(&mut self.calls, before.calls, TOOLS);
        for file in before.files.into_iter().rev() {
            if self.files.len() < FILES && !self.files.contains(&file) {
                self.files.push_front(file);
            }
        }
        self.met += before.met;
        self.has_more |= before.has_more;
    }

    /// Whether it holds as many tool calls as are told.
    pub fn is_full(&self) -> bool {
        self.calls.len() >= TOOLS
    }

    /// Whether anything was done: something was said, or a tool was called.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.calls.is_empty()
    }

    /// In words, the latest first, at most [`BYTES`].
    pub fn render(&self) -> String {
        let files = self.files.iter().rev().map(String::as_str).collect();
        let texts = self.texts.iter().rev().map(String::as_str).collect();
        let calls: Vec<String> = self.calls.iter().rev().map(Call::told).collect();
        let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
        let left = self.met.saturating_sub(self.calls.len() as u64);
        let earlier = if left > 0 || self.has_more { "; there were earlier ones" } else { "" };
        let mut text = String::new();
        section(&mut text, "What was said last:", texts, BYTES / 4);
        section(&mut text, "Files written or edited:", files, BYTES / 2);
        section(&mut text, &format!("Tools called{earlier}:"), calls, BYTES - 64);
        text
    }

    fn hear(&mut self, said: &Assistant) {
        if said.error.is_some() {
            // The CLI speaks in the model's place.
            return;
        }
        if !said.text.is_empty() && !said.is_subagent {
            push(&mut self.texts, head(&said.text, LINE).to_owned(), TEXTS);
        }
        for tool in &said.tools {
            self.met += 1;
            let line = format!("{}: {}", head(&tool.name, 60), head(&tool.brief, LINE));
            push(&mut self.calls, Call { id: tool.id.clone(), line, answer: Answer::None }, TOOLS);
            if matches!(tool.name.as_str(), "Write" | "Edit" | "MultiEdit" | "NotebookEdit") {
                let file = head(&tool.brief, LINE).to_owned();
                self.files.retain(|it| *it != file);
                push(&mut self.files, file, FILES);
            }
        }
    }

    fn answer(&mut self, results: &[ToolResult]) {
        for result in results {
            if let Some(call) = self.calls.iter_mut().rev().find(|call| call.id == result.id) {
                call.answer = if result.is_error { Answer::Failed } else { Answer::Good };
            }
        }
    }
}

impl Call {
    fn told(&self) -> String {
        let end = match self.answer {
            Answer::Good => "",
            Answer::Failed => " (it failed)",
            Answer::None => " (no answer: nobody knows whether it was carried out)",
        };
        format!("{}{end}", self.line)
    }
}

fn push<T>(all: &mut VecDeque<T>, one: T, most: usize) {
    if all.len() == most {
        all.pop_front();
    }
    all.push_back(one);
}

fn put_before<T>(all: &mut VecDeque<T>, before: VecDeque<T>, most: usize) {
    for one in before.into_iter().rev() {
        if all.len() < most {
            all.push_front(one);
        }
    }
}

/// A heading and its lines, as long as the whole text stays within `most` bytes.
fn section(text: &mut String, heading: &str, lines: Vec<&str>, most: usize) {
    if lines.is_empty() {
        return;
    }
    let gap = if text.is_empty() { "" } else { "\n" };
    writeln!(text, "{gap}{heading}").ok();
    let all = lines.len();
    for (n, line) in lines.into_iter().enumerate() {
        if text.len() + line.len() + 3 > most {
            writeln!(text, "- … and {} before these", all - n).ok();
            return;
        }
        writeln!(text, "- {line}").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::ToolUse;
    use super::*;

    fn said(text: &str, tools: &[(&str, &str, &str)]) -> StreamEvent {
        let tools = tools.iter().map(|(id, name, brief)| ToolUse {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            brief: (*brief).to_owned(),
        });
        StreamEvent::Assistant(Assistant {
            text: text.to_owned(),
            tools: tools.collect(),
            ..Assistant::default()
        })
    }

    fn answered(id: &str) -> StreamEvent {
        StreamEvent::ToolResults(vec![ToolResult { id: id.to_owned(), is_error: false }])
    }

    fn failed(id: &str) -> StreamEvent {
        StreamEvent::ToolResults(vec![ToolResult { id: id.to_owned(), is_error: true }])
    }

    fn digest(events: &[StreamEvent]) -> Digest {
        let mut digest = Digest::default();
        for event in events {
            digest.read(event);
        }
        digest
    }

    #[test]
    fn the_latest_comes_first_and_what_was_cut_is_said_to_be() {
        let digest = digest(&[
            said("I begin", &[("1", "Bash", "make")]),
            failed("1"),
            said("", &[("2", "Write", "/w/a.txt")]),
            answered("2"),
            said("nearly there", &[("3", "Edit", "/w/b.txt"), ("4", "Bash", "make install")]),
            answered("3"),
        ]);
        assert_eq!(
            digest.render(),
            "What was said last:\n- nearly there\n- I begin\n\
             \nFiles written or edited:\n- /w/b.txt\n- /w/a.txt\n\
             \nTools called:\n- Bash: make install (no answer: nobody knows whether it was carried out)\n\
             - Edit: /w/b.txt\n- Write: /w/a.txt\n- Bash: make (it failed)\n"
        );
    }

    #[test]
    fn a_run_in_which_only_the_cli_spoke_has_done_nothing() {
        let failure = StreamEvent::Assistant(Assistant {
            text: "API Error".to_owned(),
            error: Some("server_error".to_owned()),
            ..Assistant::default()
        });
        assert!(digest(&[failure, StreamEvent::Other]).is_empty());
        assert_eq!(Digest::default().render(), "");
    }

    #[test]
    fn it_is_bounded_whatever_was_said() {
        let long = "y".repeat(2000);
        let mut all = Digest::default();
        for n in 0..10_000 {
            all.read(&said(&format!("text {n} {long}"), &[("", "Write", &format!("/w/{n}/{long}"))]));
        }
        let text = all.render();
        assert!(text.len() <= BYTES, "{} bytes", text.len());
        assert!(text.contains("text 9999 ") && text.contains("/w/9999/"), "{text}");
        assert!(text.contains("there were earlier ones") && text.contains(" before these"), "{text}");
        assert!(all.is_full());
        let mut few = Digest::default();
        for n in 0..60 {
            few.read(&said("", &[("", "Bash", &format!("step {n}"))]));
        }
        let lines = few.render().lines().filter(|line| line.starts_with("- Bash")).count();
        assert_eq!(lines, TOOLS);
    }

    #[test]
    fn attempts_are_told_as_one_story() {
        let mut last = digest(&[said("two", &[("2", "Write", "/a")])]);
        let mut first = digest(&[said("one", &[("1", "Write", "/a"), ("0", "Edit", "/b")])]);
        first.leave_out();
        last.precede(first);
        let text = last.render();
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(at("- two") < at("- one") && at("- Write: /a") < at("- Edit: /b"), "{text}");
        assert_eq!(text.lines().filter(|line| *line == "- /a").count(), 1, "{text}");
        assert!(text.contains("there were earlier ones"), "{text}");
    }
}
