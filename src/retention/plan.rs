//! What goes and what stays, decided from what was seen. No disk, no clock.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::config::{Kind, Limit};
use crate::task::{FileName, Place, RunId, WorkerName};

/// A run whose record changed so lately may be on its way from one folder to another.
pub(super) const FRESH: Duration = Duration::from_mins(10);

/// One thing that can go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A task file in a terminal folder.
    Task(WorkerName, Place, FileName),
    /// The record of a run.
    Record(RunId),
    /// The working directory of a run.
    Workspace(RunId),
    /// A file that is removed as it is.
    File(PathBuf),
    /// A folder that is removed with everything in it.
    Folder(PathBuf),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(worker, place, file) => write!(f, "tasks/{worker}/{place}/{file}"),
            Self::Record(run) => write!(f, "artifacts/{run}"),
            Self::Workspace(run) => write!(f, "workspaces/{run}"),
            Self::File(path) | Self::Folder(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What was seen of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is.
    pub what: What,
    /// When it was last touched.
    pub at: Timestamp,
    /// What removing it frees.
    pub bytes: u64,
    /// Its inode: another file of the same name is another thing.
    #[serde(skip)]
    pub inode: u64,
    /// Why it must stay, whatever its age.
    #[serde(skip)]
    pub keep: Option<Keep>,
}

/// Why something stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// A task that waits or works needs it.
    Needed,
    /// Its task failed, and nobody has taken it up.
    Failed,
    /// An agent holds its stream.
    Locked,
    /// It may be written to just now.
    Open,
    /// The queues could not be looked at.
    Unknown,
    /// It is not old enough.
    Young,
}

impl Keep {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Needed => "needed by a task that waits or works",
            Self::Failed => "of a task in failed/ that nobody has taken up",
            Self::Locked => "held by an agent that lives",
            Self::Open => "in use today",
            Self::Unknown => "the queues could not be looked at",
            Self::Young => "within its time and size",
        }
    }
}

/// Why something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is older than it is to be kept.
    Age,
    /// There is more of its kind than is to be kept, and it is among the oldest.
    Size,
}

impl Why {
    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
        }
    }
}

/// How many, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Things.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Tally {
    /// One more.
    pub const fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// One thing that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// What.
    #[serde(flatten)]
    pub item: Item,
    /// Why.
    pub why: Why,
}

/// What of one kind goes, the oldest first, and what stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The kind.
    pub kind: Kind,
    /// What goes.
    pub go: Vec<Decided>,
    /// What stays and why.
    pub stay: BTreeMap<Keep, Tally>,
}

impl Plan {
    /// How much goes.
    pub fn going(&self) -> Tally {
        self.go.iter().fold(Tally::default(), |mut tally, it| {
            tally.add(it.item.bytes);
            tally
        })
    }
}

/// What was seen of one kind. Of a hundred thousand things that stay, only the count is kept.
#[derive(Debug, Default)]
pub(super) struct Seen {
    items: Vec<Item>,
    stay: BTreeMap<Keep, Tally>,
    sift: Sift,
}

/// What is kept of what was seen.
#[derive(Clone, Copy, Debug, Default)]
enum Sift {
    /// Everything that may go.
    #[default]
    Nothing,
    /// Only what is older than it is to be kept.
    Young(Limit, Timestamp),
}

impl Seen {
    /// Keeps only what goes by its age, and counts the rest.
    pub(super) fn sifting(limit: Limit, now: Timestamp) -> Self {
        Self { sift: Sift::Young(limit, now), ..Self::default() }
    }

    /// Takes in one thing.
    pub(super) fn push(&mut self, item: Item) {
        let keep = item.keep.or_else(|| match self.sift {
            Sift::Nothing => None,
            Sift::Young(limit, now) => judge(&item, Limit { bytes: None, ..limit }, 0, now).err(),
        });
        match keep {
            Some(keep) => self.stay.entry(keep).or_default().add(item.bytes),
            None => self.items.push(item),
        }
    }

    /// Whether what stays is more than is to be kept, so that everything must be looked at.
    pub(super) fn is_too_much(&self, limit: Limit) -> bool {
        limit.bytes.is_some_and(|most| self.staying() > most)
    }

    fn staying(&self) -> u64 {
        self.stay.values().fold(0, |sum, tally| sum.saturating_add(tally.bytes))
    }
}

