//! Every durable operation as a list of steps. The order is the promise; nothing here touches a disk.
//!
//! Each list can be cut after any step, by a kill or by a power cut, and `recovery` brings the task home from
//! there; `tests/crash.rs` walks all of them, and also shows that no step can be left out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::identity::Identity;
use crate::os::durable::{beside, parent};
use crate::task::FileName;

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
    /// Removes the name of a file or of an empty folder; one that is not there is fine.
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

/// Files that are written beside their names: all first, then they are waited for together.
#[derive(Debug, Default)]
struct Drafts {
    writes: Vec<Step>,
    syncs: Vec<Step>,
}

impl Drafts {
    /// One more; what gives it its name.
    fn put(&mut self, path: PathBuf, bytes: Vec<u8>, mtime: Option<SystemTime>) -> Step {
        let temp = beside(&path);
        self.writes.push(Step::Write { path: temp.clone(), bytes, mtime });
        self.syncs.push(Step::SyncFile(temp.clone()));
        Step::Replace { from: temp, to: path }
    }

    fn steps(self) -> Vec<Step> {
        self.writes.into_iter().chain(self.syncs).collect()
    }
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
///
/// Everything is written before the move, so that the disk is waited for twice and not once for each file: for what was
/// written, with the record of the run, and for the names. That record is durable before a task names it: what names a run of
/// which there is no record would be nobody's, and the drop that it came from may still show. Its name, which is new, is
/// given before its content is waited for: nobody looks for it.
pub fn claim(claim: Claim<'_>) -> Vec<Step> {
    let (active, from) = (claim.active.to_owned(), claim.from.to_owned());
    let (mut steps, mut recorded) = (Vec::new(), Vec::new());
    // A drop by `cp` or `echo` is not synced: renamed alone, it can come back empty after a power cut.
    let mut synced = vec![from.clone()];
    if let Some((input, bytes)) = claim.input {
        let (run_dir, temp) = (parent(input).to_owned(), beside(input));
        steps.push(Step::MakeDir(run_dir.clone()));
        steps.push(Step::Write { path: temp.clone(), bytes, mtime: None });
        steps.push(Step::Replace { from: temp, to: input.to_owned() });
        synced.push(input.to_owned());
        recorded = vec![run_dir.clone(), parent(&run_dir).to_owned()];
    }
    let stamped = beside(&active);
    steps.push(Step::Write { path: stamped.clone(), bytes: claim.stamped, mtime: None });
    synced.push(stamped.clone());
    steps.extend(synced.into_iter().map(Step::SyncFile));
    steps.extend(recorded.into_iter().map(Step::SyncDir));
    let dirs = [parent(&active).to_owned(), parent(&from).to_owned()];
    steps.push(Step::Move { from, to: active.clone() });
    steps.push(Step::Confirm { at: active.clone(), is: claim.identity });
    steps.push(Step::Replace { from: stamped, to: active });
    steps.extend(dirs.map(Step::SyncDir));
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

/// Says that a task is on its way out of where it had ended, and of which file there the reason goes with it. It need not
/// outlast a power cut: nothing is half done then.
pub fn mark(path: &Path, reasoned: Option<&FileName>) -> Vec<Step> {
    let bytes = reasoned.map(|file| file.as_str().as_bytes().to_vec()).unwrap_or_default();
    vec![Step::Write { path: path.to_owned(), bytes, mtime: None }]
}

/// What is written beside the task when it ends.
#[derive(Clone, Debug, Default)]
pub struct Papers {
    /// Files and their content: the answer, the result, the reason.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

impl Papers {
    /// What gives its name to each, and the folders that have those names then.
    fn draft(self, drafts: &mut Drafts) -> (Vec<Step>, Vec<PathBuf>) {
        let mut dirs: Vec<PathBuf> = self.files.iter().map(|(path, _)| parent(path).to_owned()).collect();
        dirs.dedup();
        (self.files.into_iter().map(|(path, bytes)| drafts.put(path, bytes, None)).collect(), dirs)
    }

    pub(super) fn steps(self) -> Vec<Step> {
        let mut drafts = Drafts::default();
        let (replaces, dirs) = self.draft(&mut drafts);
        let mut steps = drafts.steps();
        steps.extend(replaces.into_iter().chain(dirs.into_iter().map(Step::SyncDir)));
        steps
    }

    /// The same before a move into `dir`, whose own sync is enough for what was written there earlier.
    fn steps_before_move_to(self, dir: &Path) -> Vec<Step> {
        let mut steps = self.steps();
        steps.retain(|step| *step != Step::SyncDir(dir.to_owned()));
        steps
    }
}

/// Writes papers, and nothing else.
pub fn papers(papers: Papers) -> Vec<Step> {
    papers.steps()
}

/// Makes an outcome durable in `active/`. `before` is what the outcome refers to; `after` repeats it: it gets its name once
/// the outcome is durable, and [`file()`] waits for that name.
pub fn judge(active: &Path, stamped: Vec<u8>, before: Papers, after: Papers) -> Vec<Step> {
    let mut drafts = Drafts::default();
    let (referred, dirs) = before.draft(&mut drafts);
    let outcome = drafts.put(active.to_owned(), stamped, None);
    let (repeated, _) = after.draft(&mut drafts);
    let mut steps = drafts.steps();
    steps.extend(referred.into_iter().chain(dirs.into_iter().map(Step::SyncDir)));
    steps.extend([outcome, Step::SyncDir(parent(active).to_owned())]);
    steps.extend(repeated);
    steps
}

/// Files a judged task where it belongs, with the papers that repeat its outcome for others; `named` are the folders of
/// those that have their names already.
pub fn file(active: &Path, filed: &Path, papers: Papers, named: Vec<PathBuf>) -> Vec<Step> {
    let mut steps = papers.steps_before_move_to(parent(filed));
    steps.extend(named.into_iter().map(Step::SyncDir));
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
    steps.extend(file(from, failed, papers, Vec::new()));
    steps
}

/// Makes durable what a dead watcher had moved and not synced yet: each of `dirs`, in this order.
pub fn settle(dirs: Vec<PathBuf>) -> Vec<Step> {
    dirs.into_iter().map(Step::SyncDir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps in a word and a name each.
    fn words(steps: &[Step]) -> Vec<String> {
        steps.iter().map(|it| it.to_string().replace(".tmp`", "`")).collect()
    }

    fn at(path: &str) -> PathBuf {
        PathBuf::from(path)
    }

    #[test]
    fn a_move_waits_for_both_folders_and_for_one_only_once() {
        let steps = words(&transfer(&at("/a/x"), &at("/b/x")));
        assert_eq!(steps, ["move `/a/x` to `/b/x`", "sync `/b`", "sync `/a`"], "the new name first");
        assert_eq!(words(&transfer(&at("/a/x"), &at("/a/y"))), ["move `/a/x` to `/a/y`", "sync `/a`"]);
    }

    #[test]
    fn a_task_that_comes_back_says_whose_it_is_before_it_moves() {
        let steps = take_back(&at("/q/x"), &at("/active/x"), Some((at("/run/input.json"), b"{}".to_vec())));
        let steps = words(&steps);
        assert!(steps[0].starts_with("write `/run/.input.json"), "{steps:?}");
        assert!(steps[1].starts_with("sync `/run/.input.json"), "{steps:?}");
        assert_eq!(steps[2..4], ["replace `/run/input.json`", "sync `/run`"]);
        assert_eq!(steps[4..], words(&transfer(&at("/q/x"), &at("/active/x"))));
        assert_eq!(take_back(&at("/q/x"), &at("/active/x"), None), transfer(&at("/q/x"), &at("/active/x")));
    }

    #[test]
    fn an_outcome_is_on_the_disk_after_what_it_refers_to_and_before_what_repeats_it() {
        let paper = |path: &str| Papers { files: vec![(at(path), b"x".to_vec())] };
        let steps = words(&judge(
            &at("/active/x"),
            b"{}".to_vec(),
            paper("/run/output.txt"),
            paper("/run/result.json"),
        ));
        assert!(steps[..3].iter().all(|it| it.starts_with("write ")), "{steps:?}");
        assert!(steps[3..6].iter().all(|it| it.starts_with("sync ")), "{steps:?}");
        let named = ["replace `/run/output.txt`", "sync `/run`", "replace `/active/x`", "sync `/active`"];
        assert_eq!(steps[6..10], named);
        assert_eq!(steps[10..], ["replace `/run/result.json`"]);
    }

    #[test]
    fn a_task_goes_home_with_its_record_first() {
        let steps = words(&requeue(&at("/active/x"), &at("/q/x"), b"{}".to_vec(), None));
        assert!(steps[0].starts_with("write `/active/.x"), "{steps:?}");
        assert!(steps[1].starts_with("sync `/active/.x"), "{steps:?}");
        assert_eq!(steps[2..4], ["replace `/active/x`", "sync `/active`"]);
        assert_eq!(steps[4..], words(&transfer(&at("/active/x"), &at("/q/x"))));
    }

    #[test]
    fn a_task_that_vanished_replaces_nobody_and_a_copy_goes_when_its_home_is_certain() {
        let steps = words(&restore(&at("/active/x"), b"{}".to_vec()));
        assert!(steps[0].starts_with("write `/active/.x") && steps[1].starts_with("sync `/active/.x"));
        assert!(steps[2].starts_with("move `/active/.x") && steps[2].ends_with("to `/active/x`"));
        assert_eq!(steps[3..], ["sync `/active`"]);
        let steps = words(&drop_copy(&at("/q/x"), &at("/active/x")));
        assert_eq!(steps, ["sync `/active`", "remove `/q/x`", "sync `/q`"]);
        assert_eq!(words(&settle(vec![at("/b"), at("/a")])), ["sync `/b`", "sync `/a`"]);
    }

    #[test]
    fn files_are_waited_for_together_and_folders_are_not() {
        assert!(Step::SyncFile(at("/a")).is_file_sync());
        assert!(!Step::SyncDir(at("/a")).is_file_sync() && !Step::Look(at("/a")).is_file_sync());
    }
}
