//! What git is asked: lists of arguments with their bounds. Pure.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a question may take.
const USUAL: Duration = Duration::from_secs(30);
/// How long files may be compared, added or checked out.
pub const LONG: Duration = Duration::from_mins(5);
/// How much an answer may hold, in bytes.
const ANSWER_BYTES: u64 = 32 * 1024 * 1024;

/// What is always said: no hook, no program that watches files, nothing that goes on in the background.
const ALWAYS: [&str; 5] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "core.looseCompression=1",
];

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where it is asked.
    pub dir: PathBuf,
    /// Everything after the program's name.
    pub args: Vec<OsString>,
    /// What stands in the environment besides the usual.
    pub env: Vec<(&'static str, OsString)>,
    /// How long it may take.
    pub time: Duration,
    /// How much may be answered, in bytes.
    pub bytes: u64,
}

impl Ask {
    /// A question asked in `dir`.
    pub fn new<A: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let always = ALWAYS.iter().flat_map(|it| ["-c", it]).map(OsString::from);
        let args = always.chain(args.into_iter().map(|it| it.as_ref().to_owned())).collect();
        Self { dir: dir.to_owned(), args, env: Vec::new(), time: USUAL, bytes: ANSWER_BYTES }
    }

    /// The same of a repository that begins at `dir`, and at no folder above it.
    pub fn of<A: AsRef<OsStr>>(tree: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let ask = Self::new(tree, args);
        match tree.parent().filter(|it| !it.as_os_str().as_encoded_bytes().contains(&b':')) {
            Some(above) => ask.with("GIT_CEILING_DIRECTORIES", above),
            None => ask,
        }
    }

    /// The same with this in the environment.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, value.as_ref().to_owned()));
        self
    }

    /// The same, and it may take long.
    #[must_use]
    pub fn lasting(self) -> Self {
        Self { time: LONG, ..self }
    }

    /// What it is about, in a word or two.
    pub fn what(&self) -> String {
        let words: Vec<_> = self.args.iter().skip(2 * ALWAYS.len()).take(2).collect();
        let words = words.iter().map(|it| it.to_string_lossy()).filter(|it| !it.starts_with('-'));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Where the repository around a folder is, one path a line: its top, what its worktrees share, its objects, its index,
/// and the folder below the top.
pub(super) fn whereabouts(dir: &Path) -> Ask {
    Ask::new(
        dir,
        [
            "rev-parse",
            "--path-format=absolute",
            "--show-toplevel",
            "--git-common-dir",
            "--git-dir",
            "--git-path",
            "objects",
            "--git-path",
            "index",
            "--show-prefix",
        ],
    )
}

/// The commit that is checked out.
pub(super) fn head(tree: &Path) -> Ask {
    Ask::of(tree, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
}

/// The tree of a commit.
pub(super) fn tree_of(tree: &Path, commit: &str) -> Ask {
    Ask::of(tree, ["rev-parse", "--verify", "--quiet", &format!("{commit}^{{tree}}")])
}

/// The branch that is checked out.
pub(super) fn branch(tree: &Path) -> Ask {
    Ask::of(tree, ["symbolic-ref", "--quiet", "--short", "HEAD"])
}

/// What is not committed.
pub(super) fn status(tree: &Path) -> Ask {
    let args = ["status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"];
    Ask::of(tree, args).with("GIT_OPTIONAL_LOCKS", "0").lasting()
}

/// The branches of our names, and where each is checked out.
pub(super) fn branches(tree: &Path) -> Ask {
    let format = "--format=%(refname:short)%00%(worktreepath)";
    Ask::of(tree, ["for-each-ref", format, "refs/heads/agent", "refs/heads/agent-*"])
}

/// How many commits lead from `base` to what is checked out.
pub(super) fn count(tree: &Path, base: &str) -> Ask {
    Ask::of(tree, ["rev-list", "--count", &format!("{base}..HEAD"), "--"])
}

/// Those commits, the newest first.
pub(super) fn log(tree: &Path, base: &str, most: usize) -> Ask {
    let most = format!("--max-count={most}");
    Ask::of(
        tree,
        [
            "log",
            "-z",
            "--no-color",
            "--no-show-signature",
            &most,
            "--format=%H%x09%s",
            &format!("{base}..HEAD"),
            "--",
        ],
    )
}

/// How two trees differ: the numbers (`--numstat`) or the whole (`--patch`).
pub(super) fn differ(tree: &Path, how: &[&str], (from, to): (&str, &str)) -> Ask {
    let fixed =
        ["diff-tree", "-r", "-M", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none"];
    let args = fixed.iter().chain(how).copied().chain([from, to, "--"]);
    Ask::of(tree, args).lasting()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_runs_no_hook_and_looks_at_no_folder_above() {
        let ask = head(Path::new("/srv/repo"));
        let line: Vec<_> = ask.args.iter().map(|it| it.to_string_lossy()).collect();
        assert!(
            line.join(" ").starts_with("-c core.hooksPath=/dev/null -c core.fsmonitor=false"),
            "{line:?}"
        );
        assert_eq!(ask.env, [("GIT_CEILING_DIRECTORIES", "/srv".into())]);
        assert_eq!(ask.what(), "rev-parse");
        assert_eq!(Ask::new(Path::new("/x"), ["worktree", "add", "-f"]).what(), "worktree add");
        assert!(head(Path::new("/s:rv/repo")).env.is_empty(), "a list of folders is split at a colon");
    }
}
