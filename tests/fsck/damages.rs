//! Each kind of damage, made by hand.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::world::{World, json as read_json};
use super::{edit, fsck, worked};

fn run_of(world: &World, path: &str) -> PathBuf {
    let task = read_json(&world.root().join(path)).unwrap();
    world.root().join("artifacts").join(task["run_id"].as_str().unwrap())
}

const GOOD: &str = "tasks/marie/completed/good.json";

/// Makes one damage, sees exactly it, mends it, and sees nothing.
fn one(severity: &str, damage: &str, make: impl FnOnce(&World)) -> World {
    let world = worked();
    let clean = fsck(&world, &[]);
    assert_eq!((clean.code, clean.found()), (0, vec![]), "{:#}", clean.json);
    make(&world);
    let seen = fsck(&world, &[]);
    let expected = vec![(severity.to_owned(), damage.to_owned())];
    assert_eq!(seen.found(), expected, "{:#}", seen.json);
    let code = if severity == "broken" { 1 } else { 65 };
    assert_eq!(seen.code, code, "{}", seen.err);
    assert_eq!(fsck(&world, &["--dry-run"]).found(), expected, "to look changes nothing");
    let mended = fsck(&world, &["--repair"]);
    if severity == "broken" {
        assert_eq!((mended.code, mended.found()), (0, vec![]), "{damage}: {:#}\n{}", mended.json, mended.err);
        assert!(!mended.json["repaired"].as_array().unwrap().is_empty());
    } else {
        assert_eq!((mended.code, mended.found()), (65, expected), "what only a person can decide stays");
    }
    world
}

#[test]
fn a_lost_result_is_written_again() {
    let world = one("broken", "no-result", |world| {
        fs::remove_file(run_of(world, GOOD).join("result.json")).unwrap();
    });
    let result = read_json(&run_of(&world, GOOD).join("result.json")).unwrap();
    assert_eq!(result["state"], "COMPLETED");
}

#[test]
fn a_result_that_says_otherwise_gives_way_to_the_task() {
    one("broken", "other-result", |world| {
        let result = run_of(world, GOOD).join("result.json");
        edit(world, result.to_str().unwrap(), |it| it["state"] = "FAILED".into());
    });
}

#[test]
fn a_lost_reason_is_written_again() {
    let world = one("broken", "no-reason", |world| {
        fs::remove_file(world.root().join("tasks/marie/failed/bad.json.reason")).unwrap();
    });
    let reason = read_json(&world.root().join("tasks/marie/failed/bad.json.reason")).unwrap();
    assert_eq!(reason["error_code"], "E001", "{reason:#}");
}

#[test]
fn a_reason_without_its_file_goes() {
    one("broken", "reason-alone", |world| {
        fs::write(world.root().join("tasks/marie/failed/gone.json.reason"), "{}").unwrap();
    });
}

#[test]
fn a_task_that_lies_where_its_outcome_does_not_belong_goes_home() {
    let world = one("broken", "wrong-folder", |world| {
        let tasks = world.root().join("tasks/marie");
        fs::rename(tasks.join("completed/good.json"), tasks.join("cancelled/good.json")).unwrap();
    });
    assert_eq!(world.homes("good"), ["marie/completed"]);
}

#[test]
fn a_task_that_was_filed_without_an_outcome_is_a_persons() {
    one("damaged", "no-outcome", |world| edit(world, GOOD, |it| it["state"] = "RUNNING".into()));
}

#[test]
fn a_task_that_cannot_be_read_any_more_is_a_persons() {
    one("damaged", "unreadable", |world| fs::write(world.root().join(GOOD), "{\"prom").unwrap());
}

#[test]
fn a_second_name_in_a_queue_goes_and_the_filed_one_stays() {
    let world = one("broken", "two-homes", |world| {
        fs::hard_link(world.root().join(GOOD), world.root().join("tasks/marie/pending/good.json")).unwrap();
    });
    assert_eq!(world.homes("good"), ["marie/completed"]);
}

#[test]
fn two_ends_of_one_run_are_a_persons() {
    one("damaged", "two-homes", |world| {
        fs::copy(world.root().join(GOOD), world.root().join("tasks/marie/completed/good~2.json")).unwrap();
    });
}

