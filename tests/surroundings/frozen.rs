//! What stands still for a while: an agent, a worker with its supervisor, a whole machine, a disk.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::sight::{agent, lives, logged, status};
use crate::world::{Started, World, until};
use crate::{Group, at_work, beats, done_once, gated, is_root, runs};

fn stopped(pid: i32) -> Option<()> {
    status(pid, "State").filter(|it| it.starts_with('T')).map(drop)
}

fn up_with(world: &World, args: &[&str]) -> Started {
    let watcher = world.start(world.watcher("marie").args(args), "marie");
    world.at_work("marie", &watcher);
    watcher
}

/// So long nothing is done: others must have had the time to be wrong.
fn wait(time: Duration) {
    until(time, || None::<()>);
}

#[test]
fn an_agent_that_stands_still_for_less_than_it_may_be_silent_goes_on() {
    let world = World::new();
    let watcher = up_with(&world, &["--idle-timeout", "60"]);
    let gate = gated(&world, "t");
    let pid = at_work(&world, "t");
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    world.until("it stands still", || stopped(pid));
    fs::write(&gate, "").unwrap();
    beats(&world, 3);
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    assert_eq!(done_once(&world, "marie/completed", "t")["result"], "done");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn an_agent_that_never_moves_again_is_ended_and_its_task_is_tried_again() {
    let world = World::new();
    let watcher = up_with(&world, &["--idle-timeout", "2", "--grace", "1"]);
    world.submit(
        "marie/pending",
        "idle",
        &json!({"prompt": "fake: say text=at work; stopped | succeed text=second"}),
    );
    let first = agent(&world, "idle");
    let task = world.filed("marie/completed", "idle");
    // Silence is taken for the API's, and is no fault of the task.
    assert_eq!(
        (&task["result"], &task["attempts"][0]["charged"]),
        (&json!("second"), &json!(false)),
        "{task}"
    );
    assert_eq!(task["attempts"].as_array().unwrap().len(), 2, "{task}");
    assert!(!lives(first), "it does not hear SIGTERM, and is gone all the same");
    // One that is cancelled meanwhile, and one whose worker stops: neither waits for what does not hear.
    world.submit("marie/pending", "cancelled", &json!({"prompt": "fake: stopped"}));
    let second = agent(&world, "cancelled");
    let cancel = world.agentctl(&["cancel", "cancelled", "--yes"]);
    assert!(cancel.status.success(), "{cancel:?}");
    world.filed("marie/cancelled", "cancelled");
    assert!(!lives(second));
    assert_eq!(watcher.stop(), 0);
    let watcher = up_with(&world, &["--grace", "1"]);
    world.submit("marie/pending", "put-back", &json!({"prompt": "fake: stopped"}));
    let third = agent(&world, "put-back");
    assert_eq!(watcher.stop(), 0);
    assert!(!lives(third));
    let task = world.filed("marie/pending", "put-back");
    assert_eq!(task["attempts"][0]["charged"], false, "{task}");
}

/// All processes of a root stand still together and go on together, as when a lid is closed or a machine is moved.
#[test]
fn a_supervisor_a_worker_and_its_agent_that_were_frozen_together_go_on_as_if_nothing_was() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let unified = if fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap() { "" } else { "unified" };
    let Some(group) = Group::new(&world, unified) else { return };
    world.program("watcher");
    let mut command = world.command("supervisor");
    command.args(["run", "--root", "shared", "--log-dir", "log", "--log-format", "json", "--grace", "1"]);
    command.args(["--metrics-addr", "none", "--workers", "marie=none", "--concurrency", "1"]);
    command.args(["--hung-after", "3", "--claude-bin"]).arg(world.program("fake-claude"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("echo 0 >{}/cgroup.procs; exec \"$0\" \"$@\"", group.0.display())]);
    let supervisor = world.start(&mut crate::wrap(&world, shell, &command), "supervisor");
    let pending = world.root().join("tasks/marie/pending");
    world.until("the root is laid out", || pending.is_dir().then_some(()));
    let gate = gated(&world, "t");
    let pid = at_work(&world, "t");
    let beat = || crate::world::json(&world.root().join("workers/marie/heartbeat.json"));
    let before = beat().unwrap();

    group.set("cgroup.freeze", "1");
    world.until("all stand still", || group.get("cgroup.events").contains("frozen 1").then_some(()));
    let last = beat().unwrap();
    fs::write(&gate, "").unwrap();
    world.submit("marie/pending", "dropped-meanwhile", &json!({"prompt": "fake: succeed"}));
    wait(Duration::from_secs(8));
    assert_eq!(beat().unwrap(), last, "nobody moves");
    group.set("cgroup.freeze", "0");

    assert_eq!(done_once(&world, "marie/completed", "t")["result"], "done");
    done_once(&world, "marie/completed", "dropped-meanwhile");
    beats(&world, 5);
    assert_eq!(beat().unwrap()["pid"], before["pid"], "it is the same watcher:\n{}", world.said());
    assert!(!lives(pid) || world.homes("t") == ["marie/completed"]);
    let said = fs::read_to_string(world.logs().join("supervisor.err")).unwrap();
    assert!(!said.contains("HUNG") && !said.contains("Restarting"), "{said}");
    assert_eq!(supervisor.stop(), 0);
}

/// A file system that is frozen for a snapshot: every write waits, in the kernel, where no signal is heard.
#[test]
fn a_disk_that_is_frozen_for_a_snapshot_costs_time_and_nothing_else() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let Some(disk) = crate::mounts::ext4(&world) else { return };
    let watcher = world.up("marie");
    let gate = gated(&world, "t");
    at_work(&world, "t");
    let root = world.root();
    let root = root.to_str().unwrap();
    assert!(runs("fsfreeze", &["--freeze", root]));
    let thaw = Thaw(root.to_owned());
    fs::write(&gate, "").unwrap();
    wait(Duration::from_secs(4));
    assert!(lives(watcher.pid()));
    drop(thaw);
    assert_eq!(done_once(&world, "marie/completed", "t")["result"], "done");
    world.submit("marie/pending", "next", &json!({"prompt": "fake: succeed"}));
    done_once(&world, "marie/completed", "next");
    assert!(logged(&world, "marie", "lost").is_empty(), "{}", world.said());
    assert_eq!(watcher.stop(), 0);
    drop(disk);
}

/// Whatever becomes of the test, the disk moves again: nothing on it could even be killed.
struct Thaw(String);

impl Drop for Thaw {
    fn drop(&mut self) {
        runs("fsfreeze", &["--unfreeze", &self.0]);
    }
}
