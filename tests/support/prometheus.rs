//! The real Prometheus, and what it thinks of a page of metrics.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::allow_attributes, reason = "which parts are used differs from test to test")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(clippy::disallowed_methods, reason = "real programs are started, and their files written plainly")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use crate::http::DEADLINE;

/// A program that ends with the test.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts it on a free port of loopback, scraping `targets` every second, and waits until it says that it is ready.
pub fn start(program: &Path, dir: &Path, targets: &[SocketAddr]) -> (Running, SocketAddr) {
    let list: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: agent-worker\n  static_configs: [{{targets: [{}]}}]\n",
        list.join(",")
    );
    start_with(program, dir, &text)
}

/// The same with a whole configuration; files that it names lie in `dir`.
pub fn start_with(program: &Path, dir: &Path, text: &str) -> (Running, SocketAddr) {
    let config = dir.join("prometheus.yml");
    std::fs::write(&config, text).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = free.local_addr().unwrap();
    drop(free);
    let mut child = Command::new(program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg(format!("--web.listen-address={api}"))
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let running = Running(child);
    let (ready, is_ready) = mpsc::channel();
    // Read to the end, so that it never waits for us.
    std::thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            if line.contains("Server is ready") {
                ready.send(()).ok();
            }
        }
    });
    is_ready.recv_timeout(DEADLINE).expect("prometheus gets ready");
    (running, api)
}

/// Whether `promtool` calls the page well made, and what it says.
pub fn check(promtool: &Path, page: &str) -> (bool, String) {
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let found = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&found.stderr) + String::from_utf8_lossy(&found.stdout);
    (found.status.success(), said.into_owned())
}
