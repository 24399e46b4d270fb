//! What is asked about a task: that waits, that runs, that has ended, or that there is none of.

use serde_json::json;

use super::{Listener, done, gated, open_gate, refused, say};
use crate::sight::{agent, journal, state};
use crate::world::World;

/// Waits until the worker knows that nothing runs any more: a task is filed before its run is over.
fn at_rest(world: &World) {
    state(world, "marie", |it| it["queues"]["active"] == 0 && it["queues"]["completed"] != 0);
}

#[test]
fn a_task_that_is_submitted_by_pipe_is_a_file_like_any_other() {
    let world = World::new();
    let _watcher = world.up("marie");
    let mut marie = Listener::to_marie(&world);
    say(&world, "submit fake: succeed text=hello");
    let name = marie.answer(&world)["result"]["task"].as_str().unwrap().to_owned();
    assert_eq!(world.filed("marie/completed", &name)["result"], "hello");
    let spec = json!({"id": "mine", "prompt": "fake: succeed", "note": [1.50], "state": "COMPLETED"});
    let answer = done(&world, json!({"op": "submit", "spec": spec}));
    assert_eq!(answer["result"], json!({"task": "mine", "file": "tasks/marie/pending/mine.json"}));
    let task = world.filed("marie/completed", "mine");
    assert_eq!((&task["worker"], &task["note"]), (&json!("marie"), &json!([1.50])));
    for (spec, code) in
        [(json!({"prompt": 7}), 65), (json!({}), 65), (json!({"prompt": "x", "worker": "anga"}), 65)]
    {
        refused(&world, json!({"op": "submit", "spec": spec}), code);
    }
}

#[test]
fn a_waiting_task_is_held_released_cancelled_and_retried() {
    let world = World::new();
    let _watcher = world.up("marie");
    done(&world, json!({"op": "pause"}));
    for (dir, name) in [("marie/pending", "t"), ("", "u")] {
        world.submit(dir, name, &json!({"prompt": "fake: succeed", "mine": 1}));
    }
    let answer = done(&world, json!({"op": "hold", "task": "t", "reason": "not yet", "by": "ana"}));
    assert!(answer["message"].as_str().unwrap().contains("until `release`"), "{answer}");
    let held = world.filed("marie/pending", "t")["held"].clone();
    assert_eq!((&held["reason"], &held["by"]), (&json!("not yet"), &json!("ana")));
    assert_eq!(refused(&world, json!({"op": "release", "task": "u"}), 69), "it is not held");
    done(&world, json!({"op": "resume"}));
    world.filed("marie/completed", "u");
    assert_eq!(world.homes("t"), ["marie/pending"], "it is held");
    done(&world, json!({"op": "cancel", "task": "marie/t", "reason": "not needed", "by": "ben"}));
    let task = world.filed("marie/cancelled", "t");
    assert_eq!((&task["state"], &task["mine"]), (&json!("CANCELLED"), &json!(1)));
    assert_eq!(task["failure_reason"], "cancelled by ben: not needed", "{task}");
    assert!(task.get("held").is_none());
    done(&world, json!({"op": "retry", "task": "t.json", "by": "cem"}));
    let again = world.filed("marie/completed", "t");
    assert_ne!(again["run_id"], task["run_id"], "a new life");
    assert_eq!(world.homes("t"), ["marie/completed"]);
    at_rest(&world);
    refused(&world, json!({"op": "retry", "task": "t"}), 69);
    let noted: Vec<_> = journal(&world, "marie").into_iter().filter(|line| line["task"] == "t").collect();
    let asked: Vec<_> = noted.iter().filter_map(|line| line["by"].as_str()).collect();
    assert_eq!(asked, ["ana", "ben", "cem"], "{noted:?}");
    let words: Vec<_> = noted.into_iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    assert!(
        words.starts_with(&["amended", "concluded", "retried", "claimed"].map(str::to_owned)),
        "{words:?}"
    );
    state(&world, "marie", |it| it["queues"]["cancelled"] == 0 && it["queues"]["completed"] == 2);
}

#[test]
fn a_task_that_waits_for_its_next_try_is_tried_now() {
    let world = World::new();
    let _watcher = world.up("marie");
    done(&world, json!({"op": "pause"}));
    world.submit(
        "marie/pending",
        "t",
        &json!({"prompt": "fake: succeed", "not_before": "2099-01-01T00:00:00Z"}),
    );
    assert!(refused(&world, json!({"op": "retry", "task": "t"}), 69).contains("not_before"));
    world.submit("marie/pending", "u", &json!({"prompt": "fake: succeed"}));
    assert!(refused(&world, json!({"op": "retry", "task": "u"}), 69).contains("waits for its turn"));
}

