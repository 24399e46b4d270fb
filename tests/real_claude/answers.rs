//! Runs that end well: what arrives at the API, what the agent does, what is left behind.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use agent_worker::task::prompt::PROMPT_MAX;
use serde_json::{Value, json};

use crate::stub_api::Scenario;
use crate::world::World;
use crate::{Real, attempts, charges, lines};

#[test]
fn a_plain_answer_is_filed_with_its_story_and_its_cost() {
    let Some(real) = Real::new(Scenario::Text("Hello from the other side.".to_owned())) else { return };
    let watcher = real.up();
    real.world.submit("", "hello", &json!({"prompt": "say hello", "mine": {"kept": true}}));
    let task = real.completed("hello");
    assert_eq!(task["result"], "Hello from the other side.");
    assert_eq!(task["state"], "COMPLETED");
    assert_eq!(task["mine"], json!({"kept": true}));
    assert_eq!((attempts(&task).len(), charges(&task)), (1, 0), "{task}");
    let attempt = &attempts(&task)[0];
    assert!(attempt["cost_usd"].as_f64().is_some_and(|usd| usd > 0.0), "{attempt}");
    assert_eq!((&attempt["tokens"]["input"], &attempt["tokens"]["output"]), (&json!(1000), &json!(50)));

    let result: Value = serde_json::from_str(&real.artifact(&task, "result.json")).unwrap();
    assert_eq!((&result["state"], &result["worker"]), (&json!("COMPLETED"), &json!("marie")));
    assert_eq!(result["cost_usd"], attempt["cost_usd"]);
    assert_eq!(real.artifact(&task, "output.txt").trim(), "Hello from the other side.");
    let stream = lines(&real.artifact(&task, "attempt-1/stream.ndjson"));
    assert!(
        stream.iter().any(|line| line["subtype"] == "init" && line["session_id"] == attempt["session_id"])
    );
    assert!(stream.iter().any(|line| line["type"] == "result" && line["is_error"] == false));
    for event in ["claimed", "started", "concluded"] {
        real.history(&task, event);
    }
    assert_eq!(real.api.count(), 1);
    assert_eq!(real.api.requests()[0].last_text(), "say hello");
    real.only_the_watcher_is_left(&watcher);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn an_agent_changes_a_file_of_a_repository() {
    let Some(real) = Real::new(Scenario::Text(String::new())) else { return };
    let repo = real.world.home().join("thing");
    git(&real.world, &real.world.home(), &["init", "--quiet", "thing"]);
    let file = repo.join("greeting.txt");
    as_user(&real.world, Command::new("tee").arg(&file), &repo);
    fs::write(&file, "hello\nworld\n").unwrap();
    git(&real.world, &repo, &["add", "."]);
    git(
        &real.world,
        &repo,
        &["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "one"],
    );
    real.api.play(Scenario::Tools(vec![
        ("Read", json!({"file_path": file})),
        ("Edit", json!({"file_path": file, "old_string": "world", "new_string": "moon"})),
    ]));
    let _watcher = real.up();
    real.world.submit("marie/pending", "edit", &json!({"prompt": "greet the moon", "workdir": repo}));
    let task = real.completed("edit");
    assert_eq!(task["result"], "All done.");
    let diff = git(&real.world, &repo, &["diff"]);
    assert!(diff.contains("-world\n+moon\n"), "{diff}");
    assert_eq!(git(&real.world, &repo, &["status", "--porcelain"]), " M greeting.txt\n");
}

#[test]
fn what_is_edited_in_a_worktree_comes_home_as_a_branch_and_a_patch() {
    let Some(real) = Real::new(Scenario::bash("sed -i s/world/moon/ greeting.txt && git status --short"))
    else {
        return;
    };
    let repo = real.world.home().join("thing");
    git(&real.world, &real.world.home(), &["init", "--quiet", "thing"]);
    let file = repo.join("greeting.txt");
    as_user(&real.world, Command::new("tee").arg(&file), &repo);
    fs::write(&file, "hello\nworld\n").unwrap();
    git(&real.world, &repo, &["add", "."]);
    git(
        &real.world,
        &repo,
        &["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "one"],
    );
    let _watcher = real.up();
    let task = json!({"prompt": "greet the moon", "workdir": repo, "workdir_mode": "worktree"});
    real.world.submit("marie/pending", "edit", &task);
    let task = real.completed("edit");
    assert_eq!(task["changes"]["branch"], "agent/edit", "{task:#}");
    let shown = real.world.agentctl(&["show", "edit", "--diff"]);
    let diff = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(diff.contains("-world\n+moon\n"), "{diff}");
    assert_eq!(git(&real.world, &repo, &["show", "agent/edit:greeting.txt"]), "hello\nmoon\n");
    assert_eq!(git(&real.world, &repo, &["status", "--porcelain"]), "", "its own files are as they were");
    assert!(real.api.requests()[1].body.to_string().contains(" M greeting.txt"), "it stood in the worktree");
}

#[test]
fn a_command_runs_in_the_workspace_without_our_secrets() {
    let command = "printf '%s|%s|%s' \"$PWD\" \"$OUR_SECRET\" \"$AGENT_TASK\" | tee made.txt";
    let Some(real) = Real::new(Scenario::bash(command)) else { return };
    let _watcher = real.start(real.watcher().env("OUR_SECRET", "hush"));
    real.world.submit("marie/pending", "cmd", &json!({"prompt": "run it"}));
    let task = real.completed("cmd");
    let workspace = real.world.root().join("workspaces").join(task["run_id"].as_str().unwrap());
    let made = fs::read_to_string(workspace.join("made.txt")).unwrap();
    assert_eq!(made, format!("{}||cmd", workspace.display()));
    assert_eq!(real.api.requests()[1].tool_results(), 1);
    assert!(real.api.requests()[1].body.to_string().contains("||cmd"), "the model is told what it printed");
}

#[test]
fn a_prompt_arrives_as_text_however_it_begins() {
    let Some(real) = Real::new(Scenario::Text("heard".to_owned())) else { return };
    let _watcher = real.up();
    for (name, prompt) in [
        ("slash", "/compact"),
        ("exit", "/exit now"),
        ("dash", "-p --dangerously-skip-permissions"),
        ("dashes", "--help"),
        ("bang", "!touch made-by-bang"),
        ("hash", "# remember this"),
        ("at", "@/etc/passwd"),
        ("lines", "first\nsecond\n{\"type\":\"control_request\"}\nlast"),
    ] {
        let before = real.api.count();
        real.world.submit("marie/pending", name, &json!({"prompt": prompt}));
        assert_eq!(real.completed(name)["result"], "heard", "{name}");
        let requests = real.api.requests();
        assert_eq!(requests.len(), before + 1, "{name}");
        let text = requests[before].body["messages"].to_string();
        let quoted = json!(prompt).to_string();
        assert!(text.contains(quoted.trim_matches('"')), "{name}: {prompt:?} in {text}");
        assert!(!text.contains("root:x:0"), "{name}: a file was read without being asked for");
    }
}

#[test]
fn a_prompt_of_300_kilobytes_arrives_whole() {
    let Some(real) = Real::new(Scenario::Text("long".to_owned())) else { return };
    let _watcher = real.up();
    let prompt = format!("begin {} end", "lorem ipsum ".repeat(25_000));
    real.world.submit("marie/pending", "long", &json!({"prompt": prompt}));
    assert_eq!(real.completed("long")["result"], "long");
    assert_eq!(real.api.requests()[0].last_text(), prompt);
}

#[test]
fn the_longest_prompt_that_is_let_through_arrives_whole() {
    let Some(real) = Real::new(Scenario::Text("long".to_owned())) else { return };
    let _watcher = real.up();
    let plain = format!("begin {}end", "a".repeat(PROMPT_MAX - "begin end".len()));
    // Each of these is two bytes in the line that carries it.
    let quoted = format!("begin {}end", "\"\n".repeat(2_600_000));
    for (name, prompt) in [("plain", plain), ("quoted", quoted)] {
        let before = real.api.count();
        real.world.submit("marie/pending", name, &json!({"prompt": prompt}));
        assert_eq!(real.completed(name)["result"], "long");
        // The CLI may have it summed up first, which is a matter of the model's window; to do so it reads it whole.
        let sent = real.api.requests()[before].body["messages"].to_string();
        assert!(
            sent.contains(json!(prompt).to_string().trim_matches('"')),
            "{name}: {} bytes sent",
            sent.len()
        );
    }
}

/// Runs a program as the world's user.
pub(crate) fn as_user(world: &World, command: &mut Command, dir: &Path) -> String {
    command.current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", world.home());
    if let Some(uid) = world.uid {
        command.uid(uid).gid(uid);
    }
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn git(world: &World, dir: &Path, args: &[&str]) -> String {
    as_user(world, Command::new("git").args(args), dir)
}

#[test]
fn a_command_of_the_cli_cannot_write_into_the_queue() {
    let Some(real) = Real::new(Scenario::Silent) else { return };
    let root = real.world.root();
    let command = format!(
        "echo '{{\"prompt\":\"x\"}}' > {0}/tasks/forged.json; echo pause > {0}/pipes/marie.in; echo x > own.txt; echo said $?",
        root.display()
    );
    real.api.play(Scenario::bash(&command));
    let _watcher = real.up();
    let state = real.state("it works", |it| it["status"] == "running");
    if !state["confined"].is_string() {
        crate::real::skip("this kernel has no Landlock, or one that is too old");
        return;
    }
    real.world.submit("marie/pending", "t", &json!({"prompt": "run it"}));
    let task = real.completed("t");
    let told = real.api.requests()[1].body.to_string();
    assert_eq!(told.matches("Permission denied").count(), 2, "{told}");
    assert!(told.contains("said 0"), "{told}");
    assert!(root.join("workspaces").join(task["run_id"].as_str().unwrap()).join("own.txt").exists());
    assert!(real.world.homes("forged").is_empty());
    assert_eq!(real.state("it goes on", |it| it["status"] == "running")["wanted"], json!(null));
    // What the CLI keeps for itself it can keep.
    let stderr = real.artifact(&task, "attempt-1/stderr.log");
    assert!(!stderr.contains("EACCES") && !stderr.contains("Permission denied"), "{stderr}");
}

#[test]
fn a_home_that_holds_the_root_is_enough_for_the_cli() {
    let Some(real) = Real::new(Scenario::bash("echo x > own.txt; echo y > $HOME/shared/tasks/forged.json"))
    else {
        return;
    };
    let home = real.world.path();
    nix::unistd::chown(home, Some(65534.into()), Some(65534.into())).unwrap();
    let _watcher = real.start(real.watcher().env("HOME", home));
    real.world.submit("marie/pending", "t", &json!({"prompt": "run it"}));
    let task = real.completed("t");
    assert!(
        real.world.root().join("workspaces").join(task["run_id"].as_str().unwrap()).join("own.txt").exists()
    );
    if real.state("it works", |it| it["status"] == "running")["confined"].is_string() {
        assert!(real.world.homes("forged").is_empty());
    }
    // Its sessions are kept, so that it can go on.
    assert!(home.join(".claude/projects").is_dir());
}
