//! `heartbeat.json`: am I making progress. Written by the loop that works, never by a timer beside it.
//!
//! Invariants:
//! - a reader sees a whole file or the one before it; after a power cut it may be empty, which reads as none;
//! - `seq` only rises within one process;
//! - ages are compared on the boot clock and only within one boot.
//!
//! It deliberately does not know when a heartbeat is too old: that is for whoever judges.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::clock::{Ticks, Timestamp};
use crate::os::durable::{self, Durability};
use crate::task::WorkerName;

use super::state_file::WorkerStatus;

/// The longest file that can be a heartbeat, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// One sign of progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Whose it is.
    pub worker: WorkerName,
    /// The watcher's process.
    pub pid: i32,
    /// The boot in which `pid` and `boottime_ns` mean something.
    pub boot_id: String,
    /// When it was written, on the boot clock, in nanoseconds.
    pub boottime_ns: u64,
    /// Counts the heartbeats of this worker, from 1: a watcher goes on from what the last one wrote, so it never decreases
    /// while the file is there.
    pub seq: u64,
    /// When it was written, for people, RFC 3339.
    pub timestamp: Timestamp,
    /// What the worker is doing.
    pub status: WorkerStatus,
    /// How many agents it has running.
    pub active_tasks: u32,
    /// How many processes the kernel had ended on this machine for want of memory by then. Only where the watcher is in a
    /// container, about whose end nobody else tells those within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// How much of its container's memory was in use, in percent of the limit. Where `oom_kills` is, and there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<u64>,
}

impl Heartbeat {
    /// Replaces the file at `path`. It is not synced: after a crash it is worth nothing.
    ///
    /// On a full disk the old file stays; its mtime is moved on, which needs no space, so that an observer can
    /// tell a worker that cannot write from one that does not work. The error is returned all the same.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        durable::write_atomic(path, &bytes, Durability::None).inspect_err(|_| self.touch(path))
    }

    /// Reads the file at `path`; anything that is not a heartbeat is none.
    pub fn read(path: &Path) -> Option<Self> {
        let looked = fs::symlink_metadata(path).ok()?;
        if !looked.is_file() || looked.len() > MAX_BYTES {
            return None;
        }
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// What the count in the file at `path` goes on from: 0 where there is none, or one that no watcher reaches.
    pub fn last_seq(path: &Path) -> u64 {
        Self::read(path).map(|beat| beat.seq).filter(|seq| *seq < u64::MAX / 2).unwrap_or(0)
    }

    /// When the file at `path` was last written, or touched in place of that. `None` without a file.
    pub fn touched(path: &Path) -> Option<Timestamp> {
        let at = fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok()?;
        Timestamp::try_from(at).ok()
    }

    /// When the worker last gave a sign through the file at `path`, in whichever way.
    pub fn last_sign(path: &Path) -> Option<Timestamp> {
        Self::touched(path).max(Self::read(path).map(|beat| beat.timestamp))
    }

    /// How old it is at `now` in the boot `boot_id`; `None` where it comes from another boot.
    pub fn age(&self, now: Ticks, boot_id: &str) -> Option<Duration> {
        let written = Ticks(Duration::from_nanos(self.boottime_ns));
        (self.boot_id == boot_id).then(|| now.since(written))
    }

    fn touch(&self, path: &Path) {
        let at = std::time::SystemTime::from(self.timestamp);
        // The caller already has the error that matters; this is only a second, weaker sign of life.
        if let Ok(file) = fs::File::options().write(true).open(path) {
            file.set_modified(at).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat() -> Heartbeat {
        Heartbeat {
            worker: "marie".parse().unwrap(),
            pid: 7,
            boot_id: "b".to_owned(),
            boottime_ns: 5_000_000_000,
            seq: 1,
            timestamp: "2026-01-02T03:04:05Z".parse().unwrap(),
            status: WorkerStatus::Running,
            active_tasks: 2,
            oom_kills: None,
            memory_percent: None,
        }
    }

    #[test]
    fn has_exactly_the_agreed_fields() {
        let value = serde_json::to_value(beat()).unwrap();
        let names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["worker", "pid", "boot_id", "boottime_ns", "seq", "timestamp", "status", "active_tasks"]
        );
        assert_eq!(value["status"], "running");
    }

    #[test]
    fn is_read_back_and_whatever_is_broken_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heartbeat.json");
        assert_eq!(Heartbeat::read(&path), None);
        beat().write(&path).unwrap();
        assert_eq!(Heartbeat::read(&path), Some(beat()));
        for broken in ["", "{", "{\"worker\":\"../x\"}", "[]"] {
            durable::write_atomic(&path, broken.as_bytes(), Durability::None).unwrap();
            assert_eq!(Heartbeat::read(&path), None, "{broken}");
        }
    }

    #[test]
    fn a_count_goes_on_from_what_stands_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heartbeat.json");
        assert_eq!(Heartbeat::last_seq(&path), 0);
        for (seq, goes_on) in [(1, 1), (86_400, 86_400), (u64::MAX, 0)] {
            Heartbeat { seq, ..beat() }.write(&path).unwrap();
            assert_eq!(Heartbeat::last_seq(&path), goes_on);
        }
    }

    #[test]
    fn its_age_is_known_only_within_its_boot() {
        let now = Ticks(Duration::from_secs(8));
        assert_eq!(beat().age(now, "b"), Some(Duration::from_secs(3)));
        assert_eq!(beat().age(Ticks(Duration::from_secs(1)), "b"), Some(Duration::ZERO));
        assert_eq!(beat().age(now, "another"), None);
    }
}