#[test]
fn what_was_left_in_staged_goes_back_to_pending() {
    let world =
        one("broken", "staged-left", |world| world.submit("marie/staged", "x", &json!({"prompt": "x"})));
    assert_eq!(world.homes("x"), ["marie/pending"]);
}

#[test]
fn what_a_cut_write_left_goes() {
    one("broken", "temp-left", |world| {
        fs::write(world.root().join("tasks/marie/completed/.x.json.1.0.tmp"), "{").unwrap();
    });
}

#[test]
fn a_lock_file_that_nobody_holds_goes() {
    one("broken", "free-lock", |world| {
        fs::write(world.root().join("locks/marie_task_x.lock"), "").unwrap();
    });
}

#[test]
fn a_task_that_no_journal_tells_of_is_told() {
    let world = one("broken", "untold", |world| {
        for day in fs::read_dir(world.root().join("workers/marie/journal")).unwrap().flatten() {
            let text = fs::read_to_string(day.path()).unwrap();
            let is_other = |line: &&str| {
                let line: Value = serde_json::from_str(line).unwrap();
                line["task"] != "good" || line["event"] != "concluded"
            };
            let kept: String = text.lines().filter(is_other).flat_map(|line| [line, "\n"]).collect();
            fs::write(day.path(), kept).unwrap();
        }
    });
    let history = fs::read_to_string(run_of(&world, GOOD).join("history.ndjson")).unwrap();
    assert!(history.contains("concluded"));
}

#[test]
fn a_file_of_ours_that_all_may_write_is_closed() {
    let world = one("broken", "open-to-all", |world| {
        fs::set_permissions(world.root().join(GOOD), fs::Permissions::from_mode(0o666)).unwrap();
    });
    assert_eq!(fs::metadata(world.root().join(GOOD)).unwrap().permissions().mode() & 0o7777, 0o664);
}

#[test]
fn a_folder_that_is_a_link_is_a_persons() {
    one("damaged", "shape", |world| {
        let cancelled = world.root().join("tasks/marie/cancelled");
        fs::rename(&cancelled, world.root().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(world.root().join("elsewhere"), cancelled).unwrap();
    });
}

#[test]
fn what_a_killed_watcher_left_is_only_noted_and_its_start_puts_it_right() {
    let world = World::new();
    let watcher = world.up("marie");
    let gate = world.path().join("gate");
    world.submit("marie/pending", "x", &json!({"prompt": format!("fake: gate={};", gate.display())}));
    world.active("marie", "x", |task| task["state"] == "RUNNING");
    watcher.murder();
    let said = fsck(&world, &[]);
    assert_eq!(said.code, 1, "its lock files are left: {:#}", said.json);
    let kinds: Vec<String> = said.found().into_iter().map(|it| it.1).collect();
    assert!(
        kinds.contains(&"unrecovered".to_owned())
            && kinds.iter().all(|it| it == "unrecovered" || it == "free-lock"),
        "{kinds:?}"
    );
    fs::write(gate, "").unwrap();
    let watcher = world.up("marie");
    world.filed("marie/completed", "x");
    assert_eq!(watcher.stop(), 0);
    let said = fsck(&world, &[]);
    assert_eq!(said.code, 0, "{:#}", said.json);
}

#[test]
fn nothing_that_needs_its_lock_is_mended_while_a_watcher_lives() {
    let world = worked();
    fs::remove_file(world.root().join("tasks/marie/failed/bad.json.reason")).unwrap();
    fs::write(world.root().join("locks/marie_task_x.lock"), "").unwrap();
    let watcher = world.up("marie");
    let mended = fsck(&world, &["--repair"]);
    assert_eq!(mended.code, 1, "{:#}", mended.json);
    assert_eq!(
        mended.found(),
        [("broken".to_owned(), "no-reason".to_owned())],
        "the lock file is safe to remove"
    );
    assert!(mended.err.contains("marie is held by its watcher"), "{}", mended.err);
    assert_eq!(watcher.stop(), 0);
    assert_eq!(fsck(&world, &["--repair"]).code, 0);
}
