//! Looking at the tree: which workers there are, and which files lie where. Nothing here is locked, so what is
//! seen may have moved on a moment later; nothing here changes anything.

use std::io;
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;
use crate::layout::Layout;
use crate::os::durable::{Durability, parent};
use crate::os::lock;
use crate::os::trouble::is_no_answer;
use crate::spool::found::FILE_LIMIT;
use crate::spool::{Disk, Store};
use crate::task::{FileName, ParseError, Place, TaskFile, TaskName, TaskState, WorkerName};

use super::error::OperatorError;
use super::word::Word;

/// A task file as it lies in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Whose it is; `None` in the inbox.
    pub(super) worker: Option<WorkerName>,
    /// In which state directory it is.
    pub(super) place: Place,
    /// Its name.
    pub(super) file: FileName,
    /// Its path.
    pub(super) path: PathBuf,
    /// When it was last written; requeues keep it.
    pub(super) mtime: Timestamp,
}

/// A task file that was read.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Where it lies.
    pub(super) entry: Entry,
    /// The bytes of the file.
    pub(super) bytes: Vec<u8>,
    /// What stands in it.
    pub(super) task: Result<TaskFile, ParseError>,
}

impl Entry {
    /// Reads the file; `None` if it has moved on.
    pub(super) fn read(self) -> Result<Option<Seen>, OperatorError> {
        match Disk::new(parent(&self.path), Durability::None).read(&self.path, FILE_LIMIT) {
            Ok((bytes, _)) => Ok(Some(Seen { task: TaskFile::parse(&bytes), bytes, entry: self })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if is_no_answer(&error) => Err(OperatorError::io("read", &self.path)(error)),
            // One file that cannot be read does not hide the others.
            Err(error) => {
                let task = Err(ParseError::Invalid(error.to_string()));
                Ok(Some(Seen { task, bytes: Vec::new(), entry: self }))
            }
        }
    }
}

impl Seen {
    /// The task's name; the stem of a file that cannot be understood.
    pub(super) fn name(&self) -> String {
        let named = self.task.as_ref().ok().map(|task| task.name(&self.entry.file));
        named.as_ref().map_or(self.entry.file.stem(), TaskName::as_str).to_owned()
    }

    /// `worker/task`, or `inbox/task`.
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.worker_word(), self.name())
    }

    /// The worker's name, or `inbox`.
    pub(super) fn worker_word(&self) -> &str {
        self.entry.worker.as_ref().map_or("inbox", WorkerName::as_str)
    }

    /// Who holds it, if somebody does.
    pub(super) fn held(&self) -> Option<Word> {
        self.task.as_ref().ok()?.spec.held.as_ref().map(Word::from)
    }

    /// The state: the directory is the truth, the field refines it.
    pub(super) fn state(&self) -> TaskState {
        let field = self.task.as_ref().ok().and_then(|task| task.record.state);
        refined(self.entry.place, field)
    }
}

/// A state field as far as it agrees with the directory.
fn refined(place: Place, field: Option<TaskState>) -> TaskState {
    let coarse = match place {
        Place::Inbox | Place::Pending | Place::Staged => return TaskState::Pending,
        Place::Active => return field.unwrap_or(TaskState::Initializing),
        Place::Completed => TaskState::Completed,
        Place::Failed => TaskState::Failed,
        Place::Cancelled => TaskState::Cancelled,
    };
    field.filter(|state| state.terminal_place() == Some(place)).unwrap_or(coarse)
}

