//! A disk that is really full: nothing is lost, it is said, and the work goes on by itself.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test mounts a small disk and fills it")]

#[path = "support/real.rs"]
mod real;
#[path = "support/world.rs"]
mod world;

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use world::World;

/// A small disk under the root of a world; taken away with it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, said aloud, where this user may not mount.
    fn under(world: &World, size: &str) -> Option<Self> {
        let root = world.root();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&root)
            .output()
            .is_ok_and(|it| it.status.success());
        if !mounted {
            real::skip("this user may not mount a small disk (run the tests as root)");
            return None;
        }
        Some(Self(root))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn a_full_disk_holds_the_work_and_the_room_that_comes_back_lets_it_go_on() {
    let world = World::new();
    let Some(_disk) = SmallDisk::under(&world, "96m") else { return };
    let watcher = world.up("marie");
    let gate = world.path().join("gate");
    world.submit(
        "marie/pending",
        "running",
        &json!({"prompt": format!("fake: gate={}; succeed text=kept", gate.display())}),
    );
    world.active("marie", "running", |task| task["state"] == "RUNNING");

    // Full to the last byte: the running one cannot be filed, and nothing new is taken.
    let filler = world.root().join("filler");
    let full = Command::new("dd")
        .args(["if=/dev/zero", "bs=1M"])
        .arg(format!("of={}", filler.display()))
        .output()
        .expect("dd runs");
    assert!(!full.status.success(), "the disk is full");
    world.until("the worker says that the disk is full", || {
        let log = std::fs::read_to_string(world.logs().join("marie.log")).ok()?;
        (log.contains("MiB left") && log.contains("make room")).then_some(())
    });
    let status = String::from_utf8_lossy(&world.agentctl(&["status"]).stderr).into_owned();
    assert!(status.contains("MiB left"), "status says so although no state can be written: {status}");
    std::fs::write(&gate, "").expect("the gate is on another disk");
    world.until("the agent has ended", || {
        world.agent_log().iter().any(|line| line["event"] == "end").then_some(())
    });
    assert_eq!(world.homes("running"), ["marie/active"], "it stays where it is");

    std::fs::remove_file(&filler).expect("room comes back");
    let task = world.filed("marie/completed", "running");
    assert_eq!(task["result"], "kept");
    world.submit("marie/pending", "next", &json!({"prompt": "fake: succeed text=on"}));
    assert_eq!(world.filed("marie/completed", "next")["result"], "on");
    let starts = world.agent_log().iter().filter(|line| line["event"] == "start").count();
    assert_eq!(starts, 2, "nothing was run twice");
    assert_eq!(watcher.stop(), 0);
}
