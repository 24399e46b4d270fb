//! Every call is refused once, with every error that it may give.

use std::sync::Arc;

use nix::errno::Errno;

use crate::dice::Dice;
use crate::scene::Scene;
use crate::sweep::{Series, chosen, quiet, scenes, seed, sweep};
use crate::syscalls::{Call, ERRORS};
use crate::tracer::{Among, Fate};
use crate::{verbs, works};

/// Refuses every call of all scenes with every error, or one with each error in `few` scenes.
fn refuse_in(all: &[Scene], few: usize) {
    let seed = seed();
    let mut dice = Dice(seed);
    let mut series = Vec::new();
    for scene in scenes(all, few, &mut dice) {
        let any: Among = Arc::new(|call: &Call| ERRORS.iter().any(|errno| call.may_say(*errno)));
        let calls = quiet(scene, &any);
        println!("{}: {} calls that may be refused", scene.name(), calls.len());
        for errno in ERRORS {
            let these = calls.iter().filter(|it| it.may_say(errno)).count();
            let among: Among = Arc::new(move |call: &Call| call.may_say(errno));
            let fate = move |n| Fate::Refuse(errno, n);
            series.push(Series::of(scene, &format!("{errno:?}"), chosen(these, 1, &mut dice), (among, fate)));
        }
    }
    sweep("refusals", seed, &series);
}

#[test]
fn a_retry_whose_reason_cannot_be_removed_leaves_that_to_the_next_start() {
    let retry = verbs::SCENES.iter().find(|it| it.program == "agentctl retry").unwrap();
    let removal: Among = Arc::new(|call: &Call| call.name == "unlinkat" && call.what.ends_with(".reason"));
    let struck = retry.play(&removal, Fate::Refuse(Errno::EIO, 1));
    assert_eq!((struck.call, &struck.broken[..]), (Some("unlinkat"), &[][..]));
}

#[test]
fn a_folder_of_packs_that_cannot_be_looked_at_is_told_with_what_to_do() {
    let enable = verbs::SCENES.iter().find(|it| it.program == "agentctl pack enable").unwrap();
    let look: Among = Arc::new(|call: &Call| call.name == "fstat" && call.what.ends_with("/packs"));
    let struck = enable.play(&look, Fate::Refuse(Errno::EIO, 1));
    assert_eq!((struck.call, &struck.broken[..]), (Some("fstat"), &[][..]));
}

/// The answer that does not come says nothing of a task, and its paid work is gone on with.
#[test]
fn a_task_whose_reading_a_signal_cut_is_not_given_up_by_recovery() {
    let recover = works::SCENES.iter().find(|it| it.program == "supervisor recover").unwrap();
    let reading: Among =
        Arc::new(|call: &Call| call.name == "openat" && call.what.ends_with("/active/t.json"));
    let readings = quiet(recover, &reading).len();
    for n in 1..=readings {
        let struck = recover.play(&reading, Fate::Refuse(Errno::EINTR, n));
        assert_eq!((struck.call, &struck.broken[..]), (Some("openat"), &[][..]));
    }
    assert!(readings > 0);
}

/// The end of a run is told before the task moves; a signal that cuts the opening of the journal has it tried again.
#[test]
fn an_end_whose_journal_a_signal_cut_is_told_all_the_same() {
    let adoption = works::SCENES.iter().find(|it| it.at.starts_with("the adoption")).unwrap();
    let opening: Among = Arc::new(|call: &Call| call.name == "openat" && call.what.ends_with(".ndjson"));
    let openings = quiet(adoption, &opening).len();
    for n in 1..=openings {
        let struck = adoption.play(&opening, Fate::Refuse(Errno::EINTR, n));
        assert!(struck.broken.is_empty(), "{n} of {openings}: {:#?}", struck.broken);
    }
    assert!(openings > 0);
}

#[test]
fn those_who_work_live_with_every_call_that_is_refused_once() {
    refuse_in(works::SCENES, 2);
}

#[test]
fn the_operators_commands_live_with_every_call_that_is_refused_once() {
    refuse_in(verbs::SCENES, 3);
}
