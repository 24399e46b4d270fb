//! A supervisor with three workers, while random processes of it are killed: watchers, agents, the supervisor itself.
//! Every task is done once, nothing is lost, and no conversation ever has two agents.
//!
//! The short form runs with the tests; `scripts/torture.sh --seed S --kills N` runs it as long as one likes. A
//! failure names its seed.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it starts and kills programs")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/dice.rs"]
mod dice;
#[path = "support/traces.rs"]
mod traces;
#[path = "support/world.rs"]
mod world;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use dice::Dice;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use traces::{alone, gate, is_alive, journal, open};
use world::{Started, World};

const WORKERS: [&str; 3] = ["marie", "anga", "fabien"];
/// How many kills fall while one task is handed in.
const KILLS_PER_TASK: u64 = 2;
/// How many tasks wait for their gate to open.
const GATES_SHUT: u64 = 12;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// One round.
struct Torture {
    world: World,
    dice: Dice,
    supervisor: Option<Started>,
    dropped: u64,
    killed: BTreeMap<&'static str, u64>,
}

impl Torture {
    fn new(seed: u64) -> Self {
        let world = World::new();
        let killed = BTreeMap::new();
        let mut round = Self { world, dice: Dice(seed), supervisor: None, dropped: 0, killed };
        round.supervise();
        for worker in WORKERS {
            let folder = round.world.root().join(format!("tasks/{worker}/pending"));
            round.world.until("the root is laid out", || folder.is_dir().then_some(()));
        }
        round
    }

    /// As a host would: a supervisor that is gone is started again.
    fn supervise(&mut self) {
        let mut command = self.world.command("supervisor");
        command
            .args(["up", "--workers", "marie=none,anga=none,fabien=none", "--metrics-addr", "none"])
            .args([
                "--max-restarts",
                "1000000",
                "--cooldown",
                "1ms",
                "--window",
                "1s",
                "--log-format",
                "json",
                "--api-requests-per-minute",
                "0",
            ])
            .arg("--root")
            .arg(self.world.root())
            .arg("--log-dir")
            .arg(self.world.logs())
            .arg("--claude-bin")
            .arg(self.world.program("fake-claude"));
        self.world.program("watcher");
        self.supervisor = Some(self.world.start(&mut command, "supervisor"));
    }

    /// Two of three tasks wait at a gate, so that their agents are there to be killed.
    fn hand_in(&mut self) {
        let name = format!("t{}", self.dropped);
        let gate = gate(&self.world, &name);
        let step = if self.dropped.is_multiple_of(3) {
            "say text=hello; succeed text=done".to_owned()
        } else {
            format!("gate={}; succeed text=done", gate.display())
        };
        let folder = match self.dice.below(4) {
            3 => ".".to_owned(),
            n => format!("{}/pending", WORKERS[usize::try_from(n).unwrap()]),
        };
        let task = json!({"prompt": format!("fake: {step} | {step}"), "max_retries": 1000});
        self.world.submit(&folder, &name, &task);
        self.dropped += 1;
        if let Some(due) = self.dropped.checked_sub(GATES_SHUT) {
            open(&self.gate_of(due));
        }
    }

    fn gate_of(&self, task: u64) -> std::path::PathBuf {
        gate(&self.world, &format!("t{task}"))
    }

    /// Kills one process of the kind that the dice choose; false if there is none just now.
    fn kill_one(&mut self) -> bool {
        let (kind, victims) = match self.dice.below(8) {
            0 => ("supervisor", self.supervisor.iter().map(Started::pid).collect()),
            1..=4 => ("watcher", self.watchers()),
            _ => ("agent", self.agents()),
        };
        if victims.is_empty() {
            return false;
        }
        let chosen = self.dice.below(victims.len() as u64);
        let victim = victims[usize::try_from(chosen).unwrap()];
        if kind == "supervisor" {
            self.supervisor.take().unwrap().murder();
            self.supervise();
        } else if !self.world.owns(victim) || kill(Pid::from_raw(victim), Signal::SIGKILL).is_err() {
            return false;
        }
        *self.killed.entry(kind).or_default() += 1;
        true
    }

    fn watchers(&self) -> Vec<i32> {
        let beat =
            |worker: &&str| world::json(&self.world.root().join(format!("workers/{worker}/heartbeat.json")));
        let pids = WORKERS.iter().filter_map(beat).filter_map(|beat| beat["pid"].as_i64());
        pids.filter_map(|pid| i32::try_from(pid).ok()).filter(|pid| is_alive(*pid)).collect()
    }

    fn agents(&self) -> Vec<i32> {
        let text = tail(&self.world.home().join("fake-claude.log"));
        let lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let recent = lines.filter(|line| line["event"] == "start").take(40);
        let mut pids: Vec<_> = recent.map(|line| traces::pid(&line)).filter(|pid| is_alive(*pid)).collect();
        pids.sort_unstable();
        pids
    }

