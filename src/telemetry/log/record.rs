//! One event: its own fields over those of the spans around it, cleaned before anything else sees them.
//!
//! Invariants: secrets are masked and lengths capped here, once, for every style; a field that is said twice has
//! its innermost value.

use std::error::Error;
use std::fmt;

use serde_json::{Map, Value};
use tracing::Level;
use tracing::field::{Field, Visit};

use crate::clock::Timestamp;
use crate::text::redact::Redactor;

/// The longest message, in bytes.
const MESSAGE_MAX: usize = 8 * 1024;
/// The longest value of any other field, in bytes.
const FIELD_MAX: usize = 2 * 1024;
/// The most fields of one event.
const FIELDS_MAX: usize = 48;
/// How far behind the cap a secret may begin and still be seen whole enough to be masked.
const OVERLAP: usize = 1024;

/// The fields that every reader looks for, in the order in which they are written.
const LEADING: [&str; 5] = ["worker", "task", "run_id", "correlation_id", "error_code"];

/// Fields as they are collected.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    map: Map<String, Value>,
    redactor: Redactor,
}

/// One event, ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) level: Level,
    pub(super) message: String,
    /// The leading fields in their order, then the others in theirs.
    pub(super) fields: Map<String, Value>,
}

impl Fields {
    /// None yet; their texts will be cleaned by `redactor`.
    pub(super) fn new(redactor: &Redactor) -> Self {
        Self { map: Map::new(), redactor: redactor.clone() }
    }

    pub(super) fn set(&mut self, name: &str, value: Value) {
        if self.map.len() < FIELDS_MAX || self.map.contains_key(name) {
            self.map.insert(name.to_owned(), value);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name)
    }

    pub(super) fn take_in(&mut self, outer: &Self) {
        for (name, value) in &outer.map {
            self.set(name, value.clone());
        }
    }

    pub(super) fn into_record(mut self, time: Timestamp, level: Level) -> Record {
        let message = match self.map.shift_remove("message") {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let mut fields = Map::new();
        for name in LEADING {
            if let Some(value) = self.map.shift_remove(name) {
                fields.insert(name.to_owned(), value);
            }
        }
        fields.extend(self.map);
        Record { time, level, message, fields }
    }

    fn text(&mut self, field: &Field, text: &str) {
        let max = if field.name() == "message" { MESSAGE_MAX } else { FIELD_MAX };
        // `r#type` is how a field with a keyword's name is written in the source.
        self.set(field.name().trim_start_matches("r#"), clean(&self.redactor, text, max).into());
    }
}

/// `text` without secrets and not much longer than `max` bytes.
pub(super) fn clean(redactor: &Redactor, text: &str, max: usize) -> String {
    let near = &text[..text.floor_char_boundary(max + OVERLAP)];
    let masked = redactor.redact(near);
    if text.len() == near.len() && masked.len() <= max {
        return masked.into_owned();
    }
    let kept = &masked[..masked.floor_char_boundary(max)];
    let total = text.len();
    format!("{kept}… ({total} bytes in all)")
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut chain = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            chain.push_str(": ");
            chain.push_str(&error.to_string());
            cause = error.source();
        }
        self.text(field, &chain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(clean(&Redactor::default(), "short", 8), "short");
        assert_eq!(clean(&Redactor::default(), "exactly8", 8), "exactly8");
        assert_eq!(clean(&Redactor::default(), "aaaaaaaü", 8), "aaaaaaa… (9 bytes in all)");
        let long = "x".repeat(5_000_000);
        assert!(clean(&Redactor::default(), &long, 100).len() < 150);
    }

    #[test]
    fn a_secret_across_the_cut_is_masked() {
        let text = format!("{} sk-ant-api03-{}", "x".repeat(90), "s".repeat(200));
        assert!(
            !clean(&Redactor::default(), &text, 110).contains("ss"),
            "{}",
            clean(&Redactor::default(), &text, 110)
        );
    }

    #[test]
    fn leading_fields_come_first_and_the_innermost_wins() {
        let mut fields = Fields::default();
        for (name, value) in [("zeta", "1"), ("run_id", "r"), ("message", "hello"), ("task", "t")] {
            fields.set(name, value.into());
        }
        let mut outer = Fields::default();
        outer.set("task", "inner".into());
        fields.take_in(&outer);
        let record = fields.into_record(Timestamp::UNIX_EPOCH, Level::INFO);
        let names: Vec<_> = record.fields.keys().map(String::as_str).collect();
        assert_eq!((names, record.message.as_str()), (vec!["task", "run_id", "zeta"], "hello"));
        assert_eq!(record.fields["task"], "inner");
    }

    #[test]
    fn the_number_of_fields_is_bounded() {
        let mut fields = Fields::default();
        for n in 0..1000 {
            fields.set(&format!("f{n}"), n.into());
        }
        assert_eq!(fields.into_record(Timestamp::UNIX_EPOCH, Level::INFO).fields.len(), FIELDS_MAX);
    }
}
