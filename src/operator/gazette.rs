//! The journals of workers, read as they grow: every day of each of them from a moment on, and nothing twice.
//!
//! Invariants:
//! - only whole lines are taken, so that what its writer takes back after a full disk was never read;
//! - a line that belongs to yesterday and is written after midnight is read too: the days stay open, as many as
//!   [`OPEN_DAYS`];
//! - a worker or a day that appears later is read from its beginning.
//!
//! It deliberately does not know what a line says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::layout::Layout;
use crate::os::trouble::if_there;
use crate::task::WorkerName;

use super::error::OperatorError;

/// How many days of a journal may still be written: yesterday's last line can come late.
const OPEN_DAYS: usize = 3;
/// The longest line that is read, in bytes; a longer one is passed over.
const LINE_MAX: u64 = 1 << 20;

/// From where the journals are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// What is written from now on.
    Now,
    /// Everything of this day, `YYYY-MM-DD` in UTC, and of those after it.
    Day(String),
}

/// The journals of some workers.
#[derive(Debug)]
pub(super) struct Gazette {
    layout: Layout,
    from: From,
    /// By worker and day, how many bytes were read.
    read: BTreeMap<(WorkerName, String), u64>,
}

impl Gazette {
    /// The journals of `workers`, which are there now.
    pub(super) fn open(layout: &Layout, from: From, workers: &[WorkerName]) -> Result<Self, OperatorError> {
        let mut gazette = Self { layout: layout.clone(), from, read: BTreeMap::new() };
        if gazette.from == From::Now {
            for worker in workers {
                for day in gazette.days(worker)? {
                    let written =
                        gazette.layout.journal(worker, &day).metadata().map_or(0, |meta| meta.len());
                    gazette.read.insert((worker.clone(), day), written);
                }
            }
        }
        Ok(gazette)
    }

    /// The folders in which something new appears.
    pub(super) fn folders(&self, workers: &[WorkerName]) -> Vec<PathBuf> {
        let of_worker =
            workers.iter().flat_map(|worker| [self.layout.worker(worker), self.layout.journal_dir(worker)]);
        std::iter::once(self.layout.workers()).chain(of_worker).collect()
    }

