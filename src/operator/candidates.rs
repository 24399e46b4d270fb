//! What a shell may complete: names of workers and of tasks.
//!
//! Invariant: no task file is opened and no lock is asked for, so that a press of Tab costs the listing of a few
//! folders. It deliberately does not report: a root that cannot be read has no names.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::layout::Layout;
use crate::task::{Place, WorkerName};

use super::look::{self, Entry};

/// How many tasks are named.
const TASKS: usize = 200;

/// The workers.
pub fn workers(layout: &Layout) -> Vec<String> {
    look::workers(layout).unwrap_or_default().iter().map(WorkerName::to_string).collect()
}

/// The tasks whose names begin so: those that wait or run before those that have ended, the latest first. One whose
/// name several have is called `worker/task`, and so is every one once a worker was named.
pub fn tasks(layout: &Layout, begun: &str) -> Vec<String> {
    let workers = look::workers(layout).unwrap_or_default();
    let mut found: Vec<Entry> = look::all_places(&workers)
        .into_iter()
        .flat_map(|(worker, place)| look::entries(layout, worker.as_ref(), place).unwrap_or_default())
        .collect();
    found.sort_by_key(|entry| (Place::TERMINAL.contains(&entry.place), Reverse(entry.mtime)));
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &found {
        *times.entry(entry.file.stem().to_owned()).or_default() += 1;
    }
    let called = |entry: &Entry| {
        let stem = entry.file.stem();
        let worker = entry.worker.as_ref().map_or("inbox", WorkerName::as_str);
        let is_short = !begun.contains('/') && times.get(stem).is_some_and(|times| *times == 1);
        if is_short { stem.to_owned() } else { format!("{worker}/{stem}") }
    };
    let mut names: Vec<String> = Vec::new();
    for name in found.iter().map(called).filter(|name| name.contains(begun)) {
        if names.len() < TASKS && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::durable::{DIR_MODE, make_dir, write_new};

    #[test]
    fn live_tasks_come_first_and_what_several_have_is_called_in_full() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        for worker in ["anga", "marie"].map(|name| name.parse::<WorkerName>().unwrap()) {
            for place in Place::OF_WORKER {
                make_dir(&layout.place(&worker, place), DIR_MODE).unwrap();
            }
        }
        for path in
            ["marie/completed/old", "marie/active/now", "anga/pending/twin", "marie/failed/twin", "in"]
        {
            write_new(&layout.tasks().join(format!("{path}.json")), b"{}", None).unwrap();
        }
        assert_eq!(workers(&layout), ["anga", "marie"]);
        let all = tasks(&layout, "");
        assert_eq!(all.len(), 5, "{all:?}");
        assert!(all[..3].contains(&"now".to_owned()) && all[3..].contains(&"old".to_owned()), "{all:?}");
        let mut twins = tasks(&layout, "twin");
        twins.sort();
        assert_eq!(twins, ["anga/twin", "marie/twin"]);
        assert_eq!(tasks(&layout, "marie/n"), ["marie/now"]);
        assert_eq!(tasks(&Layout::new("/nonexistent"), ""), Vec::<String>::new());
    }
}
