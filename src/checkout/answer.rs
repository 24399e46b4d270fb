//! Reading what git answers. Pure; names need not be UTF-8, and are shown as far as they are.

use super::record::{Commit, FileStat};

/// What stands in the order of [`super::ask::whereabouts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whereabouts {
    /// The top of the files.
    pub(super) top: String,
    /// What all worktrees share.
    pub(super) common: String,
    /// What is this worktree's own.
    pub(super) own: String,
    pub(super) objects: String,
    pub(super) index: String,
    /// The folder that was asked from, below the top; empty for the top.
    pub(super) below: String,
}

/// One line each.
pub(super) fn whereabouts(text: &str) -> Option<Whereabouts> {
    let lines: Vec<&str> = text.split_terminator('\n').collect();
    let [top, common, own, objects, index, below] = lines.try_into().ok()?;
    let owned = str::to_owned;
    Some(Whereabouts {
        top: owned(top),
        common: owned(common),
        own: owned(own),
        objects: owned(objects),
        index: owned(index),
        below: owned(below.trim_end_matches('/')),
    })
}

/// The names that are not committed as they are.
pub(super) fn status(bytes: &[u8]) -> Vec<String> {
    let entries = bytes.split(|byte| *byte == 0).filter(|it| it.len() > 3);
    entries.map(|it| String::from_utf8_lossy(&it[3..]).into_owned()).collect()
}

/// Branches, each with the folder where it is checked out.
pub(super) fn branches(text: &str) -> Vec<(String, Option<String>)> {
    let lines = text.lines().filter_map(|line| line.split_once('\0'));
    lines.map(|(name, path)| (name.to_owned(), Some(path.to_owned()).filter(|it| !it.is_empty()))).collect()
}

/// Commits with their subjects.
pub(super) fn log(bytes: &[u8]) -> Vec<Commit> {
    let text = String::from_utf8_lossy(bytes);
    let commits = text.split('\0').filter_map(|it| it.trim_start_matches('\n').split_once('\t'));
    let commit = |(hash, subject): (&str, &str)| Commit {
        hash: hash.to_owned(),
        subject: crate::task::outcome::head(subject, 200).to_owned(),
    };
    commits.map(commit).collect()
}

/// `added TAB removed TAB name NUL`; of a renamed file the name is empty, and both names follow. A binary file has no
/// numbers.
pub(super) fn numstat(bytes: &[u8]) -> Vec<FileStat> {
    let mut parts = bytes.split(|byte| *byte == 0);
    let mut files = Vec::new();
    while let Some(entry) = parts.next() {
        let entry = String::from_utf8_lossy(entry);
        let mut cells = entry.splitn(3, '\t');
        let (Some(added), Some(removed), Some(name)) = (cells.next(), cells.next(), cells.next()) else {
            continue;
        };
        let (name, from) = if name.is_empty() {
            let (from, to) = (parts.next(), parts.next());
            let text = |it: Option<&[u8]>| String::from_utf8_lossy(it.unwrap_or_default()).into_owned();
            (text(to), Some(text(from)))
        } else {
            (name.to_owned(), None)
        };
        files.push(FileStat {
            path: name,
            from,
            insertions: added.parse().ok(),
            deletions: removed.parse().ok(),
        });
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_answers_is_read() {
        let at =
            whereabouts("/srv/r\n/srv/r/.git\n/srv/r/.git\n/srv/r/.git/objects\n/srv/r/.git/index\nsub/\n")
                .unwrap();
        assert_eq!((at.top.as_str(), at.below.as_str()), ("/srv/r", "sub"));
        assert_eq!(whereabouts("a\nb\nc\nd\ne\n\n").unwrap().below, "");
        assert_eq!(whereabouts("/srv/new\nline\n/srv/r/.git\n/x\n/y\n/z\n\n"), None);
        assert_eq!(status(b" M a b\0?? new\xff\0"), ["a b", "new\u{fffd}"]);
        assert_eq!(
            branches("agent/x\0/ws/tree\nagent/y\0\n"),
            [("agent/x".to_owned(), Some("/ws/tree".to_owned())), ("agent/y".to_owned(), None)]
        );
        assert_eq!(
            log(b"abc\tone\0def\ttwo\tthree\0").iter().map(|it| it.subject.as_str()).collect::<Vec<_>>(),
            ["one", "two\tthree"]
        );
        let files = numstat(b"1\t2\ta b\0-\t-\tbin\x003\t0\t\0old\0new\0");
        let names: Vec<_> =
            files.iter().map(|it| (it.path.as_str(), it.insertions, it.from.as_deref())).collect();
        assert_eq!(names, [("a b", Some(1), None), ("bin", None, None), ("new", Some(3), Some("old"))]);
    }
}
