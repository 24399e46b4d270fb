//! A machine of its own whose PID 1 is systemd. The root and the service user's home lie outside, so that they outlive it
//! and can be read from here.

#![allow(dead_code, reason = "each test uses its own part of this")]
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test plays the host, and ends where it cannot go on"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;

use crate::engine::Engine;
use crate::world::{self, PATIENCE, json};

/// Mounts spread from PID 1 to services, as on a real machine (`mount_namespaces(7)`): credentials are such mounts.
const BOOT: &str = "mount --make-rshared / && exec /sbin/init";

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine {
    engine: Arc<Engine>,
    name: String,
    dir: tempfile::TempDir,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let id = self.engine.docker(&["inspect", "--format", "{{.Id}}", &self.name]).output();
        self.engine.docker(&["rm", "--force", "--volumes", &self.name]).output().ok();
        // What systemd made below the container's groups is nobody else's to take away (`cgroups(7)`, version 1).
        let id = id.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned()).unwrap_or_default();
        for hierarchy in
            fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().filter(|_| !id.is_empty())
        {
            remove_groups(&hierarchy.path().join("docker").join(&id));
        }
    }
}

impl Machine {
    /// One that has booted, with nothing of ours on it.
    pub(crate) fn boot(engine: &Arc<Engine>, image: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("aw-").tempdir_in("/tmp").unwrap();
        let name = dir.path().file_name().unwrap().to_str().unwrap().to_owned();
        let name = format!("sd-{name}");
        for made in ["shared", "home"] {
            fs::create_dir(dir.path().join(made)).unwrap();
        }
        let volume = |made: &str, there: &str| format!("{}:{there}", dir.path().join(made).display());
        let (shared, home) = (volume("shared", "/shared"), volume("home", "/var/lib/agent-worker"));
        #[rustfmt::skip]
        engine.says(&[
            "run", "--detach", "--name", &name, "--hostname", "box", "--network", "none",
            "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
            "--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--stop-signal", "SIGRTMIN+3",
            "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec,mode=1777",
            "--volume", &shared, "--volume", &home, image, "sh", "-c", BOOT,
        ]);
        let machine = Self { engine: Arc::clone(engine), name, dir };
        machine.is_up();
        machine
    }

    /// Copies a file or a folder there.
    pub(crate) fn put(&self, from: &Path, to: &str) {
        self.engine.says(&["cp", &from.display().to_string(), &format!("{}:{to}", self.name)]);
    }

    /// Runs a line of shell there; its output. It must succeed.
    pub(crate) fn run(&self, line: &str) -> String {
        let (is_well, text) = self.try_run(line);
        assert!(is_well, "{line}\n{text}\n{}", self.said());
        text
    }

    /// Runs a line of shell there: whether it succeeded, and its output.
    pub(crate) fn try_run(&self, line: &str) -> (bool, String) {
        self.typed("root", line)
    }

    /// The same as `user`.
    pub(crate) fn typed(&self, user: &str, line: &str) -> (bool, String) {
        let args = ["exec", "--user", user, &self.name, "bash", "-c", line];
        let Output { status, stdout, stderr } = self.engine.docker(&args).output().unwrap();
        let text = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
        (status.success(), text.trim_end().to_owned())
    }

    /// A property of a unit.
    pub(crate) fn shows(&self, unit: &str, property: &str) -> String {
        self.run(&format!("systemctl show --property={property} --value {unit}"))
    }

    /// The main process of a unit.
    pub(crate) fn main_pid(&self, unit: &str) -> i32 {
        self.shows(unit, "MainPID").parse().unwrap()
    }

    /// Whether there is a process of this number.
    pub(crate) fn is_alive(&self, pid: i64) -> bool {
        self.try_run(&format!("grep -v '^State:.*Z' /proc/{pid}/status | grep -q ^State:")).0
    }

    /// The power goes, and comes back.
    pub(crate) fn lose_power(&self) {
        self.engine.says(&["kill", "--signal", "KILL", &self.name]);
        self.engine.says(&["start", &self.name]);
        self.is_up();
    }

    /// `reboot`: systemd stops what runs, then the machine starts again.
    pub(crate) fn reboot(&self) {
        self.engine.says(&["restart", "--time", "60", &self.name]);
        self.is_up();
    }

