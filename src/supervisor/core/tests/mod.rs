//! The core, event by event, with a clock turned by hand.

mod aside;
mod hosts;
mod ward;

use super::super::condition::Condition;
use super::*;
use crate::os::holder::Role;

const POLICY: Policy =
    Policy { max_restarts: 3, cooldown: Duration::from_mins(1), window: Duration::from_mins(10) };
const GRACE: Duration = Duration::from_secs(10);

/// A core with one worker, and the seconds on its clock.
struct World {
    core: Core,
    second: u64,
}

impl World {
    fn new() -> Self {
        Self::with(|_| ())
    }

    /// One that goes by other rules.
    fn with(change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = Rules {
            by: RestartBy::Exec,
            policy: POLICY,
            grace: GRACE,
            host_deadline: Duration::from_mins(1),
            keep_stopped: false,
        };
        change(&mut rules);
        Self { core: Core::new([Worker::new(marie())], rules), second: 0 }
    }

    /// One whose watcher is up as our child with this pid.
    fn up(pid: i32) -> Self {
        let mut world = Self::new();
        assert_eq!(world.happens(Event::Looked(Found::Free(Left::Otherwise))), ["spawn"]);
        world.comes_up(pid);
        world
    }

    fn comes_up(&mut self, pid: i32) {
        assert!(self.happens(Event::Spawned(process(pid))).is_empty());
        let seen = Event::Looked(Found::Watcher(Some(process(pid))));
        assert_eq!(self.happens(seen), ["say up", "await"]);
    }

    fn at(&self) -> Moment {
        Moment { now: Ticks(Duration::from_secs(self.second)), jitter: 0.0 }
    }

    fn happens(&mut self, event: Event) -> Vec<String> {
        let at = self.at();
        shown(&self.core.handle(&marie(), event, at))
    }

    fn stop(&mut self) -> Vec<String> {
        let at = self.at();
        shown(&self.core.stop(at))
    }

    fn later(&mut self, seconds: u64) -> Vec<String> {
        self.second += seconds;
        let at = self.at();
        shown(&self.core.due(at))
    }

    /// Somebody looks at how the watcher is.
    fn assessed(&mut self, condition: Condition) -> Vec<String> {
        let silent = Duration::from_mins(1);
        self.happens(Event::Assessed(Assessed { condition, silent, running: Some(1), within_reach: true }))
    }

    fn killed(&mut self) -> Vec<String> {
        self.happens(Event::ChildExited(Exit::Signal(9), String::new()))
    }
}

fn marie() -> WorkerName {
    "marie".parse().unwrap()
}

fn process(pid: i32) -> ProcessId {
    ProcessId { pid, start_ticks: 1, boot_id: "b".to_owned(), pid_ns: 1 }
}

const fn said(notice: &Notice) -> &'static str {
    match notice {
        Notice::Up { .. } => "say up",
        Notice::TakenOver { .. } => "say taken over",
        Notice::Occupied { .. } => "say occupied",
        Notice::Died { .. } => "say died",
        Notice::NotStarted { .. } => "say not started",
        Notice::Restarting { .. } => "say restarting",
        Notice::Awaited { .. } => "say awaited",
        Notice::NotBack { .. } => "say not back",
        Notice::Cooldown { .. } => "say cooldown",
        Notice::SetAside { .. } => "say set aside",
        Notice::Hung { .. } => "say hung",
        Notice::Stuck { .. } => "say stuck",
        Notice::Moves { .. } => "say moves",
        Notice::Swept { .. } => "say swept",
        Notice::Anew { .. } => "say anew",
        Notice::Called { .. } => "say called",
        Notice::Retiring { .. } => "say retiring",
        Notice::InReserve { .. } => "say in reserve",
        Notice::StoppedByItself { .. } => "say stopped by itself",
        Notice::Misconfigured { .. } => "say misconfigured",
        Notice::Stopping { .. } => "say stopping",
        Notice::Leaving { .. } => "say leaving",
        Notice::Hurrying => "say hurrying",
        Notice::Killing => "say killing",
        Notice::Ended { .. } => "say ended",
        Notice::NotEnded { .. } => "say not ended",
    }
}

fn shown(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Look(_) => "look",
        Effect::Spawn(_) => "spawn",
        Effect::Await(_) => "await",
        Effect::End(_, Force::Ask) => "ask",
        Effect::End(_, Force::Kill) => "kill",
        Effect::Sweep(_, Sweep::All) => "sweep all",
        Effect::Sweep(_, Sweep::WhatIsLeft) => "sweep",
        Effect::Finish => "finish",
        Effect::Say(notice) => said(notice),
    };
    effects.iter().map(|effect| word(effect).to_owned()).collect()
}

