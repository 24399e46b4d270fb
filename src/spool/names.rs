//! Names that are taken, and names that are free: nothing that is there is ever replaced.

use std::path::{Path, PathBuf};

use super::found::FILE_LIMIT;
use super::queue::Spool;
use super::steps;
use super::store::{StepError, Store};
use crate::task::{FileName, Place, TaskFile};

/// The numbered names of one task that are looked at.
const NUMBERS: u32 = 1000;

impl<S: Store> Spool<S> {
    /// Renames a drop whose name is being worked on, so that the next drop of that name does not replace it;
    /// its new name.
    pub fn rename_aside(&self, place: Place, file: &FileName) -> Result<FileName, StepError> {
        let from = self.path(place, file);
        self.aside(&from, place, file)
    }

    /// Makes sure that nothing stands where a task is to go back to.
    pub(super) fn make_room(&self, queue: &Path, file: &FileName) -> Result<(), StepError> {
        if self.store.identity(queue).is_ok() {
            self.aside(queue, Place::Pending, file)?;
        }
        Ok(())
    }

    pub(super) fn aside(&self, from: &Path, place: Place, file: &FileName) -> Result<FileName, StepError> {
        let free = |name: &FileName| {
            Place::QUEUES
                .iter()
                .chain(&[Place::Active])
                .all(|at| self.store.identity(&self.path(*at, name)).is_err())
        };
        let name = numbered(file, free);
        let to = self.path(place, &name);
        self.shift(from, &to, &steps::transfer(from, &to))?;
        Ok(name)
    }

    /// The names in `place` that are taken: the file's own, and the numbered ones.
    pub fn taken<'a>(&'a self, place: Place, file: &'a FileName) -> impl Iterator<Item = PathBuf> + 'a {
        std::iter::once(file.clone())
            .chain((2..NUMBERS).map(|n| file.numbered(n)))
            .map(move |name| self.path(place, &name))
            .take_while(|path| self.store.identity(path).is_ok())
    }

    /// Where a task went from `active/`, if only the syncs after its move failed.
    pub(super) fn moved(&self, place: Place, file: &FileName, task: &TaskFile) -> Option<PathBuf> {
        if self.store.identity(&self.path(Place::Active, file)).is_ok() {
            return None;
        }
        let run = task.record.run_id?;
        let is_it = |path: &PathBuf| {
            let bytes = self.store.read(path, FILE_LIMIT).map(|(bytes, _)| bytes).unwrap_or_default();
            TaskFile::parse(&bytes).is_ok_and(|it| it.record.run_id == Some(run))
        };
        self.taken(place, file).find(is_it)
    }

    pub(super) fn free_name(&self, place: Place, file: &FileName) -> FileName {
        let free = |name: &FileName| self.store.identity(&self.path(place, name)).is_err();
        if free(file) { file.clone() } else { numbered(file, free) }
    }
}

/// The first of `x~2.json`, `x~3.json` … that is `free`.
fn numbered(file: &FileName, free: impl Fn(&FileName) -> bool) -> FileName {
    (2..u32::MAX).map(|n| file.numbered(n)).find(free).unwrap_or_else(|| file.numbered(u32::MAX))
}
