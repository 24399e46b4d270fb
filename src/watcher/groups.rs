//! A control group for each run, where this worker may make some.
//!
//! Invariants:
//! - the path is written down before the agent is started, so that whoever comes after a death finds it;
//! - a run does not fail for want of a group: it works without one, which is said once;
//! - groups that are left of runs that are over go, with whoever is left in them; those of others are never touched.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{GroupsIn, WatcherConfig};
use crate::layout::{self, Layout};
use crate::os::cgroup::base::{Base, Counted};
use crate::os::cgroup::group::Group;
use crate::os::lock;
use crate::os::process::ending::{Patience, end_all};
use crate::recovery::groups;
use crate::task::{RunId, WorkerName};

/// For what is left in the group of a run that is over.
const PATIENCE: Patience = Patience { grace: Duration::from_secs(2), total: Duration::from_secs(12) };

/// The groups of this worker's runs.
#[derive(Debug)]
pub(super) struct Groups {
    worker: WorkerName,
    base: Option<Base>,
    /// The kernel refused one: no more are made.
    is_refused: AtomicBool,
}

impl Groups {
    /// Finds out whether it may make some, and says which it is.
    pub(super) fn settle(config: &WatcherConfig) -> Self {
        let base = match &config.cgroup {
            GroupsIn::Nothing => None,
            GroupsIn::Own => Base::own()
                .inspect_err(|why| tracing::info!("runs have no control groups of their own: {why}"))
                .ok(),
            GroupsIn::Given(path) => {
                let failed = |why: &String| {
                    tracing::warn!(path = %path.display(), "runs have no control groups of their own: {why}");
                };
                Base::given(path).inspect_err(failed).ok()
            }
        };
        if let Some(base) = &base {
            let path = base.path().display();
            match base.memory() {
                Ok(_) => tracing::info!(path = %path, "each run has a control group of its own"),
                Err(why) => {
                    tracing::info!(path = %path, "each run has a control group of its own, and its memory is weighed by us: {why}");
                }
            }
        }
        Self { worker: config.worker.clone(), base, is_refused: AtomicBool::new(false) }
    }

    /// Where they are, if there are any.
    pub(super) fn place(&self) -> Option<&Path> {
        self.base.as_ref().filter(|_| !self.is_refused.load(Ordering::Relaxed)).map(Base::path)
    }

    /// Where the group of a run will be, if it gets one.
    pub(super) fn path(&self, run: RunId) -> Option<PathBuf> {
        Some(self.place()?.join(groups::name(&self.worker, run)))
    }

    /// Whether what the kernel counts in the group of a run that was begun before us is all that it has.
    pub(super) fn count_all(&self) -> bool {
        self.base.as_ref().is_some_and(|base| base.memory() == Ok(Counted::Always))
    }

    /// Makes one for a run that may use so much memory.
    pub(super) fn make(&self, run: RunId, limit: Option<u64>) -> Option<Group> {
        let path = self.path(run)?;
        match Group::make(&path) {
            Ok(group) => {
                self.bound(&group, limit);
                Some(group)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %error, "could not make a control group; the run works without");
                None
            }
        }
    }

    /// Bounds its memory, where that is counted.
    pub(super) fn bound(&self, group: &Group, limit: Option<u64>) {
        if self.base.as_ref().is_some_and(|base| base.memory().is_ok())
            && let Err(error) = group.bound(limit)
        {
            tracing::warn!(path = %group.path().display(), error = %error, "could not bound the memory of a run");
        }
    }

    /// The kernel let nobody into a group. It will not let in others either: said once.
    pub(super) fn refused(&self, group: &Group, error: &std::io::Error) {
        group.remove().ok();
        if !self.is_refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                path = %group.path().display(),
                error = %error,
                "runs have no control groups of their own: the kernel lets nobody in"
            );
        }
    }

    /// Removes the groups of runs of this root and worker whose agents are gone, with what is left in them. To be called
    /// once everybody whose task is at work was looked at. Where the kernel ended somebody, the group stays until the end of
    /// its run is recorded: what is counted in it tells why. The next attempt makes it anew.
    pub(super) fn clear(&self, layout: &Layout, clock: &dyn Clock) {
        let Some(base) = &self.base else { return };
        for group in base.groups() {
            let name = group.path().file_name().and_then(|it| it.to_str()).unwrap_or_default();
            let Some(run) = groups::run_of(name, &self.worker) else { continue };
            if is_over(layout, run) {
                let ended = end_all(|| Ok(group.members()), Some(&group), PATIENCE, clock);
                if ended.found > 0 {
                    tracing::warn!(run_id = %run, found = ended.found, "ended processes of a run that is over");
                }
                let is_told = group.struck().kills == 0 || layout.run(&run).result().exists();
                if is_told && let Err(error) = group.remove() {
                    tracing::warn!(path = %group.path().display(), error = %error, "could not remove a control group");
                }
            }
        }
    }
}

/// Whether a run of this root has no agent that lives, by the locks of its streams.
fn is_over(layout: &Layout, run: RunId) -> bool {
    let Ok(entries) = std::fs::read_dir(layout.run(&run).dir()) else { return false };
    !entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("attempt-"))
        .any(|entry| lock::is_held(&layout::stream_in(&entry.path())).unwrap_or(true))
}
