//! A worker dies: the real Prometheus sees it, the real Alertmanager tells it, and tells that it is over.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::prometheus::Running;
use crate::scene::{PATIENCE, free_port, scrape, supervised};
use crate::world::World;
use crate::{real, text};

/// Whoever is called: each alert as (name, worker, firing or resolved, severity).
type Told = (String, String, String, String);

fn receiver() -> (SocketAddr, Receiver<Told>) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = door.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for caller in door.incoming().map_while(Result::ok) {
            for alert in heard(caller) {
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let labels = &alert["labels"];
                let one = (
                    word(&labels["alertname"]),
                    word(&labels["worker"]),
                    word(&alert["status"]),
                    word(&labels["severity"]),
                );
                tell.send(one).ok();
            }
        }
    });
    (addr, told)
}

/// The alerts of one call.
fn heard(mut caller: std::net::TcpStream) -> Vec<Value> {
    let mut all = Vec::new();
    let mut piece = [0; 8192];
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                caller.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
                let said: Value = serde_json::from_str(body).unwrap_or_default();
                return said["alerts"].as_array().cloned().unwrap_or_default();
            }
        }
        match caller.read(&mut piece) {
            Ok(0) | Err(_) => return Vec::new(),
            Ok(n) => all.extend_from_slice(&piece[..n]),
        }
    }
}

/// The shipped routes, with this receiver and without their pauses.
fn alertmanager(program: &Path, dir: &Path, webhook: SocketAddr) -> (Running, SocketAddr) {
    let config = text("alertmanager/alertmanager.yml")
        .replace("http://alerts.example:8080", &format!("http://{webhook}"))
        .replace("group_wait: 30s", "group_wait: 0s")
        .replace("group_interval: 5m", "group_interval: 1s");
    let path = dir.join("alertmanager.yml");
    std::fs::write(&path, config).unwrap();
    let addr = free_port();
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", path.display()))
        .arg(format!("--storage.path={}", dir.join("alerts").display()))
        .arg(format!("--web.listen-address={addr}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    (Running::start(&mut command), addr)
}

#[test]
fn a_worker_that_dies_is_told_to_people_and_so_is_its_return() {
    let (Some(prometheus), Some(program)) =
        (real::program("prometheus"), real::program("prometheus-alertmanager"))
    else {
        return;
    };
    let world = World::new();
    // Nobody restarts: it stays dead until we start it.
    let (_supervisor, served) = supervised(&world, "none");
    let marie = || world.start(&mut world.served("marie", &served.marie.to_string()), "marie");
    let first = marie();
    world.at_work("marie", &first);
    let dir = tempfile::tempdir().unwrap();
    let (webhook, told) = receiver();
    let (_alertmanager, alerts) = alertmanager(&program, dir.path(), webhook);
    let (_prometheus, api) = scrape(&prometheus, dir.path(), &served, Some(alerts));
    assert!(crate::scene::has_data(api, "agent_worker_up{worker=\"marie\"} == 1"));
    first.murder();
    await_told(&told, ("AgentWorkerDown", "firing"));
    let again = marie();
    world.at_work("marie", &again);
    await_told(&told, ("AgentWorkerDown", "resolved"));
}

fn await_told(told: &Receiver<Told>, (alert, status): (&str, &str)) {
    let mut seen = Vec::new();
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let Ok(one) = told.recv_timeout(left) else { panic!("{alert} {status} was not told: {seen:?}") };
        if one.0 == alert && one.1 == "marie" && one.2 == status {
            return;
        }
        seen.push(one);
    }
}
