//! Every durable operation as a list of steps. The order is the promise; nothing here touches a disk.
//!
//! Each list can be cut after any step, by a kill or by a power cut, and `recovery` brings the task home from
//! there; `tests/crash.rs` walks all of them, and also shows that no step can be left out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::identity::Identity;
use crate::os::durable::{beside, parent};

/// One step of a durable operation.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// Waits until a file's data are on the disk.
    SyncFile(PathBuf),
    /// Waits until a directory's names are on the disk.
    SyncDir(PathBuf),
    /// Makes a directory; one that is there is fine.
    MakeDir(PathBuf),
    /// Renames, refusing to replace.
    Move {
        /// The name it has.
        from: PathBuf,
        /// The name it gets.
        to: PathBuf,
    },
    /// Looks again: the file is still the one that was read, and whole.
    Confirm {
        /// Where it is now.
        at: PathBuf,
        /// What was read.
        is: Identity,
    },
    /// Writes a new file, whose name only its writer knows.
    Write {
        /// The new file.
        path: PathBuf,
        /// Its content.
        bytes: Vec<u8>,
        /// Its age, if not now.
        mtime: Option<SystemTime>,
    },
    /// Renames over what is there.
    Replace {
        /// The new content.
        from: PathBuf,
        /// The name that gets it.
        to: PathBuf,
    },
    /// Removes a name; one that is not there is fine.
    Remove(PathBuf),
    /// Asks what is there. It changes nothing, and stands in no list: it names what could not be answered.
    Look(PathBuf),
    /// Notes a move in the journal, before it is made. As [`Step::Look`], it is only a name for what failed.
    Note(PathBuf),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SyncFile(path) | Self::SyncDir(path) => write!(f, "sync `{}`", path.display()),
            Self::MakeDir(path) => write!(f, "make the directory `{}`", path.display()),
            Self::Move { from, to } => write!(f, "move `{}` to `{}`", from.display(), to.display()),
            Self::Confirm { at, .. } => write!(f, "find `{}` unchanged", at.display()),
            Self::Write { path, .. } => write!(f, "write `{}`", path.display()),
            Self::Replace { to, .. } => write!(f, "replace `{}`", to.display()),
            Self::Remove(path) => write!(f, "remove `{}`", path.display()),
            Self::Look(path) => write!(f, "look at `{}`", path.display()),
            Self::Note(path) => write!(f, "note in the journal what becomes of `{}`", path.display()),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// New content for a name: written beside, synced, renamed over. The name's directory is not synced yet.
pub fn put(path: &Path, bytes: Vec<u8>, mtime: Option<SystemTime>) -> Vec<Step> {
    let temp = beside(path);
    vec![
        Step::Write { path: temp.clone(), bytes, mtime },
        Step::SyncFile(temp.clone()),
        Step::Replace { from: temp, to: path.to_owned() },
    ]
}

/// A move, made durable: the target first, so that no cut loses both names.
pub fn transfer(from: &Path, to: &Path) -> Vec<Step> {
    let mut steps =
        vec![Step::Move { from: from.to_owned(), to: to.to_owned() }, Step::SyncDir(parent(to).to_owned())];
    if parent(to) != parent(from) {
        steps.push(Step::SyncDir(parent(from).to_owned()));
    }
    steps
}

/// A claim of a dropped file.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Where it was dropped.
    pub from: &'a Path,
    /// Its name in `active/`.
    pub active: &'a Path,
    /// What was read there.
    pub identity: Identity,
    /// The run's folder and what goes into its `input.json`; absent when the run began earlier.
    pub input: Option<(&'a Path, Vec<u8>)>,
    /// The file with its run and its attempt.
    pub stamped: Vec<u8>,
}

/// Takes a task: at its end the agent may be started.
pub fn claim(claim: Claim<'_>) -> Vec<Step> {
    let mut steps = vec![
        // A drop by `cp` or `echo` is not synced: renamed alone, it can come back empty after a power cut.
        Step::SyncFile(claim.from.to_owned()),
        Step::Move { from: claim.from.to_owned(), to: claim.active.to_owned() },
        Step::Confirm { at: claim.active.to_owned(), is: claim.identity },
    ];
    if let Some((input, bytes)) = claim.input {
        // Before the stamp: a run that is named in a file but not here is not believed.
        let run_dir = parent(input);
        steps.push(Step::MakeDir(run_dir.to_owned()));
        steps.extend(put(input, bytes, None));
        steps.push(Step::SyncDir(run_dir.to_owned()));
        steps.push(Step::SyncDir(parent(run_dir).to_owned()));
    }
    steps.extend(put(claim.active, claim.stamped, None));
    steps.push(Step::SyncDir(parent(claim.active).to_owned()));
    steps.push(Step::SyncDir(parent(claim.from).to_owned()));
    steps
}

