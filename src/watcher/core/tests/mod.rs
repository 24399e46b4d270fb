//! The decisions of the worker, each as a row of what happens and what follows.

use super::*;
use crate::pack::{Bar, What};
use crate::spool::Special;
use crate::task::WorkdirMode;

mod wanted;

fn now(second: u64) -> Now {
    let wall = Timestamp::from_second(1_000_000 + i64::try_from(second).unwrap()).unwrap();
    Now { wall, ticks: Ticks(Duration::from_secs(second)) }
}

fn file(name: &str) -> FileName {
    format!("{name}.json").parse().unwrap()
}

fn identity(inode: u64) -> Identity {
    Identity { dev: 1, inode, size: 1, mtime_ns: 1 }
}

fn head(place: Place, name: &str) -> Head {
    Head::new((place, &file(name)), identity(1), now(0).wall)
}

fn seen(place: Place, name: &str) -> Event {
    Event::Looked(vec![((place, file(name)), Examined::Task(Box::new(head(place, name))))])
}

fn core(slots: usize) -> Core {
    Core::new("marie".parse().unwrap(), slots)
}

fn claim(place: Place, name: &str) -> Effect {
    Effect::Claim { place, file: file(name) }
}

fn run(core: &mut Core, name: &str, second: u64) -> Vec<Effect> {
    core.handle(
        Event::Running { file: file(name), name: name.parse().unwrap(), run: run_of(name) },
        now(second),
    )
}

/// A run that is told by its task's name.
fn run_of(name: &str) -> RunId {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    RunId(uuid::Uuid::from_bytes(bytes))
}

fn ended(name: &str, hold: Option<Holding>) -> Event {
    Event::RunEnded(Ended { file: file(name), after: hold.map_or(After::Answered, After::Hold) })
}

fn auth() -> Holding {
    Holding { cause: HoldCause::Auth, reason: "r".to_owned(), remedy: "m".to_owned(), until: None }
}

#[test]
fn what_names_a_barred_pack_waits_and_goes_on_when_that_is_over() {
    let mut core = core(2);
    let of = |name: &str, pack: &str| {
        let head =
            head(Place::Pending, name).saying(Special { pack: Some(pack.to_owned()), ..Special::default() });
        Event::Looked(vec![((Place::Pending, file(name)), Examined::Task(Box::new(head)))])
    };
    let bar = Bar { what: What::Broken, why: String::new(), remedy: String::new(), end_running: false };
    let barred = Bars { named: [("a".to_owned(), bar.clone())].into(), others: None };
    assert_eq!(core.handle(Event::Bars(barred), now(0)), []);
    assert_eq!(core.handle(of("one", "a"), now(0)), []);
    assert_eq!(core.handle(of("two", "b"), now(0)), [claim(Place::Pending, "two")]);
    assert_eq!(core.handle(Event::Bars(Bars::default()), now(1)), [claim(Place::Pending, "one")]);
    let all = Bars { others: Some(bar), ..Bars::default() };
    assert!(all.of(Some("any")).is_some() && all.of(None).is_none() && all.of(Some("default")).is_none());
}

#[test]
fn what_names_a_directory_that_another_run_has_lets_the_others_by_and_is_asked_again() {
    let mut core = core(1);
    let site = (None, Some("/srv/repo".to_owned()), None);
    let of = |name: &str, dir: &str, mode| {
        let head = head(Place::Pending, name)
            .saying(Special { workdir: (Some(dir.to_owned()), mode), ..Special::default() });
        ((Place::Pending, file(name)), Examined::Task(Box::new(head)))
    };
    let seen = vec![of("a", "/srv/repo", None), of("b", "/srv/repo", None)];
    assert_eq!(core.handle(Event::Looked(seen), now(1)), [claim(Place::Pending, "a")]);
    let busy = Event::Busy { file: file("a"), site, until: now(3).ticks };
    let effects = core.handle(busy, now(1));
    assert!(effects.iter().all(|it| matches!(it, Effect::Look { .. })), "{effects:?}");
    assert_eq!(core.handle(Event::Looked(vec![of("a", "/srv/repo", None)]), now(1)), [], "nor does b");
    let others = vec![of("c", "/srv/repo", Some(WorkdirMode::Worktree))];
    assert_eq!(core.handle(Event::Looked(others), now(1)), [claim(Place::Pending, "c")]);
    run(&mut core, "c", 1);
    assert_eq!(core.next_moment(now(1)), Some(now(3).ticks));
    // A run of our own lets go: it may have been that.
    assert!(core.handle(ended("c", None), now(2)).contains(&claim(Place::Pending, "a")));
    let again = Event::Busy {
        file: file("a"),
        site: (None, Some("/srv/repo".to_owned()), None),
        until: now(4).ticks,
    };
    core.handle(again, now(2));
    core.handle(Event::Looked(vec![of("a", "/srv/repo", None)]), now(2));
    assert_eq!(core.handle(Event::Tick, now(3)), []);
    assert_eq!(core.handle(Event::Tick, now(4)), [claim(Place::Pending, "a")]);
}

