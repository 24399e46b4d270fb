//! What an operator asks for: a pause, a drain, a task by its name.

use super::*;

#[test]
fn a_paused_worker_takes_nothing_until_it_is_to_work_again_and_does_not_leave() {
    let mut core = core(2);
    assert_eq!(core.handle(seen(Place::Pending, "a"), now(1)), [claim(Place::Pending, "a")]);
    run(&mut core, "a", 1);
    assert!(core.handle(Event::Asked(Wanted::Pause), now(2)).is_empty());
    assert!(core.handle(seen(Place::Pending, "b"), now(3)).is_empty());
    let after = core.handle(ended("a", None), now(4));
    assert!(!after.contains(&Effect::Leave), "{after:?}");
    assert_eq!(core.handle(Event::Asked(Wanted::Run), now(5)), [claim(Place::Pending, "b")]);
}

#[test]
fn a_worker_that_drains_leaves_when_the_last_run_has_ended_and_there_is_no_way_back() {
    let mut core = core(2);
    core.handle(seen(Place::Pending, "a"), now(1));
    run(&mut core, "a", 1);
    assert!(core.handle(Event::Asked(Wanted::Drain), now(2)).is_empty());
    for wanted in [Wanted::Run, Wanted::Pause] {
        assert!(core.handle(Event::Asked(wanted), now(3)).is_empty());
        assert_eq!(core.wanted(), Wanted::Drain);
    }
    assert!(core.handle(seen(Place::Pending, "b"), now(4)).is_empty());
    assert!(core.handle(ended("a", None), now(5)).contains(&Effect::Leave));
}

#[test]
fn what_an_operator_wants_follows_this_table() {
    use Wanted::{Drain, Pause, Run, Stop, StopNow};
    let table = [
        (&[Pause][..], Pause, &[][..]),
        (&[Pause, Run], Run, &[]),
        (&[Drain], Drain, &[Effect::Leave]),
        (&[Pause, Stop], Stop, &[Effect::StopRuns, Effect::Leave]),
        (&[Stop, Pause], Stop, &[Effect::StopRuns, Effect::Leave]),
        (&[Drain, Stop], Stop, &[Effect::Leave, Effect::StopRuns]),
        (&[Stop, Stop], StopNow, &[Effect::StopRuns, Effect::Leave, Effect::KillRuns]),
        (&[Stop, Run], Stop, &[Effect::StopRuns, Effect::Leave]),
    ];
    for (asked, wanted, effects) in table {
        let mut core = core(1);
        let done: Vec<_> = asked.iter().flat_map(|it| core.handle(Event::Asked(*it), now(1))).collect();
        assert_eq!((core.wanted(), done.as_slice()), (wanted, effects), "{asked:?}");
    }
}

#[test]
fn a_task_is_found_by_its_name_and_by_its_file_s() {
    let mut core = core(1);
    core.handle(seen(Place::Pending, "works"), now(1));
    core.handle(seen(Place::Inbox, "waits"), now(1));
    let name = Some("name".parse().unwrap());
    let other = head(Place::Staged, "file").saying(Special { name, ..Special::default() });
    let looked = vec![((Place::Staged, file("file")), Examined::Task(Box::new(other)))];
    core.handle(Event::Looked(looked), now(1));
    assert_eq!(core.whereabouts("works"), Whereabouts::OnItsWay(file("works")));
    run(&mut core, "works", 2);
    for (called, at) in [
        ("works", Whereabouts::Running(file("works"))),
        ("waits", Whereabouts::Waiting(Place::Inbox, file("waits"))),
        ("name", Whereabouts::Waiting(Place::Staged, file("file"))),
        ("file", Whereabouts::Waiting(Place::Staged, file("file"))),
        ("none", Whereabouts::Elsewhere),
        ("../x", Whereabouts::Elsewhere),
    ] {
        assert_eq!(core.whereabouts(called), at, "{called}");
    }
    let marie = "marie".parse().unwrap();
    for (called, name) in [
        ("t", Some("t")),
        ("t.json", Some("t")),
        ("marie/t", Some("t")),
        ("inbox/t", Some("t")),
        ("anga/t", None),
    ] {
        assert_eq!(name_of(&marie, called), name, "{called}");
    }
}
