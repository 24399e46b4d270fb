//! The screen for a person.

use crate::budget::Spent;
use crate::clock::epoch_seconds;
use crate::config::show_size;
use crate::recovery::ramp::Phase;
use crate::task::Place;

use super::super::desk::{Desk, spoken};
use super::super::list::{about, in_short, state_cell};
use super::super::look::Seen;
use super::super::report::{Cell, Tone, one_line};
use super::super::worker::{Running, WorkerView};
use super::super::{budget, packs};
use super::survey::Screen;

/// How many held tasks are named.
const HELD: usize = 3;

/// All of it.
pub(super) fn whole(desk: &Desk, screen: &Screen) -> String {
    [
        heading(desk, screen),
        needs(desk, screen),
        worker_table(desk, screen),
        budget::lines(desk, &screen.budgets),
        packs::waiting(
            desk,
            screen.workers.iter().filter_map(|it| it.state.as_ref()).flat_map(|it| &it.packs),
        ),
        waits(desk, screen),
        resumes(desk, &screen.workers),
        running_table(desk, &screen.workers),
        failure_table(desk, &screen.failures),
        next_steps(desk, screen),
    ]
    .concat()
}

fn heading(desk: &Desk, screen: &Screen) -> String {
    let root = desk.layout.root().display().to_string();
    let alive = screen.workers.iter().filter(|worker| worker.is_alive()).count();
    let supervisor = if screen.supervised { "supervised" } else { "no supervisor" };
    let oldest = screen.inbox_oldest_s.map(|s| format!(", the oldest for {}", spoken(s))).unwrap_or_default();
    let line = desk.report.line(&[
        Cell::toned(root, Tone::Strong),
        Cell::plain(format!("{alive} of {} workers alive,", screen.workers.len())),
        Cell::plain(format!("{supervisor},")),
        Cell::plain(format!("{} in the inbox{oldest}", screen.inbox)),
    ]);
    format!("{line}\n")
}

/// What lasts until a person acts: first of all on the screen.
fn needs(desk: &Desk, screen: &Screen) -> String {
    let mut text = conditions(desk, screen, Tone::Bad);
    if screen.dead_letters > 0 {
        let (tasks, wait) = if screen.dead_letters == 1 { ("task", "waits") } else { ("tasks", "wait") };
        let head = format!("{} failed {tasks}", screen.dead_letters);
        text += &told(
            desk,
            &[
                Cell::toned(head, Tone::Bad),
                Cell::plain(format!("{wait} to be looked at, and retried or removed")),
            ],
            Some(&format!("{} list --state failed", desk.agentctl())),
        );
    }
    if text.is_empty() {
        return text;
    }
    let label = desk.report.line(&[Cell::toned("NEEDS YOU", Tone::Faint)]);
    format!("\n{label}\n{text}")
}

