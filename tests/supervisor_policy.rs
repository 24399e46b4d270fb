//! The restart policy with real watchers: hung and suspended ones, hosts, set aside, backups, a second supervisor.

#![cfg(feature = "test-support")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the person, and fails by panicking"
)]

#[path = "support/http.rs"]
mod http;
#[path = "support/real.rs"]
mod real;
#[path = "support/traces.rs"]
mod traces;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use http::{body, code, get};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use traces::{at_work, gate, gated, is_alive, open, said, slay};
use world::{Started, World, until};

/// `supervisor run` on a world's root, to be changed, then started.
fn run(world: &World, workers: &str, addr: &str) -> Command {
    // It starts the one that stands beside it.
    world.program("watcher");
    let mut command = world.command("supervisor");
    command.args(["run", "--root", "shared", "--log-dir", "log", "--log-format", "json", "--grace", "1"]);
    command.args(["--metrics-addr", addr, "--workers", workers, "--concurrency", "1", "--claude-bin"]);
    command.arg(world.program("fake-claude"));
    command
}

/// A supervisor that runs, and what it said.
struct Service<'a> {
    world: &'a World,
    started: Started,
    tag: &'static str,
}

impl<'a> Service<'a> {
    fn start(world: &'a World, command: &mut Command, tag: &'static str) -> Self {
        Self { world, started: world.start(command, tag), tag }
    }

    /// The lines for people; those for programs stand among them.
    fn said(&self) -> String {
        let text =
            fs::read_to_string(self.world.logs().join(format!("{}.err", self.tag))).unwrap_or_default();
        text.lines().filter(|line| !line.starts_with('{')).fold(String::new(), |all, line| all + line + "\n")
    }

    fn says(&self, text: &str, times: usize) -> String {
        self.world.until(&format!("`{text}` is said {times} times"), || {
            let said = self.said();
            (said.matches(text).count() >= times).then_some(said)
        })
    }

    fn never_says(&self, text: &str, for_so_long: Duration) {
        let found = until(for_so_long, || self.said().contains(text).then_some(()));
        assert!(found.is_none(), "it said `{text}`:\n{}", self.said());
    }

    fn stop(self) {
        assert_eq!(self.started.stop(), 0);
    }
}

fn watcher_pid(world: &World, worker: &str) -> i32 {
    let path = world.root().join(format!("locks/{worker}_watcher.lock"));
    let pid = world.until("the lock's mirror is there", || world::json(&path)?["pid"].as_i64());
    i32::try_from(pid).unwrap()
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What is served, once it is as expected.
fn status(world: &World, addr: SocketAddr, worker: usize, is: impl Fn(&Value) -> bool) -> Value {
    world.until("the status is as expected", || {
        std::net::TcpStream::connect(addr).ok()?;
        let status: Value = serde_json::from_str(body(&get(addr, "/api/status"))).ok()?;
        Some(status["workers"][worker].clone()).filter(|it| is(it))
    })
}

/// The lines for programs about a worker, by their message.
fn logged(world: &World, message: &str) -> Vec<Value> {
    let text = fs::read_to_string(world.logs().join("supervisor.log")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.to_string().contains(message)).collect()
}

#[test]
fn a_watcher_that_hangs_is_ended_and_its_agent_is_adopted() {
    let world = World::new();
    let stall = world.path().join("stall");
    let addr = free_port();
    let mut command = run(&world, "marie=none", &addr.to_string());
    command.args(["--hung-after", "1"]).env("AGENT_WORKER_STALL", &stall);
    let service = Service::start(&world, &mut command, "run");
    service.says("marie: up", 1);
    world.submit("marie/pending", "long", &gated(&gate(&world, "long")));
    at_work(&world, "long", 1);
    let first = watcher_pid(&world, "marie");
    fs::write(&stall, "").unwrap();
    service.says("marie: HUNG", 1);
    fs::remove_file(&stall).unwrap();
    let said_all = service.says("marie: up again", 1);
    assert!(said_all.contains("killed by SIGKILL"), "it did not hear: {said_all}");
    assert!(!is_alive(first) && watcher_pid(&world, "marie") != first);
    open(&gate(&world, "long"));
    let task = world.filed("marie/completed", "long");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("done"), &json!(0)), "{task}");
    assert_eq!(said(&world, "start", "long").len(), 1);
    let state = world::json(&world.root().join("workers/marie/state.json")).unwrap();
    assert_eq!(state["last_crash_reason"], "hung", "{state}");
    let page = get(addr, "/metrics");
    for line in [
        "agent_worker_detection_seconds_count 1",
        "agent_worker_recovery_seconds_count 1",
        "agent_worker_recovered_tasks_total{worker=\"marie\"} 1",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} in {page}");
    }
    service.stop();
}

