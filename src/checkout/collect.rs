//! At the end of an attempt: what its run changed, from what stood there before its first attempt to what stands there now.
//!
//! It may be done again at any time as long as the files stand, and gives the same. What cannot be found out costs a note.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use super::ask::{self, Ask};
use super::git::{Git, GitError};
use super::record::{Checkout, Report};
use super::snapshot::{self, Kept};
use super::{answer, worktree};
use crate::config::Durability;
use crate::layout::RunPaths;
use crate::os::durable::{self, FILE_MODE};
use crate::task::{RunId, TaskName, TaskState, WorkdirMode};

/// The longest patch, in bytes.
const PATCH_MAX: u64 = 64 * 1024 * 1024;
/// How many commits and files are named.
const COMMITS: usize = 100;
const FILES: usize = 200;
/// What a patch says of each file first.
const FILE_MARK: &[u8] = b"\ndiff --git ";

/// Whose end it is.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The run.
    pub run: RunId,
    /// Its task.
    pub task: TaskName,
    /// Its record.
    pub paths: RunPaths,
    /// The attempt.
    pub number: u32,
    /// In which state its task ends, if it ends: where it ended well, what is left uncommitted in a worktree of ours is
    /// committed, or it could not go.
    pub state: Option<TaskState>,
    /// Whether what is written must outlast a power cut.
    pub durability: Durability,
}

impl Ending {
    fn is_done(&self) -> bool {
        self.state == Some(TaskState::Completed)
    }
}

/// Looks, and writes it down; nothing where the attempt worked on no repository.
pub fn collect(git: &Git, ending: &Ending) -> io::Result<Option<Report>> {
    let Some(checkout) = Checkout::read(&ending.paths, ending.number)? else { return Ok(None) };
    let mut report = Report::of(&checkout, ending.number);
    if let Err(error) = fill(git, &checkout, ending, &mut report) {
        report.notes.push(format!("what it changed could not be found out: {error}"));
    }
    report.write(&ending.paths, ending.durability)?;
    Ok(Some(report))
}

fn fill(git: &Git, checkout: &Checkout, ending: &Ending, report: &mut Report) -> Result<(), GitError> {
    let tree = &checkout.tree;
    if checkout.mode == WorkdirMode::Worktree {
        if !worktree::stands(git, tree)? {
            let what = "the worktree".to_owned();
            return Err(GitError::Refused { what, said: format!("`{}` is none any more", tree.display()) });
        }
        if ending.is_done() {
            worktree::release_locks(tree)?;
        }
    }
    let mut unclean = snapshot::unclean(git, tree)?;
    if checkout.mode == WorkdirMode::Worktree && ending.is_done() && !unclean.is_empty() {
        match commit(git, checkout, ending) {
            Ok(()) => unclean = snapshot::unclean(git, tree)?,
            Err(error) => report
                .notes
                .push(format!("the worktree stays, since what is left could not be committed: {error}")),
        }
    }
    report.head = git.line(&ask::head(tree))?;
    report.branch = git.line(&ask::branch(tree))?;
    if let Some(base) = &checkout.base {
        let count = git.line(&ask::count(tree, base))?;
        report.commit_count = count.and_then(|it| it.parse().ok()).unwrap_or(0);
        report.commits = answer::log(&git.answer(&ask::log(tree, base, COMMITS))?.bytes);
    }
    compare(git, checkout, ending, &unclean, report)?;
    if checkout.mode == WorkdirMode::Worktree
        && ending.is_done()
        && report.commit_count == 0
        && report.files == 0
    {
        // It goes with the worktree: there is nothing on it.
        report.branch = None;
    }
    Ok(())
}

