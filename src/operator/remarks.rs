//! What stands in our files beside what this program's types know of: who paused a worker, who held a task, what an
//! agent says of its own progress. Each is read by itself from the JSON, and what is not there or not understood is
//! none.
//!
//! It deliberately does not know who writes it.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::layout::Layout;
use crate::task::WorkerName;

use super::look::Seen;

/// Who said so, when and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Word {
    /// Since when.
    pub(super) since: Option<Timestamp>,
    /// Who.
    pub(super) by: Option<String>,
    /// Why.
    pub(super) reason: Option<String>,
}

impl Word {
    /// Such as ` by ann since 2026-01-01T00:00:00Z: the invoice first`, to go after a verb.
    pub(super) fn tail(&self) -> String {
        let by = self.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let since = self.since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
        let why = self.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{by}{since}{why}")
    }

    /// The same for a program.
    pub(super) fn as_json(&self) -> Value {
        serde_json::json!({"since": self.since, "by": self.by, "reason": self.reason})
    }
}

/// Who held this task, if somebody did.
pub(super) fn held(seen: &Seen) -> Option<Word> {
    let file: Value = serde_json::from_slice(&seen.bytes).ok()?;
    word(file.get("held")?)
}

/// What stands in `state.json` beside the state.
#[derive(Clone, Debug, Default)]
pub(super) struct Remarks {
    /// Who paused the worker.
    pub(super) paused: Option<Word>,
    /// What each running agent says of its progress, by its run.
    progress: HashMap<String, String>,
}

impl Remarks {
    /// Reads them; no file, no remarks.
    pub(super) fn of(layout: &Layout, worker: &WorkerName) -> Self {
        let read = std::fs::read(layout.state(worker)).unwrap_or_default();
        serde_json::from_slice(&read).map(|state| Self::parse(&state)).unwrap_or_default()
    }

    fn parse(state: &Value) -> Self {
        let running = state.get("running").and_then(Value::as_array).cloned().unwrap_or_default();
        let progress = running.iter().filter_map(|run| {
            let said = run.get("progress")?;
            let text = said.as_str().or_else(|| said.get("text")?.as_str())?;
            Some((run.get("run_id")?.as_str()?.to_owned(), text.to_owned()))
        });
        Self { paused: paused(state), progress: progress.collect() }
    }

    /// What the agent of a run says of its progress.
    pub(super) fn progress(&self, run: &impl ToString) -> Option<&str> {
        self.progress.get(&run.to_string()).map(String::as_str)
    }
}

/// The pause that a person wants, whether the worker works now or not.
fn paused(state: &Value) -> Option<Word> {
    let wanted = state.get("wanted").filter(|wanted| wanted["mode"] == "pause")?;
    let since = wanted.get("at").and_then(|at| at.as_str()?.parse().ok());
    Some(Word { since, ..word(wanted)? })
}

/// An object tells more, `true` and a text tell that it is so; `false` and `null` that it is not.
fn word(value: &Value) -> Option<Word> {
    match value {
        Value::Object(_) => Some(serde_json::from_value(value.clone()).unwrap_or_default()),
        Value::Bool(true) => Some(Word::default()),
        Value::String(why) => Some(Word { reason: Some(why.clone()), ..Word::default() }),
        Value::Null | Value::Bool(false) | Value::Number(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_paused_and_what_is_said_of_progress_is_read_and_nonsense_is_none() {
        let run = "0198a000-0000-7000-8000-000000000001";
        let state = json!({
            "wanted": {"mode": "pause", "at": "2026-01-01T00:00:00Z", "by": "ann", "reason": "the invoice first"},
            "running": [{"run_id": run, "progress": "3 of 7"}, {"run_id": "x", "progress": {"text": "soon"}}, 7],
        });
        let remarks = Remarks::parse(&state);
        let paused = remarks.paused.clone().unwrap();
        assert_eq!(paused.tail(), " by ann since 2026-01-01T00:00:00Z: the invoice first");
        assert_eq!((remarks.progress(&run), remarks.progress(&"x")), (Some("3 of 7"), Some("soon")));
        let wanted = |mode| json!({"wanted": {"mode": mode}, "running": {}});
        for nothing in [json!(null), json!([]), json!({"wanted": null}), wanted("drain")] {
            let remarks = Remarks::parse(&nothing);
            assert!(remarks.paused.is_none() && remarks.progress.is_empty(), "{nothing}");
        }
        assert_eq!(Remarks::parse(&wanted("pause")).paused, Some(Word::default()));
        for (value, expected) in
            [(json!({"by": "ann"}), Some("ann")), (json!({"by": 7}), None), (json!({}), None)]
        {
            assert_eq!(word(&value).map(|word| word.by), Some(expected.map(str::to_owned)), "{value}");
        }
        assert!([json!(null), json!(false), json!(7)].iter().all(|value| word(value).is_none()));
    }
}
