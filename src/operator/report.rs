//! The only printer: how data, talk, errors and tables reach a person.
//!
//! Invariants:
//! - data goes to stdout and nothing else does; talk goes to stderr;
//! - what came from a file or an agent is escaped before it reaches a terminal;
//! - colours only where a person looks, and never with `NO_COLOR`;
//! - a table is cut to the width of a terminal, and never in a pipe: what a program reads is whole;
//! - a reader that has gone away is not an error: it has seen enough.

use std::error::Error;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::config::{ConfigError, Environment, Shown};
pub use crate::text::escape::{one_line, printable};

/// How loud a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// All is well.
    Good,
    /// Look here.
    Warn,
    /// Act here.
    Bad,
    /// Beside the point.
    Faint,
    /// A heading.
    Strong,
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Good => colour(AnsiColor::Green),
            Self::Warn => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
        }
    }
}

/// A text with its tone: one cell of a table, one word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text without a tone; control characters are escaped, line breaks too.
    pub fn plain(text: impl AsRef<str>) -> Self {
        Self::toned(text, Tone::Plain)
    }

    /// A text with a tone.
    pub fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: one_line(text.as_ref()), tone }
    }
}

/// Where reports go, and whether they may have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    colour_out: bool,
    colour_err: bool,
    /// How wide the terminal is; `None`: nobody sits at one.
    columns: Option<usize>,
    /// Whether talk goes nowhere: somebody else draws on the terminal.
    is_silent: bool,
}

/// No column is cut to less than this.
const NARROWEST: usize = 8;
/// Blanks between two columns.
const GAP: usize = 2;

impl Report {
    /// A report for the terminals and the wishes in `env`.
    pub fn new(env: &Environment) -> Self {
        let wanted = env.get("NO_COLOR").is_none() && env.text("TERM") != Some("dumb");
        let terminals = env.terminals();
        Self {
            colour_out: wanted && terminals.stdout,
            colour_err: wanted && terminals.stderr,
            columns: env.columns(),
            is_silent: false,
        }
    }

    /// The same, without a word of talk.
    #[must_use]
    pub const fn silent(self) -> Self {
        Self { is_silent: true, ..self }
    }

    /// One or more lines of data; `false` once nobody reads them any more.
    pub fn data(self, text: &str) -> bool {
        let mut out = std::io::stdout().lock();
        let whole = text.is_empty() || text.ends_with('\n');
        let written = out.write_all(text.as_bytes());
        let ended = if whole { Ok(()) } else { out.write_all(b"\n") };
        written.and(ended).and_then(|()| out.flush()).is_ok()
    }

    /// Bytes exactly as they are; `false` once nobody reads them any more.
    pub fn raw(self, bytes: &[u8]) -> bool {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).is_ok()
    }

    /// One JSON document, readable.
    pub fn json(self, value: &serde_json::Value) -> bool {
        self.data(&format!("{value:#}"))
    }

    /// A word to the person, which is not data.
    pub fn talk(self, text: &str) {
        if !self.is_silent {
            drop(writeln!(std::io::stderr().lock(), "{text}"));
        }
    }

    /// A warning to the person.
    pub fn warn(self, text: &str) {
        let label = self.label("warning:", Tone::Warn);
        self.talk(&format!("{label} {text}"));
    }

    /// What went wrong, what caused it, and what to do.
    pub fn error(self, error: &dyn Error, hint: Option<&str>) {
        let label = self.label("error:", Tone::Bad);
        self.talk(&format!("{label} {}", explain(error, hint)));
    }

    fn label(self, text: &str, tone: Tone) -> String {
        if self.colour_err { painted(text, tone) } else { text.to_owned() }
    }

    fn out(self, cell: &Cell) -> String {
        if self.colour_out { painted(&cell.text, cell.tone) } else { cell.text.clone() }
    }

    /// Cells side by side, one blank between them.
    pub fn line(self, cells: &[Cell]) -> String {
        cells.iter().map(|cell| self.out(cell)).collect::<Vec<_>>().join(" ")
    }

    /// A text of several lines in one tone; whoever made it has escaped it.
    pub(super) fn text(self, text: &str, tone: Tone) -> String {
        if self.colour_out { painted(text, tone) } else { text.to_owned() }
    }

    /// A table with a heading, its columns as wide as they must be and together no wider than the terminal.
    pub fn table(self, heading: &[&str], rows: &[Vec<Cell>]) -> String {
        let heading: Vec<Cell> = heading.iter().map(|text| Cell::toned(text, Tone::Faint)).collect();
        let all: Vec<&[Cell]> = std::iter::once(&heading[..]).chain(rows.iter().map(Vec::as_slice)).collect();
        let wanted: Vec<usize> = (0..heading.len())
            .map(|n| all.iter().filter_map(|row| row.get(n)).map(|cell| width(&cell.text)).max().unwrap_or(0))
            .collect();
        let widths = fitted(wanted, self.columns);
        all.iter().fold(String::new(), |mut text, row| {
            text.push_str(&self.row(row, &widths));
            text.push('\n');
            text
        })
    }

    fn row(self, row: &[Cell], widths: &[usize]) -> String {
        let mut text = String::new();
        for (n, (cell, wide)) in row.iter().zip(widths).enumerate() {
            let cell = Cell { text: cut(&cell.text, *wide), tone: cell.tone };
            text.push_str(&self.out(&cell));
            if n + 1 < row.len() {
                text.push_str(&" ".repeat(wide.saturating_sub(width(&cell.text)) + GAP));
            }
        }
        text.trim_end().to_owned()
    }

    /// Every setting, its value and where it came from.
    pub fn settings(self, shown: &[Shown]) -> bool {
        let rows: Vec<Vec<Cell>> = shown
            .iter()
            .map(|setting| {
                let value = if setting.value.is_empty() { "-" } else { &setting.value };
                vec![
                    Cell::plain(setting.key),
                    Cell::plain(value),
                    Cell::toned(setting.origin.to_string(), Tone::Faint),
                ]
            })
            .collect();
        self.data(&self.table(&["SETTING", "VALUE", "FROM"], &rows))
    }

    /// Why there is no configuration.
    pub fn config_error(self, error: &ConfigError) {
        self.error(error, error.hint().as_deref());
    }
}