#[test]
fn a_dead_child_is_restarted_once_whatever_is_told_first() {
    let restarted = ["say died", "say restarting", "spawn"];
    let mut world = World::up(10);
    assert_eq!(world.killed(), restarted, "its exit came first");
    assert!(world.happens(Event::Freed(Left::Otherwise)).is_empty(), "the lock says nothing new");

    let mut world = World::up(10);
    assert!(world.happens(Event::Freed(Left::Otherwise)).is_empty(), "its exit is about to come");
    assert_eq!(world.killed(), restarted);
}

#[test]
fn a_worker_that_asks_to_be_tried_again_is_never_set_aside() {
    let mut world = World::up(10);
    for pid in 11..20 {
        let asks = Event::ChildExited(Exit::Code(75), String::new());
        assert_eq!(world.happens(asks), ["say died", "say cooldown"]);
        assert!(world.later(1).is_empty(), "too early");
        assert_eq!(world.later(60), ["say restarting", "spawn"]);
        world.comes_up(pid);
    }
}

#[test]
fn a_crash_loop_cools_down_and_is_set_aside() {
    let mut world = World::up(10);
    assert_eq!(world.killed(), ["say died", "say restarting", "spawn"]);
    for pid in [11, 12] {
        world.comes_up(pid);
        world.second += 1;
        assert_eq!(world.killed(), ["say died", "say cooldown"]);
        assert!(world.later(1).is_empty(), "too early");
        assert_eq!(world.later(60), ["say restarting", "spawn"]);
    }
    world.comes_up(13);
    assert_eq!(world.killed(), ["say died", "say set aside", "sweep all"]);
    assert!(world.later(10_000).is_empty(), "it stays aside");
    let by_hand = Event::Looked(Found::Watcher(Some(process(99))));
    assert_eq!(world.happens(by_hand), ["say taken over", "await"], "until somebody starts it");
}

#[test]
fn who_lives_already_is_taken_over_and_only_its_lock_speaks() {
    let mut world = World::new();
    let there = Event::Looked(Found::Watcher(None));
    assert_eq!(world.happens(there.clone()), ["say taken over", "await"]);
    assert!(world.happens(there).is_empty(), "known");
    assert_eq!(world.happens(Event::Freed(Left::Otherwise)), ["say died", "say restarting", "spawn"]);
}

#[test]
fn a_clean_stop_is_no_crash() {
    let mut world = World::up(10);
    assert!(world.happens(Event::Freed(Left::Stopped)).is_empty());
    let exit = Event::ChildExited(Exit::Code(0), String::new());
    assert_eq!(world.happens(exit), ["say stopped by itself"]);

    let mut world = World::new();
    world.happens(Event::Looked(Found::Watcher(None)));
    assert_eq!(world.happens(Event::Freed(Left::Stopped)), ["say stopped by itself"]);
    assert!(world.later(10_000).is_empty());
}

#[test]
fn an_exit_without_a_lock_is_a_crash_even_with_status_0() {
    let mut world = World::new();
    world.happens(Event::Looked(Found::Free(Left::Otherwise)));
    world.happens(Event::Spawned(process(10)));
    let exit = Event::ChildExited(Exit::Code(0), String::new());
    assert_eq!(world.happens(exit), ["say died", "say restarting", "spawn"]);
}

#[test]
fn a_wrong_configuration_is_told_and_not_tried_again() {
    let mut world = World::new();
    world.happens(Event::Looked(Found::Free(Left::Otherwise)));
    world.happens(Event::Spawned(process(10)));
    let refused = Event::ChildExited(Exit::Code(78), "no such thing".to_owned());
    assert_eq!(world.happens(refused), ["look"], "or was another watcher first?");
    let at = world.at();
    let effects = world.core.handle(&marie(), Event::Looked(Found::Free(Left::Otherwise)), at);
    let told = Notice::Misconfigured { worker: marie(), why: "no such thing".to_owned() };
    assert_eq!(effects, [Effect::Say(told)]);
    assert!(world.later(10_000).is_empty());
}

#[test]
fn whoever_was_faster_than_our_child_is_taken_over() {
    let mut world = World::new();
    world.happens(Event::Looked(Found::Free(Left::Otherwise)));
    world.happens(Event::Spawned(process(10)));
    let other = Event::Looked(Found::Watcher(Some(process(99))));
    assert!(world.happens(other.clone()).is_empty(), "our child has not given up yet");
    assert_eq!(world.happens(Event::ChildExited(Exit::Code(78), String::new())), ["look"]);
    assert_eq!(world.happens(other), ["say taken over", "await"]);
}

#[test]
fn a_recovery_is_waited_for() {
    let mut world = World::new();
    assert_eq!(world.happens(Event::Looked(Found::Other(Role::Recovery))), ["say occupied", "await"]);
    assert_eq!(world.happens(Event::Freed(Left::Otherwise)), ["look"]);
    assert_eq!(world.happens(Event::Looked(Found::Free(Left::Otherwise))), ["spawn"]);
}

