//! `artifacts/<run_id>/input.json`: what was dropped and where, and the proof that a run is ours.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::store::{Identity, Store};
use crate::clock::Timestamp;
use crate::layout::Layout;
use crate::os::trouble::if_there;
use crate::task::{FileName, RunId, TaskName, WorkerName};

/// The largest `input.json` that is read back: a task file of the largest size, and our own few fields.
const LIMIT: u64 = super::found::FILE_LIMIT + 65_536;

/// The beginning of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    /// The run.
    pub run_id: RunId,
    /// The task's name.
    pub task: TaskName,
    /// Who claimed it last: the run is its.
    pub worker: WorkerName,
    /// The file's name.
    pub file: String,
    /// When.
    pub claimed_at: Timestamp,
    /// Where it was dropped, relative to the root.
    pub dropped_at: String,
    /// Which version of which inode it was: a power cut can show it there again.
    pub dropped: Identity,
    /// The life before this one, where its conversation goes on in this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<RunId>,
    /// What was dropped, as it was.
    pub content: Box<RawValue>,
}

impl Input {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads it back; `None` if there is none, or none of ours. An error is a disk that did not answer.
    pub fn read(store: &impl Store, layout: &Layout, run: RunId) -> io::Result<Option<Self>> {
        let read = match store.read(&layout.run(&run).input(), LIMIT) {
            // A link, a pipe, something far too large: none that we wrote.
            Err(error) if is_no_file_of_ours(&error) => return Ok(None),
            other => if_there(other)?,
        };
        Ok(read.and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok()))
    }

    /// Whether the run began in a file of this name, numbers aside: those are given when names meet.
    pub fn is_of(&self, file: &FileName) -> bool {
        self.file.parse::<FileName>().is_ok_and(|began| began.base() == file.base())
    }

    /// Where it was dropped.
    pub fn origin(&self, layout: &Layout) -> std::path::PathBuf {
        layout.root().join(Path::new(&self.dropped_at))
    }
}

fn is_no_file_of_ours(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge)
        || error.raw_os_error() == Some(nix::libc::ELOOP)
}
