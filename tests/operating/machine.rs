//! What the machine lacks: room, memory, a sound folder.

use std::fs;

use serde_json::json;

use crate::faults::SmallDisk;
use crate::stage::Stage;
use crate::traces;
use crate::world::World;

pub(crate) const DISK: &[&str] = &["The disk is full", "Disks", "Months without a hand on it"];
pub(crate) const MEMORY: &[&str] = &["Memory is short", "Memory"];
pub(crate) const GROWS: &[&str] = &["The watcher grows"];
pub(crate) const FOLDER: &[&str] = &["A folder is wrong"];

#[test]
fn a_full_disk_stops_claims_until_there_is_room() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.root(), "size=64m") else { return };
    let Some(mut stage) = Stage::over(world, DISK) else { return };
    stage.host.up(&[]);
    let filler = disk.fill();
    let health = "curl -s http://127.0.0.1:9091/health";
    stage
        .world()
        .until("she says why she takes nothing", || stage.says(health).out.contains("E007").then_some(()));
    let moved = stage.world().path().join("T.json");
    fs::write(&moved, json!({"prompt": "fake: succeed text=room"}).to_string()).unwrap();
    stage.types("agentctl status").tells(&["MiB left below /shared"]);
    stage.types("df -h /shared /var/log/agents").tells(&["100%", "/shared"]);
    stage.types("du -sh /shared/*").tells(&["/shared/tasks"]);
    stage.types("agentctl prune --dry-run").tells(&[]);
    drop(filler);
    stage.types("mount -o remount,rw /shared").tells(&[]);
    traces::state(stage.world(), "marie", |it| it["status"] == "running");
    fs::copy(moved, stage.world().root().join("tasks/marie/pending/T.json")).unwrap();
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "room");
    stage.types("agentctl prune").tells(&[]);
    stage.types("agentctl prune --kind workspaces --older-than 7d").tells(&[]);
    stage.types("agentctl prune --failed --older-than 30d").tells(&[]);
    assert_eq!(stage.world().homes("T"), ["marie/completed"], "it is not old");
    stage.types_until("supervisor up", |said| said.contains("supervisor"));
    stage.done();
    stage.host.stop();
    drop(disk);
}

#[test]
fn a_run_that_takes_too_much_memory_is_told() {
    let Some(stage) = Stage::at_work(MEMORY, &["--agent-memory", "100MiB"]) else { return };
    stage.drops("eat mib=200; hang stubborn");
    stage.world().filed("marie/failed", "T");
    stage.types("agentctl status").tells(&["marie"]);
    stage.types("agentctl show T").tells(&["E004", "more than the 100MiB", "--agent-memory"]);
    stage.types("free -m").tells(&["Mem:"]);
    stage.done();
    stage.host.stop();
}

#[test]
fn the_memory_of_a_watcher_is_read_and_is_little() {
    let Some(stage) = Stage::at_work(GROWS, &[]) else { return };
    let said = stage.types("grep VmRSS /proc/$(jq .pid /shared/workers/marie/heartbeat.json)/status");
    let kib: u64 = said.tells(&["VmRSS"]).out.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((1_000..40_000).contains(&kib), "{said:?}");
    stage.done();
    stage.host.stop();
}

#[test]
fn a_folder_that_is_a_link_is_named_and_nothing_is_claimed() {
    let Some(stage) = Stage::at_work(FOLDER, &[]) else { return };
    let tasks = stage.world().root().join("tasks/marie");
    fs::rename(tasks.join("pending"), tasks.join("aside")).unwrap();
    std::os::unix::fs::symlink("aside", tasks.join("pending")).unwrap();
    fs::write(tasks.join("aside/T.json"), r#"{"prompt": "fake: succeed text=back"}"#).unwrap();
    traces::state(stage.world(), "marie", |it| it["status"] == "degraded");
    stage.types("agentctl status").tells(&["tasks/marie/pending"]);
    let said = stage.types("agentctl doctor --fix --dry-run");
    assert!(said.out.contains("tasks/marie/pending"), "{said:?}");
    let said = stage.types("agentctl fsck");
    assert!(said.code != 0 && said.out.contains("shape"), "{said:?}");
    fs::remove_file(tasks.join("pending")).unwrap();
    fs::rename(tasks.join("aside"), tasks.join("pending")).unwrap();
    assert_eq!(stage.world().filed("marie/completed", "T")["result"], "back");
    stage.done();
    stage.host.stop();
}
