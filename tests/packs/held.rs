//! What is wrong with a pack holds its own tasks, is said, and passes when it is mended.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::world::World;
use crate::{barred, http, out, packs};

#[test]
fn a_pack_that_nobody_knows_is_e001_with_what_was_meant() {
    let world = World::new();
    world.pack("review", "");
    let _watcher = world.up("marie");
    world.submit("marie/pending", "t", &json!({"type": "reveiw", "prompt": "fake: succeed"}));
    let task = world.filed("marie/failed", "t");
    assert_eq!((&task["error_code"], &task["state"]), (&json!("E001"), &json!("FAILED")), "{task}");
    assert!(task["failure_reason"].as_str().unwrap().contains("did you mean `review`?"), "{task}");
}

#[test]
fn a_broken_edit_holds_its_own_tasks_and_no_others_and_they_go_on_when_it_is_mended() {
    let world = World::new();
    world.pack("a", "description = 'good'\n");
    let started = world.start(&mut world.served("marie", "127.0.0.1:0"), "marie");
    world.at_work("marie", &started);
    let address = world.address("marie");
    world.submit("marie/pending", "one", &json!({"type": "a", "prompt": "fake: succeed text=one"}));
    world.filed("marie/completed", "one");

    world.pack("a", "description = 'good'\nmodle = 'sonnet'\n");
    let state = barred(&world, &["a"]);
    world.submit("marie/pending", "two", &json!({"type": "a", "prompt": "fake: succeed text=two"}));
    world.submit("marie/pending", "other", &json!({"prompt": "fake: succeed text=other"}));
    world.filed("marie/completed", "other");
    assert_eq!(world.homes("two"), ["marie/pending"]);
    assert_eq!(state["status"], "running", "the worker works: {state}");
    let reason = state["packs"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("line 2, column 1") && reason.contains("did you mean `model`?"), "{reason}");

    let answer = http::get(address, "/health");
    let health: Value = serde_json::from_str(http::body(&answer)).unwrap();
    assert_eq!((http::code(&answer), &health["status"]), ("200", &json!("degraded")), "{health}");
    assert!(health["reasons"].to_string().contains("pack `a`"), "{health}");
    let (_, said, _) = out(&world.agentctl(&["status"]));
    assert!(said.contains("tasks of the pack `a` wait"), "{said}");
    let (_, said, _) = out(&world.agentctl(&["show", "two"]));
    assert!(said.contains("waits, since") && said.contains("packs/a.toml"), "{said}");

    world.pack("a", "model = 'sonnet'\n");
    let task = world.filed("marie/completed", "two");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "it was not even claimed: {task}");
    barred(&world, &[]);
    assert!(!world.said().contains("claiming nothing"), "the worker never held");
}

#[test]
fn what_those_who_drop_tasks_could_have_written_is_refused_with_what_to_type() {
    let world = World::new();
    let path = world.pack("open", "permission_mode = 'plan'\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let real = world.path().join("elsewhere.toml");
    fs::write(&real, "").unwrap();
    symlink(&real, packs(&world).join("link.toml")).unwrap();
    let _watcher = world.up("marie");
    let state = barred(&world, &["link", "open"]);
    let said = state["packs"].to_string();
    for word in ["chmod go-w", "packs/open.toml", "it is a link"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    for kind in ["link", "open"] {
        world.submit("marie/pending", kind, &json!({"type": kind, "prompt": "fake: succeed"}));
    }
    world.submit("marie/pending", "plain", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "plain");
    assert_eq!(world.homes("open"), ["marie/pending"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    world.filed("marie/completed", "open");
    assert_eq!(world.homes("link"), ["marie/pending"]);

    fs::set_permissions(packs(&world), fs::Permissions::from_mode(0o775)).unwrap();
    barred(&world, &["*"]);
    world.submit("marie/pending", "late", &json!({"type": "open", "prompt": "fake: succeed"}));
    world.submit("marie/pending", "unknown", &json!({"type": "removed", "prompt": "fake: succeed"}));
    world.submit("marie/pending", "plain2", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "plain2");
    assert_eq!(world.homes("late"), ["marie/pending"]);
    assert_eq!(world.homes("unknown"), ["marie/pending"], "it may have been taken away");
    fs::set_permissions(packs(&world), fs::Permissions::from_mode(0o755)).unwrap();
    world.filed("marie/completed", "late");
    assert_eq!(world.filed("marie/failed", "unknown")["error_code"], "E001");
}

#[test]
fn what_the_cli_refuses_of_a_pack_holds_that_pack_and_not_the_worker() {
    let world = World::new();
    world.pack("odd", "model = 'no-such-model'\n");
    let _watcher = world.up("marie");
    let refuses = "fake: refuse text=error: there is no such model | succeed text=at last";
    world.submit("marie/pending", "t", &json!({"type": "odd", "prompt": refuses}));
    let state = barred(&world, &["odd"]);
    assert!(state["packs"][0]["reason"].as_str().unwrap().contains("no such model"), "{state}");
    world.submit("marie/pending", "plain", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "plain");
    assert!(state["hold"].is_null(), "{state}");
    world.pack("odd", "model = 'another'\n");
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["attempts"][0]["charged"], false, "{task}");
}
