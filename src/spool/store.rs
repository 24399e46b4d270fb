//! What the spool needs of a disk, so that a test can put a model in its place.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

pub use super::identity::Identity;
use super::steps::Step;

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

/// Whether the disk failed to answer, as opposed to saying what is there, or a folder on the way is none: nothing is
/// decided on that, and it is asked again later.
pub fn is_no_answer(error: &io::Error) -> bool {
    use nix::libc::{EIO, EMFILE, ENFILE, ENOMEM, ESTALE, ETIMEDOUT};
    matches!(error.raw_os_error(), Some(EIO | EMFILE | ENFILE | ENOMEM | ESTALE | ETIMEDOUT))
        || crate::os::folder::is_no_folder(error)
}

/// A disk, real or modelled.
pub trait Store {
    /// The names in a directory, in any order; a directory that is not there is empty.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// How many names in a directory are such; one that is not there has none.
    fn count(&self, dir: &Path, is: fn(&str) -> bool) -> io::Result<u64> {
        Ok(self.list(dir)?.iter().filter(|entry| entry.name.to_str().is_some_and(is)).count() as u64)
    }
    /// The whole of a regular file with one name and its identity, at most `limit` bytes; more is an error of the
    /// kind `FileTooLarge`. What is no such file is not opened: that alone can block, rewind a tape, or wake a writer.
    fn read(&self, path: &Path, limit: u64) -> io::Result<(Vec<u8>, Identity)>;
    /// The identity of what stands at `path`, links not followed.
    fn identity(&self, path: &Path) -> io::Result<Identity>;
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

    /// Removes the temporary files of steps that were done.
    fn discard(&self, done: &[Step]) {
        for step in done {
            if let Step::Write { path, .. } = step {
                self.perform(&Step::Remove(path.clone())).ok();
            }
        }
    }
}
