//! Writing the journal: a line is in the file, or waits here until the file takes it.
//!
//! Invariants:
//! - the lines of one file come into it in the order in which they were given, whatever failed meanwhile;
//! - a line is in the file whole or not at all, as far as the disk lets us take back what it cut short;
//! - whoever looks at the end of a file to write behind it is alone with it (`flock(2)`): a write that crosses a page
//!   shows its first half for an instant, and a line that another one finished must not be cut off with a torn one;
//! - memory is bounded: beyond [`WAITING_MAX`] lines the oldest is given up, and counted.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Line;
use super::fold::fold;
use crate::layout::Layout;
use crate::os::durable::{DIR_MODE, Durability};
use crate::os::folder::Folder;
use crate::os::lock::Lock;
use crate::os::side_by_side;
use crate::os::trouble::Trouble;
use crate::task::WorkerName;

/// Readable by the operators' group.
const MODE: u32 = 0o640;
/// So long a line waits for whoever writes to the same file; lines are written on a loop as well.
const PATIENCE: Duration = Duration::from_millis(250);
/// The file of a run's history, as [`crate::layout`] names it.
const HISTORY: &str = "history.ndjson";
/// The most lines that wait; each is a few hundred bytes.
const WAITING_MAX: usize = 20_000;

/// A line that its file did not take.
#[derive(Debug)]
struct Waiting {
    path: PathBuf,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Backlog {
    lines: VecDeque<Waiting>,
    lost: u64,
}

/// One worker's journal. Cloning shares what waits.
#[derive(Clone, Debug)]
pub struct Journal {
    layout: Layout,
    worker: WorkerName,
    backlog: Arc<Mutex<Backlog>>,
    /// The day's file whose name is known to be on the disk: a line that nobody waited for may have made it.
    named: Arc<Mutex<Option<PathBuf>>>,
}

impl Journal {
    /// The journal of `worker`.
    pub fn new(layout: Layout, worker: WorkerName) -> Self {
        Self { layout, worker, backlog: Arc::default(), named: Arc::default() }
    }

    /// Appends `line` to the day's file and, where it belongs to a run, to the run's history. What could not be written
    /// waits for [`Journal::flush`]; the first error is returned.
    pub fn append(&self, line: &Line) -> io::Result<()> {
        let bytes = encode(line)?;
        let mut done = Ok(());
        for path in self.files(line) {
            let mut backlog = self.backlog();
            let behind = backlog.lines.iter().any(|it| it.path == path);
            let written = if behind { Err(waits()) } else { self.write(&path, &bytes, Durability::None) };
            if let Err(error) = written {
                backlog.keep(Waiting { path, bytes: bytes.clone() });
                done = done.and(Err(error));
            }
        }
        done
    }

    /// Appends `lines` and waits until they are as safe as `durability` says: once for each file, and for many files at
    /// once. Nothing is kept after an error: whoever calls does not go on without the lines, and gives them again; some of
    /// the files may have them then already. Of several errors one of the disk is returned.
    pub fn append_durably(&self, lines: &[Line], durability: Durability) -> io::Result<()> {
        let files = self.by_file(lines)?;
        let is_theirs = |path: &PathBuf| files.iter().any(|(it, _)| it == path);
        // What waits for another file is not their business.
        if let Some((_, error)) = self.write_waiting().into_iter().find(|(path, _)| is_theirs(path)) {
            return Err(error);
        }
        let write = |(path, bytes): &(PathBuf, Vec<u8>)| self.write(path, bytes, durability);
        let failed: Vec<io::Error> = match durability {
            Durability::Full => {
                side_by_side::failures(&files, write).into_iter().map(|(_, error)| error).collect()
            }
            // Nothing is waited for: a thread would cost more than it does.
            Durability::None => files.iter().filter_map(|it| write(it).err()).collect(),
        };
        let of_the_disk = |error: &io::Error| Trouble::of(error).is_some_and(Trouble::is_of_the_disk);
        let worst = failed.into_iter().min_by_key(|error| !of_the_disk(error));
        worst.map_or(Ok(()), Err)
    }

