//! The runbook's scripts that change the tree, against dead and living watchers, with another root in their text.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::blocks;
use crate::real;
use crate::traces::{alone, at_work, count, gate, gated, is_alive, open, recorded, said, slay, state};
use crate::world::{self, World};
use serde_json::json;

/// Runs a script of the runbook for marie, with `/shared` and `/tmp` moved to where the world has them; what it said.
fn python(world: &World, script: &str, call: &str) -> String {
    let root = world.root().display().to_string();
    let script = script.replace("/tmp/", &format!("{root}/scratch/")).replace("/shared", &root);
    let output = Command::new("python3").arg("-c").arg(format!("{script}\n{call}\n")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn clean_recovery(world: &World) -> String {
    let said = python(world, blocks::text(8), "clean_recovery('marie')");
    assert!(said.contains("Moving t.json back to pending"), "{said}");
    said
}

#[test]
fn after_clean_recovery_a_living_agent_of_a_dead_watcher_is_adopted() {
    if real::program("python3").is_none() {
        return;
    }
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    let run = recorded(&world, "t", agent)["run_id"].as_str().unwrap().to_owned();
    first.murder();
    clean_recovery(&world);
    assert_eq!(world.homes("t"), ["marie/pending"]);
    // The script has emptied the agent's scratch; what the agent makes there since is its own.
    let scratch = world.root().join("scratch/marie").join(run);
    fs::create_dir_all(&scratch).unwrap();

    let second = world.up("marie");
    world.until("it is adopted", || (count(&world, "adopted") == 1).then_some(()));
    assert!(scratch.is_dir());
    assert_eq!(world.homes("t"), ["marie/active"]);
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "done");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(said(&world, "start", "t").len(), 1);
    alone(&world);
    assert_eq!(second.stop(), 0);
}

#[test]
fn clean_recovery_of_a_worker_that_lives_is_put_right() {
    if real::program("python3").is_none() {
        return;
    }
    let world = World::new();
    let gate = gate(&world, "a");
    let watcher = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    let run = recorded(&world, "t", agent)["run_id"].as_str().unwrap().to_owned();
    state(&world, "marie", |it| it["running"].as_array().is_some_and(|all| all.len() == 1));
    let locks = ["marie_watcher.lock", "marie_task_t.lock"].map(|name| world.root().join("locks").join(name));
    world.until("the locks are there", || locks.iter().all(|it| it.exists()).then_some(()));
    for _ in 0..3 {
        clean_recovery(&world);
        let again = world::until(Duration::from_secs(3), || {
            (world.homes("t") == ["marie/active"] && locks.iter().all(|it| it.exists())).then_some(())
        });
        assert!(again.is_some(), "{:?}\n{}", world.homes("t"), world.said());
    }
    let told = state(&world, "marie", |it| it["status"] == "running");
    assert_eq!(told["recovery_count"], 3);
    assert_eq!(told["running"].as_array().unwrap().len(), 1);
    assert!(is_alive(agent));
    let scratch = world.root().join("scratch/marie").join(run);
    world.until("the agent's scratch is there again", || scratch.is_dir().then_some(()));
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "done");
    assert_eq!(world.homes("t"), ["marie/completed"]);
    assert_eq!(said(&world, "start", "t").len(), 1);
    alone(&world);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn clean_recovery_of_a_dead_agent_charges_it_once() {
    if real::program("python3").is_none() {
        return;
    }
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    first.murder();
    slay(&world, agent);
    clean_recovery(&world);
    let second = world.up("marie");
    at_work(&world, "t", 2);
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "resumed");
    assert_eq!(task["retry_count"], 1);
    assert_eq!(task["failure_reason"], json!(null));
    assert_eq!(said(&world, "start", "t")[1]["mode"], "resume");
    let told = state(&world, "marie", |it| it["status"] == "running");
    assert_eq!(told["recovery_count"], 1, "the script has counted this crash");
    alone(&world);
    assert_eq!(second.stop(), 0);
}

#[test]
fn a_copy_that_clean_recovery_left_half_done_is_one_task() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    first.murder();
    slay(&world, agent);
    // It was killed between its write to pending and its unlink in active.
    let tasks = world.root().join("tasks/marie");
    fs::copy(tasks.join("active/t.json"), tasks.join("pending/t.json")).unwrap();
    let second = world.up("marie");
    at_work(&world, "t", 2);
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("resumed"), &json!(1)));
    assert_eq!(world.homes("t"), ["marie/completed"]);
    assert_eq!(said(&world, "start", "t").len(), 2);
    assert_eq!(second.stop(), 0);
}

#[test]
fn healthy_work_does_not_look_stuck_to_the_runbook() {
    if real::program("python3").is_none() {
        return;
    }
    let world = World::new();
    let gate = gate(&world, "a");
    let watcher = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    let active = world.root().join("tasks/marie/active/t.json");
    let lock = world.root().join("locks/marie_watcher.lock");
    let old = SystemTime::now() - Duration::from_hours(1);
    for path in [&active, &lock] {
        fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    assert!(python(&world, blocks::text(6), "detect_deadlock('marie')").contains("1 stuck"));
    world.until("its file is fresh again", || {
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
        (age - fs::metadata(&active).ok()?.mtime() < 60).then_some(())
    });
    assert_eq!(python(&world, blocks::text(6), "detect_deadlock('marie')"), "");
    open(&gate);
    world.filed("marie/completed", "t");
    assert_eq!(watcher.stop(), 0);
}
