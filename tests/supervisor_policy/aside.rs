//! A worker that is set aside, and a backup.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::http::{code, get};
use crate::traces::{at_work, gate, gated, is_alive, open, said, slay};
use crate::world::World;
use crate::{Service, free_port, logged, run, signal, status, traces, watcher_pid, world};

/// marie has an agent at work, then dies and is set aside; two tasks wait in her folder, one of them for her alone.
fn set_marie_aside(world: &World, service: &Service<'_>) {
    service.says("marie: up", 1);
    world.submit("marie/pending", "long", &gated(&gate(world, "long")));
    at_work(world, "long", 1);
    world.submit("marie/pending", "pinned", &json!({"prompt": "fake: succeed text=mine", "worker": "marie"}));
    world.submit("marie/pending", "any", &json!({"prompt": "fake: succeed text=yours"}));
    signal(watcher_pid(world, "marie"), Signal::SIGKILL);
}

#[test]
fn what_lies_with_one_that_is_set_aside_is_finished_by_others() {
    let world = World::new();
    let addr = free_port();
    let mut command = run(&world, "marie=none,anga=none", &addr.to_string());
    let service = Service::start(&world, command.args(["--max-restarts", "0"]), "run");
    service.says(": up, pid", 2);
    set_marie_aside(&world, &service);
    let text = service.says("Max restarts reached for marie", 1);
    assert!(text.contains("\nMax restarts reached for marie"), "at the beginning of its line: {text}");
    assert_eq!(world.filed("anga/completed", "any")["result"], "yours");
    assert_eq!(world.homes("pinned"), ["marie/pending"]);
    assert_eq!(world.homes("long"), ["marie/active"], "its agent is still at work");
    open(&gate(&world, "long"));
    let task = world.filed("marie/completed", "long");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("done"), &json!(0)), "{task}");
    assert_eq!(said(&world, "start", "long").len(), 1, "one agent, one start");

    let seen = status(&world, addr, 0, |it| it["condition"] == "set_aside");
    assert_eq!((&seen["up"], &seen["severity"]), (&json!(false), &json!("L3")), "{seen}");
    let health = get(addr, "/health/orchestrator");
    assert!(code(&health) == "503" && health.contains("marie is down: it is set aside"), "{health}");
    assert!(get(addr, "/metrics").contains("agent_worker_troubles{severity=\"L3\"} 1"));
    assert_eq!(logged(&world, "Max restarts reached")[0]["severity"], "L3");
    let shown = world.agentctl(&["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("set aside since") && shown.contains("SIGHUP"), "{shown}");

    service.started.signal(Signal::SIGHUP);
    service.says("marie: up", 2);
    assert_eq!(world.filed("marie/completed", "pinned")["result"], "mine");
    let state = world.root().join("workers/marie/state.json");
    world.until("nothing says any more that it is set aside", || {
        world::json(&state)?.get("set_aside").is_none().then_some(())
    });
    service.stop();
}

#[test]
fn a_task_that_has_begun_stays_with_the_one_whose_session_it_is() {
    let world = World::new();
    let mut command = run(&world, "marie=none,anga=none", "none");
    let service = Service::start(&world, command.args(["--max-restarts", "0"]), "run");
    service.says(": up, pid", 2);
    set_marie_aside(&world, &service);
    service.says("Max restarts reached for marie", 1);
    let agent = traces::pid(&said(&world, "start", "long")[0]);
    slay(&world, agent);
    let task = world.filed("marie/pending", "long");
    assert_eq!((&task["retry_count"], &task["state"]), (&json!(1), &json!("PENDING")), "{task}");
    world.filed("anga/completed", "any");
    assert_eq!(world.homes("long"), ["marie/pending"]);
    // Somebody starts it by hand: the session goes on.
    open(&gate(&world, "long"));
    let by_hand = world.up("marie");
    service.says("marie: a watcher is at work already", 1);
    assert_eq!(world.filed("marie/completed", "long")["result"], "resumed");
    service.stop();
    assert!(!is_alive(by_hand.pid()) || by_hand.ended() == 0);
}

#[test]
fn a_backup_works_while_another_is_set_aside_and_leaves_when_it_is_back() {
    let world = World::new();
    let mut command = run(&world, "marie=none", "none");
    command.args(["--max-restarts", "0", "--backup", "bob=none", "--hung-after", "3"]);
    let service = Service::start(&world, &mut command, "run");
    service.says("marie: up", 1);
    assert!(!world.root().join("locks/bob_watcher.lock").exists(), "it is in reserve");
    set_marie_aside(&world, &service);
    service.says("bob: the backup is started, since marie is gone", 1);
    assert_eq!(world.filed("bob/completed", "any")["result"], "yours");
    service.started.signal(Signal::SIGHUP);
    service.says("marie: up", 2);
    let text = service.says("bob: the backup has ended, in reserve", 1);
    assert!(text.contains("bob: the backup is not needed any more"), "{text}");
    assert!(!world.root().join("locks/bob_watcher.lock").exists());
    open(&gate(&world, "long"));
    service.stop();
}
