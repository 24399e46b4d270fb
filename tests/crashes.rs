//! The agent dies, with its watcher or without: its task is charged once and goes on, and what it left is ended.
//! The watcher dies: why is said, in one word and in one sentence.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it reads what is written")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/real.rs"]
mod real;
#[path = "support/traces.rs"]
mod traces;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use traces::{alone, at_work, gate, gated, is_alive, journal, open, pid, recorded, said, slay, state};
use world::{Started, World, until};

#[test]
fn when_both_die_the_session_goes_on_and_the_attempt_is_charged_once() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    first.murder();
    slay(&world, agent);

    let second = world.up("marie");
    let agent = at_work(&world, "t", 2);
    let task = recorded(&world, "t", agent);
    assert_eq!(task["retry_count"], 1);
    assert_eq!(task["failure_reason"], "worker_crash");
    assert!(task["last_failure"].as_f64().unwrap() > 1_600_000_000.0);
    open(&gate);
    let task = world.filed("marie/completed", "t");

    assert_eq!(task["result"], "resumed");
    assert_eq!(task["retry_count"], 1);
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["outcome"], "crashed");
    assert_eq!(attempts[0]["charged"], true);
    assert_eq!(attempts[0]["reason"], "worker_crash");
    assert_eq!(attempts[0]["session_id"], attempts[1]["session_id"]);
    let starts = said(&world, "start", "t");
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[1]["mode"], "resume");
    assert_eq!(starts[0]["cwd"], starts[1]["cwd"]);
    alone(&world);
    assert_eq!(second.stop(), 0);
}

