//! `supervisor recover` and `supervisor monitor`, and who may hold a worker.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and moves files")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/syscalls.rs"]
mod syscalls;
#[path = "support/tracer.rs"]
mod tracer;
#[path = "support/traces.rs"]
mod traces;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use syscalls::Call;
use tracer::{Fate, Traced};
use traces::{alone, at_work, gate, gated, is_alive, open, recorded, said, slay, state};
use world::{World, until};

fn recover(world: &World, args: &[&str]) -> Command {
    let mut command = world.command("supervisor");
    command.args(["recover", "marie", "--root"]).arg(world.root()).args(args);
    command
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The names and contents below the root; what times of day change is left out.
fn picture(world: &World) -> Vec<(String, Vec<u8>)> {
    let found = Command::new("find").arg(world.root()).args(["-type", "f"]).output().unwrap();
    let mut files: Vec<_> =
        out(&found).lines().map(|path| (path.to_owned(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// A dead watcher with a task at work (its agent lives) and one whose agent is dead; the living agent.
fn wreck(world: &World) -> i32 {
    let never = gate(world, "never");
    let watcher = world.up("marie");
    world.submit("marie/pending", "dead", &gated(&never));
    let dead = at_work(world, "dead", 1);
    world.submit("marie/pending", "living", &gated(&gate(world, "living")));
    let living = at_work(world, "living", 1);
    recorded(world, "dead", dead);
    recorded(world, "living", living);
    world.until("their locks are there", || {
        world.root().join("locks/marie_task_living.lock").exists().then_some(())
    });
    watcher.murder();
    slay(world, dead);
    living
}

#[test]
fn a_dry_run_tells_what_is_done_and_changes_nothing() {
    let world = World::new();
    let living = wreck(&world);
    let before = picture(&world);
    let planned = recover(&world, &["--dry-run"]).output().unwrap();
    assert_eq!(planned.status.code(), Some(0));
    let shown = recover(&world, &["--dry-run", "--json"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["worker"], &shown["applied"]), (&json!("marie"), &json!(false)));
    assert_eq!(picture(&world), before);

    let done = recover(&world, &[]).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let text = out(&done);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.first(), Some(&"Starting clean recovery for marie"));
    assert_eq!(lines.last(), Some(&"Clean recovery completed for marie"));
    assert_eq!(lines[1..lines.len() - 1].join("\n"), out(&planned).trim_end());
    assert!(lines.iter().any(|it| it.starts_with("Moving dead.json back to pending")), "{text}");
    for lock in ["marie_task_dead.lock", "marie_task_living.lock", "marie_watcher.lock"] {
        assert!(lines.contains(&format!("Removing stale lock: {lock}").as_str()), "{text}");
        assert!(!world.root().join("locks").join(lock).exists());
    }
    assert!(is_alive(living));
    assert_eq!(
        (world.homes("dead"), world.homes("living")),
        (vec!["marie/pending".to_owned()], vec!["marie/active".to_owned()])
    );
    let told = state(&world, "marie", |_| true);
    assert_eq!((&told["status"], &told["recovery_count"]), (&json!("recovering"), &json!(1)));
    assert!(told["last_crash"].as_f64().unwrap() > 1_600_000_000.0);

    let before = picture(&world);
    let again = recover(&world, &["--json"]).output().unwrap();
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    let actions: Vec<_> =
        again["actions"].as_array().unwrap().iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["adopt", "clear_scratch"]);
    assert_eq!(picture(&world), before, "the second time there is nothing to do");

    let watcher = world.up("marie");
    open(&gate(&world, "living"));
    open(&gate(&world, "never"));
    assert_eq!(world.filed("marie/completed", "living")["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(world.filed("marie/completed", "dead")["retry_count"], 1);
    assert_eq!(said(&world, "start", "living").len(), 1);
    alone(&world);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn living_agents_are_ended_if_that_is_wanted_and_not_charged() {
    let world = World::new();
    let living = wreck(&world);
    assert_eq!(recover(&world, &["--end-agents"]).status().unwrap().code(), Some(0));
    assert!(!is_alive(living));
    let task = world.filed("marie/pending", "living");
    assert_eq!(task["attempts"][0]["charged"], false);
    assert_eq!(task["attempts"][0]["outcome"], "interrupted");
    assert_eq!(world.homes("living"), ["marie/pending"]);
}

#[test]
fn what_an_agent_answers_before_it_is_ended_is_its_answer() {
    let world = World::new();
    let living = wreck(&world);
    // It was found at work, and ends well before anything is done about that.
    let gate = gate(&world, "living");
    let answers = move |call: &Call| {
        if call.name.starts_with("rename") && call.what.ends_with("/state.json") && !gate.exists() {
            open(&gate);
            until(Duration::from_secs(20), || (!is_alive(living)).then_some(()));
        }
        false
    };
    let command = recover(&world, &["--end-agents"]);
    let recovery = Traced::start(&world, &command, "recovery", Arc::new(answers), Fate::Watch);
    assert_eq!(recovery.ended(Duration::from_mins(1)), Some(0), "{}", world.said());
    assert!(world.said().contains("Ending 1 process(es) left by living.json"), "{}", world.said());
    assert_eq!(world.homes("living"), ["marie/completed"]);
    assert_eq!(world.homes("dead"), ["marie/pending"]);
    assert_eq!(said(&world, "start", "living").len(), 1);
}

#[test]
fn a_living_watcher_is_named_and_left_alone() {
    let world = World::new();
    let watcher = world.up("marie");
    let refused = recover(&world, &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(75));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("living watcher") && text.contains(&watcher.pid().to_string()), "{text}");
    assert_eq!(watcher.stop(), 0);

    let mut unknown = world.command("supervisor");
    unknown.args(["recover", "nobody", "--root"]).arg(world.root());
    assert_eq!(unknown.output().unwrap().status.code(), Some(65));
}

#[test]
fn a_watcher_that_starts_waits_for_a_recovery() {
    let world = World::new();
    let never = gate(&world, "never");
    let first = world.up("marie");
    let prompt = format!("fake: grandchild noterm stdout; gate={} | succeed text=resumed", never.display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    world.until("the stray is there", || {
        world.agent_log().iter().any(|line| line["event"] == "grandchild").then_some(())
    });
    first.murder();
    slay(&world, agent);
    // It waits two seconds for a stray that does not hear; stopped there, it stays longer than any watcher is waited for.
    let recovery = world.start(&mut recover(&world, &[]), "recover");
    let mirror = world.root().join("locks/marie_watcher.lock");
    world
        .until("the recovery says who it is", || (world::json(&mirror)?["role"] == "recovery").then_some(()));
    recovery.signal(Signal::SIGSTOP);
    let watcher = world.start(&mut world.watcher("marie"), "marie");
    assert!(until(Duration::from_secs(4), || (!is_alive(watcher.pid())).then_some(())).is_none());
    recovery.signal(Signal::SIGCONT);
    assert_eq!(recovery.ended(), 0, "{}", world.said());
    assert_eq!(world.filed("marie/completed", "t")["result"], "resumed");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn of_many_watchers_of_one_name_one_works_and_the_others_name_it() {
    let world = World::new();
    let mut all: Vec<_> =
        (0..20).map(|n| world.start(&mut world.watcher("marie"), &format!("marie-{n}"))).collect();
    let heartbeat = world.root().join("workers/marie/heartbeat.json");
    let one = world.until("one of them beats", || world::json(&heartbeat)?["pid"].as_i64());
    let (mut works, others): (Vec<_>, Vec<_>) = all.drain(..).partition(|it| i64::from(it.pid()) == one);
    for other in others {
        assert_eq!(other.ended(), 78);
    }
    let told = world.said();
    assert_eq!(told.matches(&format!("holds worker marie already (pid {one} on ")).count() % 19, 0, "{told}");
    assert!(told.contains(&format!("holds worker marie already (pid {one} on ")), "{told}");
    assert_eq!(works.pop().unwrap().stop(), 0);
}

#[test]
fn unlinked_lock_files_let_nobody_in_and_are_made_again() {
    let world = World::new();
    let gate = gate(&world, "a");
    let watcher = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    at_work(&world, "t", 1);
    let locks = ["marie_watcher.lock", "marie_task_t.lock"].map(|name| world.root().join("locks").join(name));
    world.until("the locks are there", || locks.iter().all(|it| it.exists()).then_some(()));
    for lock in &locks {
        fs::remove_file(lock).unwrap();
    }
    let second = world.start(&mut world.watcher("marie"), "second");
    world.within("marie", 2, "the locks are made again", || locks.iter().all(|it| it.exists()).then_some(()));
    assert_eq!(second.ended(), 78);
    open(&gate);
    world.filed("marie/completed", "t");
    assert_eq!(said(&world, "start", "t").len(), 1);
    assert_eq!(watcher.stop(), 0);
    assert!(locks.iter().all(|it| !it.exists()));
}

#[test]
fn a_watcher_that_lost_its_folder_leaves_its_tasks_to_the_one_that_has_it() {
    let world = World::new();
    let gate = gate(&world, "a");
    let first = world.up("marie");
    world.submit("marie/pending", "t", &gated(&gate));
    let agent = at_work(&world, "t", 1);
    recorded(&world, "t", agent);
    fs::rename(world.root().join("workers/marie"), world.root().join("workers/aside")).unwrap();
    let log = || fs::read_to_string(world.logs().join("marie.log")).unwrap_or_default();
    world.until("it is noticed", || log().contains("moved or replaced").then_some(()));
    let second = world.up("marie");
    world.until("it is adopted", || log().contains("adopted a living agent").then_some(()));
    open(&gate);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "done");
    // The first has a moment to do it again.
    let again = until(Duration::from_secs(4), || {
        let completed = fs::read_dir(world.root().join("tasks/marie/completed")).unwrap().count();
        (completed != 1 || world.homes("t") != ["marie/completed"]).then_some(())
    });
    assert!(again.is_none(), "{}", world.said());
    assert_eq!(said(&world, "start", "t").len(), 1);
    first.signal(Signal::SIGTERM);
    first.signal(Signal::SIGTERM);
    assert_eq!(second.stop(), 0);
    drop(first);
}

fn monitor(world: &World, args: &[&str]) -> Command {
    let mut command = world.command("supervisor");
    command.args(["monitor", "marie", "--root"]).arg(world.root()).args(args);
    command
}

#[test]
fn a_monitor_prints_the_runbook_s_lines_for_as_long_as_it_is_told() {
    let world = World::new();
    // Where it serves is read in its state: nobody says it.
    let watcher = world.start(&mut world.served("marie", "127.0.0.1:0"), "marie");
    world.at_work("marie", &watcher);
    world.submit("marie/pending", "t", &gated(&gate(&world, "never")));
    at_work(&world, "t", 1);
    state(&world, "marie", |it| it["metrics_addr"].is_string() && it["queues"]["active"] == 1);
    let done = monitor(&world, &["--duration", "1.5", "--interval", "500ms"]).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let said = out(&done);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "Monitoring marie recovery for 1.5s");
    assert_eq!(lines.last(), Some(&"Monitoring completed"));
    assert!(lines.len() >= 6, "{said}");
    for pair in lines[1..lines.len() - 1].chunks(2) {
        let texts: Vec<&str> = pair.iter().map(|line| timed(line)).collect();
        assert_eq!(texts, ["active_tasks 1", "task_failed_total 0"], "{said}");
    }

    assert_eq!(watcher.stop(), 0);
    let done = monitor(&world, &["--duration", "0.2"]).output().unwrap();
    let said = out(&done);
    let second = said.lines().nth(1).unwrap();
    assert!(timed(second).starts_with("Failed to reach metrics: 127.0.0.1:"), "{said}");
    assert_eq!(done.status.code(), Some(0));
}

/// What follows `[HH:MM:SS] `.
fn timed(line: &str) -> &str {
    let (time, text) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
    assert!(time.len() == 8 && time.split(':').all(|part| part.len() == 2), "{line}");
    text
}

#[test]
fn a_monitor_tells_a_page_that_is_refused_and_ends_well_with_ctrl_c() {
    let world = World::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            std::io::Read::read(&mut &stream, &mut [0; 512]).unwrap();
            std::io::Write::write_all(&mut &stream, b"HTTP/1.1 503 Service Unavailable\r\n\r\n").ok();
        }
    });
    let mut command = monitor(&world, &["--duration", "1h", "--metrics-addr", &addr]);
    let watching = world.start(&mut command, "monitor");
    let said = || fs::read_to_string(world.logs().join("monitor.err")).unwrap();
    world.until("it says the status", || said().contains("] Metrics endpoint returned 503\n").then_some(()));
    watching.signal(Signal::SIGINT);
    assert_eq!(watching.ended(), 0);
    assert!(said().starts_with("Monitoring marie recovery for 3600s\n"), "{}", said());

    let nowhere = world.command("supervisor").args(["monitor", "bob", "--root", "."]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("--metrics-addr"), "{nowhere:?}");
}

#[test]
fn a_worker_that_is_not_there_is_told_with_where_to_look() {
    let world = World::new();
    assert_eq!(world.up("marie").stop(), 0);
    for verb in ["recover", "resume"] {
        let mut command = world.command("supervisor");
        let done = command.args([verb, "maria", "--root", "shared"]).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(65), "{verb}: {said}");
        assert!(said.contains("no worker `maria`") && said.contains("agentctl status"), "{verb}: {said}");
        assert!(!world.root().join("workers/maria").exists(), "{verb}: nothing was made");
    }
}