/// The workers that have a folder, sorted by name.
pub(super) fn workers(layout: &Layout) -> Result<Vec<WorkerName>, OperatorError> {
    let mut names = Vec::new();
    for dir in [layout.tasks(), layout.workers()] {
        for entry in listing(&dir)? {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if let Some(Ok(name)) = entry.file_name().to_str().map(str::parse).filter(|_| is_dir) {
                names.push(name);
            }
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Whether the watcher of `worker` lives: whether its folder is locked. Whoever recovers holds it too.
pub(super) fn is_alive(layout: &Layout, worker: &WorkerName) -> bool {
    lock::is_held(&layout.worker(worker)).unwrap_or(false)
}

/// The task files in one place, unsorted; none if the folder is missing.
pub(super) fn entries(
    layout: &Layout,
    worker: Option<&WorkerName>,
    place: Place,
) -> Result<Vec<Entry>, OperatorError> {
    let dir = dir_of(layout, worker, place);
    let found = listing(&dir)?.into_iter().filter_map(|entry| {
        let file: FileName = entry.file_name().to_str()?.parse().ok()?;
        entry_at(worker, place, file, entry.path())
    });
    Ok(found.collect())
}

/// How many task files lie in one place.
pub(super) fn depth(
    layout: &Layout,
    worker: Option<&WorkerName>,
    place: Place,
) -> Result<usize, OperatorError> {
    let is_task = |entry: &std::fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.parse::<FileName>().is_ok())
            && entry.file_type().is_ok_and(|kind| counts(place, kind))
    };
    Ok(listing(&dir_of(layout, worker, place))?.iter().filter(|entry| is_task(entry)).count())
}

/// Every place a task can be in, in the order in which a task goes through them, so that one that moves on
/// while we look is met at least once.
pub(super) fn all_places(workers: &[WorkerName]) -> Vec<(Option<WorkerName>, Place)> {
    let mut places = vec![(None, Place::Inbox)];
    for place in Place::OF_WORKER {
        places.extend(workers.iter().map(|worker| (Some(worker.clone()), place)));
    }
    places
}

/// The file `file` in one place, if it is there.
pub(super) fn entry(
    layout: &Layout,
    worker: Option<&WorkerName>,
    place: Place,
    file: &FileName,
) -> Option<Entry> {
    let path = dir_of(layout, worker, place).join(file.as_str());
    entry_at(worker, place, file.clone(), path)
}

/// The folder of a place; `worker` is only `None` for the inbox.
pub(super) fn dir_of(layout: &Layout, worker: Option<&WorkerName>, place: Place) -> PathBuf {
    worker.map_or_else(|| layout.tasks(), |worker| layout.place(worker, place))
}

/// What is no file can be no task, but in `failed/` it waits for somebody to look at it like all that lies there.
fn counts(place: Place, kind: std::fs::FileType) -> bool {
    kind.is_file() || place == Place::Failed
}

fn entry_at(worker: Option<&WorkerName>, place: Place, file: FileName, path: PathBuf) -> Option<Entry> {
    let meta = path.symlink_metadata().ok().filter(|meta| counts(place, meta.file_type()))?;
    let mtime = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default();
    Some(Entry { worker: worker.cloned(), place, file, path, mtime })
}

fn listing(dir: &Path) -> Result<Vec<std::fs::DirEntry>, OperatorError> {
    match std::fs::read_dir(dir) {
        Ok(entries) => Ok(entries.filter_map(Result::ok).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(OperatorError::io("look into", dir)(error)),
    }
}

/// That the root is laid out at all.
pub(super) fn check_root(layout: &Layout) -> Result<(), OperatorError> {
    if layout.tasks().is_dir() {
        return Ok(());
    }
    Err(OperatorError::NotLaidOut { root: layout.root().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_the_truth_and_the_field_refines_it() {
        for (place, field, expected) in [
            (Place::Pending, Some(TaskState::Failed), TaskState::Pending),
            (Place::Active, Some(TaskState::Running), TaskState::Running),
            (Place::Active, None, TaskState::Initializing),
            (Place::Failed, Some(TaskState::Timeout), TaskState::Timeout),
            (Place::Failed, Some(TaskState::Completed), TaskState::Failed),
            (Place::Completed, None, TaskState::Completed),
        ] {
            assert_eq!(refined(place, field), expected, "{place} {field:?}");
        }
    }
}
