//! Without a watcher: on the files, under the worker's lock, and said so.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::tree::{Said, agentctl, done, everything, fail, journal, laid_out};
use crate::world::{World, json as read};

fn task(world: &World, path: &str) -> Value {
    read(&world.root().join("tasks").join(path)).unwrap_or_default()
}

#[test]
fn what_waits_is_cancelled_wherever_it_waits() {
    let world = laid_out();
    for (dir, name) in [("", "in"), ("marie/pending", "pend"), ("marie/staged", "stage")] {
        world.submit(dir, name, &json!({"prompt": "x", "mine": [1]}));
        let said = done(&world, &format!("cancel {name} --reason unneeded"));
        assert!(said.err.contains("no watcher of marie lives: acting on the files"), "{said:?}");
        assert_eq!(world.homes(name), ["marie/cancelled"]);
        let filed = task(&world, &format!("marie/cancelled/{name}.json"));
        assert_eq!((filed["state"].as_str(), &filed["mine"]), (Some("CANCELLED"), &json!([1])));
        assert!(filed["failure_reason"].as_str().unwrap().contains("unneeded"), "{filed}");
        let run = filed["run_id"].as_str().unwrap();
        let result = read(&world.root().join(format!("artifacts/{run}/result.json"))).unwrap();
        assert_eq!(result["state"], "CANCELLED");
    }
    let lines = journal(&world);
    assert_eq!(lines.len(), 3);
    assert!(
        lines.iter().all(|it| it["event"] == "concluded" && it["to"] == "CANCELLED" && it["id"].is_string())
    );
    assert!(!world.root().join("locks/marie_watcher.lock").exists(), "the mirror is taken away again");
    let twice = agentctl(&world, "cancel in");
    assert!(twice.code == 69 && twice.err.contains("it has ended already"), "{twice:?}");
}

#[test]
fn a_dry_run_changes_nothing() {
    let world = laid_out();
    world.submit("marie/pending", "waits", &json!({"prompt": "x"}));
    world.submit("marie/pending", "held", &json!({"prompt": "x", "held": {}}));
    world.submit("", "in", &json!({"prompt": "x"}));
    fail(&world, "bad", "E006");
    let before = everything(&world.root());
    for words in [
        "cancel waits",
        "cancel in",
        "hold waits",
        "release held",
        "retry bad",
        "retry --all",
        "edit waits",
        "pause marie",
        "resume marie",
        "drain marie",
    ] {
        let said = done(&world, &format!("{words} --dry-run"));
        assert!(said.out.contains("would "), "{words}: {said:?}");
        assert_eq!(everything(&world.root()), before, "{words}");
    }
    let rows: Value = serde_json::from_str(&done(&world, "cancel waits --dry-run --json").out).unwrap();
    assert_eq!(rows[0]["via"], "on the files, under the lock of marie");
    assert_eq!((&rows[0]["task"], &rows[0]["done"]), (&json!("marie/waits"), &json!(false)));
}

#[test]
fn a_held_task_is_not_taken_until_it_is_released() {
    let world = laid_out();
    world.submit("marie/pending", "x", &json!({"prompt": "fake: succeed"}));
    let age = fs::metadata(world.root().join("tasks/marie/pending/x.json")).unwrap().modified().unwrap();
    done(&world, "hold x --reason figures");
    assert_eq!(task(&world, "marie/pending/x.json")["held"]["reason"], "figures");
    let kept = fs::metadata(world.root().join("tasks/marie/pending/x.json")).unwrap().modified().unwrap();
    assert_eq!(kept, age, "it keeps its place");
    let _marie = world.up("marie");
    world.submit("marie/pending", "y", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "y");
    assert_eq!(world.homes("x"), ["marie/pending"], "the younger one went by");
    done(&world, "release x");
    let filed = world.filed("marie/completed", "x");
    assert!(filed.get("held").is_none(), "{filed}");
}

#[test]
fn what_failed_begins_a_new_life_and_nothing_else_does() {
    let world = laid_out();
    fail(&world, "x", "E006");
    world.submit("marie/pending", "waits", &json!({"prompt": "x"}));
    done(&world, "retry x");
    assert_eq!(world.homes("x"), ["marie/pending"]);
    let left = fs::read_dir(world.root().join("tasks/marie/failed")).unwrap().count();
    assert_eq!(left, 0, "the reason went with it");
    assert_eq!(journal(&world)[0]["event"], "retried");
    for (words, why) in [
        ("retry waits", "waits for its turn"),
        ("retry nobody", "no task"),
        ("release waits", "nobody holds it"),
    ] {
        let said = agentctl(&world, words);
        assert!([65, 69].contains(&said.code) && said.err.contains(why), "{words}: {said:?}");
    }
    let _marie = world.up("marie");
    let filed = world.filed("marie/completed", "x");
    assert_eq!(filed["retry_count"], 0);
}

