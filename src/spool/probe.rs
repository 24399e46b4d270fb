//! Trying out on a root what a worker needs of it: renames between all places, locks that exclude, named pipes.
//!
//! Invariants:
//! - it touches only files that it made itself, under hidden names that nobody takes for tasks, and removes them;
//! - a disk that is full or fails is no finding: a worker starts on one, says so and waits.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::suitable::{Finding, Weight, elsewhere, exchanging};
use crate::layout::Layout;
use crate::os::durable;
use crate::os::folder::{Folder, lacks_noreplace};
use crate::os::lock::Lock;
use crate::os::trouble::Trouble;
use crate::task::{Place, WorkerName};

/// Tries out whether locks lock, on a root that is laid out: before one is trusted.
pub fn probe_locks(layout: &Layout, worker: &WorkerName) -> Vec<Finding> {
    let dirs = [layout.worker(worker), layout.artifacts()];
    dirs.into_iter().filter_map(|dir| attempt(&dir, locks(layout.root(), &dir))).collect()
}

/// Tries out the rest. It is for the holder of the worker's lock: whoever recovers removes temporary files.
pub fn probe(layout: &Layout, worker: &WorkerName) -> Vec<Finding> {
    let mut found = exchanges(layout, worker);
    found.extend(attempt(&layout.artifacts(), pipes(layout.root(), &layout.artifacts())));
    found
}

/// A file goes from every place to `active/` and back.
fn exchanges(layout: &Layout, worker: &WorkerName) -> Vec<Finding> {
    let active = layout.place(worker, Place::Active);
    let (mut found, mut away) = (Vec::new(), Vec::new());
    let mut weaker = false;
    for place in exchanging().filter(|place| *place != Place::Active) {
        let dir = layout.place(worker, place);
        match there_and_back(layout.root(), &dir, &active) {
            Ok(Moves::Whole) => {}
            Ok(Moves::ByLink) => weaker = true,
            Err(error) if error.raw_os_error() == Some(nix::libc::EXDEV) => away.push(dir),
            Err(error) => found.extend(refused(&dir, &error)),
        }
    }
    found.extend(elsewhere(&active, &away));
    if weaker {
        found.push(Finding::new(
            Weight::Weaker,
            &active,
            "is on a file system without renames that refuse to replace (RENAME_NOREPLACE): a move is a link and an \
             unlink, and a crash in between leaves two names, which recovery knows",
            "nothing has to be done",
        ));
    }
    found
}

enum Moves {
    Whole,
    ByLink,
}

fn there_and_back(root: &Path, dir: &Path, active: &Path) -> io::Result<Moves> {
    let (here, there) = (Folder::open(root, dir)?, Folder::open(root, active)?);
    let name = temp(dir);
    let name = name.as_ref();
    drop(here.new_file(name, 0o600)?);
    let moved = match here.rename_noreplace(name, &there, name) {
        Err(error) if lacks_noreplace(&error) => {
            here.move_noreplace(name, &there, name).map(|()| Moves::ByLink)
        }
        other => other.map(|()| Moves::Whole),
    };
    let moved = moved.and_then(|moves| there.move_noreplace(name, &here, name).map(|()| moves));
    there.remove(name).and(here.remove(name))?;
    moved
}

/// A file that is locked refuses a second lock.
fn locks(root: &Path, dir: &Path) -> io::Result<Option<Finding>> {
    let remedy = "use a file system with flock, such as ext4, XFS or Btrfs";
    let folder = Folder::open(root, dir)?;
    let name = temp(dir);
    let file = folder.new_file(name.as_ref(), 0o600)?;
    let second = folder.file(name.as_ref());
    folder.remove(name.as_ref())?;
    let found = match Lock::try_exclusive_on(file) {
        Err(error) => Some(format!("is on a file system without locks (flock: {error})")),
        Ok(None) => Some("is on a file system where a new file is locked already".to_owned()),
        Ok(Some(first)) => {
            let twice = matches!(Lock::try_exclusive_on(second?), Ok(Some(_)));
            drop(first);
            twice.then(|| "is on a file system where two can hold one lock".to_owned())
        }
    };
    Ok(found.map(|what| Finding::new(Weight::Wrong, dir, &what, remedy)))
}

fn pipes(root: &Path, dir: &Path) -> io::Result<Option<Finding>> {
    let folder = Folder::open(root, dir)?;
    let name = temp(dir);
    match folder.make_fifo(name.as_ref()) {
        Ok(()) => folder.remove(name.as_ref()).map(|()| None),
        Err(error) if is_worth_waiting(&error) => Ok(None),
        Err(error) => Ok(Some(Finding::new(
            Weight::Wrong,
            dir,
            &format!(
                "is on a file system without named pipes (mkfifo: {error}), by which agents are spoken to"
            ),
            "use a file system with named pipes, such as ext4, XFS or Btrfs",
        ))),
    }
}

fn temp(dir: &Path) -> std::ffi::OsString {
    let path: PathBuf = durable::beside(&dir.join("probe"));
    path.file_name().unwrap_or(OsStr::new(".probe.tmp")).to_owned()
}

fn attempt(dir: &Path, tried: io::Result<Option<Finding>>) -> Option<Finding> {
    tried.unwrap_or_else(|error| refused(dir, &error))
}

/// Whether the machine is in trouble that says nothing of the root. One that is mounted read-only cannot carry a queue.
fn is_worth_waiting(error: &io::Error) -> bool {
    Trouble::of(error).is_some_and(|trouble| trouble != Trouble::ReadOnly)
}

fn refused(dir: &Path, error: &io::Error) -> Option<Finding> {
    if is_worth_waiting(error) {
        return None;
    }
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    Some(Finding::new(
        if denied { Weight::Denied } else { Weight::Wrong },
        dir,
        &format!("does not let a file be made and moved: {error}"),
        "a worker needs a folder of its own user's, on a local disk that is mounted writable",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_root_is_found_good_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, marie): (_, WorkerName) = (Layout::new(dir.path()), "marie".parse().unwrap());
        let folders: Vec<_> = layout.common_dirs().into_iter().chain(layout.worker_dirs(&marie)).collect();
        for folder in &folders {
            std::fs::create_dir_all(folder).unwrap();
        }
        assert_eq!((probe_locks(&layout, &marie), probe(&layout, &marie)), (vec![], vec![]));
        for folder in &folders {
            let files = std::fs::read_dir(folder).unwrap().flatten().filter(|it| !it.path().is_dir()).count();
            assert_eq!(files, 0, "{}", folder.display());
        }
    }
}
