//! The last words of a watcher that ended itself: why, for whoever comes next and for people.
//!
//! `workers/<worker>/panic-<ms>.txt` after a bug, `stalled-<ms>.txt` when the loop stood still. The second line names
//! the process, so that a report is never taken for another one's. Nothing removes them but people.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;
use crate::os::durable::{self, Durability};

/// What is read of a report, in bytes: its head.
const HEAD: u64 = 4096;

/// Why it ended itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bug.
    Panic,
    /// Its loop stood still.
    Stalled,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Panic, Self::Stalled];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Panic => "panic-",
            Self::Stalled => "stalled-",
        }
    }
}

/// A report that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Why.
    pub kind: Kind,
    /// The file.
    pub path: PathBuf,
    /// Its first words.
    pub said: String,
}

/// Where a report of `kind` is written.
pub fn path(dir: &Path, kind: Kind, now: Timestamp) -> PathBuf {
    dir.join(format!("{}{}.txt", kind.prefix(), now.as_millisecond()))
}

/// Writes one; `said` is the gist, `more` all the rest.
pub fn write(path: &Path, now: Timestamp, said: &str, more: &str) -> io::Result<()> {
    let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let text = format!("{now}\nagent-worker {version}, pid {pid}\n{said}\n\n{more}\n");
    durable::write_atomic(path, text.as_bytes(), Durability::Full)
}

/// The latest report in `dir` of the process `pid` that began at `since`.
pub fn find(dir: &Path, pid: i32, since: Option<Timestamp>) -> Option<Report> {
    let mut found: Vec<(i64, Kind, PathBuf)> = fs::read_dir(dir)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let (kind, at) = parse_name(entry.file_name().to_str()?)?;
            Some((at, kind, entry.path()))
        })
        .filter(|(at, ..)| since.is_none_or(|since| *at >= since.as_millisecond()))
        .collect();
    found.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    found.into_iter().find_map(|(_, kind, path)| {
        let said = said_by(&head(&path)?, pid)?;
        Some(Report { kind, path, said })
    })
}

fn parse_name(name: &str) -> Option<(Kind, i64)> {
    Kind::ALL
        .into_iter()
        .find_map(|kind| Some((kind, name.strip_prefix(kind.prefix())?.strip_suffix(".txt")?.parse().ok()?)))
}

fn head(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(HEAD).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The gist, on one line, if the report is about `pid`.
fn said_by(head: &str, pid: i32) -> Option<String> {
    let mut lines = head.lines().skip(1);
    let (_, named) = lines.next()?.rsplit_once(", pid ")?;
    let ours = named.parse() == Ok(pid);
    ours.then(|| lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_report_is_found_for_its_process_and_its_life_alone() {
        let dir = tempfile::tempdir().unwrap();
        let me = std::process::id().cast_signed();
        let written = path(dir.path(), Kind::Panic, at(100));
        write(&written, at(100), "panicked at src/x.rs:1:\nno such luck", "a backtrace").unwrap();
        fs::File::create(dir.path().join("panic-200000.txt.tmp")).unwrap();
        fs::File::create(dir.path().join("panic-x.txt")).unwrap();
        fs::File::create(dir.path().join("stalled-300000.txt")).unwrap();
        let found = find(dir.path(), me, Some(at(99))).unwrap();
        let said = "panicked at src/x.rs:1: no such luck".to_owned();
        assert_eq!(found, Report { kind: Kind::Panic, path: written, said });
        assert_eq!(find(dir.path(), me, Some(at(101))), None, "of an earlier life with the same pid");
        assert_eq!(find(dir.path(), me + 1, Some(at(99))), None, "another process's");
        write(&path(dir.path(), Kind::Stalled, at(150)), at(150), "stood still", "").unwrap();
        assert_eq!(find(dir.path(), me, None).unwrap().kind, Kind::Stalled, "the latest");
    }
}
