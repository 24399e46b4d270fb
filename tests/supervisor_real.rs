//! `supervisor up` with the real watchers and a scripted agent: what a person sees, and what survives whose death.

#![cfg(feature = "test-support")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test plays the person, and fails by panicking"
)]

#[path = "support/world.rs"]
mod world;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use world::{Started, World, until};

const ALL: &str = "marie=none,anga=none,fabien=none";

/// `supervisor up` on a world's root, to be changed, then started.
fn up(world: &World, workers: &str) -> Command {
    served(world, workers, "none")
}

/// The same, with a face of its own.
fn served(world: &World, workers: &str, addr: &str) -> Command {
    // It starts the one that stands beside it.
    world.program("watcher");
    let mut command = world.command("supervisor");
    command.args(["up", "--root", "shared", "--log-dir", "log", "--metrics-addr", addr]);
    command.args(["--workers", workers, "--claude-bin"]).arg(world.program("fake-claude"));
    command
}

/// A supervisor in the foreground, all of whose workers are up.
struct Foreground<'a> {
    world: &'a World,
    started: Started,
    tag: &'static str,
}

impl<'a> Foreground<'a> {
    fn start(world: &'a World, command: &mut Command, tag: &'static str) -> Self {
        let started = world.start(command, tag);
        Self { world, started, tag }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.world.logs().join(format!("{}.err", self.tag))).unwrap_or_default()
    }

    /// Waits until it has said `text` so many times; everything it has said.
    fn says(&self, text: &str, times: usize) -> String {
        self.world.until(&format!("`{text}` is said {times} times"), || {
            let said = self.said();
            (said.matches(text).count() >= times).then_some(said)
        })
    }

    /// Presses Ctrl-C; the status and everything that was said.
    fn interrupt(self) -> (i32, String) {
        self.started.signal(Signal::SIGINT);
        let path = self.world.logs().join(format!("{}.err", self.tag));
        (self.started.ended(), fs::read_to_string(path).unwrap())
    }
}

fn watcher_pid(world: &World, worker: &str) -> i32 {
    let path = world.root().join(format!("locks/{worker}_watcher.lock"));
    let pid = world.until("the lock's mirror is there", || world::json(&path)?["pid"].as_i64());
    i32::try_from(pid).unwrap()
}

fn murder(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

fn starts(world: &World) -> usize {
    world.agent_log().iter().filter(|line| line["event"] == "start").count()
}

fn has_session(task: &Value) -> bool {
    task["attempts"].as_array().is_some_and(|all| all.iter().any(|it| it["session_id"].is_string()))
}

/// An agent at work, that ends when the gate is there.
fn gated(world: &World, worker: &str, name: &str) -> std::path::PathBuf {
    let gate = world.path().join(format!("gate-{name}"));
    let prompt = format!("fake: say text=at it; gate={}; succeed text=done {name}", gate.display());
    world.submit(&format!("{worker}/pending"), name, &json!({ "prompt": prompt }));
    world.active(worker, name, |task| task["state"] == "RUNNING");
    world.until("the agent has heard its prompt", || {
        world
            .agent_log()
            .iter()
            .any(|line| line["event"] == "message" && line.to_string().contains(name))
            .then_some(())
    });
    gate
}

#[test]
fn an_empty_root_is_laid_out_and_a_line_of_shell_is_answered() {
    let world = World::new();
    fs::remove_dir(world.root()).unwrap();
    let supervisor = Foreground::start(&world, &mut up(&world, ALL), "up");
    for worker in ["marie: up", "anga: up", "fabien: up"] {
        supervisor.says(worker, 1);
    }
    fs::write(world.root().join("tasks/hello.json"), "{\"prompt\":\"say hello\"}\n").unwrap();
    let said = supervisor.says(" completed in ", 1);
    let line = said.lines().find(|line| line.contains(" completed in ")).unwrap();
    assert!(line.contains("heard: say hello") && line.contains("$0.01"), "{line}");
    let who = ["marie", "anga", "fabien"].into_iter().find(|who| line.contains(who)).unwrap();
    assert!(said.contains(&format!("{who:<7} hello  claimed")), "{said}");
    assert_eq!(world.filed(&format!("{who}/completed"), "hello")["result"], "heard: say hello");
    let (status, said) = supervisor.interrupt();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("No task is left undone."), "{said}");
}

#[test]
fn the_echo_agent_answers_and_says_that_it_is_no_claude() {
    let world = World::new();
    world.program("watcher");
    let mut command = world.command("supervisor");
    command.args(["up", "--root=shared", "--log-dir=log", "--metrics-addr=none", "--workers=marie=none"]);
    let supervisor = Foreground::start(&world, command.args(["--agent", "echo"]), "up");
    assert!(supervisor.says("marie: up", 1).contains("NO CLAUDE HERE"));
    world.submit("", "hello", &json!({"prompt": "say hello"}));
    let said = supervisor.says(" completed in ", 1);
    let line = said.lines().find(|line| line.contains(" completed in ")).unwrap();
    assert!(line.contains("You said: say hello") && !line.contains('$'), "{line}");
    assert_eq!(supervisor.interrupt().0, 0);
}

