//! From some call on everything is refused, until the fault is over: a watcher waits without turning in circles and goes
//! on by itself, or ends with a sentence.

use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::dice::Dice;
use crate::faults;
use crate::judge::{self, Accepted};
use crate::scene::{Life, PATIENCE, Scene, Struck, drop_task, lay_out, unclear};
use crate::sweep::{Series, chosen, is_long, quiet, scenes, seed, sweep};
use crate::syscalls::{Call, ERRORS};
use crate::tracer::{Among, Fate, Traced};
use crate::world::{World, until};
use crate::{verbs, works};

/// How much of a core a watcher may take while it cannot work, in percent. Where every way to a file is to be asked for
/// again, being watched costs it more than its work.
fn busy(errno: Errno) -> f64 {
    if errno == Errno::EAGAIN { 15.0 } else { 5.0 }
}

/// How many calls are refused before it is looked at.
const MANY: usize = 20;

/// How long it may take until then: some calls are few.
const SOON: Duration = Duration::from_secs(10);
/// Fewer than a watcher makes of any kind at a task: the long form goes on from there until none is left.
const CALLS: usize = 24;

const TASKS: [Accepted; 2] =
    [Accepted::in_one("t", &["marie/completed"]), Accepted::in_one("u", &["marie/completed"])];

fn are_done(world: &World) -> bool {
    TASKS.iter().all(|it| world.homes(it.name) == ["marie/completed"])
}

#[test]
fn a_start_whose_folders_do_not_answer_waits_until_they_do() {
    for errno in [Errno::EIO, Errno::ENOMEM, Errno::ESTALE] {
        let world = World::new();
        lay_out(&world);
        drop_task(&world, "marie/pending", "t", &judge::task("fake: succeed text=done"));
        let asked: Among = Arc::new(|call: &Call| call.name == "faccessat" && call.what.contains("/tasks"));
        let fate = Fate::RefuseAll(errno, 1);
        let watcher = Traced::start(&world, &world.watcher("marie"), "struck", asked, fate);
        world.until("it was asked for every folder", || (watcher.struck().len() > 10).then_some(()));
        assert_eq!(watcher.is_over(), None, "{errno:?}: {}", world.said());
        watcher.relent();
        world.filed("marie/completed", "t");
        watcher.signal(Signal::SIGTERM);
        assert_eq!(watcher.ended(PATIENCE), Some(0), "{errno:?}: {}", world.said());
    }
}

/// As where renames follow each other without end: `openat2(2)` says so for as long as it cannot be sure of the way.
#[test]
fn a_kernel_that_is_never_sure_of_the_way_holds_nobody_up() {
    let world = World::new();
    lay_out(&world);
    drop_task(&world, "marie/pending", "t", &judge::task("fake: succeed text=done"));
    let asked: Among = Arc::new(|call: &Call| call.name == "openat2");
    let fate = Fate::RefuseAll(Errno::EAGAIN, 1);
    let watcher = Traced::start(&world, &world.watcher("marie"), "struck", asked, fate);
    world.filed("marie/completed", "t");
    assert!(!watcher.struck().is_empty());
    watcher.signal(Signal::SIGTERM);
    assert_eq!(watcher.ended(PATIENCE), Some(0), "{}", world.said());
}

/// A watcher that is refused everything from the `n`-th call on that may be, while it works.
fn play(errno: Errno, n: usize) -> Struck {
    let world = World::new();
    lay_out(&world);
    drop_task(&world, "marie/pending", "t", &judge::task("fake: succeed text=done"));
    let among: Among = Arc::new(move |call: &Call| call.may_say(errno));
    let watcher = Traced::start(&world, &world.watcher("marie"), "struck", among, Fate::RefuseAll(errno, n));
    until(SOON, || (watcher.is_over().is_some() || watcher.struck().len() > MANY).then_some(()));
    let mut broken = Vec::new();
    if watcher.is_over().is_none() && !watcher.struck().is_empty() {
        let taken = faults::cpu_while_it_lives(watcher.pid(), Duration::from_secs(3));
        println!("{errno:?} from {n} on: {taken:?} % of a core");
        broken.extend(
            taken.filter(|it| *it > busy(errno)).map(|it| format!("{it:.1} % of a core while it lasts")),
        );
    }
    drop_task(&world, "marie/pending", "u", &judge::task("fake: succeed text=done"));
    watcher.relent();
    until(PATIENCE, || (watcher.is_over().is_some() || are_done(&world)).then_some(()));
    match watcher.is_over() {
        Some(_) if watcher.struck().iter().any(Call::is_of_a_thread) => {}
        Some(code) => broken.extend(unclear(&world, code)),
        None if !are_done(&world) => broken.push("it did not go on when the fault was over".to_owned()),
        None => {
            watcher.signal(Signal::SIGTERM);
            broken.extend(
                watcher.ended(PATIENCE).filter(|code| *code != 0).map(|it| format!("it ended with {it}")),
            );
        }
    }
    let struck = watcher.struck();
    drop(watcher);
    if broken.is_empty() {
        let next = world.up("marie");
        world.until("both are done", || are_done(&world).then_some(()));
        next.stop();
        broken.extend(judge::at_rest(&world, &TASKS));
    }
    if !broken.is_empty() {
        broken
            .insert(0, format!("{errno:?} from {n} on: {:?}", struck.first().map(|it| (it.name, &it.what))));
        broken.push(world.said());
    }
    Struck { call: struck.first().map(|it| it.name), calls: Vec::new(), broken }
}

/// Whoever does one thing and ends is not waited for: he says why he cannot, and what he began is gone on with by the next.
#[test]
fn a_command_that_is_refused_from_some_call_on_says_why_and_leaves_all_whole() {
    let seed = seed();
    let mut dice = Dice(seed);
    let acts: Vec<&Scene> =
        verbs::SCENES.iter().chain(works::SCENES).filter(|it| it.life == Life::Acts).collect();
    let mut series = Vec::new();
    for scene in scenes(acts, 3, &mut dice) {
        let any: Among = Arc::new(|call: &Call| ERRORS.iter().any(|errno| call.may_say(*errno)));
        let calls = quiet(scene, &any);
        for errno in lasting_errors(3, &mut dice) {
            let these = calls.iter().filter(|it| it.may_say(errno)).count();
            let among: Among = Arc::new(move |call: &Call| call.may_say(errno));
            let fate = move |n| Fate::RefuseAll(errno, n);
            series.push(Series::of(
                scene,
                &format!("{errno:?}+"),
                chosen(these, 1, &mut dice),
                (among, fate),
            ));
        }
    }
    sweep("lasting", seed, &series);
}

/// All, or `few` of them. An interrupted call is made again at once, for ever: no machine says so for ever.
fn lasting_errors(few: usize, dice: &mut Dice) -> Vec<Errno> {
    let mut errors: Vec<Errno> = ERRORS.into_iter().filter(|it| *it != Errno::EINTR).collect();
    while !is_long() && errors.len() > few {
        errors.swap_remove(usize::try_from(dice.below(errors.len() as u64)).unwrap());
    }
    errors
}

#[test]
fn a_watcher_lives_with_calls_that_are_refused_for_a_while() {
    let seed = seed();
    let mut dice = Dice(seed);
    let mut series = Vec::new();
    for errno in lasting_errors(5, &mut dice) {
        let called = ("watcher: a task to its end", &*format!("{errno:?}+"));
        series.push(Series::new(called, chosen(CALLS, 1, &mut dice), move |n| play(errno, n)));
    }
    sweep("lasting", seed, &series);
}
