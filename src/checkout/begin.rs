//! Before an agent is started: the repository is looked at, a worktree is made, and what it begins from is written down.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::git::{Git, GitError};
use super::record::{Checkout, Report};
use super::snapshot::{self, Kept};
use super::{answer, ask, seat, worktree};
use crate::config::Durability;
use crate::layout::RunPaths;
use crate::os::trouble::Trouble;
use crate::task::text::shown;
use crate::task::{TaskName, WorkdirMode};

/// How many files that are not committed are named.
const NAMED: usize = 20;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wish {
    /// How it works; never in an empty folder.
    pub mode: WorkdirMode,
    /// Where: a path without links, that was allowed.
    pub directory: PathBuf,
    /// Whether what is not committed there keeps it from beginning.
    pub refuses_dirty: bool,
    /// For which task.
    pub task: TaskName,
    /// The record of its run, and which attempt it is.
    pub paths: RunPaths,
    /// Its number.
    pub number: u32,
    /// The record of the run that it goes on with: itself, or its task's life before.
    pub origin: RunPaths,
    /// Where a worktree goes.
    pub tree: PathBuf,
    /// Whether what is written down must outlast a power cut.
    pub durability: Durability,
}

/// What the agent finds.
#[derive(Debug)]
pub enum Begun {
    /// What it changes is not recorded; why, where that is worth telling.
    Untracked(Option<String>),
    /// A repository; and what is worth telling.
    Tracked(Box<Checkout>, Vec<String>),
}

