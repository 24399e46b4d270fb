//! Gradual resumes on a clock that is turned by hand, with a queue that is a list of names.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::*;
use crate::clock::{Ticks, Timestamp};
use crate::os::process::ProcessId;
use crate::task::{FileName, WorkerName};

const TERMS: Terms =
    Terms { batch_size: 5, delay_s: 30.0, max_failure_rate: 0.5, adaptive: false, leaderless_s: 60.0 };

fn file(n: usize) -> FileName {
    format!("t{n}.json").parse().unwrap()
}

/// A worker and its leader.
struct Play {
    core: Core,
    second: u64,
    watcher: Watcher,
    hold: Option<&'static str>,
    pending: VecDeque<FileName>,
    fates: HashMap<FileName, Fate>,
    said: Vec<String>,
    batches: Vec<Vec<FileName>>,
    end: Option<End>,
    /// Moves that the leader makes before it is killed.
    lives: usize,
}

impl Play {
    fn new(tasks: usize, terms: Terms) -> Self {
        let now: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        let record = Record::begin(terms, tasks, ProcessId::current(), now);
        Self {
            core: Core::new(record, Ticks::default()),
            second: 0,
            watcher: Watcher::Follows,
            hold: None,
            pending: (0..tasks).map(file).collect(),
            fates: HashMap::new(),
            said: Vec::new(),
            batches: Vec::new(),
            end: None,
            lives: usize::MAX,
        }
    }

    fn now(&self) -> Ticks {
        Ticks(Duration::from_secs(self.second))
    }

    /// The leader looks, `seconds` later.
    fn after(&mut self, seconds: u64) -> &mut Self {
        self.second += seconds;
        let fates = self.core.record().open().map(|ticket| self.fates[&ticket.file]).collect();
        let seen = Seen { watcher: self.watcher, hold: self.hold.map(str::to_owned), fates };
        let effects = self.core.handle(Event::Seen(seen), self.now());
        self.perform(effects);
        let out = self.fates.values().filter(|fate| matches!(fate, Fate::Staged)).count();
        assert!(out <= self.core.record().terms.largest(), "{out} wait at once");
        self
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let follows = match effect {
                Effect::Pick(count) => Some(Event::Picked(self.pick(count))),
                Effect::Stage(files) => self.stage(&files).then_some(Event::Staged),
                Effect::Unstage(files) => {
                    for file in files {
                        let was = self.fates.insert(file.clone(), Fate::Back);
                        assert!(matches!(was, Some(Fate::Staged | Fate::Held)), "{was:?}");
                        self.pending.push_front(file);
                    }
                    None
                }
                Effect::Say(line) => {
                    self.said.push(line.text(&"marie".parse::<WorkerName>().unwrap()));
                    None
                }
                Effect::Record => {
                    let waits = |fate: &Fate| matches!(fate, Fate::Staged | Fate::Held);
                    let is_stopped = self.core.record().state == Phase::Stopped;
                    assert!(!is_stopped || !self.fates.values().any(waits), "nobody takes it back then");
                    None
                }
                Effect::Retire => None,
                Effect::Finish(end) => {
                    self.end = Some(end);
                    None
                }
            };
            if let Some(event) = follows {
                let effects = self.core.handle(event, self.now());
                self.perform(effects);
            }
        }
    }

    fn pick(&mut self, count: usize) -> Vec<Ticket> {
        let record = self.core.record();
        let free = self.pending.iter().filter(|file| !record.set_back.contains(file));
        let (last, first): (Vec<_>, Vec<_>) = free.partition(|file| record.deferred.contains(file));
        let dropped_at = "2026-03-01T09:00:00Z".parse().unwrap();
        let all = first.into_iter().chain(last).take(count).cloned();
        let all: Vec<_> = all.map(|file| Ticket { file, dropped_at, charges: 0 }).collect();
        if !all.is_empty() {
            self.batches.push(all.iter().map(|it| it.file.clone()).collect());
        }
        for ticket in &all {
            self.fates.insert(ticket.file.clone(), Fate::Back);
        }
        all
    }

    /// Whether the leader lived to its end.
    fn stage(&mut self, files: &[FileName]) -> bool {
        for file in files {
            if self.lives == 0 {
                return false;
            }
            self.lives -= 1;
            self.pending.retain(|it| it != file);
            assert_eq!(self.fates.insert(file.clone(), Fate::Staged), Some(Fate::Back), "{file} moves once");
        }
        true
    }

    /// What becomes of tasks.
    fn comes(&mut self, fate: Fate, tasks: impl IntoIterator<Item = usize>) -> &mut Self {
        for file in tasks.into_iter().map(file) {
            if matches!(fate, Fate::Charged | Fate::Back) {
                self.pending.push_front(file.clone());
            }
            self.fates.insert(file, fate);
        }
        self
    }

    fn sizes(&self) -> Vec<usize> {
        self.batches.iter().map(Vec::len).collect()
    }

    fn says(&self, text: &str) -> usize {
        self.said.iter().filter(|line| line.contains(text)).count()
    }
}

