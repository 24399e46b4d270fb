//! Journals as they are written, torn, replaced and dated wrongly, and what the ledger makes of them.

use std::fs;
use std::io::Write;

use super::*;
use crate::os::durable::{Durability, write_atomic};
use crate::telemetry::journal::{Event, Journal, Line};

const NOON: &str = "2026-03-01T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

struct World {
    _dir: tempfile::TempDir,
    layout: Layout,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        fs::create_dir_all(layout.artifacts()).unwrap();
        for worker in ["marie", "anga"] {
            fs::create_dir_all(layout.journal_dir(&worker.parse().unwrap())).unwrap();
        }
        Self { _dir: dir, layout }
    }

    fn ledger(&self, now: &str) -> Ledger {
        let mut ledger = Ledger::new(self.layout.clone());
        ledger.read(at(now)).unwrap();
        ledger
    }

    fn write(&self, worker: &str, line: &Line) {
        Journal::new(self.layout.clone(), worker.parse().unwrap()).append(line).unwrap();
    }

    fn day(&self, worker: &str, day: &str) -> std::path::PathBuf {
        self.layout.journal(&worker.parse().unwrap(), day)
    }
}

fn line(time: &str, event: Event, (run, attempt): (RunId, u32), pack: &str, cost_usd: f64) -> Line {
    let mut line = Line::new(at(time), "marie".parse().unwrap(), event);
    (line.run_id, line.attempt, line.cost_usd) = (Some(run), Some(attempt), Some(cost_usd));
    line.tokens = Some(Tokens { input: 10, output: 5, cache_read: 1000, cache_write: 1 });
    line.pack = Some(pack.to_owned());
    line.identified()
}

fn spent(ledger: &Ledger, scope: &Scope, length: i64) -> (u64, u64) {
    let sum = ledger.of(scope).sum(length, ledger.now, None);
    (sum.micro_usd, sum.tokens)
}

fn pack(name: &str) -> Scope {
    Scope::Pack(name.to_owned())
}

fn marie() -> Scope {
    Scope::Worker("marie".parse().unwrap())
}

#[test]
fn an_attempt_counts_once_whichever_lines_tell_of_it() {
    let (world, run) = (World::new(), RunId::mint());
    for line in [
        line("2026-03-01T11:30:00Z", Event::Requeued, (run, 1), "a", 1.0),
        line("2026-03-01T11:40:00Z", Event::Requeued, (run, 1), "a", 1.0),
        line("2026-03-01T11:45:00Z", Event::Claimed, (run, 2), "a", 9.0),
        line("2026-03-01T11:50:00Z", Event::Concluded, (run, 2), "a", 0.5),
        line("2026-03-01T11:55:00Z", Event::Concluded, (run, 2), "a", 0.5),
    ] {
        world.write("marie", &line);
    }
    let ledger = world.ledger(NOON);
    assert_eq!(
        spent(&ledger, &marie(), 60),
        (1_500_000, 32),
        "what was read from the cache counts for nothing"
    );
    assert_eq!(spent(&ledger, &pack("a"), 60), (1_500_000, 32));
    assert_eq!(ledger.scopes(), [marie(), pack("a")]);
}

#[test]
fn a_pack_is_that_of_all_workers_and_a_worker_that_of_all_packs() {
    let world = World::new();
    for (worker, name) in [("marie", "a"), ("anga", "a"), ("marie", "b")] {
        world.write(worker, &line("2026-03-01T11:30:00Z", Event::Concluded, (RunId::mint(), 1), name, 1.0));
    }
    let ledger = world.ledger(NOON);
    assert_eq!(spent(&ledger, &pack("a"), 60).0, 2_000_000);
    assert_eq!(spent(&ledger, &marie(), 60).0, 2_000_000);
    assert_eq!(spent(&ledger, &pack("c"), 60).0, 0);
}

#[test]
fn yesterday_is_part_of_the_last_24_hours_and_of_no_more() {
    let world = World::new();
    for (time, usd) in
        [("2026-02-28T11:59:00Z", 1.0), ("2026-02-28T12:01:00Z", 2.0), ("2026-03-01T00:00:00Z", 4.0)]
    {
        world.write("marie", &line(time, Event::Concluded, (RunId::mint(), 1), "a", usd));
    }
    let ledger = world.ledger(NOON);
    assert_eq!((spent(&ledger, &marie(), 1440).0, spent(&ledger, &marie(), 60).0), (6_000_000, 0));
}

/// A stream of numbers that is the same in each run.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

#[test]
fn reading_on_and_reading_anew_come_to_the_same_whatever_was_written_between() {
    for seed in 1..40 {
        let (world, mut any) = (World::new(), numbers(seed));
        let mut ledger = Ledger::new(world.layout.clone());
        let runs: Vec<RunId> = (0..6).map(|_| RunId::mint()).collect();
        let mut now = at("2026-02-28T20:00:00Z");
        for _ in 0..60 {
            now = now.checked_add(jiff::SignedDuration::from_mins(i64::try_from(any(40)).unwrap())).unwrap();
            let run = runs[usize::try_from(any(6)).unwrap()];
            let attempt = u32::try_from(any(4)).unwrap();
            // An attempt cost what it cost, whoever tells of it.
            let usd = f64::from(attempt + 1) / 8.0;
            let event = if any(2) == 0 { Event::Requeued } else { Event::Concluded };
            let told =
                line(&now.to_string(), event, (run, attempt), ["a", "b"][usize::from(attempt == 1)], usd);
            let worker = if run == runs[0] { "anga" } else { "marie" };
            world.write(worker, &told);
            if any(5) == 0 {
                let path = world.day(worker, &told.day());
                // A line that is still being written, or that a power cut left behind.
                File::options().append(true).open(path).unwrap().write_all(b"{\"time\":\"20").unwrap();
            }
            if any(3) > 0 {
                ledger.read(now).unwrap();
            }
        }
        ledger.read(now).unwrap();
        let anew = world.ledger(&now.to_string());
        for scope in [marie(), Scope::Worker("anga".parse().unwrap()), pack("a"), pack("b")] {
            for length in [60, 1440] {
                assert_eq!(spent(&ledger, &scope, length), spent(&anew, &scope, length), "{seed} {scope:?}");
            }
        }
    }
}

