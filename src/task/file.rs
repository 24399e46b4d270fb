//! The task file: what a person dropped, and what we write into it.
//!
//! A file is parsed once, into the raw text of its fields in their order and into two typed views: [`Spec`],
//! which belongs to whoever dropped it, and [`Record`], which belongs to us. Writing puts the record back
//! into the raw fields; everything else is copied byte for byte. What can be wrong with a file is found when it is
//! parsed (`sound` for the JSON, `limits` for the values), so that whoever holds a [`TaskFile`] holds a task.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::fault::ErrorCode;
use super::fields::{Record, Spec};
use super::name::{FileName, TaskName, generated};
use super::text::shown;
use super::{limits, sound};

/// The longest of our own fields that is believed, in bytes: far above what we ever write, and a file of forged
/// attempts must not be taken to pieces before anybody asked whose they are.
const RECORD_FIELD_MAX: usize = 4 * 1024 * 1024;

/// Why some bytes are not a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or not yet: more may come.
    #[error("{0}")]
    Malformed(String),
    /// JSON, but not a task; more bytes will not mend it.
    #[error("{0}")]
    Invalid(String),
    /// A task that no agent takes.
    #[error("{0}")]
    TooLong(String),
}

impl ParseError {
    /// The code that it is filed with.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Malformed(_) | Self::Invalid(_) => ErrorCode::E002,
            Self::TooLong(_) => ErrorCode::E004,
        }
    }
}

/// A task file in memory.
#[derive(Clone)]
pub struct TaskFile {
    fields: Vec<(String, Box<RawValue>)>,
    /// What was asked for.
    pub spec: Spec,
    /// What we know about it.
    pub record: Record,
}

impl TaskFile {
    /// Reads a task from the bytes of its file.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let text = sound::document(bytes)?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(ParseError::Invalid(
                "not a JSON object; a task is one, such as {\"prompt\":\"say hello\"}".to_owned(),
            ));
        }
        let Fields(fields) = serde_json::from_str(text)
            .map_err(|error| ParseError::Invalid(format!("not a usable JSON object: {error}")))?;
        let spec = spec_view(text, &fields)?;
        limits::check(&spec)?;
        let record = record_view(&fields);
        let fields = fields.into_iter().map(|(key, raw)| (key, raw.to_owned())).collect();
        Ok(Self { fields, spec, record })
    }

    /// A task made here, to be dropped.
    pub fn new(spec: Spec) -> Self {
        Self { fields: Vec::new(), spec, record: Record::default() }
    }

    /// The task's name: its `id`, else the stem of `file`, else one made from the run.
    pub fn name(&self, file: &FileName) -> TaskName {
        if let Some(id) = &self.spec.id {
            return id.clone();
        }
        file.task_name().unwrap_or_else(|| {
            generated(file.stem(), file.as_str().as_bytes()).parse().unwrap_or_else(|_| unreachable_name())
        })
    }

    /// A field that is neither asked for nor ours.
    pub fn foreign(&self, name: &str) -> Option<serde_json::Value> {
        let (_, raw) = self.fields.iter().find(|(key, _)| key == name)?;
        serde_json::from_str(raw.get()).ok()
    }

    /// Forgets all that stands in our own fields: they were forged, or belong to another life.
    pub fn forget_record(&mut self) {
        self.record = Record::default();
        self.fields.retain(|(key, _)| !Record::FIELDS.contains(&key.as_str()));
    }

    /// Forgets the text of a field, so that it goes when nothing stands in its place.
    pub(super) fn forget_field(&mut self, name: &str) {
        self.fields.retain(|(key, _)| key != name);
    }

    /// The file's bytes: fields of others as they came and where they stood, ours as they are now.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut ours = known_fields(&self.spec, &self.record);
        let mut lines: Vec<(&str, String)> = Vec::new();
        for (key, raw) in &self.fields {
            if let Some(at) = ours.iter().position(|(name, _)| name == key) {
                let (name, value) = ours.remove(at);
                // A value that did not change keeps the writer's own spelling.
                let same = serde_json::from_str::<serde_json::Value>(raw.get()).is_ok_and(|old| old == value);
                lines.push((name, if same { raw.get().to_owned() } else { value.to_string() }));
            } else if !Record::FIELDS.contains(&key.as_str()) {
                lines.push((key, raw.get().to_owned()));
            }
        }
        lines.extend(ours.iter().map(|(name, value)| (*name, value.to_string())));
        render(&lines)
    }
}

