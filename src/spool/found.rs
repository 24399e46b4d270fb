//! What lies in a queue: looked at, read, and sorted into tasks, half-written files and things that are none.

use std::io;

use super::belief::Belief;
use super::queue::Spool;
use super::store::{Identity, Store};
use crate::clock::Timestamp;
use crate::os::trouble::is_no_answer;
use crate::task::retry::not_tried_before;
use crate::task::{
    ErrorCode, FileName, ParseError, Place, RunId, TaskFile, TaskName, WorkdirMode, WorkerName,
};

/// The largest task file that is read, in bytes.
pub const FILE_LIMIT: u64 = 10 * 1024 * 1024;

/// What the queue keeps of a task that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where it waits.
    pub place: Place,
    /// Its file.
    pub file: FileName,
    /// The version that was read.
    pub identity: Identity,
    /// Higher first.
    pub priority: i32,
    /// When it was dropped.
    pub dropped_at: Timestamp,
    /// Whether it is not to be taken until somebody releases it.
    pub is_held: bool,
    /// Whether its pack cannot be used now, as whoever keeps the queue says.
    pub is_barred: bool,
    /// See [`Self::special`].
    special: Option<Box<Special>>,
}

/// What few tasks say. A hundred thousand that do not take no room for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Special {
    /// Its name, where that is not its file's.
    pub name: Option<TaskName>,
    /// Not claimed before this moment.
    pub not_before: Option<Timestamp>,
    /// The one worker that may take it.
    pub pinned: Option<WorkerName>,
    /// The pack that it names.
    pub pack: Option<String>,
    /// The directory that it names, and how it works there.
    pub workdir: (Option<String>, Option<WorkdirMode>),
    /// The run that it belongs to, if the run knows it.
    pub run: Option<RunId>,
}

static NOTHING_SPECIAL: Special =
    Special { name: None, not_before: None, pinned: None, pack: None, workdir: (None, None), run: None };

impl Head {
    /// A task of which only this is known.
    pub fn new((place, file): (Place, &FileName), identity: Identity, dropped_at: Timestamp) -> Self {
        let (is_held, is_barred, special) = (false, false, None);
        Self { place, file: file.clone(), identity, priority: 0, dropped_at, is_held, is_barred, special }
    }

    /// Whether it waits for a person: it is neither next nor late.
    pub const fn is_set_back(&self) -> bool {
        self.is_held || self.is_barred
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.special().name.as_ref().map_or(self.file.stem(), TaskName::as_str)
    }

    /// What only few say.
    pub fn special(&self) -> &Special {
        self.special.as_deref().unwrap_or(&NOTHING_SPECIAL)
    }

    /// The same task, saying this beside.
    #[must_use]
    pub fn saying(self, special: Special) -> Self {
        let special = (special != NOTHING_SPECIAL).then(|| Box::new(special));
        Self { special, ..self }
    }
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
        /// Whether another content would make it one; else it is what it is, such as a link.
        by_content: bool,
        /// Why it is no task so far.
        why: String,
    },
    /// Whole, and not a task.
    Invalid {
        /// The code it is filed with.
        code: ErrorCode,
        /// Why.
        why: String,
    },
    /// The task of a run that another worker has in its hands: to be left alone.
    Elsewhere {
        /// Who has it.
        worker: WorkerName,
    },
    /// A copy of a task that another worker has: to be removed, or it would be worked on twice.
    Copy {
        /// Who has the task itself.
        worker: WorkerName,
        /// Its run.
        run: RunId,
    },
    /// Nothing there, or nothing that can be read now.
    Gone,
}

/// Looks at the name `file` in the queue `place`.
pub(super) fn examine<S: Store>(spool: &Spool<S>, place: Place, file: &FileName) -> Examined {
    let path = spool.path(place, file);
    judge(spool, (place, file), spool.store.read(&path, FILE_LIMIT))
}

/// The same of many.
pub(super) fn examine_all<S: Store>(spool: &Spool<S>, place: Place, files: &[FileName]) -> Vec<Examined> {
    let dir = spool.layout.place(&spool.worker, place);
    let read = spool.store.reader(&dir, FILE_LIMIT);
    files.iter().map(|file| judge(spool, (place, file), read(file.as_str().as_ref()))).collect()
}

type Bytes = io::Result<(Vec<u8>, Identity)>;

fn judge<S: Store>(spool: &Spool<S>, (place, file): (Place, &FileName), read: Bytes) -> Examined {
    match read {
        Ok((bytes, identity)) => match TaskFile::parse(&bytes) {
            Ok(task) => whose(spool, (place, file), task, identity),
            Err(ParseError::Malformed(why)) => {
                Examined::Unsettled { identity: Some(identity), by_content: true, why }
            }
            Err(error) => Examined::Invalid { code: error.code(), why: error.to_string() },
        },
        // A disk that does not answer says nothing of the file: the next look at everything asks again.
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_answer(&error) => Examined::Gone,
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Examined::Invalid {
            code: ErrorCode::E002,
            why: "larger than 10 MiB; put the data into a file of its own and name it in the prompt"
                .to_owned(),
        },
        Err(error) => {
            let identity = spool.store.identity(&spool.path(place, file)).ok();
            Examined::Unsettled { identity, by_content: false, why: plain(&error) }
        }
    }
}

/// A task, by whose run it is.
fn whose<S: Store>(
    spool: &Spool<S>,
    (place, file): (Place, &FileName),
    mut task: TaskFile,
    identity: Identity,
) -> Examined {
    match spool.belief(file, &task) {
        Ok(Belief::Ours | Belief::Left(_)) => {}
        Ok(Belief::Not | Belief::Over) => task.forget_record(),
        Ok(Belief::Elsewhere(worker)) => return Examined::Elsewhere { worker },
        Ok(Belief::Copy(worker, run)) => return Examined::Copy { worker, run },
        // The next look at everything asks again.
        Err(_) => return Examined::Gone,
    }
    Examined::Task(Box::new(head(place, file, &task, (identity, spool.clock.wall()))))
}

fn head(place: Place, file: &FileName, task: &TaskFile, (identity, now): (Identity, Timestamp)) -> Head {
    let mtime = Timestamp::from_nanosecond(i128::from(identity.mtime_ns)).unwrap_or_default();
    let special = Special {
        name: Some(task.name(file)).filter(|name| name.as_str() != file.stem()),
        not_before: task.spec.not_before.max(not_tried_before(task.record.retry_at, now)),
        pinned: task.spec.worker.clone(),
        pack: task.spec.kind.clone(),
        workdir: (task.spec.workdir.clone(), task.spec.workdir_mode),
        run: task.record.run_id,
    };
    let priority = task.spec.priority.unwrap_or(0);
    let head = Head { priority, is_held: task.is_held(), ..Head::new((place, file), identity, mtime) };
    head.saying(special)
}

fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(nix::libc::ELOOP) => "a symbolic link, which is never followed".to_owned(),
        Some(nix::libc::EACCES) => "not readable by the worker's user; chmod or chown it".to_owned(),
        _ => error.to_string(),
    }
}
