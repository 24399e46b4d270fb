//! How an agent works in a directory, and what it changed there, in a few words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an agent works in the directory that its task or its pack names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkdirMode {
    /// In it, one run at a time.
    Dir,
    /// In a worktree of the repository, on a branch of its own.
    Worktree,
    /// In an empty folder of its own.
    Empty,
}

impl WorkdirMode {
    /// The words of the file.
    pub const WORDS: [(&'static str, Self); 3] =
        [("dir", Self::Dir), ("worktree", Self::Worktree), ("empty", Self::Empty)];

    /// The word of the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Worktree => "worktree",
            Self::Empty => "empty",
        }
    }
}

impl fmt::Display for WorkdirMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a run changed in a git repository. All of it stands in `result.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Changes {
    /// The branch that it worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// How many commits it made.
    pub commits: u64,
    /// How many files differ from what they were before.
    pub files: u64,
    /// Lines that are new.
    pub insertions: u64,
    /// Lines that are gone.
    pub deletions: u64,
    /// The path of the patch, relative to the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// What a person should know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl fmt::Display for Changes {
    /// `3 files changed, +10 -2, 1 commit on agent/x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { branch, commits, files, insertions, deletions, .. } = self;
        match files {
            0 => f.write_str("no files changed")?,
            1 => write!(f, "1 file changed, +{insertions} -{deletions}")?,
            files => write!(f, "{files} files changed, +{insertions} -{deletions}")?,
        }
        match (commits, branch) {
            (0, _) => Ok(()),
            (commits, branch) => {
                let s = if *commits == 1 { "" } else { "s" };
                write!(f, ", {commits} commit{s}")?;
                branch.as_ref().map_or(Ok(()), |branch| write!(f, " on {branch}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_a_few_words() {
        let of = |files, commits| Changes {
            branch: Some("agent/x".to_owned()),
            commits,
            files,
            insertions: 10,
            deletions: 2,
            ..Changes::default()
        };
        for (changes, words) in [
            (of(0, 0), "no files changed"),
            (of(1, 0), "1 file changed, +10 -2"),
            (of(3, 1), "3 files changed, +10 -2, 1 commit on agent/x"),
            (Changes { branch: None, ..of(3, 2) }, "3 files changed, +10 -2, 2 commits"),
        ] {
            assert_eq!(changes.to_string(), words);
        }
    }

    #[test]
    fn the_words_of_the_file_are_what_is_written() {
        for (word, mode) in WorkdirMode::WORDS {
            assert_eq!(mode.as_str(), word);
        }
    }
}
