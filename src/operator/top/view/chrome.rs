//! What stands around the lists: where one is, the names of the lists, the keys.

use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::super::super::report::{Tone, cut, one_line};
use super::super::acts::Deed;
use super::super::model::{LineFor, Mode, Model, Pane};
use super::super::order::Order;
use super::paint::Paint;
use super::table::bit;

/// The head of the screen, one row or two.
pub(super) fn header(model: &Model, (width, height): (u16, u16), paint: Paint) -> Vec<Line<'static>> {
    let scene = &model.scene;
    let width = usize::from(width);
    let alive = scene.workers.iter().filter(|it| it.row.is_alive).count();
    let supervisor = if scene.supervised { "supervised" } else { "no supervisor" };
    let health = format!("{alive}/{} alive, {supervisor}", scene.workers.len());
    let tone = if alive == scene.workers.len() && alive > 0 { Tone::Good } else { Tone::Bad };
    let left = width.saturating_sub(health.width() + scene.time.width() + 6);
    let root = cut(&one_line(&scene.root), left.max(8));
    let mut first =
        vec![Span::raw(" "), bit(root, Tone::Strong, paint), Span::raw("  "), bit(health, tone, paint)];
    let taken: usize = first.iter().map(Span::width).sum();
    if taken + scene.time.width() + 2 <= width {
        first.push(Span::raw(" ".repeat(width - taken - scene.time.width() - 1)));
        first.push(bit(&scene.time, Tone::Faint, paint));
    }
    let mut lines = vec![Line::from(first)];
    if height > 1 {
        lines.push(totals(model, paint));
    }
    lines
}

fn totals(model: &Model, paint: Paint) -> Line<'static> {
    let scene = &model.scene;
    let sum = |of: fn(&super::super::scene::Worker) -> usize| scene.workers.iter().map(of).sum::<usize>();
    let cost: f64 = scene.workers.iter().fold(0.0, |sum, it| sum + it.cost_usd);
    let claims: usize = sum(|it| it.claims);
    let failed = sum(|it| it.row.failed);
    let yours = scene.workers.iter().flat_map(|it| &it.row.told).filter(|told| told.is_yours).count();
    let mut spans = vec![
        Span::raw(" "),
        bit(format!("{} at work", sum(|it| it.row.active)), Tone::Strong, paint),
        bit(
            format!(
                " · {} waiting, {} in the inbox · ",
                sum(|it| it.row.pending + it.row.staged),
                scene.inbox
            ),
            Tone::Plain,
            paint,
        ),
        bit(format!("{failed} failed"), if failed > 0 { Tone::Bad } else { Tone::Faint }, paint),
        bit(format!(" · today {claims} claimed, ${cost:.2}"), Tone::Plain, paint),
    ];
    if yours > 0 {
        let plural = if yours == 1 { "worker needs" } else { "workers need" };
        spans.push(bit(" · ", Tone::Plain, paint));
        spans.push(bit(format!("{yours} {plural} you"), Tone::Bad, paint));
    }
    Line::from(spans)
}

/// The names of the lists.
pub(super) fn tabs(model: &Model, paint: Paint) -> Line<'static> {
    let scene = &model.scene;
    let sum = |of: fn(&super::super::scene::Worker) -> usize| scene.workers.iter().map(of).sum::<usize>();
    let names = [
        (Pane::Running, "Running", sum(|it| it.row.active)),
        (Pane::Waiting, "Waiting", sum(|it| it.row.pending + it.row.staged) + scene.inbox),
        (Pane::Failed, "Failed", sum(|it| it.row.failed)),
    ];
    let mut spans = vec![Span::raw(" ")];
    for (pane, name, count) in names {
        let text = format!(" {name} {count} ");
        spans.push(match model.tab == pane {
            true if model.pane == pane => Span::styled(text, paint.heading()),
            true => bit(text, Tone::Strong, paint),
            false => bit(text, Tone::Faint, paint),
        });
    }
    if model.order != Order::default() {
        let reversed = if model.order.is_reversed { ", reversed" } else { "" };
        spans.push(bit(format!("  by {}{reversed}", model.order.by.as_str()), Tone::Faint, paint));
    }
    if !model.filter.is_empty() && !matches!(model.mode, Mode::Line(LineFor::Filter, _)) {
        spans.push(bit(format!("  with “{}”", model.filter), Tone::Warn, paint));
    }
    Line::from(spans)
}

