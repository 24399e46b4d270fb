//! A Docker Engine to put a machine into: the one that `DOCKER_HOST` names, else one of the test's own.
//!
//! Invariant: what is begun here is ended here.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test plays the host, and ends where it cannot go on"
)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{base, real, world};

/// The engine.
#[derive(Debug)]
pub(crate) struct Engine {
    address: String,
    _own: Option<Own>,
}

/// One of our own, which ends with the test.
#[derive(Debug)]
struct Own {
    daemon: Child,
    _dir: tempfile::TempDir,
}

impl Drop for Own {
    fn drop(&mut self) {
        kill(Pid::from_raw(self.daemon.id().cast_signed()), Signal::SIGTERM).ok();
        self.daemon.wait().ok();
    }
}

impl Engine {
    /// One that answers; where none can be had the test is told to skip.
    pub(crate) fn find() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            real::skip("a machine with systemd needs root");
            return None;
        }
        let _docker = real::program("docker")?;
        if let Some(address) = std::env::var("DOCKER_HOST").ok().filter(|it| !it.is_empty()) {
            return Some(Self { address, _own: None });
        }
        let (address, own) = begin(&real::program("dockerd")?)?;
        Some(Self { address, _own: Some(own) })
    }

    /// A command of the engine's client.
    pub(crate) fn docker(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", &self.address).args(args).stdin(Stdio::null());
        command
    }

    /// What such a command printed; it must succeed.
    pub(crate) fn says(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.docker(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "docker {args:?}: {status}\n{stderr}");
        String::from_utf8(stdout).unwrap().trim_end().to_owned()
    }

    /// The name of an image of the base that runs systemd, of the same release as this machine: its programs are to run
    /// there.
    pub(crate) fn system(&self) -> Option<String> {
        let tar = base::tar()?;
        let name = tar.file_stem()?.to_str()?.replace('+', "-");
        let image = format!("agent-worker-ci/{name}");
        if !self.docker(&["image", "inspect", &image]).output().unwrap().status.success() {
            self.says(&["import", &tar.display().to_string(), &image]);
        }
        Some(image)
    }
}

/// Starts an engine that knows no network: its containers have none.
fn begin(program: &Path) -> Option<(String, Own)> {
    let dir = tempfile::Builder::new().prefix("aw-docker-").tempdir_in("/tmp").unwrap();
    let at = |name: &str| dir.path().join(name);
    let address = format!("unix://{}", at("docker.sock").display());
    let log_path = at("log");
    let log = fs::File::create(&log_path).unwrap();
    // In a network of its own: without a bridge it would take away that of a daemon which this machine has.
    let daemon = Command::new("unshare")
        .args(["--net", "--"])
        .arg(program)
        .arg("--data-root")
        .arg(at("data"))
        .arg("--exec-root")
        .arg(at("exec"))
        .arg("--pidfile")
        .arg(at("pid"))
        .args(["--host", &address, "--iptables=false", "--ip6tables=false", "--bridge=none"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut own = Own { daemon, _dir: dir };
    let is_up = world::until(world::PATIENCE, || {
        let asked = Command::new("docker").env("DOCKER_HOST", &address).arg("version").output().unwrap();
        let ended = own.daemon.try_wait().unwrap();
        (asked.status.success() || ended.is_some()).then(|| ended.is_none())
    });
    if is_up != Some(true) {
        let said = fs::read_to_string(&log_path).unwrap_or_default();
        real::skip(&format!("dockerd does not start here: {}", said.lines().last().unwrap_or_default()));
        return None;
    }
    Some((address, own))
}
