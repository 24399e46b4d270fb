//! The order of the queue, names that meet, retries, and what is believed of a file.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "support/sight.rs"]
mod sight;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use agent_worker::clock::{Clock, SystemClock};
use agent_worker::config::Durability;
use agent_worker::layout::Layout;
use agent_worker::spool::{ClaimError, Claimed, Disk, Spool};
use agent_worker::task::{Attempt, FileName, Place, SessionId, WorkerName};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sight::{agent, events, logged, place, reason, tasks};
use world::{Started, World};

/// A watcher of marie with further arguments.
fn up_with(world: &World, args: &[&str]) -> Started {
    let started = world.start(world.watcher("marie").args(args), "marie");
    world.at_work("marie", &started);
    started
}

fn gate(world: &World) -> (String, impl Fn()) {
    let path = world.path().join("gate");
    (format!("gate={}", path.display()), move || fs::write(&path, "").unwrap())
}

/// The tasks in the order in which their agents were started.
fn order(world: &World) -> Vec<String> {
    let starts = world.agent_log().into_iter().filter(|line| line["event"] == "start");
    starts.map(|line| line["task"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_pinned_task_is_left_to_its_worker() {
    let world = World::new();
    let _marie = world.up("marie");
    let _anga = world.up("anga");
    for n in 0..6 {
        let worker = if n % 2 == 0 { "marie" } else { "anga" };
        world.submit("", &format!("{worker}-{n}"), &json!({"prompt": "fake: succeed", "worker": worker}));
    }
    world.submit("", "bob", &json!({"prompt": "fake: succeed", "worker": "bob"}));
    for n in 0..6 {
        let worker = if n % 2 == 0 { "marie" } else { "anga" };
        world.filed(&format!("{worker}/completed"), &format!("{worker}-{n}"));
    }
    assert_eq!(tasks(&world, ""), ["bob.json"]);
}

#[test]
fn three_watchers_on_one_inbox_run_every_task_once() {
    const TASKS: usize = 60;
    let world = World::new();
    let workers = ["marie", "anga", "fabien"];
    let _watchers: Vec<_> = workers.iter().map(|worker| world.up(worker)).collect();
    for n in 0..TASKS {
        world.submit("", &format!("t{n}"), &json!({"prompt": "fake: succeed"}));
    }
    let filed = |worker: &&str| tasks(&world, &format!("{worker}/completed")).len();
    world.until("all are filed", || (workers.iter().map(filed).sum::<usize>() == TASKS).then_some(()));
    let mut started = order(&world);
    started.sort();
    assert_eq!(started.len(), TASKS);
    started.dedup();
    assert_eq!(started.len(), TASKS, "each once");
    let records = || fs::read_dir(world.root().join("artifacts")).unwrap().count();
    world
        .until("no record is left of what another was faster to take", || (records() == TASKS).then_some(()));
}

#[test]
fn whoever_comes_second_to_a_drop_leaves_no_record_of_a_run() {
    let world = World::new();
    let (layout, marie): (_, WorkerName) = (Layout::new(world.root()), "marie".parse().unwrap());
    for dir in [layout.place(&marie, Place::Pending), layout.place(&marie, Place::Active), layout.artifacts()]
    {
        fs::create_dir_all(dir).unwrap();
    }
    let disk = Disk::new(world.root(), Durability::Full);
    let spool = Spool::new(layout.clone(), marie.clone(), disk, Arc::new(SystemClock));
    let file: FileName = "t.json".parse().unwrap();
    let drop = spool.path(Place::Pending, &file);
    // The last thing that is asked for before the move.
    let claim = |is_taken: bool| {
        fs::write(&drop, r#"{"prompt":"x"}"#).unwrap();
        spool.claim(Place::Pending, &file, |_, _| {
            if is_taken {
                fs::remove_file(&drop).unwrap();
            }
            Attempt::open(1, SessionId::mint(), SystemClock.wall())
        })
    };
    let names = |dir| fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name()).collect::<Vec<_>>();
    assert!(matches!(claim(true), Err(ClaimError::Gone(_))));
    assert!(names(layout.artifacts()).is_empty() && names(layout.place(&marie, Place::Active)).is_empty());
    assert!(matches!(claim(false), Ok(Claimed::Lease(_))));
    assert!(matches!(claim(false), Err(ClaimError::Live(_))), "one of its name is worked on");
    assert_eq!(names(layout.artifacts()).len(), 1);
}

#[test]
fn garbage_that_three_watchers_see_leaves_one_reason() {
    let world = World::new();
    let workers = ["marie", "anga", "fabien"];
    let _watchers: Vec<_> = workers.iter().map(|worker| world.up(worker)).collect();
    for n in 0..20 {
        world.submit("", &format!("wrong{n}"), &json!({"prompt": n}));
    }
    let all = |end: &str| {
        workers
            .iter()
            .flat_map(|it| sight::names(&place(&world, &format!("{it}/failed"))))
            .filter(|it| it.ends_with(end))
            .count()
    };
    world.until("all are filed", || (all(".json") == 20 && tasks(&world, "").is_empty()).then_some(()));
    world.until("each has one reason", || (all(".reason") == 20).then_some(()));
}

#[test]
fn the_more_urgent_goes_first_and_equals_by_age() {
    let world = World::new();
    let _watcher = up_with(&world, &["--concurrency", "1"]);
    let (wait, open) = gate(&world);
    world.submit("", "first", &json!({"prompt": format!("fake: {wait}; succeed")}));
    agent(&world, "first");
    for (dir, name, priority) in
        [("", "low", -5), ("marie/pending", "older", 0), ("", "newer", 0), ("", "high", 7)]
    {
        world.submit(dir, name, &json!({"prompt": "fake: succeed", "priority": priority}));
        let dropped =
            fs::metadata(place(&world, dir).join(format!("{name}.json"))).unwrap().modified().unwrap();
        let tick = world.path().join("tick");
        world.until("the kernel's clock goes on", || {
            fs::write(&tick, "").unwrap();
            (fs::metadata(&tick).unwrap().modified().unwrap() > dropped + Duration::from_millis(1))
                .then_some(())
        });
    }
    world.submit("marie/staged", "staged", &json!({"prompt": "fake: succeed", "priority": -100}));
    sight::state(&world, "marie", |it| it["queues"]["inbox"] == 3 && it["queues"]["staged"] == 1);
    open();
    world.filed("marie/completed", "low");
    assert_eq!(order(&world), ["first", "staged", "high", "older", "newer", "low"]);
}

#[test]
fn a_task_waits_for_its_moment() {
    let world = World::new();
    let _watcher = world.up("marie");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let never = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    world.submit("", "soon", &json!({"prompt": "fake: succeed", "not_before": soon.to_string()}));
    world.submit("", "never", &json!({"prompt": "fake: succeed", "not_before": never.to_string()}));
    let task = world.filed("marie/completed", "soon");
    let started: jiff::Timestamp = task["attempts"][0]["started_at"].as_str().unwrap().parse().unwrap();
    assert!(started >= soon, "{started} is before {soon}");
    assert!(started.duration_since(soon) < jiff::SignedDuration::from_secs(3), "{started}, due {soon}");
    assert_eq!(world.homes("never"), [""]);
}

#[test]
fn a_due_task_without_a_slot_does_not_keep_the_loop_turning() {
    let world = World::new();
    let watcher = up_with(&world, &["--concurrency", "1"]);
    world.submit("", "first", &json!({"prompt": "fake: hang"}));
    agent(&world, "first");
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    world.submit("", "due", &json!({"prompt": "fake: succeed", "not_before": due.to_string()}));
    let turns = || sight::status(watcher.pid(), "voluntary_ctxt_switches").unwrap().parse::<u64>().unwrap();
    let seq =
        || world::json(&world.root().join("workers/marie/heartbeat.json")).and_then(|it| it["seq"].as_u64());
    world.until("it is due", || (jiff::Timestamp::now() > due).then_some(()));
    let (before, beat) = (turns(), seq().unwrap());
    world.until("three beats pass", || seq().filter(|it| *it >= beat + 3));
    let turned = turns() - before;
    assert!(turned < 300, "{turned} turns in three seconds");
}

#[test]
fn drops_of_a_live_name_step_aside_and_follow_one_by_one() {
    for dir in ["marie/pending", ""] {
        let world = World::new();
        let _watcher = world.up("marie");
        let (wait, open) = gate(&world);
        world.submit(dir, "x", &json!({"prompt": format!("fake: {wait}; succeed text=one")}));
        agent(&world, "x");
        world.submit(dir, "x", &json!({"prompt": format!("fake: {wait}; succeed text=two")}));
        let at = if dir.is_empty() { "" } else { dir };
        world.until("the second steps aside", || (tasks(&world, at) == ["x~2.json"]).then_some(()));
        world.submit(dir, "x", &json!({"prompt": "fake: succeed text=three"}));
        world.until("the third too", || (tasks(&world, at) == ["x~2.json", "x~3.json"]).then_some(()));
        open();
        for (name, text) in [("x", "one"), ("x~2", "two"), ("x~3", "three")] {
            assert_eq!(world.filed("marie/completed", name)["result"], text);
        }
        assert_eq!(order(&world), ["x", "x~2", "x~3"]);
        let log = world.agent_log();
        let marks: Vec<_> =
            log.iter().filter_map(|it| it["event"].as_str()).filter(|it| *it != "message").collect();
        assert_eq!(marks, ["start", "end", "start", "end", "start", "end"], "never two at once");
    }
}

#[test]
fn a_terminal_name_that_is_taken_is_not_overwritten() {
    let world = World::new();
    let _watcher = world.up("marie");
    for text in ["one", "two", "three"] {
        world.submit("", "x", &json!({"prompt": format!("fake: succeed text={text}")}));
        world.until("it is taken", || tasks(&world, "").is_empty().then_some(()));
        let n = ["one", "two", "three"].iter().position(|it| *it == text).unwrap() + 1;
        world.until("it is filed", || (tasks(&world, "marie/completed").len() == n).then_some(()));
    }
    assert_eq!(tasks(&world, "marie/completed"), ["x.json", "x~2.json", "x~3.json"]);
    for (name, text) in [("x", "one"), ("x~2", "two"), ("x~3", "three")] {
        assert_eq!(world.filed("marie/completed", name)["result"], text);
    }
}

#[test]
fn one_id_in_two_files_is_never_worked_on_twice_at_once() {
    let world = World::new();
    let _watcher = world.up("marie");
    let (wait, open) = gate(&world);
    world.submit("", "a", &json!({"prompt": format!("fake: {wait}; succeed text=a"), "id": "same"}));
    agent(&world, "same");
    world.submit("", "b", &json!({"prompt": "fake: succeed text=b", "id": "same"}));
    sight::state(&world, "marie", |it| it["queues"]["inbox"] == 1);
    assert_eq!(events(&world, "start", "same").len(), 1);
    open();
    assert_eq!(world.filed("marie/completed", "b")["result"], "b");
    let marks: Vec<_> = world
        .agent_log()
        .into_iter()
        .filter(|it| it["event"] != "message")
        .map(|it| it["event"].clone())
        .collect();
    assert_eq!(marks, ["start", "end", "start", "end"]);
}

#[test]
fn a_failing_task_is_tried_again_later_and_then_filed_with_its_reason() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "9"]);
    let content = r#"{ "mine":  {"b":1,  "a":[ 1.50, 2e3 ]}, "prompt":"fake: fail error", "max_retries":1,"last" : null }"#;
    fs::write(world.path().join("t"), content).unwrap();
    fs::rename(world.path().join("t"), place(&world, "t.json")).unwrap();
    let waiting = world.filed("marie/pending", "t");
    assert_eq!(waiting["retry_count"], 1, "{waiting}");
    assert_eq!(waiting["attempts"][0]["charged"], true);
    assert!(waiting["retry_at"].is_string(), "{waiting}");
    let kept = |text: &str| text.contains(r#"{"b":1,  "a":[ 1.50, 2e3 ]}"#);
    assert!(kept(&fs::read_to_string(place(&world, "marie/pending/t.json")).unwrap()));
    let task = world.filed("marie/failed", "t");
    assert!(kept(&fs::read_to_string(place(&world, "marie/failed/t.json")).unwrap()));
    assert_eq!((&task["state"], &task["retry_count"]), (&json!("FAILED"), &json!(2)), "{task}");
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["session_id"], attempts[1]["session_id"], "the session goes on");
    let keys: Vec<_> = task.as_object().unwrap().keys().take(4).cloned().collect();
    assert_eq!(keys, ["mine", "prompt", "max_retries", "last"], "the order is theirs");
    let due: jiff::Timestamp = waiting["retry_at"].as_str().unwrap().parse().unwrap();
    let again: jiff::Timestamp = attempts[1]["started_at"].as_str().unwrap().parse().unwrap();
    assert!(again >= due, "{again} is before {due}");
    let why = reason(&world, "marie", "t");
    assert_eq!(why["error_code"], task["error_code"]);
}

