//! What is said on `<worker>.out`: CloudEvents 1.0, structured mode, one line each. Pure.
//!
//! Invariants:
//! - a line has at most [`LINE_MAX`] bytes, its end included, whatever is in it;
//! - what is in it steers no terminal, and no secret that we know the look or the value of is in it;
//! - the numbers rise by one, also for events that nobody read.
//!
//! It deliberately does not know whether anybody listens.

use std::fmt::{self, Write};

use serde_json::{Map, Value};

use super::LINE_MAX;
use crate::clock::Timestamp;
use crate::task::WorkerName;
use crate::task::text::ascii_controls;
use crate::text::redact::Redactor;

/// How much of a text is looked at: what is cut off of it later may be longer than a line in no case.
const LOOKED_AT: usize = 2 * LINE_MAX;
/// What most lines have room in.
const USUAL: usize = 512;
/// How each line ends, after its data.
const END: &str = "}\n";

macro_rules! kinds {
    ($($name:ident, $word:literal, $doc:literal;)+) => {
        /// What an event tells.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = $doc] $name,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The `type` of the event.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => concat!("agent-worker.", $word),)+ }
            }
        }
    };
}

kinds! {
    Claimed, "task.claimed", "A task was taken.";
    Started, "task.started", "Its agent was started.";
    Adopted, "task.adopted", "A living agent was taken up.";
    Turn, "task.turn", "The agent said something.";
    Tool, "task.tool", "The agent uses a tool.";
    Progress, "task.progress", "The agent reports.";
    Requeued, "task.requeued", "The task went back to the queue.";
    Concluded, "task.concluded", "The task ended.";
    Status, "worker.status", "How the worker is.";
    Warning, "worker.warning", "Something that somebody should look at.";
    Dropped, "worker.dropped", "How many events nobody read before this one.";
    Reply, "reply", "The answer to a command.";
}

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What kind of thing.
    pub kind: Kind,
    /// The task, if it is about one.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Timestamp,
    /// The rest.
    pub data: Map<String, Value>,
}

impl Event {
    /// An event; what is `null` in `data`, or no object, is left out.
    pub fn new(kind: Kind, subject: Option<String>, time: Timestamp, data: Value) -> Self {
        let mut data = match data {
            Value::Object(data) => data,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Map::new()
            }
        };
        data.retain(|_, value| !value.is_null());
        Self { kind, subject, time, data }
    }
}

/// Who tells: writes the lines, and counts them.
#[derive(Clone, Debug)]
pub struct Teller {
    source: String,
    start: String,
    count: u64,
    redactor: Redactor,
}

impl Teller {
    /// For a worker; `start` is unique to this start of its watcher.
    pub fn new(worker: &WorkerName, start: uuid::Uuid, redactor: Redactor) -> Self {
        Self { source: format!("/workers/{worker}"), start: start.to_string(), count: 0, redactor }
    }

    /// An event that is not even written down: nobody listens. It has its number all the same.
    pub const fn pass_over(&mut self) {
        self.count += 1;
    }

