//! The screen, drawn from a model. Pure: what is drawn depends on the model and the size alone.
//!
//! Rooms: [`plan`] gives each part its room, [`lists`] fills the workers and the tasks, [`detail`] what is below them,
//! [`chrome`] what is around them.

mod chrome;
mod detail;
mod lists;
pub(super) mod paint;
mod plan;
mod table;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Text};
use ratatui::widgets::Clear;

use super::model::{Mode, Model};
use paint::Paint;
use plan::Plan;

/// What a model must know of the screen to move in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// How many rows a page has.
    pub(super) page: usize,
    /// How far a text on the whole screen can be moved.
    pub(super) text: usize,
}

/// How far one can go on a screen of this size.
pub(super) fn reach(model: &Model, (width, height): (u16, u16)) -> Reach {
    let body = usize::from(height.saturating_sub(2));
    if matches!(model.mode, Mode::Full(_)) {
        let text = detail::all(model, width).len().saturating_sub(body);
        return Reach { page: body.max(1), text };
    }
    let plan = plan_of(model, height);
    let rows = if model.pane == model.tab { plan.tasks } else { plan.workers };
    Reach { page: usize::from(rows.saturating_sub(u16::from(plan.has_headings()))).max(1), text: 0 }
}

fn plan_of(model: &Model, height: u16) -> Plan {
    Plan::of(height, model.scene.workers.len(), model.tasks(model.tab).len())
}

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, paint: Paint) {
    let area = frame.area();
    if let Mode::Full(away) = model.mode {
        full(frame, model, away, paint);
    } else {
        browse(frame, model, paint);
    }
    if model.mode == Mode::Help {
        help(frame, area, paint);
    }
}

fn browse(frame: &mut Frame<'_>, model: &Model, paint: Paint) {
    let area = frame.area();
    let width = area.width;
    let plan = plan_of(model, area.height);
    let mut y = 0;
    let mut put = |lines: Vec<Line<'static>>, rows: u16| {
        let part = Rect { y, height: rows, ..area }.intersection(area);
        frame.render_widget(Text::from(lines), part);
        y += rows;
    };
    put(chrome::header(model, (width, plan.header), paint), plan.header);
    put(lists::workers(model, (width, plan.workers), &plan, paint), plan.workers);
    let mut tabs = vec![Line::default(); usize::from(plan.tabs - 1)];
    tabs.push(chrome::tabs(model, paint));
    put(tabs, plan.tabs);
    put(lists::tasks(model, (width, plan.tasks), &plan, paint), plan.tasks);
    if plan.detail > 0 {
        let mut lines = vec![detail::title(model, width, paint)];
        lines.extend(detail::part(model, (width, plan.detail - 1), 0, paint));
        put(lines, plan.detail);
    }
    put(vec![chrome::footer(model, width, paint)], plan.footer);
}

fn full(frame: &mut Frame<'_>, model: &Model, away: usize, paint: Paint) {
    let area = frame.area();
    let body = area.height.saturating_sub(2);
    let mut lines = vec![detail::title(model, area.width, paint)];
    let mut part = detail::part(model, (area.width, body), away, paint);
    part.resize(usize::from(body), Line::default());
    lines.extend(part);
    lines.push(chrome::footer(model, area.width, paint));
    frame.render_widget(Text::from(lines), area);
}

fn help(frame: &mut Frame<'_>, area: Rect, paint: Paint) {
    let lines = chrome::help(paint);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let body = Rect { height: area.height.saturating_sub(1), ..area };
    let part = Rect { y: body.height.saturating_sub(height + 1) / 2, height: height + 2, ..body };
    let part = part.intersection(body);
    frame.render_widget(Clear, part);
    frame.render_widget(Text::from(lines), Rect { y: part.y + 1, height, ..part }.intersection(body));
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