    fn is_up(&self) {
        self.until("systemd has booted", || {
            let said = self.try_run("systemctl is-system-running").1;
            ["running", "degraded"].contains(&said.as_str()).then_some(())
        });
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("shared")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Drops a task for marie whose agent does `script`.
    pub(crate) fn submit(&self, name: &str, script: &str) {
        self.drop_task(name, &serde_json::json!({"prompt": format!("fake: {script}")}));
    }

    /// Drops a task for marie.
    pub(crate) fn drop_task(&self, name: &str, task: &Value) {
        let dir = self.root().join("tasks/marie/pending");
        let temp = dir.join(format!(".{name}.tmp"));
        fs::write(&temp, task.to_string()).unwrap();
        fs::rename(temp, dir.join(format!("{name}.json"))).unwrap();
    }

    /// Lets the agents go on that wait for this gate (`gate=/shared/NAME`).
    pub(crate) fn open(&self, gate: &str) {
        fs::write(self.root().join(gate), "").unwrap();
    }

    /// The task, once it lies in this place of marie's.
    pub(crate) fn filed(&self, place: &str, name: &str) -> Value {
        let path = self.task(place, name);
        self.until(&format!("{} is there", path.display()), || json(&path))
    }

    /// The task's agent at work, in the attempt of this number: its process there.
    pub(crate) fn at_work(&self, name: &str, attempt: usize) -> i64 {
        let path = self.task("active", name);
        let pid = self.until(&format!("attempt {attempt} of {name} is at work"), || {
            let task = json(&path)?;
            let attempts = task["attempts"].as_array()?;
            attempts.last().filter(|_| attempts.len() == attempt)?["pid"].as_i64()
        });
        self.until("the agent has begun", || (self.starts(name) == attempt).then_some(()));
        pid
    }

    /// How often an agent was started for the task.
    pub(crate) fn starts(&self, name: &str) -> usize {
        let overlaps = self.told(name, "overlap");
        assert!(overlaps.is_empty(), "two agents at once: {overlaps:?}");
        self.told(name, "start").len()
    }

    /// What the task's agents wrote about themselves.
    pub(crate) fn told(&self, name: &str, event: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.home().join("fake-claude.log")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["task"] == name && line["event"] == event).collect()
    }

    /// The process that an agent left behind, once it has said so.
    pub(crate) fn left_behind(&self) -> Option<i64> {
        let text = fs::read_to_string(self.home().join("fake-claude.log")).unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.rfind(|line| line["event"] == "grandchild")?["pid"].as_i64()
    }

    fn task(&self, place: &str, name: &str) -> PathBuf {
        self.root().join(format!("tasks/marie/{place}/{name}.json"))
    }

    /// What marie's `state.json` says.
    pub(crate) fn state(&self) -> Value {
        json(&self.root().join("workers/marie/state.json")).unwrap_or_default()
    }

    /// Waits for a fact; the test fails with the journal when it does not come.
    pub(crate) fn until<T>(&self, what: &str, fact: impl FnMut() -> Option<T>) -> T {
        world::until(PATIENCE, fact).unwrap_or_else(|| panic!("waited in vain until {what}\n{}", self.said()))
    }

    /// What systemd and the units said, for a failed test.
    pub(crate) fn said(&self) -> String {
        let journal =
            "journalctl --no-pager --lines 200 --output short-precise; systemctl --no-pager --failed";
        let (_, text) = self.try_run(journal);
        let tasks = tree(&self.root().join("tasks"));
        format!("--- journal\n{text}\n--- tasks\n{}", tasks.join("\n"))
    }
}

/// What is installed, as a clone has it: what `scripts/install.sh` reads, and the programs that cargo built in `bin`.
pub(crate) fn clone_into(dir: &Path) {
    let repo = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut copy = Command::new("cp");
    copy.arg("-r").current_dir(repo).args(["Cargo.toml", "README.md", "CHANGELOG.md"]);
    copy.args(["debian", "docs", "examples", "observability", "scripts", "systemd"]).arg(dir);
    assert!(copy.status().unwrap().success(), "{copy:?}");
    let bin = dir.join("bin");
    fs::create_dir(&bin).unwrap();
    for (name, built) in [
        ("watcher", env!("CARGO_BIN_EXE_watcher")),
        ("supervisor", env!("CARGO_BIN_EXE_supervisor")),
        ("agentctl", env!("CARGO_BIN_EXE_agentctl")),
        ("claude", env!("CARGO_BIN_EXE_fake-claude")),
    ] {
        // The names of functions and lines are not needed here, and weigh more than all else.
        let mut strip = Command::new("objcopy");
        strip.arg("--strip-debug").arg(built).arg(bin.join(name));
        if !strip.status().is_ok_and(|it| it.success()) {
            fs::copy(built, bin.join(name)).unwrap();
        }
    }
}

/// Removes a control group with all below it: files in it are the kernel's, and no hindrance.
fn remove_groups(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    fs::remove_dir(dir).ok();
}

fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(tree(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}
