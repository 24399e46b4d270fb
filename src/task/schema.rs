//! The JSON Schema of the task file, generated from the types.

use schemars::generate::SchemaSettings;

use super::fields::{Record, Spec};

/// The schema (draft 2020-12) of a task file: what may be dropped, and what we add to it.
pub fn task_schema() -> serde_json::Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut root = serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agent-worker task",
        "description": "A file dropped into tasks/ or tasks/<worker>/pending/. Unknown fields survive.",
        "type": "object",
        "anyOf": [{ "required": ["prompt"] }, { "required": ["input"] }],
        "properties": {},
    });
    for part in [
        generator.root_schema_for::<Spec>(),
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Record>(),
    ] {
        let part = part.to_value();
        for key in ["properties", "$defs"] {
            if let Some(entries) = part.get(key).and_then(serde_json::Value::as_object) {
                for (name, entry) in entries {
                    root[key][name] = entry.clone();
                }
            }
        }
    }
    root
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_names_what_people_write_and_what_is_written_for_them() {
        let schema = super::task_schema();
        for field in ["prompt", "input", "type", "timeout_s", "state", "retry_count", "attempts"] {
            assert!(schema["properties"][field].is_object(), "{field}");
        }
        assert!(schema["anyOf"].is_array() && schema["$defs"].is_object());
    }
}
