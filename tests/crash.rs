//! Every durable operation, cut after every step by a kill and by a power cut, recovered under the same
//! cuts, and lived to its end: the promises hold. And no step is there for nothing: left out, one of them breaks.

#[path = "support/crash_acts.rs"]
mod crash_acts;
#[path = "support/crash_promises.rs"]
mod crash_promises;
#[path = "support/crash_ramp.rs"]
mod crash_ramp;
#[path = "support/crash_walk.rs"]
mod crash_walk;
#[path = "support/crash_world.rs"]
mod crash_world;
#[path = "support/ending.rs"]
mod ending;
#[path = "support/model_disk.rs"]
mod model_disk;
#[path = "support/step_words.rs"]
mod step_words;

use std::collections::BTreeMap;

use agent_worker::task::Place;
use crash_acts::Act;
use crash_ramp::Ramp;
use crash_walk::{Depth, Drop, How, Scenario, Walked, refuse_each, walk};
use crash_world::Mutation;
use ending::Ending;
use model_disk::Moves;

fn plain(name: &'static str) -> Scenario {
    let drop = Drop { mark: 'A', place: Place::Pending, how: How::Moved, max_retries: 3, is_whole: true };
    let (taken, endings): (&[_], &[_]) = (&[], &[]);
    let (moves, ramp, act) = (Moves::Rename, Ramp::None, Act::None);
    Scenario { name, drop, late: None, is_rewritten: false, taken, endings, moves, ramp, act }
}

fn dropped(name: &'static str, place: Place, how: How) -> Scenario {
    let drop = Drop { place, how, ..plain(name).drop };
    Scenario { drop, ..plain(name) }
}

fn ending(name: &'static str, max_retries: u32, endings: &'static [Ending]) -> Scenario {
    let drop = Drop { max_retries, ..plain(name).drop };
    Scenario { drop, endings, ..plain(name) }
}

fn scenarios() -> Vec<Scenario> {
    use Ending::{Busy, Cancelled, Crash, Denied, Fault, LaidBy, Owed, Stopped};
    let late = Drop { mark: 'B', ..plain("").drop };
    let unsynced = Drop { how: How::Copied, ..late.clone() };
    let broken = Drop { is_whole: false, ..plain("").drop };
    let all = &[Place::Completed, Place::Failed, Place::Cancelled];
    let mut all_of_them = vec![
        dropped("moved into pending", Place::Pending, How::Moved),
        dropped("copied into pending", Place::Pending, How::Copied),
        dropped("moved into the inbox", Place::Inbox, How::Moved),
        dropped("copied into the inbox", Place::Inbox, How::Copied),
        dropped("released", Place::Staged, How::Moved),
        ending("a fault, then well", 3, &[Fault]),
        ending("a wait, a stop, then well", 0, &[Busy, Stopped]),
        ending("faults until the budget is used up", 1, &[Fault, Fault, Fault]),
        ending("crashes until the budget is used up", 1, &[Crash, Crash, Crash]),
        ending("one crash allowed of none", 0, &[Crash]),
        ending("denied", 3, &[Denied]),
        ending("cancelled", 3, &[Cancelled]),
        ending("an answer that owes something", 3, &[Owed]),
        ending("an answer that waits in the queue for what it owes", 3, &[Fault, LaidBy]),
        Scenario { taken: all, ..plain("the name is taken where it ends well") },
        Scenario { taken: all, ..ending("the name is taken where it fails", 0, &[Fault]) },
        Scenario { late: Some(late.clone()), ..ending("two drops of one name", 3, &[Fault]) },
        Scenario { late: Some(unsynced), ..ending("the second drop is a copy", 3, &[]) },
        Scenario { is_rewritten: true, ..plain("written again while it is claimed") },
        Scenario { drop: broken.clone(), ..plain("no task") },
        Scenario { drop: Drop { how: How::Copied, ..broken.clone() }, ..plain("no task, copied") },
        Scenario { drop: broken.clone(), taken: all, ..plain("no task, and its name is taken") },
    ];
    let elsewhere = |place, how| Drop { place, how, ..broken.clone() };
    all_of_them.extend([
        Scenario { drop: elsewhere(Place::Inbox, How::Moved), ..plain("no task, in the inbox") },
        Scenario { drop: elsewhere(Place::Staged, How::Moved), ..plain("no task, released") },
        Scenario { drop: elsewhere(Place::Active, How::Moved), ..plain("no task, put into active") },
        Scenario { drop: elsewhere(Place::Active, How::Copied), ..plain("no task, copied into active") },
    ]);
    let linked = [
        plain("link and unlink"),
        ending("link and unlink, a fault", 0, &[Busy, Fault]),
        ending("link and unlink, cancelled", 3, &[Cancelled]),
        ending("link and unlink, laid by", 3, &[LaidBy]),
    ];
    all_of_them.extend(linked.map(|it| Scenario { moves: Moves::LinkAndUnlink, ..it }));
    all_of_them.extend(ramps());
    all_of_them.extend(acts());
    all_of_them
}

