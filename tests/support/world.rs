//! A root of its own, the real programs on it, and waiting on facts with a deadline.
//!
//! Everything that a world starts has the world's HOME in its environment; when the world goes, so do they.

#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test file uses its own part of the world"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test plays the user: it starts programs, writes files, and waits"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "a test that cannot go on ends"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long a fact may take on a machine that has ten times as much to do as it can.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// A root, a home, and what runs there.
pub struct World {
    dir: tempfile::TempDir,
    /// Who runs the watchers: root's own user, unless said otherwise.
    pub uid: Option<u32>,
}

impl World {
    /// An empty world, run by whoever runs the test.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("aw-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let world = Self { dir, uid: None };
        for made in [world.root(), world.home(), world.logs()] {
            fs::create_dir_all(made).unwrap();
        }
        world
    }

    /// A world whose watchers are no root, whoever runs the test: the real CLI refuses some things as root.
    pub fn unprivileged() -> Self {
        let mut world = Self::new();
        if nix::unistd::geteuid().is_root() {
            world.uid = Some(65534);
            for made in [world.root(), world.home(), world.logs()] {
                nix::unistd::chown(&made, Some(65534.into()), Some(65534.into())).unwrap();
            }
        }
        world
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("shared")
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub fn logs(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A program of ours where the world's user can execute it.
    pub fn program(&self, name: &str) -> PathBuf {
        let built = match name {
            "watcher" => env!("CARGO_BIN_EXE_watcher"),
            "supervisor" => env!("CARGO_BIN_EXE_supervisor"),
            "agentctl" => env!("CARGO_BIN_EXE_agentctl"),
            #[cfg(feature = "test-support")]
            "fake-claude" => env!("CARGO_BIN_EXE_fake-claude"),
            other => panic!("no program {other}"),
        };
        let here = self.dir.path().join("bin").join(name);
        if !here.exists() {
            fs::create_dir_all(here.parent().unwrap()).unwrap();
            // Two threads may want it first: what is there is never written over, it may be running.
            if fs::hard_link(built, &here).is_err() && !here.exists() {
                let own = here.with_extension(format!("{:?}", std::thread::current().id()));
                fs::copy(built, &own).unwrap();
                fs::rename(own, &here).unwrap();
            }
        }
        here
    }

    /// A command of ours, with an environment of the world's own.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name));
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home())
            .env("RUST_BACKTRACE", "1")
            // This machine may have one of its own.
            .env("AGENT_WORKER_CONFIG", "none")
            .current_dir(self.path());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// A watcher of `worker` that runs the stand-in agent; to be changed, then started.
    pub fn watcher(&self, worker: &str) -> Command {
        self.served(worker, "none")
    }

    /// The same with its metrics and health on `addr`; port 0 takes a free one, which [`World::address`] tells.
    pub fn served(&self, worker: &str, addr: &str) -> Command {
        let mut command = self.command("watcher");
        command
            .args(["--worker", worker, "--metrics-addr", addr, "--log-format", "json"])
            // A test starts more agents in a minute than an account would like.
            .args(["--api-requests-per-minute", "0"])
            .arg("--root")
            .arg(self.root())
            .arg("--log-dir")
            .arg(self.logs());
        #[cfg(feature = "test-support")]
        command.arg("--claude-bin").arg(self.program("fake-claude"));
        command
    }

    /// Starts a program in a group of its own, its output in `<log>/<tag>.err`.
    pub fn start(&self, command: &mut Command, tag: &str) -> Started {
        let err = fs::File::options()
            .append(true)
            .create(true)
            .open(self.logs().join(format!("{tag}.err")))
            .unwrap();
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(err.try_clone().unwrap())
            .stderr(err)
            .spawn()
            .unwrap();
        Started { child }
    }

    /// Starts a watcher with the stand-in agent, and waits until it is at work.
    pub fn up(&self, worker: &str) -> Started {
        let started = self.start(&mut self.watcher(worker), worker);
        self.at_work(worker, &started);
        started
    }

    /// Waits until the watcher of `worker` is at work and is this one.
    pub fn at_work(&self, worker: &str, started: &Started) {
        let path = self.root().join(format!("workers/{worker}/heartbeat.json"));
        self.until(&format!("the watcher of {worker} beats"), || {
            let beat = json(&path)?;
            (beat["pid"] == started.pid()).then_some(())
        });
    }

    /// Where the watcher of `worker` says that it serves.
    pub fn address(&self, worker: &str) -> std::net::SocketAddr {
        let log = self.logs().join(format!("{worker}.log"));
        self.until("it says where it serves", || {
            let text = fs::read_to_string(&log).ok()?;
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.rev().find_map(|line| line["addr"].as_str()?.parse().ok())
        })
    }

    /// Runs `agentctl` to its end.
    pub fn agentctl(&self, args: &[&str]) -> Output {
        self.command("agentctl").arg("--root").arg(self.root()).args(args).output().unwrap()
    }

    /// Drops a task, whole: written beside, renamed into place.
    pub fn submit(&self, dir: &str, name: &str, task: &Value) {
        let dir = self.root().join("tasks").join(dir);
        self.until("the folder is there", || dir.is_dir().then_some(()));
        let temp = dir.join(format!(".{name}.tmp"));
        fs::write(&temp, task.to_string()).unwrap();
        if let Some(uid) = self.uid {
            nix::unistd::chown(&temp, Some(uid.into()), Some(uid.into())).unwrap();
        }
        fs::rename(temp, dir.join(format!("{name}.json"))).unwrap();
    }

    /// Lays a pack, whole and as nobody but its owner may write it; its file.
    pub fn pack(&self, name: &str, text: &str) -> PathBuf {
        let dir = self.root().join("packs");
        if !dir.is_dir() {
            fs::create_dir(&dir).unwrap();
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let (temp, path) = (dir.join(format!(".{name}.tmp")), dir.join(format!("{name}.toml")));
        fs::write(&temp, text).unwrap();
        fs::set_permissions(&temp, fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(temp, &path).unwrap();
        path
    }

    /// The task file `name` in the place `<worker>/<place>`, once it is there.
    pub fn filed(&self, place: &str, name: &str) -> Value {
        let path = self.root().join("tasks").join(place).join(format!("{name}.json"));
        self.until(&format!("{} is there", path.display()), || json(&path))
    }

    /// Waits until the task in `active/` satisfies `is`.
    pub fn active(&self, worker: &str, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let path = self.root().join(format!("tasks/{worker}/active/{name}.json"));
        self.until(&format!("{} is as expected", path.display()), || json(&path).filter(|task| is(task)))
    }

    /// Every place in which a file of this name stands, relative to `tasks/`.
    pub fn homes(&self, name: &str) -> Vec<String> {
        let mut homes = Vec::new();
        let tasks = self.root().join("tasks");
        let mut dirs = vec![tasks.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else if entry.file_name().to_str() == Some(&format!("{name}.json")) {
                    homes.push(dir.strip_prefix(&tasks).unwrap().display().to_string());
                }
            }
        }
        homes.sort();
        homes
    }

    /// The lines that the stand-in agent wrote about itself.
    pub fn agent_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.home().join("fake-claude.log")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a fact. The test fails, with everything that the programs said, when it does not come.
    pub fn until<T>(&self, what: &str, fact: impl FnMut() -> Option<T>) -> T {
        until(PATIENCE, fact).unwrap_or_else(|| panic!("waited in vain until {what}\n{}", self.said()))
    }

    /// Waits until there are `all` of something, for as long as they become more.
    pub fn until_all(&self, all: usize, what: &str, count: impl Fn() -> usize) {
        let mut reached = count();
        while reached < all {
            let more = || Some(count()).filter(|it| *it > reached);
            reached = self.until(&format!("more than {reached} of {all} {what}"), more);
        }
        assert_eq!(reached, all, "{what}");
    }

    /// Waits for a fact that comes within so many of a worker's own seconds: its heart beats once in each, and on a
    /// busy machine both are longer.
    pub fn within<T>(&self, worker: &str, beats: u64, what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
        let path = self.root().join(format!("workers/{worker}/heartbeat.json"));
        let beat = || json(&path)?["seq"].as_u64();
        // What stands there may be old: the count begins with the first beat that is seen to come.
        let old = beat();
        let mut seen: Option<(u64, u64)> = None;
        let it = self.until(what, || {
            if let Some(now) = beat().filter(|now| Some(*now) != old) {
                seen = Some((seen.map_or(now, |(first, _)| first), now));
            }
            fact()
        });
        let took = seen.map_or(0, |(first, last)| last.saturating_sub(first));
        assert!(took <= beats, "{what}: it took {took} beats of {worker}\n{}", self.said());
        it
    }

    /// What the programs said, for a failed test.
    pub fn said(&self) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(self.logs()).unwrap().flatten() {
            let content = fs::read_to_string(entry.path()).unwrap_or_default();
            text.push_str(&format!("--- {}\n{content}", entry.path().display()));
        }
        let tree = Command::new("find").arg(self.root()).args(["-type", "f"]).output().unwrap();
        text.push_str(&format!("--- tree\n{}", String::from_utf8_lossy(&tree.stdout)));
        text
    }

    /// The processes that carry this world's HOME, zombies aside.
    pub fn processes(&self) -> Vec<i32> {
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| self.owns(*pid))
            .collect()
    }

    /// Whether a process carries this world's HOME: a number that was read somewhere may be another's by now, and whoever
    /// ends many asks this first.
    pub fn owns(&self, pid: i32) -> bool {
        let mark = format!("HOME={}", self.home().display());
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|env| env.split(|byte| *byte == 0).any(|it| it == mark.as_bytes()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for pid in self.processes() {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
}

/// A program that a test started.
pub struct Started {
    child: Child,
}

impl Started {
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// `kill -9`, and gone.
    pub fn murder(mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// `SIGTERM`, and its exit status.
    pub fn stop(self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// `SIGTERM`, if it still lives, and its exit status, -1 for a signal.
    pub fn try_stop(self) -> i32 {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).ok();
        self.ended()
    }

    /// Waits for its end; its exit status, -1 for a signal.
    pub fn ended(mut self) -> i32 {
        let status = until(PATIENCE, || self.child.try_wait().unwrap());
        status.expect("the program ends").code().unwrap_or(-1)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// A JSON file, if it is there and whole.
pub fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Asks for a fact until it is there, or time is up.
pub fn until<T>(patience: Duration, mut fact: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(it) = fact() {
            return Some(it);
        }
        if began.elapsed() > patience {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
