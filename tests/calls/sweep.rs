//! Which points are tried: all of them, or a sample; and what came of it, as a table.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// A point at which something happens.
pub(crate) struct Point<'a> {
    /// The scene, and what happens, as the table calls them.
    pub(crate) called: (String, String),
    pub(crate) play: Box<dyn Fn() -> Struck + Send + Sync + 'a>,
}

impl<'a> Point<'a> {
    pub(crate) fn of(scene: &'a Scene, kind: &str, among: Among, fate: Fate) -> Self {
        Self { called: (scene.name(), kind.to_owned()), play: Box::new(move || scene.play(&among, fate)) }
    }
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

/// The points to try of so many: all and some more, since no two plays have the same number; or `few` of them.
pub(crate) fn chosen(points: usize, few: usize, dice: &mut Dice) -> Vec<usize> {
    if points == 0 {
        return Vec::new();
    }
    let few = if is_long() { number("CAMPAIGN_POINTS").unwrap_or(u64::MAX) } else { few as u64 };
    if few >= points as u64 {
        return (1..=points + points / 10 + 2).collect();
    }
    let mut chosen: Vec<usize> =
        (0..few).map(|_| 1 + usize::try_from(dice.below(points as u64)).unwrap()).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// What came of the points of one kind.
#[derive(Default)]
struct Row {
    points: usize,
    failed: usize,
}

/// By scene, fault and call.
type Rows = BTreeMap<(String, String, &'static str), Row>;

/// Tries the points, several at a time, tells what came of them, and fails if anything was broken.
pub(crate) fn sweep(part: &str, seed: u64, points: &[Point<'_>]) {
    if points.is_empty() && chosen_scene().is_some() {
        println!("the scene that was chosen is none of these");
        return;
    }
    let (next, broken) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let rows = Mutex::new(Rows::new());
    std::thread::scope(|scope| {
        for _ in 0..together() {
            scope.spawn(|| {
                while let Some((n, point)) = taken(&next, points) {
                    if n > 0 && n.is_multiple_of(500) {
                        eprintln!("{part}: {n} of {}", points.len());
                    }
                    let Struck { call, broken: found, .. } = (point.play)();
                    let mut rows = rows.lock().unwrap();
                    // A point that was not reached is the end of that scene, and no point.
                    let (scene, kind) = point.called.clone();
                    if let Some(row) = call.map(|it| rows.entry((scene, kind, it)).or_default()) {
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

/// The next that nobody has taken, and how many were taken before it.
fn taken<'a, 'b>(next: &AtomicUsize, points: &'a [Point<'b>]) -> Option<(usize, &'a Point<'b>)> {
    let n = next.fetch_add(1, Ordering::Relaxed);
    points.get(n).map(|point| (n, point))
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
