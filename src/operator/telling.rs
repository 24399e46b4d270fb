//! A line of the journal in words. Pure.
//!
//! Invariant: a line whose event this program has never heard of is told like any other, by the fields that all lines
//! share. It deliberately does not know which events there are.

use serde_json::Value;

use crate::clock::Timestamp;

use super::report::{Cell, Tone};

/// One line, read.
#[derive(Clone, Debug)]
pub(super) struct Told {
    line: Value,
}

impl Told {
    /// The line in these bytes, if it is one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let line: Value = serde_json::from_slice(bytes).ok()?;
        line.get("event")?.as_str()?;
        Some(Self { line })
    }

    /// The line as it stands there.
    pub(super) fn into_json(self) -> Value {
        self.line
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.line.get(name)?.as_str()
    }

    /// When it happened.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.text("time")?.parse().ok()
    }

    /// What happened, as it stands in the journal.
    pub(super) fn event(&self) -> &str {
        self.text("event").unwrap_or_default()
    }

    /// Whose journal it is.
    pub(super) fn worker(&self) -> Option<&str> {
        self.text("worker")
    }

    /// The task it is about.
    pub(super) fn task(&self) -> Option<&str> {
        self.text("task")
    }

    /// Tells the state change from others; a line may come twice.
    pub(super) fn id(&self) -> Option<&str> {
        self.text("id")
    }

    /// The line as a person reads it: when, who, what, and what there is to say about it.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let time = self.time().map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
        let worker = self.worker().unwrap_or("?");
        let who = self.task().map_or_else(|| worker.to_owned(), |task| format!("{worker}/{task}"));
        vec![
            Cell::toned(time, Tone::Faint),
            Cell::plain(who),
            Cell::toned(self.event().replace('_', " "), self.tone()),
            Cell::plain(self.details()),
        ]
    }

    /// Everything but when, who and what.
    fn details(&self) -> String {
        let arrow = self.text("from").zip(self.text("to")).filter(|(from, to)| from != to);
        let to = self.text("to").filter(|_| self.text("from").is_none());
        let cost = self.line.get("cost_usd").and_then(Value::as_f64).filter(|usd| *usd > 0.0);
        let charged = self.line.get("charged").and_then(Value::as_bool);
        let parts = [
            arrow.map(|(from, to)| format!("{from} → {to}")),
            to.map(|to| format!("to {to}")),
            self.number("attempt").map(|number| format!("attempt {number}")),
            self.number("pid").map(|pid| format!("pid {pid}")),
            charged.map(|charged| if charged { "charged" } else { "not charged" }.to_owned()),
            cost.map(|usd| format!("${usd:.4}")),
        ];
        let by = self.text("by").map(|by| format!("by {by}"));
        let parts = parts.into_iter().chain([by]);
        let facts = parts.flatten().collect::<Vec<_>>().join(", ");
        let why = [self.text("error_code"), self.text("reason")];
        let why = why.into_iter().flatten().collect::<Vec<_>>().join(" ");
        match (facts.is_empty(), why.is_empty()) {
            (false, false) => format!("{facts}: {why}"),
            (_, true) => facts,
            (true, false) => why,
        }
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.line.get(name)?.as_i64()
    }

    fn tone(&self) -> Tone {
        match (self.event(), self.text("to")) {
            ("concluded", Some("COMPLETED")) | ("released" | "resume_completed", _) => Tone::Good,
            ("concluded", Some("FAILED" | "TIMEOUT")) | ("resume_stopped", _) => Tone::Bad,
            ("requeued" | "recovered" | "held" | "resume_held" | "resume_abandoned", _) => Tone::Warn,
            _ => Tone::Strong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::operator::Report;

    fn told(line: &str) -> String {
        let told = Told::parse(line.as_bytes()).expect("a line");
        Report::new(&Environment::of(&[])).line(&told.cells())
    }

    #[test]
    fn a_line_is_told_in_words_and_one_of_a_later_program_too() {
        for (line, expected) in [
            (
                r#"{"time":"2026-03-01T10:00:00.5Z","worker":"marie","task":"hello","event":"claimed","from":"PENDING","to":"INITIALIZING","attempt":1}"#,
                "2026-03-01T10:00:00Z marie/hello claimed PENDING → INITIALIZING, attempt 1",
            ),
            (
                r#"{"time":"2026-03-01T10:00:09Z","worker":"marie","task":"hello","event":"concluded","from":"RUNNING","to":"FAILED","attempt":2,"charged":true,"cost_usd":0.0123,"error_code":"E006","reason":"api\u001b down"}"#,
                "2026-03-01T10:00:09Z marie/hello concluded RUNNING → FAILED, attempt 2, charged, $0.0123: E006 api\\u{1b} down",
            ),
            (
                r#"{"time":"2026-03-01T10:00:00Z","worker":"marie","event":"worker_status","reason":"running"}"#,
                "2026-03-01T10:00:00Z marie worker status running",
            ),
            (
                r#"{"time":"2026-03-01T10:00:00Z","worker":"marie","event":"never_heard_of","colour":"blue"}"#,
                "2026-03-01T10:00:00Z marie never heard of ",
            ),
        ] {
            assert_eq!(told(line), expected);
        }
        for nothing in ["", "{", "[]", r#"{"time":"x"}"#] {
            assert!(Told::parse(nothing.as_bytes()).is_none(), "{nothing}");
        }
    }
}
