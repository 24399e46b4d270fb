//! The queue of one worker: what lies where, and the record of what is worked on. Nobody above knows that a queue is
//! made of files.
//!
//! | verbs | where |
//! |---|---|
//! | examine, list, update | here |
//! | claim | [`super::claim`] |
//! | conclude, file, requeue, put back, reject | `filing` |
//! | refile, mend papers | `mending` |
//! | rename aside, and which names are free | `names` |
//! | stage, unstage | `release` |
//! | cancel, amend, renew | [`super::waiting`] |

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::found::{self, Examined};
use super::lease::Lease;
use super::steps;
use super::store::{StepError, Store};
use crate::clock::SharedClock;
use crate::layout::Layout;
use crate::task::{FileName, Misfit, Place, WorkerName};

/// The names in a place.
#[derive(Debug, Default)]
pub struct Listing {
    /// Task files.
    pub files: Vec<FileName>,
    /// What was meant for a task file and cannot be any by its name.
    pub misfits: Vec<(PathBuf, Misfit)>,
}

/// The queue of one worker.
#[derive(Clone, Debug)]
pub struct Spool<S> {
    pub(super) layout: Layout,
    pub(super) worker: WorkerName,
    pub(super) store: S,
    pub(super) clock: SharedClock,
}

impl<S: Store> Spool<S> {
    /// The queue of `worker` under the root of `layout`.
    pub fn new(layout: Layout, worker: WorkerName, store: S, clock: SharedClock) -> Self {
        Self { layout, worker, store, clock }
    }

    /// Where everything is.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whose queue it is.
    pub const fn worker(&self) -> &WorkerName {
        &self.worker
    }

    /// Time.
    pub fn clock(&self) -> SharedClock {
        SharedClock::clone(&self.clock)
    }

    /// The disk.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Where a file of `place` stands.
    pub fn path(&self, place: Place, file: &FileName) -> PathBuf {
        self.layout.task(&self.worker, place, file)
    }

    /// The task files in `place`, by name only.
    pub fn list(&self, place: Place) -> io::Result<Vec<FileName>> {
        Ok(self.list_all(place)?.files)
    }

    /// The same, and beside them the names that were meant for task files and cannot be any.
    pub fn list_all(&self, place: Place) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let dir = self.layout.place(&self.worker, place);
        for name in self.store.names(&dir)? {
            match name.to_str().and_then(|it| it.parse().ok()) {
                Some(file) => listing.files.push(file),
                None => listing.misfits.extend(Misfit::of(name.as_bytes()).map(|it| (dir.join(&name), it))),
            }
        }
        Ok(listing)
    }

    /// How many task files are in `place`.
    pub fn count(&self, place: Place) -> io::Result<u64> {
        self.store.count(&self.layout.place(&self.worker, place), |name| name.parse::<FileName>().is_ok())
    }

    /// Looks at one name in a queue.
    pub fn examine(&self, place: Place, file: &FileName) -> Examined {
        found::examine(self, place, file)
    }

    /// Looks at many names in a queue, in their order.
    pub fn examine_all(&self, place: Place, files: &[FileName]) -> Vec<Examined> {
        found::examine_all(self, place, files)
    }

    /// Writes the record of a task under way.
    pub fn update(&self, lease: &Lease) -> Result<(), StepError> {
        self.store.perform_all(&steps::put(&lease.active(&self.layout), lease.task.to_bytes(), None))
    }
}