#[test]
fn a_budget_that_is_used_up_stops_starts_and_no_run_and_is_told_behind_what_is_worse() {
    let mut core = core(2);
    core.handle(seen(Place::Pending, "a"), now(0));
    run(&mut core, "a", 0);
    let until = Some(now(600).wall);
    let spent = Holding { cause: HoldCause::Budget, until, ..auth() };
    assert_eq!(core.handle(Event::Budget(Some(Box::new(spent.clone()))), now(1)), []);
    assert_eq!(core.handle(seen(Place::Pending, "b"), now(1)), []);
    assert_eq!((core.hold(), core.active()), (Some(&spent), 1));
    let effects = core.handle(ended("a", Some(auth())), now(2));
    assert!(!effects.iter().any(|it| matches!(it, Effect::Claim { .. })), "{effects:?}");
    assert_eq!(core.hold().map(|it| it.cause), Some(HoldCause::Auth));
    core.handle(Event::TryNow, now(3));
    assert_eq!(core.handle(Event::Tick, now(3)), [], "who mended the login did not pay");
    let effects = core.handle(Event::Budget(None), now(4));
    assert_eq!(effects, [claim(Place::Pending, "b")]);
}

#[test]
fn a_task_is_claimed_as_soon_as_it_is_seen_and_there_is_a_slot() {
    let mut core = core(1);
    assert_eq!(core.handle(seen(Place::Inbox, "a"), now(1)), [claim(Place::Inbox, "a")]);
    assert_eq!(core.handle(seen(Place::Pending, "b"), now(1)), [], "the slot is taken");
    run(&mut core, "a", 1);
    let effects = core.handle(ended("a", None), now(2));
    assert!(effects.contains(&claim(Place::Pending, "b")), "{effects:?}");
}

#[test]
fn a_task_pinned_to_another_is_left_alone() {
    let mut core = core(5);
    let pinned = head(Place::Inbox, "a")
        .saying(Special { pinned: Some("anga".parse().unwrap()), ..Special::default() });
    let event = Event::Looked(vec![((Place::Inbox, file("a")), Examined::Task(Box::new(pinned)))]);
    assert_eq!(core.handle(event, now(1)), []);
    assert!(core.queue().is_empty());
}

#[test]
fn a_drop_under_a_live_name_steps_aside_at_once_and_waits() {
    let mut core = core(5);
    core.handle(seen(Place::Pending, "x"), now(1));
    run(&mut core, "x", 1);
    let aside = Effect::Aside { place: Place::Pending, file: file("x") };
    assert_eq!(core.handle(seen(Place::Pending, "x"), now(2)), [aside]);
    assert_eq!(core.handle(seen(Place::Pending, "x~2"), now(2)), [], "its namesake is at work");
    let effects = core.handle(ended("x", None), now(3));
    assert!(effects.contains(&claim(Place::Pending, "x~2")), "{effects:?}");
}

#[test]
fn a_drop_seen_during_the_claim_of_its_name_is_seen_again() {
    let mut core = core(5);
    core.handle(seen(Place::Inbox, "x"), now(1));
    assert_eq!(core.handle(seen(Place::Inbox, "x"), now(1)), [], "it may be the one that is being claimed");
    let effects = run(&mut core, "x", 1);
    assert!(
        effects.contains(&Effect::Look { place: Place::Inbox, file: file("x"), unless: None }),
        "{effects:?}"
    );
    let aside = Effect::Aside { place: Place::Inbox, file: file("x") };
    assert_eq!(core.handle(seen(Place::Inbox, "x"), now(2)), [aside]);
    core.handle(seen(Place::Inbox, "y"), now(3));
    assert_eq!(run(&mut core, "y", 2), [], "nothing was seen meanwhile");
}

