//! The scenes of the operator: the verbs that change a task, a worker or a pack, done on the files since no watcher lives.

use std::fs;
use std::process::Command;

use crate::judge::{Accepted, task};
use crate::scene::{Life, Scene, alone, drop_task, lay_out, nothing};
use crate::world::World;

const WAITS: &[Accepted] = &[Accepted::in_one("t", &["marie/completed"])];

const fn verb(
    program: &'static str,
    lay: fn(&World),
    command: fn(&World) -> Command,
    accepted: &'static [Accepted],
    next: fn(&World),
) -> Scene {
    Scene { program, at: "on the files", life: Life::Acts, lay, command, beside: alone, accepted, next }
}

/// All of them.
pub(crate) const SCENES: &[Scene] = &[
    verb(
        "agentctl submit",
        |world| {
            lay_out(world);
            fs::write(world.path().join("t.json"), task("fake: succeed text=done")).unwrap();
        },
        |world| agentctl(world, &["submit", "--worker", "marie", "--file", "t.json"]),
        &[Accepted { name: "t", homes: &["marie/completed"], may_be_gone: true }],
        nothing,
    ),
    verb(
        "agentctl cancel",
        waiting,
        |world| agentctl(world, &["cancel", "t", "--yes"]),
        &[Accepted::in_one("t", &["marie/cancelled", "marie/completed"])],
        nothing,
    ),
    verb("agentctl hold", waiting, |world| agentctl(world, &["hold", "t"]), WAITS, release),
    verb(
        "agentctl release",
        |world| {
            waiting(world);
            assert!(agentctl(world, &["hold", "t"]).output().unwrap().status.success());
        },
        |world| agentctl(world, &["release", "t"]),
        WAITS,
        release,
    ),
    verb(
        "agentctl edit",
        waiting,
        |world| {
            let mut command = agentctl(world, &["edit", "t"]);
            command.env("EDITOR", "sed -i s/prompt/\\x70rompt/");
            command
        },
        WAITS,
        release,
    ),
    verb(
        "agentctl retry",
        |world| {
            lay_out(world);
            let text = task("fake: succeed text=done").replacen('{', r#"{"type":"later","#, 1);
            drop_task(world, "marie/pending", "t", &text);
            let watcher = world.up("marie");
            world.filed("marie/failed", "t");
            assert_eq!(watcher.stop(), 0);
            world.pack("later", "");
        },
        |world| agentctl(world, &["retry", "t", "--yes"]),
        &[Accepted::in_one("t", &["marie/completed", "marie/failed"])],
        nothing,
    ),
    verb(
        "agentctl prune",
        |world| {
            waiting(world);
            let watcher = world.up("marie");
            world.filed("marie/completed", "t");
            assert_eq!(watcher.stop(), 0);
        },
        |world| agentctl(world, &["prune", "--older-than", "0s"]),
        &[Accepted { name: "t", homes: &["marie/completed"], may_be_gone: true }],
        nothing,
    ),
    verb(
        "agentctl fsck --repair",
        |world| {
            lay_out(world);
            drop_task(world, "marie/staged", "t", &task("fake: succeed text=done"));
        },
        |world| agentctl(world, &["fsck", "--repair"]),
        WAITS,
        nothing,
    ),
    verb(
        "agentctl pause",
        waiting,
        |world| agentctl(world, &["pause", "marie"]),
        WAITS,
        |world| {
            assert!(agentctl(world, &["resume", "marie"]).output().unwrap().status.success());
        },
    ),
    verb(
        "agentctl resume",
        |world| {
            waiting(world);
            assert!(agentctl(world, &["pause", "marie"]).output().unwrap().status.success());
        },
        |world| agentctl(world, &["resume", "marie"]),
        WAITS,
        |world| {
            assert!(agentctl(world, &["resume", "marie"]).output().unwrap().status.success());
        },
    ),
    verb(
        "agentctl pack disable",
        waiting,
        |world| agentctl(world, &["pack", "disable", "default"]),
        WAITS,
        |world| {
            assert!(agentctl(world, &["pack", "enable", "default"]).output().unwrap().status.success());
        },
    ),
    verb(
        "agentctl pack enable",
        |world| {
            waiting(world);
            assert!(agentctl(world, &["pack", "disable", "default"]).output().unwrap().status.success());
        },
        |world| agentctl(world, &["pack", "enable", "default"]),
        WAITS,
        |world| {
            assert!(agentctl(world, &["pack", "enable", "default"]).output().unwrap().status.success());
        },
    ),
];

pub(crate) fn agentctl(world: &World, args: &[&str]) -> Command {
    let mut command = world.command("agentctl");
    command.args(args).arg("--root").arg(world.root());
    command
}

fn waiting(world: &World) {
    lay_out(world);
    drop_task(world, "marie/pending", "t", &task("fake: succeed text=done"));
}

/// Lets it go, if it is held: what the killed command left in `active/` is brought back before.
fn release(world: &World) {
    let mut recover = world.command("supervisor");
    recover.args(["recover", "marie", "--root"]).arg(world.root()).output().unwrap();
    agentctl(world, &["release", "t"]).output().unwrap();
}
