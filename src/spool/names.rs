//! Names that are taken, and names that are free: nothing that is there is ever replaced.

use std::io;
use std::path::{Path, PathBuf};

use super::found::FILE_LIMIT;
use super::queue::Spool;
use super::steps;
use super::store::{StepError, Store};
use crate::os::trouble::is_no_answer;
use crate::task::{FileName, Place, RunId, TaskFile};

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
        if self.store.find(queue)?.is_some() {
            self.aside(queue, Place::Pending, file)?;
        }
        Ok(())
    }

    pub(super) fn aside(&self, from: &Path, place: Place, file: &FileName) -> Result<FileName, StepError> {
        let name = numbered(file, |name| self.is_free(name))?;
        let to = self.path(place, &name);
        self.shift(from, &to, &steps::transfer(from, &to))?;
        Ok(name)
    }

    /// Whether no task has this name that waits or is worked on.
    pub(super) fn is_free(&self, name: &FileName) -> Result<bool, StepError> {
        for at in Place::QUEUES.iter().chain(&[Place::Active]) {
            if self.store.find(&self.path(*at, name))?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The names in `place` that are taken: the file's own, and the numbered ones.
    pub fn taken(&self, place: Place, file: &FileName) -> Result<Vec<PathBuf>, StepError> {
        let names = std::iter::once(file.clone()).chain((2..NUMBERS).map(|n| file.numbered(n)));
        let mut taken = Vec::new();
        for path in names.map(|name| self.path(place, &name)) {
            if self.store.find(&path)?.is_none() {
                break;
            }
            taken.push(path);
        }
        Ok(taken)
    }

    /// Where a task went from `active/`, if only the syncs after its move failed. Filed again for a disk that did not
    /// answer, it would have two homes.
    pub(super) fn moved(
        &self,
        place: Place,
        file: &FileName,
        task: &TaskFile,
    ) -> Result<Option<PathBuf>, StepError> {
        let Some(run) = task.record.run_id else { return Ok(None) };
        if self.store.find(&self.path(Place::Active, file))?.is_some() {
            return Ok(None);
        }
        // Numbers have gaps: what is past its time is removed, and of many only some are tried.
        let dir = self.layout.place(&self.worker, place);
        let names = self.list(place).map_err(|source| StepError::unseen(&dir, source))?;
        for name in names.into_iter().filter(|name| name.base() == file.base()) {
            let path = self.path(place, &name);
            if self.run_at(&path).map_err(|source| StepError::unseen(&path, source))? == Some(run) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// The run of the task at `path`; `None` if there is none, or if it is no task.
    pub fn run_at(&self, path: &Path) -> io::Result<Option<RunId>> {
        Ok(self.task_at(path)?.and_then(|task| task.record.run_id))
    }

    /// The task at `path`; `None` if nothing is there, or no task. An error is a disk that did not answer.
    pub fn task_at(&self, path: &Path) -> io::Result<Option<TaskFile>> {
        match self.store.read(path, FILE_LIMIT) {
            Ok((bytes, _)) => Ok(TaskFile::parse(&bytes).ok()),
            Err(error) if is_no_answer(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn free_name(&self, place: Place, file: &FileName) -> Result<FileName, StepError> {
        let free = |name: &FileName| Ok(self.store.find(&self.path(place, name))?.is_none());
        if free(file)? { Ok(file.clone()) } else { numbered(file, free) }
    }
}

/// How many numbers are tried one by one.
const ONE_BY_ONE: u32 = 64;

/// One of `x~2.json`, `x~3.json` … that is `free`: the first where they are few, else one behind which a taken one
/// stands, found in steps that double. A name that is dropped every minute for a year costs a dozen looks.
pub(super) fn numbered<E>(
    file: &FileName,
    free: impl Fn(&FileName) -> Result<bool, E>,
) -> Result<FileName, E> {
    let is_free = |n: u32| free(&file.numbered(n));
    for n in 2..ONE_BY_ONE {
        if is_free(n)? {
            return Ok(file.numbered(n));
        }
    }
    let (mut taken, mut open) = (ONE_BY_ONE - 1, ONE_BY_ONE);
    while open < u32::MAX && !is_free(open)? {
        taken = open;
        open = open.saturating_mul(2);
    }
    while open - taken > 1 {
        let middle = taken + (open - taken) / 2;
        if is_free(middle)? { open = middle } else { taken = middle }
    }
    Ok(file.numbered(open))
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
                Ok::<_, ()>(number > taken)
            };
            assert_eq!(numbered(&file, free).unwrap(), file.numbered(taken.max(1) + 1), "{taken}");
            assert!(looks.get() < 110, "{taken}: {} looks", looks.get());
        }
    }

    #[test]
    fn a_number_that_was_found_is_free_also_where_some_between_went() {
        let file: FileName = "x.json".parse().unwrap();
        let taken = |n: u32| n < 5_000 && !n.is_multiple_of(97) || n < 64;
        let free =
            |name: &FileName| Ok::<_, ()>(!taken(name.stem().rsplit_once('~').unwrap().1.parse().unwrap()));
        assert_eq!(free(&numbered(&file, free).unwrap()), Ok(true));
    }
}
