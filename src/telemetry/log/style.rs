//! The three ways in which a record is written. Pure.
//!
//! Invariants: a line ends in exactly one newline; no control or direction character of a value gets through,
//! in any style; the JSON style is one object a line.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::SignedDuration;
use serde_json::{Map, Value};
use tracing::Level;

use super::LogFormat;
use super::record::Record;
use crate::text::escape::{is_hidden, one_line};

/// `record` in `format`, without colours.
pub(super) fn line(format: LogFormat, record: &Record) -> String {
    match format {
        LogFormat::Json => json(record),
        LogFormat::Pretty => pretty(record, Style::new(), Style::new()),
        LogFormat::Bracket => bracket(record),
    }
}

/// `record` in the pretty style with colours.
pub(super) fn colored(record: &Record) -> String {
    let level = Style::new().bold();
    let level = match record.level {
        Level::ERROR => level.fg_color(Some(AnsiColor::Red.into())),
        Level::WARN => level.fg_color(Some(AnsiColor::Yellow.into())),
        Level::INFO => level.fg_color(Some(AnsiColor::Green.into())),
        Level::DEBUG | Level::TRACE => level.fg_color(Some(AnsiColor::Blue.into())),
    };
    pretty(record, level, Style::new().dimmed())
}

fn json(record: &Record) -> String {
    let mut object = Map::new();
    object.insert("time".to_owned(), time(record).into());
    object.insert("level".to_owned(), record.level.as_str().into());
    let (leading, others): (Vec<_>, Vec<_>) =
        record.fields.iter().partition(|(name, _)| name.as_str() != "time" && name.as_str() != "level");
    object.extend(leading.into_iter().map(|(name, value)| (name.clone(), value.clone())));
    // A field that is called like one of ours does not replace it.
    object.extend(others.into_iter().map(|(name, value)| (format!("{name}_"), value.clone())));
    object.insert("message".to_owned(), record.message.as_str().into());
    let mut line = String::new();
    for c in Value::Object(object).to_string().chars() {
        // Such characters stand only inside strings, where JSON allows the escape.
        if is_hidden(c) { push_utf16(&mut line, c) } else { line.push(c) }
    }
    line.push('\n');
    line
}

fn pretty(record: &Record, level: Style, dim: Style) -> String {
    let time = record.time.strftime("%H:%M:%S");
    let name = record.level.as_str();
    let mut line = format!("{dim}{time}{dim:#} {level}{name:>5}{level:#} {}", one_line(&record.message));
    for (name, value) in &record.fields {
        push(&mut line, format_args!(" {dim}{name}={dim:#}{}", shown(value)));
    }
    line.push('\n');
    line
}

/// What `record` says, for a reader who sees its time, level and worker anyway.
pub(super) fn message(record: &Record) -> String {
    let mut line = one_line(&record.message);
    for (name, value) in record.fields.iter().filter(|(name, _)| *name != "worker") {
        push(&mut line, format_args!(" {}={}", one_line(name), shown(value)));
    }
    line
}

fn bracket(record: &Record) -> String {
    let agent = record.fields.get("worker").map_or_else(|| "-".to_owned(), shown);
    let mut lines =
        format!("[{}] [{}] [agent:{agent}] {}\n", time(record), record.level, one_line(&record.message));
    for (name, value) in record.fields.iter().filter(|(name, _)| *name != "worker") {
        push(&mut lines, format_args!("  {name}: {}\n", shown(value)));
    }
    lines
}

/// RFC 3339 with exactly three digits behind the second.
fn time(record: &Record) -> String {
    // Cut, not rounded: a log never runs ahead of the clock.
    let part = record.time.subsec_nanosecond().rem_euclid(1_000_000);
    let cut = record.time.saturating_sub(SignedDuration::from_nanos(part.into())).unwrap_or(record.time);
    format!("{cut:.3}")
}

/// A value on one line.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => one_line(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            one_line(&value.to_string())
        }
    }
}

fn push_utf16(line: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        push(line, format_args!("\\u{unit:04x}"));
    }
}

/// Writing into a `String` cannot fail.
fn push(line: &mut String, what: std::fmt::Arguments<'_>) {
    line.write_fmt(what).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "x\u{1b}]0;pwn\u{7}\n{\"level\":\"error\"}\r\u{202e}gpj\u{9b}31m\u{2028}\u{7f}";

    fn record(message: &str) -> Record {
        let mut fields = Map::new();
        for (name, value) in [
            ("worker", "marie".into()),
            ("task", "t1".into()),
            ("tokens", 7.into()),
            ("note", HOSTILE.into()),
        ] {
            fields.insert(name.to_owned(), value);
        }
        Record {
            time: "2025-12-24T14:35:22.123999Z".parse().unwrap(),
            level: Level::ERROR,
            message: message.to_owned(),
            fields,
        }
    }

    #[test]
    fn json_is_one_object_a_line_and_means_the_same_text() {
        let line = line(LogFormat::Json, &record(HOSTILE));
        assert_eq!(line.lines().count(), 1);
        assert!(line.ends_with("}\n") && !line.trim_end().contains(is_hidden), "{line:?}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], HOSTILE);
        assert_eq!(value["time"], "2025-12-24T14:35:22.123Z");
        assert_eq!(
            (&value["level"], &value["worker"], &value["tokens"]),
            (&"ERROR".into(), &"marie".into(), &7.into())
        );
    }

    #[test]
    fn bracket_is_as_the_runbooks_parse_it() {
        let text = line(LogFormat::Bracket, &record("Rate limit exceeded"));
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some("[2025-12-24T14:35:22.123Z] [ERROR] [agent:marie] Rate limit exceeded")
        );
        assert_eq!((lines.next(), lines.next()), (Some("  task: t1"), Some("  tokens: 7")));
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn no_style_lets_a_terminal_act() {
        for format in [LogFormat::Json, LogFormat::Pretty, LogFormat::Bracket] {
            let text = line(format, &record(HOSTILE));
            assert!(!text.replace('\n', "").contains(is_hidden), "{format:?}: {text:?}");
        }
        assert_eq!(line(LogFormat::Pretty, &record(HOSTILE)).lines().count(), 1);
    }

    #[test]
    fn only_the_coloured_style_has_colours() {
        assert!(!line(LogFormat::Pretty, &record("m")).contains('\u{1b}'));
        assert!(colored(&record("m")).contains('\u{1b}'));
    }

    #[test]
    fn a_field_cannot_pose_as_the_level() {
        let mut forged = record("m");
        forged.fields.insert("level".to_owned(), "INFO".into());
        let value: Value = serde_json::from_str(&line(LogFormat::Json, &forged)).unwrap();
        assert_eq!((&value["level"], &value["level_"]), (&"ERROR".into(), &"INFO".into()));
    }
}