#[test]
fn a_suspended_watcher_is_told_and_left_alone() {
    let world = World::new();
    let addr = free_port();
    let mut command = run(&world, "marie=none", &addr.to_string());
    let service = Service::start(&world, command.args(["--hung-after", "1"]), "run");
    service.says("marie: up", 1);
    let pid = watcher_pid(&world, "marie");
    signal(pid, Signal::SIGSTOP);
    let text = service.says("marie: SUSPENDED", 1);
    assert!(text.contains(&format!("kill -CONT {pid}")), "{text}");
    let seen = status(&world, addr, 0, |it| it["condition"] == "suspended");
    assert_eq!((&seen["up"], &seen["severity"]), (&json!(true), &json!("L2")), "{seen}");
    assert!(get(addr, "/metrics").contains("agent_worker_workers{condition=\"suspended\"} 1"));
    service.never_says("HUNG", Duration::from_secs(4));
    assert_eq!(service.said().matches("SUSPENDED").count(), 1, "told once");
    signal(pid, Signal::SIGCONT);
    service.says("marie: makes progress again", 1);
    assert_eq!(watcher_pid(&world, "marie"), pid);
    assert_eq!(logged(&world, "SUSPENDED")[0]["severity"], "L2");
    service.stop();
}

/// A watcher of marie in a PID namespace of its own, and its pid as it is seen from here.
fn in_a_container(world: &World) -> Option<(Started, i32)> {
    if !nix::unistd::geteuid().is_root() {
        real::skip("only root may make a PID namespace");
        return None;
    }
    let watcher = world.watcher("marie");
    let mut command = Command::new(real::program("unshare")?);
    command.args(["--pid", "--fork", "--mount-proc"]).arg(watcher.get_program()).args(watcher.get_args());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", world.home());
    let started = world.start(&mut command, "marie");
    let outer = started.pid();
    let heartbeat = world.root().join("workers/marie/heartbeat.json");
    world.until("it beats", || (world::json(&heartbeat)?["pid"] == 1).then_some(()));
    let inner = world.processes().into_iter().find(|pid| *pid != outer)?;
    Some((started, inner))
}

#[test]
fn what_lives_in_another_pid_namespace_is_told_and_never_signalled() {
    let world = World::new();
    let Some((_container, inner)) = in_a_container(&world) else { return };
    let mut command = run(&world, "marie=none", "none");
    let service = Service::start(&world, command.args(["--hung-after", "1"]), "run");
    service.says("marie: a watcher is at work already", 1);
    signal(inner, Signal::SIGSTOP);
    service.says("marie: SILENT", 1);
    service.never_says("HUNG", Duration::from_secs(3));
    signal(inner, Signal::SIGCONT);
    service.says("marie: makes progress again", 1);
    assert!(is_alive(inner) && !service.said().contains("SUSPENDED"), "{}", service.said());
    signal(inner, Signal::SIGKILL);
    let text = service.says("marie: up", 1);
    assert!(text.contains("Restarting marie"), "its lock tells of its death: {text}");
    service.stop();
}

