//! The prompt of a pack: a text with the fields of the task in their places, `{{prompt}}`, `{{input.branch}}`. Pure.
//!
//! What a task says is put in once and not looked through again: no field can name another one. `{{{{` is a `{{` that
//! means itself.

use serde_json::Value;

use crate::config::nearest;
use crate::task::{Spec, TaskName, WorkerName};

/// What may stand between the braces; below `input.` anything may.
const FIELDS: [&str; 7] = ["prompt", "input", "id", "type", "worker", "workdir", "correlation_id"];

/// What a template asks for and the task does not give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the prompt of its pack asks for `{0}`, and the task does not have it; add it to the task's file")]
pub struct Missing(pub String);

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The text that is wrong, as it stands there.
    pub(super) piece: String,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

enum Part<'a> {
    Text(&'a str),
    Field(&'a str),
}

fn parts(template: &str) -> Result<Vec<Part<'_>>, Wrong> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        parts.push(Part::Text(&rest[..at]));
        let inner = &rest[at + 2..];
        if let Some(after) = inner.strip_prefix("{{") {
            parts.push(Part::Text("{{"));
            rest = after;
            continue;
        }
        let Some(end) = inner.find("}}") else {
            return Err(Wrong {
                piece: rest[at..].chars().take(20).collect(),
                what: "a `{{` that no `}}` ends".to_owned(),
                hint: Some("write `{{{{` for braces that mean themselves".to_owned()),
            });
        };
        parts.push(Part::Field(inner[..end].trim()));
        rest = &inner[end + 2..];
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// Whether it can be filled, as far as that does not depend on the task.
pub(super) fn check(template: &str) -> Result<(), Wrong> {
    for part in parts(template)? {
        let Part::Field(field) = part else { continue };
        let below_input =
            field.strip_prefix("input.").is_some_and(|it| it.split('.').all(|key| !key.is_empty()));
        if FIELDS.contains(&field) || below_input {
            continue;
        }
        return Err(Wrong {
            piece: field.to_owned(),
            what: format!("no field of a task is called `{field}`"),
            hint: Some(nearest(field, FIELDS).map_or_else(
                || format!("there are {}, and `input.` with a name of your own", FIELDS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            )),
        });
    }
    Ok(())
}

/// The template with the fields of a task in their places. `prompt` and `input` are empty where the task has none.
pub fn fill(template: &str, spec: &Spec, name: &TaskName, worker: &WorkerName) -> Result<String, Missing> {
    let mut out = String::new();
    // One that cannot be parsed was refused when it was read.
    for part in parts(template).unwrap_or_default() {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Field(field) => {
                let value = value(field, spec, name, worker);
                out.push_str(&value.ok_or_else(|| Missing(field.to_owned()))?);
            }
        }
    }
    Ok(out)
}

fn value(field: &str, spec: &Spec, name: &TaskName, worker: &WorkerName) -> Option<String> {
    match field {
        "prompt" => Some(spec.prompt.clone().unwrap_or_default()),
        "input" => Some(spec.input.as_ref().map(shown).unwrap_or_default()),
        "id" => Some(name.to_string()),
        "type" => Some(spec.kind.clone().unwrap_or_else(|| super::DEFAULT.to_owned())),
        "worker" => Some(worker.to_string()),
        "workdir" => spec.workdir.clone(),
        "correlation_id" => spec.correlation_id.clone(),
        other => {
            let mut value = spec.input.as_ref()?;
            for key in other.strip_prefix("input.")?.split('.') {
                value = match value {
                    Value::Object(map) => map.get(key)?,
                    Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
                };
            }
            Some(shown(value))
        }
    }
}

/// A text as it is, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => format!("{value:#}"),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str) -> Result<String, Missing> {
        let Ok(name) = "t1".parse() else { panic!("no name") };
        let Ok(worker) = "marie".parse() else { panic!("no name") };
        let spec = Spec {
            prompt: Some("look at {{input}}".to_owned()),
            input: Some(json!({"branch": "main", "files": ["a", {"n": 2}], "n": 3})),
            correlation_id: Some("board-42".to_owned()),
            ..Spec::default()
        };
        fill(template, &spec, &name, &worker)
    }

    #[test]
    fn fields_are_put_in_their_places_and_not_looked_through_again() {
        for (template, text) in [
            ("plain", "plain"),
            ("{{prompt}}!", "look at {{input}}!"),
            ("{{ input.branch }}/{{id}}/{{worker}}", "main/t1/marie"),
            ("{{input.files.0}} {{input.files.1.n}} {{input.n}}", "a 2 3"),
            ("{{type}} {{correlation_id}}", "default board-42"),
            ("${{{{ secrets }}", "${{ secrets }}"),
            ("ä{{id}}ö", "ät1ö"),
        ] {
            assert!(check(template).is_ok(), "{template}");
            assert_eq!(filled(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn what_a_task_lacks_is_named() {
        for field in ["workdir", "input.none", "input.branch.x", "input.files.7", "input.files.x"] {
            assert_eq!(filled(&format!("{{{{{field}}}}}")), Err(Missing(field.to_owned())));
        }
    }

    #[test]
    fn a_template_that_can_never_be_filled_is_wrong() {
        for (template, piece, word) in [
            ("a {{promt}}", "promt", "did you mean `prompt`?"),
            ("a {{zzz}}", "zzz", "correlation_id"),
            ("a {{input.}}", "input.", "did you mean `input`?"),
            ("a {{prompt", "{{prompt", "{{{{"),
        ] {
            let wrong = check(template).unwrap_err();
            assert_eq!(wrong.piece, piece);
            assert!(wrong.hint.as_deref().unwrap().contains(word), "{wrong:?}");
        }
    }
}