#[test]
fn a_clean_run_goes_in_batches_in_order_and_says_the_runbooks_lines() {
    let mut play = Play::new(12, TERMS);
    play.after(0).comes(Fate::Done, 0..5).after(29);
    assert_eq!(play.sizes(), [5], "the delay is not over");
    play.after(1).comes(Fate::Works, 5..10);
    assert_eq!(play.sizes(), [5, 5]);
    play.comes(Fate::Staged, [9]).after(30).after(600);
    assert_eq!(play.sizes(), [5, 5], "one of them waits still");
    play.comes(Fate::Works, [9]).after(1);
    assert_eq!(play.sizes(), [5, 5, 2]);
    play.comes(Fate::Done, 10..12).after(29);
    assert_eq!(play.end, None);
    play.after(1);
    assert_eq!(play.end, Some(End::Completed));
    assert_eq!(play.batches.concat(), (0..12).map(file).collect::<Vec<_>>());
    assert_eq!(
        play.said,
        [
            "Processing batch 1: 5 tasks",
            "Waiting 30s for batch to process...",
            "Processing batch 2: 5 tasks",
            "Waiting 30s for batch to process...",
            "Processing batch 3: 2 tasks",
            "Waiting 30s for batch to process...",
            "Gradual resume completed",
        ]
    );
    let record = play.core.record();
    assert_eq!((record.released, record.done, record.failed), (12, 7, 0));
}

#[test]
fn too_many_failures_of_a_batch_stop_it_at_once_and_what_waits_goes_back() {
    let mut play = Play::new(12, TERMS);
    play.after(0).comes(Fate::Failed, [0]).comes(Fate::Charged, [1]).after(1);
    assert_eq!(play.end, None, "2 of 5 are not more than half");
    play.comes(Fate::Works, [3]).comes(Fate::Failed, [2]).after(1);
    assert_eq!(play.end, Some(End::Stopped));
    let record = play.core.record();
    assert_eq!((record.state, record.released, record.failed), (Phase::Stopped, 4, 3));
    assert!(record.reason.as_ref().unwrap().starts_with("3 of the 5 tasks of batch 1 failed"), "{record:?}");
    assert_eq!(play.pending.front(), Some(&file(4)), "what waited in staged is back");
    assert_eq!(play.fates[&file(3)], Fate::Works, "what is at work goes on");
    assert_eq!(play.said.last().unwrap(), "High failure rate detected, stopping gradual resume");
    assert_eq!(play.says("completed"), 0);
}

#[test]
fn a_batch_is_judged_by_its_own_tasks_and_its_own_size() {
    for (why, rate, failures, expected) in [
        ("two in every batch are not more than half of any", 0.5, &[0, 1, 5, 6, 10][..], End::Completed),
        (
            "the only failure of a last batch of two is not half of a batch of five",
            0.4,
            &[11],
            End::Completed,
        ),
        ("half of a batch may fail, and no more", 0.6, &[0, 1, 2], End::Completed),
        ("none may", 0.0, &[7], End::Stopped),
        ("all may", 1.0, &[0, 1, 2, 3, 4], End::Completed),
    ] {
        let mut play = Play::new(12, Terms { max_failure_rate: rate, ..TERMS });
        for n in 0..12 {
            if n % 5 == 0 {
                play.after(30);
            }
            if play.end.is_some() {
                break;
            }
            let fate = if failures.contains(&n) { Fate::Failed } else { Fate::Done };
            play.comes(fate, [n]).after(0);
        }
        play.after(30);
        assert_eq!(play.end, Some(expected), "{why}");
    }
}

