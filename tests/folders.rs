//! The ground a worker stands on: folders that are taken away, replaced and closed while it works, and roots on which
//! it must not begin.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "folders/begin.rs"]
mod begin;
#[path = "support/http.rs"]
mod http;
#[path = "folders/many.rs"]
mod many;
#[path = "support/real.rs"]
mod real;
#[path = "support/sight.rs"]
mod sight;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sight::{agent, events, lives, logged, names, place, state, tasks};
use world::{Started, World};

/// Waits until the worker says why it claims nothing, and what to do.
fn held_for(world: &World, reason: &str) -> Value {
    let found =
        state(world, "marie", |it| it["hold"]["reason"].as_str().is_some_and(|it| it.contains(reason)));
    assert_eq!(found["status"], "degraded");
    found["hold"].clone()
}

/// Waits until the worker holds for nothing.
fn released(world: &World) {
    state(world, "marie", |it| it["hold"].is_null() && it["status"] == "running");
}

fn beats(world: &World, n: u64) {
    let path = world.root().join("workers/marie/heartbeat.json");
    let seq = || world::json(&path).and_then(|beat| beat["seq"].as_u64());
    let now = world.until("the watcher beats", seq);
    world.until("the watcher beats on", || seq().filter(|seq| *seq >= now + n));
}

/// What a folder leads to when it is one of the worker's.
fn folder(world: &World, name: &str) -> PathBuf {
    world.root().join(name)
}

/// Gives each the other's name, in one instant: a folder that is missing for a moment is made again.
fn swap(one: &Path, other: &Path) {
    let here = nix::fcntl::AT_FDCWD;
    nix::fcntl::renameat2(here, one, here, other, nix::fcntl::RenameFlags::RENAME_EXCHANGE).unwrap();
}

