//! `agentctl prune`, and a watcher that prunes by itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use agent_worker::layout::Layout;
use agent_worker::retention::turn;
use serde_json::{Value, json};

use crate::world::World;
use crate::{names, world};

/// Makes everything below the root look as if it had not been touched for so many days.
fn age(world: &World, days: u32) {
    let done = Command::new("find")
        .arg(world.root().join("artifacts"))
        .arg(world.root().join("workspaces"))
        .args(["-exec", "touch", "-h", "-d", &format!("{days} days ago"), "{}", "+"])
        .status();
    assert!(done.unwrap().success());
}

fn everything(world: &World) -> BTreeSet<PathBuf> {
    let found = Command::new("find").arg(world.root()).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// A world in which marie did one task, failed another, and has stopped.
fn done_and_failed() -> World {
    let world = World::new();
    let marie =
        world.start(world.watcher("marie").args(["--agent", "echo", "--durability", "none"]), "marie");
    world.submit("marie/pending", "good", &json!({"prompt": "hello"}));
    world.submit("marie/pending", "bad", &json!({"prompt": "hello", "type": "no-such-pack"}));
    world.filed("marie/completed", "good");
    world.filed("marie/failed", "bad");
    assert_eq!(marie.stop(), 0);
    age(&world, 40);
    world
}

#[test]
fn a_dry_run_tells_what_would_go_and_changes_nothing() {
    let world = done_and_failed();
    let before = everything(&world);
    let shown = world.agentctl(&["prune", "--dry-run", "--json", "--older-than", "0"]);
    let plans: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let of = |kind: &str| plans.as_array().unwrap().iter().find(|it| it["kind"] == kind).unwrap().clone();
    assert_eq!(of("completed")["going"]["count"], 1, "{plans:#}");
    assert_eq!(of("workspaces")["going"]["count"], 1);
    assert_eq!(of("artifacts")["going"]["count"], 1);
    assert_eq!(of("artifacts")["stay"]["failed"]["count"], 1);
    assert_eq!(of("journal")["stay"]["open"]["count"], 1);
    assert_eq!(everything(&world), before, "a dry run changed something");

    let said = world.agentctl(&["prune", "--dry-run"]);
    let talk = String::from_utf8(said.stderr).unwrap();
    assert!(talk.contains("nothing was changed") && talk.contains("within its time and size"), "{talk}");
}

#[test]
fn prune_does_what_the_dry_run_told_and_the_failed_wait_for_their_own_word() {
    let world = done_and_failed();
    let failed = world.root().join("tasks/marie/failed/bad.json");
    assert!(world.agentctl(&["prune", "--older-than", "0"]).status.success());
    assert!(failed.exists() && !world.root().join("tasks/marie/completed/good.json").exists());
    assert_eq!(names(&world.root().join("artifacts")).len(), 1, "that of the failed one");
    assert!(!world.agentctl(&["prune", "--failed"]).status.success(), "how old?");
    assert!(failed.exists());
    assert!(world.agentctl(&["prune", "--failed", "--older-than", "0"]).status.success());
    assert_eq!(names(failed.parent().unwrap()), BTreeSet::new(), "its reason goes with it");
}

#[test]
fn two_do_not_prune_at_once() {
    let world = done_and_failed();
    let taken = turn(&Layout::new(world.root())).unwrap().unwrap();
    let refused = world.agentctl(&["prune", "--older-than", "0"]);
    assert_eq!(refused.status.code(), Some(75), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(world.agentctl(&["prune", "--dry-run"]).status.success(), "to look needs no turn");
    drop(taken);
    assert!(world.agentctl(&["prune", "--older-than", "0"]).status.success());
}

#[test]
fn a_watcher_prunes_by_itself_while_it_works() {
    let world = done_and_failed();
    let config = world.path().join("agent-worker.toml");
    fs::write(
        &config,
        "retention_every = \"250ms\"\nretention_days_completed = \"1s\"\nretention_days = 30\n",
    )
    .unwrap();
    let mut watcher = world.served("marie", "127.0.0.1:0");
    watcher.args(["--agent", "echo", "--durability", "none"]).arg("--config").arg(&config);
    let started = world.start(&mut watcher, "marie");
    world.at_work("marie", &started);
    let completed = world.root().join("tasks/marie/completed");
    world.submit("marie/pending", "later", &json!({"prompt": "hello"}));
    world.until("what was completed has gone, and the new one after it", || {
        let pending = world.root().join("tasks/marie/pending/later.json").exists();
        (!pending && names(&completed).is_empty()).then_some(())
    });
    world.until("the record of the old run has gone", || {
        (names(&world.root().join("artifacts")).len() == 2).then_some(())
    });
    assert!(world.root().join("tasks/marie/failed/bad.json").exists());
    let state = world.root().join("workers/marie/state.json");
    world.until("the worker counts none", || {
        world::json(&state).filter(|state| state["queues"]["completed"] == 0).map(drop)
    });
    let journal = fs::read_dir(world.root().join("workers/marie/journal")).unwrap().flatten();
    let text: String = journal.map(|it| fs::read_to_string(it.path()).unwrap()).collect();
    assert!(text.contains(r#""event":"pruned""#), "{text}");
    let scraped = Command::new("curl")
        .args(["-s", &format!("http://{}/metrics", world.address("marie"))])
        .stderr(Stdio::null())
        .output();
    if let Ok(scraped) = scraped {
        let text = String::from_utf8_lossy(&scraped.stdout).into_owned();
        assert!(text.contains("agent_worker_pruned_total{kind=\"completed\"} 2"), "{text}");
    }
    assert_eq!(started.stop(), 0);
}