#[test]
fn a_failure_says_where_its_reason_stands() {
    let world = World::new();
    let supervisor = Foreground::start(&world, &mut up(&world, "marie=none"), "up");
    supervisor.says("marie: up", 1);
    world.submit("marie/pending", "odd", &json!({"prompt": "x", "type": "nope"}));
    let said = supervisor.says("FAILED E001", 1);
    assert!(said.contains("why: ./shared/tasks/marie/failed/odd.json.reason"), "{said}");
    // What is no task was dropped as one, and whoever dropped it looks here.
    for (file, shown) in
        [("half", "marie   half  FAILED E002"), ("two words", "marie   two words.json  FAILED E002")]
    {
        let path = world.root().join(format!("tasks/marie/pending/{file}.json"));
        fs::write(path, r#"{"prompt": "x", "priority": "high"}"#).unwrap();
        let said = supervisor.says(shown, 1);
        assert!(said.contains("field `priority` (line 1)"), "{said}");
        assert!(said.contains(&format!("why: ./shared/tasks/marie/failed/{file}.json.reason")), "{said}");
    }
    // It is told before the move: a journal that only followed would lose it to a kill.
    let reason = world.root().join("tasks/marie/failed/odd.json.reason");
    world.until("the reason stands there", || reason.is_file().then_some(()));
    assert_eq!(supervisor.interrupt().0, 0);
}

#[test]
fn a_killed_watcher_is_back_and_its_agent_is_adopted() {
    let world = World::new();
    let supervisor = Foreground::start(&world, &mut up(&world, "marie=none"), "up");
    supervisor.says("marie: up", 1);
    let gate = gated(&world, "marie", "long");
    let first = watcher_pid(&world, "marie");
    murder(first);
    let said = supervisor.says("marie: up", 2);
    assert!(said.contains("\nRestarting marie\n") && said.contains("killed by SIGKILL"), "{said}");
    assert_ne!(watcher_pid(&world, "marie"), first);
    supervisor.says("taken up again: its agent had lived on", 1);
    fs::write(gate, "").unwrap();
    let task = world.filed("marie/completed", "long");
    assert_eq!(task["result"], "done long");
    assert_eq!(task["retry_count"], 0, "{task}");
    assert_eq!(starts(&world), 1, "one agent, one start");
    assert_eq!(supervisor.interrupt().0, 0);
}

#[test]
fn an_idle_watcher_that_is_killed_is_back_at_once() {
    let world = World::new();
    let supervisor = Foreground::start(&world, &mut up(&world, "marie=none"), "up");
    supervisor.says("marie: up", 1);
    murder(watcher_pid(&world, "marie"));
    let said = supervisor.says("marie: up", 2);
    assert!(!said.contains("Cooldown"), "{said}");
    world.submit("", "after", &json!({"prompt": "say hello"}));
    assert_eq!(world.filed("marie/completed", "after")["state"], "COMPLETED");
    assert_eq!(supervisor.interrupt().0, 0);
}

#[test]
fn a_killed_supervisor_stops_nobody_and_the_next_one_takes_over() {
    let world = World::new();
    let first = Foreground::start(&world, &mut up(&world, "marie=none,anga=none"), "first");
    first.says(": up, pid", 2);
    let gate = gated(&world, "marie", "long");
    let (marie, anga) = (watcher_pid(&world, "marie"), watcher_pid(&world, "anga"));
    first.started.murder();
    world.submit("anga/pending", "alone", &json!({"prompt": "say hello"}));
    world.filed("anga/completed", "alone");

    let second = Foreground::start(&world, &mut up(&world, "marie=none,anga=none"), "second");
    let said = second.says("taken over as it is", 2);
    for pid in [marie, anga] {
        assert!(said.contains(&format!("pid {pid};")), "{said}");
    }
    fs::write(gate, "").unwrap();
    world.filed("marie/completed", "long");
    assert_eq!(starts(&world), 2, "one for each task");
    murder(marie);
    second.says("marie: up", 1);
    assert_ne!(watcher_pid(&world, "marie"), marie);
    let (status, said) = second.interrupt();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("anga: stopped") && said.contains("marie: stopped"), "{said}");
    assert_eq!(world.processes(), Vec::<i32>::new());
}