#[test]
fn a_machine_in_trouble_sets_no_worker_aside() {
    let mut world = World::new();
    world.happens(Event::Looked(Found::Free(Left::Otherwise)));
    for _ in 0..20 {
        let delayed = Event::SpawnDelayed("no room".to_owned());
        assert_eq!(world.happens(delayed), ["say not started", "say cooldown"]);
        assert_eq!(world.later(5), ["say restarting", "spawn"]);
    }
}

#[test]
fn a_look_that_is_refused_is_taken_again_and_starts_nobody() {
    let refused = || Event::LookDelayed("no descriptor".to_owned());
    let mut world = World::new();
    for _ in 0..20 {
        assert_eq!(world.happens(refused()), ["say not started", "say cooldown"]);
        assert!(world.later(4).is_empty(), "too early");
        assert_eq!(world.later(1), ["look"]);
    }
    assert_eq!(world.happens(Event::Looked(Found::Watcher(None))), ["say taken over", "await"], "it lives");
    assert!(world.happens(refused()).is_empty());
    assert!(matches!(world.core.workers()[0].actual, Actual::Up { .. }), "nothing is known");
}

#[test]
fn a_start_that_fails_is_tried_again_only_where_that_may_help() {
    let mut world = World::new();
    world.happens(Event::Looked(Found::Free(Left::Otherwise)));
    let failed = Event::SpawnFailed("no memory".to_owned());
    assert_eq!(world.happens(failed), ["say not started", "say restarting", "spawn"]);
    assert_eq!(world.happens(Event::Unstartable("no such file".to_owned())), ["say misconfigured"]);
}

#[test]
fn a_child_that_lost_its_lock_and_stays_is_ended() {
    let mut world = World::up(10);
    world.happens(Event::Freed(Left::Otherwise));
    assert!(world.later(14).is_empty());
    assert_eq!(world.later(1), ["look"]);
    assert_eq!(world.happens(Event::Looked(Found::Free(Left::Otherwise))), ["kill"]);
    assert_eq!(world.killed(), ["say died", "say restarting", "spawn"]);

    let mut world = World::up(10);
    world.happens(Event::Freed(Left::Otherwise));
    world.later(15);
    let held = Event::Looked(Found::Watcher(Some(process(10))));
    assert_eq!(world.happens(held), ["await"], "nothing had happened");
}

#[test]
fn a_stop_is_asked_for_and_waited_for() {
    let mut world = World::up(10);
    assert_eq!(world.stop(), ["say stopping", "ask"]);
    assert!(world.happens(Event::Freed(Left::Stopped)).is_empty());
    let exit = Event::ChildExited(Exit::Code(0), String::new());
    assert_eq!(world.happens(exit), ["say ended", "finish"]);
    assert!(world.stop().is_empty(), "over is over");
}

#[test]
fn each_further_ask_is_harder() {
    let mut world = World::up(10);
    assert_eq!(world.stop(), ["say stopping", "ask"]);
    assert_eq!(world.stop(), ["say hurrying", "ask"]);
    assert_eq!(world.stop(), ["say killing", "kill"]);
    assert_eq!(world.killed(), ["say ended", "finish"], "and nobody is restarted");
}

#[test]
fn patience_ends_after_the_grace_and_a_margin() {
    let mut world = World::up(10);
    world.stop();
    assert!(world.later(24).is_empty());
    assert_eq!(world.later(1), ["say killing", "kill"]);
    assert!(world.later(4).is_empty());
    assert_eq!(world.later(1), ["say not ended", "finish"]);
}

#[test]
fn who_is_not_running_is_not_waited_for_nor_started() {
    let mut world = World::up(10);
    world.killed();
    world.comes_up(11);
    world.killed();
    assert_eq!(world.stop(), ["say stopping", "finish"], "it was cooling down");
    assert!(world.later(1000).is_empty());
    assert!(world.happens(Event::Looked(Found::Free(Left::Otherwise))).is_empty());
}

#[test]
fn who_cannot_be_signalled_is_left_and_said() {
    let mut world = World::new();
    world.happens(Event::Looked(Found::Watcher(None)));
    world.stop();
    let why = Event::Unreachable("a container".to_owned());
    assert_eq!(world.happens(why), ["say not ended", "finish"]);
}

#[test]
fn the_next_due_moment_is_the_earliest() {
    let mut world = World::up(10);
    assert_eq!(world.core.next_due(), None, "nothing to wake up for");
    world.killed();
    world.comes_up(11);
    world.killed();
    assert_eq!(world.core.next_due(), Some(Ticks(Duration::from_mins(1))));
}
