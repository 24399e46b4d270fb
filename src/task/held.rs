//! A task that a person holds back: it waits in the queue like any other, and is not taken until it is released.
//!
//! The mark belongs to whoever may drop a task: dropped with it, a task is held from its first moment. It is no part of
//! the record of a run, and outlasts one that was forged.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::file::TaskFile;

/// That a task is held, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Held {
    /// Since when, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// Who holds it, as they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Reads the mark as people write it: `true` is a task that is held, by whomever, and `false` one that is not.
pub(super) fn mark<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Held>, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null | serde_json::Value::Bool(false) => Ok(None),
        serde_json::Value::Bool(true) => Ok(Some(Held::default())),
        object @ serde_json::Value::Object(_) => {
            serde_json::from_value(object).map(Some).map_err(D::Error::custom)
        }
        serde_json::Value::Number(_) | serde_json::Value::String(_) | serde_json::Value::Array(_) => {
            Err(D::Error::custom("expected true, or an object such as {\"reason\":\"the figures first\"}"))
        }
    }
}

/// How the mark may be written.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its shape is asked for")]
pub(super) enum Mark {
    /// With what is known of it.
    Held(Held),
    /// `true`: by whomever; `false` is a task that is not held.
    Bare(bool),
}

impl TaskFile {
    /// Whether it is held back.
    pub const fn is_held(&self) -> bool {
        self.spec.held.is_some()
    }

    /// Holds it back; whoever held it first stays named, unless another reason is given.
    pub fn hold(&mut self, held: Held) {
        match &mut self.spec.held {
            Some(first) if held.reason.is_none() => {
                first.since = first.since.or(held.since);
            }
            slot => *slot = Some(held),
        }
    }

    /// Lets it be taken again; whether it was held.
    pub fn release(&mut self) -> bool {
        self.forget_field("held");
        self.spec.held.take().is_some()
    }

    /// Has it tried again without waiting for its moment; whether it waited for one.
    pub const fn try_now(&mut self) -> bool {
        self.record.retry_at.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(reason: Option<&str>) -> Held {
        let since = Timestamp::from_second(5).ok();
        Held { since, by: Some("ana".to_owned()), reason: reason.map(str::to_owned) }
    }

    #[test]
    fn a_task_that_was_held_and_released_is_what_it_was() {
        let mut task = TaskFile::parse(br#"{"prompt":"x","note":[1.50]}"#).unwrap();
        let before = task.to_bytes();
        task.hold(held(Some("wait for the figures")));
        let mut written = TaskFile::parse(&task.to_bytes()).unwrap();
        assert_eq!(written.spec.held, Some(held(Some("wait for the figures"))));
        written.forget_record();
        assert!(written.is_held(), "it is no part of a record that may be forged");
        assert!(written.release() && !written.release());
        assert_eq!(written.to_bytes(), before);
    }

    #[test]
    fn a_bare_mark_is_understood_as_it_is_meant() {
        for (mark, is_held) in [("true", true), ("{}", true), ("false", false), ("null", false)] {
            let dropped = format!(r#"{{"prompt":"x","held":{mark}}}"#);
            let mut task = TaskFile::parse(dropped.as_bytes()).unwrap();
            assert_eq!(task.is_held(), is_held, "{mark}");
            assert_eq!(TaskFile::parse(&task.to_bytes()).unwrap().is_held(), is_held, "{mark}, rewritten");
            assert_eq!(task.release(), is_held, "{mark}");
            assert!(!TaskFile::parse(&task.to_bytes()).unwrap().is_held(), "{mark}, released");
        }
        for nonsense in ["1", "\"yes\"", "[]", r#"{"since":"soon"}"#] {
            let dropped = format!(r#"{{"prompt":"x","held":{nonsense}}}"#);
            let refused = TaskFile::parse(dropped.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains("`held`"), "{nonsense}: {refused}");
        }
    }

    #[test]
    fn who_held_it_first_stays_named_unless_another_says_why() {
        let mut task = TaskFile::parse(br#"{"prompt":"x","held":{}}"#).unwrap();
        assert!(task.is_held(), "a task may be dropped so");
        task.hold(held(None));
        assert_eq!(task.spec.held.as_ref().unwrap().by, None);
        task.hold(held(Some("really")));
        assert_eq!(task.spec.held.as_ref().unwrap().by.as_deref(), Some("ana"));
    }

    #[test]
    fn a_task_that_waits_for_its_retry_can_be_tried_now() {
        let mut task = TaskFile::parse(br#"{"prompt":"x"}"#).unwrap();
        assert!(!task.try_now(), "it waits for no moment");
        task.record.retry_at = Timestamp::from_second(5).ok();
        assert!(task.try_now());
        assert_eq!(task.record.retry_at, None);
    }
}
