//! Nobody is there: what would wait for a person ends by itself, with a verdict that tells what it was.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::stub_api::Scenario;
use crate::{Real, charges};

/// A directory in the world's home with these files, the user's.
fn directory(real: &Real, name: &str, files: &[(&str, String)]) -> std::path::PathBuf {
    let dir = real.world.home().join(name);
    let own = |path: &std::path::Path| {
        if let Some(uid) = real.world.uid {
            nix::unistd::chown(path, Some(uid.into()), Some(uid.into())).unwrap();
        }
    };
    for (file, text) in files {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        for path in [&path, path.parent().unwrap()] {
            own(path);
        }
    }
    fs::create_dir_all(&dir).unwrap();
    own(&dir);
    dir
}

/// A pack that belongs to whoever runs the test.
fn pack(real: &Real, name: &str, text: &str) {
    let dir = real.world.root().join("packs");
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
}

/// The task's file, once it has ended.
fn ended(real: &Real, name: &str) -> Value {
    real.world.until("it has ended", || {
        ["marie/completed", "marie/failed"].iter().find_map(|place| {
            crate::world::json(&real.world.root().join(format!("tasks/{place}/{name}.json")))
        })
    })
}

fn hook(event: &str, command: &str) -> String {
    json!({"hooks": {event: [{"hooks": [{"type": "command", "command": command}]}]}}).to_string()
}

const FOREVER: &str = "until [ -e /nonexistent/gate ]; do sleep 0.2; done";

#[test]
fn a_question_to_nobody_is_no_end_and_no_answer() {
    let question = json!({"questions": [{"question": "Which one?", "header": "One", "multiSelect": false,
        "options": [{"label": "a", "description": "this"}, {"label": "b", "description": "that"}]}]});
    let Some(real) = Real::new(Scenario::Tool { name: "AskUserQuestion".to_owned(), input: question }) else {
        return;
    };
    let watcher = real.up();
    real.world.submit("marie/pending", "asks", &json!({"prompt": "ask me", "max_retries": 0}));
    let task = ended(&real, "asks");
    // Whether the CLI has the tool or not: it is told that nobody answers, and goes on.
    let results = real.api.requests().last().unwrap().tool_results();
    assert_eq!(results, 1, "it was told: {task}");
    match task["state"].as_str() {
        Some("COMPLETED") => assert_eq!(task["result"], "All done.", "{task}"),
        _ => assert_eq!(task["error_code"], "E005", "{task}"),
    }
    real.only_the_watcher_is_left(&watcher);
}

#[test]
fn a_plan_that_nobody_approves_ends() {
    let plan = json!({"plan": "first this, then that"});
    let Some(real) = Real::new(Scenario::Tool { name: "ExitPlanMode".to_owned(), input: plan }) else {
        return;
    };
    pack(&real, "plan", "permission_mode = 'plan'\n");
    let watcher = real.up();
    real.world.submit(
        "marie/pending",
        "plans",
        &json!({"type": "plan", "prompt": "plan it", "max_retries": 0}),
    );
    let task = ended(&real, "plans");
    match task["state"].as_str() {
        Some("COMPLETED") => assert_eq!(task["result"], "All done.", "{task}"),
        _ => assert_eq!(task["error_code"], "E005", "{task}"),
    }
    real.only_the_watcher_is_left(&watcher);
}

#[test]
fn what_would_be_asked_of_a_person_is_denied_and_said() {
    for mode in ["manual", "dontAsk"] {
        let Some(real) = Real::new(Scenario::Silent) else { return };
        let file = real.world.home().join("written.txt");
        real.api.play(Scenario::write_file(file.to_str().unwrap(), "x"));
        pack(&real, "careful", &format!("permission_mode = '{mode}'\nallowed_tools = ['Read']\n"));
        let _watcher = real.up();
        real.world.submit("marie/pending", "asks", &json!({"type": "careful", "prompt": "write it"}));
        let task = real.failed("asks");
        assert_eq!(task["error_code"], "E005", "{mode}: {task}");
        let reason = task["failure_reason"].as_str().unwrap();
        assert!(reason.contains("Write") && reason.contains("packs/careful.toml"), "{mode}: {reason}");
        assert!(!file.exists());
    }
}

