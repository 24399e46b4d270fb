//! Screens of several sizes, letter by letter, in a terminal that is a value.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::super::acts::Said;
use super::super::fixtures::scene;
use super::super::keys::Action;
use super::super::model::Pane;
use super::*;

fn drawn(model: &Model, (width, height): (u16, u16), paint: Paint) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, paint)).unwrap();
    terminal.backend().buffer().clone()
}

/// The rows of a screen, without the blanks at their ends.
fn text(buffer: &Buffer) -> String {
    let row = |y: u16| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..buffer.area.height).fold(String::new(), |text, y| {
        text + row(y).trim_end()
            + "
"
    })
}

fn screen(model: &Model, size: (u16, u16)) -> String {
    text(&drawn(model, size, Paint::Coloured))
}

fn model() -> Model {
    Model::new(scene())
}

/// A model after some actions.
fn after(actions: &[Action]) -> Model {
    let mut model = model();
    for action in actions {
        model.take(*action);
    }
    model
}

/// The screen as it was looked at and found good; where it is meant to change, the printed one goes there.
fn is_as_recorded(shown: &str, recorded: &str) {
    assert!(shown == recorded, "the screen is\n{shown}\nand was\n{recorded}");
}

#[test]
fn a_large_screen_shows_everything() {
    is_as_recorded(&screen(&model(), (120, 40)), include_str!("../../../../tests/fixtures/top/120x40.txt"));
}

#[test]
fn a_usual_screen_shows_what_matters_most() {
    is_as_recorded(&screen(&model(), (80, 24)), include_str!("../../../../tests/fixtures/top/80x24.txt"));
}

#[test]
fn a_small_screen_still_tells_what_runs_and_how_to_leave() {
    is_as_recorded(&screen(&model(), (40, 10)), include_str!("../../../../tests/fixtures/top/40x10.txt"));
}

#[test]
fn no_size_is_too_small_to_be_drawn() {
    for actions in [&[][..], &[Action::Help], &[Action::Open], &[Action::Cancel], &[Action::Filter]] {
        for (width, height) in [(1, 1), (3, 2), (10, 3), (20, 5), (40, 10), (300, 5), (8, 100)] {
            let model = after(actions);
            drawn(&model, (width, height), Paint::Coloured);
            reach(&model, (width, height));
        }
    }
}

#[test]
fn nothing_that_an_agent_says_steers_the_terminal() {
    let shown = screen(&model(), (120, 40));
    assert!(shown.contains("\\u{1b}[2J") && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn each_list_has_its_own_columns() {
    for (steps, titles) in [
        (0, &["TIME", "LIMIT", "SIGN", "SAYS"][..]),
        (1, &["WAITS", "PRIORITY", "held", "make slides"]),
        (2, &["AGO", "CHARGED", "TIMEOUT", "E003 the time limit"]),
    ] {
        let shown = screen(&after(&vec![Action::NextPane; steps]), (120, 30));
        assert!(titles.iter().all(|title| shown.contains(title)), "{titles:?}\n{shown}");
    }
    let shown = screen(&after(&[Action::PreviousPane]), (120, 30));
    assert!(shown.contains("until 2026-01-31T06:00:00Z"), "the hold of the selected worker\n{shown}");
    assert!(shown.contains("remedy: nothing: it goes on by itself"), "{shown}");
}

#[test]
fn the_foot_asks_takes_a_line_and_tells_how_it_went() {
    let foot = |model: &Model| screen(model, (80, 24)).lines().last().unwrap_or_default().to_owned();
    assert_eq!(foot(&after(&[Action::Cancel])).trim(), "cancel marie/report for good? y/n");
    assert_eq!(foot(&after(&[Action::Tell, Action::Type('o'), Action::Type('k')])), " tell marie/report: ok");
    let mut model = model();
    model.hear(Said::refused("nobody\u{1b} listens"));
    assert_eq!(foot(&model), " nobody\\u{1b} listens");
    assert!(foot(&after(&[])).starts_with(" qQuit  F1Help"), "{}", foot(&after(&[])));
}

#[test]
fn the_whole_screen_is_for_one_text_from_its_end() {
    let mut model = after(&[Action::Open]);
    let shown = screen(&model, (80, 24));
    assert!(
        shown.contains("line 40") && shown.contains("line 19 ") && !shown.contains("line 18 "),
        "{shown}"
    );
    assert_eq!(reach(&model, (80, 24)), Reach { page: 22, text: 18 });
    (model.page, model.reach) = (22, 18);
    model.take(Action::First);
    let shown = screen(&model, (80, 24));
    assert!(shown.contains("line 1 ") && !shown.contains("line 40"), "{shown}");
}

#[test]
fn help_names_every_key_and_a_long_list_keeps_the_selected_row_in_sight() {
    let shown = screen(&after(&[Action::Help]), (80, 24));
    for key in ["Tab", "Enter", "F4", "cancel", "pause", "tell", "interrupt", "quit"] {
        assert!(shown.contains(key), "{key}\n{shown}");
    }
    let mut many = scene();
    many.running = (0..500)
        .map(|n| super::super::scene::Task {
            name: format!("t{n}"),
            full_name: format!("marie/t{n}"),
            ..many.running[0].clone()
        })
        .collect();
    let mut model = Model::new(many);
    model.take(Action::Last);
    assert!(screen(&model, (80, 24)).contains("t499"));
}

#[test]
fn without_colours_the_selected_row_is_turned_over_and_nothing_has_a_colour() {
    let buffer = drawn(&model(), (80, 24), Paint::Plain);
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let turned = |y: u16| (0..80).all(|x| buffer[(x, y)].modifier.contains(Modifier::REVERSED));
    assert!((0..24).any(turned));
    let coloured = drawn(&model(), (80, 24), Paint::Coloured);
    assert!(coloured.content.iter().any(|cell| cell.bg == Color::Cyan));
}

#[test]
fn a_detail_that_was_read_for_another_task_is_not_shown() {
    let model = after(&[Action::Move(1)]);
    assert_eq!((model.pane, model.subject().as_deref()), (Pane::Running, Some("marie/invoices")));
    assert!(!screen(&model, (120, 40)).contains("line 40"));
}