/// marie's task `t`, which failed once and is to be tried again at the end of the century; nobody watches marie.
fn waits_for_its_next_try(world: &World) {
    let marie = world.up("marie");
    world.submit("marie/pending", "t", &json!({"prompt": gated_death(world)}));
    agent(world, "t");
    done(world, json!({"op": "pause"}));
    open_gate(world, "gate");
    let path = world.root().join("tasks/marie/pending/t.json");
    let mut task =
        world.until("it waits", || crate::world::json(&path).filter(|it| it["retry_at"].is_string()));
    marie.stop();
    world.agentctl(&["resume", "marie"]);
    // As far away as a pause may be.
    task["retry_at"] = json!((jiff::Timestamp::now() + std::time::Duration::from_secs(59)).to_string());
    std::fs::write(&path, task.to_string()).unwrap();
}

fn gated_death(world: &World) -> String {
    format!("fake: gate={}; fail error | succeed text=again", world.path().join("gate").display())
}

#[test]
fn a_task_that_waits_for_its_next_try_begins_as_soon_as_that_is_wanted() {
    let world = World::new();
    waits_for_its_next_try(&world);
    let _marie = world.up("marie");
    state(&world, "marie", |it| it["queues"]["pending"] == 1);
    done(&world, json!({"op": "retry", "task": "t", "by": "ana"}));
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["result"], task["attempts"].as_array().unwrap().len()), (&json!("again"), 2), "{task}");
}

#[test]
fn the_same_is_wanted_where_nobody_watches() {
    let world = World::new();
    waits_for_its_next_try(&world);
    let said = world.agentctl(&["retry", "t"]);
    assert!(said.status.success(), "{said:?}");
    let task = crate::world::json(&world.root().join("tasks/marie/pending/t.json")).unwrap();
    assert!(task.get("retry_at").is_none(), "{task}");
    let _marie = world.up("marie");
    assert_eq!(world.filed("marie/completed", "t")["result"], "again");
}

#[test]
fn a_running_task_is_cancelled_and_its_answer_comes_when_it_is_filed() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &gated(&world, "gate"));
    agent(&world, "t");
    for op in ["hold", "retry", "release"] {
        refused(&world, json!({"op": op, "task": "t"}), 69);
    }
    done(&world, json!({"op": "cancel", "task": "t", "reason": "enough", "by": "ana"}));
    assert_eq!(world.homes("t"), ["marie/cancelled"]);
    assert_eq!(world.filed("marie/cancelled", "t")["failure_reason"], "cancelled by ana: enough");
    let ends = journal(&world, "marie").into_iter().find(|line| line["event"] == "concluded").unwrap();
    assert_eq!(ends["by"], "ana", "{ends}");
    open_gate(&world, "gate");
}

#[test]
fn who_names_no_task_of_this_worker_is_told_so() {
    let world = World::new();
    let _watcher = world.up("marie");
    for op in ["cancel", "retry", "hold", "release", "interrupt"] {
        for task in ["none", "../x", "anga/t", "a b"] {
            refused(&world, json!({"op": op, "task": task}), 65);
        }
    }
    done(&world, json!({"op": "pause"}));
    world.submit("", "t", &json!({"prompt": "fake: succeed"}));
    refused(&world, json!({"op": "tell", "task": "t", "text": "hello"}), 69);
    done(&world, json!({"op": "resume"}));
    world.filed("marie/completed", "t");
    at_rest(&world);
    let why = refused(&world, json!({"op": "cancel", "task": "t"}), 69);
    assert!(why.contains("completed"), "{why}");
}

#[test]
fn what_is_asked_at_once_about_one_task_is_done_in_its_order() {
    let world = World::new();
    let _watcher = world.up("marie");
    done(&world, json!({"op": "pause"}));
    let mut marie = Listener::to_marie(&world);
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
    let ops = ["hold", "release", "hold", "cancel", "retry", "hold", "release", "cancel"];
    let lines = ops.map(|op| op.to_owned() + " t\n").concat();
    super::write(&world, lines.as_bytes());
    for op in ops {
        let answer = marie.answer(&world);
        assert_eq!((&answer["op"], &answer["ok"]), (&json!(op), &json!(true)), "{answer}\n{}", world.said());
    }
    assert_eq!(world.homes("t"), ["marie/cancelled"]);
}
