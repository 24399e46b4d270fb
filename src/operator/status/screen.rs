//! The screen for a person.

use crate::clock::epoch_seconds;
use crate::recovery::ramp::Phase;
use crate::task::Place;

use super::super::desk::{Desk, spoken};
use super::super::list::{about, state_cell};
use super::super::look::Seen;
use super::super::report::{Cell, Tone, one_line};
use super::survey::{Screen, WorkerView};

/// All of it.
pub(super) fn whole(desk: &Desk, screen: &Screen) -> String {
    [
        heading(desk, screen),
        worker_table(desk, &screen.workers),
        resumes(desk, &screen.workers),
        troubles(desk, &screen.workers),
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
    let line = desk.report.line(&[
        Cell::toned(root, Tone::Strong),
        Cell::plain(format!("{alive} of {} workers alive,", screen.workers.len())),
        Cell::plain(format!("{supervisor},")),
        Cell::plain(format!("{} in the inbox", screen.inbox)),
    ]);
    format!("{line}\n")
}

fn worker_table(desk: &Desk, workers: &[WorkerView]) -> String {
    if workers.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<Cell>> = workers
        .iter()
        .map(|worker| {
            let (word, tone) = worker.word();
            let beat = worker.beat_s.map_or_else(|| "-".to_owned(), |s| format!("{} ago", spoken(s)));
            let mut row = vec![Cell::plain(worker.name.as_str()), Cell::toned(word, tone), Cell::plain(beat)];
            row.extend(worker.depths.iter().map(|(place, depth)| depth_cell(*place, *depth)));
            row.push(Cell::plain(worker.crashes().to_string()));
            row
        })
        .collect();
    let heading =
        ["WORKER", "STATUS", "BEAT", "PENDING", "STAGED", "ACTIVE", "DONE", "FAILED", "CANCELLED", "CRASHES"];
    format!("\n{}", desk.report.table(&heading, &rows))
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

fn troubles(desk: &Desk, workers: &[WorkerView]) -> String {
    let mut text = String::new();
    for worker in workers {
        let Some((reason, remedy)) = worker.trouble() else { continue };
        let line = [Cell::toned(format!("{} takes no tasks:", worker.name), Tone::Bad), Cell::plain(reason)];
        text += &desk.report.line(&line);
        text.push('\n');
        if let Some(remedy) = remedy {
            text += &desk.report.line(&[Cell::plain("  remedy:"), Cell::plain(remedy)]);
            text.push('\n');
        }
    }
    for worker in workers {
        let Some((ago, why)) = worker.crash(epoch_seconds(desk.clock.wall())) else { continue };
        let head = format!("{} died {} ago:", worker.name, spoken(ago));
        text += &desk.report.line(&[Cell::toned(head, Tone::Warn), Cell::plain(why)]);
        text.push('\n');
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn running_table(desk: &Desk, workers: &[WorkerView]) -> String {
    let rows: Vec<Vec<Cell>> = workers
        .iter()
        .flat_map(|worker| &worker.running)
        .map(|running| {
            let sign = running.silent_s.map_or_else(|| "-".to_owned(), |s| format!("{} ago", spoken(s)));
            vec![
                Cell::plain(running.seen.full_name()),
                state_cell(running.seen.state()),
                Cell::plain(spoken(running.elapsed_s)),
                Cell::plain(sign),
                Cell::toned(about(&running.seen), Tone::Faint),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", desk.report.table(&["RUNNING", "STATE", "FOR", "LAST SIGN", "ABOUT"], &rows))
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
    if steps.is_empty() {
        steps.push(format!("{agentctl} submit 'say hello' --wait"));
    }
    let label = desk.report.line(&[Cell::toned("next:", Tone::Faint)]);
    format!("\n{label} {}", one_line(&steps.join(" · ")))
}