#[test]
fn a_batch_that_fails_late_stops_it_too() {
    let mut play = Play::new(20, TERMS);
    play.after(0).comes(Fate::Works, 0..5).after(30).comes(Fate::Works, 5..10).after(30);
    assert_eq!(play.sizes(), [5, 5, 5]);
    play.comes(Fate::Failed, 0..3).after(1);
    assert_eq!(play.end, Some(End::Stopped));
    assert!(play.core.record().reason.as_ref().unwrap().contains("batch 1 failed"));
    assert_eq!(play.pending.len(), 10);
}

#[test]
fn a_task_that_failed_is_let_go_once_and_one_that_came_back_unharmed_again() {
    let mut play = Play::new(7, TERMS);
    play.after(0).comes(Fate::Charged, [0]).comes(Fate::Back, [1]).comes(Fate::Done, 2..5).after(30);
    assert_eq!(play.batches[1], [5, 6, 1].map(file), "the unharmed one after the others");
    play.comes(Fate::Done, [1, 5, 6]).after(30);
    assert_eq!(play.end, Some(End::Completed));
    assert_eq!(play.pending, [file(0)], "it goes on when the resume is over");
    assert_eq!(play.core.record().released, 7);
}

#[test]
fn an_adaptive_resume_doubles_up_to_a_cap_and_halves_down_to_one() {
    let terms = Terms { batch_size: 2, adaptive: true, ..TERMS };
    let mut play = Play::new(200, terms);
    let mut next = 0;
    for (fates, size) in [
        (&[][..], 2),
        (&[], 4),
        (&[Fate::Failed], 8),
        (&[Fate::Charged], 4),
        (&[Fate::Failed], 2),
        (&[], 1),
        (&[Fate::Works], 2),
        (&[Fate::Works, Fate::Works], 4),
        (&[Fate::Works; 8], 8),
        (&[], 8),
        (&[], 16),
        (&[], 16),
    ] {
        play.after(30);
        assert_eq!(play.sizes().last(), Some(&size), "{:?}", play.sizes());
        // What is not told apart ended well.
        for n in 0..size {
            let fate = fates.get(n).copied().unwrap_or(Fate::Done);
            play.comes(fate, [next + n]);
        }
        next += size;
    }
    assert_eq!(play.end, None);
}

#[test]
fn what_is_no_tasks_fault_holds_it_and_counts_nothing() {
    let mut play = Play::new(8, TERMS);
    play.after(0).hold = Some("rate_limit: 429");
    play.comes(Fate::Back, 0..4).comes(Fate::Works, [4]).after(1).after(600).after(600);
    assert_eq!(play.sizes(), [5], "nothing more while a task of it is at work");
    assert_eq!(play.says("marie holds (rate_limit: 429)"), 1, "{:?}", play.said);
    play.comes(Fate::Back, [4]).after(1);
    assert_eq!(play.batches[1], [file(5)], "one tries whether it is over, and none that came back with it");
    play.after(600);
    assert_eq!(play.sizes(), [5, 1]);
    play.comes(Fate::Back, [5]).after(1).comes(Fate::Works, [6]).after(1);
    assert_eq!(play.sizes(), [5, 1, 1]);
    play.hold = None;
    play.comes(Fate::Done, [6]).after(1).after(29);
    assert_eq!((play.sizes(), play.says("holds no more")), (vec![5, 1, 1], 1), "the delay begins anew");
    play.after(1);
    assert_eq!(play.sizes(), [5, 1, 1, 5], "as many as before");
    let record = play.core.record();
    assert_eq!((record.failed, record.done, record.state), (0, 1, Phase::Waiting));
    play.comes(Fate::Done, [7, 0, 1, 2, 3, 4, 5]).after(30).comes(Fate::Done, 0..8).after(30);
    assert_eq!((play.end, play.core.record().done), (Some(End::Completed), 8));
}

