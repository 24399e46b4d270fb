//! A supervisor with a watcher of its own, and a real Prometheus that scrapes both as the shipped configuration names them.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::prometheus::{self, Running};
use crate::world::{self, Started, World};
use crate::{http, text};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Where the two serve.
pub(crate) struct Served {
    pub(crate) marie: SocketAddr,
    pub(crate) supervisor: SocketAddr,
}

/// A supervisor that restarts marie, unless `restart` says that nobody does.
pub(crate) fn supervised(world: &World, restart: &str) -> (Started, Served) {
    world.program("watcher");
    let served = Served { marie: free_port(), supervisor: free_port() };
    let mut command = world.command("supervisor");
    command.args(["run", "--root", "shared", "--log-dir", "log", "--log-format", "json", "--grace", "1"]);
    command.args(["--restart", restart, "--api-requests-per-minute", "0", "--metrics-addr"]);
    command.arg(served.supervisor.to_string());
    command.args(["--workers", &format!("marie={}", served.marie), "--claude-bin"]);
    command.arg(world.program("fake-claude"));
    (world.start(&mut command, "supervisor"), served)
}

/// The shipped configuration, with these addresses and a scrape a second.
pub(crate) fn scrape(
    program: &Path,
    dir: &Path,
    served: &Served,
    alertmanager: Option<SocketAddr>,
) -> (Running, SocketAddr) {
    for rules in ["recording.yml", "alerts.yml"] {
        let fast = hurried(&text(&format!("prometheus/{rules}")));
        std::fs::write(dir.join(rules), fast).unwrap();
    }
    let nowhere = "127.0.0.1:9".to_owned();
    let config = text("prometheus/prometheus.yml")
        .replace(": 15s", ": 1s")
        .replace("alertmanager:9093", &alertmanager.map_or(nowhere, |it| it.to_string()))
        .replace("marie:9091", &served.marie.to_string())
        .replace("supervisor:9002", &served.supervisor.to_string());
    // Nobody else is up here.
    let config = without(&config, "anga:9092");
    let config = without(&config, "fabien:9093");
    prometheus::start_with(program, dir, &config)
}

/// Rules whose alerts wait for nothing.
fn hurried(rules: &str) -> String {
    let lines = rules.lines().filter(|line| !line.trim_start().starts_with("for: "));
    lines.fold(String::new(), |all, line| all + line + "\n")
}

/// A configuration without this target and the line of its labels.
fn without(config: &str, target: &str) -> String {
    let mut lines = config.lines();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        if line.contains(target) {
            lines.next();
        } else {
            kept = kept + line + "\n";
        }
    }
    kept
}

/// What Prometheus answers to an expression.
pub(crate) fn query(api: SocketAddr, expr: &str) -> Value {
    let escaped = expr.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02X}"));
    let answer = http::get(api, &format!("/api/v1/query?query={escaped}"));
    serde_json::from_str(http::body(&answer)).unwrap_or_else(|error| panic!("{expr}: {error}: {answer}"))
}

/// Waits until an expression has a value.
pub(crate) fn has_data(api: SocketAddr, expr: &str) -> bool {
    let has = || query(api, expr)["data"]["result"].as_array().is_some_and(|it| !it.is_empty());
    world::until(PATIENCE, || has().then_some(())).is_some()
}
