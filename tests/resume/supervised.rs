//! Resumes that a supervisor leads by itself.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::traces::{count, gate, open, said, state};
use crate::world::{Started, World};
use crate::{
    backlog, by_batch, laid_out, names, numbered, record, recorded, resume, stderr, succeed, two_beats, world,
};

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
