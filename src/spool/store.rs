//! What the spool needs of a disk, so that a test can put a model in its place.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

pub use super::identity::Identity;
use super::steps::Step;
use crate::os::lock;
use crate::os::trouble::if_there;

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, which need not be UTF-8.
    pub name: OsString,
    /// Where it is.
    pub path: PathBuf,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {step}")]
pub struct StepError {
    /// What was attempted.
    pub step: Step,
    /// Its position in the operation, from 0.
    pub index: usize,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl StepError {
    /// A question that the disk did not answer.
    pub(super) fn unseen(path: &Path, source: io::Error) -> Self {
        Self { step: Step::Look(path.to_owned()), index: 0, source }
    }

    /// Whether what was to be moved is not there any more.
    pub fn is_gone(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
            && matches!(self.step, Step::Move { .. } | Step::SyncFile(_))
    }

    /// Whether the place to move to is taken.
    pub fn is_occupied(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists && matches!(self.step, Step::Move { .. })
    }

    /// Whether a second look found another file than the first.
    pub fn is_changed(&self) -> bool {
        matches!(self.step, Step::Confirm { .. })
    }
}

/// Reads a file of one directory by its name.
pub type Reader<'a> = Box<dyn Fn(&OsStr) -> io::Result<(Vec<u8>, Identity)> + 'a>;

/// A disk, real or modelled.
pub trait Store {
    /// The names in a directory, in any order; a directory that is not there is empty.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// The same without where each is: there may be a hundred thousand.
    fn names(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        Ok(self.list(dir)?.into_iter().map(|entry| entry.name).collect())
    }
    /// How many names in a directory are such; one that is not there has none.
    fn count(&self, dir: &Path, is: fn(&str) -> bool) -> io::Result<u64> {
        Ok(self.list(dir)?.iter().filter(|entry| entry.name.to_str().is_some_and(is)).count() as u64)
    }
    /// The whole of a regular file with one name and its identity, at most `limit` bytes; more is an error of the
    /// kind `FileTooLarge`. What is no such file is not opened: that alone can block, rewind a tape, or wake a writer.
    fn read(&self, path: &Path, limit: u64) -> io::Result<(Vec<u8>, Identity)>;
    /// The same for many names of one directory: what reaches it is paid for once.
    fn reader<'a>(&'a self, dir: &'a Path, limit: u64) -> Reader<'a> {
        Box::new(move |name| self.read(&dir.join(name), limit))
    }
    /// The identity of what stands at `path`, links not followed.
    fn identity(&self, path: &Path) -> io::Result<Identity>;
    /// The same, with "nothing is there" as an answer: what does not answer must not be taken for absent.
    fn find(&self, path: &Path) -> Result<Option<Identity>, StepError> {
        if_there(self.identity(path)).map_err(|source| StepError::unseen(path, source))
    }
    /// When the inode at `path` was changed last, in nanoseconds since 1970: its content, its mode, or its names. Whoever
    /// copies a file with its time cannot set this one (`inode(7)`, ctime). `None` where it is not known.
    fn changed_ns(&self, _path: &Path) -> io::Result<Option<i64>> {
        Ok(None)
    }
    /// Whether somebody holds the lock of what stands at `path`.
    fn is_held(&self, path: &Path) -> io::Result<bool> {
        lock::is_held(path)
    }
    /// Does one step.
    fn perform(&self, step: &Step) -> io::Result<()>;

    /// Does the steps of one operation in their order, and stops at the first that fails; what was written
    /// beside a name and did not come to it is removed then.
    fn perform_all(&self, steps: &[Step]) -> Result<(), StepError> {
        steps.iter().enumerate().try_for_each(|(index, step)| {
            self.perform(step).map_err(|source| {
                self.discard(&steps[..index]);
                StepError { step: step.clone(), index, source }
            })
        })
    }

    /// Does one step that may well be done twice: what the disk refuses once may go the second time.
    fn insist(&self, step: &Step) -> io::Result<()> {
        self.perform(step).or_else(|_| self.perform(step))
    }

    /// Removes the temporary files of steps that were done; one that the disk does not let go stays until the next start.
    fn discard(&self, done: &[Step]) {
        for step in done {
            if let Step::Write { path, .. } = step {
                self.insist(&Step::Remove(path.clone())).ok();
            }
        }
    }
}
