//! Names in a queue that are no files, or no files of their own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use serde_json::{Value, json};

use super::{count, drop_bytes, safe_reason};
use crate::sight::{logged, place};
use crate::world::World;

const TASK: &str = r#"{"prompt": "fake: succeed text=never"}"#;

/// Everything that is no regular file of its own, into `dir`; the names and what their reasons say.
fn odd_entries(world: &World, dir: &Path) -> Vec<(&'static str, &'static str)> {
    let precious = world.path().join("precious");
    fs::write(&precious, TASK).unwrap();
    nix::unistd::mkfifo(&dir.join("fifo.json"), Mode::from_bits_truncate(0o666)).unwrap();
    drop(UnixListener::bind(dir.join("socket.json")).unwrap());
    symlink(&precious, dir.join("link.json")).unwrap();
    symlink("/nonexistent", dir.join("dangling.json")).unwrap();
    symlink("loop.json", dir.join("loop.json")).unwrap();
    symlink("/etc/shadow", dir.join("shadow.json")).unwrap();
    fs::hard_link(&precious, dir.join("hard.json")).unwrap();
    fs::create_dir(dir.join("folder.json")).unwrap();
    fs::write(dir.join("folder.json/inside.json"), TASK).unwrap();
    let sparse = fs::File::create(dir.join("sparse.json")).unwrap();
    sparse.set_len(8 << 30).unwrap();
    let mut all = vec![
        ("fifo", "a named pipe"),
        ("socket", "a socket"),
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
        ("loop", "a symbolic link"),
        ("shadow", "a symbolic link"),
        ("hard", "a second name (a hard link)"),
        ("folder", "a directory"),
        ("sparse", "larger than 10 MiB"),
    ];
    for (name, kind, number) in [("char", "c", "3"), ("block", "b", "0")] {
        // Only root may make them.
        let path = dir.join(format!("{name}.json"));
        let made = Command::new("mknod").arg(&path).args([kind, "1", number]).output().unwrap();
        if made.status.success() {
            all.push((name, "a device"));
        }
    }
    all
}

#[test]
fn what_is_no_file_of_its_own_is_moved_by_its_name_alone_and_the_good_task_does_not_wait() {
    let world = World::new();
    let watcher = world.up("marie");
    let dir = place(&world, "marie/pending");
    let odd = odd_entries(&world, &dir);
    let precious = world.path().join("precious");
    let before = fs::metadata(&precious).unwrap();
    // The others have ten seconds to settle, and are not waited for.
    world.submit("marie/pending", "good", &json!({"prompt": "fake: succeed text=good"}));
    let done = place(&world, "marie/completed/good.json");
    let good = world.within("marie", 5, "the good one is done", || crate::world::json(&done));
    assert_eq!(good["result"], "good", "{good}");
    for (name, part) in &odd {
        let reason = safe_reason(&world, "marie", &format!("{name}.json"));
        assert_eq!(reason["error_code"], "E002");
        assert!(reason["reason"].as_str().unwrap().contains(part), "{name}: {reason}");
        let filed = place(&world, &format!("marie/failed/{name}.json"));
        world.until("it follows its reason", || filed.symlink_metadata().ok());
    }
    let filed = |name: &str| place(&world, &format!("marie/failed/{name}.json")).symlink_metadata().unwrap();
    assert!(filed("fifo").file_type().is_fifo() && filed("shadow").is_symlink() && filed("folder").is_dir());
    assert!(place(&world, "marie/failed/folder.json/inside.json").exists());
    let after = fs::metadata(&precious).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), TASK);
    assert_eq!(
        (after.mode(), after.uid(), after.mtime_nsec()),
        (before.mode(), before.uid(), before.mtime_nsec())
    );
    assert_eq!(after.nlink(), 2, "the second name was moved, and stands");
    assert_eq!(world.agent_log().iter().filter(|it| it["event"] == "start").count(), 1);
    super::a_good_task_is_done(&world, &watcher, "after");
}

#[test]
fn a_drop_by_link_and_unlink_is_a_task() {
    let world = World::new();
    let _watcher = world.up("marie");
    let temp = world.path().join("temp");
    fs::write(&temp, r#"{"prompt": "fake: succeed text=linked"}"#).unwrap();
    fs::hard_link(&temp, place(&world, "marie/pending/x.json")).unwrap();
    let seq = || {
        crate::world::json(&world.root().join("workers/marie/heartbeat.json"))
            .and_then(|it| it["seq"].as_u64())
    };
    let seen = seq().unwrap();
    world.until("it was looked at", || seq().filter(|it| *it >= seen + 2));
    assert_eq!(world.homes("x"), ["marie/pending"]);
    fs::remove_file(&temp).unwrap();
    assert_eq!(world.filed("marie/completed", "x")["result"], "linked");
}

#[test]
fn a_writer_that_waits_at_a_pipe_in_the_queue_is_not_woken() {
    let world = World::new();
    let watcher = world.up("marie");
    let fifo = place(&world, "marie/pending/fifo.json");
    nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o666)).unwrap();
    let mut writer = Command::new("/bin/sh").args(["-c", "echo x > \"$0\""]).arg(&fifo).spawn().unwrap();
    safe_reason(&world, "marie", "fifo.json");
    super::a_good_task_is_done(&world, &watcher, "good");
    assert!(writer.try_wait().unwrap().is_none(), "nobody opened the pipe");
    writer.kill().unwrap();
    writer.wait().unwrap();
}