/// What is written beside the task when it ends.
#[derive(Clone, Debug, Default)]
pub struct Papers {
    /// Files and their content: the answer, the result, the reason.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

impl Papers {
    fn steps(self) -> Vec<Step> {
        let mut dirs: Vec<PathBuf> = self.files.iter().map(|(path, _)| parent(path).to_owned()).collect();
        dirs.dedup();
        let mut steps: Vec<Step> =
            self.files.into_iter().flat_map(|(path, bytes)| put(&path, bytes, None)).collect();
        steps.extend(dirs.into_iter().map(Step::SyncDir));
        steps
    }

    /// The same before a move into `dir`, whose own sync is enough for what was written there earlier.
    fn steps_before_move_to(self, dir: &Path) -> Vec<Step> {
        let mut steps = self.steps();
        steps.retain(|step| *step != Step::SyncDir(dir.to_owned()));
        steps
    }
}

/// Makes an outcome durable in `active/`. `before` is what the outcome refers to.
pub fn judge(active: &Path, stamped: Vec<u8>, before: Papers) -> Vec<Step> {
    let mut steps = before.steps();
    steps.extend(put(active, stamped, None));
    steps.push(Step::SyncDir(parent(active).to_owned()));
    steps
}

/// Files a judged task where it belongs, with the papers that repeat its outcome for others.
pub fn file(active: &Path, filed: &Path, papers: Papers) -> Vec<Step> {
    let mut steps = papers.steps_before_move_to(parent(filed));
    steps.extend(transfer(active, filed));
    steps
}

/// Makes a record durable in `active/`, with the age that keeps the task's place in the queue.
pub fn record(active: &Path, stamped: Vec<u8>, mtime: Option<SystemTime>) -> Vec<Step> {
    let mut steps = put(active, stamped, mtime);
    steps.push(Step::SyncDir(parent(active).to_owned()));
    steps
}

/// Puts a task back into a queue: the record first, in `active/`, then the move. It keeps its age, and so its
/// place in the queue.
pub fn requeue(active: &Path, queue: &Path, stamped: Vec<u8>, mtime: Option<SystemTime>) -> Vec<Step> {
    let mut steps = record(active, stamped, mtime);
    steps.extend(transfer(active, queue));
    steps
}

/// Puts a task that vanished from under its worker back into `active/`.
pub fn restore(active: &Path, stamped: Vec<u8>) -> Vec<Step> {
    let temp = beside(active);
    vec![
        Step::Write { path: temp.clone(), bytes: stamped, mtime: None },
        Step::SyncFile(temp.clone()),
        Step::Move { from: temp, to: active.to_owned() },
        Step::SyncDir(parent(active).to_owned()),
    ]
}

/// Removes the second home of a task.
pub fn drop_ghost(ghost: &Path) -> Vec<Step> {
    vec![Step::Remove(ghost.to_owned()), Step::SyncDir(parent(ghost).to_owned())]
}

/// Removes what a write that was cut left beside a name. A power cut may bring it back, to be removed again.
pub fn drop_temp(temp: &Path) -> Vec<Step> {
    vec![Step::Remove(temp.to_owned())]
}

/// What can be said of a drop's content before it is moved away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file that can be read: it is synced first, since whoever dropped it may not have done so.
    Readable,
    /// A link, a pipe, somebody else's secret: only its name is moved.
    Opaque,
}

/// Files a drop that cannot be a task, untouched, with its reason.
pub fn reject(from: &Path, failed: &Path, content: Content, papers: Papers) -> Vec<Step> {
    let mut steps = match content {
        Content::Readable => vec![Step::SyncFile(from.to_owned())],
        Content::Opaque => Vec::new(),
    };
    steps.extend(file(from, failed, papers));
    steps
}

/// Makes durable what a dead watcher had moved and not synced yet: each of `dirs`, in this order.
pub fn settle(dirs: Vec<PathBuf>) -> Vec<Step> {
    dirs.into_iter().map(Step::SyncDir).collect()
}
