//! What is written down: in which repository an attempt works, and what its run changed there.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Durability;
use crate::layout::RunPaths;
use crate::os::durable::{self, DIR_MODE};
use crate::os::trouble::if_there;
use crate::task::{Changes, WorkdirMode};

/// `attempt-N/checkout.json`: written before the agent is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// How it works.
    pub mode: WorkdirMode,
    /// The top of the repository that was named.
    pub repository: PathBuf,
    /// The top of the files that it works on: the same, or a worktree of ours.
    pub tree: PathBuf,
    /// Where the agent stands in it.
    pub path: PathBuf,
    /// Where the repository keeps its objects.
    pub objects: PathBuf,
    /// Where this tree keeps its index.
    pub index: PathBuf,
    /// The branch that was checked out, or was made for the run.
    pub branch: Option<String>,
    /// The commit that it began from; none in a repository without one.
    pub base: Option<String>,
    /// The files as they were before the first attempt; none where they could not be kept.
    pub base_tree: Option<String>,
    /// How many files of the repository were not committed then.
    pub dirty: u64,
    /// Some of them.
    pub dirty_files: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Checkout {
    /// Writes it down for attempt `number`.
    pub fn write(&self, paths: &RunPaths, number: u32, durability: Durability) -> io::Result<()> {
        durable::make_dir(&paths.attempt(number), DIR_MODE)?;
        durable::write_atomic(&paths.checkout(number), &json(self), durability)
    }

    /// What was written for attempt `number`; nothing where that works on no repository.
    pub fn read(paths: &RunPaths, number: u32) -> io::Result<Option<Self>> {
        read(&paths.checkout(number))
    }

    /// What the last attempt before `number` worked on.
    pub fn before(paths: &RunPaths, number: u32) -> io::Result<Option<Self>> {
        let entries = if_there(std::fs::read_dir(paths.dir()))?;
        let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
        let numbers = names.filter_map(|name| name.to_str()?.strip_prefix("attempt-")?.parse::<u32>().ok());
        let mut numbers: Vec<u32> = numbers.filter(|it| *it < number).collect();
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        for number in numbers {
            if let Some(checkout) = Self::read(paths, number)? {
                return Ok(Some(checkout));
            }
        }
        Ok(None)
    }
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its name.
    pub hash: String,
    /// Its first line.
    pub subject: String,
}

/// How one file differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// Its path below the top.
    pub path: String,
    /// What it was called before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// Lines that are new; none for a binary file.
    pub insertions: Option<u64>,
    /// Lines that are gone; none for a binary file.
    pub deletions: Option<u64>,
}

/// `changes.json`: what the run changed, up to the end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it worked.
    pub mode: WorkdirMode,
    /// The top of the repository that was named.
    pub repository: PathBuf,
    /// The top of the files that it worked on.
    pub tree: PathBuf,
    /// The attempt at whose end it was looked at.
    pub attempt: u32,
    /// The branch that is checked out.
    pub branch: Option<String>,
    /// The commit that it began from.
    pub base: Option<String>,
    /// The commit that is checked out.
    pub head: Option<String>,
    /// How many commits lead from the one to the other.
    pub commit_count: u64,
    /// The newest of them.
    pub commits: Vec<Commit>,
    /// How many files differ.
    pub files: u64,
    /// Lines that are new.
    pub insertions: u64,
    /// Lines that are gone.
    pub deletions: u64,
    /// Some of those files.
    pub stat: Vec<FileStat>,
    /// The path of the patch, relative to the root.
    pub patch: Option<String>,
    /// Whether it is too long and has not all of it.
    pub patch_is_cut: bool,
    /// How many files of the repository were not committed before.
    pub dirty: u64,
    /// What a person should know.
    pub notes: Vec<String>,
    /// The files as they are now, as git calls them.
    pub end_tree: Option<String>,
}

impl Report {
    /// Nothing yet of what `checkout` says.
    pub(super) fn of(checkout: &Checkout, attempt: u32) -> Self {
        Self {
            mode: checkout.mode,
            repository: checkout.repository.clone(),
            tree: checkout.tree.clone(),
            attempt,
            branch: checkout.branch.clone(),
            base: checkout.base.clone(),
            head: None,
            commit_count: 0,
            commits: Vec::new(),
            files: 0,
            insertions: 0,
            deletions: 0,
            stat: Vec::new(),
            patch: None,
            patch_is_cut: false,
            dirty: checkout.dirty,
            notes: checkout.notes.clone(),
            end_tree: None,
        }
    }

    /// What was written down.
    pub fn read(paths: &RunPaths) -> io::Result<Option<Self>> {
        read(&paths.changes())
    }

    pub(super) fn write(&self, paths: &RunPaths, durability: Durability) -> io::Result<()> {
        durable::write_atomic(&paths.changes(), &json(self), durability)
    }

    /// The same in a few words, for the task's file.
    pub fn brief(&self) -> Changes {
        Changes {
            branch: self.branch.clone(),
            commits: self.commit_count,
            files: self.files,
            insertions: self.insertions,
            deletions: self.deletions,
            patch: self.patch.clone(),
            note: Some(self.notes.join("; ")).filter(|it| !it.is_empty()),
        }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// What cannot be understood is as good as not there: it is no record of ours.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = if_there(std::fs::read(path))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