#[test]
fn what_a_repetition_cannot_mend_is_not_repeated() {
    let world = World::new();
    let _watcher = up_with(&world, &["--max-retries", "5"]);
    let cases = [
        ("pack", json!({"prompt": "x", "type": "no-such-pack"}), "E001"),
        ("outside", json!({"prompt": "x", "workdir": "/etc"}), "E002"),
        ("turns", json!({"prompt": "fake: fail turns"}), "E004"),
        ("budget", json!({"prompt": "fake: fail budget"}), "E004"),
        ("long", json!({"prompt": "fake: fail long"}), "E004"),
        ("denied", json!({"prompt": "fake: denied tool=WebFetch"}), "E005"),
    ];
    for (name, task, _) in &cases {
        world.submit("", name, task);
    }
    for (name, _, code) in &cases {
        let task = world.filed("marie/failed", name);
        assert_eq!((&task["error_code"], &task["state"]), (&json!(code), &json!("FAILED")), "{name}: {task}");
        assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{name}");
        assert_eq!(reason(&world, "marie", name)["error_code"], *code);
    }
    assert!(events(&world, "start", "pack").is_empty() && events(&world, "start", "outside").is_empty());
    assert_eq!(logged(&world, "marie", "not a task").len(), 0);
}

#[test]
fn an_operator_s_move_back_to_pending_is_a_new_life() {
    let world = World::new();
    let _watcher = world.up("marie");
    let go = world.home().join("go");
    let prompt = format!("fake: gate={}; fail turns", go.display());
    fs::write(&go, "").unwrap();
    world.submit("", "x", &json!({"prompt": prompt, "mine": 1}));
    let before = world.filed("marie/failed", "x");
    fs::rename(place(&world, "marie/failed/x.json"), place(&world, "marie/pending/x.json")).unwrap();
    let after = world.until("it failed again", || {
        world::json(&place(&world, "marie/failed/x.json")).filter(|it| it["run_id"] != before["run_id"])
    });
    assert_eq!(after["attempts"].as_array().unwrap().len(), 1);
    assert_ne!(after["attempts"][0]["session_id"], before["attempts"][0]["session_id"]);
    assert_eq!(after["mine"], 1);
}

