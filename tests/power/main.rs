//! Power cuts: the file system of the root is shut down at an instant that the dice choose, with everything in it that had
//! not been waited for lost, and everybody who worked on it killed. Then the machine comes back, and everybody looks.
//!
//! What was said to be done stays done, what was safe is there, nothing that was torn is taken for a task, and nothing runs
//! twice at once. A drop that nobody synced may be gone; half of one is no task.
//!
//! | file | |
//! |---|---|
//! | `disk` | an ext4 in a file that can be shut down as it is |
//! | `life` | from a start to a cut: who drops what, and what was seen until then |
//! | `judged` | what must hold right after a cut, and when everything has come home |
//!
//! With the tests a few cuts run. `CAMPAIGN=long` makes a thousand (`scripts/campaign.sh --long power`), `CAMPAIGN_POINTS` so
//! many, and `CAMPAIGN_SEED` throws the same dice again.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::fn_params_excessive_bools,
    clippy::unwrap_in_result,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test plays the machine and the user, tells what it does, and one that cannot go on ends"
)]

mod disk;
mod judged;
mod life;

#[path = "../support/dice.rs"]
mod dice;
#[path = "../support/judge.rs"]
mod judge;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/traces.rs"]
mod traces;
#[path = "../support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dice::Dice;
use disk::{Disk, KINDS};
use life::Machine;
use serde_json::json;
use world::{World, until};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn is_long() -> bool {
    std::env::var("CAMPAIGN").is_ok_and(|it| it == "long")
}

/// How many cuts one machine lives through before everything has to come home.
const LIVES: usize = 10;

/// What came of the cuts of one machine.
struct Came {
    kind: usize,
    cuts: usize,
    tasks: usize,
    lost: usize,
    torn: usize,
    broken: Vec<String>,
}

/// A machine that loses its power so many times, and then goes on in peace.
fn machine(seed: u64, cuts: usize) -> Option<Came> {
    let mut dice = Dice(seed);
    let kind = usize::try_from(dice.below(KINDS.len() as u64)).unwrap();
    let mut machine = Machine::new(dice, kind)?;
    let mut came = Came { kind, cuts: 0, tasks: 0, lost: 0, torn: 0, broken: Vec::new() };
    let went = catch_unwind(AssertUnwindSafe(|| {
        while came.cuts < cuts && came.broken.is_empty() {
            machine.live();
            came.cuts += 1;
            let broken = machine.after_the_cut();
            came.broken.extend(broken.iter().map(|it| format!("after cut {}: {it}", came.cuts)));
        }
        if came.broken.is_empty() {
            came.broken = machine.comes_home();
        }
    }));
    came.broken.extend(went.err().map(|why| why.downcast_ref::<String>().cloned().unwrap_or_default()));
    (came.tasks, came.lost, came.torn) = machine.counted();
    if !came.broken.is_empty() {
        came.broken.insert(0, format!("machine {seed} on {}", KINDS[kind]));
        came.broken.push(machine.said());
    }
    Some(came)
}

/// So many cuts, on several machines at once: most of a life is waiting.
fn cuts(seed: u64, cuts: usize) -> Option<Vec<Came>> {
    let mut dice = Dice(seed);
    let machines: Vec<(u64, usize)> = (0..cuts.div_ceil(LIVES))
        .map(|n| (1 + dice.below(u64::MAX - 1), LIVES.min(cuts - n * LIVES)))
        .collect();
    let (next, came) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((seed, cuts)) = machines.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(it) = machine(*seed, *cuts) else { return };
                    if !it.broken.is_empty() {
                        eprintln!("BROKEN {:#?}", &it.broken[..it.broken.len() - 1]);
                    }
                    came.lock().unwrap().push(it);
                }
            });
        }
    });
    let came = came.into_inner().unwrap();
    (!came.is_empty()).then_some(came)
}

