//! Process numbers that are used again: in a namespace of its own, where the next number can be chosen, the very numbers
//! that a dead worker and its dead agent had are given to others. Nobody takes those for them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::sight::{events, logged};
use crate::world::{Started, World, json as read_json};
use crate::{gated, is_root, real, wrap};

/// What the first process of the namespace does: it buries the dead, so that their numbers are free.
const INIT: &str = r"
import os, time
while True:
    try: os.waitpid(-1, 0)
    except ChildProcessError: time.sleep(0.02)
";

/// Takes the number `argv[1]`, in a session of its own, and lives with it; 1 if somebody else has it.
const TAKE: &str = r"
import os, signal, sys
want = int(sys.argv[1])
for _ in range(200):
    with open('/proc/sys/kernel/ns_last_pid', 'w') as last: last.write(str(want - 1))
    child = os.fork()
    if child == 0:
        if os.getpid() == want:
            os.setsid()
            for sign in range(1, 32):
                if sign not in (9, 17, 19): signal.signal(sign, lambda *_: print('signalled', file=sys.stderr, flush=True))
            print('taken', file=sys.stderr, flush=True)
            while True: signal.pause()
        os._exit(0)
    if child == want: sys.exit(0)
    os.waitpid(child, 0)
sys.exit(1)
";

/// A namespace of process numbers.
struct Numbers<'a> {
    world: &'a World,
    outer: Started,
    init: String,
    nsenter: PathBuf,
}

impl<'a> Numbers<'a> {
    fn new(world: &'a World) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let (unshare, python) = (real::program("unshare")?, real::program("python3")?);
        let nsenter = real::program("nsenter")?;
        let mut command = Command::new(unshare);
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(python).args(["-c", INIT]);
        command.env("HOME", world.home());
        let outer = world.start(&mut command, "init");
        let children = format!("/proc/{0}/task/{0}/children", outer.pid());
        let init = world.until("the namespace has its first process", || {
            let child = fs::read_to_string(&children).ok()?.trim().to_owned();
            let python =
                fs::read_to_string(format!("/proc/{child}/cmdline")).ok()?.contains("ChildProcessError");
            python.then_some(child)
        });
        if !fs::exists(format!("/proc/{init}/root/proc/sys/kernel/ns_last_pid")).unwrap_or(false) {
            real::skip("this kernel does not let anybody choose process numbers (CONFIG_CHECKPOINT_RESTORE)");
            return None;
        }
        Some(Self { world, outer, init, nsenter })
    }

    /// The command inside.
    fn inside(&self, inner: &Command) -> Command {
        let mut outer = Command::new(&self.nsenter);
        outer.args(["--pid", "--mount", "--target", &self.init]);
        wrap(self.world, outer, inner)
    }