/// Decides about everything of one kind.
pub(super) fn decide(kind: Kind, seen: Seen, limit: Limit, now: Timestamp) -> Plan {
    let mut left = seen.items.iter().fold(seen.staying(), |sum, item| sum.saturating_add(item.bytes));
    let Seen { mut items, stay, .. } = seen;
    items.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.what.cmp(&b.what)));
    let mut plan = Plan { kind, go: Vec::new(), stay };
    for item in items {
        match judge(&item, limit, left, now) {
            Ok(why) => {
                left = left.saturating_sub(item.bytes);
                plan.go.push(Decided { item, why });
            }
            Err(keep) => plan.stay.entry(keep).or_default().add(item.bytes),
        }
    }
    plan
}

fn judge(item: &Item, limit: Limit, left: u64, now: Timestamp) -> Result<Why, Keep> {
    let age = Duration::try_from(now.duration_since(item.at)).unwrap_or(Duration::ZERO);
    let is_run = matches!(item.what, What::Record(_) | What::Workspace(_));
    if is_run && age < FRESH {
        return Err(Keep::Young);
    }
    if limit.age.is_some_and(|most| age > most) {
        return Ok(Why::Age);
    }
    if limit.bytes.is_some_and(|most| left > most) {
        return Ok(Why::Size);
    }
    Err(Keep::Young)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn at(ago: i64) -> Timestamp {
        Timestamp::from_second(NOW - ago).unwrap()
    }

    fn item(name: &str, ago: i64, bytes: u64, keep: Option<Keep>) -> Item {
        Item { what: What::File(name.into()), at: at(ago), bytes, inode: 0, keep }
    }

    /// As a round does: sifted first, and all of it where that is too much.
    fn decide(kind: Kind, items: Vec<Item>, limit: Limit, now: Timestamp) -> Plan {
        let mut seen = Seen::sifting(limit, now);
        for item in items.clone() {
            seen.push(item);
        }
        if seen.is_too_much(limit) {
            seen = Seen::default();
            for item in items {
                seen.push(item);
            }
        }
        super::decide(kind, seen, limit, now)
    }

    fn gone(plan: &Plan) -> Vec<(String, Why)> {
        plan.go.iter().map(|it| (it.item.what.to_string(), it.why)).collect()
    }

    fn limit(age: Option<u64>, bytes: Option<u64>) -> Limit {
        Limit { age: age.map(Duration::from_secs), bytes }
    }

    #[test]
    fn what_is_older_goes_and_then_the_oldest_until_the_rest_fits() {
        let items = || vec![item("c", 30, 10, None), item("a", 100, 10, None), item("b", 50, 10, None)];
        let names = |limit: Limit| gone(&decide(Kind::Logs, items(), limit, at(0)));
        let by_age = ("a".to_owned(), Why::Age);
        for (limit, expected) in [
            (limit(None, None), vec![]),
            (limit(Some(100), None), vec![]),
            (limit(Some(99), None), vec![by_age.clone()]),
            (limit(Some(99), Some(20)), vec![by_age.clone()]),
            (limit(Some(99), Some(19)), vec![by_age, ("b".to_owned(), Why::Size)]),
            (limit(None, Some(0)), ["a", "b", "c"].map(|it| (it.to_owned(), Why::Size)).into()),
        ] {
            assert_eq!(names(limit), expected, "{limit:?}");
        }
    }

    #[test]
    fn what_must_stay_stays_and_counts_against_the_size_all_the_same() {
        for keep in [Keep::Needed, Keep::Failed, Keep::Locked, Keep::Open, Keep::Unknown] {
            let items = vec![item("kept", 1_000, 100, Some(keep)), item("free", 10, 10, None)];
            let plan = decide(Kind::Artifacts, items, limit(Some(100), Some(50)), at(0));
            assert_eq!(gone(&plan), [("free".to_owned(), Why::Size)], "{keep:?}");
            assert_eq!(plan.stay, BTreeMap::from([(keep, Tally { count: 1, bytes: 100 })]));
            assert_eq!(plan.going(), Tally { count: 1, bytes: 10 });
        }
    }

    #[test]
    fn a_run_that_was_touched_just_now_stays_even_if_nothing_is_to_be_kept() {
        let run = RunId::mint();
        for what in [What::Record(run), What::Workspace(run)] {
            for (ago, goes) in [(599, 0), (601, 1)] {
                let items = vec![Item { what: what.clone(), at: at(ago), bytes: 1, inode: 0, keep: None }];
                let plan = decide(Kind::Artifacts, items, limit(Some(0), Some(0)), at(0));
                assert_eq!(plan.go.len(), goes, "{what} {ago}");
            }
        }
    }

    #[test]
    fn a_time_that_lies_ahead_is_no_age() {
        let items = vec![item("future", -1_000, 1, None)];
        assert!(decide(Kind::Journal, items, limit(Some(1), None), at(0)).go.is_empty());
    }
}
