//! Letting tasks go in batches: from `pending/` into `staged/`, and back.

use super::queue::Spool;
use super::steps;
use super::store::{StepError, Store};
use crate::task::{FileName, Place};

impl<S: Store> Spool<S> {
    /// Moves a task from `pending/` into `staged/`; whether it was there, and its name free.
    pub fn stage(&self, file: &FileName) -> Result<bool, StepError> {
        self.mend(file)?;
        self.pass((Place::Pending, Place::Staged), file, file)
    }

    /// Moves a task from `staged/` back into `pending/`, under another name if its own is taken; whether it was there.
    pub fn unstage(&self, file: &FileName) -> Result<bool, StepError> {
        self.mend(file)?;
        let name = self.free_name(Place::Pending, file)?;
        self.pass((Place::Staged, Place::Pending), file, &name)
    }

    fn pass(&self, (from, to): (Place, Place), file: &FileName, name: &FileName) -> Result<bool, StepError> {
        let (from, to) = (self.path(from, file), self.path(to, name));
        match self.shift(&from, &to, &steps::transfer(&from, &to)) {
            Ok(()) => Ok(true),
            // Taken meanwhile, by the worker or by its owner; or another of this name came first.
            Err(error) if error.is_gone() || error.is_occupied() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Finishes a move by link and unlink that was cut: it leaves one file with both names, which is let go then.
    /// Whether there was one.
    pub fn mend(&self, file: &FileName) -> Result<bool, StepError> {
        let (pending, staged) = (self.path(Place::Pending, file), self.path(Place::Staged, file));
        match (self.store.identity(&pending), self.store.identity(&staged)) {
            (Ok(one), Ok(other)) if one.is_same_inode(&other) => self.drop_ghost(&pending).map(|()| true),
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::layout::Layout;
    use crate::os::durable::{Durability, write_new};
    use crate::spool::Disk;

    fn spool(root: &std::path::Path) -> Spool<Disk> {
        let layout = Layout::new(root);
        let worker = "marie".parse().unwrap();
        for dir in layout.worker_dirs(&worker) {
            std::fs::create_dir_all(dir).unwrap();
        }
        Spool::new(layout, worker, Disk::new(root, Durability::None), Arc::new(SystemClock))
    }

    fn there(spool: &Spool<Disk>) -> [Vec<String>; 2] {
        [Place::Pending, Place::Staged].map(|place| {
            let mut files: Vec<_> = spool.list(place).unwrap().iter().map(ToString::to_string).collect();
            files.sort();
            files
        })
    }

    #[test]
    fn nothing_is_ever_replaced_and_what_is_gone_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        let file: FileName = "x.json".parse().unwrap();
        let drop_into =
            |place, text: &str| write_new(&spool.path(place, &file), text.as_bytes(), None).unwrap();
        assert!(!spool.stage(&file).unwrap() && !spool.unstage(&file).unwrap());
        drop_into(Place::Pending, "first");
        assert!(spool.stage(&file).unwrap());
        drop_into(Place::Pending, "second");
        assert!(!spool.stage(&file).unwrap(), "its name is taken");
        assert!(spool.unstage(&file).unwrap());
        assert_eq!(there(&spool), [vec!["x.json".to_owned(), "x~2.json".to_owned()], vec![]]);
        let read =
            |name: &str| std::fs::read_to_string(spool.path(Place::Pending, &name.parse().unwrap())).unwrap();
        assert_eq!((read("x.json"), read("x~2.json")), ("second".to_owned(), "first".to_owned()));
    }

    #[test]
    fn a_move_by_link_and_unlink_that_was_cut_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        let file: FileName = "x.json".parse().unwrap();
        for (what, expected) in [("stage", [vec![], vec!["x.json"]]), ("unstage", [vec!["x.json"], vec![]])] {
            for place in [Place::Pending, Place::Staged] {
                std::fs::remove_file(spool.path(place, &file)).ok();
            }
            write_new(&spool.path(Place::Pending, &file), b"{}", None).unwrap();
            std::fs::hard_link(spool.path(Place::Pending, &file), spool.path(Place::Staged, &file)).unwrap();
            let done = if what == "stage" { spool.stage(&file) } else { spool.unstage(&file) };
            done.unwrap();
            assert_eq!(there(&spool), expected, "{what}");
        }
    }
}
