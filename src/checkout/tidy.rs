//! When a run has ended: its worktree goes if all of its work is committed, and with it what was only kept to compare.
//! Whatever is refused stays where it is, for retention to take in its time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ask::{Ask, branch};
use super::git::{Git, GitError};
use super::record::{Checkout, Report};
use super::worktree::registration_of;
use crate::layout::{RunPaths, tree_in};
use crate::os::removal::remove_tree;
use crate::task::{TaskState, WorkdirMode};

/// Tidies up after attempt `number`, the last one of a task that ended in `state`; what stays, and why.
pub fn tidy(git: &Git, paths: &RunPaths, number: u32, state: TaskState) -> Option<String> {
    // Who cannot be read cannot be tidied up; the retention rule takes it.
    let checkout = Checkout::read(paths, number).ok().flatten()?;
    let stays = if checkout.mode == WorkdirMode::Worktree && state == TaskState::Completed {
        remove_worktree(git, &checkout, paths).err().map(|error| error.to_string())
    } else {
        None
    };
    remove_tree(&paths.snapshot(), &mut || true).ok();
    stays
}

fn remove_worktree(git: &Git, checkout: &Checkout, paths: &RunPaths) -> Result<(), GitError> {
    let tree = &checkout.tree;
    if fs::symlink_metadata(tree).is_err() {
        return Ok(());
    }
    let refuse = |said: &str| GitError::Refused { what: "worktree remove".to_owned(), said: said.to_owned() };
    if git.line(&branch(tree))?.is_none() {
        return Err(refuse("no branch is checked out in it, so that its commits would be lost"));
    }
    let args: [&std::ffi::OsStr; 3] = ["worktree".as_ref(), "remove".as_ref(), tree.as_os_str()];
    // Not forced: it refuses where anything is not committed.
    git.answer(&Ask::of(&checkout.repository, args).lasting())?;
    if let Some(above) = tree.parent() {
        // Only if nothing else was left there.
        fs::remove_dir(above).ok();
    }
    drop_empty_branch(git, checkout, paths)
}

/// A branch that still stands where it was made has nothing of the run.
fn drop_empty_branch(git: &Git, checkout: &Checkout, paths: &RunPaths) -> Result<(), GitError> {
    let report = Report::read(paths).ok().flatten();
    let is_used =
        report.is_some_and(|it| it.branch.is_some() && it.branch == checkout.branch && it.commit_count > 0);
    let (Some(branch), Some(base), false) = (&checkout.branch, &checkout.base, is_used) else {
        return Ok(());
    };
    let name = format!("refs/heads/{branch}");
    // Git deletes it only if it stands there.
    git.ask(&Ask::of(&checkout.repository, ["update-ref", "-d", &name, base])).map(drop)
}

/// What a repository knows of a worktree in the workspace of a run, to be forgotten when that is gone.
#[derive(Debug)]
pub struct Registration(PathBuf);

impl Registration {
    /// What is known of the worktree in the workspace that stands at `now` and is called `workspace`. The agent could write
    /// there: it counts only if the repository says the same.
    pub fn of(now: &Path, workspace: &Path) -> Option<Self> {
        let dir = registration_of(&tree_in(now))?;
        let is_one =
            dir.parent().is_some_and(|it| it.ends_with("worktrees")) && dir.join("commondir").is_file();
        let back = fs::read_to_string(dir.join("gitdir")).ok()?;
        // Git calls it by a path without links.
        let above = fs::canonicalize(workspace.parent()?).ok()?;
        let tree = tree_in(&above.join(workspace.file_name()?)).join(".git");
        (is_one && Path::new(back.trim()) == tree).then_some(Self(dir))
    }

    /// Forgets it. Its branch stays.
    pub fn forget(self) -> io::Result<()> {
        remove_tree(&self.0, &mut || true).map(drop)
    }
}
