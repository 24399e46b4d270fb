//! A watcher that hangs, is suspended, or cannot be seen; a supervisor that was stopped itself.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::faults::SmallDisk;
use crate::http::get;
use crate::traces::{at_work, gate, gated, is_alive, open, said};
use crate::world::{Started, World, until};
use crate::{Service, free_port, logged, real, run, signal, status, watcher_pid, world};

/// Three beats: one that a busy machine delays is not taken for the last.
const HUNG_AFTER: &str = "3";

#[test]
fn a_watcher_that_hangs_is_ended_and_its_agent_is_adopted() {
    let world = World::new();
    let stall = world.path().join("stall");
    let addr = free_port();
    let mut command = run(&world, "marie=none", &addr.to_string());
    command.args(["--hung-after", HUNG_AFTER]).env("AGENT_WORKER_STALL", &stall);
    let service = Service::start(&world, &mut command, "run");
    service.says("marie: up", 1);
    world.submit("marie/pending", "long", &gated(&gate(&world, "long")));
    at_work(&world, "long", 1);
    let first = watcher_pid(&world, "marie");
    fs::write(&stall, "").unwrap();
    service.says("marie: HUNG", 1);
    fs::remove_file(&stall).unwrap();
    let said_all = service.says("marie: up again", 1);
    assert!(said_all.contains("killed by SIGKILL"), "it did not hear: {said_all}");
    assert!(!is_alive(first) && watcher_pid(&world, "marie") != first);
    open(&gate(&world, "long"));
    let task = world.filed("marie/completed", "long");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("done"), &json!(0)), "{task}");
    assert_eq!(said(&world, "start", "long").len(), 1);
    let state = world::json(&world.root().join("workers/marie/state.json")).unwrap();
    assert_eq!(state["last_crash_reason"], "hung", "{state}");
    let page = get(addr, "/metrics");
    for line in [
        "agent_worker_detection_seconds_count 1",
        "agent_worker_recovery_seconds_count 1",
        "agent_worker_recovered_tasks_total{worker=\"marie\"} 1",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} in {page}");
    }
    service.stop();
}

#[test]
fn a_suspended_watcher_is_told_and_left_alone() {
    let world = World::new();
    let addr = free_port();
    let mut command = run(&world, "marie=none", &addr.to_string());
    let service = Service::start(&world, command.args(["--hung-after", HUNG_AFTER]), "run");
    service.says("marie: up", 1);
    let pid = watcher_pid(&world, "marie");
    signal(pid, Signal::SIGSTOP);
    let text = service.says("marie: SUSPENDED", 1);
    assert!(text.contains(&format!("kill -CONT {pid}")), "{text}");
    let seen = status(&world, addr, 0, |it| it["condition"] == "suspended");
    assert_eq!((&seen["up"], &seen["severity"]), (&json!(true), &json!("L2")), "{seen}");
    assert!(get(addr, "/metrics").contains("agent_worker_workers{condition=\"suspended\"} 1"));
    service.never_says("HUNG", Duration::from_secs(7));
    assert_eq!(service.said().matches("SUSPENDED").count(), 1, "told once");
    signal(pid, Signal::SIGCONT);
    service.says("marie: makes progress again", 1);
    assert_eq!(watcher_pid(&world, "marie"), pid);
    assert_eq!(logged(&world, "SUSPENDED")[0]["severity"], "L2");
    service.stop();
}

/// A watcher of marie in a PID namespace of its own, and its pid as it is seen from here.
fn in_a_container(world: &World) -> Option<(Started, i32)> {
    if !nix::unistd::geteuid().is_root() {
        real::skip("only root may make a PID namespace");
        return None;
    }
    let watcher = world.watcher("marie");
    let mut command = Command::new(real::program("unshare")?);
    command.args(["--pid", "--fork", "--mount-proc"]).arg(watcher.get_program()).args(watcher.get_args());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", world.home());
    let started = world.start(&mut command, "marie");
    let outer = started.pid();
    let heartbeat = world.root().join("workers/marie/heartbeat.json");
    world.until("it beats", || (world::json(&heartbeat)?["pid"] == 1).then_some(()));
    let inner = world.processes().into_iter().find(|pid| *pid != outer)?;
    Some((started, inner))
}

#[test]
fn what_lives_in_another_pid_namespace_is_told_and_never_signalled() {
    let world = World::new();
    let Some((_container, inner)) = in_a_container(&world) else { return };
    let mut command = run(&world, "marie=none", "none");
    let service = Service::start(&world, command.args(["--hung-after", HUNG_AFTER]), "run");
    service.says("marie: a watcher is at work already", 1);
    signal(inner, Signal::SIGSTOP);
    service.says("marie: SILENT", 1);
    service.never_says("HUNG", Duration::from_secs(7));
    signal(inner, Signal::SIGCONT);
    service.says("marie: makes progress again", 1);
    assert!(is_alive(inner) && !service.said().contains("SUSPENDED"), "{}", service.said());
    signal(inner, Signal::SIGKILL);
    let text = service.says("marie: up", 1);
    assert!(text.contains("Restarting marie"), "its lock tells of its death: {text}");
    service.stop();
}

#[test]
fn a_supervisor_that_was_stopped_for_a_while_ends_nobody() {
    let world = World::new();
    let addr = free_port();
    let mut command = run(&world, "marie=none,anga=none", &addr.to_string());
    let service = Service::start(&world, command.args(["--hung-after", HUNG_AFTER]), "run");
    service.says(": up, pid", 2);
    let pids = ["marie", "anga"].map(|worker| watcher_pid(&world, worker));
    status(&world, addr, 0, |it| it["condition"] == "working");
    for _ in 0..2 {
        service.started.signal(Signal::SIGSTOP);
        assert!(until(Duration::from_secs(7), || (!is_alive(pids[0])).then_some(())).is_none());
        service.started.signal(Signal::SIGCONT);
        service.never_says("HUNG", Duration::from_secs(4));
    }
    status(&world, addr, 1, |it| it["condition"] == "working");
    assert_eq!(["marie", "anga"].map(|worker| watcher_pid(&world, worker)), pids);
    assert!(!service.said().contains("Restarting"), "{}", service.said());
    service.stop();
}

#[test]
fn a_watcher_whose_disk_is_full_is_told_apart_and_left_alone() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.root(), "size=32m") else { return };
    let addr = free_port();
    let mut command = run(&world, "marie=none", &addr.to_string());
    let service = Service::start(&world, command.args(["--hung-after", HUNG_AFTER]), "run");
    service.says("marie: up", 1);
    let pid = watcher_pid(&world, "marie");
    let filler = disk.fill();
    service.says("marie: THE DISK IS FULL", 1);
    let seen = status(&world, addr, 0, |it| it["condition"] == "disk_full");
    assert_eq!((&seen["up"], &seen["severity"]), (&json!(true), &json!("L2")), "{seen}");
    assert!(get(addr, "/metrics").contains("agent_worker_workers{condition=\"disk_full\"} 1"));
    // Its heartbeat grows old meanwhile, and that is no hang.
    service.never_says("HUNG", Duration::from_secs(7));
    assert_eq!(service.said().matches("THE DISK IS FULL").count(), 1, "told once");
    drop(filler);
    status(&world, addr, 0, |it| it["condition"] == "working");
    assert!(is_alive(pid) && watcher_pid(&world, "marie") == pid, "{}", service.said());
    assert!(!service.said().contains("Restarting"), "{}", service.said());
    service.stop();
}
