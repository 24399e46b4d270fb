//! What is too much: time, silence, output; and output that is no conversation.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "support/http.rs"]
mod http;
#[path = "support/sight.rs"]
mod sight;
#[path = "support/world.rs"]
mod world;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use sight::{agent, lives, logged, reason};
use world::{Started, World};

fn up_with(world: &World, args: &[&str]) -> Started {
    let started = world.start(world.watcher("marie").args(args), "marie");
    world.at_work("marie", &started);
    started
}

#[test]
fn a_run_that_takes_too_long_is_interrupted() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "0"]);
    world.submit("", "slow", &json!({"prompt": "fake: hang", "timeout_s": 1}));
    let task = world.filed("marie/failed", "slow");
    assert_eq!((&task["state"], &task["error_code"]), (&json!("TIMEOUT"), &json!("E003")), "{task}");
    assert_eq!(reason(&world, "marie", "slow")["error_code"], "E003");
    assert_eq!(world.agent_log().last().unwrap()["event"], "end", "it was asked, and ended by itself");
    assert_eq!(logged(&world, "marie", "Execution time: ").len(), 2, "people were warned twice");
}

#[test]
fn a_run_that_does_not_hear_is_killed() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "0"]);
    world.submit("", "deaf", &json!({"prompt": "fake: ignore-term; hang stubborn", "timeout_s": 1}));
    let pid = agent(&world, "deaf");
    let began = Instant::now();
    let task = world.filed("marie/failed", "deaf");
    assert_eq!((&task["state"], &task["error_code"]), (&json!("TIMEOUT"), &json!("E003")), "{task}");
    assert!(!lives(pid));
    assert!(began.elapsed() < Duration::from_secs(16), "{:?}", began.elapsed());
}

#[test]
fn a_timeout_is_charged_and_tried_again_in_the_same_session() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: hang | succeed text=second", "timeout_s": 1}));
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "second");
    assert_eq!(task["attempts"][0]["charged"], true, "{task}");
    assert_eq!(sight::events(&world, "start", "t")[1]["mode"], "resume");
}

#[test]
fn a_silent_tool_ends_a_run() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "0", "--idle-timeout", "1"]);
    world.submit("", "silent", &json!({"prompt": "fake: tool name=Bash text=make; hang"}));
    let task = world.filed("marie/failed", "silent");
    assert_eq!((&task["error_code"], &task["state"]), (&json!("E003"), &json!("TIMEOUT")), "{task}");
    assert!(task["failure_reason"].as_str().is_some_and(|it| it.contains("Bash")), "{task}");
}

#[test]
fn a_silent_api_is_no_fault_of_the_task() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "0", "--idle-timeout", "1", "--concurrency", "1"]);
    world.submit("", "silent", &json!({"prompt": "fake: say text=hello; hang"}));
    let task = world.filed("marie/pending", "silent");
    assert_eq!(
        (&task["attempts"][0]["charged"], &task["state"]),
        (&json!(false), &json!("PENDING")),
        "{task}"
    );
    // If it was the task after all, the others do not wait behind it.
    world.submit("", "other", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "other");
}

#[test]
fn an_agent_that_hangs_after_its_answer_has_answered() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: result text=answer; ignore-term; hang stubborn"}));
    let pid = agent(&world, "t");
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["state"], &task["result"]), (&json!("COMPLETED"), &json!("answer")));
    assert!(!lives(pid));
}

#[test]
fn an_agent_that_dies_after_its_answer_has_answered() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: result text=answer; die"}));
    assert_eq!(world.filed("marie/completed", "t")["result"], "answer");
}

#[test]
fn much_output_costs_no_memory() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("", "flood", &json!({"prompt": "fake: flood n=2000 bytes=100000; succeed text=dry"}));
    world.submit("", "line", &json!({"prompt": "fake: line bytes=20000000; succeed text=end"}));
    assert_eq!(world.filed("marie/completed", "line")["result"], "end");
    assert_eq!(world.filed("marie/completed", "flood")["result"], "dry");
    let peak = sight::status(watcher.pid(), "VmHWM").unwrap();
    let kib: u64 = peak.trim_end_matches(" kB").trim().parse().unwrap();
    assert!(kib < 64 * 1024, "{peak} at the peak");
}

#[test]
fn what_is_no_conversation_is_passed_over() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: bad-utf8; garbage; stderr text=hm; succeed text=fine"}));
    assert_eq!(world.filed("marie/completed", "t")["result"], "fine");
}

#[test]
fn without_an_answer_nothing_succeeded() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "0"]);
    world.submit("", "quiet", &json!({"prompt": "fake: say text=hello; exit code=0"}));
    world.submit("", "torn", &json!({"prompt": "fake: tear"}));
    world.submit("", "dead", &json!({"prompt": "fake: die signal=6"}));
    for name in ["quiet", "torn", "dead"] {
        let task = world.filed("marie/failed", name);
        assert_eq!(task["state"], "FAILED", "{task}");
        assert_eq!(task["retry_count"], 1, "{task}");
    }
}

