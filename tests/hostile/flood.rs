//! Very many hostile files at once, and a few good ones among them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::Mode;
use serde_json::json;

use super::count;
use crate::sight::{logged, place, status, tasks};
use crate::world::World;

const HOSTILE: usize = 1000;
const GOOD: usize = 50;

fn hostile(dir: &Path, n: usize) {
    let path = dir.join(format!("h{n}.json"));
    let write = |bytes: &[u8]| fs::write(&path, bytes).unwrap();
    match n % 16 {
        0 => write(b""),
        1 => write(b"{\"prompt\": \"half"),
        2 => write(b"\xff\xfe\x00{"),
        3 => write(b"{\"prompt\":1}"),
        4 => write(b"{\"prompt\":\"a\",\"prompt\":\"b\"}"),
        5 => write("[".repeat(10_000).as_bytes()),
        6 => write(format!("{{\"prompt\":\"x\",\"mine\":{}", "[".repeat(10_000)).as_bytes()),
        7 => write(b"{\"prompt\":\"x\",\"id\":\"../x\"}"),
        8 => symlink("/etc/passwd", &path).unwrap(),
        9 => symlink(&path, &path).unwrap(),
        10 => nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o666)).unwrap(),
        11 => fs::create_dir(&path).unwrap(),
        12 => fs::File::create(&path).unwrap().set_len(8 << 30).unwrap(),
        13 if n < 200 => write(format!("{{\"prompt\":\"{}", "x".repeat(9 << 20)).as_bytes()),
        14 if n < 200 => {
            write(format!("{{\"prompt\":\"x\",\"mine\":[{}1]}}{{", "1,".repeat(4 << 20)).as_bytes());
        }
        13..16 => write(format!("{{\"prompt\":\"x\",\"priority\":\"{}\"}}", "y".repeat(20_000)).as_bytes()),
        _ => unreachable!(),
    }
}

#[test]
fn a_thousand_hostile_files_cost_little_and_the_good_ones_are_done() {
    let world = World::new();
    let watcher = world.up("marie");
    for n in 0..HOSTILE {
        hostile(&place(&world, if n % 3 == 0 { "" } else { "marie/pending" }), n);
        if n % (HOSTILE / GOOD) == 0 {
            world.submit("", &format!("good{n}"), &json!({"prompt": "fake: succeed"}));
        }
    }
    world.until_all(GOOD, "good ones are done", || tasks(&world, "marie/completed").len());
    let failed = place(&world, "marie/failed");
    world.until_all(HOSTILE, "have their verdict", || count(&failed, ".json").min(count(&failed, ".reason")));
    world.until("the queue is empty", || {
        (tasks(&world, "").is_empty() && tasks(&world, "marie/pending").is_empty()).then_some(())
    });
    let peak: u64 = status(watcher.pid(), "VmHWM").unwrap().trim_end_matches(" kB").parse().unwrap();
    println!("peak {peak} kB");
    assert!(peak < 64 * 1024, "{peak} kB");
    assert_eq!(logged(&world, "marie", "not a task; moved").len(), HOSTILE, "one line for each");
    let log = fs::metadata(world.logs().join("marie.err")).unwrap().len();
    assert!(log < 2 << 20, "{log} bytes of log");
    let summary = world.agentctl(&["status", "--json"]);
    let summary: serde_json::Value = serde_json::from_slice(&summary.stdout).unwrap();
    assert_eq!(summary["workers"][0]["depths"]["failed"], HOSTILE, "{summary:#}");
}
