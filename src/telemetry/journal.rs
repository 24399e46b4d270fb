//! The journal: one line for every state change of every task, by day, and the same line beside the run.
//!
//! Invariants:
//! - a line is appended by one `write(2)` on an `O_APPEND` descriptor, so two writers never mix;
//! - a torn last line (power cut, full disk) costs itself and never the line after it;
//! - a reader takes what it can and passes over the rest;
//! - the day in the file's name is that of the line's own time, in UTC.
//!
//! It deliberately does not know what a change means; it is never read back to decide anything about a task.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::layout::Layout;
use crate::os::durable::{self, DIR_MODE, Durability};
use crate::os::folder::Folder;
use crate::task::{ErrorCode, FileName, RunId, SessionId, TaskName, TaskState, WorkerName};

/// Readable by the operators' group.
const MODE: u32 = 0o640;
/// Beyond so many bytes the middle of a run's history is left out: a fault that lasts for weeks adds a few lines every
/// few minutes.
const HISTORY_MAX: u64 = 1024 * 1024;
/// How much of its beginning and of its end is kept then.
const HISTORY_KEPT: usize = 256 * 1024;
/// The longest line that a reader takes, in bytes.
const LINE_MAX: u64 = 1024 * 1024;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A task moved into `active/`.
    Claimed,
    /// Its agent was started.
    Started,
    /// A living agent was taken up by a new watcher.
    Adopted,
    /// An interrupted conversation goes on.
    Resumed,
    /// The agent finished a turn.
    Turn,
    /// The task went back to the queue.
    Requeued,
    /// The task ended.
    Concluded,
    /// The task was found after a crash and dealt with.
    Recovered,
    /// The worker stopped claiming.
    Held,
    /// The worker claims again.
    Released,
    /// The worker's status changed.
    WorkerStatus,
    /// What was done with went, after its time.
    Pruned,
    /// Lines of a run's history were left out.
    Folded,
    /// A gradual resume began, or another leader goes on with it.
    ResumeStarted,
    /// A batch was let go.
    ResumeBatch,
    /// No batch is let go until something is over that is no task's fault.
    ResumeHeld,
    /// Too much failed.
    ResumeStopped,
    /// Everything was let go.
    ResumeCompleted,
    /// Somebody ended it before its time, or nobody led it any more.
    ResumeAbandoned,
}

/// One line. What does not apply is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When it happened, RFC 3339.
    pub time: Timestamp,
    /// Whose journal it is.
    pub worker: WorkerName,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskName>,
    /// The task's file, as text: journals outlive the rules for names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// This life of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// What happened.
    pub event: Event,
    /// The state before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TaskState>,
    /// The state after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<TaskState>,
    /// Which start of an agent, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The agent's conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The agent's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Why, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it counted against `max_retries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<bool>,
    /// What the attempt cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// What the submitter called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

impl Line {
    /// A line about the worker itself, to be filled in.
    pub fn new(time: Timestamp, worker: WorkerName, event: Event) -> Self {
        Self {
            time,
            worker,
            task: None,
            file: None,
            run_id: None,
            event,
            from: None,
            to: None,
            attempt: None,
            session_id: None,
            pid: None,
            error_code: None,
            reason: None,
            charged: None,
            cost_usd: None,
            correlation_id: None,
        }
    }

    /// The same line about one task.
    #[must_use]
    pub fn about(mut self, task: TaskName, file: &FileName, run_id: Option<RunId>) -> Self {
        self.task = Some(task);
        self.file = Some(file.as_str().to_owned());
        self.run_id = run_id;
        self
    }

    /// The day it belongs to, `YYYY-MM-DD` in UTC.
    pub fn day(&self) -> String {
        self.time.strftime("%Y-%m-%d").to_string()
    }
}

/// One worker's journal.
#[derive(Clone, Debug)]
pub struct Journal {
    layout: Layout,
    worker: WorkerName,
}

impl Journal {
    /// The journal of `worker`.
    pub const fn new(layout: Layout, worker: WorkerName) -> Self {
        Self { layout, worker }
    }

    /// Appends `line` to the day's file and, where it belongs to a run, to the run's history. Both are tried;
    /// the first error is returned.
    pub fn append(&self, line: &Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let root = self.layout.root();
        let day = append_line(root, &self.layout.journal(&self.worker, &line.day()), &bytes);
        let run = line.run_id.map_or(Ok(()), |run| {
            let history = self.layout.run(&run).history();
            append_line(root, &history, &bytes)?;
            fold(&history, line)
        });
        day.and(run)
    }
}

/// Leaves out the middle of a history that has grown too long, and says so there. Only the holder of its task writes it.
fn fold(path: &Path, latest: &Line) -> io::Result<()> {
    if std::fs::symlink_metadata(path)?.len() <= HISTORY_MAX {
        return Ok(());
    }
    let text = std::fs::read(path)?;
    let head = text[..HISTORY_KEPT].iter().rposition(|c| *c == b'\n').map_or(0, |at| at + 1);
    let tail_from = text.len() - HISTORY_KEPT;
    let tail = text[tail_from..].iter().position(|c| *c == b'\n').map_or(text.len(), |at| tail_from + at + 1);
    let mut note = Line::new(latest.time, latest.worker.clone(), Event::Folded);
    note.run_id = latest.run_id;
    note.reason = Some("lines were left out here; the journal has them".to_owned());
    let mut kept = text[..head].to_vec();
    serde_json::to_writer(&mut kept, &note)?;
    kept.push(b'\n');
    kept.extend_from_slice(&text[tail..]);
    durable::write_atomic(path, &kept, Durability::None)
}