/// Waits until the watcher has turned `n` more times; its last sign.
fn beats(world: &World, n: u64) -> serde_json::Value {
    let path = world.root().join("workers/marie/heartbeat.json");
    let now = world.until("the watcher beats", || world::json(&path)?["seq"].as_u64());
    world
        .until("the watcher beats on", || world::json(&path).filter(|it| it["seq"].as_u64() >= Some(now + n)))
}

/// So long nothing is done.
fn wait(time: Duration) {
    world::until(time, || None::<()>);
}

/// An agent that says something when the first gate opens, and ends when the second does.
fn two_gates(world: &World) -> (std::path::PathBuf, std::path::PathBuf) {
    let (first, second) = (world.path().join("first"), world.path().join("second"));
    let prompt = format!(
        "fake: say text=at work; gate={}; say text=still; gate={}; succeed text=done",
        first.display(),
        second.display()
    );
    world.submit("marie/pending", "t", &json!({ "prompt": prompt }));
    let pid = agent(world, "t");
    world.active("marie", "t", |task| task["attempts"][0]["pid"] == pid);
    (first, second)
}

#[test]
fn a_watcher_that_was_stopped_hears_what_was_said_before_it_judges_anybody_silent() {
    let world = World::new();
    let watcher = up_with(&world, &["--idle-timeout", "3"]);
    let (first, second) = two_gates(&world);
    watcher.signal(Signal::SIGSTOP);
    wait(Duration::from_secs(2));
    std::fs::write(first, "").unwrap();
    wait(Duration::from_millis(2500));
    watcher.signal(Signal::SIGCONT);
    beats(&world, 1);
    std::fs::write(second, "").unwrap();
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task}");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn the_time_in_which_a_watcher_was_stopped_is_nobodys_silence() {
    let world = World::new();
    let watcher = up_with(&world, &["--idle-timeout", "4", "--agent-timeout", "6"]);
    let (first, second) = two_gates(&world);
    watcher.signal(Signal::SIGSTOP);
    wait(Duration::from_secs(8));
    watcher.signal(Signal::SIGCONT);
    beats(&world, 1);
    assert_eq!(beats(&world, 1)["status"], "running");
    std::fs::write(first, "").unwrap();
    std::fs::write(second, "").unwrap();
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task}");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_wall_clock_that_is_set_changes_timestamps_and_nothing_else() {
    const DAY: i64 = 86_400;
    for by in [DAY, -DAY] {
        let world = World::new();
        let step = world.path().join("step");
        let start = || {
            let mut command = world.served("marie", "127.0.0.1:0");
            command.env("AGENT_WORKER_CLOCK_STEP", &step).args(["--concurrency", "1"]);
            let started = world.start(&mut command, "marie");
            world.at_work("marie", &started);
            started
        };
        let first = start();
        let (open, end) = two_gates(&world);
        let pid = agent(&world, "t");
        world.submit("marie/pending", "held", &json!({"prompt": "fake: api status=529 | succeed"}));
        world.submit("marie/pending", "next", &json!({"prompt": "fake: succeed"}));

        let before = beats(&world, 1)["timestamp"].as_str().unwrap().to_owned();
        std::fs::write(&step, by.to_string()).unwrap();
        let after = beats(&world, 3);
        assert_ne!(after["timestamp"].as_str().unwrap()[..10], before[..10], "the step is seen");
        assert_eq!((&after["status"], lives(pid)), (&json!("running"), true));
        let status = world.agentctl(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        assert!(status["workers"][0]["heartbeat_age_s"].as_u64().is_some_and(|age| age < 30), "{status}");

        // One that takes the agent up counts its time anew: by a clock that was not set.
        first.murder();
        let second = start();
        assert_eq!(beats(&world, 3)["status"], "running");
        assert!(lives(pid), "{}", world.said());
        std::fs::write(open, "").unwrap();
        std::fs::write(end, "").unwrap();
        let task = world.filed("marie/completed", "t");
        assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task}");

        // A hold that began before the clock is set back ends in its time.
        world.until("it holds", || (!logged(&world, "marie", "claiming nothing").is_empty()).then_some(()));
        std::fs::write(&step, "0").unwrap();
        for name in ["held", "next"] {
            world.filed("marie/completed", name);
        }
        let answer = http::get(world.address("marie"), "/metrics");
        let sum = answer.lines().find_map(|line| line.strip_prefix("agent_execution_duration_seconds_sum "));
        assert!(sum.unwrap().parse::<f64>().unwrap() < 3600.0, "{answer}");
        assert_eq!(second.stop(), 0);
    }
}
