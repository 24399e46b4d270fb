//! `--fix`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use super::ask;
use super::world::World;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_is_safe_is_told_and_then_done() {
    let world = World::new();
    assert_eq!(world.up("marie").stop(), 0);
    let root = world.root();
    fs::remove_dir(root.join("tasks/marie/cancelled")).unwrap();
    fs::set_permissions(root.join("tasks"), fs::Permissions::from_mode(0o2777)).unwrap();
    fs::write(root.join("locks/marie_task_x.lock"), "").unwrap();
    for pipe in ["pipes/marie.in", "pipes/marie.out"] {
        fs::remove_file(root.join(pipe)).ok();
    }
    let dry = ask(&world, &["--fix", "--dry-run"]);
    assert!(dry.err.contains("would make the folder"), "{}", dry.err);
    assert!(!root.join("tasks/marie/cancelled").exists() && mode(&root.join("tasks")) == 0o2777);
    let said = ask(&world, &["--fix"]);
    for told in ["make the folder", "set the mode of", "to 2775", "remove the lock file", "make the pipe"] {
        assert!(said.err.contains(told), "{told}: {}", said.err);
    }
    assert!(root.join("tasks/marie/cancelled").is_dir());
    assert_eq!(mode(&root.join("tasks")), 0o2775);
    assert!(!root.join("locks/marie_task_x.lock").exists());
    let pipe = root.join("pipes/marie.in");
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(mode(&pipe), 0o620);
    for check in ["folder", "locks", "pipe"] {
        assert_eq!(said.told(check, "warn"), [""; 0], "it looks again");
    }
    assert_eq!(world.up("marie").stop(), 0, "a watcher starts on it");
}

#[test]
fn an_empty_root_is_laid_out() {
    let world = World::new();
    let before = ask(&world, &[]);
    assert_eq!(before.code, 69);
    before.says("root", "bad", &["is not laid out", "doctor --fix"]);
    let after = ask(&world, &["--fix"]);
    assert_eq!(after.code, 0, "{:#?}", after.checks);
    assert!(world.root().join("tasks").is_dir() && world.root().join("artifacts").is_dir());
}