impl fmt::Debug for TaskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFile")
            .field("spec", &self.spec)
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

/// Never reached: a generated name is made of allowed characters only.
fn unreachable_name() -> TaskName {
    #[expect(clippy::expect_used, reason = "a constant that is a valid name")]
    "task".parse().expect("a valid name")
}

type Borrowed<'a> = (String, &'a RawValue);

fn view<T: DeserializeOwned>(fields: &[Borrowed<'_>]) -> Result<T, serde_json::Error> {
    serde_json::from_str(&object(fields))
}

fn spec_view(text: &str, fields: &[Borrowed<'_>]) -> Result<Spec, ParseError> {
    let theirs = named(fields, Spec::FIELDS);
    view(&theirs).map_err(|error| {
        let culprit = theirs.iter().find(|field| view::<Spec>(std::slice::from_ref(field)).is_err());
        ParseError::Invalid(field_error(text, culprit, &error))
    })
}

/// Our own fields, each taken if it can be: a forged or broken one is as good as absent.
fn record_view(fields: &[Borrowed<'_>]) -> Record {
    let mut ours = named(fields, Record::FIELDS);
    ours.retain(|(_, raw)| raw.get().len() <= RECORD_FIELD_MAX);
    ours.retain(|field| view::<Record>(std::slice::from_ref(field)).is_ok());
    view(&ours).unwrap_or_default()
}

fn named<'a>(fields: &[Borrowed<'a>], names: &[&str]) -> Vec<Borrowed<'a>> {
    fields.iter().filter(|(key, _)| names.contains(&key.as_str())).cloned().collect()
}

/// Which field it was and where, since the parser only knows a column of its own.
fn field_error(text: &str, culprit: Option<&Borrowed<'_>>, error: &serde_json::Error) -> String {
    let plain = error.to_string();
    let what = shown(&in_words(plain.split(" at line ").next().unwrap_or(&plain)), 300);
    let Some((key, raw)) = culprit else { return what };
    // The value is a part of the text, so their distance is where it stands.
    let at = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let line = text.get(..at).unwrap_or_default().split('\n').count();
    format!("field `{key}` (line {line}): {what}")
}

/// The types of this program, as people call them.
fn in_words(what: &str) -> String {
    let types = [
        ("expected i32", "expected a whole number from -2147483648 to 2147483647"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected f64", "expected a number"),
    ];
    types.iter().fold(what.to_owned(), |text, (ours, theirs)| text.replace(ours, theirs))
}

fn object(fields: &[Borrowed<'_>]) -> String {
    let mut text = String::from("{");
    for (n, (key, raw)) in fields.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(key.as_str()).to_string());
        text.push(':');
        text.push_str(raw.get());
    }
    text.push('}');
    text
}

/// The fields of both views that are set, by name.
fn known_fields(spec: &Spec, record: &Record) -> Vec<(&'static str, serde_json::Value)> {
    let mut out = Vec::new();
    for (names, value) in
        [(Spec::FIELDS, serde_json::to_value(spec)), (Record::FIELDS, serde_json::to_value(record))]
    {
        let Ok(serde_json::Value::Object(mut map)) = value else { continue };
        for name in names {
            if let Some(value) = map.remove(*name) {
                out.push((*name, value));
            }
        }
    }
    out
}

fn render(lines: &[(&str, String)]) -> Vec<u8> {
    let mut text = String::from("{\n");
    for (n, (key, value)) in lines.iter().enumerate() {
        let comma = if n + 1 < lines.len() { "," } else { "" };
        let key = serde_json::Value::from(*key);
        text.extend(["  ", &key.to_string(), ": ", value, comma, "\n"]);
    }
    text.push_str("}\n");
    text.into_bytes()
}

