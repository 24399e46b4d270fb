//! Kernel events on directories and files (inotify through `notify`): hints to look again, never facts.
//!
//! Events can be missed (a full queue, another kernel's writes over NFS, no instance left), so whoever uses
//! this also looks by himself now and then.

use std::path::{Path, PathBuf};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::limits::room_for_a_thread;

/// A reason to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Something happened to this path.
    Changed(PathBuf),
    /// Events were lost: look everywhere.
    Lost,
}

/// Why there are no hints.
#[derive(Debug, thiserror::Error)]
#[error("could not watch `{path}` for changes")]
pub struct WatchError {
    path: PathBuf,
    #[source]
    source: notify::Error,
}

/// The hints of this program: one inotify instance for all.
#[derive(Debug)]
pub struct Hints {
    watcher: RecommendedWatcher,
}

/// Hints that wait to be taken; more than that become one [`Hint::Lost`].
const QUEUE: usize = 8192;

impl Hints {
    /// Starts to listen. The receiver is bounded: a burst that overflows it is told as [`Hint::Lost`] by the
    /// rescan that follows anyway.
    pub fn start() -> Result<(Self, mpsc::Receiver<Hint>), WatchError> {
        // Without its thread the library says nothing until a folder is added, and panics then.
        room_for_a_thread().map_err(|error| WatchError {
            path: PathBuf::from("inotify"),
            source: notify::Error::io(error),
        })?;
        let (tell, told) = mpsc::channel(QUEUE);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| forward(&tell, event))
            .map_err(|source| WatchError { path: PathBuf::from("inotify"), source })?;
        Ok((Self { watcher }, told))
    }

    /// Adds a directory (not what is below it) or a file.
    pub fn add(&mut self, path: &Path) -> Result<(), WatchError> {
        self.watcher
            .watch(path, RecursiveMode::NonRecursive)
            .map_err(|source| WatchError { path: path.to_owned(), source })
    }

    /// Takes one away; one that is gone is fine.
    pub fn remove(&mut self, path: &Path) {
        self.watcher.unwatch(path).ok();
    }
}

fn forward(tell: &mpsc::Sender<Hint>, event: notify::Result<Event>) {
    let Ok(event) = event else {
        tell.try_send(Hint::Lost).ok();
        return;
    };
    // Reading is not a change, and our own looking would wake us for ever.
    if matches!(event.kind, EventKind::Access(kind) if !is_close_write(kind)) {
        return;
    }
    if event.need_rescan() || event.paths.is_empty() {
        tell.try_send(Hint::Lost).ok();
    }
    for path in event.paths {
        // A full queue loses nothing that the next look does not find.
        tell.try_send(Hint::Changed(path)).ok();
    }
}

fn is_close_write(kind: notify::event::AccessKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    matches!(kind, AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (mut hints, mut told) = Hints::start().unwrap();
        hints.add(dir.path()).unwrap();
        let path = dir.path().join("x.json");
        std::fs::File::create(&path).unwrap();
        loop {
            if told.blocking_recv() == Some(Hint::Changed(path.clone())) {
                break;
            }
        }
    }
}