/// What an operator does: to a task that waits, and to one that has ended.
fn acts() -> Vec<Scenario> {
    use Ending::{Busy, Denied};
    let cancelled = |scenario| Scenario { act: Act::Cancel, ..scenario };
    let amended = |scenario| Scenario { act: Act::Amend, ..scenario };
    let renewed = |scenario| Scenario { act: Act::Renew, ..scenario };
    let taken = &[Place::Cancelled];
    let copied = |name| dropped(name, Place::Inbox, How::Copied);
    let rewritten = |name| Scenario { is_rewritten: true, ..plain(name) };
    let linked = |scenario| Scenario { moves: Moves::LinkAndUnlink, ..scenario };
    vec![
        cancelled(plain("cancelled while it waits")),
        cancelled(copied("cancelled in the inbox")),
        cancelled(Scenario { taken, ..plain("cancelled, and the name is taken") }),
        cancelled(rewritten("written again while it is cancelled")),
        linked(cancelled(plain("cancelled by link and unlink"))),
        amended(plain("changed while it waits")),
        amended(copied("changed in the inbox")),
        amended(dropped("changed when it was let go", Place::Staged, How::Moved)),
        amended(rewritten("written again while it is changed")),
        linked(amended(plain("changed by link and unlink"))),
        renewed(ending("failed, and renewed", 3, &[Denied])),
        Scenario { act: Act::CancelThenRenew, ..plain("cancelled, and renewed") },
        linked(renewed(ending("renewed by link and unlink", 3, &[Denied]))),
        Scenario { act: Act::AmendLater, ..ending("changed while it waits to go on", 3, &[Busy]) },
        Scenario { act: Act::CancelLater, ..ending("cancelled while it waits to go on", 3, &[Busy]) },
    ]
}

/// Gradual resumes: what is let go, and what is taken back again.
fn ramps() -> Vec<Scenario> {
    let taken_back = Scenario { ramp: Ramp::TakenBack, ..plain("a batch is taken back") };
    let copied = dropped("a batch of copies is let go", Place::Pending, How::Copied);
    vec![
        Scenario { moves: Moves::LinkAndUnlink, ..taken_back.clone() },
        Scenario { ramp: Ramp::LetGo, ..copied },
        taken_back,
    ]
}

fn walk_all(depth: Depth, mutation: Option<&Mutation>) -> Result<Walked, String> {
    let mut walked = Walked::default();
    for scenario in scenarios() {
        let one =
            walk(&scenario, depth, mutation).map_err(|broken| format!("{}: {broken}", scenario.name))?;
        walked += one;
    }
    Ok(walked)
}