#[test]
fn many_are_tried_again_by_a_filter_and_only_when_that_is_meant() {
    let world = laid_out();
    fail(&world, "a", "E006");
    fail(&world, "b", "E001");
    fail(&world, "c", "E006");
    let before = everything(&world.root());
    let asked = agentctl(&world, "retry --error-code E006");
    assert!(asked.code == 64 && asked.err.contains("--yes"), "{asked:?}");
    assert_eq!(everything(&world.root()), before);
    done(&world, "retry --error-code e006 --failed-since 1h --worker marie --yes");
    let homes = |name| world.homes(name).join(",");
    assert_eq!([homes("a"), homes("b"), homes("c")], ["marie/pending", "marie/failed", "marie/pending"]);
    done(&world, "retry --all --yes");
    assert_eq!(homes("b"), "marie/pending");
}

#[test]
fn a_worker_that_is_paused_while_it_is_away_takes_nothing_when_it_comes() {
    let world = laid_out();
    done(&world, "pause marie --reason deploying");
    let state = read(&world.root().join("workers/marie/state.json")).unwrap();
    assert_eq!(
        (&state["wanted"]["mode"], &state["wanted"]["reason"]),
        (&json!("pause"), &json!("deploying"))
    );
    let _marie = world.up("marie");
    world.submit("marie/pending", "x", &json!({"prompt": "fake: succeed"}));
    world.until("it says that it is paused", || {
        let state = read(&world.root().join("workers/marie/state.json"))?;
        (state["status"] == "paused" && state["queues"]["pending"] == 1).then_some(())
    });
    assert_eq!(world.homes("x"), ["marie/pending"]);
    done(&world, "resume marie");
    world.filed("marie/completed", "x");
    let drained = done(&world, "drain --dry-run");
    assert!(drained.out.contains("would drain through its watcher"), "{drained:?}");
}

#[test]
fn of_two_at_once_one_does_it() {
    let world = laid_out();
    for n in 0..3 {
        let name = format!("t{n}");
        world.submit("marie/pending", &name, &json!({"prompt": "x"}));
        let said: Vec<Said> = std::thread::scope(|scope| {
            let both: Vec<_> =
                (0..2).map(|_| scope.spawn(|| agentctl(&world, &format!("cancel {name}")))).collect();
            both.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let codes: Vec<i32> = said.iter().map(|it| it.code).collect();
        assert!(codes.contains(&0), "{said:?}");
        // The other one came late, or saw it on its way.
        assert!(codes.iter().all(|code| [0, 69, 75].contains(code)) && codes != [0, 0], "{said:?}");
        assert_eq!(world.homes(&name), ["marie/cancelled"]);
    }
}

/// An editor that does this to the file.
fn editor(world: &World, script: &str) -> String {
    let path = world.path().join("editor");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

pub(crate) fn edit(world: &World, task: &str, script: &str) -> Said {
    let mut command = world.command("agentctl");
    command.arg("--root").arg(world.root()).args(["edit", task]);
    command.env("EDITOR", editor(world, script)).env("TMPDIR", world.path()).output().unwrap().into()
}

#[test]
fn a_waiting_task_is_edited_and_a_wrong_text_changes_nothing() {
    let world = laid_out();
    world.submit("marie/pending", "x", &json!({"prompt": "old", "mine": 1}));
    let said = edit(&world, "x", r#"sed -i s/old/new/ "$1""#);
    assert_eq!(said.code, 0, "{said:?}");
    let edited = task(&world, "marie/pending/x.json");
    assert_eq!((&edited["prompt"], &edited["mine"]), (&json!("new"), &json!(1)));
    assert_eq!(edit(&world, "x", "true").err.lines().last(), Some("nothing was changed"));
    let before = everything(&world.root().join("tasks"));
    let wrong = edit(&world, "x", r#"echo '{"prompt":7}' > "$1""#);
    assert!(wrong.code == 65 && wrong.err.contains("`prompt`"), "{wrong:?}");
    let kept = wrong.err.lines().find_map(|line| line.strip_prefix("your text is kept: ")).unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), "{\"prompt\":7}\n");
    assert_eq!(edit(&world, "x", "exit 3").code, 69);
    assert_eq!(everything(&world.root().join("tasks")), before);
    let path = world.root().join("tasks/marie/pending/x.json");
    let moved = edit(
        &world,
        "x",
        &format!(r#"echo '{{"prompt":"mine"}}' > {}; sed -i s/new/late/ "$1""#, path.display()),
    );
    assert!(moved.code == 75 && moved.err.contains("moved on"), "{moved:?}");
    assert_eq!(task(&world, "marie/pending/x.json")["prompt"], "mine", "who was first stays");
}

#[test]
fn many_tasks_come_in_at_once_or_none() {
    let world = laid_out();
    let path = world.path().join("many.ndjson");
    fs::write(&path, "{\"prompt\":\"a\",\"id\":\"one\"}\n\n{\"prompt\":\"b\",\"id\":\"two\"}\n").unwrap();
    let said = done(&world, &format!("submit --file {} --pack default --priority 3", path.display()));
    assert_eq!(said.out, "one\ntwo\n");
    assert_eq!(task(&world, "two.json")["priority"], 3);
    fs::write(&path, "{\"prompt\":\"a\",\"id\":\"three\"}\n{\"prompt\":7}\n").unwrap();
    let wrong = agentctl(&world, &format!("submit --file {}", path.display()));
    assert!(wrong.code == 65 && wrong.err.contains("line 2"), "{wrong:?}");
    assert!(world.homes("three").is_empty());
}
