//! Limiters of several workers on one folder.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::config::Environment;

/// A clock that stands until it is turned.
#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_000_000 + self.0.load(Ordering::SeqCst).cast_signed()).unwrap()
    }

    fn ticks(&self) -> Ticks {
        Ticks(Duration::from_secs(1_000 + self.0.load(Ordering::SeqCst)))
    }
}

struct Scene {
    dir: tempfile::TempDir,
    clock: Arc<Hand>,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("limits")).unwrap();
        Self { dir, clock: Arc::default() }
    }

    fn limiter(&self, worker: &str, per_minute: u32) -> Limiter {
        self.with(worker, (per_minute, false))
    }

    fn with(&self, worker: &str, how: (u32, bool)) -> Limiter {
        let account = Account::of(&Environment::of(&[]), Some(Path::new("/home/a/.claude")));
        let store = Store::new(self.dir.path().join("limits"));
        Limiter::new(store, account, worker.parse().unwrap(), how, Arc::clone(&self.clock) as SharedClock)
    }

    fn pass(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

fn file(name: &str) -> FileName {
    format!("{name}.json").parse().unwrap()
}

fn news(cause: HoldCause) -> News {
    let by = "nobody".parse().unwrap();
    News { cause, reason: "r".to_owned(), remedy: "m".to_owned(), told: None, by, tried: false }
}

fn is_stopped(permit: &Permit) -> bool {
    matches!(permit, Permit::Stopped(_))
}

#[test]
fn what_one_learns_stops_the_others_and_one_answer_frees_them() {
    let scene = Scene::new();
    let [marie, anga] = ["marie", "anga"].map(|name| scene.limiter(name, 0));
    assert_eq!(marie.permit(&file("a")), Permit::Granted);
    marie.learn(&file("a"), news(HoldCause::RateLimit), 0.0);
    marie.ended(&file("a"));
    let Permit::Stopped(word) = anga.permit(&file("b")) else { panic!("it starts into the limit") };
    assert_eq!((word.stop.by.as_str(), word.stop.cause), ("marie", HoldCause::RateLimit));
    scene.pass(60);
    assert_eq!(anga.permit(&file("b")), Permit::Granted, "it tries");
    assert!(is_stopped(&marie.permit(&file("a"))), "one at a time");
    assert!(marie.look().word.is_some_and(|word| word.elsewhere));
    assert!(!anga.answered(scene.clock.ticks()));
    anga.ended(&file("b"));
    assert_eq!((marie.look().word, marie.permit(&file("a"))), (None, Permit::Granted));
}

#[test]
fn who_dies_while_it_tries_leaves_the_next_one_to_try() {
    let scene = Scene::new();
    let [marie, anga] = ["marie", "anga"].map(|name| scene.limiter(name, 0));
    marie.learn(&file("a"), news(HoldCause::Outage), 0.0);
    scene.pass(5);
    assert_eq!(marie.permit(&file("a")), Permit::Granted);
    assert!(is_stopped(&anga.permit(&file("b"))));
    drop(marie);
    assert_eq!(anga.permit(&file("b")), Permit::Granted);
    anga.learn(&file("b"), news(HoldCause::Outage), 0.0);
    anga.ended(&file("b"));
    let word = anga.look().word.unwrap();
    assert_eq!((word.stop.times, word.stop.due()), (2, Ticks(Duration::from_secs(1_015))), "it doubled");
}

#[test]
fn two_workers_spend_one_minute_between_them() {
    let scene = Scene::new();
    let both = ["marie", "anga"].map(|name| scene.limiter(name, 10));
    let granted = |n: usize| (0..n).filter(|i| both[i % 2].permit(&file("t")) == Permit::Granted).count();
    assert_eq!(granted(40), 10);
    both[0].give_back(&file("t"));
    assert_eq!(granted(40), 1);
    scene.pass(6);
    assert_eq!(granted(40), 1, "one each six seconds");
}

#[test]
fn a_limit_that_is_not_waited_for_is_refused_and_an_outage_is_waited_for() {
    let scene = Scene::new();
    let [marie, anga] = [scene.limiter("marie", 0), scene.with("anga", (0, true))];
    marie.learn(&file("a"), news(HoldCause::RateLimit), 0.0);
    assert_eq!((anga.permit(&file("b")), anga.look().word), (Permit::Refused, None));
    marie.learn(&file("a"), News { told: None, ..news(HoldCause::Outage) }, 0.0);
    scene.pass(60);
    assert_eq!(anga.permit(&file("b")), Permit::Granted, "when it is over somebody tries");
}

#[test]
fn a_task_s_own_fault_is_nobody_else_s() {
    let scene = Scene::new();
    let [marie, anga] = ["marie", "anga"].map(|name| scene.limiter(name, 0));
    for cause in [HoldCause::Configuration, HoldCause::Disk, HoldCause::Resume] {
        marie.learn(&file("a"), news(cause), 0.0);
        assert_eq!(anga.look().word, None, "{cause:?}");
    }
}

#[test]
fn without_the_file_a_worker_goes_by_what_it_knows_and_writes_it_later() {
    let scene = Scene::new();
    let folder = scene.dir.path().join("limits");
    let marie = scene.limiter("marie", 3);
    // A file in the place of the folder: whoever runs this, nothing can be written.
    std::fs::remove_dir_all(&folder).unwrap();
    crate::os::durable::write_new(&folder, b"", None).unwrap();
    let granted = (0..9).filter(|_| marie.permit(&file("t")) == Permit::Granted).count();
    assert_eq!(granted, 3, "it counts by itself");
    marie.learn(&file("a"), news(HoldCause::Outage), 0.0);
    assert!(marie.look().word.is_some());
    std::fs::remove_file(&folder).unwrap();
    marie.warned(Warning {
        window: None,
        used_percent: Some(90),
        resets_at: None,
        by: "x".parse().unwrap(),
        at: Timestamp::default(),
    });
    let anga = scene.limiter("anga", 3);
    assert!(is_stopped(&anga.permit(&file("b"))), "the others are told as soon as the disk takes it");
}

#[test]
fn a_file_that_means_nothing_stops_nobody_and_is_replaced() {
    let scene = Scene::new();
    let marie = scene.limiter("marie", 2);
    let path = marie.store.path(&marie.account.key);
    for broken in ["{", "{\"version\":2}", ""] {
        crate::os::durable::write_atomic(&path, broken.as_bytes(), crate::os::durable::Durability::None)
            .unwrap();
        assert_eq!(marie.permit(&file("t")), Permit::Granted, "{broken}");
    }
    assert_eq!(marie.permit(&file("t")), Permit::Granted);
    assert!(matches!(marie.permit(&file("t")), Permit::Paced(_)));
}

#[test]
fn who_could_not_write_for_a_moment_takes_nothing_away_from_the_others() {
    let scene = Scene::new();
    let [marie, anga] = ["marie", "anga"].map(|name| scene.limiter(name, 0));
    let stopped = marie.store.lock().unwrap().unwrap();
    marie.learn(&file("a"), news(HoldCause::Outage), 0.0);
    assert!(marie.look().word.is_some(), "what it could not write it knows");
    drop(stopped);
    anga.learn(&file("b"), news(HoldCause::RateLimit), 0.0);
    assert!(is_stopped(&marie.permit(&file("a"))));
    let record = anga.current();
    assert_eq!((record.rate_limit.is_some(), record.breaker.is_some()), (true, true));
}

/// A run of one of the three.
struct Running {
    worker: usize,
    file: FileName,
    began: Ticks,
}

/// Three workers of one account through a day with two outages and a rate limit, one of them killed every ten minutes.
struct Day {
    scene: Scene,
    workers: Vec<Limiter>,
    running: Vec<Running>,
    started: u64,
    refused: [u32; 2],
}

impl Day {
    const NAMES: [&str; 3] = ["marie", "anga", "fabien"];
    const STEP: u64 = 10;
    const RATE: u32 = 10;
    const LIMIT: std::ops::Range<u64> = 40_000..43_600;

    fn is_down(second: u64) -> bool {
        (3_600..5_400).contains(&second) || (60_000..67_200).contains(&second)
    }

    fn ended(&mut self, run: &Running, second: u64) {
        let limiter = &self.workers[run.worker];
        let reset = Timestamp::from_second(1_000_000 + Self::LIMIT.end.cast_signed()).unwrap();
        if Self::is_down(second) {
            self.refused[0] += 1;
            limiter.learn(&run.file, news(HoldCause::Outage), 0.5);
        } else if Self::LIMIT.contains(&second) {
            self.refused[1] += 1;
            limiter.learn(&run.file, News { told: Some(reset), ..news(HoldCause::RateLimit) }, 0.5);
        } else {
            limiter.answered(run.began);
        }
        limiter.ended(&run.file);
    }

    /// One step: what ran ends, one may be killed, each starts what it may; how many started.
    fn step(&mut self, second: u64) -> usize {
        if second.is_multiple_of(600) {
            let killed = usize::try_from(second / 600).unwrap() % 3;
            self.workers[killed] = self.scene.limiter(Self::NAMES[killed], Self::RATE);
            self.running.retain(|run| run.worker != killed);
        }
        for run in std::mem::take(&mut self.running) {
            self.ended(&run, second);
        }
        for (worker, limiter) in self.workers.iter().enumerate() {
            let file = file(&format!("{}-{second}", Self::NAMES[worker]));
            if limiter.permit(&file) == Permit::Granted {
                self.running.push(Running { worker, file, began: self.scene.clock.ticks() });
            }
        }
        self.started += self.running.len() as u64;
        self.scene.pass(Self::STEP);
        self.running.len()
    }
}

#[test]
fn a_day_of_outages_costs_three_workers_what_it_costs_one() {
    let scene = Scene::new();
    let workers = Day::NAMES.map(|name| scene.limiter(name, Day::RATE)).into();
    let mut day = Day { scene, workers, running: Vec::new(), started: 0, refused: [0; 2] };
    let (mut blind, mut longest) = (0, 0);
    for second in (0..86_400).step_by(usize::try_from(Day::STEP).unwrap()) {
        let started = day.step(second);
        let is_known_down = Day::is_down(second) && Day::is_down(second.saturating_sub(2 * Day::STEP));
        assert!(!is_known_down || started <= 1, "{second}: {started} try at once");
        let is_known_limited = Day::LIMIT.contains(&second) && second >= Day::LIMIT.start + 2 * Day::STEP;
        assert!(!is_known_limited || started == 0, "{second}: {started} before the reset");
        let allowed = (u64::from(Day::RATE) * (second + Day::STEP)) / 60 + u64::from(Day::RATE);
        assert!(day.started <= allowed, "{second}: {} of {allowed}", day.started);
        let is_up = !Day::is_down(second) && !Day::LIMIT.contains(&second);
        blind = if is_up && day.workers[0].look().word.is_some() { blind + Day::STEP } else { 0 };
        longest = longest.max(blind);
    }
    assert!(
        (100..250).contains(&day.refused[0]),
        "a try a minute in two and a half hours: {:?}",
        day.refused
    );
    assert!((1..=6).contains(&day.refused[1]), "what was under way, and no more: {:?}", day.refused);
    assert!(longest <= 100, "what is over is noticed within a pause: {longest} s");
    assert!(day.started > 12_000, "{}", day.started);
}