#[test]
fn a_record_that_is_not_ours_is_not_believed() {
    let world = World::new();
    let _watcher = world.up("marie");
    let forged = json!({
        "prompt": "fake: succeed", "run_id": "0193d1a0-0000-7000-8000-000000000001", "state": "COMPLETED",
        "result": "forged", "retry_count": 99, "error_code": "E003",
        "attempts": [{"number": 7, "session_id": "11111111-1111-4111-8111-111111111111",
                      "started_at": "2020-01-01T00:00:00Z", "pid": 1}],
    });
    world.submit("", "x", &forged);
    let task = world.filed("marie/completed", "x");
    assert_ne!(task["run_id"], forged["run_id"]);
    assert_eq!(task["result"], "done");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(task["attempts"][0]["number"], 1);
    assert!(matches!(task["retry_count"], Value::Null) || task["retry_count"] == 0, "{task}");
    assert_eq!(task["error_code"], Value::Null);
}

#[test]
fn a_task_that_names_a_living_run_of_another_is_no_ghost_of_it() {
    let world = World::new();
    let _watcher = world.up("marie");
    let (wait, open) = gate(&world);
    world.submit("", "x", &json!({"prompt": format!("fake: {wait}; succeed")}));
    let run = world.active("marie", "x", |task| task["state"] == "RUNNING")["run_id"].clone();
    world.submit("marie/pending", "other", &json!({"prompt": "fake: succeed text=mine", "run_id": run}));
    assert_eq!(world.filed("marie/completed", "other")["result"], "mine");
    open();
    world.filed("marie/completed", "x");
}