/// The foot of the screen: a question, a line that is typed, how it went, else the keys.
pub(super) fn footer(model: &Model, width: u16, paint: Paint) -> Line<'static> {
    let width = usize::from(width);
    match (&model.mode, &model.notice) {
        (Mode::Line(what, text), _) => typed(what, text, width, paint),
        (Mode::Confirm(deed), _) => {
            Line::styled(padded(&format!(" {} ", question(deed)), width), paint.question())
        }
        (_, Some(said)) => {
            let tone = if said.is_done { Tone::Good } else { Tone::Bad };
            let text = cut(&one_line(&said.text), width.saturating_sub(1));
            Line::from(vec![Span::raw(" "), bit(text, tone, paint)])
        }
        (Mode::Full(_), None) => keys(&[("↑↓", "Scroll"), ("Esc", "Back"), ("F10", "Quit")], width, paint),
        (Mode::Help, None) => keys(&[("any key", "Back")], width, paint),
        (Mode::Browse, None) => keys(browsing(model), width, paint),
    }
}

fn question(deed: &Deed) -> String {
    let for_good = if matches!(deed, Deed::Cancel(_)) { " for good" } else { "" };
    format!("{}{for_good}? y/n", deed.words())
}

fn typed(what: &LineFor, text: &str, width: usize, paint: Paint) -> Line<'static> {
    let label = match what {
        LineFor::Filter => "filter".to_owned(),
        LineFor::Tell(task) => format!("tell {task}"),
        LineFor::Interrupt(task) => {
            format!("interrupt {task} and say (nothing: its task goes back and is held)")
        }
    };
    let label = format!(" {}: ", cut(&one_line(&label), width / 2));
    let room = width.saturating_sub(label.width() + 1);
    // The end of what is typed is what is being typed.
    let mut shown = one_line(text);
    while shown.width() > room {
        shown.remove(0);
    }
    Line::from(vec![
        Span::styled(label, paint.question()),
        bit(shown, Tone::Plain, paint),
        Span::styled(" ", paint.selected()),
    ])
}

fn browsing(model: &Model) -> &'static [(&'static str, &'static str)] {
    match model.pane {
        Pane::Workers => {
            &[("q", "Quit"), ("F1", "Help"), ("Tab", "Next"), ("p", "Pause"), ("⏎", "Open"), ("/", "Filter")]
        }
        Pane::Running => &[
            ("q", "Quit"),
            ("F1", "Help"),
            ("Tab", "Next"),
            ("p", "Pause"),
            ("c", "Cancel"),
            ("t", "Tell"),
            ("i", "Interrupt"),
            ("⏎", "Open"),
            ("/", "Filter"),
            ("s", "Sort"),
        ],
        Pane::Waiting => &[
            ("q", "Quit"),
            ("F1", "Help"),
            ("Tab", "Next"),
            ("p", "Pause"),
            ("c", "Cancel"),
            ("r", "Try now"),
            ("⏎", "Open"),
            ("/", "Filter"),
            ("s", "Sort"),
        ],
        Pane::Failed => &[
            ("q", "Quit"),
            ("F1", "Help"),
            ("Tab", "Next"),
            ("r", "Retry"),
            ("⏎", "Open"),
            ("/", "Filter"),
            ("s", "Sort"),
        ],
    }
}

fn keys(keys: &[(&str, &str)], width: usize, paint: Paint) -> Line<'static> {
    let mut spans = Vec::new();
    let mut taken = 0;
    for (key, does) in keys {
        let text = format!("{does} ");
        taken += key.width() + text.width() + 1;
        if taken > width {
            break;
        }
        spans.push(Span::styled(format!(" {key}"), paint.tone(Tone::Strong)));
        spans.push(Span::styled(text, paint.label()));
    }
    Line::from(spans)
}

fn padded(text: &str, width: usize) -> String {
    let text = cut(&one_line(text), width);
    let blank = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(blank))
}

/// The keys, one a row.
pub(super) fn help(paint: Paint) -> Vec<Line<'static>> {
    const KEYS: &[(&str, &str)] = &[
        ("↑ ↓ j k", "one row; PgUp PgDn Home End more"),
        ("Tab ← →", "workers, running, waiting, failed"),
        ("Enter", "all of it on the whole screen"),
        ("/  F4", "only rows with a text; Esc shows all"),
        ("s  S", "sort by the next column, the other way round"),
        ("p", "pause the worker, or let it go on"),
        ("c  F9", "cancel the task, after a y"),
        ("t", "tell the agent something"),
        ("i", "interrupt it, and say something or nothing"),
        ("r", "try a failed task again; one that waits, now"),
        ("Ctrl-L", "draw anew"),
        ("q  F10", "quit"),
    ];
    KEYS.iter()
        .map(|(key, does)| {
            Line::from(vec![bit(format!("  {key:<9}"), Tone::Strong, paint), bit(*does, Tone::Plain, paint)])
        })
        .collect()
}
