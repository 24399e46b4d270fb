//! What is written for others: heartbeat, state, journal, results, lock files.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "support/sight.rs"]
mod sight;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use sight::{agent, journal, place, state};
use world::World;

fn heartbeat(world: &World) -> PathBuf {
    world.root().join("workers/marie/heartbeat.json")
}

fn is_held(path: &Path) -> bool {
    let Ok(file) = fs::File::open(path) else { return false };
    fs2::FileExt::try_lock_shared(&file).is_err()
}

#[test]
fn the_heart_beats() {
    let world = World::new();
    let watcher = world.up("marie");
    let first = world::json(&heartbeat(&world)).unwrap();
    let keys: Vec<_> = first.as_object().unwrap().keys().cloned().collect();
    for key in ["worker", "pid", "boot_id", "boottime_ns", "seq", "timestamp", "status", "active_tasks"] {
        assert!(keys.iter().any(|it| it == key), "{key} in {first}");
    }
    assert_eq!((&first["worker"], &first["pid"]), (&json!("marie"), &json!(watcher.pid())));
    let began = Instant::now();
    let later = world.until("three beats more", || {
        world::json(&heartbeat(&world))
            .filter(|it| it["seq"].as_u64() >= first["seq"].as_u64().map(|seq| seq + 3))
    });
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(later["boottime_ns"].as_u64() > first["boottime_ns"].as_u64());
    assert_eq!(later["status"], "running");
    world.submit("", "t", &json!({"prompt": "fake: hang"}));
    world.until("it counts", || world::json(&heartbeat(&world)).filter(|it| it["active_tasks"] == 1));
}

/// Whoever looks sees a count that never decreases, also while one watcher follows another.
#[test]
fn the_count_of_heartbeats_goes_on_through_a_restart() {
    let world = World::new();
    let first = world.up("marie");
    let seq = || world::json(&heartbeat(&world))?["seq"].as_u64();
    world.until("some beats", || seq().filter(|it| *it >= 3));
    first.stop();
    let last = seq().unwrap();
    let second = world.up("marie");
    let beat = world
        .until("its beat", || world::json(&heartbeat(&world)).filter(|it| it["pid"] == json!(second.pid())));
    assert!(beat["seq"].as_u64() > Some(last), "{last}, then {beat}");
}

/// The state of marie, once her watcher has beaten twice without writing it anew: what is written by others while it
/// writes is lost.
fn settled(world: &World) -> Value {
    let beat = || world::json(&heartbeat(world))?["seq"].as_u64();
    let mut quiet: Option<(Value, u64)> = None;
    world.until("the state is as it stays", || {
        let (now, seq) = (world::json(&world.root().join("workers/marie/state.json"))?, beat()?);
        match &quiet {
            Some((then, since)) if *then == now => (seq > since + 2).then_some(now),
            _ => {
                quiet = Some((now, seq));
                None
            }
        }
    })
}