    fn sh(&self, script: &str) -> String {
        let mut inner = Command::new("sh");
        inner.args(["-c", script]).env("PATH", "/usr/bin:/bin");
        let output = self.inside(&inner).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn is_there(&self, pid: i64) -> bool {
        self.sh(&format!("test -d /proc/{pid} && echo yes")) == "yes"
    }

    fn kill(&self, pid: i64) {
        self.sh(&format!("kill -9 {pid}"));
        self.world.until(&format!("{pid} is free"), || (!self.is_there(pid)).then_some(()));
    }

    /// Gives the number to somebody else; the host's number of that process.
    fn give_away(&self, pid: i64) -> i32 {
        let tag = format!("other-{pid}");
        let mut inner = Command::new("python3");
        inner
            .args(["-c", TAKE, &pid.to_string()])
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.world.home());
        let taken = self.world.start(&mut self.inside(&inner), &tag);
        assert_eq!(taken.ended(), 0, "the number {pid} is taken");
        let err = self.world.logs().join(format!("{tag}.err"));
        self.world.until("it lives", || fs::read_to_string(&err).ok()?.contains("taken").then_some(()));
        let here = |dir: &PathBuf| {
            let text = fs::read_to_string(dir.join("status")).ok()?;
            let numbers = text.lines().find_map(|it| it.strip_prefix("NSpid:"))?;
            let line = fs::read_to_string(dir.join("cmdline")).ok()?;
            (numbers.split_whitespace().nth(1)? == pid.to_string() && line.contains("setsid")).then_some(())
        };
        let found =
            fs::read_dir("/proc").unwrap().flatten().map(|it| it.path()).find(|it| here(it).is_some());
        found.unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    /// Whoever has the number now was neither ended nor sent a signal.
    fn is_untouched(&self, pid: i64, here: i32) {
        assert!(crate::sight::lives(here), "{pid} was taken for the dead one\n{}", self.world.said());
        let said = fs::read_to_string(self.world.logs().join(format!("other-{pid}.err"))).unwrap();
        assert_eq!(said.trim(), "taken", "{pid} was sent a signal");
    }

    /// A watcher inside, at work; its number there.
    fn watcher(&self, tag: &str) -> (Started, i64) {
        let old = self.beat();
        let started = self.world.start(&mut self.inside(&self.world.watcher("marie")), tag);
        let pid = self.world.until("it beats", || {
            let beat = self.beat()?;
            (old.as_ref().is_none_or(|it| it["pid"] != beat["pid"])).then(|| beat["pid"].as_i64()).flatten()
        });
        (started, pid)
    }

    fn beat(&self) -> Option<Value> {
        read_json(&self.world.root().join("workers/marie/heartbeat.json"))
    }
}

impl Drop for Numbers<'_> {
    fn drop(&mut self) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.outer.pid()), Signal::SIGKILL).ok();
    }
}

/// A worker and its agent at one task, both killed, their numbers in other hands: the agent's and the worker's.
fn both_given_away(space: &Numbers<'_>) -> [(i64, i32); 2] {
    let world = space.world;
    let (first, watcher) = space.watcher("first");
    gated(world, "t");
    let task = world.active("marie", "t", |it| it["attempts"][0]["pid"].is_number());
    crate::sight::agent(world, "t");
    let agent = task["attempts"][0]["pid"].as_i64().unwrap();
    space.kill(watcher);
    space.kill(agent);
    drop(first);
    [agent, watcher].map(|pid| (pid, space.give_away(pid)))
}

#[test]
fn the_numbers_of_a_dead_worker_and_its_agent_in_other_hands_stop_nobody_and_nobody_ends_those() {
    let world = World::new();
    let Some(space) = Numbers::new(&world) else { return };
    let others = both_given_away(&space);
    fs::write(world.path().join("gate-t"), "").unwrap();
    let (_second, _) = space.watcher("marie");
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "done", "{task}");
    assert_eq!(events(&world, "start", "t").len(), 2, "the dead one, and one more");
    assert!(logged(&world, "marie", "adopted a living agent").is_empty(), "{}", world.said());
    for (pid, here) in others {
        space.is_untouched(pid, here);
    }
}

#[test]
fn no_verb_of_an_operator_ends_whoever_has_the_number_now() {
    let world = World::new();
    let Some(space) = Numbers::new(&world) else { return };
    let others = both_given_away(&space);
    let verbs: [(&str, &[&str]); 7] = [
        ("agentctl", &["status"]),
        ("agentctl", &["stop", "marie"]),
        ("agentctl", &["interrupt", "t"]),
        ("supervisor", &["recover", "marie", "--dry-run"]),
        ("supervisor", &["recover", "marie", "--end-agents"]),
        ("supervisor", &["ended", "marie"]),
        ("agentctl", &["cancel", "t", "--yes"]),
    ];
    for (program, words) in verbs {
        let mut inner = world.command(program);
        inner.arg("--root").arg(world.root()).args(words);
        if program == "supervisor" {
            inner = world.command(program);
            inner.args(words).arg("--root").arg(world.root());
        }
        let output = space.inside(&inner).output().unwrap();
        println!("{words:?}: {}", output.status);
        for (pid, here) in others {
            space.is_untouched(pid, here);
        }
    }
    let task: Value = world.filed("marie/cancelled", "t");
    assert_eq!(task["state"], json!("CANCELLED"), "{task}");
}
