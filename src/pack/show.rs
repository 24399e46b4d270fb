//! Every value of a pack and where it came from, as lines for people and programs. Pure.

use serde::Serialize;
use serde_json::{Value, json};

use super::check::{KEYS, Loaded};
use super::model::Pack;
use crate::config::show_duration;

/// One value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its key.
    pub key: &'static str,
    /// The value; null where nothing is set.
    pub value: Value,
    /// The line of the file; `None` where the file does not say.
    pub line: Option<usize>,
    /// What holds where the file does not say.
    pub usual: &'static str,
}

/// All values of a pack, in the order in which they are documented.
pub fn describe(loaded: &Loaded) -> Vec<Line> {
    let line = |key: &'static str| Line {
        key,
        value: value(&loaded.pack, key),
        line: loaded.lines.get(key).copied(),
        usual: usual(key),
    };
    KEYS.iter().copied().map(line).collect()
}

fn value(pack: &Pack, key: &str) -> Value {
    let spoken = |it: u32| show_duration(std::time::Duration::from_secs(it.into()));
    match key {
        "permission_mode" => json!(pack.permission_mode.map(super::PermissionMode::as_str)),
        "timeout" => json!(pack.timeout_s.map(spoken)),
        "idle_timeout" => json!(pack.idle_timeout_s.map(spoken)),
        "verify_timeout" => json!(pack.verify_timeout_s.map(spoken)),
        "workdir" => json!(pack.workdir.as_str()),
        "after_timeout" => json!(pack.after_timeout.as_str()),
        "denied_tools" => json!(pack.denied_tools.as_str()),
        "after_max_turns" => json!(pack.after_max_turns.as_str()),
        "output" => json!(pack.output.as_str()),
        "dirty" => json!(pack.dirty.as_str()),
        // All others are called alike in both.
        other => json!(pack).get(other).cloned().unwrap_or_default(),
    }
}

fn usual(key: &str) -> &'static str {
    match key {
        "description" | "system_prompt" | "json_schema" => "none",
        "model" => "the CLI's own",
        "fallback_model" => "none: it waits",
        "permission_mode" => "acceptEdits",
        "allowed_tools" => "to read, edit, write and run commands",
        "disallowed_tools" => "none but those that no unattended run has",
        "prompt" => "the task's `prompt`, and its `input` below it",
        "timeout" => "the task's `timeout_s`, else the worker's --agent-timeout",
        "idle_timeout" => "the worker's --idle-timeout",
        "max_turns" | "max_cost_usd" | "max_tokens" => "the task's, else no limit",
        "usd_per_hour" | "usd_per_day" | "tokens_per_hour" | "tokens_per_day" => "no limit",
        "max_output" => "the worker's --max-output",
        "max_memory" => "the worker's --agent-memory",
        "max_retries" => "the task's, else the worker's --max-retries",
        "environment" => "the worker's --agent-env",
        "max_continues" => "3",
        "workdir_roots" => "the worker's --workdir-root",
        "verify" => "none: the answer counts",
        "verify_timeout" => "10m",
        "workdir_path" => "none: a folder of its own",
        "workdir_mode" => "the task's, else dir",
        "may_hand_to" => "its own pack only",
        _ => "built in",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::parse;

    #[test]
    fn each_value_says_where_it_came_from() {
        let loaded = parse("# x\nmodel = 'sonnet'\ntimeout = 90\nallowed_tools = ['Read']\n").unwrap();
        let lines = describe(&loaded);
        let of = |key: &str| lines.iter().find(|it| it.key == key).unwrap();
        assert_eq!((&of("model").value, of("model").line), (&json!("sonnet"), Some(2)));
        assert_eq!(of("timeout").value, "90s");
        assert_eq!(of("allowed_tools").value, json!(["Read"]));
        assert_eq!((&of("max_turns").value, of("max_turns").line), (&Value::Null, None));
        assert_eq!((&of("workdir").value, of("workdir").line), (&json!("optional"), None));
        assert!(lines.iter().all(|it| !it.usual.is_empty()) && lines.len() == KEYS.len());
    }
}
