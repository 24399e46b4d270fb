//! A host of its own, on which the paths, names and ports of our pages are what they say they are.

#![allow(dead_code, reason = "each test uses its own part of it")]

use std::fs;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::real;
use crate::world::{Started, World};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Namespaces of their own, and a supervisor with its three workers in them.
pub(crate) struct Host {
    pub(crate) world: World,
    /// Sleeps in the namespaces, so that they outlive whatever a test kills.
    keeper: Started,
    supervisor: Option<Started>,
}

impl Host {
    /// A host at work, with the stand-in agent; `None`, aloud, where none can be had.
    pub(crate) fn at_work() -> Option<Self> {
        let mut host = Self::of(World::new())?;
        let agent = format!("--claude-bin={}", host.world.program("fake-claude").display());
        host.up(&[&agent]);
        Some(host)
    }

    /// A host on which nobody works yet, its `/shared` that of `world`; `None`, aloud, where none can be had.
    pub(crate) fn of(world: World) -> Option<Self> {
        for name in ["unshare", "nsenter", "ip", "python3", "curl"] {
            real::program(name)?;
        }
        if !nix::unistd::geteuid().is_root() {
            real::skip("only root can make a host of its own");
            return None;
        }
        for name in ["watcher", "supervisor", "agentctl"] {
            world.program(name);
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-ins/host.sh");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--net", script])
            .arg(world.path())
            .args(["sleep", "infinity"])
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", world.home());
        let keeper = world.start(&mut command, "host");
        let name = format!("/proc/{}/comm", keeper.pid());
        world.until("the host is there", || {
            fs::read_to_string(&name).is_ok_and(|it| it.trim() == "sleep").then_some(())
        });
        Some(Self { world, keeper, supervisor: None })
    }

    /// `supervisor up` with more flags; waits until the three are at work.
    pub(crate) fn up(&mut self, flags: &[&str]) {
        let mut command = self.command("supervisor");
        command.args(["up", "--log-format", "json"]).args(flags);
        self.supervisor = Some(self.world.start(&mut command, "supervisor-up"));
        for worker in ["marie", "anga", "fabien"] {
            self.until_beating(worker);
        }
    }

    /// The supervisor that [`Host::up`] started.
    pub(crate) fn supervisor(&mut self) -> Started {
        self.supervisor.take().unwrap()
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

    /// A program on the host, with our own on its `PATH`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--mount", "--net", "--root", "--wd", "--target"])
            .arg(self.keeper.pid().to_string())
            .arg(program)
            .env_clear()
            .env("PATH", format!("{}/bin:{PATH}", self.world.path().display()))
            .env("HOME", self.world.home())
            .stdin(Stdio::null());
        command
    }

    /// Runs a program on the host; what it printed.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Output {
        self.command(program).args(args).output().unwrap()
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
        assert_eq!(self.supervisor().stop(), 0, "{}", self.world.said());
    }
}
