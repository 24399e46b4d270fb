//! `supervisor resume`, and the resumes that a supervisor leads by itself: real watchers, small delays.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and moves files")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/traces.rs"]
mod traces;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use traces::{count, gate, journal, open, said, state};
use world::{Started, World};

fn resume(world: &World, args: &[&str]) -> Command {
    let mut command = world.command("supervisor");
    command.args(["resume", "marie", "--root"]).arg(world.root()).args(args);
    command
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Lays out the root: a watcher that was there and was stopped.
fn laid_out(world: &World) {
    assert_eq!(world.up("marie").stop(), 0);
}

/// Tasks that wait for marie, oldest first.
fn backlog(world: &World, prompts: impl IntoIterator<Item = String>) {
    let dir = world.root().join("tasks/marie/pending");
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    for (n, prompt) in (0..).zip(prompts) {
        let path = dir.join(format!(".t{n:02}.tmp"));
        fs::write(&path, json!({"prompt": prompt, "max_retries": 0}).to_string()).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(hour_ago + Duration::from_secs(n)).unwrap();
        fs::rename(path, dir.join(format!("t{n:02}.json"))).unwrap();
    }
}

fn succeed(n: usize) -> impl Iterator<Item = String> {
    std::iter::repeat_n("fake: succeed".to_owned(), n)
}

fn names(world: &World, place: &str) -> Vec<String> {
    let entries = fs::read_dir(world.root().join("tasks/marie").join(place)).unwrap();
    let mut names: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("t{n:02}")).collect()
}

fn record(world: &World) -> Option<Value> {
    world::json(&world.root().join("workers/marie/resume.json"))
}

/// Waits for a resume that is as expected.
fn recorded(world: &World, is: impl Fn(&Value) -> bool) -> Value {
    world.until("resume.json is as expected", || record(world).filter(|it| is(it)))
}

/// The tasks in the order in which they were started, those of one batch by name: an idle worker takes what it sees
/// first of a batch.
fn by_batch(world: &World, size: usize) -> Vec<String> {
    let mut all = started(world);
    all.retain(|name| name != "inbox");
    all.chunks_mut(size).for_each(<[String]>::sort);
    all
}

/// The tasks in the order in which they were started.
fn started(world: &World) -> Vec<String> {
    let starts = world.agent_log().into_iter().filter(|line| line["event"] == "start");
    starts.filter_map(|line| Some(line["task"].as_str()?.to_owned())).collect()
}

fn stderr(world: &World, tag: &str) -> String {
    fs::read_to_string(world.logs().join(format!("{tag}.err"))).unwrap_or_default()
}

fn one_at_a_time(world: &World) -> Started {
    let watcher = world.start(world.watcher("marie").args(["--concurrency", "1"]), "marie");
    world.at_work("marie", &watcher);
    watcher
}

#[test]
fn a_backlog_goes_in_batches_of_five_in_claim_order_with_the_runbooks_lines() {
    let world = World::new();
    laid_out(&world);
    backlog(&world, succeed(12));
    // Before its watcher is started, as the runbook does it.
    let leader = world.start(&mut resume(&world, &["--delay", "300ms"]), "resume");
    recorded(&world, |it| it["found"] == 12);
    world.submit("", "inbox", &json!({"prompt": "fake: succeed"}));
    let told = world.until("it says that it waits", || {
        Some(stderr(&world, "resume")).filter(|text| text.contains("not running: waiting"))
    });
    assert!(told.starts_with("Found 12 pending tasks\n"), "{told}");
    assert_eq!((names(&world, "pending"), names(&world, "staged")), (numbered(0..12), vec![]));

    let watcher = one_at_a_time(&world);
    assert_eq!(leader.ended(), 0, "{}", world.said());
    let told = stderr(&world, "resume");
    let runbook: Vec<_> = told.lines().filter(|line| !line.contains("watcher of marie")).collect();
    assert_eq!(
        runbook,
        [
            "Found 12 pending tasks",
            "Processing batch 1: 5 tasks",
            "Waiting 0.3s for batch to process...",
            "Processing batch 2: 5 tasks",
            "Waiting 0.3s for batch to process...",
            "Processing batch 3: 2 tasks",
            "Waiting 0.3s for batch to process...",
            "Gradual resume completed",
        ]
    );
    assert!(record(&world).is_none());
    world.until("the inbox is taken again", || (started(&world).len() == 13).then_some(()));
    assert_eq!(started(&world).last().unwrap(), "inbox", "nothing of the inbox was taken before");
    assert_eq!(by_batch(&world, 5), numbered(0..12));
    let state = state(&world, "marie", |it| it.get("resume").is_none());
    assert_eq!(state["status"], "running");
    let events = ["resume_started", "resume_batch", "resume_completed"].map(|event| count(&world, event));
    assert_eq!(events, [1, 3, 1]);
    assert_eq!(watcher.stop(), 0);
}