/// What passes by itself, or was wanted so.
fn waits(desk: &Desk, screen: &Screen) -> String {
    let mut text = conditions(desk, screen, Tone::Warn);
    for worker in &screen.workers {
        let Some((ago, why)) = worker.crash(epoch_seconds(desk.clock.wall())) else { continue };
        let head = format!("{} died {} ago:", worker.name, spoken(ago));
        text += &told(desk, &[Cell::toned(head, Tone::Warn), Cell::plain(why)], None);
    }
    text += &held(desk, &screen.held);
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// What is kept back by a person, and by whom.
fn held(desk: &Desk, held: &[Seen]) -> String {
    let mut text = String::new();
    for seen in held.iter().take(HELD) {
        let tail = seen.held().map(|word| word.tail()).unwrap_or_default();
        let line = [Cell::toned(seen.full_name(), Tone::Warn), Cell::plain(format!("is held{tail}"))];
        text += &told(desk, &line, Some(&format!("{} release {}", desk.agentctl(), seen.full_name())));
    }
    if held.len() > HELD {
        let line = [Cell::toned(format!("{} more", held.len() - HELD), Tone::Warn), Cell::plain("are held")];
        text += &told(desk, &line, Some(&format!("{} list --held", desk.agentctl())));
    }
    text
}

/// In red what lasts until a person acts, in yellow what does not.
fn conditions(desk: &Desk, screen: &Screen, tone: Tone) -> String {
    let mut text = String::new();
    for worker in &screen.workers {
        for it in worker.conditions().iter().filter(|it| it.is_yours == (tone == Tone::Bad)) {
            let until = it.until.map(|until| format!(" (tries again at {until:.0})")).unwrap_or_default();
            let line = [Cell::toned(worker.name.as_str(), tone), Cell::plain(format!("{}{until}", it.what))];
            text += &told(desk, &line, it.remedy.as_deref());
        }
    }
    text
}

fn told(desk: &Desk, line: &[Cell], remedy: Option<&str>) -> String {
    let remedy = remedy
        .map(|remedy| desk.report.line(&[Cell::toned("  remedy:", Tone::Faint), Cell::plain(remedy)]) + "\n");
    format!("{}\n{}", desk.report.line(line), remedy.unwrap_or_default())
}

fn worker_table(desk: &Desk, screen: &Screen) -> String {
    let workers = screen.workers.as_slice();
    if workers.is_empty() {
        return String::new();
    }
    let ago = |age: Option<u64>| age.map_or_else(|| "-".to_owned(), |s| format!("{} ago", spoken(s)));
    let for_so_long = |age: Option<u64>| age.map_or_else(|| "-".to_owned(), spoken);
    let mut columns: Vec<(String, Vec<Cell>)> = vec![
        ("WORKER".to_owned(), workers.iter().map(|it| Cell::plain(it.name.as_str())).collect()),
        (
            "STATUS".to_owned(),
            workers.iter().map(WorkerView::word).map(|(word, tone)| Cell::toned(word, tone)).collect(),
        ),
        ("BEAT".to_owned(), workers.iter().map(|it| Cell::plain(ago(it.beat_s))).collect()),
    ];
    for (n, place) in Place::OF_WORKER.into_iter().enumerate() {
        let depths = workers.iter().map(|it| it.depths.get(n).map_or(0, |(_, depth)| *depth));
        // What is zero everywhere and seldom anything else takes no room.
        let is_rare = matches!(place, Place::Staged | Place::Cancelled);
        if !is_rare || depths.clone().any(|depth| depth > 0) {
            columns.push((title(place), depths.map(|depth| depth_cell(place, depth)).collect()));
        }
        if place == Place::Pending {
            let oldest = workers.iter().map(|it| Cell::plain(for_so_long(it.oldest_s))).collect();
            columns.push(("OLDEST".to_owned(), oldest));
        }
    }
    if workers.iter().any(|it| it.crashes() > 0) {
        let crashes = workers.iter().map(|it| Cell::plain(it.crashes().to_string())).collect();
        columns.push(("CRASHES".to_owned(), crashes));
    }
    if let Some(spent) = spent(screen) {
        columns.push(("LAST 24 H".to_owned(), spent));
    }
    let heading: Vec<&str> = columns.iter().map(|(title, _)| title.as_str()).collect();
    let rows: Vec<Vec<Cell>> = (0..workers.len())
        .map(|n| columns.iter().filter_map(|(_, cells)| cells.get(n).cloned()).collect())
        .collect();
    format!("\n{}", desk.report.table(&heading, &rows))
}

/// What each worker has spent in the last 24 hours, if any has.
fn spent(screen: &Screen) -> Option<Vec<Cell>> {
    let days: Vec<Spent> = screen
        .workers
        .iter()
        .map(|it| screen.spent(&it.name).map_or_else(Spent::default, |it| it.day))
        .collect();
    let cell = |day: &Spent| Cell::plain(format!("${:.2}, {} tok", day.usd(), day.tokens));
    days.iter().any(|day| !day.is_none()).then(|| days.iter().map(cell).collect())
}

fn title(place: Place) -> String {
    if place == Place::Completed { "DONE".to_owned() } else { place.as_str().to_ascii_uppercase() }
}

fn depth_cell(place: Place, depth: usize) -> Cell {
    let tone = match place {
        _ if depth == 0 => Tone::Faint,
        Place::Failed => Tone::Bad,
        Place::Active => Tone::Strong,
        Place::Inbox | Place::Pending | Place::Staged | Place::Completed | Place::Cancelled => Tone::Plain,
    };
    Cell::toned(depth.to_string(), tone)
}

fn resumes(desk: &Desk, workers: &[WorkerView]) -> String {
    let mut text = String::new();
    for worker in workers {
        let Some((record, is_led)) = &worker.resume else { continue };
        let (word, tone) = match (record.state, is_led) {
            (Phase::Stopped, _) => ("stopped".to_owned(), Tone::Bad),
            (Phase::Moving | Phase::Waiting, true) => {
                (format!("led by pid {}", record.leader.pid), Tone::Plain)
            }
            (Phase::Moving | Phase::Waiting, false) => ("nobody leads it".to_owned(), Tone::Warn),
        };
        text += &desk.report.line(&[
            Cell::toned(format!("{} resuming", worker.name), Tone::Strong),
            Cell::plain(format!("{},", record.summary())),
            Cell::toned(word, tone),
        ]);
        text.push('\n');
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn running_table(desk: &Desk, workers: &[WorkerView]) -> String {
    let rows: Vec<Vec<Cell>> = workers.iter().flat_map(|worker| &worker.running).map(running_row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let heading = ["RUNNING", "STATE", "FOR", "LIMIT", "COST", "MEM", "LAST SIGN", "ABOUT"];
    format!("\n{}", desk.report.table(&heading, &rows))
}

fn running_row(running: &Running) -> Vec<Cell> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cost = running.seen.task.as_ref().map_or(0.0, |task| task.record.cost_usd());
    let asked = running.seen.task.as_ref().ok().and_then(|task| task.spec.prompt.as_deref());
    let about = running.progress.as_deref().or(asked).unwrap_or("(input)");
    vec![
        Cell::plain(running.seen.full_name()),
        state_cell(running.seen.state()),
        Cell::plain(spoken(running.elapsed_s)),
        Cell::plain(or_none(running.limit_s.map(spoken))),
        Cell::plain(or_none((cost > 0.0).then(|| format!("${cost:.2}")))),
        Cell::plain(or_none(running.memory_bytes.map(show_size))),
        Cell::plain(or_none(running.silent_s.map(|s| format!("{} ago", spoken(s))))),
        Cell::toned(in_short(about), Tone::Faint),
    ]
}

fn failure_table(desk: &Desk, failures: &[Seen]) -> String {
    let rows: Vec<Vec<Cell>> = failures
        .iter()
        .map(|seen| {
            vec![
                Cell::plain(seen.full_name()),
                state_cell(seen.state()),
                Cell::plain(format!("{} ago", spoken(desk.age_s(seen.entry.mtime)))),
                Cell::plain(about(seen)),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", desk.report.table(&["FAILED OF LATE", "STATE", "WHEN", "WHY"], &rows))
}

/// The commands that are most likely typed next.
fn next_steps(desk: &Desk, screen: &Screen) -> String {
    let root = desk.layout.root().display();
    let agentctl = desk.agentctl();
    let mut steps = Vec::new();
    let nobody = !screen.workers.iter().any(WorkerView::is_alive);
    if nobody {
        steps.push(format!("supervisor up --root {root}"));
    }
    for worker in screen.workers.iter().filter(|worker| !nobody && worker.has_died()) {
        steps.push(format!("supervisor recover {} --dry-run --root {root}", worker.name));
    }
    if let Some(running) = screen.workers.iter().find_map(|worker| worker.running.first()) {
        steps.push(format!("{agentctl} logs -f {}", running.seen.full_name()));
    }
    if let Some(failed) = screen.failures.first() {
        steps.push(format!("{agentctl} show {}", failed.full_name()));
    }
    let waits = screen.inbox > 0 || screen.workers.iter().any(|worker| worker.oldest_s.is_some());
    if waits && screen.workers.iter().all(|worker| worker.running.is_empty()) {
        steps.push(format!("{agentctl} list --state pending,inbox"));
    }
    if steps.is_empty() {
        steps.push(format!("{agentctl} submit 'say hello' --wait"));
    }
    let label = desk.report.line(&[Cell::toned("next:", Tone::Faint)]);
    format!("\n{label} {}", one_line(&steps.join(" · ")))
}
