//! Restarts by the host: systemd, Docker, or nobody of ours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::traces::{at_work, gate, gated, is_alive, open};
use crate::world::World;
use crate::{Service, run, signal, watcher_pid, world};

/// Stand-ins for `systemctl` and `docker` that write down what they are asked.
struct Host<'a> {
    world: &'a World,
}

impl<'a> Host<'a> {
    fn new(world: &'a World, does: &str) -> Self {
        let dir = world.path().join("host");
        fs::create_dir(&dir).unwrap();
        for name in ["systemctl", "docker"] {
            fs::write(dir.join(name), include_str!("../stand-ins/hosts.sh")).unwrap();
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