#[test]
fn a_drop_that_waits_when_its_namesake_is_taken_is_seen_again_and_steps_aside() {
    let mut core = core(1);
    core.handle(seen(Place::Pending, "first"), now(1));
    core.handle(seen(Place::Pending, "x"), now(1));
    core.handle(seen(Place::Inbox, "x"), now(1));
    run(&mut core, "first", 1);
    core.handle(ended("first", None), now(2));
    let looks = run(&mut core, "x", 3);
    let look = |place| Effect::Look { place, file: file("x"), unless: None };
    assert!(looks.contains(&look(Place::Inbox)) && looks.contains(&look(Place::Pending)), "{looks:?}");
    let aside = Effect::Aside { place: Place::Inbox, file: file("x") };
    assert_eq!(core.handle(seen(Place::Inbox, "x"), now(3)), [aside]);
}

#[test]
fn a_hold_is_tried_by_another_task_when_the_first_was_taken_by_another_worker() {
    let mut core = core(3);
    core.handle(seen(Place::Inbox, "a"), now(1));
    run(&mut core, "a", 1);
    core.handle(ended("a", Some(auth())), now(2));
    core.handle(seen(Place::Inbox, "a"), now(2));
    core.handle(seen(Place::Inbox, "b"), now(2));
    assert_eq!(core.handle(Event::Tick, now(18)), [claim(Place::Inbox, "b")]);
    let effects = core.handle(Event::NotClaimed { file: file("b") }, now(18));
    assert!(effects.contains(&claim(Place::Inbox, "a")), "{effects:?}");
}

#[test]
fn one_name_is_never_worked_on_twice_at_once() {
    let mut core = core(5);
    core.handle(seen(Place::Pending, "a"), now(1));
    let same_id =
        head(Place::Pending, "b").saying(Special { name: Some("a".parse().unwrap()), ..Special::default() });
    let event = Event::Looked(vec![((Place::Pending, file("b")), Examined::Task(Box::new(same_id)))]);
    assert_eq!(core.handle(event, now(1)), []);
}

#[test]
fn half_a_file_has_ten_seconds_from_its_last_change() {
    let mut core = core(1);
    let half = |inode| {
        let (identity, why) = (Some(identity(inode)), "half".to_owned());
        let found = Examined::Unsettled { identity, by_content: true, why };
        Event::Looked(vec![((Place::Pending, file("h")), found)])
    };
    core.handle(half(1), now(0));
    core.handle(half(2), now(8));
    let effects = core.handle(Event::Tick, now(11));
    assert!(!effects.iter().any(|it| matches!(it, Effect::Reject(_))), "it grew at 8 s: {effects:?}");
    core.handle(half(2), now(12));
    let looks = core.handle(Event::Tick, now(13));
    let unread = Effect::Look { place: Place::Pending, file: file("h"), unless: Some(identity(2)) };
    assert!(looks.contains(&unread), "the same half is not read each second: {looks:?}");
    let reject = Effect::Reject(Sentence {
        place: Place::Pending,
        file: file("h"),
        code: ErrorCode::E002,
        why: "half".to_owned(),
        settled: Some(identity(2)),
    });
    assert!(core.handle(Event::Tick, now(18)).contains(&reject));
}

#[test]
fn a_fault_that_is_not_the_task_s_stops_claims_until_one_task_proves_it_over() {
    let mut core = core(3);
    core.handle(seen(Place::Pending, "a"), now(1));
    run(&mut core, "a", 1);
    let effects = core.handle(ended("a", Some(auth())), now(2));
    assert!(!effects.iter().any(|it| matches!(it, Effect::Claim { .. })));
    core.handle(seen(Place::Pending, "a"), now(2));
    core.handle(seen(Place::Pending, "b"), now(2));
    assert_eq!(core.hold().map(|it| it.cause), Some(HoldCause::Auth));
    let tries = core.handle(Event::Tick, now(18));
    assert_eq!(tries, [claim(Place::Pending, "b")], "one tries, and not the one that stumbled");
    run(&mut core, "b", 18);
    let effects = core.handle(ended("b", None), now(19));
    assert!(effects.contains(&claim(Place::Pending, "a")));
    assert_eq!(core.hold(), None);
}

#[test]
fn a_broken_disk_stops_claims_and_its_mending_starts_them() {
    let mut core = core(1);
    core.handle(Event::Fault(Some(auth())), now(1));
    assert_eq!(core.handle(seen(Place::Pending, "a"), now(1)), []);
    assert_eq!(core.handle(Event::Fault(None), now(2)), [claim(Place::Pending, "a")]);
}

