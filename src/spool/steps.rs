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

impl Step {
    /// Whether it waits for one file's data, so that several of them may be waited for at once.
    pub const fn is_file_sync(&self) -> bool {
        matches!(self, Self::SyncFile(_))
    }
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

/// A paper that others act upon, written beside its name and synced; it counts from [`announce`] on.
pub fn draft(temp: &Path, bytes: Vec<u8>) -> Vec<Step> {
    vec![Step::Write { path: temp.to_owned(), bytes, mtime: None }, Step::SyncFile(temp.to_owned())]
}

/// Gives a paper a name that nobody may have taken. It is not durable before its next version: nobody has acted yet.
pub fn begin(draft: &Path, path: &Path) -> Vec<Step> {
    vec![Step::Move { from: draft.to_owned(), to: path.to_owned() }]
}

/// Gives a paper its name, durably, in place of its last version.
pub fn announce(draft: &Path, path: &Path) -> Vec<Step> {
    vec![
        Step::Replace { from: draft.to_owned(), to: path.to_owned() },
        Step::SyncDir(parent(path).to_owned()),
    ]
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

/// Takes an interrupted run back into `active/`; `input` says whose it is from now on, where that changes.
pub fn take_back(from: &Path, active: &Path, input: Option<(PathBuf, Vec<u8>)>) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some((path, bytes)) = input {
        steps.extend(put(&path, bytes, None));
        steps.push(Step::SyncDir(parent(&path).to_owned()));
    }
    steps.extend(transfer(from, active));
    steps
}

/// A change of a task that waits.
#[derive(Clone, Debug)]
pub struct Amend<'a> {
    /// Where it waits.
    pub from: &'a Path,
    /// Its name in `active/`.
    pub active: &'a Path,
    /// What was read there.
    pub identity: Identity,
    /// Its new content.
    pub stamped: Vec<u8>,
    /// Its age.
    pub mtime: SystemTime,
}

/// Takes a waiting task and changes it, durably, in `active/`; then puts it back. What has no run yet is known by its
/// inode alone, so the move must be durable before another inode takes its place.
pub fn amend(amend: Amend<'_>) -> (Vec<Step>, Vec<Step>) {
    let Amend { from, active, identity, stamped, mtime } = amend;
    let mut there = vec![
        Step::SyncFile(from.to_owned()),
        Step::Move { from: from.to_owned(), to: active.to_owned() },
        Step::Confirm { at: active.to_owned(), is: identity },
        Step::SyncDir(parent(active).to_owned()),
        Step::SyncDir(parent(from).to_owned()),
    ];
    there.extend(put(active, stamped, Some(mtime)));
    there.push(Step::SyncDir(parent(active).to_owned()));
    (there, transfer(active, from))
}

/// Says that a task is on its way out of where it had ended. It need not outlast a power cut: nothing is half done then.
pub fn mark(path: &Path) -> Vec<Step> {
    vec![Step::Write { path: path.to_owned(), bytes: Vec::new(), mtime: None }]
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

/// A task on its way from `active/` back into a queue.
#[derive(Clone, Debug)]
pub struct Homecoming {
    /// Its name in `active/`.
    pub active: PathBuf,
    /// The name it gets.
    pub queue: PathBuf,
    /// Its content with what happened to it; absent when it goes back as it is.
    pub stamped: Option<Vec<u8>>,
    /// Its age, and so its place in the queue, if it is to be set back.
    pub mtime: Option<SystemTime>,
}

/// The two halves of a wave of [`bring_home`], between which the journal is written.
#[derive(Clone, Debug, Default)]
pub struct Wave {
    /// Makes the records durable, in `active/`.
    pub records: Vec<Step>,
    /// Moves the tasks.
    pub moves: Vec<Step>,
}

/// Puts tasks of one worker back into its queue, in one wave: each record first, in `active/`, then the moves. What
/// thousands of tasks wait for is not the writing but the waiting for the disk, so it is waited for once.
pub fn bring_home(tasks: Vec<Homecoming>) -> Wave {
    let (mut writes, mut syncs, mut replaces) = (Vec::new(), Vec::new(), Vec::new());
    let (mut moves, mut from, mut to) = (Vec::new(), Vec::new(), Vec::new());
    for task in tasks {
        if let Some(bytes) = task.stamped {
            let temp = beside(&task.active);
            writes.push(Step::Write { path: temp.clone(), bytes, mtime: task.mtime });
            syncs.push(Step::SyncFile(temp.clone()));
            replaces.push(Step::Replace { from: temp, to: task.active.clone() });
        }
        from.push(parent(&task.active).to_owned());
        to.push(parent(&task.queue).to_owned());
        moves.push(Step::Move { from: task.active, to: task.queue });
    }
    from.dedup();
    to.dedup();
    let recorded = if replaces.is_empty() { Vec::new() } else { from.clone() };
    let sync = |dirs: Vec<PathBuf>| dirs.into_iter().map(Step::SyncDir);
    Wave {
        records: writes.into_iter().chain(syncs).chain(replaces).chain(sync(recorded)).collect(),
        moves: moves.into_iter().chain(sync(to)).chain(sync(from)).collect(),
    }
}

/// Puts one task back into a queue with new content.
pub fn requeue(active: &Path, queue: &Path, stamped: Vec<u8>, mtime: Option<SystemTime>) -> Vec<Step> {
    let (active, queue) = (active.to_owned(), queue.to_owned());
    let Wave { mut records, moves } =
        bring_home(vec![Homecoming { active, queue, stamped: Some(stamped), mtime }]);
    records.extend(moves);
    records
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

/// Removes a copy of a task whose home is `home`, once that is certain to stay.
pub fn drop_copy(copy: &Path, home: &Path) -> Vec<Step> {
    let mut steps = vec![Step::SyncDir(parent(home).to_owned())];
    steps.extend(drop_ghost(copy));
    steps
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
