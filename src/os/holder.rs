//! Who holds a lock, written for people into a file of its own: a mirror, never the fact.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::durable::{self, Durability};
use super::process::ProcessId;
use crate::clock::Timestamp;
use crate::task::WorkerName;

/// What the holder does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The worker's watcher.
    Watcher,
    /// Somebody who recovers in its place.
    Recovery,
    /// The acting supervisor.
    Supervisor,
    /// A person's command.
    Operator,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Watcher => "watcher",
            Self::Recovery => "recovery",
            Self::Supervisor => "supervisor",
            Self::Operator => "operator",
        })
    }
}

/// The content of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// What it does.
    pub role: Role,
    /// For which worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerName>,
    /// For which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Which process.
    #[serde(flatten)]
    pub process: ProcessId,
    /// On which host: the name of the machine, or of the container (`hostname(7)`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

impl Holder {
    /// This process in `role`.
    pub fn current(role: Role, worker: Option<WorkerName>, since: Timestamp) -> Self {
        Self { role, worker, task: None, process: ProcessId::current(), host: hostname(), since }
    }

    /// Reads a lock file; `None` if it is not there or is not one of ours.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Who it is, for people: in containers pids repeat, names do not.
    pub fn who(&self) -> String {
        let on = self.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        format!("pid {}{on}, since {}", self.process.pid, self.since)
    }

    /// Writes the lock file in place, so that its inode and whoever holds its lock stay.
    pub fn write(&self, file: &std::fs::File) -> io::Result<()> {
        use std::io::{Seek, Write};
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        let mut file = file;
        file.seek(io::SeekFrom::Start(0))?;
        file.write_all(&text)?;
        file.set_len(text.len() as u64)
    }

    /// Writes it as a file of its own, replacing another.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        durable::write_atomic(path, &serde_json::to_vec(self)?, Durability::None)
    }
}

/// The name of the machine, or of the container.
pub fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
