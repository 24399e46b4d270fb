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

/// How many numbers are tried one by one.
const ONE_BY_ONE: u32 = 64;

/// One of `x~2.json`, `x~3.json` … that is `free`: the first where they are few, else one behind which a taken one
/// stands, found in steps that double. A name that is dropped every minute for a year costs a dozen looks.
fn numbered(file: &FileName, free: impl Fn(&FileName) -> bool) -> FileName {
    let is_free = |n: u32| free(&file.numbered(n));
    if let Some(n) = (2..ONE_BY_ONE).find(|n| is_free(*n)) {
        return file.numbered(n);
    }
    let (mut taken, mut open) = (ONE_BY_ONE - 1, ONE_BY_ONE);
    while !is_free(open) && open < u32::MAX {
        taken = open;
        open = open.saturating_mul(2);
    }
    while open - taken > 1 {
        let middle = taken + (open - taken) / 2;
        if is_free(middle) { open = middle } else { taken = middle }
    }
    file.numbered(open)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_free_number_is_found_in_a_few_looks_however_many_are_taken() {
        let file: FileName = "x.json".parse().unwrap();
        for taken in [1, 2, 3, 62, 63, 64, 65, 100, 9_999, 500_000] {
            let looks = Cell::new(0);
            let free = |name: &FileName| {
                looks.set(looks.get() + 1);
                let number: u32 = name.stem().rsplit_once('~').unwrap().1.parse().unwrap();
                number > taken
            };
            assert_eq!(numbered(&file, free), file.numbered(taken.max(1) + 1), "{taken}");
            assert!(looks.get() < 110, "{taken}: {} looks", looks.get());
        }
    }

    #[test]
    fn a_number_that_was_found_is_free_also_where_some_between_went() {
        let file: FileName = "x.json".parse().unwrap();
        let taken = |n: u32| n < 5_000 && !n.is_multiple_of(97) || n < 64;
        let free = |name: &FileName| !taken(name.stem().rsplit_once('~').unwrap().1.parse().unwrap());
        assert!(free(&numbered(&file, free)));
    }
}
