//! In a worktree of its own: made before the agent is started, removed when its work is safe.

use super::*;

#[test]
fn two_tasks_on_one_repository_work_side_by_side_and_leave_two_branches() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    write(&world, &repo.join("a.txt"), "one\ntwo\nmine\n");
    let base = git(&world, &repo, &["rev-parse", "HEAD"]);
    let gate = world.path().join("gate");
    let _watcher = up(&world, "marie", &[]);
    for name in ["x", "y"] {
        let prompt = format!(
            "fake: append file=b.txt text={name}; write file=new text={name}; gate={}; cwd",
            gate.display()
        );
        world.submit("marie/pending", name, &task(&prompt, &repo.join("sub"), Some("worktree")));
    }
    // Both are inside at once.
    let trees = ["x", "y"].map(|name| {
        let task = world.active("marie", name, |it| it["state"] == "RUNNING");
        world.root().join("workspaces").join(task["run_id"].as_str().unwrap()).join("tree")
    });
    for tree in &trees {
        world.until("its file is there", || tree.join("sub/new").exists().then_some(()));
        assert_eq!(fs::read_to_string(tree.join("a.txt")).unwrap(), "one\ntwo\n", "what is committed");
    }
    write(&world, &gate, "");
    for (name, tree) in ["x", "y"].iter().zip(&trees) {
        let filed = world.filed("marie/completed", name);
        assert_eq!(filed["result"], json!(tree.join("sub")), "{filed:#}");
        let changes = &filed["changes"];
        assert_eq!(
            (&changes["branch"], &changes["files"]),
            (&json!(format!("agent/{name}")), &json!(2)),
            "{filed:#}"
        );
        assert!(changes["note"].as_str().unwrap().contains("not committed (`a.txt`)"), "{filed:#}");
        let branch = format!("agent/{name}");
        let subject = git(&world, &repo, &["log", "-1", "--format=%s by %an", &branch]);
        let run = filed["run_id"].as_str().unwrap();
        assert_eq!(subject, format!("agent/{name}: uncommitted work of run {run} by agent-worker"));
        assert_eq!(git(&world, &repo, &["show", &format!("{branch}:sub/new")]), *name);
        assert_eq!(git(&world, &repo, &["merge-base", &branch, "main"]), base);
        let clone = clone_at(&world, &repo, &base);
        git(
            &world,
            &clone,
            &["apply", "--check", artifacts(&world, &filed).join("changes.patch").to_str().unwrap()],
        );
        world.until("its worktree is gone", || (!tree.parent().unwrap().exists()).then_some(()));
    }
    assert_eq!(git(&world, &repo, &["worktree", "list"]).lines().count(), 1);
    assert_eq!(fs::read_to_string(repo.join("a.txt")).unwrap(), "one\ntwo\nmine\n");
    assert_eq!(git(&world, &repo, &["status", "--short"]), " M a.txt");
    // The files of the repository are as free as before: git fsck finds nothing wrong.
    git(&world, &repo, &["fsck", "--strict"]);
}

#[test]
fn a_task_that_changes_nothing_leaves_nothing_behind() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let _watcher = up(&world, "marie", &[]);
    world.submit(
        "marie/pending",
        "look",
        &task("fake: write file=x.log text=ignored; succeed", &repo, Some("worktree")),
    );
    let filed = world.filed("marie/completed", "look");
    assert_eq!(filed["changes"]["files"], 0, "{filed:#}");
    assert_eq!(filed["changes"].get("branch"), None, "{filed:#}");
    world.until("its branch is gone", || {
        (git(&world, &repo, &["branch", "--list", "agent/*"]).is_empty()).then_some(())
    });
    assert_eq!(git(&world, &repo, &["worktree", "list"]).lines().count(), 1);
}

#[test]
fn a_branch_that_is_there_is_another_run_s() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    git(&world, &repo, &["branch", "agent/x"]);
    let _watcher = up(&world, "marie", &[]);
    world.submit("marie/pending", "x", &task("fake: write file=n text=1; succeed", &repo, Some("worktree")));
    let filed = world.filed("marie/completed", "x");
    assert_eq!(filed["changes"]["branch"], "agent/x-2", "{filed:#}");
    assert_eq!(git(&world, &repo, &["rev-parse", "agent/x"]), git(&world, &repo, &["rev-parse", "main"]));
}

#[test]
fn a_run_that_goes_on_finds_its_worktree_as_it_left_it_and_a_failed_one_stays() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let _watcher = up(&world, "marie", &["--max-retries", "2"]);
    let prompt = "fake: write file=early text=1; fail error | run text=test -f early && echo yes > late; fail error | denied";
    world.submit("marie/pending", "x", &task(prompt, &repo, Some("worktree")));
    let filed = world.filed("marie/failed", "x");
    let attempts = filed["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3, "{filed:#}");
    assert!(attempts.iter().all(|it| it["cwd"] == attempts[0]["cwd"]), "{filed:#}");
    let tree = world.root().join("workspaces").join(filed["run_id"].as_str().unwrap()).join("tree");
    assert!(tree.join("early").exists() && tree.join("late").exists(), "it is kept");
    assert_eq!(files_of(&patch(&world, &filed)), ["early", "late"]);
    assert_eq!(filed["changes"]["branch"], "agent/x", "{filed:#}");
    assert_eq!(result(&world, &filed)["changes"]["files"], 2);
    // The retention rule takes it, and the repository forgets it; the branch stays.
    let home = |place: &str| world.root().join("tasks/marie").join(place).join("x.json");
    fs::rename(home("failed"), home("completed")).unwrap();
    fs::remove_file(home("failed").with_extension("json.reason")).unwrap();
    let snapshot = artifacts(&world, &filed).join("snapshot");
    world.until("it is tidied up", || (!snapshot.exists()).then_some(()));
    let aged = Command::new("find")
        .arg(world.root().join("artifacts"))
        .arg(world.root().join("workspaces"))
        .args(["-exec", "touch", "-h", "-d", "40 days ago", "{}", "+"])
        .status();
    assert!(aged.unwrap().success());
    let pruned = world.agentctl(&["prune", "--kind", "workspaces", "--older-than", "30d"]);
    assert!(pruned.status.success(), "{pruned:?}");
    assert!(!tree.exists(), "{pruned:?}");
    assert_eq!(git(&world, &repo, &["worktree", "list"]).lines().count(), 1, "{pruned:?}");
    git(&world, &repo, &["rev-parse", "--verify", "agent/x"]);
}

#[test]
fn work_that_cannot_be_committed_keeps_its_worktree() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let _watcher = up(&world, "marie", &[]);
    // It left no branch behind: its commit would be nobody's.
    let prompt = "fake: run text=git checkout -q --detach; write file=n text=1; succeed";
    world.submit("marie/pending", "x", &task(prompt, &repo, Some("worktree")));
    let filed = world.filed("marie/completed", "x");
    let tree = world.root().join("workspaces").join(filed["run_id"].as_str().unwrap()).join("tree");
    world.until("it is said", || world.said().contains("its worktree stays").then_some(()));
    assert!(tree.join("n").exists());
    assert_eq!(files_of(&patch(&world, &filed)), ["n"]);
}