#[test]
fn a_supervisor_that_was_stopped_for_a_while_ends_nobody() {
    let world = World::new();
    let addr = free_port();
    let mut command = run(&world, "marie=none,anga=none", &addr.to_string());
    let service = Service::start(&world, command.args(["--hung-after", "1"]), "run");
    service.says(": up, pid", 2);
    let pids = ["marie", "anga"].map(|worker| watcher_pid(&world, worker));
    status(&world, addr, 0, |it| it["condition"] == "working");
    for _ in 0..2 {
        service.started.signal(Signal::SIGSTOP);
        assert!(until(Duration::from_secs(3), || (!is_alive(pids[0])).then_some(())).is_none());
        service.started.signal(Signal::SIGCONT);
        service.never_says("HUNG", Duration::from_secs(2));
    }
    status(&world, addr, 1, |it| it["condition"] == "working");
    assert_eq!(["marie", "anga"].map(|worker| watcher_pid(&world, worker)), pids);
    assert!(!service.said().contains("Restarting"), "{}", service.said());
    service.stop();
}

#[test]
fn a_second_one_stands_by_and_takes_over_what_runs() {
    let world = World::new();
    let addr = free_port().to_string();
    let first = Service::start(&world, &mut run(&world, "marie=none", &addr), "first");
    first.says("marie: up", 1);
    let pid = watcher_pid(&world, "marie");
    let (second, third) = (
        Service::start(&world, &mut run(&world, "marie=none", &addr), "second"),
        Service::start(&world, &mut run(&world, "marie=none", &addr), "third"),
    );
    for standby in [&second, &third] {
        let text = standby.says("Standing by", 1);
        assert!(text.contains(&format!("pid {}", first.started.pid())), "{text}");
    }
    third.stop();
    first.started.murder();
    let began = Instant::now();
    let text = second.says("taken over as it is", 1);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(text.contains(&format!("pid {pid}")), "{text}");
    status(&world, addr.parse().unwrap(), 0, |it| it["up"] == true);
    signal(pid, Signal::SIGKILL);
    second.says("marie: up again", 1);
    second.stop();
    assert_eq!(world.processes(), Vec::<i32>::new());
}

#[test]
fn a_port_that_was_taken_is_served_when_it_is_free() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let mut command = run(&world, "marie=none", &addr.to_string());
    let service = Service::start(&world, command.args(["--hung-after", "1"]), "run");
    service.says("works on without its own metrics and health, and tries again", 1);
    service.says("marie: up", 1);
    drop(taken);
    service.says(&format!("now served on http://{addr}/health/orchestrator"), 1);
    status(&world, addr, 0, |it| it["condition"] == "working");
    service.stop();
}

#[test]
fn one_that_was_stopped_stays_stopped_when_another_takes_over() {
    let world = World::new();
    let first = Service::start(&world, &mut run(&world, "marie=none,anga=none", "none"), "first");
    first.says(": up, pid", 2);
    signal(watcher_pid(&world, "marie"), Signal::SIGTERM);
    first.says("marie: stopped as it was told", 1);
    let second = Service::start(&world, &mut run(&world, "marie=none,anga=none", "none"), "second");
    second.says("Standing by", 1);
    first.started.murder();
    let text = second.says("marie: stopped as it was told", 1);
    second.says("anga: a watcher is at work already", 1);
    assert!(!text.contains("Restarting"), "{text}");
    second.stop();
}

