//! Workers that are set aside, and backups.

use super::*;
use crate::supervisor::state::{Rest, Retiring};

/// One that died too often.
fn aside() -> World {
    let mut world = World::up(10);
    world.killed();
    for pid in [11, 12] {
        world.comes_up(pid);
        world.second += 1;
        world.killed();
        world.later(60);
    }
    world.comes_up(13);
    assert_eq!(world.killed(), ["say died", "say set aside", "sweep all"]);
    world
}

fn swept(living: usize) -> Event {
    Event::Swept(Swept { living, ..Swept::default() })
}

#[test]
fn it_is_swept_soon_again_while_an_agent_lives_and_now_and_then_otherwise() {
    let mut world = aside();
    assert!(world.later(1000).is_empty(), "one sweep at a time");
    world.happens(swept(1));
    assert_eq!(world.later(5), ["sweep"]);
    let done = Swept { recovered: 1, handed: 2, ..Swept::default() };
    assert_eq!(world.happens(Event::Swept(done)), ["say swept"]);
    assert!(world.later(14).is_empty());
    assert_eq!(world.later(1), ["sweep"]);
    let trouble = || Event::Swept(Swept { trouble: Some("no disk".to_owned()), ..Swept::default() });
    assert_eq!(world.happens(trouble()), ["say swept"]);
    assert_eq!(world.later(15), ["sweep"]);
    assert!(world.happens(trouble()).is_empty(), "the same trouble is told once");
}

#[test]
fn whoever_is_started_by_hand_is_back_and_believed_again() {
    let mut world = aside();
    world.happens(swept(0));
    let by_hand = Event::Looked(Found::Watcher(Some(process(99))));
    assert_eq!(world.happens(by_hand), ["say taken over", "await"]);
    assert!(world.later(100).is_empty(), "no sweep any more");
    assert_eq!(world.happens(Event::Freed(Left::Otherwise)), ["say died", "say restarting", "spawn"]);
}

#[test]
fn whoever_was_given_up_is_tried_again_when_somebody_says_so() {
    let mut world = aside();
    assert_eq!(shown(&world.core.anew()), ["say anew", "look"]);
    assert_eq!(world.happens(Event::Looked(Found::Free(Left::Otherwise))), ["spawn"]);
    world.comes_up(20);
    assert!(shown(&world.core.anew()).is_empty(), "who works is left alone");
    let exit = Event::ChildExited(Exit::Code(0), String::new());
    assert_eq!(world.happens(exit), ["say stopped by itself"]);
    assert!(shown(&world.core.anew()).is_empty(), "and so is who was told to stop");
}

fn anga() -> WorkerName {
    "anga".parse().unwrap()
}

/// marie at work, anga in reserve.
fn with_backup() -> World {
    let rules = World::new().core.rules;
    let mut world =
        World { core: Core::new([Worker::new(marie()), Worker::backup(anga())], rules), second: 0 };
    world.happens(Event::Looked(Found::Free(Left::Otherwise)));
    world.comes_up(10);
    world
}

impl World {
    fn backup(&mut self, event: Event) -> Vec<String> {
        let at = self.at();
        shown(&self.core.handle(&anga(), event, at))
    }

    fn backup_works(&mut self, running: impl Into<Option<usize>>) -> Vec<String> {
        let silent = Duration::ZERO;
        let within_reach = true;
        self.backup(Event::Assessed(Assessed {
            condition: Condition::Working,
            silent,
            running: running.into(),
            within_reach,
        }))
    }
}

#[test]
fn a_backup_is_called_for_the_one_that_is_given_up_and_leaves_when_it_is_idle() {
    let mut world = with_backup();
    assert!(world.backup(Event::Looked(Found::Free(Left::Stopped))).is_empty(), "it is not needed");
    let refused = Event::ChildExited(Exit::Code(78), String::new());
    assert_eq!(world.happens(refused), ["say misconfigured", "say called", "look"]);
    assert_eq!(world.backup(Event::Looked(Found::Free(Left::Stopped))), ["spawn"]);
    world.backup(Event::Spawned(process(20)));
    world.backup(Event::Looked(Found::Watcher(Some(process(20)))));
    assert!(world.backup_works(0).is_empty(), "idle or not, it stays");

    let back = Event::Looked(Found::Watcher(Some(process(11))));
    assert_eq!(world.happens(back), ["say taken over", "await", "say retiring"]);
    assert!(world.backup_works(1).is_empty(), "it has something to do");
    assert!(world.backup_works(None).is_empty(), "nobody knows");
    assert_eq!(world.backup_works(0), ["ask"]);
    assert!(world.backup_works(0).is_empty(), "once");
    world.backup(Event::Freed(Left::Stopped));
    let exit = Event::ChildExited(Exit::Code(0), String::new());
    assert_eq!(world.backup(exit), ["say in reserve", "sweep"]);
    let anga = &world.core.workers()[1];
    assert_eq!((anga.actual, anga.retiring), (Actual::Resting(Rest::Reserve), Retiring::No));
    assert!(world.later(100_000).is_empty());
}

#[test]
fn a_backup_is_called_for_one_that_is_long_gone_and_not_for_one_that_was_stopped() {
    let mut world = with_backup();
    world.happens(Event::Freed(Left::Otherwise));
    world.killed();
    assert_eq!(world.core.next_due(), Some(Ticks(Duration::from_mins(5))));
    assert!(world.later(299).is_empty());
    assert_eq!(world.later(1), ["say called", "look"]);

    let mut world = with_backup();
    let exit = Event::ChildExited(Exit::Code(0), String::new());
    assert_eq!(world.happens(exit), ["say stopped by itself"]);
    assert!(world.later(100_000).is_empty());
}
