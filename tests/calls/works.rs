//! The scenes of those who work: a watcher in work and in recovery, a supervisor that recovers, resumes and restarts.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::judge::{Accepted, MINE, task};
use crate::scene::{Life, Scene, alone, drop_task, lay_out, nothing};
use crate::tracer::Traced;
use crate::traces;
use crate::world::{Started, World};

pub(crate) const DONE: &[Accepted] = &[Accepted::in_one("t", &["marie/completed"])];

/// All of them.
pub(crate) const SCENES: &[Scene] = &[
    Scene {
        program: "watcher",
        at: "a task to its end",
        life: Life::Works,
        lay: |world| dropped(world, "fake: succeed text=done"),
        command: |world| world.watcher("marie"),
        beside: alone,
        accepted: DONE,
        next: nothing,
    },
    Scene {
        program: "watcher",
        at: "a task whose agent dies once",
        life: Life::Works,
        lay: |world| dropped(world, "fake: die | succeed text=done"),
        command: |world| world.watcher("marie"),
        beside: alone,
        accepted: DONE,
        next: nothing,
    },
    Scene {
        program: "watcher",
        at: "the adoption of an agent that lives",
        life: Life::Works,
        lay: |world| {
            orphan(world);
            traces::open(&traces::gate(world, "t"));
        },
        command: |world| world.watcher("marie"),
        beside: alone,
        accepted: DONE,
        next: nothing,
    },
    Scene {
        program: "watcher",
        at: "the recovery of a task whose agent is dead",
        life: Life::Works,
        lay: crashed,
        command: |world| world.watcher("marie"),
        beside: alone,
        accepted: DONE,
        next: nothing,
    },
    Scene {
        program: "watcher",
        at: "a drop that is no task",
        life: Life::Works,
        lay: |world| {
            lay_out(world);
            drop_task(world, "marie/pending", "t", &format!("{{\"prompt\":[1],{MINE}}}"));
        },
        command: |world| world.watcher("marie"),
        beside: alone,
        accepted: &[Accepted::in_one("t", &["marie/failed"])],
        next: nothing,
    },
    Scene {
        program: "supervisor recover",
        at: "a task whose agent is dead",
        life: Life::Acts,
        lay: crashed,
        command: |world| supervisor(world, &["recover", "marie"]),
        beside: alone,
        accepted: DONE,
        next: nothing,
    },
    Scene {
        program: "supervisor resume",
        at: "a backlog of three, in two batches",
        life: Life::Acts,
        lay: |world| {
            lay_out(world);
            for name in ["t", "u", "v"] {
                drop_task(world, "marie/pending", name, &task("fake: succeed text=done"));
            }
        },
        command: resume,
        beside: followed,
        accepted: &[
            Accepted::in_one("t", &["marie/completed"]),
            Accepted::in_one("u", &["marie/completed"]),
            Accepted::in_one("v", &["marie/completed"]),
        ],
        next: |world| assert!(resume(world).output().unwrap().status.success()),
    },
    Scene {
        program: "supervisor up",
        at: "a worker that dies at its task",
        life: Life::Works,
        lay: |world| {
            orphan(world);
            traces::open(&traces::gate(world, "t"));
        },
        command: up,
        beside: alone,
        accepted: DONE,
        next: stop_what_it_started,
    },
];

/// What a supervisor started lives on when it dies, and the next one would take it over: here nobody does.
fn stop_what_it_started(world: &World) {
    let started = || {
        let is_watcher = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("/bin/watcher\0")
        };
        world.processes().into_iter().filter(is_watcher).collect::<Vec<_>>()
    };
    for pid in started() {
        kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
    }
    world.until("its watcher ends", || started().is_empty().then_some(()));
}

fn supervisor(world: &World, args: &[&str]) -> Command {
    let mut command = world.command("supervisor");
    command.args(args).arg("--root").arg(world.root());
    command
}

fn resume(world: &World) -> Command {
    supervisor(world, &["resume", "marie", "--batch-size", "2", "--delay", "0"])
}

/// A watcher that comes when the resume has begun, or is no more.
fn followed(world: &World, leader: &Traced) -> Vec<Started> {
    let record = world.root().join("workers/marie/resume.json");
    world.until("it began or died", || (record.exists() || leader.is_over().is_some()).then_some(()));
    vec![world.up("marie")]
}

fn up(world: &World) -> Command {
    world.program("watcher");
    let mut command = supervisor(world, &["up", "--workers", "marie=none", "--metrics-addr", "none"]);
    command.args(["--log-format", "json", "--api-requests-per-minute", "0", "--cooldown", "1ms"]);
    command.arg("--log-dir").arg(world.logs()).arg("--claude-bin").arg(world.program("fake-claude"));
    command
}

fn dropped(world: &World, prompt: &str) {
    lay_out(world);
    drop_task(world, "marie/pending", "t", &task(prompt));
}

/// Its watcher is dead, its agent waits for the gate; the agent's process.
fn orphan(world: &World) -> i32 {
    lay_out(world);
    let step = format!("gate={}; succeed text=done", traces::gate(world, "t").display());
    let watcher = world.up("marie");
    drop_task(world, "marie/pending", "t", &task(&format!("fake: {step} | {step}")));
    let agent = traces::at_work(world, "t", 1);
    traces::recorded(world, "t", agent);
    watcher.murder();
    agent
}

/// Watcher and agent are dead.
fn crashed(world: &World) {
    let agent = orphan(world);
    traces::slay(world, agent);
    traces::open(&traces::gate(world, "t"));
}
