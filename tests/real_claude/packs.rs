//! What a pack says reaches the real CLI, and holds there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::answers::{as_user, git};
use crate::stub_api::Scenario;
use crate::{Real, attempts};

/// Writes a pack that belongs to whoever runs the test, who is root or the worker's user.
pub(crate) fn pack(real: &Real, name: &str, text: &str) -> PathBuf {
    let dir = real.world.root().join("packs");
    if !dir.is_dir() {
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = dir.join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

#[test]
fn the_model_and_the_system_prompt_arrive_at_the_api() {
    let Some(real) = Real::new(Scenario::Echo) else { return };
    pack(
        &real,
        "review",
        "model = 'claude-haiku-4-5'\nsystem_prompt = 'Answer like a lighthouse.'\nprompt = 'Review {{input.branch}}.'\n\
         allowed_tools = ['Read', 'Bash(git log *)']\n",
    );
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"type": "review", "input": {"branch": "login"}}));
    let task = real.completed("t");
    let request = &real.api.requests()[0];
    assert_eq!(request.last_text(), "Review login.", "{task}");
    assert_eq!(request.body["model"], "claude-haiku-4-5");
    assert!(
        request.body["system"].to_string().contains("Answer like a lighthouse."),
        "{}",
        request.body["system"]
    );
}

#[test]
fn a_tool_that_a_pack_takes_away_is_not_there() {
    let Some(real) = Real::new(Scenario::bash("echo ran > ran.txt")) else { return };
    pack(&real, "quiet", "disallowed_tools = ['Bash']\n");
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"type": "quiet", "prompt": "run it"}));
    let task = real.world.until("it is filed", || {
        let home = real.world.homes("t");
        let place = home.first().filter(|it| !it.ends_with("pending") && !it.ends_with("active"))?;
        Some(real.world.filed(place, "t"))
    });
    let workspace = real.world.root().join("workspaces").join(task["run_id"].as_str().unwrap());
    assert!(!workspace.join("ran.txt").exists(), "{task}");
    let offered = real.api.requests()[0].body["tools"].to_string();
    assert!(offered.contains("\"Read\"") && !offered.contains("\"name\":\"Bash\""), "{offered}");
}

#[test]
fn a_pack_that_accepts_edits_changes_a_file_in_a_repository_and_runs_nothing() {
    let Some(real) = Real::new(Scenario::Text(String::new())) else { return };
    let repo = real.world.home().join("thing");
    git(&real.world, &real.world.home(), &["init", "--quiet", "thing"]);
    let file = repo.join("greeting.txt");
    as_user(&real.world, std::process::Command::new("touch").arg(&file), &repo);
    git(&real.world, &repo, &["add", "."]);
    real.api.play(Scenario::write_file(file.to_str().unwrap(), "hello\n"));
    pack(
        &real,
        "edit",
        &format!(
            "permission_mode = 'acceptEdits'\nallowed_tools = ['Read', 'Write', 'Edit']\nworkdir = 'required'\nworkdir_roots = ['{}']\n",
            repo.display()
        ),
    );
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"type": "edit", "prompt": "greet", "workdir": repo}));
    let task = real.completed("t");
    assert_eq!(attempts(&task).len(), 1, "{task}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "hello\n");
    real.api.play(Scenario::denied());
    real.world.submit(
        "marie/pending",
        "web",
        &json!({"type": "edit", "prompt": "look it up", "workdir": repo}),
    );
    let task = real.failed("web");
    assert_eq!(task["error_code"], "E005", "{task}");
    assert!(task["failure_reason"].as_str().unwrap().contains("packs/edit.toml"), "{task}");
}
