//! Making a worktree, and mending one that was half made when somebody was killed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::ask::{self, Ask};
use super::git::{Git, GitError};
use super::record::Checkout;
use super::{answer, name};
use crate::os::durable::{DIR_MODE, make_dir, remove_if_there, rename_noreplace};
use crate::os::removal::remove_tree;

/// How often another name is tried when somebody else took the branch in the same instant.
const NAMES: usize = 5;

/// A branch for `task` that is free.
pub(super) fn free_branch(git: &Git, repository: &Path, task: &str) -> Result<String, GitError> {
    Ok(name::free(task, &branches(git, repository)?.into_iter().map(|(name, _)| name).collect::<Vec<_>>()))
}

fn branches(git: &Git, repository: &Path) -> Result<Vec<(String, Option<String>)>, GitError> {
    let answer = git.answer(&ask::branches(repository))?;
    Ok(answer::branches(&String::from_utf8_lossy(&answer.bytes)))
}

/// Sees to it that the worktree of `checkout` is there; `renamed` writes down another branch before it is made.
pub(super) fn ensure(
    git: &Git,
    checkout: &mut Checkout,
    task: &str,
    renamed: &mut dyn FnMut(&Checkout) -> Result<(), GitError>,
) -> Result<(), GitError> {
    if stands(git, &checkout.tree)? {
        return release_locks(&checkout.tree);
    }
    for _ in 0..NAMES {
        make_way(checkout)?;
        let Some(branch) = checkout.branch.clone() else { break };
        let there = branches(git, &checkout.repository)?;
        let found = there.iter().find(|(name, _)| *name == branch).map(|(_, place)| place.as_deref());
        let is_elsewhere = |place: Option<&str>| place.is_some_and(|it| Path::new(it) != checkout.tree);
        if found.is_some_and(is_elsewhere) {
            checkout.branch = Some(free_branch(git, &checkout.repository, task)?);
            renamed(checkout)?;
            continue;
        }
        let (tree, base) = (checkout.tree.as_os_str(), checkout.base.as_deref().unwrap_or("HEAD"));
        let (there, fresh) = ([tree, branch.as_ref()], ["-b".as_ref(), branch.as_ref(), tree, base.as_ref()]);
        let made = git.answer(&add(checkout, if found.is_some() { &there } else { &fresh }));
        match made {
            Ok(_) => break,
            // Somebody made a branch of this name since: told by where it stands now.
            Err(GitError::Refused { .. }) if found.is_none() && is_others(git, checkout, &branch)? => {
                checkout.branch = Some(free_branch(git, &checkout.repository, task)?);
                renamed(checkout)?;
            }
            Err(error) => return Err(error),
        }
    }
    checkout.index = index_of(git, &checkout.tree)?;
    Ok(())
}

fn is_others(git: &Git, checkout: &Checkout, branch: &str) -> Result<bool, GitError> {
    let there = branches(git, &checkout.repository)?;
    Ok(there.iter().any(|(name, place)| {
        name == branch && place.as_deref().is_some_and(|it| Path::new(it) != checkout.tree)
    }))
}

/// Twice forced: over the registration of one that was half made, which git keeps for its own.
fn add(checkout: &Checkout, what: &[&OsStr]) -> Ask {
    let always = ["worktree", "add", "--quiet", "--force", "--force"].map(OsStr::new);
    Ask::of(&checkout.repository, always.iter().chain(what)).lasting()
}

fn index_of(git: &Git, tree: &Path) -> Result<PathBuf, GitError> {
    let answer = git.answer(&ask::whereabouts(tree))?;
    let at = answer::whereabouts(&answer.text());
    Ok(at.map(|it| PathBuf::from(it.index)).unwrap_or_default())
}

/// Whether `tree` is a worktree that was made to its end.
pub(super) fn stands(git: &Git, tree: &Path) -> Result<bool, GitError> {
    if !tree.join(".git").is_file() || is_half_made(tree) {
        return Ok(false);
    }
    let ask = ask::whereabouts(tree);
    let ask = Ask { env: Ask::of(tree, [""; 0]).env, ..ask };
    let answer = git.ask(&ask)?;
    let at = answer::whereabouts(&answer.text()).filter(|_| answer.is_yes);
    let same =
        |top: &str| Path::new(top) == tree || fs::canonicalize(tree).is_ok_and(|it| it == Path::new(top));
    Ok(at.is_some_and(|at| same(&at.top)) && git.line(&ask::head(tree))?.is_some())
}

/// While git makes one it keeps it locked, with this word; nobody has worked in it then.
fn is_half_made(tree: &Path) -> bool {
    registration_of(tree)
        .and_then(|dir| fs::read_to_string(dir.join("locked")).ok())
        .is_some_and(|why| why.trim() == "initializing")
}

/// Where the repository keeps what it knows of the worktree `tree`, as its `.git` says.
pub(super) fn registration_of(tree: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(tree.join(".git")).ok()?;
    let dir = PathBuf::from(text.strip_prefix("gitdir:")?.trim());
    Some(if dir.is_absolute() { dir } else { tree.join(dir) })
}

/// What stands in the way goes: nothing of anybody where it was half made, else it is put aside, whole.
fn make_way(checkout: &Checkout) -> Result<(), GitError> {
    let tree = &checkout.tree;
    if let Some(above) = tree.parent() {
        make_dir(above, DIR_MODE).map_err(GitError::Run)?;
    }
    if fs::symlink_metadata(tree).is_err() {
        return Ok(());
    }
    let is_empty = fs::read_dir(tree).is_ok_and(|mut entries| entries.next().is_none());
    if is_half_made(tree) || is_empty {
        return remove_tree(tree, &mut || true).map(drop).map_err(GitError::Run);
    }
    for n in 1..1000 {
        let aside = tree.with_file_name(format!("tree.broken-{n}"));
        match rename_noreplace(tree, &aside) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            done => return done.map_err(GitError::Run),
        }
    }
    Ok(())
}

/// Nobody works in it now: a lock of git's was left by somebody who was killed.
pub(super) fn release_locks(tree: &Path) -> Result<(), GitError> {
    let Some(dir) = registration_of(tree) else { return Ok(()) };
    for name in ["index.lock", "HEAD.lock"] {
        remove_if_there(&dir.join(name)).map_err(GitError::Run)?;
    }
    Ok(())
}
