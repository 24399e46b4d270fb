//! `workers/<worker>/resume.json`: everything that a successor of the leader has to know.
//!
//! It is replaced whole; a file that cannot be understood is no resume, and is never an error for a worker. One that the
//! disk does not show may be one, and says nothing.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::os::process::ProcessId;
use crate::os::trouble::if_there;
use crate::task::FileName;
use crate::telemetry::state_file::Resuming;

/// The longest file that is read as a resume, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// How many times its first batch an adaptive resume lets go at most.
const GROWTH: usize = 8;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// How many tasks the first batch has.
    pub batch_size: usize,
    /// Seconds between two batches.
    pub delay_s: f64,
    /// Which share of a batch may fail.
    pub max_failure_rate: f64,
    /// Whether batches grow while they do well.
    pub adaptive: bool,
    /// After how many seconds without a leader the worker ends the resume by itself.
    pub leaderless_s: f64,
}

impl Terms {
    /// Those of the tests.
    #[cfg(test)]
    pub const fn usual() -> Self {
        Self { batch_size: 5, delay_s: 30.0, max_failure_rate: 0.5, adaptive: false, leaderless_s: 60.0 }
    }

    /// The pause between two batches.
    pub fn delay(&self) -> Duration {
        seconds(self.delay_s)
    }

    /// How long a resume lasts without a leader.
    pub fn leaderless(&self) -> Duration {
        seconds(self.leaderless_s)
    }

    /// The largest batch.
    pub const fn largest(&self) -> usize {
        if self.adaptive { self.batch_size.saturating_mul(GROWTH) } else { self.batch_size }
    }
}

/// Whatever stands in the file, it is a time.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The latest batch is being moved.
    Moving,
    /// The latest batch is being watched.
    Waiting,
    /// Too much failed. Nobody leads any more, and the worker takes nothing until a person has looked.
    Stopped,
}

/// A task of a batch, told from another of its name by the moment when it was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Its file.
    pub file: FileName,
    /// When it was dropped.
    pub dropped_at: Timestamp,
    /// How often it had been charged before.
    pub charges: u32,
}

/// A batch that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Counted from 1.
    pub number: u32,
    /// How many tasks it should have had: what its failures are measured by.
    pub wanted: usize,
    /// How many it had.
    pub size: usize,
    /// Whether it only tries if a hold is over.
    pub probe: bool,
    /// How many ended well.
    pub done: usize,
    /// How many failed, or were charged and queued again.
    pub failed: usize,
    /// Those of which nothing is known yet.
    pub open: Vec<Ticket>,
}

/// The file in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Tells one resume from another.
    pub id: Uuid,
    /// How far it has come.
    pub state: Phase,
    /// Why it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who leads, or led last; the lock on the file is the fact.
    pub leader: ProcessId,
    /// When it began, RFC 3339.
    pub started_at: Timestamp,
    /// When this was written, RFC 3339.
    pub updated_at: Timestamp,
    /// What was asked for.
    pub terms: Terms,
    /// How many tasks waited when it began.
    pub found: usize,
    /// How many were let go, without those that came back unharmed.
    pub released: usize,
    /// How many of them ended well.
    pub done: usize,
    /// How many of them failed.
    pub failed: usize,
    /// The latest batch, counted from 1; 0 before the first.
    pub batch: u32,
    /// How many tasks the next one gets.
    pub next_size: usize,
    /// The latest batch, and earlier ones with tasks of which nothing is known yet.
    pub batches: Vec<Batch>,
    /// Tasks that were charged and queued again: they wait until the resume is over.
    pub set_back: Vec<FileName>,
    /// Tasks that came back through no fault of theirs: they are let go again after all others.
    pub deferred: Vec<FileName>,
}

impl Record {
    /// A resume that begins.
    pub fn begin(terms: Terms, found: usize, leader: ProcessId, now: Timestamp) -> Self {
        Self {
            id: Uuid::new_v4(),
            state: Phase::Waiting,
            reason: None,
            leader,
            started_at: now,
            updated_at: now,
            terms,
            found,
            released: 0,
            done: 0,
            failed: 0,
            batch: 0,
            next_size: terms.batch_size,
            batches: Vec::new(),
            set_back: Vec::new(),
            deferred: Vec::new(),
        }
    }

    /// The record in the bytes of its file.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Reads the file at `path`; `None` if there is none that can be understood. An error is a file that may be there and
    /// cannot be read now: it may say anything, and is not to be taken for none.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let Some(meta) = if_there(std::fs::symlink_metadata(path))? else { return Ok(None) };
        if !meta.is_file() || meta.len() > MAX_BYTES {
            return Ok(None);
        }
        Ok(if_there(std::fs::read(path))?.and_then(|bytes| Self::parse(&bytes)))
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The tasks of which nothing is known yet.
    pub fn open(&self) -> impl Iterator<Item = &Ticket> {
        self.batches.iter().flat_map(|batch| &batch.open)
    }

    /// The same in a few numbers, for those who only look.
    pub fn summary(&self) -> Resuming {
        Resuming {
            id: self.id,
            stopped: self.state == Phase::Stopped,
            found: self.found as u64,
            released: self.released as u64,
            done: self.done as u64,
            failed: self.failed as u64,
            batch: self.batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_written_and_nonsense_is_none() {
        let terms =
            Terms { batch_size: 5, delay_s: 30.0, max_failure_rate: 0.5, adaptive: true, leaderless_s: 60.0 };
        let now = "2026-03-01T10:00:00Z".parse().unwrap();
        let mut record = Record::begin(terms, 12, ProcessId::current(), now);
        let file: FileName = "x.json".parse().unwrap();
        let open = vec![Ticket { file, dropped_at: now, charges: 1 }];
        record.batches.push(Batch { number: 1, wanted: 5, size: 1, probe: false, done: 0, failed: 0, open });
        assert_eq!(Record::parse(&record.to_bytes()), Some(record));
        for broken in ["", "{", "null", "[]", r#"{"state":"moving"}"#] {
            assert_eq!(Record::parse(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn only_what_is_not_there_or_not_understood_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        crate::os::durable::write_new(&at("half"), b"{", None).unwrap();
        std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
        for none in ["absent", "absent/resume.json", "half", "loop", "."] {
            assert!(matches!(Record::read(&at(none)), Ok(None)), "{none}");
        }
        assert!(Record::read(&at("loop/resume.json")).is_err(), "what is behind there is not known");
    }

    #[test]
    fn an_adaptive_resume_has_a_largest_batch() {
        let terms = |adaptive| Terms {
            batch_size: 5,
            delay_s: f64::INFINITY,
            max_failure_rate: 0.5,
            adaptive,
            leaderless_s: -1.0,
        };
        assert_eq!((terms(false).largest(), terms(true).largest()), (5, 40));
        assert_eq!((terms(true).delay(), terms(true).leaderless()), (Duration::MAX, Duration::ZERO));
    }
}
