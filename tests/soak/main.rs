//! A supervisor with three workers, and many tasks, while something is broken every few seconds: watchers, agents and the
//! supervisor are killed, stopped and told to read their settings again, the disk is full, a folder cannot be opened.
//! Every task is filed once, what is done with goes by the retention's rules, and nothing that lives grows.
//!
//! | file | |
//! |---|---|
//! | `faults` | what is broken, for how long, and its end |
//! | `ledger` | the journals, read as they grow: each task has one end |
//! | `sample` | memory, descriptors and threads of those who are never killed |
//! | `kept` | what the retention leaves |
//!
//! With the tests some dozen tasks go through, as fast as they can. `SOAK_TASKS` and `SOAK_MINUTES` ask for more, evenly over
//! that time, or longer where the machine is slower (`scripts/soak.sh --faults`); `SOAK_SEED` throws the same dice again.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::fn_params_excessive_bools,
    clippy::option_map_unit_fn,
    clippy::unused_self,
    clippy::format_collect,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test plays the machine and the user, tells what it does, and one that cannot go on ends"
)]

mod faults;
mod kept;
mod ledger;
mod sample;

#[path = "../support/dice.rs"]
mod dice;
#[path = "../support/faults.rs"]
mod disk;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/world.rs"]
mod world;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dice::Dice;
use disk::SmallDisk;
use faults::Faults;
use kept::Kept;
use ledger::Ledger;
use sample::Samples;
use serde_json::json;
use world::{Started, World, until};

pub(crate) const WORKERS: [&str; 3] = ["marie", "anga", "fabien"];
/// Tasks that have been handed in and have not ended, at most.
const UNDER_WAY: usize = 400;
/// How many are handed in at a time.
const AT_A_TIME: usize = 20;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(otherwise)
}

/// How long, how much, and how fast.
#[derive(Clone, Copy)]
struct Form {
    tasks: usize,
    lasts: Duration,
    /// At least so many things are broken, however fast the work goes.
    faults: u64,
    seed: u64,
    /// Between two faults, in milliseconds: at least this, and up to twice as much.
    fault_ms: u64,
    samples: u32,
    /// How long those who are measured are left alone before.
    rest: Duration,
}

impl Form {
    fn asked() -> Self {
        let minutes = number("SOAK_MINUTES", 0);
        let is_long = minutes > 0;
        Self {
            tasks: usize::try_from(number("SOAK_TASKS", 150)).unwrap(),
            lasts: Duration::from_secs(minutes * 60),
            faults: 6,
            seed: number("SOAK_SEED", u64::from(std::process::id()) * 7919 + 1).max(1),
            fault_ms: if is_long { 2000 } else { 250 },
            samples: if is_long { u32::try_from(minutes / 2).unwrap().clamp(2, 12) } else { 1 },
            // A watcher's threads for errands go after ten seconds without one.
            rest: Duration::from_secs(if is_long { 11 } else { 0 }),
        }
    }

    /// How many may have been handed in by now: where no time is given, as many as there is room for.
    fn due(&self, elapsed: Duration) -> usize {
        if self.lasts.is_zero() {
            return usize::MAX;
        }
        let due = self.tasks as u128 * elapsed.min(self.lasts).as_millis() / self.lasts.as_millis();
        usize::try_from(due).unwrap()
    }
}

/// Everything that is at work.
pub(crate) struct Soak {
    // Before the world goes they end, and the disk goes after them.
    pub(crate) supervisor: Option<Started>,
    pub(crate) disk: Option<SmallDisk>,
    pub(crate) world: World,
    pub(crate) dice: Dice,
    config: PathBuf,
    dropped: usize,
}

impl Soak {
    fn new(form: Form, kept: &Kept) -> Self {
        let world = World::unprivileged();
        // A disk that is filled is our own; without one no disk is.
        let disk = SmallDisk::ext4(world.root(), if form.lasts.is_zero() { 256 } else { 12 << 10 });
        if let Some(uid) = world.uid {
            nix::unistd::chown(&world.root(), Some(uid.into()), Some(uid.into())).unwrap();
        }
        let config = world.path().join("config.toml");
        fs::write(&config, kept.settings()).unwrap();
        let mut soak = Self { supervisor: None, disk, world, dice: Dice(form.seed), config, dropped: 0 };
        soak.supervise();
        for worker in WORKERS {
            soak.pid(worker);
        }
        soak
    }

    /// As a host would: a supervisor that is gone is started again.
    pub(crate) fn supervise(&mut self) {
        let mut command = self.world.command("supervisor");
        command
            .args(["up", "--workers", "marie=none,anga=none,fabien=none", "--metrics-addr", "none"])
            .args(["--max-restarts", "1000000", "--cooldown", "1ms", "--window", "1s"])
            .args(["--log-format", "json", "--log-level", "warn", "--log-max-mb", "1", "--agent", "echo"])
            .args(["--reserve", "4MB", "--config"])
            .arg(&self.config)
            .arg("--root")
            .arg(self.world.root())
            .arg("--log-dir")
            .arg(self.world.logs());
        self.world.program("watcher");
        self.supervisor = Some(self.world.start(&mut command, "supervisor"));
    }

