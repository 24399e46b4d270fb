//! The journals of all workers, read as they grow: which task has ended how often.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;

use crate::world::World;
use crate::{WORKERS, sight};

/// What the journals say.
#[derive(Default)]
pub(crate) struct Ledger {
    /// How far each file was read.
    read: HashMap<PathBuf, u64>,
    /// The ends of each task: their names, and when the last was.
    ends: HashMap<String, HashSet<String>>,
    last: HashMap<String, jiff::Timestamp>,
    not_well: Vec<String>,
    torn: Vec<String>,
    /// What went, by kind, as the journals tell.
    pub(crate) pruned: BTreeMap<String, u64>,
}

impl Ledger {
    /// Reads what is new; how many tasks have ended.
    pub(crate) fn look(&mut self, world: &World) -> usize {
        for worker in WORKERS {
            let dir = world.root().join(format!("workers/{worker}/journal"));
            for day in sight::names(&dir) {
                self.read_on(&dir.join(day));
            }
        }
        self.ended()
    }

    pub(crate) fn ended(&self) -> usize {
        self.ends.len()
    }

    fn read_on(&mut self, path: &PathBuf) {
        let from = self.read.get(path).copied().unwrap_or(0);
        let Ok(mut file) = fs::File::open(path) else { return };
        if file.metadata().map_or(0, |it| it.len()) <= from {
            return;
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        // What is being written is read next time.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read.insert(path.clone(), from + whole as u64);
        for line in String::from_utf8_lossy(&bytes[..whole]).lines().filter(|line| !line.is_empty()) {
            match serde_json::from_str::<Value>(line) {
                Ok(line) => self.note(&line),
                Err(_) => self.torn.push(line.chars().take(200).collect()),
            }
        }
    }

    fn note(&mut self, line: &Value) {
        if line["event"] == "pruned" {
            // `pruned completed 12 (3456 bytes), journal 1 (20 bytes)`
            let words: Vec<&str> = line["reason"].as_str().unwrap_or_default().split([' ', ',']).collect();
            for pair in words.windows(2) {
                if let Ok(count) = pair[1].parse::<u64>() {
                    *self.pruned.entry(pair[0].to_owned()).or_default() += count;
                }
            }
        }
        if line["event"] != "concluded" {
            return;
        }
        let task = line["task"].as_str().unwrap_or_default().to_owned();
        if line["to"] != "COMPLETED" {
            self.not_well.push(line.to_string());
        }
        if let Some(time) = line["time"].as_str().and_then(|it| it.parse().ok()) {
            self.last.insert(task.clone(), time);
        }
        self.ends.entry(task).or_default().insert(line["id"].to_string());
    }

    /// The first of those that have not ended.
    pub(crate) fn missing(&self, dropped: usize) -> Vec<String> {
        let names = (0..dropped).map(|n| format!("t{n}"));
        names.filter(|name| !self.ends.contains_key(name)).take(10).collect()
    }

    /// Ends of what nobody handed in.
    pub(crate) fn strange(&self, dropped: usize) -> Vec<String> {
        let is_known = |name: &str| {
            name.strip_prefix('t').and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n < dropped)
        };
        let strange = self.ends.iter().filter(|(name, _)| !is_known(name));
        strange.map(|(name, ids)| format!("{name:?} ended, which nobody handed in: {ids:?}")).collect()
    }

    /// Every line about a task, its namesakes too, for a failure.
    pub(crate) fn about(world: &World, names: &[String]) -> String {
        let mut lines = Vec::new();
        for worker in WORKERS {
            for line in sight::journal(world, worker) {
                let task = line["task"].as_str().unwrap_or_default().split('~').next().unwrap_or_default();
                if names.iter().any(|name| name == task) {
                    lines.push(line.to_string());
                }
            }
        }
        for run in fs::read_dir(world.root().join("artifacts")).into_iter().flatten().flatten() {
            let input = fs::read_to_string(run.path().join("input.json")).unwrap_or_default();
            if names.iter().any(|name| input.contains(&format!("say {name}\""))) {
                lines.push(input);
            }
        }
        lines.join("\n")
    }

    /// The first names of ends that are too many.
    pub(crate) fn namesakes(&self, dropped: usize) -> Vec<String> {
        let strange = self.strange(dropped);
        let names = strange.iter().filter_map(|it| it.trim_matches('"').split(['~', '"']).next());
        names.take(3).map(str::to_owned).collect()
    }

    /// Each task has one end, and a good one.
    pub(crate) fn broken(&self, dropped: usize) -> Vec<String> {
        let mut broken: Vec<String> =
            self.missing(dropped).iter().map(|it| format!("{it} never ended")).collect();
        let twice = self.ends.iter().filter(|(_, ids)| ids.len() != 1);
        broken.extend(twice.map(|(task, ids)| format!("{task} ended {} times", ids.len())));
        // What a kill tears off stands on a line of its own, if it does: a full disk leaves nothing.
        broken.extend(self.torn.iter().map(|it| format!("half of a line in a journal: {it}")));
        broken.extend(self.not_well.iter().map(|it| format!("it did not end well: {it}")));
        broken.extend(self.strange(dropped));
        broken
    }

    /// Those that ended after this moment.
    pub(crate) fn since(&self, moment: jiff::Timestamp) -> impl Iterator<Item = &String> {
        self.last.iter().filter(move |(_, at)| **at >= moment).map(|(task, _)| task)
    }
}
