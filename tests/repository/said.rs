//! What is wrong with a repository is said before an agent is started; and what an operator sees.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn pack(world: &World, name: &str, text: &str) {
    let dir = world.root().join("packs");
    if !dir.is_dir() {
        fs::create_dir(&dir).unwrap();
        own(world, &dir);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let temp = dir.join(format!(".{name}.tmp"));
    write(world, &temp, text);
    fs::set_permissions(&temp, fs::Permissions::from_mode(0o644)).unwrap();
    fs::rename(temp, dir.join(format!("{name}.toml"))).unwrap();
}

#[test]
fn a_repository_that_cannot_be_worked_on_fails_its_task_before_anything_is_spent() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    write(&world, &repo.join("a.txt"), "mine\n");
    let plain = repos(&world).join("plain");
    let empty = repos(&world).join("empty");
    for dir in [&plain, &empty] {
        fs::create_dir_all(dir).unwrap();
        own(&world, dir);
    }
    git(&world, &empty, &["init", "-q"]);
    pack(&world, "clean", "dirty = 'refuse'\n");
    pack(&world, "tree", &format!("workdir_mode = 'worktree'\nworkdir_path = '{}'\n", repo.display()));
    pack(&world, "fresh", "workdir_mode = 'empty'\n");
    let _watcher = up(&world, "marie", &[]);
    let with = |workdir: Option<&Path>, mode: Option<&str>, kind: Option<&str>| {
        let mut task = json!({"prompt": "fake: succeed"});
        for (key, value) in [("workdir_mode", mode), ("type", kind)] {
            if let Some(value) = value {
                task[key] = json!(value);
            }
        }
        if let Some(workdir) = workdir {
            task["workdir"] = json!(workdir);
        }
        task
    };
    let table = [
        (with(Some(&plain), Some("worktree"), None), "lies in no git repository"),
        (with(Some(&empty), Some("worktree"), None), "has no commit yet"),
        (with(Some(&repo.join("none")), Some("worktree"), None), "cannot be used: No such file"),
        (with(Some(Path::new("/etc")), Some("worktree"), None), "does not lie under"),
        (
            with(Some(&repo), None, Some("clean")),
            "1 file(s) that are not committed, and the pack refuses that: `a.txt`",
        ),
        (
            with(Some(&repo), Some("dir"), Some("tree")),
            "the pack `tree` has workdir_mode `worktree`, and the task `dir`",
        ),
        (with(None, Some("worktree"), None), "workdir_mode `worktree` needs a directory"),
        (with(Some(&repo), Some("empty"), None), "take `workdir` out"),
        (with(Some(&repo), None, Some("fresh")), "take `workdir` out"),
        (with(Some(&repo), Some("branch"), None), "field `workdir_mode`"),
    ];
    for (n, (task, _)) in table.iter().enumerate() {
        world.submit("marie/pending", &format!("t{n}"), task);
    }
    for (n, (_, words)) in table.iter().enumerate() {
        let path = world.root().join(format!("tasks/marie/failed/t{n}.json.reason"));
        let reason = world.until("it failed", || read_json(&path));
        assert_eq!(reason["error_code"], "E002", "{reason:#}");
        assert!(reason["reason"].as_str().unwrap().contains(words), "{words}: {reason:#}");
    }
    assert!(world.agent_log().iter().all(|it| it["event"] != "start"), "no agent was started");
    // The pack's own directory, and none at all.
    world.submit(
        "marie/pending",
        "usual",
        &json!({"type": "tree", "prompt": "fake: write file=n text=1; succeed"}),
    );
    world.submit("marie/pending", "fresh", &json!({"type": "fresh", "prompt": "fake: cwd"}));
    assert_eq!(world.filed("marie/completed", "usual")["changes"]["branch"], "agent/usual");
    let fresh = world.filed("marie/completed", "fresh");
    assert!(fresh["result"].as_str().unwrap().ends_with(fresh["run_id"].as_str().unwrap()), "{fresh:#}");
}

#[test]
fn a_repository_of_somebody_else_s_is_named_with_what_to_type() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let chowned = Command::new("chown").args(["-R", "0:0"]).arg(&repo).status().unwrap();
    assert!(chowned.success());
    let _watcher = up(&world, "marie", &[]);
    world.submit("marie/pending", "x", &task("fake: succeed", &repo, Some("worktree")));
    let filed = world.filed("marie/failed", "x");
    let why = filed["failure_reason"].as_str().unwrap();
    assert!(why.contains("git config --global --add safe.directory"), "{why}");
    // In place it is worked on all the same, and said.
    world.submit("marie/pending", "y", &task("fake: succeed", &repo, Some("dir")));
    assert_eq!(world.filed("marie/completed", "y").get("changes"), None);
    assert!(world.said().contains("what it changes is not recorded"));
}

#[test]
fn what_was_changed_is_shown_and_a_program_gets_the_patch_as_it_is() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let _watcher = up(&world, "marie", &[]);
    let submitted = world.agentctl(&[
        "submit",
        "fake: append file=a.txt text=more; succeed",
        "--id",
        "t",
        "--workdir",
        repo.to_str().unwrap(),
        "--workdir-mode",
        "worktree",
    ]);
    assert!(submitted.status.success(), "{submitted:?}");
    let filed = world.until("it is done", || {
        let path = world.root().join("tasks/marie/completed/t.json");
        read_json(&path)
    });
    let text = |args: &[&str]| {
        let output = world.agentctl(args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(text(&["show", "t", "--diff"]), patch(&world, &filed));
    let shown = text(&["show", "t"]);
    assert!(shown.contains("1 file changed, +1 -0, 1 commit on agent/t"), "{shown}");
    let json: Value = serde_json::from_str(&text(&["show", "t", "--json"])).unwrap();
    assert_eq!(json["changes"]["stat"][0], json!({"path": "a.txt", "insertions": 1, "deletions": 0}));
    let journal = fs::read_to_string(artifacts(&world, &filed).join("history.ndjson")).unwrap();
    assert!(journal.contains(r#""changes":"1 file changed, +1 -0, 1 commit on agent/t""#), "{journal}");
    let wrong = world.agentctl(&["submit", "x", "--workdir-mode", "worktre"]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean `worktree`?"), "{wrong:?}");
}