#[test]
fn who_loses_the_lock_file_takes_it_again_and_a_thief_is_given_way() {
    let world = World::new();
    let mut quick = run(&world, "marie=none", "none");
    let first = Service::start(&world, quick.args(["--hung-after", "1"]), "first");
    first.says("marie: up", 1);
    let pid = watcher_pid(&world, "marie");
    fs::remove_file(world.root().join("locks/supervisor.lock")).unwrap();
    first.says("lock file was removed, and is made again", 1);
    let second = Service::start(&world, &mut run(&world, "marie=none", "none"), "second");
    second.says("Standing by", 1);
    second.stop();
    // One that is stopped cannot be faster than the thief.
    first.started.signal(Signal::SIGSTOP);
    fs::remove_file(world.root().join("locks/supervisor.lock")).unwrap();
    let thief = Service::start(&world, &mut run(&world, "marie=none", "none"), "thief");
    thief.says("taken over as it is", 1);
    first.started.signal(Signal::SIGCONT);
    first.says("leaving the workers to it", 1);
    assert_eq!(first.started.ended(), 75);
    assert_eq!(watcher_pid(&world, "marie"), pid, "the watcher is not touched");
    thief.stop();
}

/// marie has an agent at work, then dies and is set aside; two tasks wait in her folder, one of them for her alone.
fn set_marie_aside(world: &World, service: &Service<'_>) {
    service.says("marie: up", 1);
    world.submit("marie/pending", "long", &gated(&gate(world, "long")));
    at_work(world, "long", 1);
    world.submit("marie/pending", "pinned", &json!({"prompt": "fake: succeed text=mine", "worker": "marie"}));
    world.submit("marie/pending", "any", &json!({"prompt": "fake: succeed text=yours"}));
    signal(watcher_pid(world, "marie"), Signal::SIGKILL);
}

#[test]
fn what_lies_with_one_that_is_set_aside_is_finished_by_others() {
    let world = World::new();
    let addr = free_port();
    let mut command = run(&world, "marie=none,anga=none", &addr.to_string());
    let service = Service::start(&world, command.args(["--max-restarts", "0"]), "run");
    service.says(": up, pid", 2);
    set_marie_aside(&world, &service);
    let text = service.says("Max restarts reached for marie", 1);
    assert!(text.contains("\nMax restarts reached for marie"), "at the beginning of its line: {text}");
    assert_eq!(world.filed("anga/completed", "any")["result"], "yours");
    assert_eq!(world.homes("pinned"), ["marie/pending"]);
    assert_eq!(world.homes("long"), ["marie/active"], "its agent is still at work");
    open(&gate(&world, "long"));
    let task = world.filed("marie/completed", "long");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("done"), &json!(0)), "{task}");
    assert_eq!(said(&world, "start", "long").len(), 1, "one agent, one start");

    let seen = status(&world, addr, 0, |it| it["condition"] == "set_aside");
    assert_eq!((&seen["up"], &seen["severity"]), (&json!(false), &json!("L3")), "{seen}");
    let health = get(addr, "/health/orchestrator");
    assert!(code(&health) == "503" && health.contains("marie is down: it is set aside"), "{health}");
    assert!(get(addr, "/metrics").contains("agent_worker_troubles{severity=\"L3\"} 1"));
    assert_eq!(logged(&world, "Max restarts reached")[0]["severity"], "L3");
    let shown = world.agentctl(&["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("set aside since") && shown.contains("SIGHUP"), "{shown}");

    service.started.signal(Signal::SIGHUP);
    service.says("marie: up", 2);
    assert_eq!(world.filed("marie/completed", "pinned")["result"], "mine");
    let state = world.root().join("workers/marie/state.json");
    world.until("nothing says any more that it is set aside", || {
        world::json(&state)?.get("set_aside").is_none().then_some(())
    });
    service.stop();
}

#[test]
fn a_task_that_has_begun_stays_with_the_one_whose_session_it_is() {
    let world = World::new();
    let mut command = run(&world, "marie=none,anga=none", "none");
    let service = Service::start(&world, command.args(["--max-restarts", "0"]), "run");
    service.says(": up, pid", 2);
    set_marie_aside(&world, &service);
    service.says("Max restarts reached for marie", 1);
    let agent = traces::pid(&said(&world, "start", "long")[0]);
    slay(&world, agent);
    let task = world.filed("marie/pending", "long");
    assert_eq!((&task["retry_count"], &task["state"]), (&json!(1), &json!("PENDING")), "{task}");
    world.filed("anga/completed", "any");
    assert_eq!(world.homes("long"), ["marie/pending"]);
    // Somebody starts it by hand: the session goes on.
    open(&gate(&world, "long"));
    let by_hand = world.up("marie");
    service.says("marie: a watcher is at work already", 1);
    assert_eq!(world.filed("marie/completed", "long")["result"], "resumed");
    service.stop();
    assert!(!is_alive(by_hand.pid()) || by_hand.ended() == 0);
}

#[test]
fn a_backup_works_while_another_is_set_aside_and_leaves_when_it_is_back() {
    let world = World::new();
    let mut command = run(&world, "marie=none", "none");
    command.args(["--max-restarts", "0", "--backup", "bob=none", "--hung-after", "1"]);
    let service = Service::start(&world, &mut command, "run");
    service.says("marie: up", 1);
    assert!(!world.root().join("locks/bob_watcher.lock").exists(), "it is in reserve");
    set_marie_aside(&world, &service);
    service.says("bob: the backup is started, since marie is gone", 1);
    assert_eq!(world.filed("bob/completed", "any")["result"], "yours");
    service.started.signal(Signal::SIGHUP);
    service.says("marie: up", 2);
    let text = service.says("bob: the backup has ended, in reserve", 1);
    assert!(text.contains("bob: the backup is not needed any more"), "{text}");
    assert!(!world.root().join("locks/bob_watcher.lock").exists());
    open(&gate(&world, "long"));
    service.stop();
}

/// Stand-ins for `systemctl` and `docker` that write down what they are asked.
struct Host<'a> {
    world: &'a World,
}

