//! Writing the journal: a line is in the file, or waits here until the file takes it.
//!
//! Invariants:
//! - the lines of one file come into it in the order in which they were given, whatever failed meanwhile;
//! - a line is in the file whole or not at all, as far as the disk lets us take back what it cut short;
//! - memory is bounded: beyond [`WAITING_MAX`] lines the oldest is given up, and counted.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Line;
use crate::layout::Layout;
use crate::os::durable::{self, Durability};
use crate::task::WorkerName;

/// Readable by the operators' group.
const MODE: u32 = 0o640;
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
}

impl Journal {
    /// The journal of `worker`.
    pub fn new(layout: Layout, worker: WorkerName) -> Self {
        Self { layout, worker, backlog: Arc::default() }
    }

    /// Appends `line` to the day's file and, where it belongs to a run, to the run's history. What could not be written
    /// waits for [`Journal::flush`]; the first error is returned.
    pub fn append(&self, line: &Line) -> io::Result<()> {
        let bytes = encode(line)?;
        let mut done = Ok(());
        for path in self.files(line) {
            let mut backlog = self.backlog();
            let behind = backlog.lines.iter().any(|it| it.path == path);
            let written = if behind { Err(waits()) } else { append_line(&path, &bytes, Durability::None) };
            if let Err(error) = written {
                backlog.keep(Waiting { path, bytes: bytes.clone() });
                done = done.and(Err(error));
            }
        }
        done
    }

    /// Appends `line` and waits until it is as safe as `durability` says. Nothing is kept after an error: whoever calls
    /// does not go on without the line, and gives it again. One of the files may have it then already.
    pub fn append_durably(&self, line: &Line, durability: Durability) -> io::Result<()> {
        let (bytes, files) = (encode(line)?, self.files(line));
        // What waits for another file is not its business.
        if let Some((_, error)) = self.write_waiting().into_iter().find(|(path, _)| files.contains(path)) {
            return Err(error);
        }
        files.iter().try_for_each(|path| append_line(path, &bytes, durability))
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
                match append_line(&waiting.path, &waiting.bytes, Durability::None) {
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

fn append_line(path: &Path, line: &[u8], durability: Durability) -> io::Result<()> {
    let mut file = open(path).or_else(|error| {
        // A new day may be the first one, and retention may have taken the folder.
        let parent = path.parent().filter(|_| error.kind() == io::ErrorKind::NotFound).ok_or(error)?;
        // One level only: a worker's folder that was moved away must not come back as a shell of itself.
        fs::create_dir(parent).or_else(|error| if parent.is_dir() { Ok(()) } else { Err(error) })?;
        open(path)
    })?;
    let length = file.metadata()?.len();
    let written = if ends_torn(&mut file, length)? {
        // Prepended to the same write, so that nothing can come between.
        file.write_all(&[b"\n", line].concat())
    } else {
        file.write_all(line)
    };
    if let Err(error) = written {
        // The half that a full disk still took would be a line that nobody can read.
        if file.metadata().is_ok_and(|meta| meta.len() > length) {
            file.set_len(length).ok();
        }
        return Err(error);
    }
    if durability == Durability::Full {
        // After an error the line is written once more: a second sync of these pages would say that they are safe.
        file.sync_data()?;
        if length == 0 {
            durable::sync_dir(durable::parent(path))?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).append(true).create(true).mode(MODE).open(path)
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
            journal.append_durably(&lines[2], Durability::Full).is_err(),
            "it must not come before the others"
        );
        assert_eq!(journal.behind(), (2, 0), "and it is given again by whoever gave it");
        fs::create_dir_all(layout.artifacts()).unwrap();
        assert!(journal.append(&lines[2]).is_err(), "still behind the others");
        journal.flush().unwrap();
        journal.append_durably(&lines[3], Durability::Full).unwrap();
        assert_eq!(read(&day).unwrap(), lines);
        assert_eq!(read(&layout.run(&run).history()).unwrap(), lines);
        assert_eq!(journal.behind(), (0, 0));
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
