//! Faults that are no task's: the worker holds, says why, and goes on by itself.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "support/sight.rs"]
mod sight;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use sight::{events, logged, place, state};
use world::{Started, World};

/// A watcher with a face on a free port; its address.
fn up(world: &World, more: &[(&str, &str)]) -> (Started, String) {
    let flags: Vec<_> = more.iter().copied().chain([("--metrics-addr", "127.0.0.1:0")]).collect();
    let started = world.start(&mut sight::watcher_with(world, "marie", &flags), "marie");
    world.at_work("marie", &started);
    let address = world.until("it serves", || {
        Some(logged(world, "marie", "serving /metrics").first()?["addr"].as_str()?.to_owned())
    });
    (started, address)
}

/// Status and body of `/health`.
fn health(address: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let status = text.split_whitespace().nth(1)?.parse().ok()?;
    let body = text.split_once("\r\n\r\n")?.1;
    Some((status, serde_json::from_str(body).unwrap_or_default()))
}

fn healthy(world: &World, address: &str, status: u16) -> Value {
    world.until(&format!("/health says {status}"), || {
        health(address).filter(|(said, _)| *said == status).map(|(_, body)| body)
    })
}

fn starts(world: &World) -> usize {
    world.agent_log().iter().filter(|line| line["event"] == "start").count()
}

#[test]
fn a_refused_login_holds_until_one_task_gets_through() {
    let world = World::new();
    let (_watcher, address) = up(&world, &[]);
    healthy(&world, &address, 200);
    world.submit("", "first", &json!({"prompt": "fake: api status=401 | succeed text=again"}));
    let task = world.filed("marie/pending", "first");
    assert_eq!(
        (&task["state"], &task["attempts"][0]["charged"]),
        (&json!("PENDING"), &json!(false)),
        "{task}"
    );
    assert!(task["retry_count"].is_null() || task["retry_count"] == 0, "{task}");
    let held = state(&world, "marie", |it| it["status"] == "degraded");
    assert_eq!(held["hold"]["error_code"], "E005", "{held}");
    assert!(held["hold"]["remedy"].as_str().is_some_and(|it| !it.is_empty()), "{held}");
    assert!(held["hold"]["until"].is_string(), "{held}");
    let body = healthy(&world, &address, 503);
    assert!(body.to_string().contains("E005") || body.to_string().contains("auth"), "{body}");
    world.submit("", "second", &json!({"prompt": "fake: succeed"}));
    state(&world, "marie", |it| it["queues"]["inbox"] == 1);
    assert_eq!(starts(&world), 1, "nothing else is claimed");
    assert_eq!(world.filed("marie/completed", "first")["result"], "again");
    world.filed("marie/completed", "second");
    assert!(state(&world, "marie", |it| it["status"] == "running")["hold"].is_null());
    healthy(&world, &address, 200);
}

#[test]
fn an_overload_holds_a_little_and_a_rate_limit_is_no_fault_of_the_worker() {
    let world = World::new();
    let (_watcher, address) = up(&world, &[]);
    world.submit("", "busy", &json!({"prompt": "fake: api status=529 | api status=429"}));
    state(&world, "marie", |it| it["status"] == "degraded" && it["hold"]["error_code"] == "E006");
    // Five seconds later it is tried again, and hears of the rate limit.
    let held = state(&world, "marie", |it| it["hold"]["cause"] == "rate_limit");
    assert_eq!(held["status"], "degraded", "{held}");
    healthy(&world, &address, 200);
    let task = world.filed("marie/pending", "busy");
    assert!(task["attempts"].as_array().unwrap().iter().all(|it| it["charged"] == false), "{task}");
    world.submit("", "other", &json!({"prompt": "fake: succeed"}));
    state(&world, "marie", |it| it["queues"]["inbox"] == 1);
    assert_eq!(starts(&world), 2);
}

#[test]
fn without_the_program_tasks_wait_untouched_until_it_is_there() {
    let world = World::new();
    let claude = world.home().join("claude");
    let (_watcher, address) = up(&world, &[("--claude-bin", claude.to_str().unwrap())]);
    let held = state(&world, "marie", |it| it["status"] == "degraded");
    assert!(held["hold"]["remedy"].as_str().unwrap().contains("npm install"), "{held}");
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
    state(&world, "marie", |it| it["queues"]["pending"] == 1);
    healthy(&world, &address, 503);
    let waiting: Value = world::json(&place(&world, "marie/pending/t.json")).unwrap();
    assert_eq!(waiting, json!({"prompt": "fake: succeed"}), "untouched");
    fs::hard_link(world.program("fake-claude"), &claude).unwrap();
    world.filed("marie/completed", "t");
    healthy(&world, &address, 200);
}

#[test]
fn a_program_that_cannot_be_started_costs_no_attempt() {
    let world = World::new();
    let claude = world.home().join("claude");
    fs::write(&claude, "not a program").unwrap();
    fs::set_permissions(&claude, fs::Permissions::from_mode(0o644)).unwrap();
    let (_watcher, address) = up(&world, &[("--claude-bin", claude.to_str().unwrap())]);
    world.submit("", "t", &json!({"prompt": "fake: succeed"}));
    healthy(&world, &address, 503);
    state(&world, "marie", |it| it["status"] == "degraded" && it["queues"]["inbox"] == 1);
    let waiting: Value = world::json(&place(&world, "t.json")).unwrap();
    assert_eq!(waiting, json!({"prompt": "fake: succeed"}), "it was not even claimed");
    fs::remove_file(&claude).unwrap();
    fs::hard_link(world.program("fake-claude"), &claude).unwrap();
    world.filed("marie/completed", "t");
    assert_eq!(events(&world, "start", "t").len(), 1);
}