#[test]
fn a_line_that_is_cut_in_two_counts_when_it_is_whole() {
    let world = World::new();
    let text =
        serde_json::to_string(&line("2026-03-01T11:59:00Z", Event::Concluded, (RunId::mint(), 1), "a", 1.0));
    let text = text.unwrap() + "\n";
    let path = world.day("marie", "2026-03-01");
    let mut ledger = world.ledger(NOON);
    for (piece, usd) in [(&text[..20], 0), (&text[20..text.len() - 1], 0), ("\n", 1_000_000)] {
        File::options().append(true).create(true).open(&path).unwrap().write_all(piece.as_bytes()).unwrap();
        ledger.read(at(NOON)).unwrap();
        assert_eq!(spent(&ledger, &marie(), 60).0, usd);
    }
}

#[test]
fn a_clock_that_was_ahead_holds_no_longer_than_a_window() {
    let world = World::new();
    let mut ledger = world.ledger("2026-03-01T12:00:00Z");
    world.write("marie", &line("2026-03-02T05:00:00Z", Event::Concluded, (RunId::mint(), 1), "a", 1.0));
    ledger.read(at("2026-03-02T05:00:00Z")).unwrap();
    assert_eq!(spent(&ledger, &marie(), 60).0, 1_000_000);
    // It is set right: what it told counts from now on, and is out of the window an hour later.
    for (now, usd) in [
        ("2026-03-01T12:00:00Z", 1_000_000),
        ("2026-03-01T12:59:00Z", 1_000_000),
        ("2026-03-01T13:00:00Z", 0),
    ] {
        ledger.read(at(now)).unwrap();
        assert_eq!(spent(&ledger, &marie(), 60).0, usd, "{now}");
    }
    // Years ahead: its journal is not even one that is looked into.
    world.write("marie", &line("2031-03-02T05:00:00Z", Event::Concluded, (RunId::mint(), 1), "a", 1.0));
    assert_eq!(spent(&world.ledger("2026-03-01T13:00:00Z"), &marie(), 1440).0, 1_000_000);
}

#[test]
fn a_clock_that_ran_ahead_and_came_back_has_forgotten_nothing() {
    let world = World::new();
    world.write("marie", &line("2026-03-01T11:30:00Z", Event::Concluded, (RunId::mint(), 1), "a", 1.0));
    let mut ledger = world.ledger(NOON);
    ledger.read(at("2027-01-01T00:00:00Z")).unwrap();
    assert_eq!(spent(&ledger, &marie(), 1440).0, 0);
    ledger.read(at(NOON)).unwrap();
    assert_eq!(spent(&ledger, &marie(), 60).0, 1_000_000);
}

#[test]
fn what_stands_there_and_is_no_journal_stops_nobody() {
    let world = World::new();
    world.write("marie", &line("2026-03-01T11:30:00Z", Event::Concluded, (RunId::mint(), 1), "a", 1.0));
    let path = world.day("anga", "2026-03-01");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    fs::create_dir_all(world.layout.workers().join("Not A Worker")).unwrap();
    let mut ledger = world.ledger(NOON);
    assert_eq!(spent(&ledger, &marie(), 60).0, 1_000_000);
    // Somebody replaced the journal: it is read as it is now.
    let theirs =
        serde_json::to_string(&line("2026-03-01T11:40:00Z", Event::Concluded, (RunId::mint(), 1), "b", 2.0));
    let text = format!("rubbish\n{}\n", theirs.unwrap());
    write_atomic(&world.day("marie", "2026-03-01"), text.as_bytes(), Durability::None).unwrap();
    ledger.read(at(NOON)).unwrap();
    let anew = spent(&world.ledger(NOON), &marie(), 60);
    assert_eq!((spent(&ledger, &marie(), 60), anew.0), (anew, 2_000_000));
}

#[test]
fn a_day_of_a_hundred_thousand_lines_is_folded_and_forgotten() {
    let world = World::new();
    let path = world.day("marie", "2026-03-01");
    let mut file = io::BufWriter::new(File::create(path).unwrap());
    let whole = line("2026-03-01T11:30:00Z", Event::Concluded, (RunId::mint(), 1), "a", 0.001);
    for n in 0..100_000_u32 {
        let mut one = whole.clone();
        one.attempt = Some(n);
        one.pack = Some(format!("p{}", n % 3000));
        writeln!(file, "{}", serde_json::to_string(&one).unwrap()).unwrap();
    }
    file.into_inner().unwrap();
    let mut ledger = world.ledger(NOON);
    assert_eq!(spent(&ledger, &marie(), 1440), (100_000_000, 1_600_000));
    assert!(ledger.spent.len() <= PACKS_MAX + 1, "{}", ledger.spent.len());
    ledger.read(at("2026-03-03T12:00:00Z")).unwrap();
    assert!(ledger.spent.is_empty() && ledger.counted.is_empty() && ledger.counted_at.is_empty());
}
