//! A host with a Docker of its own: a real `dockerd` in namespaces, at a `/shared` of its own, and an image to build on.
//!
//! Always: nothing of this machine is touched. The daemon, its containers, networks, ports and mounts live in namespaces
//! of the test and end with them; nothing is pulled. The base image is that of `base`.

#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "a test plays the user, uses its own part of this, and ends where it cannot go on"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::{base, real};

/// Its name in a daemon of ours.
pub const BASE: &str = "agent-worker-base";
/// How long a daemon may take to answer, and an image to be made.
const PATIENCE: Duration = Duration::from_mins(2);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A host with a Docker daemon.
pub struct DockerHost {
    world: PathBuf,
    /// `unshare`: its only child is the first process of the host, and goes with it.
    outer: Child,
    /// That first process, as this machine counts.
    init: u32,
}

impl DockerHost {
    /// Lays out a host in `world`, a folder with `shared/` and `log/` (a [`World`](crate::world::World) has both), and
    /// starts a daemon on it. `None`, aloud, where none can be had.
    pub fn start(world: &Path) -> Option<Self> {
        for name in ["unshare", "nsenter", "ip", "dockerd", "docker", "iptables"] {
            real::program(name)?;
        }
        if !nix::unistd::geteuid().is_root() {
            real::skip("only root can start a Docker daemon");
            return None;
        }
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-ins");
        fs::copy(format!("{scripts}/docker-host.sh"), world.join("docker-host.sh")).unwrap();
        let mut outer = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child"])
            .arg(format!("{scripts}/host.sh"))
            .arg(world)
            .arg(world.join("docker-host.sh"))
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(world.join("log/docker-host.err")).unwrap())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(outer.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said.trim() != "ready" {
            outer.wait().unwrap();
            let why = fs::read_to_string(world.join("log/docker-host.err")).unwrap_or_default();
            real::skip(&format!("this machine gives no namespaces for a Docker daemon: {}", why.trim()));
            return None;
        }
        let children = format!("/proc/{0}/task/{0}/children", outer.id());
        let init = fs::read_to_string(children).unwrap().trim().parse().unwrap();
        let host = Self { world: world.to_owned(), outer, init };
        if let Err(why) = host.start_daemon() {
            real::skip(&format!("no Docker daemon starts here: {why}"));
            return None;
        }
        Some(host)
    }

    /// The socket of its daemon, as `DOCKER_HOST` has it.
    pub fn socket(&self) -> String {
        format!("unix://{}", self.world.join("docker/docker.sock").display())
    }

    /// Starts the daemon and waits until it answers; the error is what it said.
    pub fn start_daemon(&self) -> Result<(), String> {
        let dir = self.world.join("docker");
        fs::create_dir_all(&dir).unwrap();
        let log =
            fs::File::options().append(true).create(true).open(self.world.join("log/dockerd.err")).unwrap();
        let mut daemon = self
            .within("dockerd")
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(dir.join("exec"))
            .arg("--pidfile")
            .arg(dir.join("pid"))
            .args(["-H", &self.socket()])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !self.docker(&["version"]).status.success() {
            let ended = daemon.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > PATIENCE {
                daemon.kill().ok();
                daemon.wait().ok();
                let said = fs::read_to_string(self.world.join("log/dockerd.err")).unwrap_or_default();
                return Err(said.lines().last().unwrap_or("nothing").to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // Whoever entered the host for it waits for its end; that goes with the host.
        std::thread::spawn(move || daemon.wait());
        Ok(())
    }

    /// Ends the daemon by `signal` (`TERM`, `KILL`) and waits until it is gone.
    pub fn end_daemon(&self, signal: &str) {
        let pid = self.world.join("docker/pid");
        let kill = format!(
            "kill -{signal} $(cat {0}); while kill -0 $(cat {0} 2>/dev/null) 2>/dev/null; do sleep 0.05; done; rm -f {0}",
            pid.display()
        );
        let output = self.shell(&kill);
        assert!(output.status.success(), "{output:?}");
    }

    /// A program on this host.
    pub fn within(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--mount", "--net", "--pid", "--root", "--wd", "--target"])
            .arg(self.init.to_string())
            .arg(program)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.world.join("home"))
            .env("DOCKER_HOST", self.socket())
            .stdin(Stdio::null());
        command
    }

    /// Types a block of shell on this host, where `docker` reaches its daemon.
    pub fn shell(&self, block: &str) -> Output {
        self.within("bash").args(["-c", block]).output().unwrap()
    }

    /// `docker` with these arguments.
    pub fn docker(&self, args: &[&str]) -> Output {
        Command::new("docker")
            .args(args)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.world.join("home"))
            .env("DOCKER_HOST", self.socket())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The same, which has to go well; what it printed.
    pub fn told(&self, args: &[&str]) -> String {
        let output = self.docker(args);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {}: {err}", args.join(" "));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Brings the base image in, as [`BASE`]. `false`, aloud, where it cannot be made.
    #[must_use]
    pub fn import_base(&self) -> bool {
        let Some(tar) = base::tar() else { return false };
        self.told(&["import", tar.to_str().unwrap(), BASE]);
        true
    }
}

impl Drop for DockerHost {
    fn drop(&mut self) {
        // The first process of the host goes with it, and with that one everybody else.
        self.outer.kill().ok();
        self.outer.wait().ok();
        let init = PathBuf::from(format!("/proc/{}", self.init));
        let began = Instant::now();
        while init.exists() && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        fs::remove_dir_all(self.world.join("docker")).ok();
    }
}
