//! The task file: what a person dropped, and what we write into it.
//!
//! A file is parsed once, into the raw text of its fields in their order and into two typed views: [`Spec`],
//! which belongs to whoever dropped it, and [`Record`], which belongs to us. Writing puts the record back
//! into the raw fields; everything else is copied byte for byte.

use std::fmt;

use jiff::Timestamp;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::attempt::Attempt;
use super::fault::ErrorCode;
use super::name::{FileName, RunId, TaskName, WorkerName};
use super::outcome::Outcome;
use super::state::TaskState;

/// What whoever dropped the file asks for. All fields are optional but `prompt` or `input`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Spec {
    /// The task's name; without it, the stem of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<TaskName>,
    /// The pack that says how the agent is run; `default` without it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What the agent is asked to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Any JSON, handed to the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<serde_json::Value>,
    /// The one worker that may take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerName>,
    /// Higher first; 0 without it. Waiting tasks age upward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// The wall-clock limit of one attempt, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u32>,
    /// How many charged failures it may have and still be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// Not claimed before this moment, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub not_before: Option<Timestamp>,
    /// Where the agent works; it must lie under a `--workdir-root`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Handed through to every log line of this task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The most one session may cost, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// The most turns one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
}

/// What we write into the file, from the claim on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Record {
    /// When the file was dropped (its mtime at the first claim), RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub submitted_at: Option<Timestamp>,
    /// This life of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Refines the directory the file is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<TaskState>,
    /// How often it has been charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<u32>,
    /// Not tried again before this moment, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub retry_at: Option<Timestamp>,
    /// When it last failed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<f64>,
    /// Why it last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Why it last failed, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
    /// Every start of an agent for this run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// The first 4 KiB of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The path of the whole answer, relative to the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl Record {
    /// The fields of the record as they are called in the file.
    pub const FIELDS: [&'static str; 11] = [
        "submitted_at",
        "run_id",
        "state",
        "retry_count",
        "retry_at",
        "last_failure",
        "failure_reason",
        "error_code",
        "attempts",
        "result",
        "output",
    ];

    /// The attempt that nobody has recorded the end of.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        self.attempts.last().filter(|attempt| attempt.is_open())
    }

    /// Same, to be changed.
    pub fn open_attempt_mut(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut().filter(|attempt| attempt.is_open())
    }

    /// How often it has been charged, whoever counted: a runbook's script may have raised the number only.
    pub fn charges(&self) -> u32 {
        let counted = self.attempts.iter().filter(|attempt| attempt.charged).count();
        self.retry_count.unwrap_or(0).max(u32::try_from(counted).unwrap_or(u32::MAX))
    }

    /// The outcome, if there is one.
    pub fn outcome(&self) -> Option<Outcome> {
        let state = self.state.filter(|state| state.is_terminal())?;
        Some(Outcome {
            state,
            error_code: self.error_code,
            failure_reason: self.failure_reason.clone(),
            result: self.result.clone(),
            output: self.output.clone(),
        })
    }

    /// What all attempts cost, in US dollars.
    pub fn cost_usd(&self) -> f64 {
        self.attempts.iter().filter_map(|attempt| attempt.cost_usd).sum()
    }
}

