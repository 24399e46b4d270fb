//! Reading on in the workers' journals from where we stopped, over midnight too.
//!
//! A line is taken when it is whole. What was written before we came is not told again. A journal that cannot
//! be read now is tried again at the next look; nothing depends on it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::clock::Timestamp;
use crate::layout::Layout;
use crate::task::{RunId, WorkerName};
use crate::telemetry::journal::Line;

/// How much is read at one look; the rest is read at once by the next.
const CHUNK_BYTES: u64 = 256 * 1024;
/// A line that is longer is none of ours.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How much of an answer is read.
const ANSWER_BYTES: u64 = 1024;

/// One worker's journal, as far as it has been read.
#[derive(Debug)]
pub(super) struct Tail {
    worker: WorkerName,
    day: String,
    offset: u64,
    rest: Vec<u8>,
}

impl Tail {
    /// From the end of today's journal on.
    pub(super) fn from_now(layout: &Layout, worker: &WorkerName, now: Timestamp) -> Self {
        let day = day_of(now);
        let offset = std::fs::metadata(layout.journal(worker, &day)).map_or(0, |meta| meta.len());
        Self { worker: worker.clone(), day, offset, rest: Vec::new() }
    }

    /// The lines that have come since the last look.
    pub(super) fn news(&mut self, layout: &Layout, now: Timestamp) -> Vec<Line> {
        let mut lines = self.rest_of_day(layout);
        let today = day_of(now);
        if today > self.day {
            *self = Self { worker: self.worker.clone(), day: today, offset: 0, rest: Vec::new() };
            lines.extend(self.rest_of_day(layout));
        } else if today < self.day {
            // The clock was set back: from here on the lines go into an earlier day.
            *self = Self::from_now(layout, &self.worker, now);
        }
        lines
    }

    fn rest_of_day(&mut self, layout: &Layout) -> Vec<Line> {
        let path = layout.journal(&self.worker, &self.day);
        let mut lines = Vec::new();
        while let Ok(bytes) = read_from(&path, self.offset, CHUNK_BYTES) {
            if bytes.is_empty() {
                break;
            }
            self.offset += bytes.len() as u64;
            self.rest.extend(bytes);
            lines.extend(take_lines(&mut self.rest));
        }
        lines
    }
}

/// Takes the whole lines out of `bytes`, and gives those that we understand.
fn take_lines(bytes: &mut Vec<u8>) -> Vec<Line> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let lines = bytes.drain(..whole).collect::<Vec<u8>>();
    if bytes.len() > LINE_BYTES_MAX {
        bytes.clear();
    }
    lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// The beginning of what the agent answered in `run`.
pub(super) fn answer(layout: &Layout, run: &RunId) -> Option<String> {
    let bytes = read_from(&layout.run(run).output(), 0, ANSWER_BYTES).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.trim().is_empty())
}

fn read_from(path: &Path, offset: u64, max: u64) -> io::Result<Vec<u8>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn day_of(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::telemetry::journal::{Event, Journal};

    fn line(time: &str) -> Line {
        let task = "hello".parse().unwrap();
        let line = Line::new(time.parse().unwrap(), "marie".parse().unwrap(), Event::Claimed);
        line.about(task, &"hello.json".parse().unwrap(), None)
    }

    #[test]
    fn only_what_is_new_and_whole_is_told_over_midnight_too() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let worker: WorkerName = "marie".parse().unwrap();
        std::fs::create_dir_all(layout.worker(&worker)).unwrap();
        let journal = Journal::new(layout.clone(), worker.clone());
        let evening: Timestamp = "2026-03-01T23:59:59Z".parse().unwrap();
        let morning: Timestamp = "2026-03-02T00:00:01Z".parse().unwrap();
        journal.append(&line("2026-03-01T10:00:00Z")).unwrap();
        let mut tail = Tail::from_now(&layout, &worker, evening);
        assert_eq!(tail.news(&layout, evening), []);

        let late = line("2026-03-01T23:59:58Z");
        let text = serde_json::to_string(&late).unwrap();
        let (half, other) = text.split_at(20);
        let path = layout.journal(&worker, "2026-03-01");
        let mut file = File::options().append(true).open(path).unwrap();
        file.write_all(half.as_bytes()).unwrap();
        assert_eq!(tail.news(&layout, evening), [], "half a line is none");
        writeln!(file, "{other}\nnot one of ours").unwrap();
        let early = line("2026-03-02T00:00:00Z");
        journal.append(&early).unwrap();
        assert_eq!(tail.news(&layout, morning), [late, early]);
        assert_eq!(tail.news(&layout, morning), []);
    }
}
