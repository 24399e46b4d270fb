//! What the retention leaves, and what it takes.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::ledger::Ledger;
use crate::world::{World, until};
use crate::{Soak, WORKERS, sight};

/// How long things are kept.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    /// Task files, and the records of runs.
    age: Duration,
    every: Duration,
    /// Whether records are looked at too: a young one stays for ten minutes, whatever is said.
    records: bool,
}

/// A day of the journal that is too old, and one that is not.
const OLD: &str = "2020-02-29.ndjson";
/// Until another has had its turn, and goes on.
const PATIENCE: Duration = Duration::from_secs(20);
const A_WEEK: Duration = Duration::from_hours(7 * 24);

impl Kept {
    pub(crate) const SHORT: Self =
        Self { age: Duration::from_secs(2), every: Duration::from_secs(1), records: false };
    // A watcher's first round comes `every` after its start, and most of these do not live for a minute.
    pub(crate) const LONG: Self =
        Self { age: Duration::from_mins(12), every: Duration::from_secs(10), records: true };

    /// As the configuration file says it.
    pub(crate) fn settings(&self) -> String {
        let age = self.age.as_secs();
        format!(
            "retention_days_completed = \"{age}s\"\nretention_days_artifacts = \"{age}s\"\n\
             retention_days_workspaces = \"{age}s\"\nretention_days_journal = \"{}s\"\nretention_every = \"{}s\"\n",
            A_WEEK.as_secs(),
            self.every.as_secs()
        )
    }

    /// Lays days of the journal that are past their time, and one that is not: its name.
    pub(crate) fn old_days(world: &World) -> String {
        let young = Timestamp::now() - Duration::from_hours(3 * 24);
        let young = format!("{}.ndjson", young.strftime("%Y-%m-%d"));
        for worker in WORKERS {
            let dir = world.root().join(format!("workers/{worker}/journal"));
            for day in [OLD, &young] {
                fs::write(dir.join(day), "").unwrap();
                if let Some(uid) = world.uid {
                    nix::unistd::chown(&dir.join(day), Some(uid.into()), Some(uid.into())).unwrap();
                }
            }
        }
        young
    }

    /// What should have gone and is there, and what should be there and has gone.
    pub(crate) fn broken(&self, soak: &Soak, ledger: &Ledger, young_day: &String) -> Vec<String> {
        let world = &soak.world;
        let mut broken = Vec::new();
        let now = Timestamp::now();
        let files = |place: &str| sight::tasks(world, place);
        let completed: Vec<String> =
            WORKERS.iter().flat_map(|it| files(&format!("{it}/completed"))).collect();
        let there: HashSet<&str> = completed.iter().map(|it| it.trim_end_matches(".json")).collect();
        if there.len() != completed.len() {
            broken.push("a task is filed twice".to_owned());
        }
        // Nobody took what is younger than its time.
        let young = ledger.since(now - self.age + self.every);
        broken.extend(
            young.filter(|it| !there.contains(it.as_str())).map(|it| format!("{it} ended and is gone")),
        );
        for place in WORKERS
            .iter()
            .flat_map(|it| ["pending", "staged", "active", "failed"].map(|at| format!("{it}/{at}")))
        {
            broken.extend(files(&place).into_iter().map(|it| format!("{it} is left in {place}")));
        }
        broken.extend(self.overdue(soak));
        for worker in WORKERS {
            let days = sight::names(&world.root().join(format!("workers/{worker}/journal")));
            if !days.contains(young_day) {
                broken.push(format!("{worker}'s journal has lost a day that is young: {days:?}"));
            }
        }
        // Each looks every so often, and where it was killed lately a little later.
        let old = || {
            let days = |it: &&str| sight::names(&world.root().join(format!("workers/{it}/journal")));
            WORKERS.iter().flat_map(days).filter(|day| day == OLD).count()
        };
        if until(self.every * 4, || (old() == 0).then_some(())).is_none() {
            broken.push(format!("{} old days of journals are still there", old()));
        }
        broken
    }

    /// What is far past its time and stays. Whoever prunes gives way to the work, and may be behind when that is over: it
    /// has as long as it gets on.
    fn overdue(&self, soak: &Soak) -> Vec<String> {
        let limit = self.age + self.every * 6;
        let root = soak.world.root();
        let mut dirs: Vec<_> = WORKERS.map(|it| root.join(format!("tasks/{it}/completed"))).to_vec();
        if self.records {
            dirs.push(root.join("artifacts"));
        }
        let is_overdue = |entry: &fs::DirEntry| {
            let touched = entry.metadata().and_then(|it| it.modified());
            touched.is_ok_and(|it| it.elapsed().is_ok_and(|it| it > limit))
        };
        let entries = dirs.iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
        let mut behind: Vec<_> = entries.filter(is_overdue).map(|it| it.path()).collect();
        let (first, began) = (behind.len(), Instant::now());
        while !behind.is_empty() {
            let count = behind.len();
            let gets_on = until(self.every * 6 + PATIENCE, || {
                behind.retain(|path| path.exists());
                (behind.len() < count).then_some(())
            });
            if gets_on.is_none() {
                break;
            }
        }
        println!("{first} things were past their time, and gone after {} s", began.elapsed().as_secs());
        let some =
            behind.iter().take(3).map(|it| about(&root.join("tasks"), it)).collect::<Vec<_>>().join(", ");
        (!behind.is_empty())
            .then(|| format!("{} things stay past their time: {some}", behind.len()))
            .into_iter()
            .collect()
    }

    pub(crate) fn told(&self, ledger: &Ledger) -> String {
        format!("{:?} past {} s", ledger.pruned, self.age.as_secs())
    }
}

/// A thing, and the files below `tasks` that name it: a run stays as long as one does.
fn about(tasks: &Path, path: &Path) -> String {
    let name = path.file_name().unwrap();
    let found = Command::new("grep").args(["-rl", "-e"]).arg(name).arg(tasks).output().unwrap();
    format!("{} (named in {:?})", path.display(), String::from_utf8_lossy(&found.stdout))
}
