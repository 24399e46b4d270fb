//! The one who leads a resume dies, or the watcher that follows it.

use std::fs;

use nix::sys::signal::Signal;

use crate::traces::{count, gate, open, state};
use crate::world::{Started, World};
use crate::{
    backlog, by_batch, laid_out, lines, names, numbered, one_at_a_time, record, recorded, resume, started,
    stderr, succeed, traces, two_beats,
};

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