    /// What goes into each file, the lines in their order.
    fn by_file(&self, lines: &[Line]) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        let mut known: HashMap<PathBuf, usize> = HashMap::new();
        for line in lines {
            let bytes = encode(line)?;
            for path in self.files(line) {
                let at = *known.entry(path).or_insert_with_key(|path| {
                    files.push((path.clone(), Vec::new()));
                    files.len() - 1
                });
                files[at].1.extend(&bytes);
            }
        }
        Ok(files)
    }

    /// Writes what waits, as far as the disk takes it; the first error is returned.
    pub fn flush(&self) -> io::Result<()> {
        self.write_waiting().into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// The files that refused, each with its first error.
    fn write_waiting(&self) -> Vec<(PathBuf, io::Error)> {
        let mut backlog = self.backlog();
        let mut refused: Vec<(PathBuf, io::Error)> = Vec::new();
        for waiting in std::mem::take(&mut backlog.lines) {
            if !refused.iter().any(|(path, _)| *path == waiting.path) {
                match self.write(&waiting.path, &waiting.bytes, Durability::None) {
                    Ok(()) => continue,
                    Err(error) => refused.push((waiting.path.clone(), error)),
                }
            }
            backlog.lines.push_back(waiting);
        }
        refused
    }

    /// How many lines wait, and how many were given up.
    pub fn behind(&self) -> (usize, u64) {
        let backlog = self.backlog();
        (backlog.lines.len(), backlog.lost)
    }

    fn files(&self, line: &Line) -> Vec<PathBuf> {
        let mut files = vec![self.layout.journal(&self.worker, &line.day())];
        files.extend(line.run_id.map(|run| self.layout.run(&run).history()));
        files
    }

    fn write(&self, path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
        // The folder of a history is waited for with the run's papers.
        let is_history = path.file_name() == Some(OsStr::new(HISTORY));
        let is_named = is_history || self.named().as_deref() == Some(path);
        append(self.layout.root(), (path, is_named), bytes, durability)?;
        if is_history {
            // The lines are there: what is left out of a long history is tried again with the next.
            fold(path, bytes, durability).ok();
        } else if durability == Durability::Full {
            *self.named() = Some(path.to_owned());
        }
        Ok(())
    }

    fn named(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backlog {
    fn keep(&mut self, waiting: Waiting) {
        if self.lines.len() >= WAITING_MAX {
            self.lines.pop_front();
            self.lost += 1;
        }
        self.lines.push_back(waiting);
    }
}

fn encode(line: &Line) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn waits() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "earlier lines wait to be written")
}

/// Appends to the file at `path`, of which is known whether its name is on the disk.
fn append(
    root: &Path,
    (path, is_named): (&Path, bool),
    lines: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let (dir, name) = split(path)?;
    let mut file = folder(root, dir)?.appended(name, MODE)?;
    let alone = Lock::patiently_exclusive_on(file.try_clone()?, PATIENCE);
    let length = file.metadata()?.len();
    let written = if ends_torn(&mut file, length)? {
        // Prepended to the same write, so that nothing can come between.
        file.write_all(&[b"\n", lines].concat())
    } else {
        file.write_all(lines)
    };
    if let Err(error) = written {
        // The half that a full disk still took would be a line that nobody can read.
        if file.metadata().is_ok_and(|meta| meta.len() > length) {
            file.set_len(length).ok();
        }
        return Err(error);
    }
    drop(alone);
    if durability == Durability::Full {
        // After an error the line is written once more: a second sync of these pages would say that they are safe.
        file.sync_data()?;
        if length == 0 || !is_named {
            Folder::open_to_read(root, dir)?.sync()?;
        }
    }
    Ok(())
}

/// The folder of a journal; a new day may be the first one, and retention may have taken the folder.
fn folder(root: &Path, dir: &Path) -> io::Result<Folder> {
    Folder::open(root, dir).or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        // One level only: a worker's folder that was moved away must not come back as a shell of itself.
        let (above, own) = split(dir)?;
        Folder::open(root, above)?.make_dir(own, DIR_MODE)?;
        Folder::open(root, dir)
    })
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Whether the last byte is not the end of a line.
fn ends_torn(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Event, read};
    use super::*;
    use crate::task::RunId;

    fn line(second: u32, run: Option<RunId>) -> Line {
        let time = format!("2026-03-01T10:00:{second:02}Z").parse().unwrap();
        let mut line = Line::new(time, "marie".parse().unwrap(), Event::Claimed);
        line.run_id = run;
        line.attempt = Some(1);
        line.identified()
    }

    fn world() -> (tempfile::TempDir, Layout, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        fs::create_dir_all(layout.journal_dir(&"marie".parse().unwrap())).unwrap();
        let journal = Journal::new(layout.clone(), "marie".parse().unwrap());
        (dir, layout, journal)
    }

    #[test]
    fn what_a_file_does_not_take_waits_and_comes_in_its_order() {
        let (_dir, layout, journal) = world();
        let run = RunId::mint();
        let lines: Vec<Line> = (0..4).map(|second| line(second, Some(run))).collect();
        let day = layout.journal(&"marie".parse().unwrap(), "2026-03-01");
        // The run's folder cannot be made yet: artifacts/ is missing, as if its disk refused.
        for line in &lines[..2] {
            assert!(journal.append(line).is_err());
        }
        assert_eq!(journal.behind(), (2, 0), "the day's file took both, the history none");
        assert!(
            journal.append_durably(&lines[2..3], Durability::Full).is_err(),
            "it must not come before the others"
        );
        assert_eq!(journal.behind(), (2, 0), "and it is given again by whoever gave it");
        fs::create_dir_all(layout.artifacts()).unwrap();
        assert!(journal.append(&lines[2]).is_err(), "still behind the others");
        journal.flush().unwrap();
        journal.append_durably(&lines[3..], Durability::Full).unwrap();
        assert_eq!(read(&day).unwrap(), lines);
        assert_eq!(read(&layout.run(&run).history()).unwrap(), lines);
        assert_eq!(journal.behind(), (0, 0));
    }

    #[test]
    fn many_writers_leave_whole_lines_and_nothing_between_them() {
        let (_dir, layout, journal) = world();
        let day = layout.journal(&"marie".parse().unwrap(), "2026-03-01");
        let mut long = line(1, None);
        // Two lines cross a page, whichever they are.
        long.reason = Some("x".repeat(3000));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let (journal, long) = (journal.clone(), &long);
                scope.spawn(move || {
                    for _ in 0..200 {
                        journal.append_durably(std::slice::from_ref(long), Durability::None).unwrap();
                    }
                });
            }
        });
        let text = fs::read_to_string(day).unwrap();
        assert_eq!(text.lines().count(), 1600);
        assert!(text.lines().all(|it| serde_json::from_str::<Line>(it).is_ok()), "no line is empty or torn");
    }

    #[test]
    fn memory_is_bounded_and_what_is_given_up_is_counted() {
        let (_dir, _layout, journal) = world();
        let mut backlog = journal.backlog();
        for n in 0..=WAITING_MAX {
            backlog.keep(Waiting { path: PathBuf::new(), bytes: n.to_string().into_bytes() });
        }
        assert_eq!((backlog.lines.len(), backlog.lost), (WAITING_MAX, 1));
        assert_eq!(backlog.lines[0].bytes, b"1", "the oldest went");
    }

    #[test]
    fn a_change_has_one_id_whoever_writes_it() {
        let run = RunId::mint();
        let (first, again) = (line(1, Some(run)), line(2, Some(run)));
        assert_eq!(first.id, Some(format!("{run}:1:claimed")));
        assert_eq!(first.id, again.id);
        assert_eq!(line(1, None).id, None, "what is about no run has none");
    }
}
