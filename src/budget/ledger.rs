//! The journals of all workers under a root, folded into what was spent, and read on as they grow.
//!
//! Invariants:
//! - only whole lines count, and each attempt counts once, whichever lines tell of it and however often;
//! - memory is bounded by the attempts of a day and by the packs that there are;
//! - where a journal is not the one that was read, or the clock was set back, everything is read anew.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde::Deserialize;

use super::Scope;
use super::buckets::{Buckets, Spent, minute_of};
use crate::clock::Timestamp;
use crate::layout::Layout;
use crate::os::trouble::if_there;
use crate::task::{RunId, Tokens, Usage, WorkerName};

/// The longest line that is read, in bytes.
const LINE_MAX: u64 = 1 << 20;
/// The packs that are told apart for each worker; what is spent with more of them is the worker's alone.
const PACKS_MAX: usize = 1000;
/// A clock that is set back by more makes the ledger read everything anew, in minutes.
const STEP: i64 = 2;
/// Days that are read: those that the last 24 hours reach into, and the next one, for a clock that was ahead.
const DAYS: [i64; 3] = [-1, 0, 1];

/// A line as far as it tells what was spent.
#[derive(Deserialize)]
struct Told<'a> {
    time: Timestamp,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default)]
    run_id: Option<RunId>,
    #[serde(default)]
    attempt: Option<u32>,
    #[serde(default)]
    cost_usd: Option<f64>,
    #[serde(default)]
    tokens: Option<Tokens>,
    #[serde(default, borrow)]
    pack: Option<Cow<'a, str>>,
}

/// How far a file was read.
#[derive(Clone, Copy, Debug)]
struct Mark {
    inode: u64,
    offset: u64,
}

/// What was spent under one root.
#[derive(Debug)]
pub struct Ledger {
    layout: Layout,
    marks: BTreeMap<(WorkerName, String), Mark>,
    /// By worker and pack; no pack is one that the line does not tell.
    spent: BTreeMap<(WorkerName, String), Buckets>,
    /// How many packs of each worker are told apart.
    packs: BTreeMap<WorkerName, usize>,
    counted: HashSet<u64>,
    counted_at: BTreeMap<i64, Vec<u64>>,
    now: i64,
    revision: u64,
}

