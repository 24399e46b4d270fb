//! Working directories that a task may not have, or that are gone when it is their turn.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::json;

use super::safe_reason;
use crate::sight::agent;
use crate::world::{Started, World};

fn up(world: &World, roots: &Path) -> Started {
    let watcher = world.start(world.watcher("marie").arg("--workdir-root").arg(roots), "marie");
    world.at_work("marie", &watcher);
    watcher
}

#[test]
fn a_directory_that_cannot_be_worked_in_fails_its_task_and_holds_nobody() {
    let world = World::unprivileged();
    let roots = world.path().join("repos");
    for dir in ["closed", "outside/../../outside"] {
        fs::create_dir_all(roots.join(dir)).unwrap();
    }
    fs::write(roots.join("file"), "").unwrap();
    symlink(world.path().join("outside"), roots.join("link")).unwrap();
    fs::set_permissions(roots.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let watcher = up(&world, &roots);
    let table = [
        ("closed", "cannot be used: Permission denied"),
        ("file", "is no directory"),
        ("link", "does not lie under"),
        ("none", "cannot be used: No such file"),
        ("../outside", "does not lie under"),
        ("b\u{202e}\n", "cannot be used"),
    ];
    for (n, (dir, _)) in table.iter().enumerate() {
        world.submit(
            "marie/pending",
            &format!("t{n}"),
            &json!({"prompt": "fake: cwd", "workdir": roots.join(dir)}),
        );
    }
    for (n, (_, part)) in table.iter().enumerate() {
        let reason = safe_reason(&world, "marie", &format!("t{n}.json"));
        assert_eq!(reason["error_code"], "E002");
        assert!(reason["reason"].as_str().unwrap().contains(part), "{part}: {reason}");
    }
    super::a_good_task_is_done(&world, &watcher, "good");
    assert_eq!(world.agent_log().iter().filter(|it| it["event"] == "start").count(), 1);
    assert!(crate::sight::logged(&world, "marie", "claiming nothing").is_empty(), "nobody was held");
}

#[test]
fn a_directory_that_is_removed_between_two_attempts_fails_its_task() {
    let world = World::new();
    let (repo, gate) = (world.path().join("repos/one"), world.path().join("gate"));
    fs::create_dir_all(&repo).unwrap();
    let watcher = up(&world, &world.path().join("repos"));
    let prompt = format!("fake: gate={}; fail error | succeed", gate.display());
    world.submit("marie/pending", "x", &json!({"prompt": prompt, "workdir": repo}));
    agent(&world, "x");
    fs::remove_dir_all(&repo).unwrap();
    fs::write(gate, "").unwrap();
    let reason = safe_reason(&world, "marie", "x.json");
    assert!(reason["reason"].as_str().unwrap().contains("cannot be used: No such file"), "{reason}");
    super::a_good_task_is_done(&world, &watcher, "good");
}
