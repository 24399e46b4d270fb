//! What an agent hands to a colleague: a task file, or why not. Pure.
//!
//! Invariants:
//! - only the fields in [`FIELDS`] are taken, so that an agent gives no other agent what it was not given itself;
//! - what is handed on is at most as urgent as the task it came from, and the chain has an end;
//! - it is run with the pack of the agent itself, also where the agent names none, or with one that this pack allows;
//! - where it came from stands in the file: `parent_run` and `depth`.
//!
//! It deliberately does not know who counts, or where the file goes.

use serde_json::{Map, Value};

use crate::task::text::shown;
use crate::task::{ParseError, RunId, TaskFile};

/// The pack of a task that names none.
const DEFAULT: &str = "default";

/// What an agent may say of a task.
pub const FIELDS: [&str; 11] = [
    "prompt",
    "input",
    "worker",
    "type",
    "priority",
    "not_before",
    "max_turns",
    "max_cost_usd",
    "max_tokens",
    "timeout_s",
    "correlation_id",
];

/// How far handing on may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<'a> {
    /// How many tasks a run may hand on.
    pub submits: u32,
    /// How long the chain may be.
    pub depth: u32,
    /// The pack that the agent was started with.
    pub pack: &'a str,
    /// The other packs that this one allows; [`ANY_PACK`] among them: all.
    pub may_hand_to: &'a [String],
}

/// What stands for every pack.
pub const ANY_PACK: &str = "*";

/// Why a task is not handed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandingError {
    /// A field that is not an agent's to set.
    #[error("an agent may not set `{0}` of a task that it hands on")]
    Field(String),
    /// Enough is enough.
    #[error("this run has handed on {0} tasks, and may not hand on more (--agent-submits)")]
    TooMany(u32),
    /// A pack that might let more than the agent's own.
    #[error(
        "an agent of the pack `{own}` may hand on tasks of its own pack{}, and not of `{wanted}` (may_hand_to)",
        others(allowed)
    )]
    Pack {
        /// What it asked for.
        wanted: String,
        /// What it was started with.
        own: String,
        /// What else it may ask for.
        allowed: Vec<String>,
    },
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
            Self::Field(_) | Self::Pack { .. } | Self::TooMany(_) | Self::TooDeep(_) => 77,
            Self::NotATask(_) => 65,
        }
    }

    /// What works instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Field(_) => format!("it may set {}", FIELDS.join(", ")),
            Self::Pack { own, .. } => format!("leave `type` out: the task is done with `{own}` then"),
            Self::TooMany(_) | Self::TooDeep(_) => {
                "do the rest in this run, or say in the answer what is left".to_owned()
            }
            Self::NotATask(_) => "it needs a `prompt`".to_owned(),
        }
    }
}

fn others(allowed: &[String]) -> String {
    let named: Vec<_> = allowed.iter().map(|it| format!("`{it}`")).collect();
    if named.is_empty() { String::new() } else { format!(" and of {}", named.join(", ")) }
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
    bounds: Bounds<'_>,
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
    take_pack(&mut fields, bounds)?;
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

/// Who may do little does not have another do more: without a word it is the agent's own pack.
fn take_pack(fields: &mut Map<String, Value>, bounds: Bounds<'_>) -> Result<(), HandingError> {
    match fields.get("type") {
        None | Some(Value::Null) if bounds.pack == DEFAULT => {}
        None | Some(Value::Null) => {
            fields.insert("type".to_owned(), bounds.pack.into());
        }
        Some(Value::String(wanted)) => {
            let allowed = bounds.may_hand_to.iter().any(|it| it == wanted || it == ANY_PACK);
            if wanted != bounds.pack && !allowed {
                let (wanted, own) = (shown(wanted, 80), bounds.pack.to_owned());
                return Err(HandingError::Pack { wanted, own, allowed: bounds.may_hand_to.to_vec() });
            }
        }
        // No task at all, which its parser says.
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {}
    }
    Ok(())
}

fn parsed(fields: &Map<String, Value>) -> Result<TaskFile, HandingError> {
    let text = serde_json::to_string(fields).unwrap_or_default();
    TaskFile::parse(text.as_bytes()).map_err(HandingError::NotATask)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BOUNDS: Bounds<'_> = Bounds { submits: 2, depth: 3, pack: DEFAULT, may_hand_to: &[] };

    fn handed_on(own: &Value, spec: &Value, handed: u32) -> Result<Value, HandingError> {
        handed_within(own, spec, handed, BOUNDS)
    }

    fn handed_within(
        own: &Value,
        spec: &Value,
        handed: u32,
        bounds: Bounds<'_>,
    ) -> Result<Value, HandingError> {
        let own = TaskFile::parse(own.to_string().as_bytes()).map_err(HandingError::NotATask)?;
        let spec = spec.as_object().cloned().unwrap_or_default();
        let task = task_of(&spec, (RunId::mint(), &own), handed, bounds)?;
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
    fn a_narrow_pack_has_no_other_do_more() {
        let own = json!({"prompt": "x", "type": "review"});
        let to = |may: &[&str], kind: Value| {
            let may: Vec<String> = may.iter().map(|it| (*it).to_owned()).collect();
            let bounds = Bounds { pack: "review", may_hand_to: &may, ..BOUNDS };
            let mut spec = json!({"prompt": "y", "type": kind});
            if spec["type"] == "none" {
                spec.as_object_mut().unwrap().shift_remove("type");
            }
            handed_within(&own, &spec, 0, bounds).map(|task| task["type"].clone())
        };
        for kind in [json!("none"), Value::Null, json!("review")] {
            assert_eq!(to(&[], kind.clone()), Ok(json!("review")), "{kind}");
        }
        for kind in ["default", "wide", "../wide"] {
            let refused = to(&["test"], json!(kind)).unwrap_err();
            assert!(matches!(refused, HandingError::Pack { .. }), "{kind}: {refused:?}");
            assert!(refused.to_string().contains("of its own pack and of `test`"), "{refused}");
        }
        assert_eq!(to(&["default", "test"], json!("default")), Ok(json!("default")));
        assert_eq!(to(&["*"], json!("wide")), Ok(json!("wide")));
        assert!(matches!(to(&[], json!(7)), Err(HandingError::NotATask(_))));
        // Without a pack of its own it has that of everybody.
        let plain = |spec| handed_on(&json!({"prompt": "x"}), &spec, 0).map(|task| task["type"].clone());
        assert_eq!(plain(json!({"prompt": "y"})), Ok(Value::Null));
        assert_eq!(plain(json!({"prompt": "y", "type": "default"})), Ok(json!("default")));
        assert!(plain(json!({"prompt": "y", "type": "wide"})).is_err());
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