fn painted(text: &str, tone: Tone) -> String {
    let style = tone.style();
    if tone == Tone::Plain { text.to_owned() } else { format!("{style}{text}{style:#}") }
}

/// How many columns of a terminal a text takes.
fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The widths of columns that fit: the widest gives way first, since the others tell more per letter.
fn fitted(mut widths: Vec<usize>, columns: Option<usize>) -> Vec<usize> {
    let Some(columns) = columns else { return widths };
    let room = columns.saturating_sub(GAP * widths.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max_by_key(|wide| **wide).filter(|wide| **wide > NARROWEST)
        else {
            break;
        };
        *widest -= 1;
    }
    widths
}

/// `text` in at most `wide` columns; what is cut off shows as `…`.
pub(super) fn cut(text: &str, wide: usize) -> String {
    if width(text) <= wide {
        return text.to_owned();
    }
    let mut room = wide.saturating_sub(1);
    let fits = |c: &char| {
        let taken = c.width().unwrap_or(0);
        let fits = taken <= room;
        room = room.saturating_sub(taken);
        fits
    };
    let short: String = text.chars().take_while(fits).collect();
    format!("{}…", short.trim_end())
}

/// An error with its causes and a hint, one a line.
fn explain(error: &dyn Error, hint: Option<&str>) -> String {
    let mut text = printable(&error.to_string());
    let mut cause = error.source();
    while let Some(source) = cause {
        text += "\n  caused by: ";
        text += &printable(&source.to_string());
        cause = source.source();
    }
    if let Some(hint) = hint {
        text += "\n  hint: ";
        text += &printable(hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DULL: Report = Report { colour_out: false, colour_err: false, columns: None, is_silent: false };

    #[test]
    fn columns_stand_below_each_other_and_lines_do_not_end_in_blanks() {
        let rows = vec![
            vec![Cell::plain("marie"), Cell::toned("running", Tone::Good)],
            vec![Cell::plain("a"), Cell::plain("")],
        ];
        assert_eq!(DULL.table(&["WORKER", "STATUS"], &rows), "WORKER  STATUS\nmarie   running\na\n");
    }

    #[test]
    fn a_table_fits_the_terminal_and_the_widest_column_gives_way() {
        let narrow = Report { columns: Some(30), ..DULL };
        let rows = vec![
            vec![Cell::plain("hello"), Cell::plain("RUNNING"), Cell::plain("a long text about many things")],
            vec![Cell::plain("漢字"), Cell::plain("PENDING"), Cell::plain("漢字漢字漢字漢字漢字")],
        ];
        let table = narrow.table(&["TASK", "STATE", "ABOUT"], &rows);
        assert_eq!(
            table,
            "TASK   STATE    ABOUT\nhello  RUNNING  a long text a…\n漢字   PENDING  漢字漢字漢字…\n"
        );
        assert!(table.lines().all(|line| width(line) <= 30));
        assert!(DULL.table(&["A"], &[vec![Cell::plain("x".repeat(500))]]).len() > 500, "whole in a pipe");
    }

    #[test]
    fn what_is_cut_says_so() {
        for (text, wide, expected) in [
            ("hello", 5, "hello"),
            ("hello", 4, "hel…"),
            ("漢字", 3, "漢…"),
            ("漢字", 2, "…"),
            ("a b", 2, "a…"),
        ] {
            assert_eq!(cut(text, wide), expected, "{text} {wide}");
        }
    }

    #[test]
    fn an_error_tells_what_and_why_and_what_to_do() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not claim `x`")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("no\x07 space"));
        assert_eq!(
            explain(&error, Some("make room")),
            "could not claim `x`\n  caused by: no\\u{7} space\n  hint: make room"
        );
    }

    #[test]
    fn colours_are_for_terminals_only() {
        let loud = Report { colour_out: true, ..DULL };
        assert!(loud.line(&[Cell::toned("x", Tone::Bad)]).contains("\x1b["));
        assert_eq!(DULL.line(&[Cell::toned("x", Tone::Bad), Cell::plain("y")]), "x y");
    }
}