    /// Kills, hands in, and lets a moment pass, until so many are dead.
    fn kill_many(&mut self, kills: u64) {
        let mut done = 0;
        while done < kills {
            if done / KILLS_PER_TASK >= self.dropped {
                self.hand_in();
            }
            let moment = Duration::from_millis(1 + self.dice.below(60));
            world::until(moment, || None::<()>);
            done += u64::from(self.kill_one());
        }
    }

    /// Everything that was handed in is filed.
    fn all_filed(&self) {
        for task in 0..self.dropped {
            open(&self.gate_of(task));
        }
        // A gradual resume of which too many agents were killed waits for somebody who has looked.
        for worker in WORKERS {
            let mut abandon = self.world.command("supervisor");
            abandon.args(["resume", worker, "--abandon", "--root"]).arg(self.world.root());
            self.world.start(&mut abandon, "abandon").ended();
        }
        let completed = || {
            let files = |worker: &&str| {
                std::fs::read_dir(self.world.root().join(format!("tasks/{worker}/completed")))
            };
            let all = WORKERS.iter().filter_map(|worker| files(worker).ok()).flatten().flatten();
            all.filter(|file| file.path().extension().is_some_and(|it| it == "json")).count() as u64
        };
        // As long as it gets on; a retry waits up to a minute.
        let mut before = completed();
        while before < self.dropped {
            let more = world::until(Duration::from_secs(100), || (completed() > before).then(&completed));
            assert!(more.is_some(), "{before} of {} filed\n{}", self.dropped, self.world.said());
            before = more.unwrap_or_default();
        }
    }
}

/// The last of a file that only grows: after thousands of kills all of it would take longer than a kill.
fn tail(path: &Path) -> String {
    const ENOUGH: u64 = 64 << 10;
    let Ok(mut file) = File::open(path) else { return String::new() };
    let from = file.metadata().unwrap().len().saturating_sub(ENOUGH);
    file.seek(SeekFrom::Start(from)).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What each task's agents said of themselves.
#[derive(Default)]
struct Told {
    started: u64,
    ended_well: u64,
}

fn told(world: &World) -> BTreeMap<String, Told> {
    let mut by_task = BTreeMap::<String, Told>::new();
    for line in world.agent_log() {
        let told = by_task.entry(line["task"].as_str().unwrap_or_default().to_owned()).or_default();
        told.started += u64::from(line["event"] == "start");
        told.ended_well += u64::from(line["event"] == "end" && line["code"] == 0);
    }
    by_task
}

fn check(round: &Torture, seed: u64) {
    let world = &round.world;
    let told = told(world);
    let mut filed = HashSet::new();
    for task in 0..round.dropped {
        let name = format!("t{task}");
        let homes = world.homes(&name);
        assert_eq!(homes.len(), 1, "seed {seed}: {name} is in {homes:?}");
        let file =
            world::json(&world.root().join("tasks").join(&homes[0]).join(format!("{name}.json"))).unwrap();
        assert_eq!(file["state"], "COMPLETED", "seed {seed}: {file:#}");
        assert_eq!(file["result"], "done", "seed {seed}: {file:#}");
        let attempts = file["attempts"].as_array().unwrap();
        let charged = attempts.iter().filter(|it| it["charged"] == true).count();
        assert_eq!(file["retry_count"].as_u64().unwrap_or(0), charged as u64, "seed {seed}: {file:#}");
        filed.insert(file["run_id"].to_string());
        let told = &told[&name];
        assert!(told.ended_well <= 1, "seed {seed}: {name} was done {} times", told.ended_well);
        assert!(told.started <= attempts.len() as u64, "seed {seed}: {name} has starts that nobody recorded");
    }
    let concluded: Vec<Value> = WORKERS.iter().flat_map(|worker| journal(world, worker)).collect();
    let runs: HashSet<_> = concluded
        .iter()
        .filter(|line| line["event"] == "concluded")
        .map(|line| line["run_id"].to_string())
        .collect();
    assert_eq!(runs, filed, "seed {seed}: the journals tell the end of each run, and of no other");
    alone(world);
}

#[test]
fn whatever_is_killed_every_task_is_done_once() {
    let seed = number("TORTURE_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1);
    let kills = number("TORTURE_KILLS").unwrap_or(60);
    let began = Instant::now();
    let mut round = Torture::new(seed);
    round.kill_many(kills);
    round.all_filed();
    check(&round, seed);
    let started: u64 = told(&round.world).values().map(|it| it.started).sum();
    // Only an agent that was killed itself is started again: the others are adopted, or had answered.
    let allowed = round.dropped + round.killed.get("agent").copied().unwrap_or(0);
    assert!(started <= allowed, "seed {seed}: {started} agents were started where {allowed} would do");
    println!(
        "torture: seed {seed}, {kills} points, 0 broken: kills {:?} over {} tasks, {started} agents started, all filed once, in {} s",
        round.killed,
        round.dropped,
        began.elapsed().as_secs()
    );
    let supervisor = round.supervisor.take().unwrap();
    assert_eq!(supervisor.stop(), 0, "{}", round.world.said());
    let fsck = round.world.agentctl(&["fsck"]);
    assert!(fsck.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&fsck.stdout));
}
