//! The lower part of the screen: what the selected agent says, what a task is, how a worker is.

use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::super::super::report::{Tone, cut, one_line, printable};
use super::super::super::stream_view::Shown;
use super::super::model::{Model, Pane};
use super::super::wrap::{Row, rows};
use super::paint::Paint;

/// What the detail tells, escaped.
fn lines(model: &Model) -> Vec<Shown> {
    if model.pane == Pane::Workers {
        return model.worker().map(|worker| of_worker(&worker.row.told)).unwrap_or_default();
    }
    // What was read for another one is not shown for this one.
    if model.scene.detail.of == model.subject() { model.scene.detail.lines.clone() } else { Vec::new() }
}

fn of_worker(told: &[super::super::super::worker::Condition]) -> Vec<Shown> {
    if told.is_empty() {
        return vec![Shown { text: "all is well".to_owned(), tone: Tone::Good }];
    }
    let of_one = |it: &super::super::super::worker::Condition| {
        let tone = if it.is_yours { Tone::Bad } else { Tone::Warn };
        let until = it.until.map(|until| format!("until {until:.0}"));
        let remedy = it.remedy.as_ref().map(|remedy| format!("remedy: {remedy}"));
        let more = [until, remedy].into_iter().flatten();
        let more = more.map(|text| Shown { text: format!("  {}", printable(&text)), tone: Tone::Plain });
        std::iter::once(Shown { text: printable(&it.what), tone }).chain(more).collect::<Vec<_>>()
    };
    told.iter().flat_map(of_one).collect()
}

/// Its rows at a width.
pub(super) fn all(model: &Model, width: u16) -> Vec<Row> {
    rows(&lines(model), usize::from(width).saturating_sub(2))
}

/// The part of it that fits: the end of what an agent says, else the beginning, and `away` rows from there.
pub(super) fn part(
    model: &Model,
    (width, height): (u16, u16),
    away: usize,
    paint: Paint,
) -> Vec<Line<'static>> {
    let all = all(model, width);
    let height = usize::from(height);
    let most = all.len().saturating_sub(height);
    let from = if model.pane == Pane::Running { most.saturating_sub(away) } else { away.min(most) };
    let shown = all.into_iter().skip(from).take(height);
    shown.map(|row| Line::from(vec![Span::raw(" "), Span::styled(row.text, paint.tone(row.tone))])).collect()
}

/// Whose it is, on a rule.
pub(super) fn title(model: &Model, width: u16, paint: Paint) -> Line<'static> {
    let width = usize::from(width);
    let subject = model.subject().unwrap_or_default();
    let name = cut(&one_line(&subject), width.saturating_sub(6));
    let rule = |n: usize| Span::styled("─".repeat(n), paint.tone(Tone::Faint));
    if name.is_empty() {
        return Line::from(rule(width));
    }
    let taken = name.width() + 4;
    let name = Span::styled(format!(" {name} "), paint.tone(Tone::Strong));
    Line::from(vec![rule(2), name, rule(width.saturating_sub(taken))])
}