/// Two whole looks of the watcher pass.
fn two_beats(world: &World) {
    let path = world.root().join("workers/marie/heartbeat.json");
    let seq = |path| world::json(path).and_then(|beat| beat["seq"].as_u64());
    let now = world.until("it beats", || seq(&path));
    world.until("it beats twice", || seq(&path).filter(|it| *it >= now + 3));
}

#[test]
fn a_batch_that_fails_stops_it_and_the_worker_takes_nothing_until_a_person_has_looked() {
    let world = World::new();
    laid_out(&world);
    // Failures of long ago count for nothing.
    for n in 0..9 {
        fs::write(world.root().join(format!("tasks/marie/failed/old{n}.json")), "{}").unwrap();
    }
    let fails = std::iter::repeat_n("fake: fail error".to_owned(), 3);
    backlog(&world, succeed(5).chain(fails).chain(succeed(6)));
    let leader = world.start(&mut resume(&world, &["--delay", "300ms"]), "resume");
    recorded(&world, |_| true);
    let watcher = one_at_a_time(&world);
    assert_eq!(leader.ended(), 1, "{}", world.said());
    let told = stderr(&world, "resume");
    for part in [
        "High failure rate detected, stopping gradual resume",
        "Stopped: 3 of the 5 tasks of batch 2 failed",
        "`supervisor resume marie` begins again",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("completed"), "{told}");
    assert_eq!(record(&world).unwrap()["state"], "stopped");
    let held = state(&world, "marie", |it| it["status"] == "degraded" && it["hold"]["cause"] == "resume");
    assert!(held["hold"]["remedy"].as_str().unwrap().contains("--abandon"), "{held}");
    let shown = world.agentctl(&["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("marie resuming") && shown.contains("batch 2, 3 failed, stopped"), "{shown}");

    // Nothing is stranded, and nothing is taken: not from pending, not from the inbox, not by another watcher.
    world.until("nothing is staged", || names(&world, "staged").is_empty().then_some(()));
    world.submit("", "inbox", &json!({"prompt": "fake: succeed"}));
    assert_eq!(watcher.stop(), 0);
    let watcher = world.up("marie");
    two_beats(&world);
    let pending = names(&world, "pending");
    assert!(pending.len() >= 4 && pending.ends_with(&numbered(10..14)), "{pending:?}");
    assert_eq!(world.homes("inbox"), [""]);
    assert_eq!((started(&world).len(), count(&world, "resume_stopped")), (14 - pending.len(), 1));

    // One is tried by hand; then it begins again.
    let tasks = world.root().join("tasks/marie");
    fs::rename(tasks.join("pending/t13.json"), tasks.join("staged/t13.json")).unwrap();
    world.filed("marie/completed", "t13");
    let again = resume(&world, &["--delay", "200ms", "--batch-size", "2"]).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(lines(&again)[0], format!("Found {} pending tasks", pending.len() - 1));
    assert_eq!(lines(&again).last().unwrap(), "Gradual resume completed");
    world.until("all are done", || (names(&world, "completed").len() >= 11).then_some(()));
    world.until("the inbox is taken again", || (world.homes("inbox") == ["marie/completed"]).then_some(()));
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_resume_that_stopped_can_be_abandoned() {
    let world = World::new();
    laid_out(&world);
    let fails = std::iter::repeat_n("fake: fail error".to_owned(), 2);
    backlog(&world, fails.chain(succeed(4)));
    let leader = world.start(&mut resume(&world, &["--batch-size", "2"]), "resume");
    recorded(&world, |_| true);
    let watcher = world.up("marie");
    assert_eq!(leader.ended(), 1, "{}", world.said());
    two_beats(&world);
    assert_eq!(names(&world, "pending"), numbered(2..6));
    let ended = resume(&world, &["--abandon"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    world.until("all are done", || (names(&world, "completed").len() == 4).then_some(()));
    state(&world, "marie", |it| it["status"] == "running" && it.get("resume").is_none());
    assert_eq!(count(&world, "resume_abandoned"), 1);
    let nothing = resume(&world, &["--abandon"]).output().unwrap();
    assert_eq!(lines(&nothing), ["There is no gradual resume of marie"]);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_leader_is_named_to_the_next_and_followed_when_it_was_killed_or_interrupted() {
    let world = World::new();
    laid_out(&world);
    backlog(&world, succeed(12));
    let first = world.start(&mut resume(&world, &["--delay", "1h"]), "first");
    recorded(&world, |_| true);
    let watcher = world.up("marie");
    let before = recorded(&world, |it| it["batch"] == 1 && it["state"] == "waiting");
    let second = resume(&world, &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(75));
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains(&format!("led already by pid {} (5/12, batch 1", first.pid())), "{told}");

    first.murder();
    two_beats(&world);
    assert_eq!(names(&world, "pending"), numbered(5..12), "the worker waits for a successor");
    let second = world.start(&mut resume(&world, &[]), "second");
    let after = recorded(&world, |it| it["leader"]["pid"] == second.pid());
    assert_eq!(
        (&after["id"], &after["batch"], &after["terms"]),
        (&before["id"], &before["batch"], &before["terms"])
    );
    second.signal(Signal::SIGINT);
    assert_eq!(second.ended(), 75);
    let told = stderr(&world, "second");
    assert!(told.contains("Going on with the gradual resume that pid"), "{told}");
    assert!(told.contains("`supervisor resume marie` goes on") && told.contains("for 60 s"), "{told}");
    // What is asked for holds for a resume that begins; this one goes on as it was, so its hour is made short by hand.
    let path = world.root().join("workers/marie/resume.json");
    let text = fs::read_to_string(&path).unwrap().replace("3600.0", "0.2");
    fs::write(&path, text).unwrap();
    let third = resume(&world, &[]).output().unwrap();
    assert_eq!(third.status.code(), Some(0), "{third:?}");
    let batches: Vec<_> = lines(&third).into_iter().filter(|it| it.starts_with("Processing")).collect();
    assert_eq!(batches, ["Processing batch 2: 5 tasks", "Processing batch 3: 2 tasks"]);
    world.until("all are done", || (names(&world, "completed") == numbered(0..12)).then_some(()));
    assert_eq!(started(&world).len(), 12, "each once");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_leader_killed_at_any_step_loses_nothing_and_its_successor_goes_on() {
    let world = World::new();
    laid_out(&world);
    let flags = ["--delay", "10ms", "--batch-size", "2"];
    let mut all = 0;
    // The first version, a batch before and within its moves, its second version, the last one's end.
    for n in [1, 3, 6, 9, 11, 13, 16, 26] {
        backlog(&world, succeed(4));
        let leader =
            world.start(resume(&world, &flags).env("AGENT_WORKER_KILL_AFTER", n.to_string()), "killed");
        recorded_or_dead(&world, &leader);
        let watcher = world.up("marie");
        assert_eq!(leader.ended(), -1, "killed after step {n}");
        let homes: usize =
            ["pending", "staged", "active", "completed"].map(|it| names(&world, it).len()).iter().sum();
        assert_eq!(homes, all + 4, "after step {n}");
        let next = resume(&world, &flags).output().unwrap();
        assert_eq!(next.status.code(), Some(0), "after step {n}: {next:?}");
        all += 4;
        world.until("all are done", || (names(&world, "completed").len() == all).then_some(()));
        let drafts = fs::read_dir(world.root().join("workers/marie")).unwrap().flatten();
        let left: Vec<_> = drafts.filter(|it| it.file_name().to_string_lossy().contains("resume")).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(watcher.stop(), 0);
    }
    assert_eq!(started(&world).len(), all, "each once");
}

/// Waits until the leader has begun, or is no more.
fn recorded_or_dead(world: &World, leader: &Started) {
    world.until("it began or died", || {
        (record(world).is_some() || !traces::is_alive(leader.pid())).then_some(())
    });
}

#[test]
fn a_resume_that_nobody_leads_is_ended_by_the_worker() {
    let world = World::new();
    laid_out(&world);
    let gates = |n: usize| format!("fake: gate={}; succeed", gate(&world, &n.to_string()).display());
    backlog(&world, (0..8).map(gates));
    let flags = ["--delay", "1h", "--batch-size", "3", "--leaderless", "3s"];
    let leader = world.start(&mut resume(&world, &flags), "resume");
    recorded(&world, |_| true);
    let watcher = one_at_a_time(&world);
    recorded(&world, |it| it["batch"] == 1 && it["state"] == "waiting");
    world.until("one is at work", || (names(&world, "active").len() == 1).then_some(()));
    leader.murder();
    two_beats(&world);
    assert_eq!((names(&world, "staged"), names(&world, "pending")), (numbered(1..3), numbered(3..8)));
    world.until("the worker ends it", || record(&world).is_none().then_some(()));
    world.until("it is noted", || (count(&world, "resume_abandoned") == 1).then_some(()));
    state(&world, "marie", |it| it.get("resume").is_none());
    for n in 0..8 {
        open(&gate(&world, &n.to_string()));
    }
    world.until("all are done", || (names(&world, "completed") == numbered(0..8)).then_some(()));
    assert_eq!(by_batch(&world, 3)[..3], numbered(0..3), "what was staged went first");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_watcher_that_dies_is_waited_for_and_the_next_one_takes_only_what_is_staged() {
    let world = World::new();
    laid_out(&world);
    backlog(&world, succeed(6));
    let leader = world.start(&mut resume(&world, &["--delay", "1s", "--batch-size", "2"]), "resume");
    recorded(&world, |_| true);
    let watcher = world.up("marie");
    recorded(&world, |it| it["batch"] == 1 && it["done"] == 2);
    watcher.murder();
    world.until("it says so", || stderr(&world, "resume").contains("waiting for it, nothing").then_some(()));
    let batch = record(&world).unwrap()["batch"].as_u64().unwrap();
    let watcher = world.up("marie");
    two_beats(&world);
    let state = state(&world, "marie", |it| it["resume"]["id"].is_string());
    assert_eq!(state["resume"]["found"], 6);
    assert_eq!(leader.ended(), 0, "{}", world.said());
    let told = stderr(&world, "resume");
    assert_eq!(told.matches("Processing batch").count(), 3, "{told}");
    assert!(batch <= 2 && told.contains("The watcher of marie is there"), "{told}");
    world.until("all are done", || (names(&world, "completed") == numbered(0..6)).then_some(()));
    assert_eq!(by_batch(&world, 2), numbered(0..6));
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn an_outage_holds_it_and_counts_nothing() {
    let world = World::new();
    laid_out(&world);
    let down = std::iter::repeat_n("fake: api status=529 | succeed".to_owned(), 2);
    backlog(&world, down.chain(succeed(4)));
    let leader = world.start(&mut resume(&world, &["--delay", "300ms", "--batch-size", "2"]), "resume");
    recorded(&world, |_| true);
    let watcher = world.up("marie");
    assert_eq!(leader.ended(), 0, "{}", world.said());
    let told = stderr(&world, "resume");
    assert!(told.contains("marie holds (outage"), "{told}");
    assert_eq!(told.matches("marie holds no more").count(), 1, "{told}");
    assert!(!told.contains("High failure rate"), "{told}");
    world.until("all are done", || (names(&world, "completed") == numbered(0..6)).then_some(()));
    let task = world.filed("marie/completed", "t00");
    assert_eq!((&task["retry_count"], task["attempts"].as_array().unwrap().len()), (&json!(0), 2));
    let held = journal(&world, "marie").into_iter().filter(|line| line["event"] == "resume_held");
    assert!(held.count() <= 3, "once a change");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_dry_run_shows_the_batches_and_touches_nothing() {
    let world = World::new();
    laid_out(&world);
    backlog(&world, succeed(7));
    let later = json!({"prompt": "fake: succeed", "not_before": "2099-01-01T00:00:00Z"});
    world.submit("marie/pending", "later", &later);
    let shown = resume(&world, &["--dry-run"]).output().unwrap();
    assert_eq!(shown.status.code(), Some(0));
    assert_eq!(
        lines(&shown),
        [
            "Found 8 pending tasks",
            "Processing batch 1: 5 tasks (t00.json t01.json t02.json t03.json t04.json)",
            "Processing batch 2: 2 tasks (t05.json t06.json)",
            "1 more wait for something of their own, and stay in pending/",
        ]
    );
    let shown = resume(&world, &["--dry-run", "--json", "--batch-size", "4"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["state"], &shown["found"]), (&json!("planned"), &json!(8)));
    assert_eq!(shown["plan"][1], json!(["t04.json", "t05.json", "t06.json"]));
    assert!(record(&world).is_none() && names(&world, "staged").is_empty());
    assert_eq!((names(&world, "pending").len(), journal(&world, "marie").len()), (8, 0));

    let mut unknown = world.command("supervisor");
    unknown.args(["resume", "nobody", "--root"]).arg(world.root());
    assert_eq!(unknown.output().unwrap().status.code(), Some(65));
    for wrong in [["--batch-size", "0"], ["--max-failure-rate", "2"], ["--dry-run", "--abandon"]] {
        assert_eq!(resume(&world, &wrong).output().unwrap().status.code(), Some(64), "{wrong:?}");
    }
}

#[test]
fn with_json_the_lines_are_talk_and_the_end_is_data() {
    let world = World::new();
    let watcher = world.up("marie");
    let none = resume(&world, &["--json"]).output().unwrap();
    let end: Value = serde_json::from_slice(&none.stdout).unwrap();
    assert_eq!((&end["state"], &end["found"]), (&json!("completed"), &json!(0)));
    let talk = String::from_utf8_lossy(&none.stderr).into_owned();
    assert_eq!(talk, "Found 0 pending tasks\nGradual resume completed\n");
    assert_eq!(watcher.stop(), 0);

    backlog(&world, std::iter::repeat_n("fake: fail error".to_owned(), 3));
    let child = resume(&world, &["--json", "--batch-size", "2"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    recorded(&world, |_| true);
    let watcher = world.up("marie");
    let output = child.wait_with_output().unwrap();
    let end: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&end["state"], &end["failed"], output.status.code()),
        (&json!("stopped"), &json!(2), Some(1))
    );
    assert!(end["reason"].as_str().unwrap().contains("2 of the 2 tasks of batch 1 failed"), "{end}");
    assert_eq!(watcher.stop(), 0);
}

/// `supervisor up` for marie alone.
fn up(world: &World, addr: &str) -> Started {
    world.program("watcher");
    let mut command = world.command("supervisor");
    command.args(["up", "--root", "shared", "--log-dir", "log", "--metrics-addr", addr, "--cooldown", "1"]);
    command.args(["--workers", "marie=none", "--concurrency", "2", "--claude-bin"]);
    world.start(command.arg(world.program("fake-claude")), "up")
}

fn watcher_pid(world: &World, not: i32) -> i32 {
    let path = world.root().join("workers/marie/heartbeat.json");
    let pid = world.until("a watcher beats", || {
        world::json(&path).filter(|it| it["status"] != "stopped")?["pid"]
            .as_i64()
            .filter(|it| *it != i64::from(not))
    });
    i32::try_from(pid).unwrap()
}

#[test]
fn the_second_crash_with_a_backlog_is_followed_by_a_gradual_resume_and_the_first_is_not() {
    let world = World::new();
    laid_out(&world);
    let waits = format!("fake: gate={}; succeed", gate(&world, "a").display());
    backlog(&world, std::iter::repeat_n(waits, 12));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let supervisor = up(&world, &port.to_string());
    let first = watcher_pid(&world, 0);
    world.until("two are at work", || {
        let heard = world.agent_log().iter().filter(|line| line["event"] == "message").count();
        (heard == 2).then_some(())
    });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), Signal::SIGKILL).unwrap();
    let second = watcher_pid(&world, first);
    two_beats(&world);
    assert!(record(&world).is_none(), "one crash is no storm");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(second), Signal::SIGKILL).unwrap();
    recorded(&world, |it| it["found"] == 10 && it["terms"]["batch_size"] == 5);
    watcher_pid(&world, second);
    let led = recorded(&world, |it| it["batch"] == 1 && it["state"] == "waiting");
    assert_eq!(led["leader"]["pid"], supervisor.pid());
    world.until("it is told", || {
        let told = stderr(&world, "up");
        (told.contains("Found 10 pending tasks") && told.contains("Processing batch 1: 5 tasks"))
            .then_some(())
    });
    state(&world, "marie", |it| it["resume"]["released"] == 5);
    world.until("it is counted", || {
        let text = http(port, "/metrics")?;
        let has = |line: &str| text.lines().any(|it| it == line);
        (has("agent_worker_resume_state{worker=\"marie\"} 1")
            && has("agent_worker_resume_released_tasks{worker=\"marie\"} 5"))
        .then_some(())
    });
    let shown = world.agentctl(&["status", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["workers"][0]["resume"]["released"], 5, "{shown}");

    open(&gate(&world, "a"));
    world.until("those are done", || (names(&world, "completed").len() == 7).then_some(()));
    two_beats(&world);
    assert_eq!(names(&world, "pending").len(), 5, "the rest waits for its batch");
    // Taken away by hand: its leader lets go, and the worker takes everything.
    fs::remove_file(world.root().join("workers/marie/resume.json")).unwrap();
    world.until("all are done", || (names(&world, "completed") == numbered(0..12)).then_some(()));
    world.until("it is told", || stderr(&world, "up").contains("Gradual resume abandoned").then_some(()));
    assert!(record(&world).is_none());
    assert_eq!(said(&world, "start", "t11").len(), 1);
    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.ended(), 0, "{}", world.said());
}

#[test]
fn a_supervisor_goes_on_with_a_resume_whose_leader_was_killed() {
    let world = World::new();
    laid_out(&world);
    backlog(&world, succeed(6));
    let leader = world.start(&mut resume(&world, &["--delay", "500ms", "--batch-size", "2"]), "resume");
    recorded(&world, |_| true);
    leader.murder();
    let supervisor = up(&world, "none");
    world.until("all are done", || (names(&world, "completed") == numbered(0..6)).then_some(()));
    world.until("it is over", || (count(&world, "resume_completed") == 1).then_some(()));
    assert_eq!((count(&world, "resume_batch"), by_batch(&world, 2)), (3, numbered(0..6)));
    world.until("it is told", || stderr(&world, "up").contains("Gradual resume completed").then_some(()));
    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.ended(), 0);
}

/// The body of an answer.
fn http(addr: std::net::SocketAddr, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(addr).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text.split_once("\r\n\r\n")?.1.to_owned())
}
