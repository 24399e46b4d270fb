//! The real programs under those who connect to them: the work goes on, scrapes are answered, nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{ask, code, connect, get};
use crate::sight::{agent, logged, status};
use crate::world::{Started, World};

/// A watcher with a face, started by a shell line that ends in `exec "$0" "$@"`.
fn up_by(world: &World, line: &str) -> (Started, SocketAddr) {
    let inner = world.served("marie", "127.0.0.1:0");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).arg(inner.get_program()).args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    (watcher, world.address("marie"))
}

/// This test holds thousands of connections itself.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// How long a scrape takes: the middle one of twenty.
fn scrape(addr: SocketAddr) -> Duration {
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(code(&get(addr, "/metrics")), "200");
            began.elapsed()
        })
        .collect();
    times.sort();
    times[10]
}

/// Connections of every bad kind, `n` in all. Some are pushed out before they have said anything.
fn besiege(addr: SocketAddr, n: usize) -> Vec<TcpStream> {
    let pipelined = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    let kinds: [&[u8]; 6] = [
        b"",
        b"GET /met",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Half: ",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        pipelined.as_bytes(),
    ];
    let mut held = Vec::new();
    for n in 0..n {
        let mut stream = connect(addr);
        stream.write_all(kinds[n % kinds.len()]).ok();
        held.push(stream);
    }
    held
}

fn kib(pid: i32, field: &str) -> u64 {
    status(pid, field).unwrap().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn two_thousand_bad_connections_stop_neither_the_work_nor_a_scrape() {
    raise_open_files();
    let world = World::new();
    let (watcher, addr) = up_by(&world, r#"exec "$0" "$@""#);
    let gate = world.path().join("gate");
    world.submit("", "before", &json!({"prompt": format!("fake: gate={}; succeed", gate.display())}));
    agent(&world, "before");
    let (mut held, mut took) = (Vec::new(), Duration::MAX);
    // Others may keep the machine busy in one round; connections that are in the way are so in each.
    for _ in 0..10 {
        held = besiege(addr, 2000);
        took = scrape(addr);
        if took < Duration::from_millis(100) {
            break;
        }
    }
    let threads: u64 = status(watcher.pid(), "Threads").unwrap().parse().unwrap();
    world.submit("", "during", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "during");
    fs::write(&gate, "").unwrap();
    world.filed("marie/completed", "before");
    println!("scrape {took:?}, threads {threads}, peak {} KiB", kib(watcher.pid(), "VmHWM"));
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert!(threads < 32, "{threads}");
    assert!(kib(watcher.pid(), "VmHWM") < 64 * 1024);
    drop(held);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn whoever_takes_all_connections_leaves_descriptors_for_the_work() {
    raise_open_files();
    let world = World::new();
    let (watcher, addr) = up_by(&world, r#"ulimit -n 64; exec "$0" "$@""#);
    let held = besiege(addr, 500);
    for n in 0..5 {
        world.submit("", &format!("t{n}"), &json!({"prompt": "fake: succeed"}));
    }
    for n in 0..5 {
        let task = world.filed("marie/completed", &format!("t{n}"));
        assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "started at once: {task}");
    }
    assert_eq!(logged(&world, "marie", "could not be started"), Vec::<serde_json::Value>::new());
    assert!(scrape(addr) < Duration::from_secs(1));
    drop(held);
    assert_eq!(code(&get(addr, "/health")), "200");
    assert_eq!(watcher.stop(), 0);
}

/// Names and contents below `dir`, but for what beats.
fn picture(dir: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let beats = ["heartbeat.json", "state.json"].contains(&entry.file_name().to_str().unwrap());
        let content = if kind.is_file() && !beats { fs::read(&path).unwrap() } else { Vec::new() };
        if path.extension().is_none_or(|it| it != "tmp") {
            into.insert(path.display().to_string(), content);
        }
        if kind.is_dir() {
            picture(&path, into);
        }
    }
}

const PATHS: [&str; 14] = [
    "/",
    "/metrics",
    "/health",
    "/health/worker",
    "/health/queue",
    "/health/artifacts",
    "/health/registry",
    "/health/orchestrator",
    "/api/status",
    "/api/tasks/works/cancel",
    "/api/status?op=cancel&task=works",
    "/-/quit",
    "/../../tasks/marie/pending/x.json",
    "/pause",
];

const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "CANCEL"];

#[test]
fn nothing_can_be_changed_over_http() {
    let world = World::new();
    let mut command = world.command("supervisor");
    command.args([
        "up",
        "--agent",
        "claude",
        "--workers",
        "marie=0",
        "--metrics-addr",
        "127.0.0.1:0",
        "--log-format",
        "json",
    ]);
    command.arg("--root").arg(world.root()).arg("--log-dir").arg(world.logs());
    command.arg("--claude-bin").arg(world.program("fake-claude"));
    world.program("watcher");
    let supervisor = world.start(&mut command, "supervisor");
    let marie = world.address("marie");
    world.submit("", "works", &json!({"prompt": "fake: hang"}));
    agent(&world, "works");
    world.submit("", "done", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "done");
    world.submit("marie/pending", "later", &json!({"prompt": "x", "not_before": "2100-01-01T00:00:00Z"}));
    let boss: SocketAddr = world.until("the supervisor says where it serves", || {
        let said = fs::read_to_string(world.logs().join("supervisor.err")).ok()?;
        said.split_once("http://")?.1.split_once("http://")?.1.split('/').next()?.parse().ok()
    });
    let look = || {
        let mut seen = BTreeMap::new();
        picture(&world.root(), &mut seen);
        seen
    };
    // What is on its way when this begins comes to rest first; a lock file may come with the next beat only.
    world.until("the lock of the task is told", || {
        let said = fs::read(world.root().join("locks/marie_task_works.lock")).ok()?;
        (!said.is_empty()).then_some(())
    });
    let (mut before, mut same) = (look(), 0);
    world.until("the tree rests", || {
        let now = look();
        same = if now == before { same + 1 } else { 0 };
        before = now;
        (same > 100).then_some(())
    });
    for addr in [marie, boss] {
        for path in PATHS {
            for method in METHODS {
                let body = r#"{"op":"cancel","task":"works"}"#;
                let with_body = format!(
                    "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let bare = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                assert!(!code(&ask(addr, &with_body)).starts_with('2'), "{with_body}");
                let answer = ask(addr, &bare);
                let reads = ["GET", "HEAD"].contains(&method);
                assert!(reads || ["405", "400"].contains(&code(&answer)), "{bare}: {answer}");
            }
        }
    }
    let after = look();
    let paths: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed: Vec<_> = paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "{changed:?}");
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn a_page_about_tasks_is_shown_under_names_that_are_ours() {
    let world = World::new();
    let mut command = world.served("marie", "127.0.0.1:0");
    let watcher = world.start(command.args(["--allowed-host", "box.example.org"]), "marie");
    world.at_work("marie", &watcher);
    let addr = world.address("marie");
    let asked = |path: &str, host: &str| {
        let answer = ask(addr, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        code(&answer).to_owned()
    };
    // As another container, a scraper and a person call it.
    for host in ["marie:9091", "localhost:9091", "127.0.0.1:9091", "box.example.org:9091"] {
        assert_eq!(
            (asked("/api/status", host).as_str(), asked("/metrics", host).as_str()),
            ("200", "200"),
            "{host}"
        );
    }
    assert_eq!(asked("/api/status", "rebind.attacker.net:9091"), "421");
    assert_eq!(asked("/metrics", "marie.monitoring.svc.cluster.local:9091"), "200");
}
