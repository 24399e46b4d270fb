//! A disk that is full already when a worker starts: it is there, says so, and begins when it can.

use std::fs;
use std::net::SocketAddr;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::faults::{Filler, SmallDisk};
use crate::world::{Started, World};
use crate::{health, sight, soon};

/// A watcher that is started and not waited for, and where it is served.
fn start(world: &World, tag: &str) -> (Started, SocketAddr) {
    let mut command = world.served("marie", "127.0.0.1:0");
    let started = world.start(&mut command, tag);
    let address = world.until("it serves", || {
        sight::logged(world, tag, "serving /metrics").first()?["addr"].as_str()?.parse().ok()
    });
    (started, address)
}

/// A task whose watcher and agent are dead.
fn orphan(world: &World) {
    let watcher = world.up("marie");
    world.submit("marie/pending", "t", &json!({"prompt": "fake: hang stubborn | succeed text=resumed"}));
    let agent = sight::agent(world, "t");
    world.active("marie", "t", |task| task["state"] == "RUNNING");
    watcher.murder();
    kill(Pid::from_raw(agent), Signal::SIGKILL).unwrap();
    world.until("the agent is gone", || (!sight::lives(agent)).then_some(()));
}

#[test]
fn a_start_on_a_full_disk_waits_in_sight_of_everybody() {
    let world = World::new();
    let Some(_disk) = SmallDisk::tmpfs(world.root(), "size=32m") else { return };
    orphan(&world);
    let before = fs::read(world.root().join("tasks/marie/active/t.json")).unwrap();
    let filler = Filler::of(&world.root());

    let (watcher, address) = start(&world, "first");
    let reasons = health(&world, address, "503");
    assert!(reasons.contains("E007") && reasons.contains("make room"), "{reasons}");
    let told: Value =
        serde_json::from_str(crate::http::body(&crate::http::get(address, "/api/status"))).unwrap();
    assert_eq!(told["status"], "degraded", "{told}");
    let screen = world.agentctl(&["status"]);
    assert!(String::from_utf8_lossy(&screen.stderr).contains("MiB left"), "{screen:?}");
    // It can be told to stop while it waits, and has touched nothing.
    assert_eq!(watcher.stop(), 0);
    assert_eq!(fs::read(world.root().join("tasks/marie/active/t.json")).unwrap(), before);

    let (watcher, address) = start(&world, "second");
    health(&world, address, "503");
    drop(filler);
    let task = soon(&world, "the task is resumed and filed", || {
        crate::world::json(&world.root().join("tasks/marie/completed/t.json"))
    });
    assert_eq!(
        (&task["result"], &task["retry_count"]),
        (&json!("resumed"), &json!(1)),
        "one crash: {task:#}"
    );
    health(&world, address, "200");
    let state = sight::state(&world, "marie", |it| it["status"] == "running");
    assert_eq!(state["recovery_count"], 1, "the crash was counted once: {state}");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_root_that_was_never_laid_out_is_laid_out_when_there_is_room() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.root(), "size=32m,nr_inodes=200") else { return };
    let filler = disk.fill_inodes();
    let (watcher, address) = start(&world, "marie");
    assert!(health(&world, address, "503").contains("could not make"));
    drop(filler);
    soon(&world, "the folders are there", || world.root().join("tasks/marie/pending").exists().then_some(()));
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
    crate::ended_once(&world, "t");
    assert_eq!(watcher.stop(), 0);
}
