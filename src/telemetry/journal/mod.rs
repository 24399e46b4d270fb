//! The journal: one line for every state change of every task, by day, and the same line beside the run.
//!
//! Invariants:
//! - a line is appended by one `write(2)` on an `O_APPEND` descriptor, and only by the holder of the worker's lock;
//! - what a full disk cut short is taken back, and a line torn by a power cut costs itself and never the one after it;
//! - a line that cannot be written waits in memory, in its order, and is written when the disk takes it;
//! - every state change is there at least once: a line may come twice (its writer was killed before the move that it
//!   tells of), and then both have the same `id`;
//! - a reader takes what it can and passes over the rest;
//! - the day in the file's name is that of the line's own time, in UTC.
//!
//! It deliberately does not know what a change means; it is never read back to decide anything about a task.

mod fold;
mod owed;
mod writer;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::os::trouble::if_there;
use crate::task::{
    ErrorCode, FileName, RunId, SessionId, TaskFile, TaskName, TaskState, Tokens, Usage, WorkerName,
};

pub use owed::owed;
pub use writer::Journal;

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
    /// The agent finished a turn of a run to which something was said.
    Turn,
    /// Somebody said something to the agent.
    Told,
    /// Somebody ended what the agent was doing.
    Interrupted,
    /// The agent hands a task on to a colleague.
    HandedOn,
    /// The acceptance command was started.
    Verifying,
    /// It has said its word.
    Verified,
    /// The task waits in the queue with its attempt open.
    LaidBy,
    /// The task went back to the queue.
    Requeued,
    /// The task ended.
    Concluded,
    /// An operator began a new life of a task that had ended.
    Retried,
    /// An operator changed a task that waits: held it, released it, edited it.
    Amended,
    /// The task was found after a crash and dealt with.
    Recovered,
    /// The worker stopped claiming.
    Held,
    /// The worker claims again.
    Released,
    /// So much of a budget is used that people should know.
    Budget,
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
    /// Names the state change: two lines with the same `id` tell of the same one. Not every line has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
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
    /// Who asked for it, as they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Whether it counted against `max_retries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<bool>,
    /// What the attempt cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// What the attempt used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// The pack that the task names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    /// What the submitter called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// What the run changed in its repository, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<String>,
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
            id: None,
            from: None,
            to: None,
            attempt: None,
            session_id: None,
            pid: None,
            error_code: None,
            reason: None,
            by: None,
            charged: None,
            cost_usd: None,
            tokens: None,
            pack: None,
            correlation_id: None,
            changes: None,
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

    /// The same line with what an attempt used, and with which pack.
    #[must_use]
    pub fn spending(mut self, task: &TaskFile, usage: Usage) -> Self {
        (self.cost_usd, self.tokens) = (usage.cost_usd, usage.tokens);
        self.pack.clone_from(&task.spec.kind);
        self
    }

    /// The same line with the `id` of the state change that it tells of, if it tells of one that can come only once:
    /// made from the run, the attempt and the event, so that whoever writes it again writes the same.
    #[must_use]
    pub fn identified(mut self) -> Self {
        self.id = self.id.take().or_else(|| self.change());
        self
    }

    /// The `id` that it should have.
    fn change(&self) -> Option<String> {
        // A task that never began has no attempt, and it ends once all the same.
        let (word, attempt) = match self.event {
            Event::Claimed => ("claimed", self.attempt?),
            Event::Started | Event::Resumed => ("started", self.attempt?),
            Event::Requeued => ("requeued", self.attempt?),
            Event::Concluded => ("concluded", self.attempt.unwrap_or(0)),
            Event::Retried => ("retried", self.attempt.unwrap_or(0)),
            Event::Adopted
            | Event::Amended
            | Event::Turn
            | Event::Told
            | Event::Interrupted
            | Event::HandedOn
            | Event::Verifying
            | Event::Verified
            | Event::LaidBy
            | Event::Recovered
            | Event::Held
            | Event::Released
            | Event::Budget
            | Event::WorkerStatus
            | Event::Pruned
            | Event::Folded
            | Event::ResumeStarted
            | Event::ResumeBatch
            | Event::ResumeHeld
            | Event::ResumeStopped
            | Event::ResumeCompleted
            | Event::ResumeAbandoned => return None,
        };
        Some(format!("{}:{attempt}:{word}", self.run_id?))
    }

    /// The day it belongs to, `YYYY-MM-DD` in UTC.
    pub fn day(&self) -> String {
        self.time.strftime("%Y-%m-%d").to_string()
    }
}

/// The lines of the file at `path`, without those that are torn or that we do not understand. No file, no lines.
pub fn read(path: &Path) -> io::Result<Vec<Line>> {
    let Some(file) = if_there(File::open(path))? else { return Ok(Vec::new()) };
    let mut reader = BufReader::new(file);
    let mut lines = Vec::new();
    let mut bytes = Vec::new();
    while next_line(&mut reader, &mut bytes)? {
        lines.extend(serde_json::from_slice::<Line>(&bytes));
    }
    Ok(lines)
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::layout::Layout;

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
        assert_eq!(read(&day).unwrap(), std::slice::from_ref(&late));
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
        assert_eq!(read(&path).unwrap(), [first, second]);
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
        assert_eq!(read(&path).unwrap(), [good.clone(), good]);
        assert_eq!(read(&path.with_extension("absent")).unwrap(), []);
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
