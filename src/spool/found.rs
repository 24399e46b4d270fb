//! What lies in a queue: looked at, read, and sorted into tasks, half-written files and things that are none.

use std::io;
use std::path::Path;

use super::input::is_believed;
use super::store::{Identity, Store};
use crate::clock::Timestamp;
use crate::layout::Layout;
use crate::os::trouble::is_no_answer;
use crate::task::{FileName, ParseError, Place, RunId, TaskFile, TaskName, WorkerName};

/// The largest task file that is read, in bytes.
pub const FILE_LIMIT: u64 = 10 * 1024 * 1024;

/// What the queue keeps of a task that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where it waits.
    pub place: Place,
    /// Its file.
    pub file: FileName,
    /// Its name.
    pub name: TaskName,
    /// The version that was read.
    pub identity: Identity,
    /// Higher first.
    pub priority: i32,
    /// When it was dropped.
    pub dropped_at: Timestamp,
    /// Not claimed before this moment.
    pub not_before: Option<Timestamp>,
    /// The one worker that may take it.
    pub pinned: Option<WorkerName>,
    /// The run that it belongs to, if the run knows it.
    pub run: Option<RunId>,
}

/// What a look at one name found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    /// A task.
    Task(Box<Head>),
    /// Not whole, or not yet: it has some time to settle.
    Unsettled {
        /// The version that was seen; `None` where even that failed.
        identity: Option<Identity>,
        /// Why it is no task so far.
        why: String,
    },
    /// Whole, and not a task.
    Invalid {
        /// Why.
        why: String,
    },
    /// Nothing there, or nothing that can be read now.
    Gone,
}

/// Looks at `path`, the name `file` in the queue `place`.
pub fn examine(
    store: &impl Store,
    layout: &Layout,
    path: &Path,
    (place, file): (Place, &FileName),
) -> Examined {
    match store.read(path, FILE_LIMIT) {
        Ok((bytes, identity)) => match TaskFile::parse(&bytes) {
            Ok(mut task) => match is_believed(store, layout, file, &task) {
                Ok(believed) => {
                    if !believed {
                        task.forget_record();
                    }
                    Examined::Task(Box::new(head(place, file, &task, identity)))
                }
                // The next look at everything asks again.
                Err(_) => Examined::Gone,
            },
            Err(ParseError::Malformed(why)) => Examined::Unsettled { identity: Some(identity), why },
            Err(ParseError::Invalid(why)) => Examined::Invalid { why },
        },
        // A disk that does not answer says nothing of the file: the next look at everything asks again.
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_answer(&error) => Examined::Gone,
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Examined::Invalid { why: "larger than 10 MiB".to_owned() }
        }
        Err(error) => Examined::Unsettled { identity: store.identity(path).ok(), why: plain(&error) },
    }
}

fn head(place: Place, file: &FileName, task: &TaskFile, identity: Identity) -> Head {
    let mtime = Timestamp::from_nanosecond(i128::from(identity.mtime_ns)).unwrap_or_default();
    Head {
        place,
        file: file.clone(),
        name: task.name(file),
        identity,
        priority: task.spec.priority.unwrap_or(0),
        dropped_at: mtime,
        not_before: task.spec.not_before.max(task.record.retry_at),
        pinned: task.spec.worker.clone(),
        run: task.record.run_id,
    }
}

fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(nix::libc::ELOOP) => "a symbolic link, which is never followed".to_owned(),
        Some(nix::libc::EACCES) => "not readable by the worker's user".to_owned(),
        _ => error.to_string(),
    }
}