#[test]
fn a_directory_whose_server_never_answers_is_worked_in_all_the_same() {
    let Some(real) = Real::new(Scenario::Text("done".to_owned())) else { return };
    let server = json!({"mcpServers": {"q": {"command": "/bin/sh", "args": ["-c", FOREVER]}}}).to_string();
    let settings = json!({"enableAllProjectMcpServers": true}).to_string();
    let dir = directory(&real, "served", &[(".mcp.json", server), (".claude/settings.json", settings)]);
    let watcher = real.up();
    real.world.submit("marie/pending", "mcp", &json!({"prompt": "say hello", "workdir": dir}));
    assert_eq!(real.completed("mcp")["result"], "done");
    real.only_the_watcher_is_left(&watcher);
}

#[test]
fn a_hook_that_never_ends_is_the_task_s_fault_and_holds_nobody_else() {
    for event in ["SessionStart", "UserPromptSubmit", "PreToolUse", "Stop"] {
        let Some(real) = Real::new(Scenario::bash("echo hi")) else { return };
        let settings = hook(event, FOREVER);
        let dir = directory(&real, "hooked", &[(".claude/settings.json", settings)]);
        // The CLI needs a second before it says its first word, and on a busy machine ten.
        let watcher = real.start(real.watcher().args(["--idle-timeout", "12s"]));
        real.world.submit(
            "marie/pending",
            "hooked",
            &json!({"prompt": "say hello", "workdir": dir, "max_retries": 0}),
        );
        let task = real.failed("hooked");
        assert_eq!(
            (&task["state"], &task["error_code"]),
            (&json!("TIMEOUT"), &json!("E003")),
            "{event}: {task}"
        );
        let reason = task["failure_reason"].as_str().unwrap();
        assert!(reason.contains(&format!("the hook {event}")), "{event}: {reason}");
        real.only_the_watcher_is_left(&watcher);
        real.api.play(Scenario::Text("fine".to_owned()));
        real.world.submit("marie/pending", "other", &json!({"prompt": "say hello"}));
        assert_eq!(real.completed("other")["result"], "fine");
        let known = real.world.agentctl(&["limits", "--json"]);
        let known: Value = serde_json::from_slice(&known.stdout).unwrap();
        assert!(known[0]["breaker"].is_null(), "{event}: {known}");
    }
}

#[test]
fn a_command_that_waits_for_somebody_to_type_ends() {
    let waits = json!({"command": "read -r y </dev/tty; cat; echo went on", "timeout": 4_000});
    let Some(real) = Real::new(Scenario::Tool { name: "Bash".to_owned(), input: waits }) else { return };
    let watcher = real.up();
    real.world.submit("marie/pending", "typing", &json!({"prompt": "run it"}));
    let task = real.completed("typing");
    assert_eq!((&task["result"], charges(&task)), (&json!("All done."), 0), "{task}");
    let told = real.api.requests().last().unwrap().body["messages"].to_string();
    assert!(told.contains("timed out") || told.contains("went on"), "it was told how it ended: {told}");
    real.only_the_watcher_is_left(&watcher);
}

#[test]
fn a_home_that_was_never_used_asks_nothing() {
    let Some(real) = Real::new(Scenario::Text("done".to_owned())) else { return };
    assert!(
        fs::read_dir(real.world.home()).unwrap().next().is_none(),
        "no onboarding, no trust, no settings"
    );
    let dir = directory(&real, "new", &[("CLAUDE.md", "Be brief.".to_owned())]);
    let _watcher = real.up();
    real.world.submit("marie/pending", "first", &json!({"prompt": "say hello", "workdir": dir}));
    assert_eq!(real.completed("first")["result"], "done");
}
