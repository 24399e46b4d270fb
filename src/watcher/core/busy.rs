//! Directories that are not to be had for a while: another run works in them. Pure.

use std::collections::HashMap;

use crate::clock::Ticks;
use crate::spool::Head;
use crate::task::WorkdirMode;

/// What tells where a task works: its pack, its directory, its mode.
pub type Site = (Option<String>, Option<String>, Option<WorkdirMode>);

/// Which, and until when nobody asks again.
#[derive(Debug, Default)]
pub(super) struct Busy(HashMap<Site, Ticks>);

impl Busy {
    /// Nothing of `site` is claimed before `until`.
    pub(super) fn set(&mut self, site: Site, until: Ticks) {
        self.0.insert(site, until);
    }

    /// One of ours let go: it may be any of them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets what is due.
    pub(super) fn pass(&mut self, now: Ticks) {
        self.0.retain(|_, until| *until > now);
    }

    /// Whether a task has to wait.
    pub(super) fn has(&self, head: &Head) -> bool {
        // Most roots have none, and no task is to cost a copy of its names then.
        if self.0.is_empty() {
            return false;
        }
        let (workdir, mode) = head.special().workdir.clone();
        self.0.contains_key(&(head.special().pack.clone(), workdir, mode))
    }

    /// When the first is asked for again.
    pub(super) fn due(&self) -> Option<Ticks> {
        self.0.values().min().copied()
    }
}
