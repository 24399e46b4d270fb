//! A machine: two workers, a user who drops tasks in every way, and the instant at which the power goes.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::dice::Dice;
use crate::disk::{Disk, KINDS};
use crate::world::{Started, World};
use crate::{judge, pass, traces};

pub(crate) const WORKERS: [&str; 2] = ["marie", "anga"];

/// The way in which a task was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By `agentctl submit`, which said that it was done.
    Submitted,
    /// Written beside, synced, moved, and the folder synced.
    Synced,
    /// Written beside and moved; nobody waited for the disk.
    Moved,
    /// Written in place in two halves, with a while between them.
    Slowly,
}

impl How {
    const ALL: [Self; 4] = [Self::Submitted, Self::Synced, Self::Moved, Self::Slowly];
}

/// A task that somebody meant to hand in.
pub(crate) struct Meant {
    pub(crate) name: &'static str,
    pub(crate) how: How,
    /// Whether it was safe, and must be there from then on.
    pub(crate) is_safe: bool,
    /// How many agents had been started for it when it was last seen in `completed/` before a cut.
    pub(crate) done: Option<usize>,
    gate: Option<PathBuf>,
    /// What is still to be written, and where.
    rest: Option<(File, String)>,
}

/// A machine and what is known of it.
pub(crate) struct Machine {
    // The disk goes before the world that it lies in.
    running: Vec<Started>,
    pub(crate) disk: Disk,
    pub(crate) world: World,
    pub(crate) meant: Vec<Meant>,
    /// Whether a worker was paused by the last word that was answered; nothing where the last one was not.
    pub(crate) paused: [Option<bool>; 2],
    /// How long the witnesses' log was at each cut.
    pub(crate) cuts: Vec<usize>,
    dice: Dice,
}

impl Machine {
    pub(crate) fn new(dice: Dice, kind: usize) -> Option<Self> {
        let world = World::new();
        let disk = Disk::new(&world, KINDS[kind])?;
        Some(Self {
            running: Vec::new(),
            disk,
            world,
            meant: Vec::new(),
            paused: [Some(false); 2],
            cuts: Vec::new(),
            dice,
        })
    }

    /// Starts whoever works.
    pub(crate) fn start(&mut self) {
        let started = WORKERS.map(|worker| self.world.start(&mut self.world.watcher(worker), worker));
        self.running.extend(started);
    }

    /// From a start to a cut.
    pub(crate) fn live(&mut self) {
        self.start();
        if self.cuts.is_empty() {
            // The first start lays out the root; later ones may be cut in their middle.
            for (worker, started) in WORKERS.iter().zip(&self.running) {
                self.world.at_work(worker, started);
            }
        }
        let life = Duration::from_millis(30 + self.dice.below(1500));
        let has_power = AtomicBool::new(true);
        let mut meant = std::mem::take(&mut self.meant);
        let (disk, world, dice) = (&self.disk, &self.world, &mut self.dice);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pass(life);
                // What is seen while this is true was seen before the cut.
                has_power.store(false, Ordering::SeqCst);
                disk.cut();
            });
            let mut user =
                User { world, dice, meant: &mut meant, paused: &mut self.paused, has_power: &has_power };
            while has_power.load(Ordering::SeqCst) {
                user.acts();
                user.looks();
                pass(Duration::from_millis(user.dice.below(25)));
            }
        });
        self.meant = meant;
        self.die();
        self.disk.back(&self.world);
        self.cuts.push(self.world.agent_log().len());
    }

    /// Without power nobody lives.
    fn die(&mut self) {
        let world = &self.world;
        world.until("nobody lives", || {
            let living = world.processes();
            for pid in &living {
                kill(Pid::from_raw(*pid), Signal::SIGKILL).ok();
            }
            living.iter().all(|pid| !traces::is_alive(*pid)).then_some(())
        });
        self.running.clear();
        // Half of a drop is what it is.
        self.meant.iter_mut().for_each(|it| it.rest = None);
    }

    /// All gates are open, and everybody works until nothing is left to do.
    pub(crate) fn in_peace(&mut self, is_settled: impl Fn(&Self) -> bool) {
        self.meant.iter().filter_map(|it| it.gate.as_ref()).for_each(|gate| traces::open(gate));
        self.start();
        for (worker, started) in WORKERS.iter().zip(&self.running) {
            self.world.at_work(worker, started);
            let resumed = self.world.agentctl(&["resume", worker]);
            assert!(resumed.status.success(), "{worker}: {resumed:?}");
        }
        let unsettled = || self.meant.iter().filter(|it| !self.world.homes(it.name).is_empty()).count();
        let mut ended = 0;
        while !is_settled(self) {
            // As long as it gets on; a retry waits up to a minute.
            let done = || {
                let of = |it: &&str| fs::read_dir(self.world.root().join(format!("tasks/{it}/completed")));
                WORKERS.iter().filter_map(|it| of(it).ok()).flatten().count()
            };
            let more = || (is_settled(self) || done() > ended).then(&done);
            ended = self.world.until(&format!("all {} have come home", unsettled()), more);
        }
        for it in std::mem::take(&mut self.running) {
            assert_eq!(it.stop(), 0, "who went on ends well");
        }
    }

    pub(crate) fn said(&self) -> String {
        self.world.said()
    }
}