/// Why nothing is begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// It can never be begun as it is.
    #[error("{0}")]
    Unfit(String),
    /// The disk refused.
    #[error("could not write `{0}`")]
    Disk(PathBuf, #[source] io::Error),
    /// Git did not do what it should.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Prepares what `wish` asks for. It may be cut at any instant, and the next attempt goes on from there.
pub fn begin(git: &Git, wish: &Wish) -> Result<Begun, BeginError> {
    let disk = |error| BeginError::Disk(wish.paths.dir().to_owned(), error);
    let mut before = Checkout::before(&wish.paths, wish.number).map_err(disk)?;
    if before.is_none() && wish.mode == WorkdirMode::Worktree && wish.origin != wish.paths {
        // The life before worked in a worktree: its conversation goes on where it was.
        before = Checkout::before(&wish.origin, u32::MAX).map_err(disk)?;
    }
    let before = before.filter(|it| it.mode == wish.mode && wish.directory.starts_with(&it.repository));
    match (wish.mode, before) {
        (WorkdirMode::Empty, _) => Ok(Begun::Untracked(None)),
        (WorkdirMode::Dir, Some(before)) => again(git, wish, before),
        // What git cannot tell there is not recorded, and keeps nobody from working.
        (WorkdirMode::Dir, None) => match in_place(git, wish) {
            Err(BeginError::Git(error)) if !matches!(error, GitError::Stopped) => {
                Ok(Begun::Untracked(Some(format!("{error}; what it changes is not recorded"))))
            }
            begun => begun,
        },
        (WorkdirMode::Worktree, Some(before)) => {
            let below = wish.directory.strip_prefix(&before.repository).unwrap_or(Path::new("")).to_owned();
            in_worktree(git, wish, before, &below, Vec::new())
        }
        (WorkdirMode::Worktree, None) => of_its_own(git, wish),
    }
}

/// In the directory itself; what is not a repository, or none that git opens, is worked in all the same.
fn in_place(git: &Git, wish: &Wish) -> Result<Begun, BeginError> {
    if !git.is_there() {
        return Ok(Begun::Untracked(Some(format!("{}; what it changes is not recorded", GitError::Missing))));
    }
    let (mut checkout, unclean) = match looked(git, wish)? {
        Ok(seen) => seen,
        Err(Unseen::NoRepository) => return Ok(Begun::Untracked(None)),
        Err(Unseen::Why(why)) => {
            return Ok(Begun::Untracked(Some(format!("{why}; what it changes is not recorded"))));
        }
    };
    let mut told = told_dirty(&checkout, "what it finds there is not counted as its own");
    match snapshot::keep(git, &checkout, (checkout.base.as_deref(), &unclean), &wish.paths.snapshot()) {
        Kept::Tree(tree, missing) => {
            checkout.base_tree = Some(tree);
            checkout.notes.extend(missing);
        }
        // The next attempt keeps it: one that is without a tree now is so for good.
        Kept::Not(_) if git.is_stopped() => return Err(GitError::Stopped.into()),
        Kept::Not(why) => checkout.notes.push(format!("there is no patch but of what is committed: {why}")),
    }
    told.extend(checkout.notes.iter().cloned());
    write(wish, &checkout)?;
    Ok(Begun::Tracked(Box::new(checkout), told))
}

/// In the directory where an attempt of the same run worked before.
fn again(git: &Git, wish: &Wish, mut checkout: Checkout) -> Result<Begun, BeginError> {
    let left = Report::read(&wish.paths).ok().flatten().and_then(|it| it.end_tree);
    let note = "somebody else changed the repository between its attempts: that is in the patch too";
    if let Some(left) = left
        && is_another(git, &checkout, wish, &left)
        && !checkout.notes.iter().any(|it| it == note)
    {
        checkout.notes.push(note.to_owned());
    }
    checkout.path.clone_from(&wish.directory);
    write(wish, &checkout)?;
    Ok(Begun::Tracked(Box::new(checkout), Vec::new()))
}

/// Whether the files are others than the tree `left`; what cannot be found out is taken for a no.
fn is_another(git: &Git, checkout: &Checkout, wish: &Wish, left: &str) -> bool {
    let Ok(unclean) = snapshot::unclean(git, &checkout.tree) else { return false };
    let head = git.line(&ask::head(&checkout.tree)).ok().flatten();
    let now = snapshot::keep(git, checkout, (head.as_deref(), &unclean), &wish.paths.snapshot());
    matches!(now, Kept::Tree(now, _) if now != left)
}

/// In a worktree that is not there yet.
fn of_its_own(git: &Git, wish: &Wish) -> Result<Begun, BeginError> {
    let dir = shown(&wish.directory.display().to_string(), 300);
    let unfit = |why: &str| BeginError::Unfit(format!("no worktree of `{dir}` can be made: {why}"));
    let (mut checkout, _) = match looked(git, wish)? {
        Ok(seen) => seen,
        Err(Unseen::NoRepository) => {
            return Err(unfit(
                "it lies in no git repository; name one, or work in it with workdir_mode `dir`",
            ));
        }
        Err(Unseen::Why(why)) => return Err(unfit(&why)),
    };
    let Some(base) = checkout.base.clone() else { return Err(unfit("the repository has no commit yet")) };
    let told = told_dirty(&checkout, "the worktree begins with what is committed, and has none of it");
    checkout.notes.extend(told.iter().cloned());
    checkout.base_tree = git.line(&ask::tree_of(&checkout.repository, &base))?;
    checkout.branch = Some(worktree::free_branch(git, &checkout.repository, wish.task.as_str())?);
    checkout.tree.clone_from(&wish.tree);
    let below = wish.directory.strip_prefix(&checkout.repository).unwrap_or(Path::new("")).to_owned();
    in_worktree(git, wish, checkout, &below, told)
}

fn in_worktree(
    git: &Git,
    wish: &Wish,
    mut checkout: Checkout,
    below: &Path,
    told: Vec<String>,
) -> Result<Begun, BeginError> {
    // Without an end of its own: the CLI finds a conversation by this text.
    checkout.path = checkout.tree.components().chain(below.components()).collect();
    // Before it is made: whoever is killed in between knows which branch is the run's.
    write(wish, &checkout)?;
    let index = checkout.index.clone();
    let mut renamed = |checkout: &Checkout| {
        write(wish, checkout).map_err(|error| match error {
            BeginError::Disk(_, error) => GitError::Run(error),
            BeginError::Git(error) => error,
            BeginError::Unfit(why) => GitError::Refused { what: "worktree".to_owned(), said: why },
        })
    };
    worktree::ensure(git, &mut checkout, wish.task.as_str(), &mut renamed)?;
    if checkout.index != index {
        write(wish, &checkout)?;
    }
    if !checkout.path.is_dir() {
        let below = shown(&below.display().to_string(), 300);
        return Err(BeginError::Unfit(format!(
            "the folder `{below}` is not committed, so that the worktree has none"
        )));
    }
    Ok(Begun::Tracked(Box::new(checkout), told))
}

fn write(wish: &Wish, checkout: &Checkout) -> Result<(), BeginError> {
    let done = checkout.write(&wish.paths, wish.number, wish.durability);
    done.map_err(|error| BeginError::Disk(wish.paths.checkout(wish.number), error))
}

enum Unseen {
    NoRepository,
    Why(String),
}

/// The repository around the directory, and what is not committed in it.
fn looked(git: &Git, wish: &Wish) -> Result<Result<(Checkout, Vec<String>), Unseen>, BeginError> {
    let dir = &wish.directory;
    let answer = git.ask(&ask::whereabouts(dir))?;
    let at = answer::whereabouts(&answer.text()).filter(|_| answer.is_yes);
    let Some(at) = at else {
        let top = seat::top_of(dir);
        let has_none =
            fs::symlink_metadata(top.join(".git")).is_err() && answer.said.contains("not a git repository");
        return Ok(Err(if has_none {
            Unseen::NoRepository
        } else {
            Unseen::Why(refusal(top, &answer.said))
        }));
    };
    let top = PathBuf::from(&at.top);
    if !dir.starts_with(&top) {
        return Ok(Err(Unseen::Why(format!(
            "git takes `{}` for its top, which it does not lie in",
            shown(&at.top, 300)
        ))));
    }
    let unclean = snapshot::unclean(git, &top)?;
    if wish.refuses_dirty && !unclean.is_empty() {
        let named = named(&unclean, 3);
        let (top, count) = (shown(&at.top, 300), unclean.len());
        return Err(BeginError::Unfit(format!(
            "the repository `{top}` has {count} file(s) that are not committed, and the pack refuses that: {named}"
        )));
    }
    let checkout = Checkout {
        mode: wish.mode,
        repository: top.clone(),
        tree: top.clone(),
        path: dir.clone(),
        objects: PathBuf::from(at.objects),
        index: PathBuf::from(at.index),
        branch: git.line(&ask::branch(&top))?,
        base: git.line(&ask::head(&top))?,
        base_tree: None,
        dirty: unclean.len() as u64,
        dirty_files: unclean.iter().take(NAMED).cloned().collect(),
        notes: Vec::new(),
    };
    Ok(Ok((checkout, unclean)))
}

fn told_dirty(checkout: &Checkout, what: &str) -> Vec<String> {
    if checkout.dirty == 0 {
        return Vec::new();
    }
    let (top, count) = (shown(&checkout.repository.display().to_string(), 300), checkout.dirty);
    let named = named(&checkout.dirty_files, 3);
    vec![format!("the repository `{top}` has {count} file(s) that are not committed ({named}): {what}")]
}

fn named(files: &[String], most: usize) -> String {
    let first: Vec<String> = files.iter().take(most).map(|it| format!("`{}`", shown(it, 100))).collect();
    let more = if files.len() > most { ", …" } else { "" };
    first.join(", ") + more
}

/// Why git does not open a repository, with what to do where it belongs to somebody else.
fn refusal(top: &Path, said: &str) -> String {
    let me = nix::unistd::geteuid().as_raw();
    let owner = [top.to_owned(), top.join(".git")]
        .iter()
        .filter_map(|path| fs::symlink_metadata(path).ok().map(|meta| meta.uid()))
        .find(|uid| *uid != me);
    let shown_top = shown(&top.display().to_string(), 300);
    match owner {
        Some(uid) => format!(
            "the repository `{shown_top}` belongs to another user (uid {uid}) than the worker (uid {me}), and git does not \
             open it; as the worker's user: git config --global --add safe.directory {shown_top}"
        ),
        None => format!("git does not open the repository `{shown_top}`: {}", super::git::first_words(said)),
    }
}

impl BeginError {
    /// Whether it is the disk's fault; what it said.
    pub fn disk(&self) -> Option<(&Path, &io::Error)> {
        match self {
            Self::Disk(path, error) => Some((path, error)),
            Self::Git(GitError::Run(error)) if Trouble::of(error).is_some() => {
                Some((Path::new("git"), error))
            }
            Self::Git(_) | Self::Unfit(_) => None,
        }
    }
}
