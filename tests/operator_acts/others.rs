//! Operators who are no root and not the worker's user: what their group may write, they may do.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use serde_json::json;

use crate::tree::{Said, laid_out};
use crate::world::World;

const OPERATORS: u32 = 4100;
const MARIE: u32 = 4001;
const ANA: u32 = 4003;

/// Everything below belongs to marie and to the group of operators.
fn share(path: &Path) {
    chown(path, Some(MARIE), Some(OPERATORS)).unwrap();
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o2770)).unwrap();
        fs::read_dir(path).unwrap().flatten().for_each(|entry| share(&entry.path()));
    }
}

fn ana(world: &World, words: &str) -> Said {
    let mut command = world.command("agentctl");
    command
        .arg("--root")
        .arg(world.root())
        .args(words.split(' '))
        .uid(ANA)
        .gid(OPERATORS)
        .output()
        .unwrap()
        .into()
}

fn drop_task(world: &World, name: &str, task: &serde_json::Value) {
    let path = world.root().join(format!("tasks/marie/pending/.{name}.tmp"));
    fs::write(&path, task.to_string()).unwrap();
    chown(&path, Some(ANA), Some(OPERATORS)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    fs::rename(&path, world.root().join(format!("tasks/marie/pending/{name}.json"))).unwrap();
}

#[test]
fn whoever_may_write_in_the_group_can_change_things() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can become other users");
        return;
    }
    let world = laid_out();
    share(&world.root());
    share(&world.logs());
    share(&world.home());
    drop_task(&world, "a", &json!({"prompt": "x"}));
    drop_task(&world, "b", &json!({"prompt": "fake: succeed"}));
    let said = ana(&world, "cancel a");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(world.homes("a"), ["marie/cancelled"]);
    let said = ana(&world, "hold b");
    assert_eq!(said.code, 0, "{said:?}");
    let mut command = world.watcher("marie");
    let marie = world.start(command.uid(MARIE).gid(OPERATORS), "marie");
    world.at_work("marie", &marie);
    let pipe = world.root().join("pipes/marie.in");
    world.until("it hears", || pipe.exists().then_some(()));
    let said = ana(&world, "release b");
    assert!(said.code == 0 && !said.err.contains("acting on the files"), "{said:?}\n{}", world.said());
    world.filed("marie/completed", "b");
}