/// Who drops tasks, and sees what becomes of them.
struct User<'a> {
    world: &'a World,
    dice: &'a mut Dice,
    meant: &'a mut Vec<Meant>,
    paused: &'a mut [Option<bool>; 2],
    has_power: &'a AtomicBool,
}

impl User<'_> {
    fn acts(&mut self) {
        match self.dice.below(20) {
            0..13 => self.hands_in(),
            13 | 14 => self.goes_on_writing(),
            15 => self.pauses(),
            _ => {
                let shut: Vec<&PathBuf> = self.meant.iter().filter_map(|it| it.gate.as_ref()).collect();
                if !shut.is_empty() {
                    let chosen = usize::try_from(self.dice.below(shut.len() as u64)).unwrap();
                    traces::open(shut[chosen]);
                }
            }
        }
    }

    fn hands_in(&mut self) {
        let name: &'static str = format!("t{}", self.meant.len()).leak();
        let how = How::ALL[usize::try_from(self.dice.below(4)).unwrap()];
        let gate = (self.dice.below(3) == 0).then(|| traces::gate(self.world, name));
        let step = gate.as_ref().map_or("fake: ".to_owned(), |it| format!("fake: gate={}; ", it.display()));
        let prompt = format!("{step}succeed text=done");
        let text = judge::task(&prompt).replacen('{', "{\"max_retries\":1000,", 1);
        let (dir, worker) = match self.dice.below(3) {
            0 => ("tasks/marie/pending", Some("marie")),
            1 => ("tasks/anga/pending", Some("anga")),
            _ => ("tasks", None),
        };
        let dir = self.world.root().join(dir);
        let mut meant = Meant { name, how, is_safe: false, done: None, gate, rest: None };
        let (temp, path) = (dir.join(format!("{name}.part")), dir.join(format!("{name}.json")));
        let dropped = match how {
            How::Submitted => {
                let file = self.world.path().join(format!("{name}.json"));
                fs::write(&file, &text).unwrap();
                let mut submit = self.world.command("agentctl");
                submit.args(["submit", "--file"]).arg(&file).args(["--id", name]);
                submit.args(worker.iter().flat_map(|it| ["--worker", it]));
                let done = submit.arg("--root").arg(self.world.root()).output().unwrap();
                meant.is_safe = done.status.success();
                Ok(())
            }
            How::Synced => {
                let synced = write(&temp, &text, true).and_then(|()| fs::rename(&temp, &path));
                let synced = synced.and_then(|()| File::open(&dir)?.sync_all());
                meant.is_safe = synced.is_ok();
                synced
            }
            How::Moved => write(&temp, &text, false).and_then(|()| fs::rename(&temp, &path)),
            How::Slowly => File::create(&path).and_then(|mut file| {
                let (first, rest) = text.split_at(text.len() / 2);
                file.write_all(first.as_bytes())?;
                meant.rest = Some((file, rest.to_owned()));
                Ok(())
            }),
        };
        assert!(dropped.is_ok() || !self.has_power.load(Ordering::SeqCst), "{how:?}: {dropped:?}");
        self.meant.push(meant);
    }

    /// A worker is to take nothing, or to take tasks again, which lasts over any restart.
    fn pauses(&mut self) {
        let which = usize::try_from(self.dice.below(2)).unwrap();
        let word = if self.paused[which] == Some(true) { "resume" } else { "pause" };
        self.paused[which] = None;
        if self.world.agentctl(&[word, WORKERS[which]]).status.success() {
            self.paused[which] = Some(word == "pause");
        }
    }

    /// The second half of the oldest that is half.
    fn goes_on_writing(&mut self) {
        let half = self.meant.iter_mut().find_map(|it| it.rest.take());
        if let Some((mut file, rest)) = half {
            file.write_all(rest.as_bytes()).ok();
        }
    }

    /// Who is seen in `completed/` while there is power is done, for good.
    fn looks(&mut self) {
        for worker in WORKERS {
            let dir = self.world.root().join(format!("tasks/{worker}/completed"));
            let names: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
            if !self.has_power.load(Ordering::SeqCst) {
                return;
            }
            let log = self.world.agent_log();
            for entry in names {
                let name = entry.file_name().to_string_lossy().trim_end_matches(".json").to_owned();
                if let Some(it) = self.meant.iter_mut().find(|it| it.name == name && it.done.is_none()) {
                    it.done = Some(started(&log, &name));
                    it.is_safe = true;
                }
            }
        }
    }
}

/// How many agents of a task were started.
pub(crate) fn started(log: &[serde_json::Value], name: &str) -> usize {
    log.iter().filter(|line| line["event"] == "start" && line["task"] == name).count()
}

fn write(path: &PathBuf, text: &str, sync: bool) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    if sync { file.sync_all() } else { Ok(()) }
}