    /// The next event, as a line with its end.
    pub fn line(&mut self, event: Event) -> String {
        self.count += 1;
        let Event { kind, subject, time, mut data } = event;
        for value in data.values_mut() {
            clean(value, &self.redactor);
        }
        let mut line = String::with_capacity(USUAL);
        let text = &mut line;
        text.push_str(r#"{"specversion":"1.0","id":""#);
        push(text, format_args!("{}-{}", self.start, self.count));
        text.extend([r#"","source":""#, &self.source, r#"","type":""#, kind.as_str(), r#"","#]);
        if let Some(subject) = subject {
            let quoted = serde_json::to_string(&cut(&subject, 256)).unwrap_or_default();
            text.extend([r#""subject":"#, &safe(quoted), ","]);
        }
        text.push_str(r#""time":""#);
        push(text, format_args!("{time}"));
        text.push_str(r#"","datacontenttype":"application/json","data":"#);
        let room = LINE_MAX.saturating_sub(text.len() + END.len());
        text.push_str(&fitted(data, room));
        text.push_str(END);
        line
    }
}

fn push(line: &mut String, text: fmt::Arguments<'_>) {
    // A string takes all that is written to it.
    line.write_fmt(text).ok();
}

/// As it is written; every hidden character is `\uXXXX`.
fn written(fields: &Map<String, Value>) -> String {
    safe(serde_json::to_string(fields).unwrap_or_default())
}

fn safe(json: String) -> String {
    // Most have none, and are asked by the byte: all of them, since that is done by the dozen.
    let is_plain = json.bytes().fold(true, |is_plain, byte| is_plain & matches!(byte, b' '..=b'~'));
    if is_plain { json } else { ascii_controls(&json) }
}

/// Takes the secrets out of all texts in `value`, and what is far too long.
fn clean(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => {
            if text.len() > LOOKED_AT {
                *text = cut(text, LOOKED_AT);
            }
            if let std::borrow::Cow::Owned(masked) = redactor.redact(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clean(item, redactor)),
        Value::Object(fields) => fields.values_mut().for_each(|field| clean(field, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `data` in at most `room` bytes: the longest texts are cut first, all to one length, and where that is not enough the
/// largest field is left out and named.
fn fitted(mut data: Map<String, Value>, room: usize) -> String {
    const SHORTEST: usize = 64;
    let mut left_out: Vec<Value> = Vec::new();
    loop {
        let whole = written(&data);
        if whole.len() <= room {
            return whole;
        }
        let shortened = |max: usize| {
            let mut data = data.clone();
            data.values_mut().for_each(|value| shorten(value, max));
            Some(written(&data)).filter(|it| it.len() <= room)
        };
        if let Some(mut best) = shortened(SHORTEST) {
            let (mut good, mut bad) = (SHORTEST, LINE_MAX);
            while good + 1 < bad {
                let middle = usize::midpoint(good, bad);
                match shortened(middle) {
                    Some(longer) => (good, best) = (middle, longer),
                    None => bad = middle,
                }
            }
            return best;
        }
        let size = |value: &Value| value.to_string().len();
        let Some((name, _)) = data.iter().max_by_key(|(_, value)| size(value)) else { return whole };
        if name == "left_out" {
            // Nothing else is left, and there were more names than a line has room for.
            return "{}".to_owned();
        }
        let name = name.clone();
        data.shift_remove(&name);
        left_out.push(name.into());
        data.insert("left_out".to_owned(), left_out.clone().into());
    }
}

fn shorten(value: &mut Value, max: usize) {
    match value {
        Value::String(text) if text.len() > max => *text = cut(text, max),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, max)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shorten(field, max)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// At most `max` bytes of `text`, with `…` where something is missing.
pub fn cut(text: &str, max: usize) -> String {
    const SIGN: &str = "…";
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max.saturating_sub(SIGN.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{SIGN}", &text[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn teller() -> Teller {
        let secrets = [("API_TOKEN", "hunter2-hunter2")];
        Teller::new(
            &"marie".parse().unwrap(),
            uuid::Uuid::nil(),
            Redactor::of_environment(secrets.into_iter()),
        )
    }

    fn event(kind: Kind, data: Value) -> Event {
        Event::new(kind, Some("hello".to_owned()), Timestamp::from_second(1_700_000_000).unwrap(), data)
    }

    fn told(data: Value) -> (String, Value) {
        let line = teller().line(event(Kind::Turn, data));
        assert!(line.len() <= LINE_MAX && line.ends_with('\n') && line.matches('\n').count() == 1, "{line}");
        let read = serde_json::from_str(&line).unwrap();
        (line, read)
    }

    #[test]
    fn an_event_is_what_its_standard_says() {
        let (line, _) = told(json!({"run_id": "r", "attempt": 1, "text": null}));
        let expected = concat!(
            r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000000-1","source":"/workers/marie","#,
            r#""type":"agent-worker.task.turn","subject":"hello","time":"2023-11-14T22:13:20Z","#,
            r#""datacontenttype":"application/json","data":{"run_id":"r","attempt":1}}"#,
            "\n"
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn numbers_rise_by_one_whether_somebody_listens_or_not() {
        let mut teller = teller();
        teller.pass_over();
        teller.pass_over();
        let line = teller.line(event(Kind::Claimed, Value::Null));
        assert!(line.contains(r#"-3","source""#), "{line}");
    }

    #[test]
    fn a_long_text_is_cut_and_what_is_short_beside_it_stays() {
        for text in ["x".repeat(5000), "漢".repeat(9000), "\u{9b}".repeat(9000), "\"\\".repeat(9000)] {
            let (line, read) = told(json!({"attempt": 7, "text": text, "reason": "short"}));
            assert_eq!((&read["data"]["attempt"], &read["data"]["reason"]), (&json!(7), &json!("short")));
            let said = read["data"]["text"].as_str().unwrap();
            assert!(said.ends_with('…') && text.starts_with(said.trim_end_matches('…')));
            assert!(line.len() > LINE_MAX - 20, "as much of it as fits: {}", line.len());
        }
    }

    #[test]
    fn what_cannot_be_cut_is_left_out_and_named() {
        let many: Vec<u32> = (0..5000).collect();
        let (_, read) = told(json!({"ok": true, "message": "m", "result": many}));
        assert_eq!(read["data"], json!({"ok": true, "message": "m", "left_out": ["result"]}));
    }

    #[test]
    fn nothing_in_it_steers_a_terminal_or_tells_a_secret() {
        let (line, read) = told(
            json!({"text": "\u{1b}[2J\u{9b}31m\u{202e}", "deep": [{"x": "key hunter2-hunter2"}], "big": "hunter2-hunter2 ".repeat(900)}),
        );
        assert!(!line.trim_end().contains(crate::text::escape::is_hidden), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
        assert_eq!(read["data"]["text"], "\u{1b}[2J\u{9b}31m\u{202e}", "a program reads what was said");
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        assert!(names.contains("agent-worker.task.claimed") && names.contains("agent-worker.reply"));
    }
}
