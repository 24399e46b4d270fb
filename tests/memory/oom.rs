//! The kernel's OOM killer takes an agent while its watcher lives: told as that, charged as a crash, tried again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::sight::{agent, events, lives, logged};
use crate::world::{Started, World};
use crate::{real, up};

/// A control group with a limit of its own; removed with it.
struct Group(PathBuf);

impl Group {
    /// One of version 1 or 2, where this machine lets us make one.
    fn new(world: &World, limit: &str) -> Option<Self> {
        let name = world.path().file_name()?.to_str()?.to_owned();
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (parent, files) = if v1.is_dir() {
            (v1, ["memory.limit_in_bytes", "memory.swappiness"])
        } else {
            (Path::new("/sys/fs/cgroup"), ["memory.max", "memory.swap.max"])
        };
        let group = Self(parent.join(name));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join(files[0]), limit).ok()?;
        fs::write(group.0.join(files[1]), "0").ok();
        Some(group)
    }

    /// A watcher that lives in the group, and its agents with it.
    fn up(&self, world: &World) -> Started {
        let watcher = world.watcher("marie");
        let mut command = Command::new("/bin/sh");
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.0.display());
        command.args(["-c", &enter]).arg(watcher.get_program()).args(watcher.get_args());
        command.env_clear().envs(watcher.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let watcher = world.start(command.current_dir(world.path()), "marie");
        world.at_work("marie", &watcher);
        watcher
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes are gone a moment after they were killed.
        crate::world::until(std::time::Duration::from_secs(10), || fs::remove_dir(&self.0).ok());
    }
}

fn first_attempt(task: &Value) -> (&Value, &Value) {
    let first = &task["attempts"][0];
    (&first["outcome"], &first["charged"])
}

#[test]
fn an_agent_that_the_kernel_took_is_tried_again_and_said_so() {
    let world = World::new();
    let Some(group) = Group::new(&world, "67108864") else {
        return real::skip("no control group for memory can be made here");
    };
    let _watcher = group.up(&world);
    world.submit("marie/pending", "t", &json!({"prompt": "fake: eat mib=200; succeed | succeed text=again"}));
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "again", "{task}");
    assert_eq!(first_attempt(&task), (&json!("crashed"), &json!(true)), "{task}");
    assert_eq!(task["retry_count"], 1, "{task}");
    let reason = task["attempts"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("oom_killed: the kernel's OOM killer")
            || reason.starts_with("oom_killed: the agent"),
        "{reason}"
    );
    assert!(reason.contains("signal 9") && reason.contains("MemoryMax"), "{reason}");
    assert_eq!(events(&world, "start", "t").len(), 2);
}

#[test]
fn a_tool_that_the_kernel_took_is_told_and_costs_the_run_nothing() {
    let world = World::new();
    let Some(group) = Group::new(&world, "67108864") else {
        return real::skip("no control group for memory can be made here");
    };
    let Some(python) = real::program("python3") else { return };
    let _watcher = group.up(&world);
    let script = world.home().join("eat.py");
    // The kernel takes whom it likes: here the one that says that it does not mind.
    fs::write(&script, "held = b'x' * (200 << 20)\n").unwrap();
    let run = format!("fake: run text={} {}; succeed text=on", python.display(), script.display());
    world.submit("marie/pending", "t", &json!({"prompt": run}));
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("on"), &json!(0)), "{task}");
    let told = world
        .until("it is told", || logged(&world, "marie", "did not take the agent itself").first().cloned());
    assert!(told.to_string().contains("OOM killer struck 1 time"), "{told}");
}

#[test]
fn an_agent_that_was_taken_while_its_watcher_was_dead_is_charged_with_that() {
    let world = World::new();
    if agent_worker::os::oom::Killed::read().is_err() {
        return real::skip("the kernel's log cannot be read here");
    }
    let Some(group) = Group::new(&world, "67108864") else {
        return real::skip("no control group for memory can be made here");
    };
    let first = group.up(&world);
    let gate = world.path().join("gate");
    let prompt = format!("fake: gate={}; eat mib=200; succeed | succeed text=again", gate.display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let pid = agent(&world, "t");
    // The kernel's log names processes: what took one that nobody wrote down is not known.
    world.active("marie", "t", |it| it["attempts"][0]["pid"] == pid);
    first.murder();
    fs::write(gate, "").unwrap();
    world.until("the kernel has taken it", || (!lives(pid)).then_some(()));
    let _second = group.up(&world);
    let task = world.filed("marie/completed", "t");
    assert_eq!(first_attempt(&task), (&json!("crashed"), &json!(true)), "{task}");
    assert_eq!(task["attempts"][0]["reason"], "oom_killed", "{task}");
}

#[test]
fn a_kill_by_somebody_is_no_want_of_memory() {
    let world = World::new();
    let _watcher = up(&world, &["--max-retries", "0"]);
    world.submit("marie/pending", "t", &json!({"prompt": "fake: die signal=9"}));
    let task = world.filed("marie/failed", "t");
    let reason = task["failure_reason"].as_str().unwrap();
    assert!(reason.contains("signal 9") && !reason.contains("oom"), "{reason}");
}
