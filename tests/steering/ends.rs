//! An agent is interrupted, held, cancelled, also one that was adopted.

use serde_json::json;

use crate::sight::{agent, events, lives, state};
use crate::world::World;
use crate::{agent_pipe, ask, ask_worker, history, write};

#[test]
fn an_interrupt_with_a_text_goes_on_with_that() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: hang"}));
    let pid = agent(&world, "t");
    let reply =
        ask(&world, &agent_pipe(&world, "t"), json!({"op": "interrupt", "text": "fake: succeed text=other"}));
    assert_eq!(reply["ok"], true, "{reply}");
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "other", "{task}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "the same process goes on");
    assert_eq!(events(&world, "message", "t").iter().filter(|it| it["pid"] == pid).count(), 2);
    assert_eq!(history(&world, &task, "interrupted")[0]["reason"], "fake: succeed text=other");
}

#[test]
fn an_interrupt_alone_holds_the_task_and_a_release_goes_on_in_the_same_session() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: hang | succeed text=again"}));
    let pid = agent(&world, "t");
    let reply = ask_worker(&world, json!({"op": "interrupt", "task": "t"}));
    assert_eq!(reply["ok"], true, "{reply}");
    assert!(!lives(pid), "it is answered when it is over");
    let task = world.filed("marie/pending", "t");
    assert!(task["held"].is_object(), "{task}");
    assert_eq!(
        (&task["attempts"][0]["charged"], &task["attempts"][0]["outcome"]),
        (&json!(false), &json!("interrupted"))
    );
    assert_eq!(ask_worker(&world, json!({"op": "release", "task": "t"}))["ok"], true);
    let done = world.filed("marie/completed", "t");
    assert_eq!(done["result"], "again");
    assert!(done["held"].is_null(), "{done}");
    let starts = events(&world, "start", "t");
    assert_eq!(starts[1]["mode"], "resume");
    assert_eq!(starts[0]["session"], starts[1]["session"]);
}

#[test]
fn a_running_task_is_cancelled_with_its_reason() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: grandchild setsid noterm; ignore-term; hang stubborn"}));
    let pid = agent(&world, "t");
    let reply = ask_worker(&world, json!({"op": "cancel", "task": "t", "reason": "not needed"}));
    assert_eq!(reply["ok"], true, "{reply}");
    let task = world.filed("marie/cancelled", "t");
    assert_eq!(world.homes("t"), ["marie/cancelled"]);
    assert!(task["failure_reason"].as_str().unwrap().contains("not needed"), "{task}");
    assert_eq!((&task["state"], &task["attempts"][0]["charged"]), (&json!("CANCELLED"), &json!(false)));
    assert!(!lives(pid));
    for stray in events(&world, "grandchild", "t") {
        assert!(!lives(i32::try_from(stray["pid"].as_i64().unwrap()).unwrap()), "it left nothing behind");
    }
}

#[test]
fn what_has_answered_is_not_cancelled() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: result text=paid; hang stubborn"}));
    state(&world, "marie", |it| it["running"][0]["state"] == "COMPLETING");
    let reply = ask_worker(&world, json!({"op": "cancel", "task": "t"}));
    assert_eq!((&reply["ok"], &reply["code"]), (&json!(false), &json!(69)), "{reply}");
    assert_eq!(world.filed("marie/completed", "t")["result"], "paid");
}

#[test]
fn an_adopted_agent_cannot_hear_and_can_be_cancelled() {
    let world = World::new();
    let first = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: hang"}));
    let pid = agent(&world, "t");
    world.active("marie", "t", |it| it["attempts"][0]["pid"] == pid);
    write(&world, &agent_pipe(&world, "t"), "heard");
    first.murder();
    let _second = world.up("marie");
    state(&world, "marie", |it| it["running"][0]["task"] == "t");
    world.until("the pipe that nobody reads is swept", || (!agent_pipe(&world, "t").exists()).then_some(()));
    for command in [json!({"op": "tell", "task": "t", "text": "x"}), json!({"op": "interrupt", "task": "t"})]
    {
        let reply = ask_worker(&world, command);
        assert_eq!((&reply["ok"], &reply["code"]), (&json!(false), &json!(69)), "{reply}");
        assert!(reply["message"].as_str().unwrap().contains("adopted"), "{reply}");
        assert!(reply["hint"].as_str().unwrap().contains("cancel"), "{reply}");
    }
    assert!(lives(pid));
    assert_eq!(ask_worker(&world, json!({"op": "cancel", "task": "t"}))["ok"], true);
    assert_eq!(world.filed("marie/cancelled", "t")["state"], "CANCELLED");
    assert!(!lives(pid));
}
