//! What the stand-in prints: the lines of the real CLI, as far as anybody reads them.

use std::io::{self, Write};

use serde_json::{Value, json};

/// Standard output, and what every line on it repeats.
pub(crate) struct Voice {
    /// The conversation.
    pub(crate) session: String,
    /// What the session has cost so far.
    pub(crate) cost_usd: f64,
    /// What a turn costs.
    pub(crate) usd_a_turn: f64,
    /// The turns that ended in this process.
    pub(crate) results: u32,
    /// Whether nothing is said of what becomes of a message.
    pub(crate) is_mute: bool,
    /// The messages that were counted.
    pub(crate) messages: u32,
    /// Whether the last of them ended badly.
    pub(crate) is_error: bool,
}

impl Voice {
    pub(crate) fn init(&self) {
        print(&json!({
            "type": "system", "subtype": "init", "cwd": cwd(), "session_id": self.session,
            "tools": ["Bash", "Edit", "Read", "Write"], "mcp_servers": [], "model": "claude-fake-1",
            "permissionMode": "acceptEdits", "apiKeySource": "none", "claude_code_version": crate::VERSION,
        }));
    }

    pub(crate) fn say(&self, text: &str) {
        self.assistant(&json!([{"type": "text", "text": text}]), None);
    }

    /// A message of its own that has used so many tokens, as far as is known in its middle.
    pub(crate) fn used(&mut self, input: u64, output: u64) {
        self.messages += 1;
        let id = format!("msg_{}", self.messages);
        let usage = json!({"input_tokens": input, "output_tokens": output, "cache_read_input_tokens": 9000,
                           "cache_creation_input_tokens": 0});
        let start = json!({"type": "message_start", "message": {"id": id, "usage": usage}});
        print(&json!({"type": "stream_event", "session_id": self.session, "event": start}));
        print(&json!({
            "type": "assistant", "session_id": self.session, "parent_tool_use_id": null,
            "message": {"id": id, "role": "assistant", "model": "claude-fake-1", "usage": usage,
                        "content": [{"type": "text", "text": "working"}], "stop_reason": null},
        }));
    }

    pub(crate) fn tool(&self, name: &str, input: &str) {
        let input = json!({"command": input});
        self.assistant(&json!([{"type": "tool_use", "id": "toolu_1", "name": name, "input": input}]), None);
    }

