//! A host of its own, on which the runbook's paths, names and ports are what it says they are.

use std::fs;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::real;
use crate::world::{Started, World};

/// Namespaces of their own around a supervisor with its three workers.
pub(crate) struct Host {
    pub(crate) world: World,
    supervisor: Option<Started>,
}

impl Host {
    /// A host at work, with the stand-in agent; `None`, aloud, where none can be had.
    pub(crate) fn at_work() -> Option<Self> {
        for name in ["unshare", "nsenter", "ip", "python3", "curl"] {
            real::program(name)?;
        }
        if !nix::unistd::geteuid().is_root() {
            real::skip("only root can make a host of its own");
            return None;
        }
        let world = World::new();
        let supervisor = world.program("supervisor");
        let agent = world.program("fake-claude");
        world.program("watcher");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-ins/host.sh");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--net", script])
            .arg(world.path())
            .arg(supervisor)
            .args(["up", "--log-format", "json", "--claude-bin"])
            .arg(agent)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", world.home());
        let supervisor = world.start(&mut command, "host");
        let host = Self { world, supervisor: Some(supervisor) };
        for worker in ["marie", "anga", "fabien"] {
            host.until_beating(worker);
        }
        Some(host)
    }

    /// Waits until the worker beats; the pid of its watcher.
    pub(crate) fn until_beating(&self, worker: &str) -> i32 {
        let path = self.world.root().join(format!("workers/{worker}/heartbeat.json"));
        self.world.until(&format!("{worker} beats"), || {
            let pid = crate::world::json(&path)?["pid"].as_i64()?;
            let pid = i32::try_from(pid).ok()?;
            crate::traces::is_alive(pid).then_some(pid)
        })
    }

    /// Runs a program on the host; what it printed.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Output {
        let pid = self.supervisor.as_ref().unwrap().pid();
        Command::new("nsenter")
            .args(["--mount", "--net", "--root", "--wd", "--target"])
            .arg(pid.to_string())
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.world.home())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Types a block of shell; what came on stdout. A program that is not on this host is said on stderr, as in any shell.
    pub(crate) fn shell(&self, block: &str) -> String {
        let script = self.world.path().join("block.sh");
        fs::write(&script, block).unwrap();
        let output = self.run("bash", &[script.to_str().unwrap()]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a block of Python and one call; what it printed.
    pub(crate) fn python(&self, block: &str, call: &str) -> String {
        let output = self.run("/usr/bin/python3", &["-c", &format!("{block}\n{call}\n")]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{err}\n{}", self.world.said());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `kill -9` of a worker's watcher.
    pub(crate) fn murder(&self, worker: &str) {
        let pid = self.until_beating(worker);
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }

    /// Drops a task by `echo >`, as people do.
    pub(crate) fn drop_by_echo(&self, folder: &str, name: &str, prompt: &str) {
        let path = self.world.root().join("tasks").join(folder).join(format!("{name}.json"));
        fs::write(path, serde_json::json!({ "prompt": prompt }).to_string()).unwrap();
    }

    /// Stops it all, as Ctrl-C does.
    pub(crate) fn stop(mut self) {
        let supervisor = self.supervisor.take().unwrap();
        assert_eq!(supervisor.stop(), 0, "{}", self.world.said());
    }
}