#[test]
fn ctrl_c_puts_running_tasks_back_uncharged_and_leaves_nothing_running() {
    let world = World::new();
    let supervisor = Foreground::start(&world, &mut up(&world, "marie=none,anga=none"), "up");
    supervisor.says(": up, pid", 2);
    gated(&world, "marie", "one");
    gated(&world, "anga", "two");
    let (status, said) = supervisor.interrupt();
    assert_eq!(status, 0, "{said}");
    for (worker, name) in [("marie", "one"), ("anga", "two")] {
        let task = world.filed(&format!("{worker}/pending"), name);
        assert_eq!((&task["state"], &task["retry_count"]), (&json!("PENDING"), &json!(0)), "{task}");
        assert!(has_session(&task), "{task}");
        assert_eq!(world.homes(name), [format!("{worker}/pending")]);
    }
    assert_eq!(world.processes(), Vec::<i32>::new());
    for part in
        ["Stopping 2 workers", "1 in ./shared/tasks/marie/pending", "1 in ./shared/tasks/anga/pending"]
    {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
}

#[test]
fn a_second_one_ends_and_names_the_first() {
    let world = World::new();
    let first = Foreground::start(&world, &mut up(&world, "marie=none"), "first");
    first.says("marie: up", 1);
    let second = up(&world, "marie=none").output().unwrap();
    assert_eq!(second.status.code(), Some(75));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains(&format!("pid {}", first.started.pid())), "{said}");
    assert_eq!(first.interrupt().0, 0);
}

#[test]
fn a_worker_that_cannot_log_in_says_once_what_to_type_and_when_it_is_over() {
    let world = World::new();
    let supervisor = Foreground::start(&world, &mut up(&world, "marie=none"), "up");
    supervisor.says("marie: up", 1);
    world.submit(
        "marie/pending",
        "locked",
        &json!({"prompt": "fake: api status=401 | succeed text=in again"}),
    );
    let said = supervisor.says("HOLDS (auth) E005", 1);
    assert!(said.contains("\n    do: "), "{said}");
    let task = world.filed("marie/completed", "locked");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("in again"), &json!(0)));
    let said = supervisor.says("takes tasks again", 1);
    assert_eq!(said.matches("HOLDS").count(), 1, "{said}");
    assert_eq!(supervisor.interrupt().0, 0);
}

#[test]
fn a_watcher_that_was_told_to_stop_stays_stopped() {
    let world = World::new();
    let supervisor = Foreground::start(&world, &mut up(&world, "marie=none,anga=none"), "up");
    supervisor.says(": up, pid", 2);
    kill(Pid::from_raw(watcher_pid(&world, "marie")), Signal::SIGTERM).unwrap();
    let said = supervisor.says("marie: stopped as it was told", 1);
    assert!(!said.contains("Restarting") && said.contains("watcher --worker=marie"), "{said}");
    world.submit("", "other", &json!({"prompt": "say hello"}));
    world.filed("anga/completed", "other");
    let (status, said) = supervisor.interrupt();
    assert_eq!(status, 0);
    assert!(!said.contains("Restarting") && said.contains("Stopping 1 worker:"), "{said}");
}

#[test]
fn the_supervisor_is_served_and_counts_restarts() {
    let world = World::new();
    let [own, marie] = [(); 2].map(|()| free_port());
    let workers = format!("marie={marie}");
    let mut command = served(&world, &workers, &own.to_string());
    let supervisor = Foreground::start(&world, &mut command, "up");
    supervisor.says("marie: up", 1);
    let page = page(&world, own, "/health/orchestrator", "\"marie\":true");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    murder(watcher_pid(&world, "marie"));
    supervisor.says("marie: up", 2);
    self::page(&world, own, "/metrics", "agent_worker_restarts_total{worker=\"marie\"} 1");
    self::page(&world, own, "/metrics", "agent_worker_up{worker=\"marie\"} 1");
    self::page(&world, own, "/api/status", "\"status\":\"running\"");
    self::page(&world, marie, "/health", "\"status\":\"ok\"");
    assert_eq!(supervisor.interrupt().0, 0);
}

#[test]
fn ports_that_are_taken_are_said_and_stop_nobody() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let workers = format!("marie={addr}");
    let supervisor = Foreground::start(&world, &mut served(&world, &workers, &addr), "up");
    let said = supervisor.says("marie: up", 1);
    assert!(said.contains(&format!("could not serve on {addr}: the port is taken")), "{said}");
    let said = supervisor.says("works on without metrics", 1);
    assert!(said.contains(&format!("marie   could not serve on {addr}")), "{said}");
    world.submit("", "hello", &json!({"prompt": "say hello"}));
    world.filed("marie/completed", "hello");
    assert_eq!(supervisor.interrupt().0, 0);
}

/// A port that was free just now.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What is served, once it contains `part`.
fn page(world: &World, addr: SocketAddr, path: &str, part: &str) -> String {
    let mut last = String::new();
    let found = until(world::PATIENCE, || {
        last = get(addr, path).unwrap_or_else(|error| error.to_string());
        last.contains(part).then(|| last.clone())
    });
    found.unwrap_or_else(|| panic!("{path} never had {part}, but:\n{last}\n{}", world.said()))
}

fn get(addr: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
