//! The workers and the tasks, column by column.

use ratatui::text::Line;

use super::super::super::desk::spoken;
use super::super::super::report::Tone;
use super::super::model::{Model, Pane};
use super::super::scene::{Task, Worker};
use super::paint::Paint;
use super::plan::{Column, Plan};
use super::table::{Cell, Table};
use crate::task::{Place, TaskState};

/// How wide the bar of a limit is.
const BAR: usize = 8;

const WORKERS: &[Column] = &[
    Column::growing("WORKER", 8, 16, 0),
    Column::growing("CONDITION", 9, 17, 0),
    Column::fixed("RUNS", 5, 1),
    Column::fixed("PENDING", 7, 3),
    Column::fixed("STAGED", 6, 8),
    Column::fixed("FAILED", 6, 4),
    Column::fixed("DONE", 6, 7),
    Column::fixed("BEAT", 6, 6),
    Column::fixed("TODAY", 8, 5),
    Column::growing("WHY", 20, 400, 2),
];

const RUNNING: &[Column] = &[
    Column::growing("TASK", 12, 24, 0),
    Column::growing("WORKER", 7, 10, 4),
    Column::fixed("STATE", 12, 7),
    Column::fixed("TIME", 6, 0),
    Column::fixed("LIMIT", BAR + 5, 5),
    Column::fixed("SIGN", 6, 3),
    Column::fixed("COST", 7, 6),
    Column::growing("SAYS", 24, 400, 1),
];

const WAITING: &[Column] = &[
    Column::growing("TASK", 12, 24, 0),
    Column::growing("WORKER", 7, 10, 2),
    Column::fixed("WHERE", 8, 3),
    Column::fixed("WAITS", 6, 0),
    Column::fixed("PRIORITY", 8, 5),
    Column::fixed("CHARGED", 7, 6),
    Column::growing("ABOUT", 24, 400, 1),
];

const FAILED: &[Column] = &[
    Column::growing("TASK", 12, 24, 0),
    Column::growing("WORKER", 7, 10, 3),
    Column::fixed("STATE", 9, 2),
    Column::fixed("AGO", 6, 0),
    Column::fixed("CHARGED", 7, 5),
    Column::fixed("COST", 7, 4),
    Column::growing("WHY", 24, 400, 1),
];

/// The workers.
pub(super) fn workers(model: &Model, size: (u16, u16), plan: &Plan, paint: Paint) -> Vec<Line<'static>> {
    let workers = model.workers();
    let table = Table {
        columns: WORKERS,
        rows: workers.len(),
        selected: model.selected(Pane::Workers).filter(|_| model.pane == Pane::Workers),
        has_keys: model.pane == Pane::Workers,
        has_heading: plan.has_headings(),
    };
    table.lines(size, paint, |n| worker(workers[n]))
}

/// The tasks of the list that is shown.
pub(super) fn tasks(model: &Model, size: (u16, u16), plan: &Plan, paint: Paint) -> Vec<Line<'static>> {
    let tasks = model.tasks(model.tab);
    let table = Table {
        columns: match model.tab {
            Pane::Workers | Pane::Running => RUNNING,
            Pane::Waiting => WAITING,
            Pane::Failed => FAILED,
        },
        rows: tasks.len(),
        selected: model.selected(model.tab),
        has_keys: model.pane == model.tab,
        has_heading: plan.has_headings(),
    };
    let mut lines = table.lines(size, paint, |n| match model.tab {
        Pane::Workers | Pane::Running => running(tasks[n]),
        Pane::Waiting => waiting(tasks[n]),
        Pane::Failed => failed(tasks[n]),
    });
    if tasks.is_empty() && usize::from(size.1) > lines.len() {
        lines.push(Line::styled(format!(" {}", nothing(model)), paint.tone(Tone::Faint)));
    }
    lines
}

fn nothing(model: &Model) -> &'static str {
    match model.tab {
        _ if !model.filter.is_empty() => "nothing with this text (Esc shows all)",
        Pane::Workers | Pane::Running => "nothing is at work",
        Pane::Waiting => "nothing waits",
        Pane::Failed => "nothing failed",
    }
}

fn plain(text: &(impl ToString + ?Sized)) -> Cell {
    (text.to_string(), Tone::Plain)
}

/// A number that is beside the point where it is nothing.
fn count(n: usize, tone: Tone) -> Cell {
    (n.to_string(), if n == 0 { Tone::Faint } else { tone })
}

