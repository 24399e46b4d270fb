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

/// The names that logrotate gives differ by the second, as the kernel's coarse clock has it, which may be late.
fn second() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[test]
fn no_line_is_lost_or_doubled_while_logrotate_rotates() {
    let Some(program) = real::program("logrotate") else { return };
    let dir = tempfile::tempdir().unwrap();
    let handle = log::install(&options(dir.path()), None, SystemClock::shared()).unwrap();
    let (mut n, mut old) = (0, 0);
    for rotation in 0..3 {
        let began = second();
        // It goes on writing, before it has noticed and after: until it writes into the new file, and until that gets
        // another name.
        let noticed = world::until(world::PATIENCE, || {
            for _ in 0..20 {
                tracing::info!(n, "one of many");
                n += 1;
            }
            let path = dir.path().join("marie.log");
            (inode(&path) != old && fs::metadata(&path).ok()?.len() > 0 && second() > began + 1).then_some(())
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

fn options(dir: &Path) -> LogOptions {
    LogOptions {
        format: LogFormat::Json,
        level: "info".to_owned(),
        file: Some(dir.join("marie.log")),
        rotation: Rotation { max_bytes: None, keep: 0 },
        journal_stream: None,
        color: false,
        redactor: agent_worker::text::redact::Redactor::default(),
    }
}

const WRITER_DIR: &str = "LOG_WRITER_DIR";
const WRITER_LIFE: &str = "LOG_WRITER_LIFE";
/// More than a page, so that a kill can come in the middle of a line.
const LONG: usize = 1900;

/// What this process has written, to the file and to standard error alike (`proc_pid_io(5)`).
fn written_so_far() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok())
}

/// The program that is killed: this test's own, started with a folder in its environment. Without one it does nothing.
#[test]
fn the_writer_that_is_killed() {
    let Some(dir) = std::env::var_os(WRITER_DIR) else { return };
    let life = std::env::var(WRITER_LIFE).unwrap();
    let handle = log::install(&options(dir.as_ref()), None, SystemClock::shared()).unwrap();
    let pad = "x".repeat(LONG);
    for n in 0_u64.. {
        tracing::info!(n, life, a = pad, b = pad, c = pad, "one of many");
        // What was said is written before more is said, else it would be dropped, which is another thing than lost.
        let due = |written: u64| n % 512 != 0 || written > n * 2 * 3 * LONG as u64;
        world::until(world::PATIENCE, || due(written_so_far()?).then_some(()));
        assert_eq!(handle.dropped(), 0, "the test wrote faster than a disk can");
    }
}

/// It writes, it is rotated, it is killed, and again: each life's lines are there from the first to the last, in order,
/// and what a kill has torn is one piece on a line of its own.
#[test]
fn no_line_is_lost_or_spoilt_by_rotations_and_kills() {
    let Some(program) = real::program("logrotate") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("marie.log");
    let lives = ["one", "two"];
    for life in lives {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "logs::the_writer_that_is_killed"])
            .env(WRITER_DIR, dir.path())
            .env(WRITER_LIFE, life)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..2 {
            let (old, began) = (inode(&path), second());
            let grown = || fs::metadata(&path).is_ok_and(|meta| meta.len() > 100_000) && second() > began + 1;
            assert!(world::until(world::PATIENCE, || grown().then_some(())).is_some(), "{life} writes");
            rotate(&program, dir.path());
            let anew = || inode(&path) != old && fs::metadata(&path).is_ok_and(|meta| meta.len() > 0);
            assert!(world::until(world::PATIENCE, || anew().then_some(())).is_some(), "{life} goes on");
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
    let text = Command::new("sh")
        // In the order in which they were written: by the second in their names, and last what has none.
        .args(["-c", "for f in $(ls marie.log-* | sort) marie.log; do case $f in *.gz) zcat $f;; *) cat $f;; esac; done"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    let (mut next, mut torn) = (std::collections::BTreeMap::new(), Vec::new());
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            torn.push(line.len());
            continue;
        };
        let due = next.entry(line["life"].as_str().unwrap().to_owned()).or_insert(0);
        assert_eq!(line["n"], *due, "lost, doubled or out of its order");
        *due += 1;
    }
    assert_eq!(next.len(), lives.len());
    assert!(next.values().all(|lines| *lines > 50), "{next:?}");
    assert!(torn.len() <= lives.len(), "a kill tears one line at most: {torn:?}");
}

/// The folder of the log goes and something is in its way: it works on, says what is missing, and goes on when it can.
#[test]
fn a_log_folder_that_is_gone_costs_its_lines_and_nothing_else() {
    let world = World::new();
    let logs = world.path().join("own");
    let mut watcher = world.command("watcher");
    watcher.args(["--worker", "marie", "--metrics-addr", "none", "--agent", "echo", "--root", "shared"]);
    let watcher = world.start(watcher.arg("--log-dir").arg(&logs), "marie");
    world.at_work("marie", &watcher);
    let run = |name: &str| {
        world.submit("marie/pending", name, &serde_json::json!({"prompt": "hello"}));
        world.filed("marie/completed", name);
    };
    run("before");
    fs::remove_dir_all(&logs).unwrap();
    fs::write(&logs, "in the way").unwrap();
    run("lost");
    let said = || fs::read_to_string(world.logs().join("marie.err")).unwrap();
    world.until("it says so", || said().contains("did not take these lines").then_some(()));
    fs::remove_file(&logs).unwrap();
    world.until("it goes on", || {
        run(&format!("after-{}", second()));
        fs::read_to_string(logs.join("marie.log")).ok()?.contains("task COMPLETED").then_some(())
    });
    assert!(said().contains(r#""task":"lost""#), "standard error has what the file has not");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn what_a_watcher_logs_is_bounded_without_anybody_elses_help() {
    let world = World::new();
    for (name, content) in [("marie.log", "x\n".repeat(550_000)), ("marie.log.1", "older".to_owned())] {
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
