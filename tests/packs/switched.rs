//! The kill switch: nothing of a pack that was taken back is claimed, over restarts; what runs ends if asked.

use serde_json::json;

use crate::world::World;
use crate::{barred, out, packs};

#[test]
fn what_was_taken_back_waits_over_a_restart_until_it_is_given_free() {
    let world = World::new();
    world.pack("a", "");
    let watcher = world.up("marie");
    let (code, said, _) = out(&world.agentctl(&["pack", "disable", "a", "--reason", "it deletes branches"]));
    assert_eq!((code, said.as_str()), (Some(0), "a: disabled\n"));
    barred(&world, &["a"]);
    world.submit("marie/pending", "t", &json!({"type": "a", "prompt": "fake: succeed text=free"}));
    world.submit("marie/pending", "plain", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "plain");
    assert_eq!(watcher.stop(), 0);
    let _watcher = world.up("marie");
    world.submit("marie/pending", "plain2", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "plain2");
    let state = barred(&world, &["a"]);
    assert!(state["packs"][0]["reason"].as_str().unwrap().contains("it deletes branches"), "{state}");
    assert_eq!(world.homes("t"), ["marie/pending"]);
    let (_, said, _) = out(&world.agentctl(&["show", "t"]));
    assert!(said.contains("it deletes branches") && said.contains("pack enable a"), "{said}");
    let (code, said, _) = out(&world.agentctl(&["pack", "enable", "a"]));
    assert_eq!((code, said.as_str()), (Some(0), "a: enabled\n"));
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["result"], task["attempts"].as_array().unwrap().len()), (&json!("free"), 1), "{task}");
}

#[test]
fn what_runs_goes_on_or_ends_as_asked_and_comes_back_uncharged_in_its_own_conversation() {
    let world = World::new();
    world.pack("a", "");
    let _watcher = world.up("marie");
    world.submit(
        "marie/pending",
        "long",
        &json!({"type": "a", "prompt": "fake: hang | succeed text=resumed"}),
    );
    world.submit("marie/pending", "other", &json!({"prompt": "fake: hang"}));
    let pid = |it: &serde_json::Value| it["attempts"][0]["pid"].is_i64();
    world.active("marie", "long", pid);
    world.active("marie", "other", pid);
    assert_eq!(out(&world.agentctl(&["pack", "disable", "a"])).0, Some(0));
    barred(&world, &["a"]);
    assert_eq!(world.homes("long"), ["marie/active"]);

    assert_eq!(
        out(&world.agentctl(&["pack", "disable", "a", "--end-running", "--reason", "stop it"])).0,
        Some(0)
    );
    let task = world.filed("marie/pending", "long");
    assert_eq!(task["attempts"][0]["charged"], false, "{task}");
    assert!(task["failure_reason"].as_str().unwrap().contains("stop it"), "{task}");
    assert_eq!(world.homes("other"), ["marie/active"], "the others go on");
    assert_eq!(out(&world.agentctl(&["pack", "enable", "a"])).0, Some(0));
    let task = world.filed("marie/completed", "long");
    assert_eq!(task["result"], "resumed");
    assert_eq!(task["attempts"][0]["session_id"], task["attempts"][1]["session_id"], "{task}");
}

#[test]
fn default_is_taken_back_like_any_other_and_a_mark_made_by_hand_is_one() {
    let world = World::new();
    let _watcher = world.up("marie");
    std::fs::write(packs(&world).join("default.disabled"), "").unwrap();
    barred(&world, &["default"]);
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
    world.submit("marie/pending", "named", &json!({"type": "default", "prompt": "fake: succeed"}));
    world.pack("a", "");
    world.submit("marie/pending", "a", &json!({"type": "a", "prompt": "fake: succeed"}));
    world.filed("marie/completed", "a");
    assert_eq!(
        (world.homes("t"), world.homes("named")),
        (vec!["marie/pending".to_owned()], vec!["marie/pending".to_owned()])
    );
    assert_eq!(out(&world.agentctl(&["pack", "enable", "default"])).0, Some(0));
    world.filed("marie/completed", "t");
    world.filed("marie/completed", "named");
}
