//! `agentctl top` in a real terminal: what a person sees, what the keys do, and that the terminal is given back.

#![cfg(all(feature = "test-support", feature = "top"))]

#[path = "support/terminal.rs"]
mod terminal;
#[path = "support/world.rs"]
mod world;

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::json;

use terminal::Terminal;
use world::World;

/// `agentctl top` of a world.
fn top(world: &World) -> Command {
    let mut command = world.command("agentctl");
    command.arg("--root").arg(world.root()).arg("top");
    command
}

/// A world with a worker and a task that runs until it is told to go on.
fn at_work() -> (World, world::Started) {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit(
        "marie/pending",
        "report",
        &json!({"prompt": "fake: say text=reading the figures; listen; hang"}),
    );
    world.active("marie", "report", |task| task["state"] == "RUNNING");
    (world, watcher)
}

#[test]
fn what_runs_is_seen_and_the_terminal_is_given_back() {
    let (world, _watcher) = at_work();
    let mut screen = Terminal::start(&top(&world), (30, 120));
    let before = screen.modes();
    screen.shows("reading the figures");
    let text = screen.until("the detail is there", |text| text.matches("reading the figures").count() == 2);
    assert!(text.contains("marie") && text.contains("running") && text.contains("RUNNING"), "{text}");
    assert!(screen.is_raw() && screen.is_on_the_other_screen());
    screen.press("q");
    assert_eq!(screen.ended().code(), Some(0));
    assert_eq!(screen.modes(), before);
    screen.until("the first screen is back", |text| !text.contains("reading"));
    assert!(!screen.is_on_the_other_screen() && !screen.with(|parser| parser.screen().hide_cursor()));
}

#[test]
fn a_signal_gives_the_terminal_back_too() {
    let (world, _watcher) = at_work();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let mut screen = Terminal::start(&top(&world), (24, 80));
        let before = screen.modes();
        screen.shows("reading the figures");
        assert!(screen.is_raw());
        screen.signal(signal);
        assert_eq!(screen.ended().code(), Some(0), "{signal}");
        assert_eq!(screen.modes(), before, "{signal}");
    }
}

#[test]
fn a_screen_of_another_size_is_drawn_anew() {
    let (world, _watcher) = at_work();
    let mut screen = Terminal::start(&top(&world), (24, 80));
    screen.shows("F1");
    screen.resize(10, 40);
    screen.until("it fits", |text| {
        let last = text.lines().last().unwrap_or_default();
        text.lines().count() == 10 && last.contains("Quit") && text.contains("report")
    });
    screen.resize(40, 140);
    let wide = screen.until("it takes the room", |text| text.contains("LIMIT") && text.contains("Sort"));
    assert!(wide.contains("reading the figures"), "{wide}");
    screen.press("q");
    assert_eq!(screen.ended().code(), Some(0));
}

#[test]
fn stopped_and_continued_it_goes_on() {
    let (world, _watcher) = at_work();
    let mut screen = Terminal::start(&top(&world), (24, 80));
    let before = screen.modes();
    screen.shows("reading the figures");
    screen.signal(Signal::SIGTSTP);
    let stat = format!("/proc/{}/stat", screen.pid());
    world.until("it is stopped", || {
        std::fs::read_to_string(&stat).ok()?.rsplit(')').next()?.trim_start().starts_with('T').then_some(())
    });
    assert_eq!(screen.modes(), before);
    screen.until("the first screen is back", |text| !text.contains("reading"));
    screen.signal(Signal::SIGCONT);
    screen.shows("reading the figures");
    world.until("it has the keys again", || screen.is_raw().then_some(()));
    screen.press("q");
    assert_eq!(screen.ended().code(), Some(0));
    assert_eq!(screen.modes(), before);
}
