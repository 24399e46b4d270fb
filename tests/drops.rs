//! Drops by every hand: a task is taken when it is whole, once, and what is none is filed untouched.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "support/promises/mod.rs"]
mod promises;
#[path = "support/real.rs"]
mod real;
#[path = "support/sight.rs"]
mod sight;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use sight::{lives, names, place, reason, tasks};
use world::World;

/// Waits until the watcher has turned `n` more times.
fn beats(world: &World, n: u64) {
    let path = world.root().join("workers/marie/heartbeat.json");
    let seq = || world::json(&path).and_then(|beat| beat["seq"].as_u64());
    let now = world.until("the watcher beats", seq);
    world.until("the watcher beats on", || seq().filter(|seq| *seq >= now + n));
}

#[test]
fn a_task_may_be_dropped_by_any_tool() {
    for tool in ["rsync", "vim.tiny"] {
        if real::program(tool).is_none() {
            return;
        }
    }
    let world = World::new();
    let _watcher = world.up("marie");
    promises::drops::by_every_hand(&world);
}

#[test]
fn a_slow_writer_is_waited_for() {
    let world = World::new();
    let _watcher = world.up("marie");
    let path = place(&world, "marie/pending").join("slow.json");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"{\"prompt\": \"fake: succ").unwrap();
    file.flush().unwrap();
    beats(&world, 2);
    assert_eq!(world.homes("slow"), ["marie/pending"], "half a file is nobody's");
    file.write_all(b"eed text=whole\"}").unwrap();
    drop(file);
    assert_eq!(world.filed("marie/completed", "slow")["result"], "whole");
}