/// The fields of one object, raw and in order.
struct Fields<'a>(Vec<Borrowed<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Collect<'a> {
            type Value = Fields<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, &'a RawValue>()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_others_survive_byte_for_byte_and_in_order() {
        let text =
            r#"{"zeta": 1.50e3, "prompt":"hi","mine":{"b":1,  "a":[ 2 ]},"big":12345678901234567890123}"#;
        let mut task = TaskFile::parse(text.as_bytes()).unwrap();
        task.record.retry_count = Some(1);
        let out = String::from_utf8(task.to_bytes()).unwrap();
        for kept in
            [r#""zeta": 1.50e3"#, r#""mine": {"b":1,  "a":[ 2 ]}"#, r#""big": 12345678901234567890123"#]
        {
            assert!(out.contains(kept), "{kept} in {out}");
        }
        assert!(out.find("zeta") < out.find("prompt") && out.find("mine") < out.find("big"), "{out}");
        assert!(out.contains(r#""retry_count": 1"#));
    }

    #[test]
    fn writing_twice_changes_nothing_more() {
        let task = TaskFile::parse(br#"{"prompt":"hi","id":"t","x":[1 ,2]}"#).unwrap();
        let once = task.to_bytes();
        assert_eq!(TaskFile::parse(&once).unwrap().to_bytes(), once);
    }

    #[test]
    fn half_a_file_may_still_grow_and_a_wrong_one_may_not() {
        for half in [&b""[..], b"{", br#"{"prompt":"h"#, b"not json", b"\xff\xfe"] {
            assert!(matches!(TaskFile::parse(half), Err(ParseError::Malformed(_))), "{half:?}");
        }
        for (wrong, word) in [
            ("[]", "object"),
            ("{}", "prompt"),
            (r#"{"prompt":""}"#, "empty"),
            (r#"{"prompt":7}"#, "`prompt`"),
            (r#"{"prompt":"a","prompt":"b"}"#, "twice"),
            (r#"{"prompt":"a","priority":"high"}"#, "`priority`"),
            (r#"{"prompt":"a","max_retries":-1}"#, "`max_retries`"),
            (r#"{"prompt":"a","id":"../x"}"#, "`id`"),
            (r#"{"prompt":"a","timeout_s":0}"#, "timeout_s"),
            (r#"{"prompt":"a","not_before":"soon"}"#, "`not_before`"),
        ] {
            match TaskFile::parse(wrong.as_bytes()) {
                Err(ParseError::Invalid(why)) => assert!(why.contains(word), "{wrong}: {why}"),
                other => panic!("{wrong}: {other:?}"),
            }
        }
    }

    #[test]
    fn broken_fields_of_ours_are_as_good_as_absent() {
        let task = TaskFile::parse(br#"{"prompt":"a","retry_count":-4,"state":"WHAT","run_id":7}"#).unwrap();
        assert_eq!(task.record, Record::default());
        assert!(!String::from_utf8(task.to_bytes()).unwrap().contains("WHAT"));
    }

    #[test]
    fn a_forgotten_record_leaves_no_trace() {
        let mut task =
            TaskFile::parse(br#"{"state":"COMPLETED","prompt":"a","retry_count":3,"result":"x"}"#).unwrap();
        task.forget_record();
        assert_eq!(String::from_utf8(task.to_bytes()).unwrap(), "{\n  \"prompt\": \"a\"\n}\n");
    }

    #[test]
    fn what_cost_nothing_cost_no_negative_nothing() {
        assert_eq!(serde_json::to_string(&Record::default().cost_usd()).unwrap(), "0.0");
    }

    #[test]
    fn the_record_knows_every_field_it_writes() {
        let schema = serde_json::to_value(schemars::schema_for!(Record)).unwrap();
        let names: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, Record::FIELDS, "in the order in which they are written");
    }

    #[test]
    fn a_name_that_cannot_be_one_is_replaced_by_a_stable_one() {
        let task = TaskFile::parse(br#"{"prompt":"a"}"#).unwrap();
        let file: FileName = "mein Auftrag ü.json".parse().unwrap();
        assert_eq!(task.name(&file), task.name(&file));
        assert!(task.name(&file).as_str().starts_with("task-meinAuftrag-"));
        assert_eq!(task.name(&"hello.json".parse().unwrap()).as_str(), "hello");
    }

    #[test]
    fn a_value_that_did_not_change_keeps_its_writers_spelling_and_one_that_did_is_written() {
        let mut task = TaskFile::parse(br#"{"prompt":"\u0041","priority":3}"#).unwrap();
        let text = |task: &TaskFile| String::from_utf8(task.to_bytes()).unwrap();
        assert!(text(&task).contains(r#""\u0041""#), "{}", text(&task));
        task.spec.prompt = Some("B".to_owned());
        assert!(text(&task).contains(r#""B""#) && !text(&task).contains("u0041"), "{}", text(&task));
    }

    #[test]
    fn a_wrong_number_is_told_in_the_words_of_people() {
        let refused = TaskFile::parse(br#"{"prompt":"x","timeout_s":"soon"}"#).unwrap_err().to_string();
        assert!(refused.contains("`timeout_s`"), "{refused}");
        assert!(refused.contains("expected a whole number from 0 to 4294967295"), "{refused}");
    }
}