#[test]
fn a_stop_ends_the_runs_then_leaves_and_a_second_one_does_not_wait() {
    let mut core = core(2);
    core.handle(seen(Place::Pending, "a"), now(1));
    run(&mut core, "a", 1);
    assert_eq!(core.handle(Event::Asked(Wanted::Stop), now(2)), [Effect::StopRuns]);
    assert_eq!(core.handle(seen(Place::Pending, "b"), now(2)), [], "nothing new is started");
    assert_eq!(core.handle(Event::Asked(Wanted::Stop), now(3)), [Effect::KillRuns]);
    assert!(core.handle(ended("a", None), now(4)).contains(&Effect::Leave));
}

#[test]
fn an_idle_worker_leaves_at_once() {
    assert_eq!(core(1).handle(Event::Asked(Wanted::Stop), now(1)), [Effect::StopRuns, Effect::Leave]);
}

#[test]
fn a_failed_claim_is_looked_at_again() {
    let mut core = core(1);
    core.handle(seen(Place::Pending, "a"), now(1));
    let effects = core.handle(Event::NotClaimed { file: file("a") }, now(1));
    assert!(effects.contains(&Effect::Look { place: Place::Pending, file: file("a"), unless: None }));
    assert_eq!(core.active(), 0);
}

#[test]
fn the_file_of_a_living_run_is_taken_back_from_whoever_queued_it() {
    let mut core = core(2);
    core.handle(seen(Place::Pending, "a"), now(1));
    run(&mut core, "a", 1);
    let queued =
        head(Place::Pending, "renamed").saying(Special { run: Some(run_of("a")), ..Special::default() });
    let event = Event::Looked(vec![((Place::Pending, file("renamed")), Examined::Task(Box::new(queued)))]);
    assert_eq!(
        core.handle(event, now(2)),
        [Effect::TakeBack { place: Place::Pending, file: file("renamed") }]
    );
}

#[test]
fn a_disk_that_refuses_is_tried_again_after_a_while() {
    let mut core = core(1);
    core.handle(Event::Refused(auth()), now(1));
    assert_eq!(core.handle(seen(Place::Pending, "a"), now(2)), []);
    assert!(core.hold().is_some());
    assert_eq!(core.handle(Event::Tick, now(6)), [claim(Place::Pending, "a")]);
    assert_eq!(core.hold(), None);
}

#[test]
fn what_is_being_brought_home_is_not_claimed_meanwhile() {
    let mut core = core(2);
    core.handle(Event::Recovering { file: file("a") }, now(1));
    assert_eq!(core.handle(seen(Place::Pending, "a"), now(1)), []);
    let effects = core.handle(Event::NotClaimed { file: file("a") }, now(2));
    assert!(effects.contains(&Effect::Look { place: Place::Pending, file: file("a"), unless: None }));
}

#[test]
fn what_is_due_and_cannot_start_does_not_wake_the_worker_over_and_over() {
    let mut core = core(1);
    core.handle(seen(Place::Pending, "a"), now(1));
    run(&mut core, "a", 1);
    let later =
        head(Place::Pending, "later").saying(Special { not_before: Some(now(5).wall), ..Special::default() });
    let event = Event::Looked(vec![((Place::Pending, file("later")), Examined::Task(Box::new(later)))]);
    core.handle(event, now(2));
    assert_eq!(core.next_moment(now(2)), Some(Ticks(Duration::from_secs(5))));
    assert_eq!(core.next_moment(now(6)), None, "it waits for the slot");
    assert!(core.handle(ended("a", None), now(7)).contains(&claim(Place::Pending, "later")));
}

#[test]
fn what_waits_for_a_moment_is_read_anew_when_the_clock_was_set_back_and_only_then() {
    let mut core = core(1);
    let later = head(Place::Pending, "later")
        .saying(Special { not_before: Some(now(50).wall), ..Special::default() });
    core.handle(
        Event::Looked(vec![((Place::Pending, file("later")), Examined::Task(Box::new(later)))]),
        now(1),
    );
    let again = Effect::Look { place: Place::Pending, file: file("later"), unless: None };
    let set = |by: i64, second: u64| {
        let wall = now(second).wall.checked_add(jiff::SignedDuration::from_secs(by)).unwrap();
        Now { wall, ..now(second) }
    };
    for (by, second, is_read) in
        [(0, 2, false), (0, 3, false), (-59, 4, false), (-3600, 5, true), (-3600, 6, false), (0, 7, false)]
    {
        let effects = core.handle(Event::Tick, set(by, second));
        assert_eq!(effects.contains(&again), is_read, "set by {by} s at {second}: {effects:?}");
    }
}