#[test]
fn whatever_is_cut_what_was_done_stays_done_and_nothing_safe_is_lost() {
    let seed = number("CAMPAIGN_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1).max(1);
    let asked = number("CAMPAIGN_POINTS").filter(|_| is_long()).unwrap_or(if is_long() { 1000 } else { 6 });
    let Some(came) = cuts(seed, usize::try_from(asked).unwrap()) else { return };
    let of = |count: fn(&Came) -> usize| came.iter().map(count).sum::<usize>();
    let failed: Vec<&Came> = came.iter().filter(|it| !it.broken.is_empty()).collect();
    println!(
        "power: seed {seed}, {} points, {} broken: {} tasks, of which nobody had synced: {} gone, {} torn and told so",
        of(|it| it.cuts),
        failed.len(),
        of(|it| it.tasks),
        of(|it| it.lost),
        of(|it| it.torn)
    );
    report(&came);
    let first = failed.first().map(|it| it.broken.join("\n")).unwrap_or_default();
    assert!(failed.is_empty(), "seed {seed}: {} machines broke a promise; the first:\n{first}", failed.len());
}

/// A line for each kind of disk, where `CAMPAIGN_REPORT` says.
fn report(came: &[Came]) {
    let Ok(path) = std::env::var("CAMPAIGN_REPORT") else { return };
    let mut rows = BTreeMap::<&str, (usize, usize)>::new();
    for it in came {
        let row = rows.entry(KINDS[it.kind]).or_default();
        *row = (row.0 + it.cuts, row.1 + usize::from(!it.broken.is_empty()));
    }
    let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
    for (kind, (cuts, broken)) in rows {
        let verdict = if broken == 0 { "held".to_owned() } else { format!("BROKEN {broken}") };
        writeln!(file, "power\text4 {kind}\tcut\t\t{cuts}\t{verdict}").unwrap();
    }
}

/// How much of ten tasks that were filed is left by a cut right afterwards, with `--durability` so.
fn left_of_ten(durability: &str) -> Option<usize> {
    let world = World::new();
    // Nothing reaches the disk by itself meanwhile.
    let disk = Disk::new(&world, "commit=300")?;
    let mut command = world.watcher("marie");
    command.args(["--durability", durability]);
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    disk.sync();
    for n in 0..10 {
        let task = json!({"prompt": "fake: succeed text=done"});
        world.submit("marie/pending", &format!("t{n}"), &task);
    }
    (0..10).for_each(|n| drop(world.filed("marie/completed", &format!("t{n}"))));
    disk.cut();
    watcher.murder();
    disk.back(&world);
    let is_whole = |n: &i32| {
        let path = world.root().join(format!("tasks/marie/completed/t{n}.json"));
        world::json(&path).is_some_and(|it| it["state"] == "COMPLETED")
    };
    let left = (0..10).filter(is_whole).count();
    // Whatever is left, the next start makes do with it, and work goes on.
    let mut command = world.watcher("marie");
    command.args(["--durability", durability]);
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    world.submit("marie/pending", "next", &json!({"prompt": "fake: succeed text=done"}));
    world.filed("marie/completed", "next");
    assert_eq!(watcher.stop(), 0, "{}", world.said());
    Some(left)
}

#[test]
fn what_is_filed_survives_a_cut_unless_durability_none_asked_for_less() {
    let Some(full) = left_of_ten("full") else { return };
    assert_eq!(full, 10, "with `full`, what is seen in completed/ is there after a cut");
    let none = left_of_ten("none").unwrap();
    assert!(none < 10, "with `none` a cut loses something: does the cut lose what was not waited for?");
}

#[test]
fn a_pause_outlives_a_cut_though_the_state_was_written_again() {
    let world = World::new();
    let Some(disk) = Disk::new(&world, KINDS[2]) else { return };
    let watcher = world.up("marie");
    let paused = world.agentctl(&["pause", "marie"]);
    assert!(paused.status.success(), "{paused:?}");
    world.submit("marie/pending", "x", &json!({"prompt": "fake: succeed text=done"}));
    traces::state(&world, "marie", |it| it["status"] == "paused" && it["queues"]["pending"] == 1);
    // Somebody's sync takes all names there are into the journal, and nothing of what nobody waited for.
    disk.names_are_safe();
    disk.cut();
    watcher.murder();
    disk.back(&world);
    let state = world::json(&world.root().join("workers/marie/state.json"));
    assert_eq!(state.map(|it| it["wanted"]["mode"].clone()), Some(json!("pause")));
    let watcher = world.up("marie");
    traces::state(&world, "marie", |it| it["status"] == "paused");
    assert_eq!(watcher.stop(), 0, "{}", world.said());
}

/// Waits without a fact: a machine has power for so long.
fn pass(span: Duration) {
    until(span, || None::<()>);
}
