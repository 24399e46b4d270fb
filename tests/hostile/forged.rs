//! Files that claim to be what they are not: our own fields, written by somebody else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::drop_bytes;
use crate::sight::{events, place};
use crate::world::World;

const NOBODY_S: &str = "0193d1a0-0000-7000-8000-000000000001";
const SESSION: &str = "11111111-1111-4111-8111-111111111111";

fn open_attempt() -> Value {
    json!({"number": 1, "session_id": SESSION, "started_at": "2020-01-01T00:00:00Z", "pid": 1})
}

/// Every file of a run, with its content; the history may grow by what is true.
fn papers(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() {
                all.insert(entry.path().display().to_string(), fs::read(entry.path()).unwrap());
            }
        }
    }
    all
}

fn with(fields: &[(&str, Value)]) -> Value {
    let mut task = json!({"prompt": "fake: succeed text=mine"});
    for (name, value) in fields {
        task[*name] = value.clone();
    }
    task
}

#[test]
fn our_own_fields_in_a_drop_are_nothing() {
    let world = World::new();
    let _watcher = world.up("marie");
    let attempts: Vec<_> = (0..50_000).map(|_| open_attempt()).collect();
    let table = [
        ("count", vec![("retry_count", json!(1_000_000_000_000u64))]),
        ("later", vec![("retry_at", json!("2999-01-01T00:00:00Z")), ("run_id", json!(NOBODY_S))]),
        ("many", vec![("attempts", json!(attempts)), ("run_id", json!(NOBODY_S))]),
        (
            "ended",
            vec![("state", json!("COMPLETED")), ("result", json!("forged")), ("run_id", json!(NOBODY_S))],
        ),
        ("path", vec![("output", json!("/etc/shadow")), ("run_id", json!("../../../etc"))]),
        ("open", vec![("run_id", json!(NOBODY_S)), ("attempts", json!([open_attempt()]))]),
    ];
    for (name, fields) in &table {
        world.submit("", name, &with(fields));
    }
    for (name, _) in &table {
        let task = world.filed("marie/completed", name);
        assert_eq!(task["result"], "mine", "{task}");
        assert_ne!(task["run_id"], NOBODY_S);
        let run = task["run_id"].as_str().unwrap();
        assert_eq!(task["output"], format!("artifacts/{run}/output.txt"), "{task}");
        assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
        assert_ne!(task["attempts"][0]["session_id"], SESSION);
        assert_eq!(task["retry_count"], 0);
    }
    assert!(!world.root().join("artifacts").join(NOBODY_S).exists());
}

#[test]
fn a_copy_of_a_task_that_has_ended_begins_a_run_of_its_own_and_the_papers_of_the_first_stay() {
    let world = World::new();
    let _marie = world.up("marie");
    let _anga = world.up("anga");
    world.submit("marie/pending", "x", &json!({"prompt": "fake: succeed text=original"}));
    let original = world.filed("marie/completed", "x");
    let run = original["run_id"].as_str().unwrap().to_owned();
    let dir = world.root().join("artifacts").join(&run);
    world.until("its history is written", || {
        fs::read_to_string(dir.join("history.ndjson")).ok()?.contains("concluded").then_some(())
    });
    let before = papers(&dir);
    let mut forged = original.clone();
    forged["prompt"] = json!("fake: succeed text=forged");
    forged["state"] = json!("PENDING");
    let mut open = forged.clone();
    open["attempts"][0].as_object_mut().unwrap().remove("outcome");
    for (n, (dir, copy)) in
        [("marie/pending", &forged), ("marie/pending", &open), ("marie/staged", &open)].iter().enumerate()
    {
        world.submit(dir, "x", copy);
        let task = world.filed("marie/completed", &format!("x~{}", n + 2));
        assert_ne!(task["run_id"], run, "{task}");
        assert_eq!(task["result"], "forged");
    }
    world.submit("anga/pending", "x", &forged);
    assert_ne!(world.filed("anga/completed", "x")["run_id"], run);
    assert_eq!(papers(&dir), before);
    assert_eq!(world.filed("marie/completed", "x"), original);
}

#[test]
fn a_drop_that_names_a_run_under_another_file_is_a_task_of_its_own() {
    let world = World::new();
    let _watcher = world.up("marie");
    let gate = world.path().join("gate");
    world.submit("", "x", &json!({"prompt": format!("fake: gate={}; succeed text=first", gate.display())}));
    let living = world.active("marie", "x", |task| task["state"] == "RUNNING");
    let mut forged = living.clone();
    forged["prompt"] = json!("fake: succeed text=second");
    world.submit("marie/pending", "y", &forged);
    fs::write(gate, "").unwrap();
    let (first, second) = (world.filed("marie/completed", "x"), world.filed("marie/completed", "y"));
    assert_eq!((&first["result"], &second["result"]), (&json!("first"), &json!("second")));
    assert_ne!(first["run_id"], second["run_id"]);
    assert_ne!(first["attempts"][0]["session_id"], second["attempts"][0]["session_id"]);
    assert_eq!(events(&world, "start", "x").len(), 2, "each once, under one id, one after the other");
}

#[test]
fn a_link_to_somebody_else_s_secret_is_never_read_into_the_record() {
    let world = World::new();
    let _watcher = world.up("marie");
    let secret = world.path().join("secret.json");
    fs::write(&secret, r#"{"prompt": "fake: succeed text=secret"}"#).unwrap();
    std::os::unix::fs::symlink(&secret, place(&world, "marie/pending/x.json")).unwrap();
    super::safe_reason(&world, "marie", "x.json");
    drop_bytes(&world, "marie/pending", "good.json", br#"{"prompt": "fake: succeed"}"#);
    world.filed("marie/completed", "good");
    assert_eq!(crate::sight::names(&world.root().join("artifacts")).len(), 1);
}
