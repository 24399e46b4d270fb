//! `supervisor resume`: batches in claim order, a stop, what it shows and what it prints.

use std::fs;

use serde_json::{Value, json};

use crate::traces::{count, gate, journal, open, state};
use crate::world::World;
use crate::{
    backlog, by_batch, laid_out, lines, names, numbered, one_at_a_time, record, recorded, resume, started,
    stderr, succeed, two_beats,
};

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
fn an_outage_holds_it_and_counts_nothing() {
    let world = World::new();
    laid_out(&world);
    let down = std::iter::repeat_n("fake: api status=529 | succeed".to_owned(), 2);
    // The first tells that it is over; the second lasts until the leader has heard so from the worker, who says it a moment
    // after that one was filed.
    let lasts = format!("fake: gate={}; succeed", gate(&world, "second").display());
    backlog(&world, down.chain(succeed(1)).chain([lasts]).chain(succeed(2)));
    let leader = world.start(&mut resume(&world, &["--delay", "300ms", "--batch-size", "2"]), "resume");
    recorded(&world, |_| true);
    let watcher = world.up("marie");
    world.until("it is over", || stderr(&world, "resume").contains("holds no more").then_some(()));
    open(&gate(&world, "second"));
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