#[test]
fn names_that_no_task_can_have_are_filed_under_others() {
    let world = World::new();
    let watcher = world.up("marie");
    let long = "y".repeat(250) + ".json";
    for (dir, name) in
        [("", &b"caf\xe9.json"[..]), ("marie/pending", long.as_bytes()), ("marie/staged", b"\xff.json")]
    {
        drop_bytes(&world, dir, OsStr::from_bytes(name), TASK.as_bytes());
    }
    let failed = place(&world, "marie/failed");
    world.until("all are filed", || {
        (count(&failed, ".json") == 3 && count(&failed, ".reason") == 3).then_some(())
    });
    let mut said = String::new();
    for name in crate::sight::tasks(&world, "marie/failed") {
        assert_eq!(fs::read_to_string(failed.join(&name)).unwrap(), TASK);
        said += safe_reason(&world, "marie", &name)["reason"].as_str().unwrap();
    }
    for part in ["`caf\u{fffd}.json`, is not UTF-8", "is 255 bytes long, and 200 is the most"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    super::a_good_task_is_done(&world, &watcher, "good");
}

#[test]
fn names_of_tools_at_work_are_left_alone() {
    let world = World::new();
    let watcher = world.up("marie");
    let names = [
        "4913",
        "sedAbCdEf",
        "#x.json",
        "#x.json#",
        ".#x.json",
        "x.json~",
        ".x.json.swp",
        ".x.json.swx",
        "x.json.part",
        "x.json.filepart",
        "x.json.crdownload",
        ".x.json.AbC123",
        ".nfs000000000012",
        "x.json.tmp",
        "x.JSON",
        ".json",
    ];
    for dir in ["", "marie/pending", "marie/staged"] {
        for name in names {
            fs::write(place(&world, dir).join(name), TASK).unwrap();
        }
    }
    symlink("nobody@nowhere.1", place(&world, "marie/pending/.#y.json")).unwrap();
    super::a_good_task_is_done(&world, &watcher, "good");
    let seq = || {
        crate::world::json(&world.root().join("workers/marie/heartbeat.json"))
            .and_then(|it| it["seq"].as_u64())
    };
    let seen = seq().unwrap();
    world.until("everything was looked at", || seq().filter(|it| *it >= seen + 12));
    for dir in ["", "marie/pending", "marie/staged"] {
        for name in names {
            assert!(place(&world, dir).join(name).exists(), "{dir}/{name}");
        }
    }
    assert_eq!(count(&place(&world, "marie/failed"), ""), 0);
}

#[test]
fn what_cannot_be_read_is_filed_and_what_cannot_be_moved_is_said_once_and_shown() {
    let world = World::unprivileged();
    if world.uid.is_none() {
        println!("skipped: only root can drop what another user may not touch");
        return;
    }
    let started = world.start(&mut world.served("marie", "127.0.0.1:0"), "marie");
    world.at_work("marie", &started);
    let pending = place(&world, "marie/pending");
    let secret = world.path().join("secret");
    fs::write(&secret, TASK).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(secret, pending.join("secret.json")).unwrap();
    // A folder of root's cannot be moved into another folder by anybody else: its `..` would change.
    fs::create_dir(pending.join("stuck.json")).unwrap();
    let reason = safe_reason(&world, "marie", "secret.json");
    assert!(reason["reason"].as_str().unwrap().contains("not readable by the worker's user"), "{reason}");
    let said = || logged(&world, "marie", "could not move what is no task").len();
    world.until("it is said", || (said() > 0).then_some(()));
    let addr = world.address("marie");
    world.until("health shows it", || {
        let health = crate::http::get(addr, "/health");
        let shown = ["200 OK", "degraded", "cannot be moved to failed", "stuck.json"];
        shown.iter().all(|it| health.contains(it)).then_some(())
    });
    super::a_good_task_is_done(&world, &started, "good");
    let seq = || {
        crate::world::json(&world.root().join("workers/marie/heartbeat.json"))
            .and_then(|it| it["seq"].as_u64())
    };
    let seen = seq().unwrap();
    world.until("it was tried again", || seq().filter(|it| *it >= seen + 25));
    assert_eq!(said(), 1, "and not said again");
    fs::remove_dir(pending.join("stuck.json")).unwrap();
    world
        .until("health is well again", || crate::http::get(addr, "/health").contains("\"ok\"").then_some(()));
}

#[test]
fn an_operator_s_list_shows_what_lies_in_the_queue_and_is_not_stopped_by_it() {
    let world = World::new();
    world.up("marie").stop();
    odd_entries(&world, &place(&world, "marie/pending"));
    world.submit("marie/pending", "good", &json!({"prompt": "fake: succeed"}));
    for verb in ["list", "status"] {
        let out = world.agentctl(&[verb]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{verb}: {text}");
        assert!(verb == "status" || text.contains("good"), "{text}");
    }
}

#[test]
fn what_was_filed_as_no_task_is_counted_and_listed_whatever_it_is() {
    let world = World::new();
    world.up("marie").stop();
    let failed = place(&world, "marie/failed");
    nix::unistd::mkfifo(&failed.join("pipe.json"), Mode::S_IRUSR).unwrap();
    symlink("/etc/shadow", failed.join("link.json")).unwrap();
    let out = world.agentctl(&["list", "--json"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("pipe") && text.contains("link") && !text.contains("root:"), "{text}");
    let out = world.agentctl(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(status["workers"][0]["depths"]["failed"], 2, "{status:#}");
}
