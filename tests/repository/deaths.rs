//! Kills, at any instant: no two agents in one directory, no work lost, and the record is made by whoever comes next.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

#[test]
fn an_agent_that_outlives_its_watcher_keeps_its_directory_and_is_recorded_at_its_end() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let gate = world.path().join("gate");
    let marie = up(&world, "marie", &[]);
    let _anga = up(&world, "anga", &[]);
    let prompt = format!("fake: append file=a.txt text=first; gate={}; succeed", gate.display());
    world.submit("marie/pending", "first", &task(&prompt, &repo, None));
    world.active("marie", "first", |it| it["state"] == "RUNNING" && it["attempts"][0]["pid"].is_number());
    marie.murder();
    // Another worker wants the same directory while nobody watches.
    world.submit(
        "anga/pending",
        "second",
        &task("fake: append file=a.txt text=second; succeed", &repo, None),
    );
    world.submit("anga/pending", "free", &json!({"prompt": "fake: succeed"}));
    world.filed("anga/completed", "free");
    let why = world.agentctl(&["why", "second"]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("marie/first works in"), "{why}");
    let _marie = up(&world, "marie", &[]);
    world.until("it is adopted", || world.said().contains("adopted a living agent").then_some(()));
    assert_eq!(world.homes("second"), ["anga/pending"]);
    write(&world, &gate, "");
    let first = world.filed("marie/completed", "first");
    let second = world.filed("anga/completed", "second");
    assert!(patch(&world, &first).contains("+first") && !patch(&world, &first).contains("second"));
    let text = patch(&world, &second);
    assert!(text.contains("+second") && !text.contains("+first"), "{text}");
}

#[test]
fn an_answer_that_nobody_read_is_filed_with_what_was_changed() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let gate = world.path().join("gate");
    let marie = up(&world, "marie", &[]);
    for (name, mode) in [("tree", "worktree"), ("dir", "dir")] {
        let prompt = format!("fake: write file={name} text=1; gate={}; succeed", gate.display());
        world.submit("marie/pending", name, &task(&prompt, &repo, Some(mode)));
        world.active("marie", name, |it| it["state"] == "RUNNING" && it["attempts"][0]["pid"].is_number());
    }
    marie.murder();
    write(&world, &gate, "");
    world.until("both have ended", || {
        let ended = world.agent_log().iter().filter(|it| it["event"] == "end").count();
        (ended == 2).then_some(())
    });
    // By the operator's hand, in its absence.
    let recovered =
        world.command("supervisor").args(["recover", "marie", "--root"]).arg(world.root()).output().unwrap();
    assert!(recovered.status.success(), "{recovered:?}");
    for name in ["tree", "dir"] {
        let filed = world.filed("marie/completed", name);
        assert_eq!(files_of(&patch(&world, &filed)), [name], "{filed:#}");
        assert_eq!(result(&world, &filed)["changes"]["files"], 1);
    }
    assert_eq!(git(&world, &repo, &["show", "agent/tree:tree"]), "1");
    assert_eq!(git(&world, &repo, &["worktree", "list"]).lines().count(), 1);
}

#[test]
fn a_worktree_that_was_half_made_is_made_again() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let gate = world.path().join("gate");
    let marie = up(&world, "marie", &[]);
    let prompt = format!(
        "fake: write file=early text=1; gate={}; succeed | write file=late text=1; succeed",
        gate.display()
    );
    world.submit("marie/pending", "x", &task(&prompt, &repo, Some("worktree")));
    let task = world.active("marie", "x", |it| it["attempts"][0]["pid"].is_number());
    let run = task["run_id"].as_str().unwrap().to_owned();
    let tree = world.root().join("workspaces").join(&run).join("tree");
    world.until("it works", || tree.join("early").exists().then_some(()));
    marie.murder();
    let agent = i32::try_from(task["attempts"][0]["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(agent), Signal::SIGKILL).unwrap();
    // As if all of it had happened in the middle of `git worktree add`.
    let known = PathBuf::from(git(&world, &tree, &["rev-parse", "--absolute-git-dir"]));
    write(&world, &known.join("locked"), "initializing");
    fs::remove_file(known.join("index")).unwrap();
    fs::remove_file(tree.join("a.txt")).unwrap();
    let _marie = up(&world, "marie", &[]);
    let filed = world.filed("marie/completed", "x");
    assert_eq!(filed["changes"]["branch"], "agent/x", "{filed:#}");
    assert_eq!(files_of(&patch(&world, &filed)), ["late"], "{filed:#}");
    world.until("it is gone", || (!tree.exists()).then_some(()));
    assert_eq!(git(&world, &repo, &["worktree", "list"]).lines().count(), 1);
}

#[test]
fn a_worktree_that_its_agent_broke_is_put_aside_and_nothing_of_it_is_lost() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let _marie = up(&world, "marie", &["--max-retries", "2"]);
    let prompt =
        "fake: write file=early text=1; run text=rm .git; fail error | write file=late text=1; succeed";
    world.submit("marie/pending", "x", &task(prompt, &repo, Some("worktree")));
    let filed = world.filed("marie/completed", "x");
    assert_eq!(files_of(&patch(&world, &filed)), ["late"], "{filed:#}");
    let workspace = world.root().join("workspaces").join(filed["run_id"].as_str().unwrap());
    assert!(workspace.join("tree.broken-1/early").exists());
}

#[test]
fn a_stop_keeps_the_worktree_and_the_next_watcher_goes_on_in_it() {
    let world = World::unprivileged();
    let repo = repository(&world, "one");
    let marie = up(&world, "marie", &[]);
    let prompt = "fake: write file=early text=1; hang | write file=late text=1; succeed";
    world.submit("marie/pending", "x", &task(prompt, &repo, Some("worktree")));
    let task = world.active("marie", "x", |it| it["state"] == "RUNNING");
    let tree = world.root().join("workspaces").join(task["run_id"].as_str().unwrap()).join("tree");
    world.until("it works", || tree.join("early").exists().then_some(()));
    assert_eq!(marie.stop(), 0);
    assert!(tree.join("early").exists());
    let waiting = world.filed("marie/pending", "x");
    assert_eq!(waiting["changes"]["files"], 1, "{waiting:#}");
    let _marie = up(&world, "marie", &[]);
    let filed = world.filed("marie/completed", "x");
    assert_eq!(files_of(&patch(&world, &filed)), ["early", "late"], "{filed:#}");
}
