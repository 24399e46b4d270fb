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
    let before = screen.modes_before();
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
        let before = screen.modes_before();
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
    let before = screen.modes_before();
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

#[test]
fn p_pauses_the_worker_and_lets_it_go_on() {
    let (world, _watcher) = at_work();
    let state = world.root().join("workers/marie/state.json");
    let is = |status: &str| world::json(&state).filter(|it| it["status"] == status).map(drop);
    let mut screen = Terminal::start(&top(&world), (30, 120));
    screen.shows("reading the figures");
    screen.press("p");
    world.until("marie is paused", || is("paused"));
    let row = |text: &str| text.lines().find(|line| line.starts_with(" marie")).map(str::to_owned);
    screen.until("its row says so", |text| row(text).is_some_and(|row| row.contains("paused")));
    screen.press("p");
    world.until("marie runs", || is("running"));
}

#[test]
fn c_cancels_after_a_yes_and_only_then() {
    let (world, _watcher) = at_work();
    let mut screen = Terminal::start(&top(&world), (30, 120));
    screen.shows("reading the figures");
    screen.press("c");
    screen.shows("cancel marie/report for good?");
    screen.press("n");
    screen.shows("nothing was done");
    assert_eq!(world.homes("report"), ["marie/active"]);
    screen.press("c");
    screen.shows("cancel marie/report for good?");
    screen.press("y");
    world.filed("marie/cancelled", "report");
    screen.shows("nothing is at work");
}

#[test]
fn t_tells_an_agent_a_line() {
    let (world, _watcher) = at_work();
    let mut screen = Terminal::start(&top(&world), (30, 120));
    screen.shows("reading the figures");
    screen.press("t");
    screen.shows("tell marie/report:");
    screen.press("use Frencj\u{7f}h\r");
    screen.shows("heard: use French");
}

#[test]
fn r_gives_a_failed_task_a_new_life() {
    let world = World::new();
    let watcher = world.start(world.watcher("marie").args(["--max-retries", "0"]), "marie");
    world.at_work("marie", &watcher);
    world.submit("marie/pending", "once", &json!({"prompt": "fake: exit code=3 | exit code=3"}));
    let before = world.filed("marie/failed", "once");
    let mut screen = Terminal::start(&top(&world), (30, 120));
    screen.shows("Failed 1");
    screen.press("\t\t");
    screen.shows("marie/once");
    screen.press("r");
    world.until("it failed anew", || {
        let path = world.root().join("tasks/marie/failed/once.json");
        world::json(&path).filter(|task| task["run_id"] != before["run_id"] && task["state"] == "FAILED")
    });
}

#[test]
fn where_no_watcher_lives_the_files_are_acted_on_and_nothing_is_printed_over_the_screen() {
    let (world, watcher) = at_work();
    watcher.stop();
    world.filed("marie/pending", "report");
    let mut screen = Terminal::start(&top(&world), (30, 120));
    screen.shows("Waiting 1");
    screen.press("\t");
    screen.shows("marie/report");
    screen.press("c");
    screen.shows("for good?");
    screen.press("y");
    world.filed("marie/cancelled", "report");
    let text = screen.shows("nothing waits");
    assert!(!text.contains("acting on the files"), "{text}");
}

#[test]
fn what_an_agent_says_steers_nothing_and_its_secrets_are_not_shown() {
    let world = World::new();
    let _watcher = world.up("marie");
    let said = "\u{1b}]0,pwn\u{7}\u{1b}[2Jclean\u{9b}31m the key is sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789";
    world.submit("marie/pending", "hostile", &json!({"prompt": format!("fake: say text={said}; hang")}));
    world.active("marie", "hostile", |task| task["state"] == "RUNNING");
    let screen = Terminal::start(&top(&world), (30, 160));
    let text = screen.shows("[2Jclean");
    assert!(text.contains("/shared") && text.contains("RUNNING"), "the screen was not cleared\n{text}");
    assert!(!text.contains("abcdefghijklmnop"), "{text}");
}

#[test]
fn without_a_terminal_it_says_so() {
    let world = World::new();
    std::fs::create_dir_all(world.root().join("tasks")).unwrap();
    let told = world.agentctl(&["top"]);
    assert_eq!((told.status.code(), told.stdout.len()), (Some(69), 0));
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(said.contains("no terminal") && said.contains("agentctl status"), "{said}");
}
