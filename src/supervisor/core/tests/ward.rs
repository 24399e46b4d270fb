//! What is done about a watcher that lives and does not work.

use super::*;

#[test]
fn a_hung_watcher_is_asked_then_killed_and_its_end_is_a_death() {
    let mut world = World::up(10);
    assert!(world.assessed(Condition::Working).is_empty());
    assert_eq!(world.assessed(Condition::Hung), ["say hung", "ask"]);
    assert!(world.assessed(Condition::Hung).is_empty(), "once");
    assert!(world.later(9).is_empty());
    assert_eq!(world.later(1), ["kill"]);
    assert!(world.happens(Event::Freed(Left::Otherwise)).is_empty());
    assert_eq!(world.killed(), ["say died", "say restarting", "spawn"]);
}

#[test]
fn a_hung_watcher_that_says_good_bye_was_no_clean_stop() {
    let mut world = World::up(10);
    world.assessed(Condition::Hung);
    world.happens(Event::Freed(Left::Stopped));
    let exit = Event::ChildExited(Exit::Code(0), String::new());
    assert_eq!(world.happens(exit), ["say died", "say restarting", "spawn"]);

    let mut world = World::new();
    world.happens(Event::Looked(Found::Watcher(None)));
    world.assessed(Condition::Hung);
    assert_eq!(world.happens(Event::Freed(Left::Stopped)), ["say died", "say restarting", "spawn"]);
    world.comes_up(11);
    let exit = Event::ChildExited(Exit::Code(0), String::new());
    assert_eq!(world.happens(exit), ["say stopped by itself"], "the next one may stop as it likes");
}

#[test]
fn what_no_restart_helps_is_told_once_and_left_alone() {
    for condition in [Condition::Suspended, Condition::DiskWait, Condition::DiskFull, Condition::Silent] {
        let mut world = World::up(10);
        assert_eq!(world.assessed(condition), ["say stuck"], "{condition:?}");
        assert!(world.assessed(condition).is_empty());
        assert!(world.later(100_000).is_empty(), "{condition:?}: nobody is ended or started");
        assert_eq!(world.assessed(Condition::Working), ["say moves"]);
        assert!(world.assessed(Condition::Working).is_empty());
    }
}

#[test]
fn who_cannot_be_killed_is_told_and_left_until_it_moves() {
    let mut world = World::up(10);
    world.assessed(Condition::Hung);
    assert_eq!(world.later(10), ["kill"]);
    assert_eq!(world.later(5), ["say not ended"]);
    for _ in 0..100 {
        assert!(world.assessed(Condition::Hung).is_empty(), "no loop of kills");
    }
    world.assessed(Condition::Working);
    assert_eq!(world.assessed(Condition::Hung), ["say hung", "ask"], "a new hang");
    let why = Event::Unreachable("not ours".to_owned());
    assert_eq!(world.happens(why), ["say not ended"]);
    assert!(world.later(100).is_empty() && world.assessed(Condition::Hung).is_empty());
}

#[test]
fn a_child_that_never_comes_to_its_lock_is_ended() {
    let mut world = World::new();
    world.happens(Event::Looked(Found::Free(Left::Otherwise)));
    world.happens(Event::Spawned(process(10)));
    assert!(world.later(299).is_empty());
    assert_eq!(world.later(1), ["say hung", "kill"]);
    assert_eq!(world.killed(), ["say died", "say restarting", "spawn"]);
}

#[test]
fn nothing_is_ended_for_hanging_while_we_stop() {
    let mut world = World::up(10);
    world.stop();
    assert!(world.assessed(Condition::Hung).is_empty());

    let mut world = World::up(10);
    world.assessed(Condition::Hung);
    assert_eq!(world.stop(), ["say stopping", "ask"], "the hung one too");
    assert!(world.later(10).is_empty());
    assert_eq!(world.later(15), ["say killing", "kill"]);
    assert_eq!(world.killed(), ["say ended", "finish"]);
}
