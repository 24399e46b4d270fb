//! Doing a plan, thing by thing. It may be cut anywhere; the next round carries on.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::plan::{Item, Plan, Tally, What};
use super::round::Round;
use super::{runs, taken};
use crate::checkout::Registration;
use crate::layout::Layout;
use crate::os::durable;
use crate::os::removal::remove_tree;
use crate::task::{Place, RunId};

/// How many runs are taken before the queues are looked at again for them.
const TOGETHER: usize = 64;
/// How many refusals are told word for word.
const TOLD_MAX: usize = 20;

/// What was done.
#[derive(Debug, Default)]
pub struct Applied {
    /// What is gone.
    pub gone: Tally,
    /// Things that changed, or were needed, after all.
    pub stayed: u64,
    /// Things that could not be removed, or not whole.
    pub refused: u64,
    /// Some of those and why.
    pub told: Vec<String>,
    /// Whether it was given up before its end.
    pub given_up: bool,
}

impl Applied {
    fn refuse(&mut self, what: &dyn std::fmt::Display, why: &dyn std::fmt::Display) {
        self.refused += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(format!("could not remove {what}: {why}"));
        }
    }
}

/// A run's folder under its hidden name.
struct Taken<'a> {
    item: &'a Item,
    run: RunId,
    path: PathBuf,
    hidden: PathBuf,
}

pub(super) fn apply(
    round: &mut Round<'_>,
    plan: &Plan,
    gone: &mut dyn FnMut(&Item),
    go_on: &mut dyn FnMut() -> bool,
) -> Applied {
    let mut applied = Applied::default();
    for part in plan.go.chunks(TOGETHER) {
        let mut taken = Vec::new();
        for item in part.iter().map(|decided| &decided.item) {
            if !go_on() {
                applied.given_up = true;
                break;
            }
            if let Some((run, path)) = folder_of(round.scope.layout, &item.what) {
                taken.extend(take_run(round.scope.layout, item, (run, path), &mut applied));
                continue;
            }
            match remove(round.scope.layout, item, go_on, &mut applied) {
                Ok(true) => count(&mut applied, item, gone),
                Ok(false) => {}
                Err(error) => applied.refuse(&item.what, &error),
            }
        }
        remove_runs(round, taken, (&mut applied, gone), go_on);
        if applied.given_up {
            break;
        }
    }
    applied
}

fn count(applied: &mut Applied, item: &Item, gone: &mut dyn FnMut(&Item)) {
    applied.gone.add(item.bytes);
    gone(item);
}

fn folder_of(layout: &Layout, what: &What) -> Option<(RunId, PathBuf)> {
    match what {
        What::Record(run) => Some((*run, layout.run(run).dir().to_owned())),
        What::Workspace(run) => Some((*run, layout.workspace(run))),
        What::Task(..) | What::File(_) | What::Folder(_) => None,
    }
}

/// Removes what is no run; whether it went.
fn remove(
    layout: &Layout,
    item: &Item,
    go_on: &mut dyn FnMut() -> bool,
    applied: &mut Applied,
) -> io::Result<bool> {
    match &item.what {
        What::Task(worker, place, file) => {
            let gone = remove_task(&layout.task(worker, *place, file), item)?;
            if gone && *place == Place::Failed {
                durable::remove_if_there(&layout.reason(worker, file))?;
            }
            applied.stayed += u64::from(!gone);
            Ok(gone)
        }
        What::File(path) => {
            let same = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.ino() == item.inode);
            if same {
                durable::remove_if_there(path)?;
            }
            applied.stayed += u64::from(!same);
            Ok(same)
        }
        What::Folder(path) => Ok(remove_folder(path, go_on, applied)),
        What::Record(_) | What::Workspace(_) => Ok(false),
    }
}

/// Takes the file, looks again, removes it; one that is another by now gets its name back.
fn remove_task(path: &Path, item: &Item) -> io::Result<bool> {
    let Some(hidden) = taken::take(path)? else { return Ok(false) };
    let is_it = std::fs::symlink_metadata(&hidden).is_ok_and(|meta| meta.ino() == item.inode);
    if is_it {
        return durable::remove_if_there(&hidden).map(|()| true);
    }
    taken::give_back(&hidden, path).map(|()| false)
}

fn remove_folder(path: &Path, go_on: &mut dyn FnMut() -> bool, applied: &mut Applied) -> bool {
    match remove_tree(path, go_on) {
        Ok(removal) if removal.is_whole() => true,
        Ok(removal) => {
            applied.given_up |= removal.given_up;
            if let Some((below, error)) = removal.told.first() {
                let more = format!("{error} ({} name(s) left)", removal.refused);
                applied.refuse(&path.join(below).display(), &more);
            }
            false
        }
        Err(error) => {
            applied.refuse(&path.display(), &error);
            false
        }
    }
}

fn take_run<'a>(
    layout: &Layout,
    item: &'a Item,
    (run, path): (RunId, PathBuf),
    applied: &mut Applied,
) -> Option<Taken<'a>> {
    if runs::is_locked(layout, run) {
        applied.stayed += 1;
        return None;
    }
    match taken::take(&path) {
        Ok(Some(hidden)) => Some(Taken { item, run, path, hidden }),
        Ok(None) => None,
        Err(error) => {
            applied.refuse(&item.what, &error);
            None
        }
    }
}

/// Looks at the queues once more, gives back what is needed after all, and removes the rest.
fn remove_runs(
    round: &mut Round<'_>,
    taken: Vec<Taken<'_>>,
    (applied, gone): (&mut Applied, &mut dyn FnMut(&Item)),
    go_on: &mut dyn FnMut() -> bool,
) {
    if taken.is_empty() {
        return;
    }
    let needed = round.look_again().cloned();
    for it in taken {
        let is_needed =
            needed.as_ref().is_none_or(|now| now.live.contains(&it.run) || now.failed.contains(&it.run));
        if is_needed {
            applied.stayed += 1;
            if let Err(error) = taken::give_back(&it.hidden, &it.path) {
                applied.refuse(&it.item.what, &error);
            }
        } else if !applied.given_up {
            // A repository that had a worktree there need not remember it.
            let registration = Registration::of(&it.hidden, &it.path);
            if remove_folder(&it.hidden, go_on, applied) {
                count(applied, it.item, gone);
                if let Some(Err(error)) = registration.map(Registration::forget) {
                    applied.refuse(&format!("the registration of the worktree of run {}", it.run), &error);
                }
            }
        }
    }
}
