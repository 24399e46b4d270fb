//! What the outside sees of a real watcher: its pages over HTTP, and a real Prometheus that scrapes them.

#![cfg(feature = "test-support")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "support/http.rs"]
mod http;
#[path = "support/prometheus.rs"]
mod prometheus;
#[path = "support/real.rs"]
mod real;
#[path = "support/world.rs"]
mod world;

use std::net::SocketAddr;

use http::{body, code, get};
use serde_json::{Value, json};
use world::{Started, World};

/// A watcher on a free port, and where it is.
fn up(world: &World) -> (Started, SocketAddr) {
    let started = world.start(&mut world.served("marie", "127.0.0.1:0"), "marie");
    world.at_work("marie", &started);
    (started, world.address("marie"))
}

/// Two that end well, one that fails, one that is timed out, and one that works as long as the file is missing.
fn work(world: &World) {
    for (name, task) in [
        ("good", json!({"prompt": "fake: succeed text=hi"})),
        ("fine", json!({"prompt": "fake: succeed text=hi"})),
        ("lost", json!({"prompt": "x", "type": "no-such-pack"})),
        ("late", json!({"prompt": "fake: hang", "timeout_s": 1, "max_retries": 0})),
        ("long", json!({"prompt": format!("fake: gate={}; succeed", world.home().join("gate").display())})),
    ] {
        world.submit("marie/pending", name, &task);
    }
    world.filed("marie/completed", "good");
    world.filed("marie/completed", "fine");
    world.filed("marie/failed", "lost");
    world.filed("marie/failed", "late");
    world.active("marie", "long", |task| task["attempts"][0]["pid"].is_number());
}

fn ask(addr: SocketAddr, path: &str) -> Value {
    let answer = get(addr, path);
    serde_json::from_str(body(&answer)).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
}

#[test]
fn prometheus_counts_what_the_worker_did() {
    let Some(program) = real::program("prometheus") else { return };
    let world = World::new();
    let (_watcher, addr) = up(&world);
    work(&world);
    let dir = tempfile::tempdir().unwrap();
    let (_running, api) = prometheus::start(&program, dir.path(), &[addr]);
    for (query, value) in [
        ("up", "1"),
        ("active_tasks", "1"),
        ("task_failed_total", "2"),
        ("agent_runs_total%7Bstatus%3D%22COMPLETED%22%7D", "2"),
        ("agent_runs_total%7Bstatus%3D%22FAILED%22%7D", "1"),
        ("agent_runs_total%7Bstatus%3D%22TIMEOUT%22%7D", "1"),
        ("agent_runs_total%7Bstatus%3D%22CANCELLED%22%7D", "0"),
        ("agent_execution_duration_seconds_count", "3"),
        ("agent_worker_claims_total", "5"),
        ("count(agent_worker_build_info)", "1"),
        ("count(process_resident_memory_bytes)", "1"),
    ] {
        let path = format!("/api/v1/query?query={query}");
        let mut last = Value::Null;
        world::until(http::DEADLINE, || {
            last = ask(api, &path);
            (last["data"]["result"][0]["value"][1] == value).then_some(())
        })
        .unwrap_or_else(|| panic!("{query} is {value}: {last}"));
    }
    let targets = ask(api, "/api/v1/targets");
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!((&target["health"], &target["lastError"]), (&json!("up"), &json!("")), "{target}");
}

#[test]
fn promtool_finds_nothing_to_say_about_a_worker_that_has_worked() {
    let Some(promtool) = real::program("promtool") else { return };
    let world = World::new();
    let (_watcher, addr) = up(&world);
    work(&world);
    let page = get(addr, "/metrics");
    let (is_clean, said) = prometheus::check(&promtool, body(&page));
    assert!(is_clean && said.trim().is_empty(), "{said}");
    for secret in ["good", "long", world.home().to_str().unwrap()] {
        assert!(!page.contains(&format!("\"{secret}")), "no task and no path is a label: {page}");
    }
}

#[test]
fn promtool_finds_nothing_to_say_about_a_supervisor_that_has_restarted() {
    let Some(promtool) = real::program("promtool") else { return };
    let world = World::new();
    world.program("watcher");
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = world.command("supervisor");
    command.args(["run", "--workers", "marie=none", "--root"]).arg(world.root());
    command.args(["--metrics-addr", &addr.to_string(), "--log-dir"]).arg(world.logs());
    let supervisor = world.start(&mut command, "supervisor");
    let mirror = world.root().join("locks/marie_watcher.lock");
    let pid = world.until("a watcher is at work", || world::json(&mirror)?["pid"].as_i64());
    world.until("the supervisor has seen it beat", || {
        let seen = !ask(addr, "/api/status")["workers"][0]["heartbeat"].is_null();
        seen.then_some(())
    });
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let page = world.until("it is back", || {
        let page = get(addr, "/metrics");
        page.contains("agent_worker_recovery_seconds_count 1").then_some(page)
    });
    let (is_clean, said) = prometheus::check(&promtool, body(&page));
    assert!(is_clean && said.trim().is_empty(), "{said}");
    assert!(page.contains("agent_worker_detection_seconds_count 1"), "{page}");
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn the_pages_tell_what_the_worker_does() {
    let world = World::new();
    let (watcher, addr) = up(&world);
    work(&world);
    for page in ["/health", "/health/worker", "/health/queue", "/health/artifacts", "/health/registry"] {
        let answer = get(addr, page);
        assert_eq!(code(&answer), "200", "{page}: {answer}");
        let said: Value = serde_json::from_str(body(&answer)).unwrap();
        assert_eq!(said["status"], "ok", "{page}: {said}");
        assert!(said["timestamp"].is_string(), "{page}: {said}");
    }
    let status = world.until("the page shows the task", || {
        let status = ask(addr, "/api/status");
        (status["running"][0]["task"] == "long" && status["queues"]["failed"] == 2).then_some(status)
    });
    assert_eq!((&status["worker"], &status["status"]), (&json!("marie"), &json!("running")), "{status}");
    assert_eq!(status["queues"]["completed"], 2, "{status}");
    assert_eq!(status["running"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(watcher.stop(), 0);
    assert!(std::net::TcpStream::connect(addr).is_err(), "the port is free when the watcher is gone");
}

#[test]
fn a_worker_that_cannot_work_is_not_healthy() {
    let world = World::new();
    let (_watcher, addr) = up(&world);
    world.submit("marie/pending", "locked", &json!({"prompt": "fake: api status=401"}));
    let answer = world.until("it says so", || {
        let answer = get(addr, "/health");
        (code(&answer) == "503").then_some(answer)
    });
    for word in ["E005", "/login"] {
        assert!(answer.contains(word), "`{word}` in {answer}");
    }
}

#[test]
fn the_second_on_a_port_says_so_and_works() {
    let world = World::new();
    let (first, addr) = up(&world);
    let second = world.start(&mut world.served("anga", &addr.to_string()), "anga");
    world.at_work("anga", &second);
    world.submit("anga/pending", "hello", &json!({"prompt": "fake: succeed text=hi"}));
    assert_eq!(world.filed("anga/completed", "hello")["result"], "hi");
    let said = world.until("it says who has the port", || {
        let text = std::fs::read_to_string(world.logs().join("anga.log")).ok()?;
        text.lines().find(|line| line.contains("the work goes on")).map(str::to_owned)
    });
    assert!(said.contains(&addr.to_string()) && said.contains(&format!("pid {}", first.pid())), "{said}");
    assert_eq!(ask(addr, "/api/status")["worker"], "marie");
    assert_eq!(second.stop(), 0);
}