#[test]
fn an_allowed_workdir_is_where_the_agent_works() {
    let world = World::new();
    let repo = world.path().join("repos/one");
    fs::create_dir_all(&repo).unwrap();
    let root = world.path().join("repos");
    let _watcher = up_with(&world, &["--workdir-root", root.to_str().unwrap()]);
    world.submit("", "in", &json!({"prompt": "fake: cwd", "workdir": repo}));
    world.submit("", "out", &json!({"prompt": "fake: cwd", "workdir": world.home()}));
    assert_eq!(world.filed("marie/completed", "in")["result"], repo.to_str().unwrap());
    assert_eq!(world.filed("marie/failed", "out")["error_code"], "E002");
}

#[test]
fn a_task_that_is_queued_in_the_moment_in_which_it_ends_is_not_run_again() {
    for (ends, starts, charged) in [("result text=done; exit code=0", 1, 0), ("die | succeed", 2, 1)] {
        let world = World::new();
        let watcher = world.up("marie");
        let (wait, open) = gate(&world);
        world.submit("", "x", &json!({"prompt": format!("fake: {wait}; {ends}")}));
        let pid = agent(&world, "x");
        world.active("marie", "x", |task| task["attempts"][0]["pid"].is_number());
        // A runbook's recovery, while the watcher looks away: a copy into pending, then away from active.
        watcher.signal(Signal::SIGSTOP);
        let active = place(&world, "marie/active/x.json");
        fs::copy(&active, place(&world, "marie/pending/x.json")).unwrap();
        fs::remove_file(&active).unwrap();
        open();
        world.until("its agent has ended", || (!sight::lives(pid)).then_some(()));
        watcher.signal(Signal::SIGCONT);
        let task = world.filed("marie/completed", "x");
        assert_eq!(task["retry_count"], charged, "{ends}: {task}");
        let seq = || world::json(&world.root().join("workers/marie/heartbeat.json"))?["seq"].as_u64();
        let seen = seq().unwrap();
        world.until("everything was looked at", || seq().filter(|it| *it >= seen + 4));
        assert_eq!(world.homes("x"), ["marie/completed"], "{ends}");
        assert_eq!(tasks(&world, "marie/completed"), ["x.json"], "{ends}: {}", world.said());
        let began = world.agent_log().iter().filter(|it| it["event"] == "start").count();
        assert_eq!(began, starts, "{ends}: {}", world.said());
    }
}
