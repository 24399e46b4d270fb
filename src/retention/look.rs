//! Looking at what is no run: task files, days of the journal, logs, left-overs. Nothing is opened.

use std::fs::DirEntry;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::measure::{came, measure, modified, on_disk};
use super::needed::Needed;
use super::plan::{Item, Keep, What};
use super::round::Scope;
use super::{runs, taken};
use crate::clock::Timestamp;
use crate::task::{FileName, Place, RunId};

/// Reports of bugs that are kept, the latest.
const REPORTS_KEPT: usize = 20;

/// The task files in a terminal folder.
pub(super) fn tasks(
    scope: &Scope<'_>,
    place: Place,
    show: &mut dyn FnMut(Item),
    go_on: &mut dyn FnMut() -> bool,
) -> Option<()> {
    let reason = |file: &FileName| match place {
        Place::Failed => std::fs::symlink_metadata(scope.layout.reason(scope.worker, file)).ok(),
        Place::Inbox
        | Place::Pending
        | Place::Staged
        | Place::Active
        | Place::Completed
        | Place::Cancelled => None,
    };
    let of = |entry: DirEntry| {
        let file: FileName = entry.file_name().to_str()?.parse().ok()?;
        let meta = entry.metadata().ok().filter(|meta| !meta.is_dir())?;
        let beside = reason(&file).map_or(0, |meta| on_disk(&meta));
        Some(Item {
            at: came(&meta),
            bytes: on_disk(&meta) + beside,
            inode: meta.ino(),
            keep: None,
            what: What::Task(scope.worker.clone(), place, file),
        })
    };
    for entry in listed(&scope.layout.place(scope.worker, place)) {
        if !go_on() {
            return None;
        }
        if let Some(item) = of(entry) {
            show(item);
        }
    }
    Some(())
}

/// The days of the journal; a day is as old as its end.
pub(super) fn journal(scope: &Scope<'_>) -> Vec<Item> {
    let of = |entry: DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let day = name.strip_suffix(".ndjson")?;
        let end: Timestamp = format!("{day}T23:59:59Z").parse().ok()?;
        let item = file(&entry, end)?;
        Some(Item { keep: (end >= scope.now).then_some(Keep::Open), ..item })
    };
    listed(&scope.layout.journal_dir(scope.worker)).filter_map(of).collect()
}

/// What we put aside of the worker's logs: `marie.log.1`, `marie.out.1`. The files of others have other names.
pub(super) fn logs(scope: &Scope<'_>) -> Vec<Item> {
    let ours = |name: &str| {
        let rest = name.strip_prefix(scope.worker.as_str())?;
        let number = rest.strip_prefix(".log.").or_else(|| rest.strip_prefix(".out."))?;
        number.bytes().all(|c| c.is_ascii_digit()).then_some(())
    };
    let of = |entry: DirEntry| {
        ours(entry.file_name().to_str()?)?;
        file(&entry, modified(&entry.metadata().ok()?))
    };
    let below = scope.layout.logs();
    listed(scope.log_dir).chain(listed(&below)).filter_map(of).collect()
}

/// What nobody will ask for.
pub(super) fn leftovers(scope: &Scope<'_>, needed: Option<&Needed>) -> Vec<Item> {
    let mut items = temps(scope);
    items.extend(reports(scope));
    items.extend(reasons(scope));
    if let Some(needed) = needed {
        items.extend(dead_scratch(scope, needed));
        items.extend(idle_attempts(scope, needed));
        items.extend(taken_runs(scope, needed));
    }
    items
}

/// Gives back what was taken by somebody who died then: task files, to be judged anew, and runs that are needed.
pub(super) fn give_back_taken(scope: &Scope<'_>, needed: Option<&Needed>) {
    for place in Place::TERMINAL {
        for (hidden, path) in taken_in(&scope.layout.place(scope.worker, place)) {
            taken::give_back(&hidden, &path).ok();
        }
    }
    for dir in [scope.layout.artifacts(), scope.layout.workspaces()] {
        for (hidden, path) in taken_in(&dir) {
            let is_needed = |run| needed.is_some_and(|it| it.live.contains(&run) || it.failed.contains(&run));
            if runs::run_of(&path).is_some_and(is_needed) {
                taken::give_back(&hidden, &path).ok();
            }
        }
    }
}

fn taken_in(dir: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    listed(dir).filter_map(|entry| Some((entry.path(), taken::original(&entry.path())?)))
}

