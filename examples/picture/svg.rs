//! A terminal's screen as SVG: one text a run of cells that look alike, each where its column is, so that columns stand
//! below each other in whatever font there is. The same screen is always the same picture.
//!
//! It has a background of its own, so that it is the same on a light page and on a dark one.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;
use vt100::{Cell, Color, Screen};

/// How wide a cell is, in pixels.
const WIDE: f32 = 8.4;
/// How high.
const HIGH: f32 = 18.0;
/// What is left free around the screen.
const MARGIN: f32 = 16.0;
/// How high the bar with the title is.
const BAR: f32 = 34.0;
/// Where letters stand in a cell.
const BASELINE: f32 = 13.4;

const PAPER: &str = "#1b1f27";
const INK: &str = "#d7dce5";
const FAINT: &str = "#8791a3";
/// The sixteen colours, each legible on the paper.
const COLOURS: [&str; 16] = [
    "#14171d", "#f0717b", "#8fce7f", "#e6c07b", "#6fb3f2", "#c792ea", "#5cc8d7", "#d7dce5", "#6b7486",
    "#ff8a93", "#a5e196", "#f2d08f", "#8cc5ff", "#d8acf5", "#79dbe8", "#ffffff",
];

/// How a cell looks.
#[derive(Clone, PartialEq, Eq)]
struct Look {
    ink: &'static str,
    paper: Option<&'static str>,
    is_bold: bool,
}

/// The picture of a screen.
pub(crate) fn drawn(screen: &Screen, title: &str) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let rows = used(screen, rows, columns);
    let width = f32::from(columns).mul_add(WIDE, 2.0 * MARGIN);
    let height = f32::from(rows).mul_add(HIGH, BAR + MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"{0}\">\n<style>text{{font:14px ui-monospace,'SF Mono',Menlo,\
         Consolas,'DejaVu Sans Mono','Liberation Mono',monospace;white-space:pre;fill:{INK}}}.b{{font-weight:700}}\
         </style>\n<rect width=\"100%\" height=\"100%\" rx=\"9\" fill=\"{PAPER}\"/>\n",
        escaped(title)
    );
    for (n, colour) in ["#f0717b", "#e6c07b", "#8fce7f"].iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "three buttons")]
        let x = (n as f32).mul_add(18.0, 22.0);
        writeln!(svg, "<circle cx=\"{x}\" cy=\"17\" r=\"5.5\" fill=\"{colour}\"/>").ok();
    }
    let middle = width / 2.0;
    writeln!(
        svg,
        "<text x=\"{middle:.1}\" y=\"21.5\" text-anchor=\"middle\" style=\"fill:{FAINT};font-size:12.5px\">{}</text>",
        escaped(title)
    )
    .ok();
    for row in 0..rows {
        draw_row(&mut svg, screen, row, columns);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The rows up to the last one with anything on it.
fn used(screen: &Screen, rows: u16, columns: u16) -> u16 {
    let is_used = |row: &u16| {
        (0..columns).any(|column| {
            screen
                .cell(*row, column)
                .is_some_and(|cell| !cell.contents().trim().is_empty() || look(cell).paper.is_some())
        })
    };
    (0..rows).rev().find(is_used).map_or(1, |row| row + 1)
}

fn draw_row(svg: &mut String, screen: &Screen, row: u16, columns: u16) {
    let top = f32::from(row).mul_add(HIGH, BAR);
    let mut column = 0;
    while column < columns {
        let Some(cell) = screen.cell(row, column) else { return };
        let (from, here) = (column, look(cell));
        let mut text = String::new();
        while let Some(cell) = screen.cell(row, column).filter(|_| column < columns) {
            if look(cell) != here {
                break;
            }
            if !cell.is_wide_continuation() {
                text.push_str(if cell.has_contents() { cell.contents() } else { " " });
            }
            column += 1;
        }
        draw_run(svg, &steady(&text), (from, column), top, &here);
    }
}

/// A time of day would make each picture another one.
fn steady(text: &str) -> String {
    let is_time = |word: &str| {
        let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        shape == "00:00:00Z"
    };
    let words = text.split(' ').map(|word| if is_time(word) { "12:00:00Z" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn draw_run(svg: &mut String, text: &str, (from, to): (u16, u16), top: f32, look: &Look) {
    let x = f32::from(from).mul_add(WIDE, MARGIN);
    if let Some(paper) = look.paper {
        let width = f32::from(to - from) * WIDE;
        writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{HIGH}\" fill=\"{paper}\"/>"
        )
        .ok();
    }
    // Blanks are not drawn: not every viewer keeps them, and no font moves what comes after them.
    let mut at = from;
    for part in text.split_inclusive("  ") {
        draw_text(svg, part, at, top, look);
        at += u16::try_from(part.width()).unwrap_or(0);
    }
}

fn draw_text(svg: &mut String, text: &str, from: u16, top: f32, look: &Look) {
    let x = f32::from(from).mul_add(WIDE, MARGIN);
    let shown = text.trim_end();
    let blanks = shown.chars().take_while(|letter| *letter == ' ').count();
    let shown = &shown[blanks..];
    if shown.is_empty() {
        return;
    }
    #[expect(clippy::cast_precision_loss, reason = "the columns of a screen")]
    let (x, length) = ((blanks as f32).mul_add(WIDE, x), shown.width() as f32 * WIDE);
    let bold = if look.is_bold { " class=\"b\"" } else { "" };
    let fill = if look.ink == INK { String::new() } else { format!(" style=\"fill:{}\"", look.ink) };
    let y = top + BASELINE;
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\"{bold}{fill}>{}</text>",
        escaped(shown)
    )
    .ok();
}

fn look(cell: &Cell) -> Look {
    let (mut ink, mut paper) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
    if cell.inverse() {
        (ink, paper) = (Some(paper.unwrap_or(PAPER)), Some(ink.unwrap_or(INK)));
    }
    let ink = ink.unwrap_or(if cell.dim() { FAINT } else { INK });
    Look { ink, paper, is_bold: cell.bold() }
}

fn colour(colour: Color) -> Option<&'static str> {
    match colour {
        Color::Default | Color::Rgb(..) => None,
        Color::Idx(n) => COLOURS.get(usize::from(n)).copied(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