impl<'a> Host<'a> {
    fn new(world: &'a World, does: &str) -> Self {
        let dir = world.path().join("host");
        fs::create_dir(&dir).unwrap();
        for name in ["systemctl", "docker"] {
            fs::write(dir.join(name), include_str!("stand-ins/hosts.sh")).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let host = Self { world };
        host.does(does);
        host
    }

    fn does(&self, what: &str) {
        fs::write(self.path("does"), what).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.path().join(format!("host-{name}"))
    }

    /// What it was asked so far.
    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn run(&self, by: &str, more: &[&str]) -> Command {
        let mut command = run(self.world, "marie=none", "none");
        let watcher = self.world.watcher("marie");
        let args: Vec<&str> = watcher.get_args().filter_map(|it| it.to_str()).collect();
        let line = format!("{} {}", watcher.get_program().to_str().unwrap(), args.join(" "));
        command
            .args(["--restart", by, "--cooldown", "1"])
            .args(more)
            .env("PATH", format!("{}:/usr/bin:/bin", self.world.path().join("host").display()))
            .env("HOST_LOG", self.path("log"))
            .env("HOST_SAYS", self.path("says"))
            .env("HOST_DOES", self.path("does"))
            .env("HOST_WATCHER", line);
        command
    }
}

#[test]
fn systemd_is_asked_by_the_units_name_and_its_refusal_is_told_and_tried_again() {
    let world = World::new();
    let host = Host::new(&world, "start");
    let marie = world.up("marie");
    let mut command = host.run("systemd", &["--host-deadline", "1", "--max-restarts", "9"]);
    let service = Service::start(&world, &mut command, "run");
    service.says("marie: a watcher is at work already", 1);
    marie.murder();
    service.says("marie: up again", 1);
    let restart = "systemctl: [--no-ask-password][restart][--][agent-worker-marie]";
    assert_eq!(host.asked(), [restart]);

    host.does("fail");
    signal(watcher_pid(&world, "marie"), Signal::SIGKILL);
    let text = service.says("could not be started", 1);
    assert!(text.contains("exit status 5: Job for") && text.contains("failed because of a test."), "{text}");
    assert!(text.contains("\nCooldown period for marie"), "{text}");
    host.does("hang");
    service.says("no answer within 1 s; it was killed", 1);
    host.does("start");
    service.says("marie: up again", 2);
    assert!(host.asked().iter().all(|line| line == restart), "{:?}", host.asked());
    let last = watcher_pid(&world, "marie");
    service.stop();
    assert!(is_alive(last), "it belongs to its host");
    assert!(world.agentctl(&["status"]).status.success());
}

#[test]
fn what_the_host_knows_about_a_death_reaches_the_next_watcher() {
    for by in ["systemd", "docker"] {
        let world = World::new();
        let host = Host::new(&world, "start");
        let marie = world.up("marie");
        let pid = marie.pid();
        let says = match by {
            "systemd" => format!("Result=oom-kill\nExecMainPID={pid}\nExecMainCode=2\nExecMainStatus=9\n"),
            _ => r#"[{"Name":"/marie","State":{"Status":"exited","OOMKilled":true,"ExitCode":137}}]"#
                .to_owned(),
        };
        fs::write(host.path("says"), says).unwrap();
        let service = Service::start(&world, &mut host.run(by, &[]), "run");
        service.says("marie: a watcher is at work already", 1);
        marie.murder();
        service.says("marie: up again", 1);
        let path = world.root().join("workers/marie/state.json");
        let state = world.until("the crash is written down", || {
            world::json(&path).filter(|state| state["recovery_count"] == 1)
        });
        assert_eq!(state["last_crash_reason"], "oom_killed", "{by}: {state:#}");
        world.until("the log says it in the runbook's words", || {
            let log = fs::read_to_string(world.logs().join("marie.log")).ok()?;
            log.contains("oom-killer ended the watcher of marie").then_some(())
        });
        service.stop();
    }
}

#[test]
fn docker_is_asked_only_for_the_container_of_exactly_this_name() {
    let world = World::new();
    let host = Host::new(&world, "wrong");
    let marie = world.up("marie");
    let service = Service::start(&world, &mut host.run("docker", &["--max-restarts", "9"]), "run");
    service.says("marie: a watcher is at work already", 1);
    marie.murder();
    let text = service.says("no container of exactly this name", 1);
    assert!(text.contains("marie-debug"), "{text}");
    let inspect = "docker: [inspect][--type=container][--format={{.Name}}][--][marie]";
    assert!(host.asked().iter().all(|line| line == inspect), "{:?}", host.asked());
    host.does("start");
    service.says("marie: up again", 1);
    let asked = host.asked();
    assert_eq!(asked[asked.len() - 2..], [inspect, "docker: [restart][--][marie]"]);
    service.stop();
}

#[test]
fn where_the_host_restarts_by_itself_nobody_is_started_and_nothing_is_left_lying() {
    let world = World::new();
    let host = Host::new(&world, "start");
    let marie = world.up("marie");
    let service = Service::start(&world, &mut host.run("none", &[]), "run");
    service.says("marie: a watcher is at work already", 1);
    // Both are waiting for the lock, and the second has it before anybody can look.
    let next = world.start(&mut world.watcher("marie"), "marie");
    marie.murder();
    service.says("its host is to start it again", 1);
    world.at_work("marie", &next);
    let again = next;
    service.says("marie: up again", 1);
    world.submit("marie/pending", "long", &gated(&gate(&world, "long")));
    at_work(&world, "long", 1);
    again.murder();
    open(&gate(&world, "long"));
    service.says("SET ASIDE: nobody has brought it back", 1);
    assert_eq!(world.filed("marie/completed", "long")["result"], "done");
    assert_eq!(host.asked(), [""; 0]);
    let last = world.up("marie");
    service.says("marie: a watcher is at work already", 2);
    service.stop();
    assert_eq!(last.stop(), 0, "it belongs to its host");
}
