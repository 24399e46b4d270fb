//! Who may read what a run leaves behind: the owner and the operators' group, whatever the umask was.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::sight::agent;
use crate::world::{Started, World};

/// A watcher that was started with `umask`.
fn up_under(world: &World, umask: &str) -> Started {
    let inner = world.watcher("marie");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"umask "$0"; exec "$@""#, umask]).arg(inner.get_program()).args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    watcher
}

/// What is wrong with the modes below `dir`.
fn wrong(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        let mode = meta.permissions().mode() & 0o7777;
        let below = |dir: &str| path.components().any(|it| it.as_os_str() == dir);
        let is_right = if below("scratch") {
            // The agent's own; nobody gets through its first folder.
            !path.ends_with("scratch/marie") || mode == 0o700
        } else if meta.is_dir() {
            // Operators drop into folders, so the group may write; what is new belongs to the group too. What agents may
            // do is for the owner to say.
            mode == if path.ends_with("packs") { 0o2750 } else { 0o2770 }
        } else if meta.file_type().is_fifo() && below("pipes") && !below("artifacts") {
            // Who is in the group gives orders on one, and hears on the other.
            mode == if path.extension().is_some_and(|it| it == "out") { 0o640 } else { 0o620 }
        } else if meta.file_type().is_fifo() {
            mode == 0o600
        } else if below("workspaces") {
            mode & !0o020 == 0o640
        } else {
            mode == 0o640
        };
        if !is_right {
            found.push(format!("{} {mode:o}", path.display()));
        }
        if meta.is_dir() {
            wrong(&path, found);
        }
    }
}

#[test]
fn a_run_leaves_nothing_that_others_may_read_and_all_that_the_group_may() {
    for umask in ["000", "077"] {
        let world = World::new();
        let _watcher = up_under(&world, umask);
        world.submit("", "good", &json!({"prompt": "fake: write file=made.txt text=x; succeed"}));
        world.submit("", "bad", &json!({"prompt": "fake: fail turns"}));
        world.submit("", "works", &json!({"prompt": "fake: write file=made.txt text=x; hang"}));
        world.filed("marie/completed", "good");
        world.filed("marie/failed", "bad");
        agent(&world, "works");
        let mut found = Vec::new();
        wrong(&world.root(), &mut found);
        assert!(found.is_empty(), "umask {umask}:\n{}", found.join("\n"));
        let log = fs::metadata(world.logs().join("marie.log")).unwrap().permissions().mode();
        assert_eq!(log & 0o777, 0o640, "{log:o}");
    }
}
