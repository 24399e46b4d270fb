//! A list as rows of the screen: its columns as far as they fit, the selected row in sight.
//!
//! Invariant: every text goes through [`row`] or [`bit`], which let nothing through that steers a terminal.

use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::super::super::report::{Tone, cut, one_line};
use super::paint::Paint;
use super::plan::{Column, GAP, first, fit};

/// A text and how loud it is.
pub(super) type Cell = (String, Tone);

/// A list.
pub(super) struct Table<'a> {
    /// Its columns.
    pub(super) columns: &'a [Column],
    /// Its rows.
    pub(super) rows: usize,
    /// Which of them is selected.
    pub(super) selected: Option<usize>,
    /// Whether the keys move in it.
    pub(super) has_keys: bool,
    /// Whether it has a heading.
    pub(super) has_heading: bool,
}

impl Table<'_> {
    /// The rows of the screen; `cells` makes those of one row of the list.
    pub(super) fn lines(
        &self,
        (width, height): (u16, u16),
        paint: Paint,
        cells: impl Fn(usize) -> Vec<Cell>,
    ) -> Vec<Line<'static>> {
        let shown = fit(self.columns, usize::from(width).saturating_sub(1));
        let mut lines = Vec::new();
        if self.has_heading && height > 0 {
            lines.push(self.heading(&shown, usize::from(width), paint));
        }
        let height = usize::from(height).saturating_sub(lines.len());
        let from = first(self.selected.unwrap_or(0), self.rows, height);
        for n in (from..self.rows).take(height) {
            let is_selected = self.selected == Some(n);
            let line = row(&cells(n), &shown, usize::from(width), paint);
            lines.push(match (is_selected, self.has_keys) {
                (true, true) => uniform(&line, paint.selected()),
                (true, false) => line.patch_style(paint.tone(Tone::Strong)),
                (false, _) => line,
            });
        }
        lines
    }

    fn heading(&self, shown: &[(usize, usize)], width: usize, paint: Paint) -> Line<'static> {
        let titles: Vec<Cell> =
            self.columns.iter().map(|column| (column.title.to_owned(), Tone::Faint)).collect();
        let line = row(&titles, shown, width, paint);
        if self.has_keys { uniform(&line, paint.heading()) } else { line }
    }
}

fn row(cells: &[Cell], shown: &[(usize, usize)], width: usize, paint: Paint) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    let mut taken = 1;
    for (at, (n, wide)) in shown.iter().enumerate() {
        let Some((text, tone)) = cells.get(*n) else { continue };
        let text = cut(&one_line(text), *wide);
        let gap = if at + 1 < shown.len() { GAP } else { 0 };
        let blank = wide.saturating_sub(text.width()) + gap;
        taken += text.width() + blank;
        spans.push(Span::styled(text, paint.tone(*tone)));
        spans.push(Span::raw(" ".repeat(blank)));
    }
    spans.push(Span::raw(" ".repeat(width.saturating_sub(taken))));
    Line::from(spans)
}

/// The whole row in one style: what is selected is read, not admired.
fn uniform(line: &Line<'_>, style: ratatui::style::Style) -> Line<'static> {
    let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
    Line::styled(text, style)
}

/// A word on a line of the screen.
pub(super) fn bit(text: impl AsRef<str>, tone: Tone, paint: Paint) -> Span<'static> {
    Span::styled(one_line(text.as_ref()), paint.tone(tone))
}