/// Runs a task to its end: the worker works.
fn works(world: &World, name: &str) {
    world.submit("marie/pending", name, &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", name);
    assert_eq!(events(world, "start", name).len(), 1, "{name}");
}

const DISTURBED: [&str; 6] = [
    "tasks/marie/pending",
    "tasks/marie/active",
    "tasks/marie/staged",
    "tasks",
    "artifacts",
    "tasks/marie/completed",
];

#[test]
fn nothing_is_taken_through_a_link_and_the_work_goes_on_when_the_folder_is_back() {
    let world = World::new();
    let watcher = world.up("marie");
    let other = world.path().join("elsewhere");
    fs::create_dir_all(other.join("marie/pending")).unwrap();
    fs::write(other.join("bait.json"), r#"{"prompt": "fake: succeed"}"#).unwrap();
    for (n, name) in DISTURBED.iter().enumerate() {
        let (here, aside) = (folder(&world, name), world.path().join("aside"));
        symlink(&other, &aside).unwrap();
        swap(&here, &aside);
        let hold = held_for(&world, "symbolic link");
        assert!(hold["reason"].as_str().unwrap().contains(here.to_str().unwrap()), "{hold}");
        assert!(hold["remedy"].as_str().unwrap().contains("remove the link"), "{hold}");
        beats(&world, 2);
        assert!(other.join("bait.json").exists(), "taken through {name}");
        swap(&here, &aside);
        fs::remove_file(&aside).unwrap();
        released(&world);
        works(&world, &format!("t{n}"));
    }
    assert!(events(&world, "start", "bait").is_empty());
    assert_eq!(names(&other), ["bait.json", "marie"], "nothing was put through a link either");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_file_in_a_folders_place_is_said_and_the_folder_is_made_anew_when_it_is_gone() {
    let world = World::new();
    let watcher = world.up("marie");
    for (n, name) in ["tasks/marie/pending", "tasks/marie/active", "artifacts"].iter().enumerate() {
        let here = folder(&world, name);
        let aside = world.path().join(format!("aside{n}"));
        fs::write(&aside, "in the way").unwrap();
        swap(&here, &aside);
        let hold = held_for(&world, "is not a folder");
        assert!(hold["remedy"].as_str().unwrap().contains("mv "), "{hold}");
        fs::remove_file(&here).unwrap();
        released(&world);
        assert!(here.is_dir());
        works(&world, &format!("t{n}"));
    }
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_folder_that_is_closed_holds_the_work_quietly_until_it_is_opened() {
    let world = World::unprivileged();
    let mut command = world.served("marie", "127.0.0.1:0");
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    for (n, (name, drop)) in [
        ("tasks/marie/pending", ""),
        ("tasks/marie/active", "marie/pending"),
        ("tasks/marie/completed", ""),
        ("tasks", "marie/pending"),
        ("artifacts", ""),
    ]
    .iter()
    .enumerate()
    {
        let here = folder(&world, name);
        let mode = fs::metadata(&here).unwrap().permissions();
        fs::set_permissions(&here, fs::Permissions::from_mode(0o550)).unwrap();
        let hold = held_for(&world, "may not be read and written");
        assert!(hold["remedy"].as_str().unwrap().contains("chmod u+rwx"), "{hold}");
        assert_eq!(hold["error_code"], "E007");
        let health = http::get(world.address("marie"), "/health/queue");
        assert_eq!(http::code(&health), "503", "{health}");
        assert!(http::body(&health).contains("may not be read and written"), "{health}");
        let task = format!("t{n}");
        world.submit(drop, &task, &json!({"prompt": "fake: succeed"}));
        let lines = || logged(&world, "marie", "").len();
        let before = lines();
        beats(&world, 4);
        assert!(lines() - before <= 4, "{}", world.said());
        assert!(events(&world, "start", &task).is_empty());
        fs::set_permissions(&here, mode).unwrap();
        world.filed("marie/completed", &task);
        released(&world);
    }
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_folder_that_was_away_is_looked_into_when_it_is_back() {
    let world = World::new();
    let watcher = world.up("marie");
    for (n, name) in ["tasks/marie/pending", "tasks/marie/staged", "tasks/marie/active"].iter().enumerate() {
        let (here, away) = (folder(&world, name), world.path().join("away"));
        fs::rename(&here, &away).unwrap();
        world.until("it is made again", || here.is_dir().then_some(()));
        let task = format!("t{n}");
        fs::write(away.join(format!("{task}.json")), r#"{"prompt": "fake: succeed"}"#).unwrap();
        beats(&world, 2);
        assert!(events(&world, "start", &task).is_empty());
        fs::rename(&away, &here).unwrap();
        world.filed("marie/completed", &task);
        assert_eq!(events(&world, "start", &task).len(), 1);
    }
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn what_waited_in_a_folder_that_another_has_taken_the_place_of_keeps_nobody_waiting() {
    let world = World::new();
    let watcher = world.up("marie");
    let (here, other) = (folder(&world, "tasks/marie/pending"), world.path().join("other"));
    fs::create_dir(&other).unwrap();
    let later = json!({"prompt": "fake: succeed", "not_before": "2999-01-01T00:00:00Z"});
    world.submit("marie/pending", "x", &later);
    state(&world, "marie", |it| it["queues"]["pending"] == 1);
    // No event tells that it is gone.
    swap(&here, &other);
    world.submit("marie/pending", "x~2", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "x~2");
    state(&world, "marie", |it| it["queues"]["pending"] == 0);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_run_whose_folders_are_removed_under_it_is_filed_all_the_same() {
    let world = World::new();
    let watcher = world.up("marie");
    let gate = world.path().join("gate");
    let prompt = format!("fake: say text=at work; gate={}; succeed text=whole", gate.display());
    world.submit("marie/pending", "t", &json!({ "prompt": prompt }));
    world.active("marie", "t", |task| task["attempts"][0]["pid"].is_number());
    for name in ["tasks/marie/active", "artifacts", "tasks/marie/completed"] {
        // It is made again while it is removed.
        world.until("it is removed", || fs::remove_dir_all(folder(&world, name)).ok());
    }
    world.active("marie", "t", |task| task["state"] == "RUNNING");
    fs::write(&gate, "").unwrap();
    assert_eq!(world.filed("marie/completed", "t")["result"], "whole");
    assert_eq!(world.homes("t"), ["marie/completed"]);
    assert_eq!(events(&world, "start", "t").len(), 1);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_mount_over_a_folder_is_said_and_holds_until_it_is_gone() {
    let world = World::new();
    let Some(mut command) = begin::in_a_namespace(&world, "", &world.watcher("marie")) else { return };
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    let pending = place(&world, "marie/pending");
    let inside = |command: &str| {
        let pid = watcher.pid().to_string();
        let done = Command::new("nsenter").args(["-m", "-t", &pid, "sh", "-ec", command]).status().unwrap();
        assert!(done.success(), "{command}");
    };
    inside(&format!("mount -t tmpfs tmpfs {}", pending.display()));
    let hold = held_for(&world, "another mount");
    assert!(hold["remedy"].as_str().unwrap().contains("mount one file system at the root"), "{hold}");
    inside(&format!("umount -l {}", pending.display()));
    released(&world);
    works(&world, "t");
    assert_eq!(watcher.stop(), 0);
}

/// A watcher at work on one task that waits for a gate; its agent.
fn at_work(world: &World) -> (Started, PathBuf, i32) {
    let watcher = world.up("marie");
    let gate = world.path().join("gate");
    world.submit(
        "marie/pending",
        "t",
        &json!({"prompt": format!("fake: say text=at work; gate={}; succeed text=done", gate.display())}),
    );
    let agent = agent(world, "t");
    world.active("marie", "t", |task| task["attempts"][0]["pid"] == agent);
    (watcher, gate, agent)
}

#[test]
fn a_watcher_whose_lock_is_lost_leaves_its_agent_to_the_next_one() {
    for how in ["replaced", "link", "gone"] {
        let world = World::new();
        let (first, gate, agent) = at_work(&world);
        let (here, aside) = (folder(&world, "workers/marie"), folder(&world, "workers/aside"));
        let before = fs::read(here.join("state.json")).unwrap();
        fs::rename(&here, &aside).unwrap();
        match how {
            "replaced" => fs::create_dir(&here).unwrap(),
            "link" => symlink(&aside, &here).unwrap(),
            _ => {}
        }
        world.submit("marie/pending", "next", &json!({"prompt": "fake: succeed"}));
        assert_eq!(first.ended(), 69, "{how}: {}", world.said());
        assert!(lives(agent), "{how}");
        assert_eq!(world.homes("t"), ["marie/active"], "{how}");
        assert_eq!(world.homes("next"), ["marie/pending"], "{how}");
        assert!(!here.join("heartbeat.json").exists() || how == "link", "{how}: nothing is written there");
        assert_eq!(
            fs::read(aside.join("state.json")).unwrap(),
            before,
            "{how}: and it does not say that it stopped"
        );
        fs::remove_file(&here).ok();
        let second = world.up("marie");
        fs::write(&gate, "").unwrap();
        assert_eq!(world.filed("marie/completed", "t")["result"], "done");
        world.filed("marie/completed", "next");
        for task in ["t", "next"] {
            assert_eq!(events(&world, "start", task).len(), 1, "{how} {task}");
        }
        assert_eq!(second.stop(), 0);
    }
}

#[test]
fn a_lock_folder_that_is_back_at_once_loses_nothing() {
    let world = World::new();
    let (watcher, gate, _) = at_work(&world);
    let (here, aside) = (folder(&world, "workers/marie"), folder(&world, "workers/aside"));
    fs::rename(&here, &aside).unwrap();
    world.until("it is noticed", || (!logged(&world, "marie", "moved or replaced").is_empty()).then_some(()));
    fs::rename(&aside, &here).unwrap();
    fs::write(&gate, "").unwrap();
    world.filed("marie/completed", "t");
    works(&world, "next");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn while_somebody_else_has_the_folder_nothing_is_filed_by_the_one_who_lost_it() {
    let world = World::new();
    let (first, gate, agent) = at_work(&world);
    // It does not notice by itself: it stands still.
    first.signal(Signal::SIGSTOP);
    fs::rename(folder(&world, "workers/marie"), folder(&world, "workers/aside")).unwrap();
    let second = world.up("marie");
    world.until("it is adopted", || logged(&world, "marie", "adopted a living agent").first().map(drop));
    fs::write(&gate, "").unwrap();
    world.filed("marie/completed", "t");
    first.signal(Signal::SIGCONT);
    assert_eq!(first.ended(), 69);
    assert_eq!(tasks(&world, "marie/completed"), ["t.json"], "{}", world.said());
    assert_eq!(events(&world, "start", "t").len(), 1);
    assert!(world::until(Duration::from_secs(10), || (!lives(agent)).then_some(())).is_some());
    assert_eq!(second.stop(), 0);
}

#[test]
fn what_cannot_be_filed_for_a_while_is_noted_once() {
    let world = World::new();
    let watcher = world.start(&mut world.watcher("marie"), "marie");
    let gate = world.path().join("gate");
    let script = format!("fake: gate={}; succeed text=done", gate.display());
    world.submit("marie/pending", "t", &json!({"prompt": script}));
    agent(&world, "t");
    let (place, away) = (place(&world, "marie/completed"), world.path().join("away"));
    fs::rename(&place, &away).unwrap();
    fs::write(&place, "").unwrap();
    fs::write(gate, "").unwrap();
    let tries = || logged(&world, "marie", "outcome is kept in memory").len();
    world.until("it was tried more than once", || (tries() > 1).then_some(()));
    fs::remove_file(&place).unwrap();
    fs::rename(&away, &place).unwrap();
    assert_eq!(world.filed("marie/completed", "t")["result"], "done");
    assert_eq!(watcher.stop(), 0);
    let ends: Vec<_> =
        sight::journal(&world, "marie").into_iter().filter(|line| line["event"] == "concluded").collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
}