#[test]
fn a_leader_that_dies_between_two_moves_is_followed_by_one_that_goes_on_with_the_batch() {
    for moves in 0..=5 {
        let mut play = Play::new(12, TERMS);
        play.after(0).comes(Fate::Done, 0..5);
        play.lives = moves;
        play.after(30);
        play.lives = usize::MAX;
        // Its successor finds what was durable.
        let record = Record::parse(&play.core.record().to_bytes()).unwrap();
        assert_eq!(record.state, if moves < 5 { Phase::Moving } else { Phase::Waiting });
        play.core = Core::new(record, play.now());
        play.after(1);
        assert_eq!((5..10).filter(|n| play.fates[&file(*n)] == Fate::Staged).count(), 5);
        assert_eq!(play.sizes(), [5, 5], "it is the same batch");
        play.comes(Fate::Done, 5..10).after(28);
        assert_eq!(play.sizes(), [5, 5], "which gets its time");
        play.after(2).comes(Fate::Done, 10..12).after(30);
        assert_eq!((play.end, play.core.record().done), (Some(End::Completed), 12), "after {moves} moves");
    }
}

#[test]
fn without_a_watcher_that_follows_nothing_is_let_go() {
    let mut play = Play::new(8, TERMS);
    play.watcher = Watcher::Absent;
    play.after(0).after(100).after(100);
    assert_eq!((play.sizes(), play.says("is not running: waiting for it")), (vec![], 1), "{:?}", play.said);
    play.watcher = Watcher::Deaf;
    play.after(1).after(4);
    assert_eq!((play.sizes(), play.says("has not answered")), (vec![], 0));
    play.after(1).after(100).after(100);
    assert_eq!((play.sizes(), play.says("has not answered")), (vec![], 1), "{:?}", play.said);
    play.watcher = Watcher::Follows;
    play.after(1).comes(Fate::Done, 0..5).after(15);
    assert_eq!(play.sizes(), [5]);
    play.watcher = Watcher::Absent;
    play.after(1000);
    play.watcher = Watcher::Follows;
    play.after(29);
    assert_eq!(play.sizes(), [5], "the delay begins anew");
    play.after(1);
    assert_eq!(play.sizes(), [5, 3]);
}

#[test]
fn a_disk_that_does_not_answer_decides_nothing_and_a_task_that_was_taken_away_counts_nothing() {
    let mut play = Play::new(6, TERMS);
    play.after(0).comes(Fate::Unknown, [0]).comes(Fate::Gone, 1..5).after(300);
    assert_eq!((play.sizes(), play.core.record().open().count()), (vec![5], 1));
    play.comes(Fate::Done, [0]).after(1).comes(Fate::Done, [5]).after(30);
    assert_eq!((play.sizes(), play.end), (vec![5, 1], Some(End::Completed)));
    assert_eq!(play.core.record().failed, 0);
}

#[test]
fn one_that_tried_makes_no_adaptive_resume_grow() {
    let mut play = Play::new(40, Terms { adaptive: true, ..TERMS });
    play.after(0).hold = Some("outage: 529");
    play.comes(Fate::Back, 0..5).after(1);
    assert_eq!(play.sizes(), [5, 1]);
    play.hold = None;
    play.comes(Fate::Done, [5]).after(1).after(30);
    assert_eq!(play.sizes(), [5, 1, 5], "it is no batch that did well");
    play.comes(Fate::Done, 6..11).after(30);
    assert_eq!(play.sizes(), [5, 1, 5, 10]);
}

#[test]
fn a_task_that_is_held_keeps_nobody_waiting_and_goes_back_when_too_much_fails() {
    let mut play = Play::new(12, TERMS);
    play.after(0).comes(Fate::Held, [4]).comes(Fate::Done, 0..4).after(30);
    assert_eq!(play.batches.len(), 2, "the next batch does not wait for it");
    play.comes(Fate::Done, 5..10).after(30).comes(Fate::Done, 10..12).after(30);
    assert_eq!(play.end, Some(End::Completed));

    let mut play = Play::new(12, TERMS);
    play.after(0).comes(Fate::Held, [4]).comes(Fate::Failed, 0..3).after(1);
    assert_eq!(play.end, Some(End::Stopped));
    assert_eq!(play.fates[&file(4)], Fate::Back);
}

#[test]
fn what_is_over_is_not_kept_in_the_record() {
    let mut play = Play::new(12, TERMS);
    play.after(0).comes(Fate::Done, 0..5).after(30).comes(Fate::Done, 5..10).after(30);
    let kept: Vec<_> = play.core.record().batches.iter().map(|it| it.number).collect();
    assert_eq!(kept, [2, 3], "a resume of ten thousand writes them with each batch");
}