/// The lines of the file at `path`, without those that are torn or that we do not understand. No file, no lines.
pub fn read(path: &Path) -> Vec<Line> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let mut reader = BufReader::new(file);
    let mut lines = Vec::new();
    let mut bytes = Vec::new();
    while next_line(&mut reader, &mut bytes).is_ok_and(|more| more) {
        lines.extend(serde_json::from_slice::<Line>(&bytes));
    }
    lines
}

/// Fills `bytes` with the next line, or with the beginning of one that is too long; false at the end.
fn next_line(reader: &mut BufReader<File>, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    reader.by_ref().take(LINE_MAX).read_until(b'\n', bytes)?;
    let whole = bytes.last() == Some(&b'\n');
    if !whole && bytes.len() as u64 == LINE_MAX {
        reader.skip_until(b'\n')?;
    }
    Ok(!bytes.is_empty())
}

fn append_line(root: &Path, path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = open(root, path)?;
    if ends_torn(&mut file)? {
        // Prepended to the same write, so that nothing can come between.
        file.write_all(&[b"\n", line].concat())
    } else {
        file.write_all(line)
    }
}

fn open(root: &Path, path: &Path) -> io::Result<File> {
    let (dir, name) = split(path)?;
    let folder = Folder::open(root, dir).or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        // A new day may be the first one, and retention may have taken the folder. One level only: a worker's folder
        // that was moved away must not come back as a shell of itself.
        let (above, own) = split(dir)?;
        Folder::open(root, above)?.make_dir(own, DIR_MODE)?;
        Folder::open(root, dir)
    })?;
    folder.appended(name, MODE)
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Whether the last byte is not the end of a line.
fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
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

    use super::*;

    fn line(time: &str, run: Option<RunId>) -> Line {
        let worker: WorkerName = "marie".parse().unwrap();
        let file: FileName = "hello.json".parse().unwrap();
        Line::new(time.parse().unwrap(), worker, Event::Claimed).about("hello".parse().unwrap(), &file, run)
    }

    fn world() -> (tempfile::TempDir, Layout, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        fs::create_dir_all(layout.worker(&"marie".parse().unwrap())).unwrap();
        fs::create_dir_all(layout.artifacts()).unwrap();
        let journal = Journal::new(layout.clone(), "marie".parse().unwrap());
        (dir, layout, journal)
    }

    #[test]
    fn a_line_goes_to_its_utc_day_and_to_its_run() {
        let (_dir, layout, journal) = world();
        let run = RunId::mint();
        let late = line("2026-03-01T00:30:00+02:00", Some(run));
        journal.append(&late).unwrap();
        let day = layout.journal(&"marie".parse().unwrap(), "2026-02-28");
        assert_eq!(read(&day), std::slice::from_ref(&late));
        let history = layout.run(&run).history();
        assert_eq!(fs::read(&day).unwrap(), fs::read(&history).unwrap());
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&day).unwrap().permissions());
        assert_eq!(mode & 0o137, 0, "no more than 0640: {mode:o}");
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next() {
        let (_dir, layout, journal) = world();
        let first = line("2026-03-01T10:00:00Z", None);
        journal.append(&first).unwrap();
        let path = layout.journal(&"marie".parse().unwrap(), "2026-03-01");
        File::options().append(true).open(&path).unwrap().write_all(b"{\"time\":\"20").unwrap();
        let second = line("2026-03-01T11:00:00Z", None);
        journal.append(&second).unwrap();
        assert_eq!(read(&path), [first, second]);
    }

    #[test]
    fn a_reader_passes_over_what_it_does_not_understand() {
        let (_dir, layout, journal) = world();
        let path = layout.journal(&"marie".parse().unwrap(), "2026-03-01");
        let good = line("2026-03-01T10:00:00Z", None);
        journal.append(&good).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"\n\xff\xfe\n{\"event\":\"unheard_of\"}\n").unwrap();
        file.write_all(&vec![b'x'; usize::try_from(LINE_MAX).unwrap() + 5]).unwrap();
        journal.append(&good).unwrap();
        assert_eq!(read(&path), [good.clone(), good]);
        assert_eq!(read(&path.with_extension("absent")), []);
    }

    #[test]
    fn a_history_of_weeks_keeps_its_beginning_and_its_end_and_says_what_it_left_out() {
        let (_dir, layout, journal) = world();
        let run = RunId::mint();
        let path = layout.run(&run).history();
        let mut line = line("2026-03-01T10:00:00Z", Some(run));
        let (mut n, mut folds) = (0, 0);
        let mut before = 0;
        while folds < 3 {
            n += 1;
            line.reason = Some(format!("attempt {n} {}", "x".repeat(200)));
            journal.append(&line).unwrap();
            let bytes = fs::metadata(&path).unwrap().len();
            assert!(bytes <= HISTORY_MAX);
            folds += u32::from(bytes < before);
            before = bytes;
        }
        let lines = read(&path);
        let reason = |line: &Line| line.reason.clone().unwrap();
        assert!(
            reason(&lines[0]).starts_with("attempt 1 ")
                && reason(lines.last().unwrap()).contains(&format!("attempt {n} "))
        );
        assert_eq!(
            lines.iter().filter(|line| line.event == Event::Folded).count(),
            1,
            "one that stays, for all"
        );
    }

    #[test]
    fn events_are_written_in_snake_case_and_absent_fields_are_left_out() {
        let text = serde_json::to_string(&Line::new(
            "2026-03-01T10:00:00Z".parse().unwrap(),
            "marie".parse().unwrap(),
            Event::WorkerStatus,
        ))
        .unwrap();
        assert_eq!(text, r#"{"time":"2026-03-01T10:00:00Z","worker":"marie","event":"worker_status"}"#);
    }
}