impl Ledger {
    /// One that has read nothing yet.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            marks: BTreeMap::new(),
            spent: BTreeMap::new(),
            packs: BTreeMap::new(),
            counted: HashSet::new(),
            counted_at: BTreeMap::new(),
            now: i64::MIN,
            revision: 0,
        }
    }

    /// Reads what is new. An error is a journal that cannot be read now: what was known stays known.
    pub fn read(&mut self, now: Timestamp) -> io::Result<()> {
        let minute = minute_of(now);
        let workers = workers(&self.layout)?;
        let days: Vec<String> = DAYS.iter().filter_map(|day| day_of(now, *day)).collect();
        let is_new = |it: &Self| minute < it.now.saturating_sub(STEP) || it.is_replaced(&workers, &days);
        if is_new(self) {
            *self = Self { revision: self.revision + 1, ..Self::new(self.layout.clone()) };
        }
        self.now = minute;
        self.marks.retain(|(_, day), _| days.contains(day));
        let mut done = Ok(());
        for worker in &workers {
            for day in &days {
                done = done.and(self.read_day(worker, day));
            }
        }
        self.forget();
        done
    }

    /// Changes whenever something was counted.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Everybody who spent something.
    pub fn scopes(&self) -> Vec<Scope> {
        let workers = self.spent.keys().map(|(worker, _)| Scope::Worker(worker.clone()));
        let packs = self.spent.keys().filter(|(_, pack)| !pack.is_empty());
        let mut all: Vec<Scope> = workers.chain(packs.map(|(_, pack)| Scope::Pack(pack.clone()))).collect();
        all.sort();
        all.dedup();
        all
    }

    /// What was spent by a worker, or with a pack by all of them.
    pub fn of(&self, scope: &Scope) -> Buckets {
        let mut sum = Buckets::default();
        let is_theirs = |(worker, pack): &(WorkerName, String)| match scope {
            Scope::Worker(name) => worker == name,
            Scope::Pack(name) => pack == name,
        };
        for (_, buckets) in self.spent.iter().filter(|(key, _)| is_theirs(key)) {
            sum.merge(buckets);
        }
        sum
    }

    /// Whether a file that was read is another one by now, or shorter.
    fn is_replaced(&self, workers: &[WorkerName], days: &[String]) -> bool {
        let wanted =
            self.marks.iter().filter(|((worker, day), _)| workers.contains(worker) && days.contains(day));
        wanted.into_iter().any(|((worker, day), mark)| {
            std::fs::symlink_metadata(self.layout.journal(worker, day))
                .is_ok_and(|it| it.ino() != mark.inode || it.len() < mark.offset)
        })
    }

    fn read_day(&mut self, worker: &WorkerName, day: &str) -> io::Result<()> {
        let path = self.layout.journal(worker, day);
        let key = (worker.clone(), day.to_owned());
        let known = self.marks.get(&key).copied();
        let Some(meta) = if_there(std::fs::symlink_metadata(&path))? else { return Ok(()) };
        if !meta.is_file() || known.is_some_and(|it| it.offset == meta.len()) {
            return Ok(());
        }
        let Some((file, inode)) = open(&path)? else { return Ok(()) };
        let mut mark = Mark { inode, offset: known.map_or(0, |it| it.offset) };
        let mut reader = BufReader::with_capacity(1 << 16, file);
        reader.seek(SeekFrom::Start(mark.offset))?;
        let mut line = Vec::new();
        let done = loop {
            line.clear();
            let read = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
            let n = match read {
                Ok(n) => n as u64,
                Err(error) => break Err(error),
            };
            if line.last() == Some(&b'\n') {
                mark.offset += n;
                self.count(worker, &line);
            } else if n == LINE_MAX {
                mark.offset += n + reader.skip_until(b'\n')? as u64;
            } else {
                break Ok(());
            }
        };
        self.marks.insert(key, mark);
        done
    }

    fn count(&mut self, worker: &WorkerName, line: &[u8]) {
        // Most lines tell of nothing that was spent, and need not be understood.
        let text = std::str::from_utf8(line).unwrap_or_default();
        if !text.contains("\"cost_usd\"") && !text.contains("\"tokens\"") {
            return;
        }
        let Ok(told) = serde_json::from_str::<Told<'_>>(text) else { return };
        if !matches!(&*told.event, "requeued" | "concluded") {
            return;
        }
        let spent = Spent::of(Usage { cost_usd: told.cost_usd, tokens: told.tokens });
        let minute = minute_of(told.time).min(self.now);
        if spent.is_none() || minute <= self.now.saturating_sub(super::buckets::KEPT) {
            return;
        }
        if let Some(run) = told.run_id {
            let mut hasher = DefaultHasher::new();
            (run.to_string(), told.attempt).hash(&mut hasher);
            let attempt = hasher.finish();
            if !self.counted.insert(attempt) {
                return;
            }
            self.counted_at.entry(minute).or_default().push(attempt);
        }
        let pack = self.pack(worker, told.pack.as_deref().unwrap_or_default());
        self.spent.entry((worker.clone(), pack)).or_default().add(minute, self.now, spent);
        self.revision += 1;
    }

    /// The pack as it is counted: beyond [`PACKS_MAX`] of a worker it is none.
    fn pack(&mut self, worker: &WorkerName, pack: &str) -> String {
        let key = (worker.clone(), pack.to_owned());
        if self.spent.contains_key(&key) {
            return key.1;
        }
        let packs = self.packs.entry(worker.clone()).or_default();
        if *packs >= PACKS_MAX {
            return String::new();
        }
        *packs += 1;
        key.1
    }

    fn forget(&mut self) {
        let now = self.now;
        for buckets in self.spent.values_mut() {
            buckets.forget(now);
        }
        self.spent.retain(|_, buckets| !buckets.is_empty());
        self.packs.clear();
        for (worker, _) in self.spent.keys() {
            *self.packs.entry(worker.clone()).or_default() += 1;
        }
        let kept = now.saturating_sub(super::buckets::KEPT);
        while let Some(first) = self.counted_at.first_entry().filter(|it| *it.key() <= kept) {
            for attempt in first.remove() {
                self.counted.remove(&attempt);
            }
        }
    }
}

fn workers(layout: &Layout) -> io::Result<Vec<WorkerName>> {
    let Some(entries) = if_there(std::fs::read_dir(layout.workers()))? else { return Ok(Vec::new()) };
    let mut names: Vec<WorkerName> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    names.sort();
    Ok(names)
}

fn day_of(now: Timestamp, ahead: i64) -> Option<String> {
    let at = now.checked_add(jiff::SignedDuration::from_hours(24 * ahead)).ok()?;
    Some(at.strftime("%Y-%m-%d").to_string())
}

/// The file, if it is a plain one: nothing else is waited for or followed.
fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let Some(file) = if_there(File::options().read(true).custom_flags(flags).open(path))? else {
        return Ok(None);
    };
    let meta = file.metadata()?;
    Ok(meta.is_file().then(|| (file, meta.ino())))
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
