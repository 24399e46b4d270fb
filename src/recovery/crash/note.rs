//! `workers/<worker>/death.json`: how the last watcher died, as the acting supervisor found.
//!
//! The supervisor alone sees an exit status, and must not write what belongs to the holder of the worker's lock. So
//! it leaves this beside, before it starts the next watcher, which believes it if it is about the process that died.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::verdict::Verdict;
use crate::clock::{Timestamp, epoch_seconds};
use crate::os::durable::{self, Durability};
use crate::os::process::ProcessId;

/// The longest file that can be one, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    reason: String,
    text: String,
    /// Epoch seconds.
    found: f64,
    process: ProcessId,
}

/// Leaves a note about `process`.
pub fn write(path: &Path, process: &ProcessId, verdict: &Verdict, now: Timestamp) -> std::io::Result<()> {
    let note = Note {
        reason: verdict.reason.to_string(),
        text: verdict.text.clone(),
        found: epoch_seconds(now),
        process: process.clone(),
    };
    let mut bytes = serde_json::to_vec_pretty(&note)?;
    bytes.push(b'\n');
    durable::write_atomic(path, &bytes, Durability::None)
}

/// The note about `process`, if there is one.
pub fn read(path: &Path, process: &ProcessId) -> Option<Verdict> {
    let usable = std::fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() <= MAX_BYTES);
    let note: Note = serde_json::from_slice(&std::fs::read(path).ok().filter(|_| usable)?).ok()?;
    let about = note.process == *process;
    about.then_some(Verdict { reason: note.reason.parse().ok()?, text: note.text })
}

#[cfg(test)]
mod tests {
    use super::super::reason::CrashReason;
    use super::*;

    #[test]
    fn a_note_is_believed_about_its_own_process_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("death.json");
        let me = ProcessId::current();
        let verdict = Verdict { reason: CrashReason::Signalled(11), text: "x".to_owned() };
        assert_eq!(read(&path, &me), None);
        write(&path, &me, &verdict, "2026-03-01T10:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(read(&path, &me), Some(verdict));
        let reused = ProcessId { start_ticks: me.start_ticks + 1, ..me.clone() };
        assert_eq!(read(&path, &reused), None);
        std::fs::File::create(&path).unwrap();
        assert_eq!(read(&path, &me), None);
    }
}