fn compare(
    git: &Git,
    checkout: &Checkout,
    ending: &Ending,
    unclean: &[String],
    report: &mut Report,
) -> Result<(), GitError> {
    let place = ending.paths.snapshot();
    let kept = if checkout.base_tree.is_none() {
        Kept::Not("the files were not kept before".to_owned())
    } else {
        snapshot::keep(git, checkout, (report.head.as_deref(), unclean), &place)
    };
    let (from, to) = match (kept, &checkout.base_tree, &checkout.base, &report.head) {
        (Kept::Tree(to, missing), Some(from), _, _) => {
            report.notes.extend(missing);
            report.end_tree = Some(to.clone());
            (from.clone(), to)
        }
        (Kept::Not(why), _, Some(base), Some(head)) => {
            if checkout.base_tree.is_some() {
                report.notes.push(format!("there is no patch but of what is committed: {why}"));
            }
            (base.clone(), head.clone())
        }
        (Kept::Not(why), _, _, _) => {
            report.notes.push(format!("there is no patch: {why}"));
            return Ok(());
        }
        (Kept::Tree(..), None, _, _) => return Ok(()),
    };
    let trees = (from.as_str(), to.as_str());
    let ask = |how: &[&str]| snapshot::difference(how, checkout, &place, trees);
    let files = answer::numstat(&git.answer(&ask(&["--numstat", "-z"]))?.bytes);
    report.files = files.len() as u64;
    report.insertions = files.iter().filter_map(|it| it.insertions).sum();
    report.deletions = files.iter().filter_map(|it| it.deletions).sum();
    report.stat = files.into_iter().take(FILES).collect();
    let whole = ask(&["--patch", "--binary", "--full-index", "--src-prefix=a/", "--dst-prefix=b/"]);
    report.patch_is_cut = !patch(git, whole, ending)?;
    if report.patch_is_cut {
        report.notes.push(format!(
            "the patch is cut after {} MiB, before the file that is too much",
            PATCH_MAX >> 20
        ));
    }
    report.patch = Some(format!("artifacts/{}/changes.patch", ending.run));
    Ok(())
}

/// Writes the patch; whether all of it is there. What is cut is cut between two files, so that it applies as far as it goes.
fn patch(git: &Git, ask: Ask, ending: &Ending) -> Result<bool, GitError> {
    let path = ending.paths.patch();
    let temp = durable::beside(&path);
    let printed = || -> Result<bool, GitError> {
        let out = File::options().read(true).write(true).create_new(true).mode(FILE_MODE).open(&temp);
        let out = out.map_err(GitError::Run)?;
        let is_whole = git.print(&Ask { bytes: PATCH_MAX, ..ask }, &out)?;
        if !is_whole {
            let end = last_whole(&out).map_err(GitError::Run)?;
            out.set_len(end).map_err(GitError::Run)?;
        }
        if ending.durability == Durability::Full {
            out.sync_all().map_err(GitError::Run)?;
        }
        durable::replace(&temp, &path).map_err(GitError::Run)?;
        Ok(is_whole)
    };
    printed().inspect_err(|_| drop(durable::remove_if_there(&temp)))
}

/// Where the last file begins that is within the bounds: what stands before it is whole.
fn last_whole(mut file: &File) -> io::Result<u64> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(PATCH_MAX).read_to_end(&mut bytes)?;
    let at = bytes.windows(FILE_MARK.len()).rposition(|it| it == FILE_MARK);
    Ok(at.map_or(0, |at| at as u64 + 1))
}

/// Commits what the agent left uncommitted, in its name where git knows one, else in ours.
fn commit(git: &Git, checkout: &Checkout, ending: &Ending) -> Result<(), GitError> {
    let tree = &checkout.tree;
    git.answer(&Ask::of(tree, ["add", "--all"]).lasting())?;
    let message = format!("agent/{}: uncommitted work of run {}", ending.task, ending.run);
    let commit = Ask::of(
        tree,
        [
            "-c",
            "commit.gpgSign=false",
            "commit",
            "--quiet",
            "--no-verify",
            "--cleanup=verbatim",
            "-m",
            &message,
        ],
    );
    let mut commit = commit.lasting();
    for who in ["AUTHOR", "COMMITTER"] {
        if !git.ask(&Ask::of(tree, ["var", &format!("GIT_{who}_IDENT")]))?.is_yes {
            let (name, mail) = match who {
                "AUTHOR" => ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"),
                _ => ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
            };
            commit = commit.with(name, "agent-worker").with(mail, "agent-worker@localhost");
        }
    }
    git.answer(&commit).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_patch_is_cut_between_two_files() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"diff --git a/x b/x\n+1\ndiff --git a/y b/y\n+2").unwrap();
        assert_eq!(last_whole(&file).unwrap(), 22);
        let mut one = tempfile::tempfile().unwrap();
        one.write_all(b"diff --git a/x b/x\n+1").unwrap();
        assert_eq!(last_whole(&one).unwrap(), 0);
    }
}