#[test]
fn an_agent_that_is_killed_under_a_living_watcher_is_retried() {
    let world = World::new();
    let gate = gate(&world, "a");
    let watcher = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    slay(&world, at_work(&world, "t", 1));
    at_work(&world, "t", 2);
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "resumed");
    assert_eq!(task["retry_count"], 1);
    assert_eq!(task["attempts"][0]["outcome"], "crashed");
    alone(&world);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_task_that_kills_every_agent_ends_in_failed() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("marie/pending", "t", &json!({"prompt": "fake: die", "max_retries": 2}));
    let task = world.filed("marie/failed", "t");
    assert_eq!(task["state"], "FAILED");
    assert_eq!(said(&world, "start", "t").len(), 3);
    assert_eq!(task["attempts"].as_array().unwrap().len(), 3);
    assert!(world.root().join("tasks/marie/failed/t.json.reason").exists());
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_task_that_dies_with_its_watcher_again_and_again_ends_in_failed() {
    let world = World::new();
    let gate = gate(&world, "never");
    let mut task = gated(&gate);
    task["max_retries"] = json!(1);
    let mut watcher = world.up("marie");
    world.submit("marie/pending", "t", &task);
    for crash in 1..=2 {
        let agent = at_work(&world, "t", crash);
        recorded(&world, "t", agent);
        watcher.murder();
        slay(&world, agent);
        watcher = world.up("marie");
    }
    let task = world.filed("marie/failed", "t");
    assert_eq!(task["failure_reason"].as_str().unwrap().split(';').next(), Some("worker_crash"), "{task:#}");
    assert_eq!(said(&world, "start", "t").len(), 2);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_stray_that_holds_the_stream_is_not_taken_for_the_agent_and_is_ended_first() {
    for stray in ["stdout", "stdout setsid", "stdout double noterm", "double noterm"] {
        let world = World::new();
        let gate = gate(&world, "a");
        let first = world.up("marie");
        let prompt = format!("fake: grandchild {stray}; gate={0} | succeed text=resumed", gate.display());
        world.submit("marie/pending", "t", &json!({"prompt": prompt}));
        let agent = at_work(&world, "t", 1);
        recorded(&world, "t", agent);
        let line = world.until("the stray is there", || {
            world.agent_log().into_iter().find(|line| line["event"] == "grandchild")
        });
        first.murder();
        slay(&world, agent);
        assert!(is_alive(pid(&line)), "{stray}");

        let second = world.up("marie");
        let task = world.filed("marie/completed", "t");
        assert_eq!(task["result"], "resumed", "{stray}");
        assert_eq!(task["retry_count"], 1, "{stray}");
        assert!(!is_alive(pid(&line)), "{stray}: {}", world.said());
        alone(&world);
        assert_eq!(second.stop(), 0);
    }
}

/// `supervisor up` with one worker, whose watcher beats; the supervisor, and the watcher's pid.
fn supervised(world: &World) -> (Started, i32) {
    world.program("watcher");
    let mut command = world.command("supervisor");
    command
        .args(["up", "--root", "shared", "--log-dir", "log", "--metrics-addr", "none"])
        .args(["--workers", "marie=none", "--log-format", "json", "--claude-bin"])
        .arg(world.program("fake-claude"));
    let supervisor = world.start(&mut command, "supervisor");
    let watcher = beating(world, 0);
    world.until("the supervisor has seen it", || {
        told(world).contains(&format!("pid {watcher}")).then_some(())
    });
    (supervisor, watcher)
}

fn told(world: &World) -> String {
    fs::read_to_string(world.logs().join("supervisor.err")).unwrap_or_default()
}

/// The pid of a watcher that beats and is not `other`.
fn beating(world: &World, other: i32) -> i32 {
    let path = world.root().join("workers/marie/heartbeat.json");
    let pid = world
        .until("marie beats", || world::json(&path)?["pid"].as_i64().filter(|pid| *pid != i64::from(other)));
    i32::try_from(pid).unwrap()
}

fn crashed(world: &World) -> Value {
    state(world, "marie", |it| it["status"] == "running" && it["recovery_count"] == 1)
}

#[test]
fn a_signal_is_named_and_a_kill_without_evidence_is_not_called_memory() {
    for (signal, word, sentence) in [
        (Signal::SIGKILL, "signal_9", "killed by signal 9, sender unknown"),
        (Signal::SIGSEGV, "signal_11", "SIGSEGV"),
    ] {
        let world = World::new();
        fs::create_dir_all(world.root().join("workers/marie")).unwrap();
        fs::write(world.root().join("workers/marie/state.json"), r#"{"status":"stopped","note":"mine"}"#)
            .unwrap();
        let (supervisor, watcher) = supervised(&world);
        kill(Pid::from_raw(watcher), signal).unwrap();
        beating(&world, watcher);
        let state = crashed(&world);
        assert_eq!(state["last_crash_reason"], word, "{state:#}");
        assert!(state["last_crash_detail"].as_str().unwrap().contains(sentence), "{state:#}");
        assert_eq!(state["note"], "mine");
        world
            .until("the person is told", || told(&world).contains(&format!("marie: {word}: ")).then_some(()));
        let noted = journal(&world, "marie");
        let noted = noted.iter().find(|line| line["event"] == "recovered").unwrap();
        assert!(noted["reason"].as_str().unwrap().starts_with(word), "{noted:#}");
        let status = world.agentctl(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(status["workers"][0]["last_crash_reason"], word, "{status:#}");
        let screen = String::from_utf8(world.agentctl(&["status"]).stdout).unwrap();
        assert!(screen.contains("marie died") && screen.contains(sentence), "{screen}");
        assert_eq!(supervisor.stop(), 0);
    }
}

#[test]
fn a_bug_is_told_with_its_report_also_without_a_supervisor() {
    let world = World::new();
    let mut first = world.watcher("marie");
    // Beyond the steps of its start: in those of its first task.
    first.env("AGENT_WORKER_PANIC_AFTER", "16");
    let first = world.start(&mut first, "marie");
    world.at_work("marie", &first);
    world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed text=done"}));
    assert_eq!(first.ended(), -1);
    let second = world.up("marie");
    let state = crashed(&world);
    assert_eq!(state["last_crash_reason"], "panic", "{state:#}");
    let detail = state["last_crash_detail"].as_str().unwrap();
    assert!(detail.contains("a test asked for a bug"), "{detail}");
    let report = detail.split("backtrace is ").nth(1).unwrap().split(':').next().unwrap();
    assert!(fs::read_to_string(report).unwrap().contains("kill_point"), "{report}");
    world.filed("marie/completed", "t");
    assert_eq!(second.stop(), 0);
    let third = world.up("marie");
    let state = traces::state(&world, "marie", |it| it["status"] == "running");
    assert_eq!(state["recovery_count"], 1, "a stop is no crash");
    assert_eq!(third.stop(), 0);
}

#[test]
fn a_death_before_the_first_beat_is_not_taken_for_the_stop_before_it() {
    let world = World::new();
    assert_eq!(world.up("marie").stop(), 0);
    let mut second = world.watcher("marie");
    // In its recovery, which is over before it beats.
    second.env("AGENT_WORKER_KILL_AFTER", "1");
    assert_eq!(world.start(&mut second, "marie").ended(), -1);
    let third = world.up("marie");
    assert_eq!(crashed(&world)["last_crash_reason"], "unknown");
    assert_eq!(third.stop(), 0);
}

#[test]
fn a_recovery_by_hand_says_why() {
    let world = World::new();
    world.up("marie").murder();
    let mut recover = world.command("supervisor");
    let done = recover.args(["recover", "marie", "--root", "shared"]).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("its last watcher died: unknown: "), "{said}");
    let state = state(&world, "marie", |it| it["status"] == "recovering");
    assert_eq!(state["last_crash_reason"], "unknown");
}

/// A memory cgroup of its own; removed at the end, when nobody is left in it.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let dir = PathBuf::from(format!("/sys/fs/cgroup/memory/agent-worker-{}", std::process::id()));
        fs::create_dir(&dir).ok()?;
        dir.join("memory.limit_in_bytes").exists().then_some(Self(dir))
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}

#[test]
fn a_watcher_that_the_kernel_ends_for_memory_is_told_so_and_its_task_is_charged_with_it() {
    // The same inode as in the kernel: else its log numbers processes otherwise.
    let first_namespace = fs::read_link("/proc/self/ns/pid").is_ok_and(|it| it.ends_with("pid:[4026531836]"));
    let readable = fs::File::open("/dev/kmsg").is_ok();
    let group = Group::new().filter(|_| first_namespace && readable);
    let Some(group) = group else {
        return real::skip("no memory cgroup (version 1) of one's own, or the kernel's log cannot be read");
    };
    for supervisor_lives in [true, false] {
        let world = World::new();
        let (supervisor, watcher) = supervised(&world);
        world.submit("marie/pending", "t", &gated(&gate(&world, "never")));
        let agent = at_work(&world, "t", 1);
        recorded(&world, "t", agent);
        if !supervisor_lives {
            supervisor.murder();
        }
        group.write("memory.limit_in_bytes", "400000");
        group.write("cgroup.procs", &watcher.to_string());
        // A task that is read needs more than that.
        let big = json!({"prompt": "x".repeat(900_000), "not_before": "2100-01-01T00:00:00Z"});
        world.submit("marie/pending", "big", &big);
        world.until("the kernel ends it", || (!is_alive(watcher)).then_some(()));
        slay(&world, agent);
        let next = (!supervisor_lives).then(|| world.up("marie"));
        let state = crashed(&world);
        assert_eq!(state["last_crash_reason"], "oom_killed", "{state:#}");
        let detail = state["last_crash_detail"].as_str().unwrap();
        assert!(detail.contains(&format!("Killed process {watcher} (watcher)")), "{detail}");
        world.until("the log says it in the runbook's words", || {
            let log = fs::read_to_string(world.logs().join("marie.log")).ok()?;
            log.lines().any(|line| line.contains("oom-killer") && line.contains("marie")).then_some(())
        });
        if supervisor_lives {
            // Its agent may have been adopted before it was slain: then it died under a living watcher.
            continue;
        }
        let task = world.active("marie", "t", |it| it["retry_count"] == 1);
        assert_eq!(task["failure_reason"], "oom_killed", "{task:#}");
        assert_eq!(task["attempts"][0]["reason"], "oom_killed");
        assert_eq!(next.map(Started::stop), Some(0));
    }
}

/// Where nobody else can end a watcher whose loop is caught in a bug, as under Docker, it ends itself after some minutes.
#[test]
fn a_watcher_whose_loop_stands_still_ends_itself_leaves_word_and_its_agent_lives() {
    const MINUTES: Duration = Duration::from_mins(6);
    let world = World::new();
    let stall = world.path().join("stall");
    let mut first = world.start(world.watcher("marie").env("AGENT_WORKER_STALL", &stall), "first");
    world.at_work("marie", &first);
    world.submit("marie/pending", "t", &gated(&gate(&world, "t")));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    fs::write(&stall, "").unwrap();
    assert!(until(MINUTES, || first.is_over().then_some(())).is_some(), "it stands still: {}", world.said());
    assert!(is_alive(agent), "its agent is not at fault");
    let worker = world.root().join("workers/marie");
    let reports = fs::read_dir(worker).unwrap().flatten().map(|it| it.path());
    let mut reports = reports.filter(|it| it.file_name().unwrap().to_string_lossy().starts_with("stalled-"));
    let report = fs::read_to_string(reports.next().expect("its last word")).unwrap();
    assert!(report.contains("its work loop had stood still for"), "{report}");

    let second = world.up("marie");
    state(&world, "marie", |it| it["last_crash_reason"] == "hung");
    open(&gate(&world, "t"));
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("done"), &json!(0)), "{task}");
    assert_eq!(said(&world, "start", "t").len(), 1);
    assert_eq!(second.stop(), 0);
}
