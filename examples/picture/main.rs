//! A picture of a program at work, for the documentation: it is started at a terminal of its own, keys are pressed, and
//! the screen is written as SVG to standard output.
//!
//! ```text
//! picture --rows 24 --columns 100 [--until TEXT] [--press KEYS]… [--title T] -- PROGRAM [ARG…]
//! ```
//!
//! `--until` waits until a text stands on the screen, `--press` presses keys then, in the order in which they are given;
//! without either the picture is taken when the program has ended. `scripts/pictures.sh` uses it.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for those who write the documentation, which is no part of the product"
)]

mod svg;
#[path = "../../tests/support/terminal.rs"]
mod terminal;

use std::process::Command;

use terminal::Terminal;

/// What is done before the picture is taken.
enum Step {
    Until(String),
    Press(String),
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut rows, mut columns, mut title, mut steps) = (24, 100, String::new(), Vec::new());
    while let Some(flag) = args.next().filter(|flag| flag != "--") {
        let value = args.next().unwrap();
        match flag.as_str() {
            "--rows" => rows = value.parse().unwrap(),
            "--columns" => columns = value.parse().unwrap(),
            "--title" => title = value,
            "--until" => steps.push(Step::Until(value)),
            "--press" => steps.push(Step::Press(value)),
            _ => unreachable!("{flag}"),
        }
    }
    let program: Vec<String> = args.collect();
    let mut terminal = Terminal::start(&command(&program), (rows, columns));
    for step in &steps {
        match step {
            Step::Until(text) => drop(terminal.shows(text)),
            Step::Press(keys) => terminal.press(keys),
        }
    }
    if steps.is_empty() {
        terminal.finished();
    }
    print!("{}", terminal.with(|parser| svg::drawn(parser.screen(), &title)));
}

/// The program, with what this one was started with around it.
fn command(program: &[String]) -> Command {
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).envs(std::env::vars_os());
    command
}
