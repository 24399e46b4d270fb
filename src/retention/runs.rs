//! Looking at the runs: their records and their workspaces.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::measure;
use super::needed::Needed;
use super::plan::{Item, Keep, What};
use super::round::Scope;
use crate::layout::Layout;
use crate::os::durable::Durability;
use crate::os::lock;
use crate::spool::Disk;
use crate::spool::input::Input;
use crate::task::RunId;

/// Which half of a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum RunPart {
    Record,
    Workspace,
}

/// The records or the workspaces of this worker's runs and of nobody's; `None` if it was to be given up.
pub(super) fn runs(
    (scope, needed): (&Scope<'_>, Option<&Needed>),
    kind: RunPart,
    show: &mut dyn FnMut(Item),
    go_on: &mut dyn FnMut() -> bool,
) -> Option<()> {
    let layout = scope.layout;
    let (dir, what): (PathBuf, fn(RunId) -> What) = match kind {
        RunPart::Record => (layout.artifacts(), What::Record),
        RunPart::Workspace => (layout.workspaces(), What::Workspace),
    };
    for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
        if !go_on() {
            return None;
        }
        let Some(run) = run_of(&entry.path()).filter(|run| is_in(scope, *run)) else { continue };
        let measure = measure::measure(&entry.path(), go_on)?;
        // A workspace is as old as its run: what was laid into it may be older than either.
        let run_at = touched(layout.run(&run).dir()).max(touched(&layout.run(&run).history()));
        show(Item {
            what: what(run),
            at: measure.latest.max(run_at),
            bytes: measure.bytes,
            inode: entry.metadata().map_or(0, |meta| meta.ino()),
            keep: keep(layout, needed, run),
        });
    }
    Some(())
}

fn touched(path: &Path) -> crate::clock::Timestamp {
    std::fs::symlink_metadata(path).map(|meta| measure::modified(&meta)).unwrap_or_default()
}

/// The run that a folder is named after.
pub(super) fn run_of(path: &Path) -> Option<RunId> {
    path.file_name()?.to_str()?.parse().ok().map(RunId)
}

/// Whether a run is this worker's, or nobody's: without a record, or of a worker that is no more. One whose record
/// cannot be read now is looked at another time.
pub(super) fn is_in(scope: &Scope<'_>, run: RunId) -> bool {
    match Input::read(&Disk::new(scope.layout.root(), Durability::None), scope.layout, run) {
        Ok(Some(input)) => input.worker == *scope.worker || !scope.layout.worker(&input.worker).exists(),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Why a run must stay.
pub(super) fn keep(layout: &Layout, needed: Option<&Needed>, run: RunId) -> Option<Keep> {
    let Some(needed) = needed else { return Some(Keep::Unknown) };
    if needed.live.contains(&run) {
        return Some(Keep::Needed);
    }
    if needed.failed.contains(&run) {
        return Some(Keep::Failed);
    }
    is_locked(layout, run).then_some(Keep::Locked)
}

/// Whether an agent holds a stream of this run. What cannot be asked is taken for held.
pub(super) fn is_locked(layout: &Layout, run: RunId) -> bool {
    attempts(layout, run).any(|(number, _)| lock::is_held(&layout.run(&run).stream(number)).unwrap_or(true))
}

/// The folders of a run's attempts, with their numbers.
pub(super) fn attempts(layout: &Layout, run: RunId) -> impl Iterator<Item = (u32, std::fs::DirEntry)> {
    let entries = std::fs::read_dir(layout.run(&run).dir()).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.strip_prefix("attempt-")?.parse().ok()?;
        Some((number, entry))
    })
}
