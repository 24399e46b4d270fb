//! Users of their own: for each worker, and for those who may only drop. What `docs/security.md` says of them.
//!
//! Only root can become others, so without it these are skipped.

#![cfg(feature = "test-support")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![allow(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and writes files")]

#[path = "support/real.rs"]
mod real;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use world::{Started, World};

/// Both workers and whoever operates them.
const OPERATORS: u32 = 4100;
/// Who may only drop.
const DROPPERS: u32 = 4200;
const MARIE: u32 = 4001;
const ANGA: u32 = 4002;

fn can_be_others() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        real::skip("only root can become other users");
    }
    root
}

/// The root and the logs belong to the group of operators, as an installation lays them out.
fn shared_by_operators() -> World {
    let world = World::new();
    for (dir, mode) in [(world.root(), 0o2770), (world.logs(), 0o2775), (world.home(), 0o2770)] {
        chown(&dir, Some(MARIE), Some(OPERATORS)).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
    }
    world
}

fn up(world: &World, worker: &str, uid: u32) -> Started {
    let mut command = world.watcher(worker);
    command.args(["--agent", "echo"]).uid(uid).gid(OPERATORS);
    let started = world.start(&mut command, worker);
    world.at_work(worker, &started);
    started
}

/// Whether `script` succeeds when that user runs it in `dir`.
fn can(uid: u32, gid: u32, dir: &Path, script: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir("/").env_clear().env("PATH", "/usr/bin:/bin").env("DIR", dir);
    shell.uid(uid).gid(gid).output().unwrap().status.success()
}

#[test]
fn workers_with_users_of_their_own_share_a_root() {
    if !can_be_others() {
        return;
    }
    let world = shared_by_operators();
    let _marie = up(&world, "marie", MARIE);
    let _anga = up(&world, "anga", ANGA);
    for n in 0..6 {
        let drop = format!("umask 022; echo '{{\"prompt\":\"hi\"}}' > $DIR/tasks/t{n}.json");
        assert!(can(4003, OPERATORS, &world.root(), &drop));
    }
    for n in 0..6 {
        let done = |worker| world.root().join(format!("tasks/{worker}/completed/t{n}.json")).exists();
        world.until("one of them did it", || (done("marie") || done("anga")).then_some(()));
        assert_eq!(world.homes(&format!("t{n}")).len(), 1);
    }
    for worker in ["marie", "anga"] {
        world.submit(&format!("{worker}/pending"), "own", &serde_json::json!({"prompt": "hi"}));
        world.filed(&format!("{worker}/completed"), "own");
    }
}

#[test]
fn who_may_only_drop_sees_and_changes_nothing_else() {
    if !can_be_others() {
        return;
    }
    let world = shared_by_operators();
    let root = world.root();
    // Made before the watcher: what an operator set is left as it is.
    let pending = root.join("tasks/marie/pending");
    fs::create_dir_all(&pending).unwrap();
    for dir in ["tasks/marie/pending", "tasks/marie", "tasks", ""] {
        chown(root.join(dir), Some(MARIE), Some(OPERATORS)).unwrap();
        fs::set_permissions(root.join(dir), fs::Permissions::from_mode(0o2771)).unwrap();
    }
    chown(&pending, Some(MARIE), Some(DROPPERS)).unwrap();
    fs::set_permissions(&pending, fs::Permissions::from_mode(0o3730)).unwrap();
    let marie = up(&world, "marie", MARIE);
    assert_eq!(fs::metadata(&pending).unwrap().permissions().mode() & 0o7777, 0o3730);

    let dropped = "umask 022; echo '{\"prompt\":\"hi\"}' > $DIR/tasks/marie/pending/x.json";
    assert!(can(4004, DROPPERS, &root, dropped));
    world.filed("marie/completed", "x");

    marie.stop();
    assert!(can(
        4004,
        DROPPERS,
        &root,
        "umask 022; echo '{\"prompt\":\"hi\"}' > $DIR/tasks/marie/pending/y.json"
    ));
    for (script, what) in [
        ("ls $DIR/tasks/marie/pending", "sees what else waits"),
        (
            "rm -f $DIR/tasks/marie/pending/y.json && ! test -e $DIR/tasks/marie/pending/y.json",
            "takes another's task",
        ),
        ("mv $DIR/tasks/marie/pending/y.json $DIR/tasks/marie/pending/z.json", "renames another's task"),
        ("ls $DIR/tasks", "sees the inbox"),
        ("echo '{\"prompt\":\"hi\"}' > $DIR/tasks/z.json", "drops into the inbox"),
        ("cat $DIR/tasks/marie/completed/x.json", "reads an answer"),
        ("ls $DIR/artifacts || ls $DIR/workspaces", "sees a run"),
        ("cat $DIR/workers/marie/state.json", "sees a worker"),
        ("touch $DIR/tasks/marie/active/z.json", "writes into active/"),
        ("rm $DIR/locks/marie_watcher.lock", "removes a lock"),
    ] {
        assert!(!can(4005, DROPPERS, &root, script), "one who may only drop {what}");
    }
}
