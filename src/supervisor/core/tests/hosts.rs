//! Watchers that belong to a host.

use super::*;

fn by(by: RestartBy) -> World {
    World::with(|rules| {
        rules.by = by;
        rules.keep_stopped = true;
    })
}

/// One whose watcher was there before us.
fn there(restart: RestartBy) -> World {
    let mut world = by(restart);
    assert_eq!(world.happens(watcher(10)), ["say taken over", "await"]);
    world
}

fn watcher(pid: i32) -> Event {
    Event::Looked(Found::Watcher(Some(process(pid))))
}

fn free() -> Event {
    Event::Looked(Found::Free(Left::Otherwise))
}

#[test]
fn a_host_is_asked_and_the_lock_says_what_came_of_it() {
    let mut world = there(RestartBy::Systemd);
    assert_eq!(world.happens(Event::Freed(Left::Otherwise)), ["say died", "say restarting", "spawn"]);
    assert!(world.happens(Event::Asked).is_empty());
    assert_eq!(world.happens(watcher(11)), ["say up", "await"]);
}

#[test]
fn a_host_that_fails_is_asked_again_by_the_same_rule_and_given_up() {
    let mut world = there(RestartBy::Docker);
    world.happens(Event::Freed(Left::Otherwise));
    world.happens(Event::Asked);
    let failed = || Event::SpawnFailed("`docker restart`: exit status 1".to_owned());
    for _ in 0..2 {
        assert_eq!(world.happens(failed()), ["say not started", "say cooldown"]);
        assert_eq!(world.later(60), ["say restarting", "spawn"]);
        world.happens(Event::Asked);
    }
    assert_eq!(world.happens(failed()), ["say not started", "say set aside", "sweep all"]);
    assert!(world.happens(failed()).is_empty(), "an answer that comes late");
}

#[test]
fn a_host_that_says_yes_and_does_nothing_has_failed() {
    let mut world = there(RestartBy::Systemd);
    world.happens(Event::Freed(Left::Otherwise));
    world.happens(Event::Asked);
    assert!(world.later(89).is_empty());
    assert_eq!(world.later(1), ["look"], "its answer may take a minute, the start half of one");
    let again = ["say not started", "say restarting", "spawn"];
    assert_eq!(world.happens(free()), again, "the cooldown is over by now");
}

#[test]
fn a_host_has_failed_only_once_somebody_could_look() {
    let mut world = there(RestartBy::Systemd);
    world.happens(Event::Freed(Left::Otherwise));
    world.happens(Event::Asked);
    assert_eq!(world.later(90), ["look"]);
    assert!(world.happens(Event::LookDelayed("no descriptor".to_owned())).is_empty());
    assert!(world.later(4).is_empty(), "no busy loop");
    assert_eq!(world.later(1), ["look"]);
    assert_eq!(world.happens(watcher(11)), ["say up", "await"]);
}

#[test]
fn a_host_without_its_program_is_not_asked_in_a_loop() {
    let mut world = there(RestartBy::Systemd);
    world.happens(Event::Freed(Left::Otherwise));
    world.happens(Event::Asked);
    assert_eq!(world.happens(Event::Unstartable("no systemctl".to_owned())), ["say misconfigured"]);
    assert!(world.later(100_000).is_empty());
}

#[test]
fn where_the_host_restarts_by_itself_nobody_is_ever_started() {
    let mut world = there(RestartBy::Nobody);
    for pid in 11..30 {
        assert_eq!(world.happens(Event::Freed(Left::Otherwise)), ["say died", "say awaited"]);
        assert!(world.later(59).is_empty());
        assert_eq!(world.happens(watcher(pid)), ["say up", "await"], "however often it dies");
    }
    world.happens(Event::Freed(Left::Otherwise));
    assert_eq!(world.later(60), ["look"]);
    assert_eq!(world.happens(free()), ["say not back", "sweep all"], "then its tasks are brought home");
    assert_eq!(world.happens(watcher(99)), ["say taken over", "await"], "nobody waits for ever");
}

#[test]
fn a_stopped_one_is_left_stopped_and_a_dead_one_is_not() {
    for (restart, dead) in [
        (RestartBy::Systemd, vec!["say restarting", "spawn"]),
        (RestartBy::Docker, vec!["say restarting", "spawn"]),
        (RestartBy::Nobody, vec!["say awaited"]),
    ] {
        let stopped = Event::Looked(Found::Free(Left::Stopped));
        assert_eq!(by(restart).happens(stopped), ["say stopped by itself"], "{restart:?}");
        assert_eq!(by(restart).happens(free()), dead, "{restart:?}");
    }
    let mut ours = World::new();
    assert_eq!(ours.happens(Event::Looked(Found::Free(Left::Stopped))), ["spawn"], "`up` starts everybody");
    let mut after_another = World::with(|rules| rules.keep_stopped = true);
    let stopped = Event::Looked(Found::Free(Left::Stopped));
    assert_eq!(after_another.happens(stopped), ["say stopped by itself"], "who stood by changes nothing");
}

#[test]
fn to_go_is_to_leave_the_hosts_watchers_as_they_are() {
    for restart in [RestartBy::Systemd, RestartBy::Docker, RestartBy::Nobody] {
        assert_eq!(there(restart).stop(), ["say leaving", "finish"], "{restart:?}");
    }
}

#[test]
fn what_hangs_in_a_container_is_ended_by_docker_once() {
    let silent = Event::Assessed(Assessed {
        condition: Condition::Silent,
        silent: Duration::from_mins(1),
        running: Some(0),
        within_reach: false,
    });
    let mut world = there(RestartBy::Docker);
    assert_eq!(world.happens(silent.clone()), ["say hung", "say restarting", "spawn"]);
    world.happens(Event::Asked);
    assert!(world.happens(watcher(10)).is_empty(), "the old one still");
    world.happens(Event::Freed(Left::Otherwise));
    assert_eq!(world.happens(watcher(11)), ["say up", "await"]);
    assert_eq!(world.happens(silent.clone()), ["say not ended"], "a second time is too soon");
    assert!(world.happens(silent.clone()).is_empty());

    for restart in [RestartBy::Systemd, RestartBy::Nobody] {
        assert_eq!(there(restart).happens(silent.clone()), ["say stuck"], "{restart:?}: told, not touched");
    }
}