    /// The watcher of a worker, once it lives.
    pub(crate) fn pid(&self, worker: &str) -> i32 {
        let path = self.world.root().join(format!("workers/{worker}/heartbeat.json"));
        self.world.until(&format!("the watcher of {worker} beats"), || {
            let pid = i32::try_from(world::json(&path)?["pid"].as_i64()?).ok()?;
            faults::is_alive(pid).then_some(pid)
        })
    }

    pub(crate) fn handed_in(&self) -> usize {
        self.dropped
    }

    /// Hands some in, most of them for anybody. Where there is no room now, none.
    fn hand_in(&mut self, most: usize) {
        for _ in 0..most {
            let folder = match self.dice.below(15) {
                n @ 0..3 => format!("{}/pending", WORKERS[usize::try_from(n).unwrap()]),
                _ => ".".to_owned(),
            };
            let name = format!("t{}", self.dropped);
            let dir = self.world.root().join("tasks").join(folder);
            let temp = dir.join(format!(".{name}.tmp"));
            let text = json!({"prompt": format!("say {name}"), "max_retries": 1000}).to_string();
            let written = fs::write(&temp, text).and_then(|()| {
                let owner = self.world.uid.map(Into::into);
                nix::unistd::chown(&temp, owner, self.world.uid.map(Into::into))?;
                fs::rename(&temp, dir.join(format!("{name}.json")))
            });
            if written.is_err() {
                fs::remove_file(&temp).ok();
                return;
            }
            self.dropped += 1;
        }
    }
}

/// Waits until all that was handed in has ended, for as long as it gets on.
fn settle(soak: &Soak, ledger: &mut Ledger) {
    while ledger.look(&soak.world) < soak.dropped {
        let before = ledger.ended();
        // A retry waits up to a minute.
        let more = until(Duration::from_secs(150), || (ledger.look(&soak.world) > before).then_some(()));
        assert!(
            more.is_some(),
            "{before} of {} ended, not {:?}\n{}",
            soak.dropped,
            ledger.missing(soak.dropped),
            sight_of(soak)
        );
    }
}

/// What stands in the folders of the queue, for a failure: all that was said would be megabytes.
fn sight_of(soak: &Soak) -> String {
    let places = ["pending", "staged", "active", "failed"];
    let of = |worker: &&str| places.map(|place| format!("{worker}/{place}"));
    let all = WORKERS.iter().flat_map(of).chain([".".to_owned()]);
    all.map(|place| format!("{place}: {:?}\n", sight::tasks(&soak.world, &place))).collect()
}

#[test]
fn whatever_breaks_every_task_is_filed_once_and_nothing_grows() {
    let form = Form::asked();
    let kept = if form.lasts.is_zero() { Kept::SHORT } else { Kept::LONG };
    let mut soak = Soak::new(form, &kept);
    let young_day = Kept::old_days(&soak.world);
    println!("seed {}, at least {} tasks in at least {} s", form.seed, form.tasks, form.lasts.as_secs());
    let (mut ledger, mut faults) = (Ledger::default(), Faults::new(form.fault_ms));
    let mut samples = Samples::begin(&soak);
    let began = Instant::now();
    let mut due = 1;
    while due <= form.samples {
        let part = f64::from(due) / f64::from(form.samples);
        let is_due = began.elapsed() >= form.lasts.mul_f64(part)
            && faults.count() >= form.faults
            && soak.dropped * form.samples as usize >= form.tasks * due as usize;
        if is_due {
            faults.end(&soak);
            settle(&soak, &mut ledger);
            let broken = ledger.broken(soak.dropped);
            let about = Ledger::about(&soak.world, &ledger.namesakes(soak.dropped));
            assert_eq!(broken, [""; 0], "seed {}: {}\n{about}", form.seed, sight_of(&soak));
            samples.take(&soak, &faults, form.rest);
            due += 1;
            continue;
        }
        // Who leads is measured too, once it is left alone.
        faults.next(&mut soak, due * 2 <= form.samples);
        let under_way = soak.dropped.saturating_sub(ledger.look(&soak.world));
        let due_now = form.due(began.elapsed()).saturating_sub(soak.dropped);
        soak.hand_in(AT_A_TIME.min(due_now).min(UNDER_WAY.saturating_sub(under_way)));
        until(Duration::from_millis(20), || None::<()>);
    }
    let mut broken = ledger.broken(soak.dropped);
    broken.extend(kept.broken(&soak, &ledger, &young_day));
    broken.extend(samples.grown());
    println!(
        "soak: seed {}, {} points, {} broken: {} tasks in {} s; {}; pruned {}",
        form.seed,
        faults.count(),
        broken.len(),
        soak.dropped,
        began.elapsed().as_secs(),
        faults.told(),
        kept.told(&ledger),
    );
    assert_eq!(broken, [""; 0], "seed {}: {}", form.seed, sight_of(&soak));
    assert_eq!(soak.supervisor.take().unwrap().stop(), 0, "it ends well");
}