    /// Hands every new line of `workers`, its end included, to `each`, until that answers `false`; the answer is the
    /// last one. Lines of one worker and day come in their order.
    pub(super) fn drain(
        &mut self,
        workers: &[WorkerName],
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, OperatorError> {
        for worker in workers {
            let days = self.days(worker)?;
            // Of a past that was asked for every day is read once, and then only the latest are looked at.
            let latest = days.len().saturating_sub(OPEN_DAYS);
            for (n, day) in days.into_iter().enumerate() {
                let known = self.read.get(&(worker.clone(), day.clone())).copied();
                if n < latest && known.is_some() {
                    continue;
                }
                let path = self.layout.journal(worker, &day);
                let (read, goes_on) =
                    drain_file(&path, known.unwrap_or(0), each).map_err(OperatorError::io("read", &path))?;
                self.read.insert((worker.clone(), day), read);
                if !goes_on {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The days of a worker's journal that are wanted, in their order.
    fn days(&self, worker: &WorkerName) -> Result<Vec<String>, OperatorError> {
        let dir = self.layout.journal_dir(worker);
        let listing = if_there(std::fs::read_dir(&dir)).map_err(OperatorError::io("look into", &dir))?;
        let mut days: Vec<String> = listing
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".ndjson").map(str::to_owned))
            .filter(|day| match &self.from {
                From::Now => true,
                From::Day(first) => day >= first,
            })
            .collect();
        days.sort();
        Ok(days)
    }
}

/// Reads on from `offset`; up to where whole lines were read, and whether more are wanted. A file that is shorter by
/// now is not the one that was read, and is read from its beginning.
fn drain_file(path: &Path, offset: u64, each: &mut impl FnMut(&[u8]) -> bool) -> io::Result<(u64, bool)> {
    let Some(mut file) = if_there(File::open(path))? else { return Ok((0, true)) };
    let length = file.metadata()?.len();
    let mut read = if length < offset { 0 } else { offset };
    if read == length {
        return Ok((read, true));
    }
    file.seek(SeekFrom::Start(read))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? as u64;
        if line.last() == Some(&b'\n') {
            read += n;
            if !each(&line) {
                return Ok((read, false));
            }
        } else if n == LINE_MAX {
            read += n + reader.skip_until(b'\n')? as u64;
        } else {
            return Ok((read, true));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Desk {
        _dir: tempfile::TempDir,
        layout: Layout,
        marie: WorkerName,
    }

    impl Desk {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (layout, marie) = (Layout::new(dir.path()), "marie".parse().unwrap());
            Self { _dir: dir, layout, marie }
        }

        fn append(&self, day: &str, text: &str) {
            std::fs::create_dir_all(self.layout.journal_dir(&self.marie)).unwrap();
            let path = self.layout.journal(&self.marie, day);
            File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
        }

        fn open(&self, from: From) -> Gazette {
            Gazette::open(&self.layout, from, std::slice::from_ref(&self.marie)).unwrap()
        }

        fn drain(&self, gazette: &mut Gazette) -> String {
            let mut seen = Vec::new();
            let workers = std::slice::from_ref(&self.marie);
            gazette
                .drain(workers, &mut |line| {
                    seen.extend_from_slice(line);
                    true
                })
                .unwrap();
            String::from_utf8(seen).unwrap()
        }
    }

    #[test]
    fn every_line_comes_once_over_midnight_and_in_a_folder_that_appears_later() {
        let desk = Desk::new();
        let mut gazette = desk.open(From::Now);
        assert_eq!(desk.drain(&mut gazette), "", "a worker without a journal is waited for");
        desk.append("2026-02-28", "one\n");
        assert_eq!(desk.drain(&mut gazette), "one\n");
        desk.append("2026-03-01", "three\n");
        desk.append("2026-02-28", "two, late\n");
        assert_eq!(desk.drain(&mut gazette), "two, late\nthree\n");
        assert_eq!(desk.drain(&mut gazette), "");
    }

    #[test]
    fn what_stood_there_before_is_only_told_when_it_was_asked_for() {
        let desk = Desk::new();
        for day in ["2026-02-20", "2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"] {
            desk.append(day, &format!("{day}\n"));
        }
        let mut now = desk.open(From::Now);
        assert_eq!(desk.drain(&mut now), "");
        let mut since = desk.open(From::Day("2026-02-26".to_owned()));
        assert_eq!(desk.drain(&mut since), "2026-02-26\n2026-02-27\n2026-02-28\n2026-03-01\n2026-03-02\n");
        desk.append("2026-03-02", "new\n");
        assert_eq!((desk.drain(&mut now), desk.drain(&mut since)), ("new\n".to_owned(), "new\n".to_owned()));
    }

    #[test]
    fn a_line_that_is_taken_back_was_never_read_and_a_huge_one_costs_itself_only() {
        let desk = Desk::new();
        desk.append("2026-03-01", "one\n{\"torn");
        let mut gazette = desk.open(From::Day("2026-03-01".to_owned()));
        assert_eq!(desk.drain(&mut gazette), "one\n");
        let path = desk.layout.journal(&desk.marie, "2026-03-01");
        File::options().write(true).open(&path).unwrap().set_len(4).unwrap();
        desk.append("2026-03-01", "two\n");
        assert_eq!(desk.drain(&mut gazette), "two\n");
        desk.append(
            "2026-03-01",
            &format!("{}\nthree\n", "x".repeat(usize::try_from(LINE_MAX).unwrap() + 9)),
        );
        assert_eq!(desk.drain(&mut gazette), "three\n");
    }
}
