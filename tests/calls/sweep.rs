//! Which points are tried: all of them, or a sample; and what came of it, as a table.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::Write;
use std::sync::Mutex;

use crate::dice::Dice;
use crate::scene::{Scene, Struck};
use crate::syscalls::Call;
use crate::tracer::{Among, Fate};

/// Whether every point is tried.
pub(crate) fn is_long() -> bool {
    std::env::var("CAMPAIGN").is_ok_and(|it| it == "long")
}

/// A part of the name of the scenes to play, where not all are.
fn chosen_scene() -> Option<String> {
    std::env::var("CAMPAIGN_SCENE").ok()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What the dice begin with: told with what they chose, so that it can be thrown again.
pub(crate) fn seed() -> u64 {
    number("CAMPAIGN_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1).max(1)
}

/// Most of a play is waiting.
fn together() -> usize {
    std::thread::available_parallelism().map_or(2, Into::into) * 3
}

/// The points of one scene at which one thing happens, by their numbers.
pub(crate) struct Series<'a> {
    /// The scene, and what happens, as the table calls them.
    called: (String, String),
    chosen: Chosen,
    play: Box<dyn Fn(usize) -> Struck + Send + Sync + 'a>,
}

impl<'a> Series<'a> {
    pub(crate) fn new(
        (scene, kind): (&str, &str),
        chosen: Chosen,
        play: impl Fn(usize) -> Struck + Send + Sync + 'a,
    ) -> Self {
        Self { called: (scene.to_owned(), kind.to_owned()), chosen, play: Box::new(play) }
    }

    pub(crate) fn of(
        scene: &'a Scene,
        kind: &str,
        chosen: Chosen,
        (among, fate): (Among, impl Fn(usize) -> Fate + Send + Sync + 'a),
    ) -> Self {
        Self::new((&scene.name(), kind), chosen, move |n| scene.play(&among, fate(n)))
    }
}

/// Which points of a series are tried.
pub(crate) struct Chosen {
    numbers: Vec<usize>,
    /// All: no two plays have the same number of calls, so it goes on until one has fewer.
    is_all: bool,
}

/// The scenes to play: all, or those that were chosen, or so many of them.
pub(crate) fn scenes<'a>(
    all: impl IntoIterator<Item = &'a Scene>,
    few: usize,
    dice: &mut Dice,
) -> Vec<&'a Scene> {
    let named = chosen_scene().unwrap_or_default();
    let mut scenes: Vec<&Scene> = all.into_iter().filter(|it| it.name().contains(&named)).collect();
    while !is_long() && scenes.len() > few {
        scenes.swap_remove(usize::try_from(dice.below(scenes.len() as u64)).unwrap());
    }
    scenes
}

/// The calls that a scene makes when nothing is struck.
pub(crate) fn quiet(scene: &Scene, among: &Among) -> Vec<Call> {
    let quiet = scene.play(among, Fate::Watch);
    assert!(quiet.broken.is_empty(), "nothing was struck: {}", quiet.broken.join("\n"));
    quiet.calls
}