fn usd(cost: f64) -> Cell {
    if cost > 0.0 { plain(&format!("${cost:.2}")) } else { ("-".to_owned(), Tone::Faint) }
}

fn worker(it: &Worker) -> Vec<Cell> {
    let row = &it.row;
    let slots = row.slots.map(|slots| format!("/{slots}")).unwrap_or_default();
    let beat = row.beat_s.map_or_else(|| "-".to_owned(), spoken);
    let told = row.told.first();
    let why = told.map_or_else(String::new, |told| told.what.clone());
    let tone = if told.is_some_and(|told| told.is_yours) { Tone::Bad } else { Tone::Warn };
    vec![
        (row.name.as_str().to_owned(), Tone::Strong),
        (row.word.to_owned(), row.tone),
        (format!("{}{slots}", row.active), if row.active == 0 { Tone::Faint } else { Tone::Strong }),
        count(row.pending, Tone::Plain),
        count(row.staged, Tone::Plain),
        count(row.failed, Tone::Bad),
        count(row.completed, Tone::Plain),
        (beat, if row.is_alive { Tone::Plain } else { Tone::Faint }),
        usd(it.cost_usd),
        (why, tone),
    ]
}

fn running(it: &Task) -> Vec<Cell> {
    let silent = it.silent_s.map_or_else(|| "-".to_owned(), spoken);
    let (bar, tone) = it.limit_s.map_or_else(|| (String::new(), Tone::Faint), |limit| bar(it.age_s, limit));
    vec![
        plain(&it.name),
        plain(&it.worker),
        (it.state.as_str().to_owned(), state_tone(it.state)),
        plain(&spoken(it.age_s)),
        (bar, tone),
        plain(&silent),
        usd(it.cost_usd),
        plain(&it.says),
    ]
}

fn waiting(it: &Task) -> Vec<Cell> {
    let place = if it.is_held { ("held".to_owned(), Tone::Warn) } else { plain(&it.place) };
    vec![
        plain(&it.name),
        plain(if it.place == Place::Inbox { "any" } else { it.worker.as_str() }),
        place,
        plain(&spoken(it.age_s)),
        (it.priority.to_string(), if it.priority == 0 { Tone::Faint } else { Tone::Plain }),
        charges(it),
        plain(&it.says),
    ]
}

fn failed(it: &Task) -> Vec<Cell> {
    vec![
        plain(&it.name),
        plain(&it.worker),
        (it.state.as_str().to_owned(), state_tone(it.state)),
        plain(&spoken(it.age_s)),
        charges(it),
        usd(it.cost_usd),
        plain(&it.says),
    ]
}

fn charges(it: &Task) -> Cell {
    if it.charges == 0 { ("-".to_owned(), Tone::Faint) } else { plain(&it.charges) }
}

const fn state_tone(state: TaskState) -> Tone {
    match state {
        TaskState::Pending | TaskState::Cancelled => Tone::Plain,
        TaskState::Initializing | TaskState::Completing => Tone::Faint,
        TaskState::Running | TaskState::Completed => Tone::Good,
        TaskState::Failed | TaskState::Timeout => Tone::Bad,
    }
}

/// How much of its time an attempt has used; loud where the worker warns too, at 5/6 and 11/12 of it.
fn bar(elapsed: u64, limit: u64) -> (String, Tone) {
    let limit = limit.max(1);
    let tone = if elapsed * 12 >= limit * 11 {
        Tone::Bad
    } else if elapsed * 6 >= limit * 5 {
        Tone::Warn
    } else {
        Tone::Good
    };
    let percent = (elapsed * 100 / limit).min(999);
    let full = usize::try_from(elapsed * 8 / limit).unwrap_or(BAR).min(BAR);
    (format!("{}{} {percent}%", "█".repeat(full), "░".repeat(BAR - full)), tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_loud_where_the_worker_warns() {
        for (elapsed, limit, text, tone) in [
            (0, 1800, "░░░░░░░░ 0%", Tone::Good),
            (900, 1800, "████░░░░ 50%", Tone::Good),
            (1500, 1800, "██████░░ 83%", Tone::Warn),
            (1650, 1800, "███████░ 91%", Tone::Bad),
            (4000, 1800, "████████ 222%", Tone::Bad),
            (5, 0, "████████ 500%", Tone::Bad),
        ] {
            assert_eq!(bar(elapsed, limit), (text.to_owned(), tone), "{elapsed} of {limit}");
        }
    }
}
