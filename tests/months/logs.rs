//! Logs: no line is lost by rotation, and what is kept is bounded.

use std::fs;
use std::path::Path;
use std::process::Command;

use agent_worker::clock::SystemClock;
use agent_worker::telemetry::log::{self, LogFormat, LogOptions, Rotation};
use serde_json::Value;

use crate::names;
use crate::world::World;
use crate::{real, world};

/// The numbers in all files of a log, those that were compressed too, in no order.
fn logged(dir: &Path) -> Vec<u32> {
    let text = Command::new("sh")
        .args(["-c", "for f in marie.log*; do case $f in *.gz) zcat $f;; *) cat $f;; esac; done"])
        .current_dir(dir)
        .output()
        .unwrap();
    let lines = String::from_utf8(text.stdout).unwrap();
    let number = |line: &str| -> Option<u32> {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("torn: {line}: {error}"));
        line["n"].as_u64()?.try_into().ok()
    };
    lines.lines().filter_map(number).collect()
}

/// Rotates as the shipped configuration says.
fn rotate(program: &Path, dir: &Path) {
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/logrotate.conf")).unwrap();
    assert!(shipped.contains("/var/log/agents/*.log"));
    let config = dir.join("logrotate.conf");
    fs::write(&config, shipped.replace("/var/log/agents", &dir.display().to_string())).unwrap();
    fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let done = Command::new(program)
        .args(["--verbose", "--force", "--state"])
        .arg(dir.join("state"))
        .arg(&config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.contains("renaming"), "{said}");
}

#[test]
fn no_line_is_lost_or_doubled_while_logrotate_rotates() {
    let Some(program) = real::program("logrotate") else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        format: LogFormat::Json,
        level: "info".to_owned(),
        file: Some(dir.path().join("marie.log")),
        rotation: Rotation { max_bytes: None, keep: 0 },
        color: false,
        redactor: agent_worker::text::redact::Redactor::default(),
    };
    let handle = log::install(&options, None, SystemClock::shared()).unwrap();
    let (mut n, mut old) = (0, 0);
    for rotation in 0..5 {
        // It goes on writing, before it has noticed and after: until it writes into the new file.
        let noticed = world::until(world::PATIENCE, || {
            for _ in 0..20 {
                tracing::info!(n, "one of many");
                n += 1;
            }
            let path = dir.path().join("marie.log");
            (inode(&path) != old && fs::metadata(&path).ok()?.len() > 0).then_some(())
        });
        assert!(noticed.is_some(), "rotation {rotation} was not noticed");
        old = inode(&dir.path().join("marie.log"));
        rotate(&program, dir.path());
    }
    assert_eq!(handle.dropped(), 0, "the test wrote faster than a disk can");
    drop(handle);
    let mut numbers = logged(dir.path());
    numbers.sort_unstable();
    assert_eq!(numbers, (0..n).collect::<Vec<u32>>());
    assert!(names(dir.path()).iter().any(|name| name.contains(".gz")), "{:?}", names(dir.path()));
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta)).unwrap_or_default()
}

#[test]
fn what_a_watcher_logs_is_bounded_without_anybody_elses_help() {
    let world = World::new();
    for (name, content) in [("marie.log", "x".repeat(1_100_000)), ("marie.log.1", "older".to_owned())] {
        fs::write(world.logs().join(name), content).unwrap();
    }
    let mut watcher = world.watcher("marie");
    watcher.args(["--agent", "echo", "--durability", "none", "--log-max-mb", "1", "--log-keep", "1"]);
    let started = world.start(&mut watcher, "marie");
    world.at_work("marie", &started);
    assert_eq!(started.stop(), 0);
    let size = |name: &str| fs::metadata(world.logs().join(name)).map_or(0, |meta| meta.len());
    assert!((1..100_000).contains(&size("marie.log")), "{}", size("marie.log"));
    assert_eq!(size("marie.log.1"), 1_100_000);
    assert_eq!(size("marie.log.2"), 0, "only one was to be kept");
}