/// The points to try of so many: all, or `few` of them.
pub(crate) fn chosen(points: usize, few: usize, dice: &mut Dice) -> Chosen {
    let few = if is_long() { number("CAMPAIGN_POINTS").unwrap_or(u64::MAX) } else { few as u64 };
    if few >= points as u64 {
        return Chosen { numbers: (1..=points).collect(), is_all: is_long() };
    }
    let mut numbers: Vec<usize> =
        (0..few).map(|_| 1 + usize::try_from(dice.below(points as u64)).unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Chosen { numbers, is_all: false }
}

/// What came of the points of one kind.
#[derive(Default)]
struct Row {
    points: usize,
    failed: usize,
}

/// By scene, fault and call.
type Rows = BTreeMap<(String, String, &'static str), Row>;

/// So many more are tried where the last point of a series was reached.
const FURTHER: usize = 8;

/// What is still to be tried: (series, point), and the last point of each series.
struct Left {
    points: VecDeque<(usize, usize)>,
    last: Vec<usize>,
    taken: usize,
}

impl Left {
    fn of(series: &[Series<'_>]) -> Self {
        let numbers =
            |(at, it): (usize, &Series<'_>)| it.chosen.numbers.clone().into_iter().map(move |n| (at, n));
        let last = series.iter().map(|it| it.chosen.numbers.last().copied().unwrap_or(0)).collect();
        Self { points: series.iter().enumerate().flat_map(numbers).collect(), last, taken: 0 }
    }

    fn take(&mut self, part: &str) -> Option<(usize, usize)> {
        self.taken += 1;
        if self.taken.is_multiple_of(500) {
            eprintln!("{part}: {}, {} left", self.taken, self.points.len());
        }
        self.points.pop_front()
    }

    /// There was a call at the point: was it the last one that was to be tried?
    fn reached(&mut self, (at, n): (usize, usize)) {
        if n == self.last[at] {
            self.last[at] += FURTHER;
            self.points.extend((n + 1..=n + FURTHER).map(|n| (at, n)));
        }
    }
}

/// Tries the points, several at a time, tells what came of them, and fails if anything was broken.
pub(crate) fn sweep(part: &str, seed: u64, series: &[Series<'_>]) {
    let left = Left::of(series);
    if left.points.is_empty() && chosen_scene().is_some() {
        println!("the scene that was chosen is none of these");
        return;
    }
    let (left, broken, rows) = (Mutex::new(left), Mutex::new(Vec::new()), Mutex::new(Rows::new()));
    let take = || left.lock().unwrap().take(part);
    std::thread::scope(|scope| {
        for _ in 0..together() {
            scope.spawn(|| {
                while let Some((at, n)) = take() {
                    let it = &series[at];
                    let Struck { call, broken: found, .. } = (it.play)(n);
                    // A point that was not reached is the end of that scene, and no point.
                    if let Some(call) = call {
                        if it.chosen.is_all {
                            left.lock().unwrap().reached((at, n));
                        }
                        let (scene, kind) = it.called.clone();
                        let mut rows = rows.lock().unwrap();
                        let row = rows.entry((scene, kind, call)).or_default();
                        row.points += 1;
                        row.failed += usize::from(!found.is_empty());
                    }
                    if !found.is_empty() {
                        eprintln!("BROKEN {:#?}", &found[..found.len() - 1]);
                        broken.lock().unwrap().push(found);
                    }
                }
            });
        }
    });
    let (rows, broken) = (rows.into_inner().unwrap(), broken.into_inner().unwrap());
    report(part, seed, &rows);
    assert!(rows.values().any(|it| it.points > 0), "no point was reached: is anything struck?");
    let first = broken.first().map(|it| it.join("\n"));
    assert!(
        broken.is_empty(),
        "seed {seed}: {} points broke a promise; the first:\n{}",
        broken.len(),
        first.unwrap()
    );
}

/// A line for each program, kind and call: on standard output, and where `CAMPAIGN_REPORT` says.
fn report(part: &str, seed: u64, rows: &Rows) {
    let line = |((scene, kind, call), row): (&(String, String, &'static str), &Row)| {
        let verdict = if row.failed == 0 { "held".to_owned() } else { format!("BROKEN {}", row.failed) };
        format!("{part}\t{scene}\t{kind}\t{call}\t{}\t{verdict}\n", row.points)
    };
    let text: String = rows.iter().map(line).collect();
    let (points, failed) =
        rows.values().fold((0, 0), |(points, failed), row| (points + row.points, failed + row.failed));
    println!("{text}{part}: seed {seed}, {points} points, {failed} broken");
    if let Ok(path) = std::env::var("CAMPAIGN_REPORT") {
        let file = fs::File::options().append(true).create(true).open(path);
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }
}