#[test]
fn state_keeps_what_others_wrote_and_survives_them() {
    let world = World::new();
    let _watcher = world.up("marie");
    let path = world.root().join("workers/marie/state.json");
    let mut mine = settled(&world);
    mine["oncall"] = json!("ada");
    fs::write(&path, mine.to_string()).unwrap();
    world.submit("", "a", &json!({"prompt": "fake: hang"}));
    let after = state(&world, "marie", |it| it["running"][0]["task"] == "a");
    assert_eq!(after["oncall"], "ada");
    settled(&world);
    // As a runbook does it.
    fs::write(&path, r#"{"status":"recovering","last_crash":1.5,"recovery_count":4}"#).unwrap();
    let after = state(&world, "marie", |it| it["status"] == "running");
    assert_eq!((&after["recovery_count"], &after["last_crash"]), (&json!(4), &json!(1.5)), "{after}");
    // As an editor does it that is slow: what it has not written yet is not taken for what it says.
    settled(&world);
    fs::write(&path, "").unwrap();
    let seq = || world::json(&heartbeat(&world))?["seq"].as_u64();
    let began = seq();
    world.until("a beat", || (seq() != began).then_some(()));
    fs::write(&path, r#"{"recovery_count":5}"#).unwrap();
    let after = state(&world, "marie", |it| it["status"] == "running");
    assert_eq!(after["recovery_count"], 5, "{after}");
    fs::write(&path, "garbage").unwrap();
    state(&world, "marie", |it| it["status"] == "running");
    fs::remove_file(&path).unwrap();
    state(&world, "marie", |it| it["status"] == "running" && it["running"][0]["task"] == "a");
}

#[test]
fn every_change_is_in_the_journal_and_in_the_history() {
    let world = World::new();
    let _watcher = world.up("marie");
    let task = json!({"prompt": "fake: fail error | succeed text=ok", "correlation_id": "c-1"});
    world.submit("", "t", &task);
    let filed = world.filed("marie/completed", "t");
    let run = filed["run_id"].as_str().unwrap();
    let lines = world.until("the end is noted", || {
        let lines: Vec<_> = journal(&world, "marie").into_iter().filter(|it| it["task"] == "t").collect();
        (lines.last()?["event"] == "concluded").then_some(lines)
    });
    let events: Vec<_> = lines.iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["claimed", "started", "requeued", "claimed", "resumed", "concluded"]);
    assert!(lines.iter().all(|it| it["run_id"] == run && it["correlation_id"] == "c-1"), "{lines:?}");
    assert_eq!(lines[2]["charged"], true);
    let history = fs::read_to_string(world.root().join(format!("artifacts/{run}/history.ndjson"))).unwrap();
    let history: Vec<Value> = history.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(history, lines, "the same lines");
    let result = world::json(&world.root().join(format!("artifacts/{run}/result.json"))).unwrap();
    for key in [
        "run_id",
        "task",
        "worker",
        "state",
        "error_code",
        "failure_reason",
        "attempts",
        "cost_usd",
        "tokens",
        "started_at",
        "ended_at",
    ] {
        assert!(result.get(key).is_some(), "{key} in {result}");
    }
    assert_eq!(
        (&result["state"], &result["worker"], &result["task"]),
        (&json!("COMPLETED"), &json!("marie"), &json!("t"))
    );
    assert!(
        (result["cost_usd"].as_f64().unwrap() - 0.01).abs() < 1e-9,
        "{result}: a failed turn costs nothing in the stand-in"
    );
}

#[test]
fn a_long_answer_is_whole_in_its_file_and_cut_at_a_character() {
    let world = World::new();
    let _watcher = world.up("marie");
    let answer = "ä€🎉".repeat(2000);
    world.submit("", "t", &json!({"prompt": format!("fake: succeed text={answer}")}));
    let task = world.filed("marie/completed", "t");
    let result = task["result"].as_str().unwrap();
    assert!(result.len() <= 4096 && result.len() > 4000, "{}", result.len());
    assert!(answer.starts_with(result.trim_end_matches('…')));
    let output = fs::read_to_string(world.root().join(task["output"].as_str().unwrap())).unwrap();
    assert_eq!(output.trim_end(), answer);
}

#[test]
fn lock_files_mirror_what_is_held() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: hang"}));
    agent(&world, "t");
    let locks = [world.root().join("locks/marie_watcher.lock"), world.root().join("locks/marie_task_t.lock")];
    for lock in &locks {
        world.until("the lock is there and held", || is_held(lock).then_some(()));
        fs::remove_file(lock).unwrap();
        world.within("marie", 2, "it is made again", || is_held(lock).then_some(()));
    }
    assert!(is_held(&world.root().join("workers/marie")), "the fact is the folder");
    assert_eq!(watcher.stop(), 0);
    assert_eq!(sight::names(&world.root().join("locks")), Vec::<String>::new());
    assert!(!is_held(&world.root().join("workers/marie")));
}

#[test]
fn the_lock_of_a_task_goes_with_its_run() {
    let world = World::new();
    let _watcher = world.up("marie");
    let gate = world.path().join("gate");
    world.submit("", "t", &json!({"prompt": format!("fake: gate={}; succeed", gate.display())}));
    let lock = world.root().join("locks/marie_task_t.lock");
    world.until("the lock is held", || is_held(&lock).then_some(()));
    fs::write(gate, "").unwrap();
    world.filed("marie/completed", "t");
    world.until("the lock is gone", || (!lock.exists()).then_some(()));
}

#[test]
fn a_requeued_file_keeps_its_age() {
    let world = World::new();
    let path = place(&world, "marie/pending/t.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, r#"{"prompt":"fake: hang"}"#).unwrap();
    let age = SystemTime::now() - Duration::from_hours(1);
    fs::File::options().write(true).open(&path).unwrap().set_modified(age).unwrap();
    let watcher = world.up("marie");
    agent(&world, "t");
    let fresh = fs::metadata(place(&world, "marie/active/t.json")).unwrap().modified().unwrap();
    assert!(fresh.elapsed().unwrap() < Duration::from_mins(1), "what is worked on is fresh");
    assert_eq!(watcher.stop(), 0);
    let kept = fs::metadata(&path).unwrap().modified().unwrap();
    let off = kept.duration_since(age).unwrap_or_else(|it| it.duration());
    assert!(off < Duration::from_millis(2), "{off:?}");
}

#[test]
fn nothing_is_readable_by_everybody() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("", "good", &json!({"prompt": "fake: succeed"}));
    world.submit("", "bad", &json!({"prompt": "fake: fail turns"}));
    world.filed("marie/completed", "good");
    world.filed("marie/failed", "bad");
    assert_eq!(watcher.stop(), 0);
    let mut dirs = vec![world.root()];
    let mut open = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            if meta.is_dir() {
                dirs.push(path);
            } else if meta.permissions().mode() & 0o007 != 0 {
                open.push(format!("{} {:o}", path.display(), meta.permissions().mode()));
            }
        }
    }
    assert_eq!(open, Vec::<String>::new());
}