    pub(crate) fn tool_done(&self, text: &str) {
        print(&json!({
            "type": "user", "session_id": self.session, "parent_tool_use_id": null,
            "message": {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": text, "is_error": false}]},
        }));
    }

    pub(crate) fn partial(&self) {
        print(&json!({"type": "stream_event", "session_id": self.session, "event": {"type": "ping"}}));
    }

    /// What became of a message that carried an identifier.
    pub(crate) fn lifecycle(&self, uuid: &str, state: &str) {
        if self.is_mute {
            return;
        }
        print(&json!({
            "type": "command_lifecycle", "command_uuid": uuid, "state": state, "session_id": self.session,
        }));
    }

    fn assistant(&self, content: &Value, error: Option<&str>) {
        let model = if error.is_some() { "<synthetic>" } else { "claude-fake-1" };
        let mut line = json!({
            "type": "assistant", "session_id": self.session, "parent_tool_use_id": null,
            "message": {"role": "assistant", "model": model, "content": content, "stop_reason": null},
        });
        if let Some(error) = error {
            line["error"] = json!(error);
        }
        print(&line);
    }

    /// The end of a turn, with the fields of `end` in it.
    pub(crate) fn result(&mut self, end: &Value) {
        let line = self.result_line(end);
        print(&line);
        self.results += 1;
        self.is_error = line["is_error"] == true;
    }

    pub(crate) fn result_line(&mut self, end: &Value) -> Value {
        if end["is_error"] != true {
            self.cost_usd += self.usd_a_turn;
        }
        // As with the real one, `type` is not the first key.
        let mut line = json!({
            "duration_api_ms": 5, "session_id": self.session, "total_cost_usd": self.cost_usd,
            "usage": {"input_tokens": 1000, "output_tokens": 50, "cache_read_input_tokens": 0,
                      "cache_creation_input_tokens": 0},
            "permission_denials": [], "terminal_reason": "completed", "stop_reason": "end_turn", "is_error": false,
            "num_turns": 1, "subtype": "success", "api_error_status": null, "type": "result", "duration_ms": 10,
            "result_index": self.results, "queued_turn_count": 0,
        });
        for (key, value) in end.as_object().into_iter().flatten() {
            line[key] = value.clone();
        }
        line
    }

    pub(crate) fn succeed(&mut self, text: &str) {
        self.say(text);
        self.result(&json!({"result": text}));
    }

    pub(crate) fn fail(&mut self, how: &str) {
        let (subtype, terminal, text) = match how {
            "turns" => ("error_max_turns", "max_turns", "Reached maximum number of turns (3)"),
            "budget" => ("error_max_budget_usd", "budget_exhausted", "Reached maximum budget ($0.01)"),
            "long" => ("success", "prompt_too_long", "Prompt is too long"),
            "refusal" => ("success", "api_error", "API Error: the model can't help with this"),
            _ => ("error_during_execution", "error", "something went wrong"),
        };
        let mut end = json!({"subtype": subtype, "is_error": true, "terminal_reason": terminal});
        if subtype == "success" {
            end["result"] = json!(text);
        } else {
            end["errors"] = json!([text]);
        }
        if how == "refusal" {
            end["stop_reason"] = json!("refusal");
            self.assistant(&json!([{"type": "text", "text": text}]), Some("invalid_request"));
        }
        self.result(&end);
    }

    pub(crate) fn retry(&self, attempt: u64, status: u64, error: &str) {
        let status = if status == 0 { Value::Null } else { json!(status) };
        print(&json!({
            "type": "system", "subtype": "api_retry", "session_id": self.session, "attempt": attempt,
            "max_retries": 2, "retry_delay_ms": 534, "error_status": status, "error": error,
        }));
    }

    pub(crate) fn api_failure(&mut self, status: u64, error: &str) {
        let text = format!("API Error: {status} from the stand-in");
        self.assistant(&json!([{"type": "text", "text": text}]), Some(error));
        let status = if status == 0 { Value::Null } else { json!(status) };
        self.result(&json!({
            "is_error": true, "terminal_reason": "api_error", "stop_reason": "stop_sequence",
            "api_error_status": status, "result": text,
        }));
    }

    pub(crate) fn denied(&mut self, tool: &str) {
        print(&json!({
            "type": "system", "subtype": "permission_denied", "session_id": self.session, "tool_name": tool,
            "tool_use_id": "toolu_1", "message": "not granted",
        }));
        self.say("I could not.");
        let denial = json!({"tool_name": tool, "tool_use_id": "toolu_1", "tool_input": {}});
        self.result(&json!({"result": "I could not.", "permission_denials": [denial]}));
    }

    pub(crate) fn aborted(&mut self) {
        self.result(&json!({
            "subtype": "error_during_execution", "is_error": true, "terminal_reason": "aborted_tools",
            "stop_reason": null, "errors": ["interrupted"],
        }));
    }

    pub(crate) fn acknowledge(request_id: &Value) {
        print(&json!({
            "type": "control_response",
            "response": {"subtype": "success", "request_id": request_id, "response": {"still_queued": []}},
        }));
    }

    /// What is printed when the conversation to be resumed is not there: no init before it.
    pub(crate) fn session_gone(&mut self) {
        let text = format!("No conversation found with session ID: {}", self.session);
        self.usd_a_turn = 0.0;
        self.result(&json!({
            "subtype": "error_during_execution", "is_error": true, "terminal_reason": null, "num_turns": 0,
            "stop_reason": null, "errors": [text],
        }));
    }
}

/// One line, at once.
fn print(line: &Value) {
    raw(format!("{line}\n").as_bytes());
}

/// Bytes as they are, in one call.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        // Nobody reads: like the real one, go on.
    }
}

fn cwd() -> String {
    std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default()
}