/// Runs that were taken and are not gone yet: their age was judged then.
fn taken_runs(scope: &Scope<'_>, needed: &Needed) -> Vec<Item> {
    let mut items = Vec::new();
    for dir in [scope.layout.artifacts(), scope.layout.workspaces()] {
        for (hidden, path) in taken_in(&dir) {
            let Some(run) = runs::run_of(&path) else { continue };
            let keep = needed.live.contains(&run).then_some(Keep::Needed);
            items.extend(folder(hidden, Timestamp::UNIX_EPOCH).map(|item| Item { keep, ..item }));
        }
    }
    items
}

/// Files of our own writes that were cut, `.NAME.PID.N.tmp`.
fn temps(scope: &Scope<'_>) -> Vec<Item> {
    let places = [Place::Inbox].into_iter().chain(Place::OF_WORKER);
    let dirs = places.map(|place| scope.layout.place(scope.worker, place));
    dirs.chain([scope.layout.worker(scope.worker), scope.layout.locks()])
        .flat_map(|dir| listed(&dir).collect::<Vec<_>>())
        .filter(|entry| entry.file_name().to_str().is_some_and(is_temp))
        .filter_map(|entry| file(&entry, came(&entry.metadata().ok()?)))
        .collect()
}

fn is_temp(name: &str) -> bool {
    let Some(inner) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")) else { return false };
    let mut parts = inner.rsplitn(3, '.');
    let mut number = || parts.next().is_some_and(|part| part.parse::<u64>().is_ok());
    number() && number() && parts.next().is_some()
}

/// Reports of bugs, but for the latest.
fn reports(scope: &Scope<'_>) -> Vec<Item> {
    let is_report = |name: &str| name.starts_with("panic-") && name.strip_suffix(".txt").is_some();
    let mut items: Vec<Item> = listed(&scope.layout.worker(scope.worker))
        .filter(|entry| entry.file_name().to_str().is_some_and(is_report))
        .filter_map(|entry| file(&entry, modified(&entry.metadata().ok()?)))
        .collect();
    items.sort_by_key(|item| item.at);
    items.truncate(items.len().saturating_sub(REPORTS_KEPT));
    items
}

/// Reasons whose failed task is not there any more.
fn reasons(scope: &Scope<'_>) -> Vec<Item> {
    let dir = scope.layout.place(scope.worker, Place::Failed);
    let alone = |entry: &DirEntry| {
        let name = entry.file_name();
        let task = name.to_str().and_then(|name| name.strip_suffix(".reason"));
        task.is_some_and(|task| std::fs::symlink_metadata(dir.join(task)).is_err())
    };
    listed(&dir).filter(alone).filter_map(|entry| file(&entry, came(&entry.metadata().ok()?))).collect()
}

/// The scratch of runs that are over.
fn dead_scratch(scope: &Scope<'_>, needed: &Needed) -> Vec<Item> {
    let over = |run: RunId| !needed.live.contains(&run) && !runs::is_locked(scope.layout, run);
    listed(scope.scratch)
        .map(|entry| entry.path())
        .filter(|path| runs::run_of(path).is_some_and(over))
        .filter_map(|path| {
            let at = came(&path.symlink_metadata().ok()?);
            folder(path, at)
        })
        .collect()
}

/// The folders of attempts that a record has forgotten: a fault that lasts leaves one every few minutes.
fn idle_attempts(scope: &Scope<'_>, needed: &Needed) -> Vec<Item> {
    let mut items = Vec::new();
    for (run, numbers) in &needed.attempts {
        let last = numbers.iter().max().copied().unwrap_or(0);
        let forgotten = |number: &u32| *number < last && !numbers.contains(number);
        let mine = runs::is_in(scope, *run) && !runs::is_locked(scope.layout, *run);
        let folders = runs::attempts(scope.layout, *run).filter(|(number, _)| mine && forgotten(number));
        items
            .extend(folders.filter_map(|(_, entry)| folder(entry.path(), modified(&entry.metadata().ok()?))));
    }
    items
}

fn listed(dir: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    std::fs::read_dir(dir).into_iter().flatten().flatten()
}

/// A regular file as an item.
fn file(entry: &DirEntry, at: Timestamp) -> Option<Item> {
    let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(Item { what: What::File(entry.path()), at, bytes: on_disk(&meta), inode: meta.ino(), keep: None })
}

fn folder(path: PathBuf, at: Timestamp) -> Option<Item> {
    let meta = std::fs::symlink_metadata(&path).ok()?;
    let bytes = measure(&path, &mut || true).map_or(0, |it| it.bytes);
    Some(Item { what: What::Folder(path), at, bytes, inode: meta.ino(), keep: None })
}
