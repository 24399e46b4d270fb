//! No process outlives its task, and none stays as a zombie.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "support/sight.rs"]
mod sight;
#[path = "support/world.rs"]
mod world;

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use sight::{lives, zombies_of};
use world::World;

/// The pids of what agents left behind, as they said themselves.
fn grandchildren(world: &World) -> Vec<i32> {
    let lines = world.agent_log().into_iter().filter(|line| line["event"] == "grandchild");
    lines.map(|line| i32::try_from(line["pid"].as_i64().unwrap()).unwrap()).collect()
}

const KINDS: [&str; 7] = ["", "setsid", "double", "setsid noterm", "stdout", "double noterm stdout", "noenv"];

#[test]
fn nothing_is_left_of_a_run_that_ended() {
    let world = World::new();
    let watcher = world.up("marie");
    for (n, kind) in KINDS.iter().enumerate() {
        world.submit("", &format!("t{n}"), &json!({"prompt": format!("fake: grandchild {kind}; succeed")}));
    }
    for (n, kind) in KINDS.iter().enumerate() {
        world.filed("marie/completed", &format!("t{n}"));
        let left: Vec<_> = sight::events(&world, "grandchild", &format!("t{n}"));
        let living =
            left.iter().filter_map(|it| it["pid"].as_i64()).any(|pid| lives(i32::try_from(pid).unwrap()));
        assert!(!living, "`{kind}`: filed before its tree was gone");
    }
    let left = grandchildren(&world);
    assert_eq!(left.len(), KINDS.len());
    world.until("what carries no sign of its run ends with the last", || {
        (!left.iter().any(|pid| lives(*pid))).then_some(())
    });
    world.until("no zombie stays", || zombies_of(watcher.pid()).is_empty().then_some(()));
}

#[test]
fn what_shed_every_sign_is_found_as_an_orphan_of_a_lonely_run() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: grandchild double noenv noterm; succeed"}));
    world.filed("marie/completed", "t");
    let left = grandchildren(&world);
    assert_eq!(left.len(), 1);
    assert!(!lives(left[0]));
}

/// Where the promise ends: nothing ties such a process to its run any more. It harms nobody, and the task goes on.
#[test]
fn what_shed_every_sign_and_lost_its_watcher_is_beyond_the_promise_without_a_cgroup() {
    let world = World::new();
    let watcher = world.up("marie");
    let gate = world.path().join("gate");
    let prompt = format!("fake: grandchild double noenv; gate={} | succeed text=resumed", gate.display());
    world.submit("", "t", &json!({ "prompt": prompt }));
    let agent = sight::agent(&world, "t");
    world.active("marie", "t", |task| task["attempts"][0]["pid"] == agent);
    world.until("it is there", || (grandchildren(&world).len() == 1).then_some(()));
    watcher.murder();
    kill(Pid::from_raw(agent), Signal::SIGKILL).unwrap();
    let _next = world.up("marie");
    assert_eq!(world.filed("marie/completed", "t")["result"], "resumed");
    assert!(lives(grandchildren(&world)[0]), "it is found now: docs/promises.md says that it is not");
}

#[test]
fn a_stopped_agent_and_its_children_end_with_their_time() {
    let world = World::new();
    let _watcher = world.start(world.watcher("marie").args(["--max-retries", "0"]), "marie");
    world.submit("", "t", &json!({"prompt": "fake: grandchild setsid noterm; stopped", "timeout_s": 1}));
    let pid = sight::agent(&world, "t");
    let path = world.root().join("tasks/marie/failed/t.json");
    let task = world.within("marie", 16, "it is filed", || world::json(&path));
    assert_eq!(task["state"], "TIMEOUT", "{task}");
    assert!(!lives(pid) && !grandchildren(&world).iter().any(|it| lives(*it)));
}

#[test]
fn nothing_is_left_when_the_watcher_stops() {
    let world = World::new();
    let mut watcher = world.up("marie");
    for (n, kind) in KINDS.iter().enumerate().take(5) {
        world.submit("", &format!("t{n}"), &json!({"prompt": format!("fake: grandchild {kind}; hang")}));
    }
    world.until("all are there", || (grandchildren(&world).len() == 5).then_some(()));
    watcher.signal(Signal::SIGTERM);
    world.within("marie", 15, "it has stopped", || watcher.is_over().then_some(()));
    assert_eq!(watcher.ended(), 0);
    assert!(!grandchildren(&world).iter().any(|pid| lives(*pid)));
    assert_eq!(world.processes(), Vec::<i32>::new());
}

#[test]
fn as_pid_1_it_reaps_what_it_never_started() {
    let can = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "true"])
        .output();
    if !can.is_ok_and(|it| it.status.success()) {
        println!("skipped: no namespaces of PIDs here");
        return;
    }
    let world = World::new();
    let inner = world.watcher("marie");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.arg(inner.get_program()).args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let outer = world.start(&mut command, "marie");
    let children = || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", outer.pid())).ok();
    let watcher: i32 = world.until("it is there", || children()?.split_whitespace().next()?.parse().ok());
    for (n, kind) in ["double", "double noenv"].iter().enumerate() {
        let name = format!("t{n}");
        world.submit("", &name, &json!({"prompt": format!("fake: grandchild {kind}; succeed")}));
        world.filed("marie/completed", &name);
    }
    world.until("no zombie stays", || zombies_of(watcher).is_empty().then_some(()));
}
