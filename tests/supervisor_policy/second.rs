//! More than one supervisor on a root.

use std::fs;
use std::net::TcpListener;

use nix::sys::signal::Signal;

use crate::world::World;
use crate::{Service, free_port, run, signal, status, watcher_pid};

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
    let text = world.within("marie", 2, "the second takes over", || {
        Some(second.said()).filter(|it| it.contains("taken over as it is"))
    });
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
    let service = Service::start(&world, command.args(["--hung-after", "3"]), "run");
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
    let first = Service::start(&world, quick.args(["--hung-after", "3"]), "first");
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