#[test]
fn every_cut_of_every_operation_comes_home() {
    let walked = walk_all(Depth::Twice, None).unwrap_or_else(|broken| panic!("{broken}"));
    println!(
        "{} kills and {} power cuts, {} recoveries of what they left, {} lives to the end, {} shapes",
        walked.kills,
        walked.powers,
        walked.recoveries,
        walked.ends,
        walked.shapes.len(),
    );
}

#[test]
fn a_disk_that_refuses_a_step_loses_nothing() {
    let refused =
        |scenario: &Scenario| refuse_each(scenario).map_err(|broken| format!("{}: {broken}", scenario.name));
    let broken: Vec<_> = scenarios().iter().filter_map(|it| refused(it).err()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Steps that the walk can do without, since it plays no operator who edits a task that waits for its retry:
/// what we wrote ourselves is synced, and is the same when it is looked at again.
const FOR_OPERATORS: (&str, [&str; 2]) = (
    "write active, sync file queue, sync file active, move queue active, confirm, replace active",
    ["sync file queue", "confirm"],
);

#[test]
fn no_step_can_be_left_out() {
    let walks: Vec<_> = scenarios().into_iter().map(|it| (walk_once(&it), it)).collect();
    let mut shapes = BTreeMap::new();
    for (walked, _) in &walks {
        shapes.extend(walked.shapes.clone());
    }
    let all: Vec<_> = shapes.iter().flat_map(|(shape, steps)| mutations(shape, steps)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (all, walks) = (&all, &walks);
    let share =
        |nth| all.iter().skip(nth).step_by(threads).filter(|it| survives(it, walks)).collect::<Vec<_>>();
    let survivors: Vec<_> = std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..threads).map(|nth| scope.spawn(move || share(nth))).collect();
        walkers.into_iter().flat_map(|walker| walker.join().expect("a share of the walks")).collect()
    });
    println!("{} mutations of {} operations", all.len(), shapes.len());
    assert!(survivors.is_empty(), "nothing breaks without: {survivors:#?}");
}

fn walk_once(scenario: &Scenario) -> Walked {
    walk(scenario, Depth::Once, None).expect(scenario.name)
}

/// Whether every walk comes home with the mutation. The short walks that perform the operation by themselves are
/// tried first: most mutations are found there.
fn survives(mutation: &Mutation, walks: &[(Walked, Scenario)]) -> bool {
    let (mut near, mut far): (Vec<_>, Vec<_>) =
        walks.iter().partition(|(walked, _)| walked.shapes.contains_key(&mutation.shape));
    near.sort_by_key(|(walked, _)| walked.kills);
    far.sort_by_key(|(walked, _)| walked.kills);
    let depths = [(&near, Depth::Once), (&near, Depth::Twice), (&far, Depth::Once), (&far, Depth::Twice)];
    depths.iter().all(|(walks, depth)| walks.iter().all(|(_, it)| walk(it, *depth, Some(mutation)).is_ok()))
}

/// Each step left out, and the two syncs of each move swapped.
fn mutations(shape: &str, steps: &[String]) -> Vec<Mutation> {
    let mutation = |at, swaps| Mutation { shape: shape.to_owned(), at, swaps };
    let (kept_in, kept) = FOR_OPERATORS;
    let is_kept = |word: &str| shape.starts_with(kept_in) && kept.contains(&word);
    let left_out = steps.iter().enumerate().filter(|(_, word)| !is_kept(word)).map(|(at, _)| at);
    let is_move = |word: &String| word.starts_with("move ");
    let is_place = |word: &String| ["sync queue", "sync active", "sync filed"].contains(&word.as_str());
    let is_pair = |pair: &[String]| pair.iter().all(is_place) && pair[0] != pair[1];
    let pairs = steps.windows(2).enumerate().filter(|(_, pair)| steps.iter().any(is_move) && is_pair(pair));
    let swapped = pairs.map(|(at, _)| mutation(at, true));
    left_out.map(|at| mutation(at, false)).chain(swapped).collect()
}
