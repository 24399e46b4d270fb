//! What an agent hands to a colleague: a task file, or why not. Pure.
//!
//! Invariants:
//! - only the fields in [`FIELDS`] are taken, so that an agent gives no other agent what it was not given itself;
//! - what is handed on is at most as urgent as the task it came from, and the chain has an end;
//! - where it came from stands in the file: `parent_run` and `depth`.
//!
//! It deliberately does not know who counts, or where the file goes.

use serde_json::{Map, Value};

use crate::task::text::shown;
use crate::task::{ParseError, RunId, TaskFile};

/// What an agent may say of a task.
pub const FIELDS: [&str; 10] = [
    "prompt",
    "input",
    "worker",
    "type",
    "priority",
    "not_before",
    "max_turns",
    "max_cost_usd",
    "timeout_s",
    "correlation_id",
];

/// How far handing on may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many tasks a run may hand on.
    pub submits: u32,
    /// How long the chain may be.
    pub depth: u32,
}

/// Why a task is not handed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandingError {
    /// A field that is not an agent's to set.
    #[error("an agent may not set `{0}` of a task that it hands on")]
    Field(String),
    /// Enough is enough.
    #[error("this run has handed on {0} tasks, and may not hand on more (--agent-submits)")]
    TooMany(u32),
    /// The chain is too long.
    #[error("this task was handed on {0} times already, and may not be handed on (--agent-depth)")]
    TooDeep(u32),
    /// No task at all.
    #[error("not a task: {0}")]
    NotATask(ParseError),
}

impl HandingError {
    /// The exit code that goes with it.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Field(_) | Self::TooMany(_) | Self::TooDeep(_) => 77,
            Self::NotATask(_) => 65,
        }
    }

    /// What works instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Field(_) => format!("it may set {}", FIELDS.join(", ")),
            Self::TooMany(_) | Self::TooDeep(_) => {
                "do the rest in this run, or say in the answer what is left".to_owned()
            }
            Self::NotATask(_) => "it needs a `prompt`".to_owned(),
        }
    }
}

/// How often `task` was handed on already.
pub fn depth(task: &TaskFile) -> u32 {
    let depth = task.foreign("depth").and_then(|it| it.as_u64()).unwrap_or(0);
    u32::try_from(depth).unwrap_or(u32::MAX)
}

/// The task that `spec` asks for, from an agent that works on `task` and has handed on `handed` before.
pub fn task_of(
    spec: &Map<String, Value>,
    (run, task): (RunId, &TaskFile),
    handed: u32,
    bounds: Bounds,
) -> Result<TaskFile, HandingError> {
    if let Some(field) = spec.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        return Err(HandingError::Field(shown(field, 80)));
    }
    if handed >= bounds.submits {
        return Err(HandingError::TooMany(handed));
    }
    let depth = depth(task);
    if depth >= bounds.depth {
        return Err(HandingError::TooDeep(depth));
    }
    let mut fields = spec.clone();
    fields.insert("parent_run".to_owned(), run.to_string().into());
    fields.insert("depth".to_owned(), (depth + 1).into());
    let asked = parsed(&fields)?.spec;
    let own = task.spec.priority.unwrap_or(0);
    match asked.priority.unwrap_or(0).min(own) {
        0 => fields.shift_remove("priority"),
        priority => fields.insert("priority".to_owned(), priority.into()),
    };
    if let (None, Some(correlation)) = (asked.correlation_id, &task.spec.correlation_id) {
        fields.insert("correlation_id".to_owned(), correlation.as_str().into());
    }
    parsed(&fields)
}

fn parsed(fields: &Map<String, Value>) -> Result<TaskFile, HandingError> {
    let text = serde_json::to_string(fields).unwrap_or_default();
    TaskFile::parse(text.as_bytes()).map_err(HandingError::NotATask)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BOUNDS: Bounds = Bounds { submits: 2, depth: 3 };

    fn handed_on(own: &Value, spec: &Value, handed: u32) -> Result<Value, HandingError> {
        let own = TaskFile::parse(own.to_string().as_bytes()).map_err(HandingError::NotATask)?;
        let spec = spec.as_object().cloned().unwrap_or_default();
        let task = task_of(&spec, (RunId::mint(), &own), handed, BOUNDS)?;
        Ok(serde_json::from_slice(&task.to_bytes()).unwrap_or_default())
    }

    #[test]
    fn what_is_handed_on_is_never_more_urgent_and_says_where_it_came_from() {
        for (own, asked, expected) in [
            (json!(null), json!(null), json!(null)),
            (json!(null), json!(7), json!(null)),
            (json!(5), json!(7), json!(5)),
            (json!(5), json!(null), json!(null)),
            (json!(-3), json!(null), json!(-3)),
            (json!(-3), json!(-9), json!(-9)),
        ] {
            let task = handed_on(
                &json!({"prompt": "x", "priority": own, "correlation_id": "c", "depth": 1}),
                &json!({"prompt": "y", "priority": asked, "worker": "anga"}),
                0,
            )
            .unwrap();
            assert_eq!(task["priority"], expected, "{own} {asked}");
            assert_eq!((&task["depth"], &task["correlation_id"]), (&json!(2), &json!("c")));
            assert_eq!(task["parent_run"].as_str().unwrap().len(), 36);
        }
    }

    #[test]
    fn there_is_an_end_to_it() {
        let (own, spec) = (json!({"prompt": "x"}), json!({"prompt": "y"}));
        assert!(handed_on(&own, &spec, 1).is_ok());
        assert_eq!(handed_on(&own, &spec, 2), Err(HandingError::TooMany(2)));
        let deep = json!({"prompt": "x", "depth": 3});
        assert_eq!(handed_on(&deep, &spec, 0), Err(HandingError::TooDeep(3)));
    }

    #[test]
    fn what_was_not_given_to_it_an_agent_does_not_give() {
        let own = json!({"prompt": "x"});
        for field in
            ["workdir", "id", "max_retries", "run_id", "state", "parent_run", "depth", "held", "else"]
        {
            let spec = json!({"prompt": "y", field: "z"});
            assert_eq!(handed_on(&own, &spec, 0), Err(HandingError::Field(field.to_owned())));
        }
        assert!(matches!(handed_on(&own, &json!({}), 0), Err(HandingError::NotATask(_))));
        assert!(matches!(handed_on(&own, &json!({"prompt": 7}), 0), Err(HandingError::NotATask(_))));
    }
}