#[test]
fn a_run_that_never_reached_the_api_says_nothing_of_a_hold() {
    let mut core = core(2);
    core.handle(seen(Place::Pending, "a"), now(1));
    run(&mut core, "a", 1);
    core.handle(ended("a", Some(auth())), now(2));
    core.handle(seen(Place::Pending, "bad"), now(3));
    core.handle(seen(Place::Pending, "good"), now(4));
    assert_eq!(core.handle(Event::Tick, now(18)).first(), Some(&claim(Place::Pending, "bad")));
    run(&mut core, "bad", 18);
    let refused = Event::RunEnded(Ended { file: file("bad"), after: After::Unknown });
    let effects = core.handle(refused, now(19));
    assert!(core.hold().is_some());
    assert!(effects.contains(&claim(Place::Pending, "good")), "the next one tries: {effects:?}");
}

#[test]
fn what_is_found_together_goes_in_its_order_and_not_as_it_was_seen() {
    let mut core = core(1);
    let mut urgent = head(Place::Pending, "urgent");
    urgent.priority = 9;
    let task = |head: Head| ((head.place, head.file.clone()), Examined::Task(Box::new(head)));
    let looked = Event::Looked(vec![task(head(Place::Pending, "plain")), task(urgent)]);
    let effects = core.handle(looked, now(0));
    assert_eq!(effects, [Effect::Claim { place: Place::Pending, file: file("urgent") }]);
}

#[test]
fn what_another_worker_met_stops_claims_until_it_is_over() {
    let mut core = core(2);
    let stop = crate::limits::Stop {
        cause: HoldCause::Outage,
        reason: "r".to_owned(),
        remedy: "m".to_owned(),
        by: "anga".parse().unwrap(),
        at: now(0).wall,
        since_ns: 0,
        until: now(10).wall,
        due_ns: 10_000_000_000,
        times: 1,
    };
    let word =
        |elsewhere| Event::Account(Some(Box::new(crate::limits::Word { stop: stop.clone(), elsewhere })));
    core.handle(word(false), now(1));
    assert_eq!(core.handle(seen(Place::Pending, "a"), now(2)), []);
    assert_eq!(core.hold().map(|it| it.reason.as_str()), Some("r (met by anga)"));
    assert_eq!(core.next_moment(now(2)), Some(now(10).ticks));
    assert_eq!(core.handle(word(true), now(10)), [], "another worker tries");
    assert_eq!(core.handle(Event::Account(None), now(11)), [claim(Place::Pending, "a")]);
    assert_eq!(core.hold(), None);
}

#[test]
fn a_claim_that_is_not_permitted_is_made_again_when_there_is_a_request() {
    let mut core = core(2);
    assert_eq!(core.handle(seen(Place::Pending, "a"), now(1)), [claim(Place::Pending, "a")]);
    core.handle(Event::Paced(now(5).ticks), now(1));
    core.handle(Event::NotClaimed { file: file("a") }, now(1));
    assert_eq!(core.handle(seen(Place::Pending, "a"), now(1)), []);
    assert_eq!((core.hold(), core.next_moment(now(1))), (None, Some(now(5).ticks)), "that is no fault");
    assert_eq!(core.handle(Event::Tick, now(5)), [claim(Place::Pending, "a")]);
}

#[test]
fn so_many_begin_at_once_as_there_is_memory_for() {
    let mut core = core(5);
    core.handle(Event::Room(Room::For(2)), now(0));
    let seen: Vec<_> = ["a", "b", "c", "d"].map(|name| seen(Place::Pending, name)).into();
    let claims =
        |effects: Vec<Effect>| effects.iter().filter(|it| matches!(it, Effect::Claim { .. })).count();
    let begun: usize = seen.into_iter().map(|event| claims(core.handle(event, now(0)))).sum();
    assert_eq!(begun, 2);
    run(&mut core, "a", 0);
    run(&mut core, "b", 0);
    assert_eq!(claims(core.handle(Event::Tick, now(9))), 0, "what they take does not show yet");
    let later = core.handle(Event::Room(Room::For(1)), now(10));
    assert_eq!(claims(later), 1, "it shows now, and there is room for one more");
    assert_eq!(claims(core.handle(Event::Room(Room::Enough), now(11))), 1);
    assert_eq!(core.hold(), None, "that is no fault");
}

#[test]
fn while_the_program_is_tried_out_nothing_is_claimed_and_nobody_is_held() {
    let mut core = core(2);
    core.handle(Event::Trying(true), now(0));
    assert_eq!(core.handle(seen(Place::Pending, "a"), now(0)), []);
    assert_eq!(core.hold(), None);
    assert_eq!(core.handle(Event::Trying(false), now(1)), [claim(Place::Pending, "a")]);
}
