//! Tasks at work that are moved by hand to where another worker looks.

use std::fs;

use serde_json::{Value, json};

use crate::sight::{agent, events, logged, place, tasks};
use crate::world::World;

/// A task of marie's that works until the gate is open; its run.
fn at_work(world: &World) -> (String, impl Fn() + use<>) {
    let gate = world.path().join("gate");
    world.submit(
        "marie/pending",
        "x",
        &json!({"prompt": format!("fake: gate={}; succeed text=once", gate.display())}),
    );
    agent(world, "x");
    let task = world.active("marie", "x", |task| task["state"] == "RUNNING");
    (task["run_id"].as_str().unwrap().to_owned(), move || fs::write(&gate, "").unwrap())
}

fn everywhere(world: &World) -> Vec<String> {
    let all = |worker: &str| ["pending", "active", "completed", "failed"].map(|at| format!("{worker}/{at}"));
    let places = ["marie", "anga", "fabien"].iter().flat_map(|worker| all(worker)).chain([String::new()]);
    places.filter(|at| !tasks(world, at).is_empty()).collect()
}

/// It was started once, and rests in one place, with the run it had.
fn done_once(world: &World, at: &str, run: &str) {
    let task = world.filed(at, "x");
    assert_eq!((&task["result"], &task["run_id"]), (&json!("once"), &json!(run)), "{task}");
    assert_eq!(events(world, "start", "x").len(), 1);
    world.until("nothing of it is left elsewhere", || (everywhere(world) == [at]).then_some(()));
}

fn mv(world: &World, from: &str, to: &str) {
    fs::rename(place(world, from), place(world, to)).unwrap();
}

#[test]
fn a_living_task_moved_to_another_worker_stays_with_its_own() {
    for to in ["anga/pending", "anga/staged", "anga/active", ""] {
        let world = World::new();
        let _all: Vec<_> = ["marie", "anga", "fabien"].map(|worker| world.up(worker)).into();
        let (run, open) = at_work(&world);
        mv(&world, "marie/active/x.json", &format!("{to}/x.json"));
        world.until("its worker has it again", || (everywhere(&world) == ["marie/active"]).then_some(()));
        open();
        done_once(&world, "marie/completed", &run);
        assert!(logged(&world, "anga", "adopted a living agent").is_empty(), "{to}");
    }
}

#[test]
fn a_copy_of_a_living_task_given_to_another_worker_is_removed() {
    let world = World::new();
    let _all = ["marie", "anga"].map(|worker| world.up(worker));
    let (run, open) = at_work(&world);
    fs::copy(place(&world, "marie/active/x.json"), place(&world, "anga/pending/x.json")).unwrap();
    world.until("the copy is gone", || tasks(&world, "anga/pending").is_empty().then_some(()));
    world.until("it is said", || (logged(&world, "anga", "removed a copy").len() == 1).then_some(()));
    open();
    done_once(&world, "marie/completed", &run);
}

#[test]
fn a_living_task_of_a_dead_worker_is_adopted_by_the_one_it_was_given_to() {
    let world = World::new();
    let marie = world.up("marie");
    let _anga = world.up("anga");
    let (run, open) = at_work(&world);
    marie.murder();
    mv(&world, "marie/active/x.json", "anga/pending/x.json");
    world.until("it is adopted", || {
        (!logged(&world, "anga", "adopted a living agent").is_empty()).then_some(())
    });
    let _marie = world.up("marie");
    assert_eq!(everywhere(&world), ["anga/active"]);
    open();
    done_once(&world, "anga/completed", &run);
    let input = crate::world::json(&world.root().join(format!("artifacts/{run}/input.json"))).unwrap();
    assert_eq!(input["worker"], "anga", "the run is its now");
}

#[test]
fn a_waiting_task_that_was_given_to_another_worker_goes_on_there() {
    let world = World::new();
    let marie = world.up("marie");
    let _anga = world.up("anga");
    world.submit("marie/pending", "x", &json!({"prompt": "fake: hang | succeed text=second"}));
    agent(&world, "x");
    assert_eq!(marie.stop(), 0);
    let waiting: Value = crate::world::json(&place(&world, "marie/pending/x.json")).unwrap();
    mv(&world, "marie/pending/x.json", "anga/pending/x.json");
    let task = world.filed("anga/completed", "x");
    assert_eq!((&task["run_id"], &task["result"]), (&waiting["run_id"], &json!("second")), "{task}");
    assert_eq!(events(&world, "start", "x")[1]["mode"], "resume");
    let _marie = world.up("marie");
    assert_eq!(everywhere(&world), ["anga/completed"]);
}