/// Why some bytes are not a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or not yet: more may come.
    #[error("not valid JSON: {0}")]
    Malformed(String),
    /// JSON, but not a task; more bytes will not mend it.
    #[error("{0}")]
    Invalid(String),
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
        let malformed = |error: serde_json::Error| ParseError::Malformed(error.to_string());
        let raw: &RawValue = serde_json::from_slice(bytes).map_err(malformed)?;
        if !raw.get().starts_with('{') {
            return Err(ParseError::Invalid(
                "a task is a JSON object such as {\"prompt\":\"say hello\"}".to_owned(),
            ));
        }
        let Fields(fields) = serde_json::from_str(raw.get())
            .map_err(|error| ParseError::Invalid(format!("not a usable JSON object: {error}")))?;
        let file = Self { spec: view(&fields)?, record: record_view(&fields), fields };
        file.check()?;
        Ok(file)
    }

    /// A task made here, to be dropped.
    pub fn new(spec: Spec) -> Self {
        Self { fields: Vec::new(), spec, record: Record::default() }
    }

    fn check(&self) -> Result<(), ParseError> {
        let invalid = |why: &str| Err(ParseError::Invalid(why.to_owned()));
        match (&self.spec.prompt, &self.spec.input) {
            (None, None) => return invalid("neither `prompt` nor `input` is given"),
            (Some(prompt), None) if prompt.trim().is_empty() => return invalid("`prompt` is empty"),
            _ => {}
        }
        if self.spec.timeout_s == Some(0) {
            return invalid("`timeout_s` must be at least 1");
        }
        if self.spec.max_turns == Some(0) {
            return invalid("`max_turns` must be at least 1");
        }
        if self.spec.max_cost_usd.is_some_and(|usd| !usd.is_finite() || usd <= 0.0) {
            return invalid("`max_cost_usd` must be above 0");
        }
        Ok(())
    }

    /// The task's name: its `id`, else the stem of `file`, else one made from the run.
    pub fn name(&self, file: &FileName) -> TaskName {
        if let Some(id) = &self.spec.id {
            return id.clone();
        }
        file.task_name().unwrap_or_else(|| fallback_name(file))
    }

    /// Forgets all that stands in our own fields: they were forged, or belong to another life.
    pub fn forget_record(&mut self) {
        self.record = Record::default();
        self.fields.retain(|(key, _)| !Record::FIELDS.contains(&key.as_str()));
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

/// A task's name where neither `id` nor the file's stem can be one: the stem's plain characters and its hash.
fn fallback_name(file: &FileName) -> TaskName {
    // FNV-1a: short, stable over versions, and nothing depends on it being hard to guess.
    let hash = file
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let plain: String = file.stem().chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let name = format!("task-{plain}-{hash:016x}");
    name.parse().unwrap_or_else(|_| unreachable_name())
}

/// Never reached: the name above is made of allowed characters only.
fn unreachable_name() -> TaskName {
    #[expect(clippy::expect_used, reason = "a constant that is a valid name")]
    "task".parse().expect("a valid name")
}

fn view<T: DeserializeOwned>(fields: &[(String, Box<RawValue>)]) -> Result<T, ParseError> {
    let text = object(fields.iter().map(|(key, raw)| (key.as_str(), raw.get())));
    serde_json::from_str(&text).map_err(|error| ParseError::Invalid(field_error(fields, &error)))
}

/// Our own fields, each taken if it can be: a forged or broken one is as good as absent.
fn record_view(fields: &[(String, Box<RawValue>)]) -> Record {
    let mut ours: Vec<_> =
        fields.iter().filter(|(key, _)| Record::FIELDS.contains(&key.as_str())).cloned().collect();
    ours.retain(|field| view::<Record>(std::slice::from_ref(field)).is_ok());
    view(&ours).unwrap_or_default()
}

/// Which field it was, since the parser only knows a column.
fn field_error(fields: &[(String, Box<RawValue>)], error: &serde_json::Error) -> String {
    let culprit = fields.iter().find(|field| view_one::<Spec>(field).is_err());
    let plain = error.to_string();
    let what = plain.split(" at line ").next().unwrap_or(&plain);
    match culprit {
        Some((key, _)) => format!("field `{key}`: {what}"),
        None => what.to_owned(),
    }
}

fn view_one<T: DeserializeOwned>((key, raw): &(String, Box<RawValue>)) -> Result<T, serde_json::Error> {
    serde_json::from_str(&object(std::iter::once((key.as_str(), raw.get()))))
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    for (n, (key, raw)) in fields.enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(key).to_string());
        text.push(':');
        text.push_str(raw);
    }
    text.push('}');
    text
}

/// The fields of both views that are set, by name.
fn known_fields(spec: &Spec, record: &Record) -> Vec<(&'static str, serde_json::Value)> {
    const SPEC_FIELDS: [&str; 13] = [
        "id",
        "type",
        "prompt",
        "input",
        "worker",
        "priority",
        "timeout_s",
        "max_retries",
        "not_before",
        "workdir",
        "correlation_id",
        "max_cost_usd",
        "max_turns",
    ];
    let mut out = Vec::new();
    for (names, value) in
        [(&SPEC_FIELDS[..], serde_json::to_value(spec)), (&Record::FIELDS[..], serde_json::to_value(record))]
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

/// The fields of one object, raw and in order; a key that comes twice is refused.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((key, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.iter().any(|(seen, _)| *seen == key) {
                        return Err(serde::de::Error::custom(format!(
                            "field `{}` comes twice",
                            key.escape_default()
                        )));
                    }
                    fields.push((key, raw));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
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
}