#[test]
fn names_of_tools_at_work_are_no_tasks() {
    let world = World::new();
    let leave = [".x.json.swp", "x.json~", "x.tmp", "x.json.tmp", "x.json.part", ".x.json", "README.md"];
    let _watcher = world.up("marie");
    for name in leave {
        fs::write(place(&world, "marie/pending").join(name), r#"{"prompt":"no"}"#).unwrap();
        fs::write(place(&world, "").join(name), "{ half").unwrap();
    }
    world.submit("marie/pending", "after", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "after");
    beats(&world, 6);
    for name in leave {
        assert!(place(&world, "marie/pending").join(name).exists(), "{name}");
        assert!(place(&world, "").join(name).exists(), "{name}");
    }
    assert_eq!(world.agent_log().iter().filter(|line| line["event"] == "start").count(), 1);
}

#[test]
fn what_is_no_json_has_ten_seconds_and_is_then_filed_as_it_is() {
    let world = World::new();
    let _watcher = world.up("marie");
    let garbage = b"{\"prompt\": \"x\", \xff\x00 oops".to_vec();
    let dropped = Instant::now();
    fs::write(place(&world, "").join("bad.json"), &garbage).unwrap();
    fs::write(place(&world, "marie/pending").join("empty.json"), "").unwrap();
    let failed = place(&world, "marie/failed");
    world.within("marie", 20, "both are filed", || (tasks(&world, "marie/failed").len() == 2).then_some(()));
    assert!(dropped.elapsed() >= Duration::from_millis(9900), "after {:?}", dropped.elapsed());
    let why = reason(&world, "marie", "bad");
    assert_eq!(why["error_code"], "E002", "{why}");
    assert_eq!(fs::read(failed.join("bad.json")).unwrap(), garbage);
    assert_eq!(fs::read(failed.join("empty.json")).unwrap(), b"");
    assert_eq!(world.homes("bad"), ["marie/failed"]);
}

#[test]
fn what_is_json_and_no_task_is_filed_at_once() {
    let world = World::new();
    let _watcher = world.up("marie");
    let wrong = [
        ("list", "[1, 2]"),
        ("nothing", "{}"),
        ("prompt", r#"{"prompt": 5}"#),
        ("priority", r#"{"prompt": "x", "priority": "high"}"#),
        ("moment", r#"{"prompt": "x", "not_before": "tomorrow"}"#),
        ("timeout", r#"{"prompt": "x", "timeout_s": -1}"#),
        ("id", r#"{"prompt": "x", "id": "../../etc/passwd"}"#),
    ];
    for (name, content) in wrong {
        let temp = world.path().join("drop");
        fs::write(&temp, content).unwrap();
        fs::rename(temp, place(&world, "").join(format!("{name}.json"))).unwrap();
    }
    let all = || tasks(&world, "marie/failed").len();
    world.within("marie", 8, "they are filed", || (all() == wrong.len()).then_some(()));
    for (name, content) in wrong {
        let why = reason(&world, "marie", name);
        assert_eq!(why["error_code"], "E002", "{name}: {why}");
        let filed = fs::read_to_string(place(&world, &format!("marie/failed/{name}.json"))).unwrap();
        assert_eq!(filed, content);
    }
    assert!(world.agent_log().is_empty());
}

#[test]
fn a_burst_is_run_once_each() {
    const BURST: usize = 500;
    let world = World::new();
    let mut command = world.watcher("marie");
    // The built-in agent costs less than the stand-in; its streams tell how often each was run.
    command.args(["--agent", "echo", "--durability", "none", "--concurrency", "8"]);
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    for n in 0..BURST {
        let dir = if n % 2 == 0 { "" } else { "marie/pending" };
        world.submit(dir, &format!("t{n}"), &json!({"prompt": format!("say {n}")}));
    }
    world.until_all(BURST, "are filed", || tasks(&world, "marie/completed").len());
    let mut claimed: Vec<_> = sight::journal(&world, "marie")
        .into_iter()
        .filter(|line| line["event"] == "claimed")
        .map(|line| line["task"].as_str().unwrap().to_owned())
        .collect();
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), BURST);
    assert_eq!(names(&world.root().join("artifacts")).len(), BURST, "one life each");
    for run in names(&world.root().join("artifacts")) {
        let again = world.root().join("artifacts").join(&run).join("attempt-2");
        let history = || fs::read_to_string(again.with_file_name("history.ndjson")).unwrap_or_default();
        assert!(!again.exists(), "{run} was run twice:\n{}", history());
    }
    assert!(lives(watcher.pid()));
}

#[test]
fn what_was_dropped_while_nobody_watched_is_taken_at_the_start() {
    let world = World::new();
    assert_eq!(world.up("marie").stop(), 0);
    world.submit("", "a", &json!({"prompt": "fake: succeed"}));
    world.submit("marie/pending", "b", &json!({"prompt": "fake: succeed"}));
    world.submit("marie/staged", "c", &json!({"prompt": "fake: succeed"}));
    let _watcher = world.up("marie");
    for name in ["a", "b", "c"] {
        world.filed("marie/completed", name);
    }
}

#[test]
fn a_folder_that_was_replaced_is_still_watched() {
    let world = World::new();
    let _watcher = world.up("marie");
    let pending = place(&world, "marie/pending");
    fs::remove_dir(&pending).unwrap();
    fs::create_dir_all(&pending).unwrap();
    world.submit("marie/pending", "new-folder", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "new-folder");
    fs::remove_dir(&pending).unwrap();
    world.until("a missing folder is made again", || pending.is_dir().then_some(()));
}

#[test]
fn a_drop_during_a_standstill_is_found_afterwards() {
    let world = World::new();
    let watcher = world.up("marie");
    watcher.signal(Signal::SIGSTOP);
    for n in 0..50 {
        world.submit("", &format!("s{n}"), &json!({"prompt": "fake: succeed"}));
    }
    watcher.signal(Signal::SIGCONT);
    world.until_all(50, "are filed", || tasks(&world, "marie/completed").len());
}

#[test]
fn what_cannot_be_filed_is_not_tried_without_a_pause() {
    let world = World::new();
    let _watcher = world.up("marie");
    let failed = place(&world, "marie/failed");
    fs::remove_dir(&failed).unwrap();
    fs::write(&failed, "in the way").unwrap();
    fs::write(place(&world, "marie/pending").join("list.json"), "[]").unwrap();
    let tries = || sight::logged(&world, "marie", "could not move what is no task").len();
    world.until("it was tried", || (tries() > 0).then_some(()));
    beats(&world, 3);
    // A look for each of its writer's events, and one at everything.
    assert!(tries() <= 6, "tried {} times in three seconds", tries());
    fs::remove_file(&failed).unwrap();
    fs::create_dir(&failed).unwrap();
    reason(&world, "marie", "list");
}

#[test]
fn a_drop_whose_name_stands_in_active_for_nobody_brings_that_home_first() {
    let world = World::new();
    let mut command = world.watcher("marie");
    let watcher = world.start(command.env("RUST_LOG", "debug").args(["--debug"]), "marie");
    world.at_work("marie", &watcher);
    let task = |text: &str| json!({"prompt": format!("fake: succeed text={text}")}).to_string();
    fs::write(place(&world, "marie/active").join("x.json"), task("by-hand")).unwrap();
    world.submit("marie/pending", "x", &json!({"prompt": "fake: succeed text=dropped"}));
    let both = world.until("both are filed", || {
        let done = tasks(&world, "marie/completed");
        (done.len() == 2).then_some(done)
    });
    assert_eq!(both, ["x.json", "x~2.json"]);
    let vain = sight::logged(&world, "marie", "not claimed").len();
    assert!(vain <= 3, "claimed {vain} times in vain");
}
