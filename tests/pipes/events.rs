//! What a worker says: to nobody, to one who is slow, to one who dies, to two.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{Listener, commands, done, gated, open_gate, out, say};
use crate::sight::journal;
use crate::world::World;

fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap().strip_prefix("agent-worker.").unwrap()
}

#[test]
fn who_listens_hears_a_task_s_life_as_the_journal_has_it() {
    let world = World::new();
    let _watcher = world.up("marie");
    let mut marie = Listener::to_marie(&world);
    world.submit("", "t", &json!({"prompt": "fake: succeed text=fine"}));
    let seen = std::cell::RefCell::new(Vec::new());
    let end = marie.next(&world, |event| {
        seen.borrow_mut().push(event.clone());
        kind(event) == "task.concluded"
    });
    let events = seen.into_inner();
    for event in &events {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["source"], "/workers/marie");
        assert_eq!(event["datacontenttype"], "application/json");
    }
    let of_task: Vec<_> = events.iter().filter(|it| it["subject"] == "t").map(kind).collect();
    assert!(of_task.starts_with(&["task.claimed", "task.started"]), "{of_task:?}");
    let task = world.filed("marie/completed", "t");
    let data = &end["data"];
    assert_eq!(
        (&data["state"], &data["run_id"], &data["attempt"]),
        (&json!("COMPLETED"), &task["run_id"], &json!(1))
    );
    assert_eq!(data["output"], task["output"]);
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["id"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let noted: Vec<_> = journal(&world, "marie").into_iter().filter(|line| line["task"] == "t").collect();
    for (word, kind_of) in
        [("claimed", "task.claimed"), ("started", "task.started"), ("concluded", "task.concluded")]
    {
        let line = noted.iter().find(|line| line["event"] == word).unwrap();
        let event = events.iter().find(|it| it["subject"] == "t" && kind(it) == kind_of).unwrap();
        assert_eq!(event["time"], line["time"], "the same line");
    }
}

#[test]
fn who_listens_hears_what_the_agent_says_and_which_tools_it_takes() {
    let world = World::new();
    let _watcher = world.up("marie");
    let mut marie = Listener::to_marie(&world);
    let prompt = "fake: say text=first the figures; run text=echo counted; succeed text=fine";
    world.submit("", "t", &json!({"prompt": prompt}));
    let turn = marie.next(&world, |event| kind(event) == "task.turn");
    assert_eq!(
        (&turn["subject"], &turn["data"]["text"]),
        (&json!("t"), &json!("first the figures")),
        "{turn}"
    );
    let tool = marie.next(&world, |event| kind(event) == "task.tool");
    assert!(tool["data"]["tool"].is_string(), "{tool}");
    assert!(tool["data"]["input"].to_string().contains("echo counted"), "{tool}");
    let task = world.filed("marie/completed", "t");
    for event in [turn, tool] {
        assert_eq!(
            (&event["data"]["run_id"], &event["data"]["attempt"]),
            (&task["run_id"], &json!(1)),
            "{event}"
        );
    }
}

#[test]
fn who_listens_is_warned_of_what_waits_in_vain_and_of_what_was_set_aside() {
    let world = World::new();
    let _watcher = world.up("marie");
    let mut marie = Listener::to_marie(&world);
    world.submit("marie/pending", "t", &json!({"prompt": "x", "worker": "anga"}));
    let warned = marie.next(&world, |event| kind(event) == "worker.warning");
    let message = warned["data"]["message"].as_str().unwrap();
    assert!(message.starts_with("t.json: waits in the wrong folder") && message.contains("anga"), "{warned}");
    assert!(warned["data"]["remedy"].as_str().unwrap().contains("tasks/"), "{warned}");
    world.submit("", "none", &json!({"prompt": 7}));
    let ends = marie.next(&world, |event| kind(event) == "task.concluded");
    assert_eq!((&ends["subject"], &ends["data"]["error_code"]), (&json!("none"), &json!("E002")), "{ends}");
    let warned = marie.next(&world, |event| kind(event) == "worker.warning");
    assert!(warned["data"]["message"].as_str().unwrap().contains("not a task"), "{warned}");
}

#[test]
fn without_a_reader_it_works_and_the_first_reader_is_told_what_was_missed_and_how_it_is() {
    let world = World::new();
    let _watcher = world.up("marie");
    world.submit("", "t", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "t");
    let mut marie = Listener::to(&world, &out(&world));
    let first = marie.next(&world, |_| true);
    assert_eq!(kind(&first), "worker.dropped");
    assert!(first["data"]["count"].as_u64().unwrap() >= 3, "{first}");
    let next = marie.next(&world, |_| true);
    assert_eq!((kind(&next), &next["data"]["status"]), ("worker.status", &json!("running")));
    drop(marie);
    let mut marie = Listener::to(&world, &out(&world));
    marie.next(&world, |event| kind(event) == "worker.status");
}

#[test]
fn a_reader_that_stopped_costs_events_and_nothing_else() {
    let world = World::new();
    let watcher = world.up("marie");
    let mut marie = Listener::to_marie(&world);
    for _ in 0..40 {
        // Each answer is told here too, and nobody reads it.
        for _ in 0..20 {
            say(&world, "nonsense that is answered with all the words that are known");
        }
        done(&world, json!({"op": "ping"}));
    }
    world.submit("", "t", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "t");
    let mut read = 0u64;
    while marie.line().is_some() {
        read += 1;
    }
    assert!(read > 10, "{read}");
    say(&world, "ping");
    let dropped = marie.next(&world, |event| kind(event) == "worker.dropped");
    assert!(dropped["data"]["count"].as_u64().unwrap() > 100, "{dropped}");
    assert_eq!(marie.answer(&world)["op"], "ping", "what comes next is told again");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn two_readers_take_lines_from_each_other_and_none_is_torn() {
    let world = World::new();
    let _watcher = world.up("marie");
    let mut one = Listener::to_marie(&world);
    let mut other = Listener::to(&world, &out(&world));
    for n in 0..50 {
        done(&world, json!({"op": "ping", "id": n.to_string()}));
    }
    let mut heard = 0;
    crate::world::until(crate::world::PATIENCE, || {
        // A line that was torn would not be read as one.
        heard += usize::from(one.line().is_some()) + usize::from(other.line().is_some());
        (heard >= 50).then_some(())
    });
    assert!(heard >= 50, "{heard}");
}

#[test]
fn a_stop_and_a_pause_are_told() {
    let world = World::new();
    let watcher = world.up("marie");
    let mut marie = Listener::to_marie(&world);
    world.submit("", "t", &gated(&world, "gate"));
    marie.next(&world, |event| kind(event) == "task.started");
    say(&world, "pause the disk is moved");
    marie.next(&world, |event| kind(event) == "worker.status" && event["data"]["status"] == "paused");
    open_gate(&world, "gate");
    marie.next(&world, |event| kind(event) == "task.concluded");
    watcher.signal(nix::sys::signal::Signal::SIGTERM);
    marie.next(&world, |event| kind(event) == "worker.status" && event["data"]["status"] == "stopped");
    assert_eq!(watcher.ended(), 0);
}

#[test]
fn only_those_who_should_may_write_and_read() {
    let world = World::new();
    let mut command = world.watcher("marie");
    command.args(["--pipe-mode", "0622"]);
    let started = world.start(&mut command, "marie");
    world.at_work("marie", &started);
    let mode = |path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    world.until("both are there", || (out(&world).exists() && commands(&world).exists()).then_some(()));
    assert_eq!((mode(commands(&world)), mode(out(&world))), (0o622, 0o644), "whatever the umask");
}
