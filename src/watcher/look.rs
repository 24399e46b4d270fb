//! Finding what is new in the queues: hints are looked at by name, and every few seconds everything is.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::layout::Layout;
use crate::os::watch::Hints;
use crate::spool::{Disk, Examined, Identity, Spool, Store};
use crate::task::{FileName, Misfit, Place, WorkerName};

/// A name in a queue.
pub(super) type Slot = (Place, FileName);

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Finds {
    /// Names in queues.
    pub(super) looked: Vec<(Slot, Examined)>,
    /// Names in `active/`.
    pub(super) active: Vec<FileName>,
    /// Names in queues that were meant for task files and cannot be any.
    pub(super) misfits: Vec<(PathBuf, Misfit)>,
    /// Whether a directory could not be read.
    pub(super) fault: Option<String>,
}

/// Remembers which version of each name was looked at last, so that only what changed is read again.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    seen: HashMap<Slot, Identity>,
}

impl Scanner {
    /// Looks at these anew at the next scan, changed or not: what was said of them last may have been for want of an
    /// answer.
    pub(super) fn forget(&mut self, slots: impl Iterator<Item = Slot>) {
        for slot in slots {
            self.seen.remove(&slot);
        }
    }

    /// Looks at everything. The backlog costs one `lstat` a file; only what changed is opened.
    pub(super) fn scan(&mut self, spool: &Spool<Disk>) -> Finds {
        let mut finds = Finds::default();
        let mut present = HashSet::new();
        for place in Place::QUEUES {
            match spool.list_all(place) {
                Ok(listing) => {
                    finds.misfits.extend(listing.misfits);
                    for file in listing.files {
                        let slot = (place, file);
                        self.look_if_changed(spool, &slot, &mut finds);
                        present.insert(slot);
                    }
                }
                Err(error) => finds.fault = Some(format!("cannot read {place}: {error}")),
            }
        }
        if finds.fault.is_none() {
            let gone: Vec<_> = self.seen.keys().filter(|slot| !present.contains(slot)).cloned().collect();
            for slot in gone {
                self.seen.remove(&slot);
                finds.looked.push((slot, Examined::Gone));
            }
        }
        finds.active = spool.list(Place::Active).unwrap_or_default();
        finds
    }

    fn look_if_changed(&mut self, spool: &Spool<Disk>, slot: &Slot, finds: &mut Finds) {
        let identity = spool.store().identity(&spool.path(slot.0, &slot.1)).ok();
        if identity.is_some() && self.seen.get(slot) == identity.as_ref() {
            return;
        }
        let found = spool.examine(slot.0, &slot.1);
        match (&found, identity) {
            (Examined::Task(_), Some(identity)) => {
                self.seen.insert(slot.clone(), identity);
            }
            _ => {
                self.seen.remove(slot);
            }
        }
        finds.looked.push((slot.clone(), found));
    }
}

/// Looks at a name, except if it is still the version that is known.
pub(super) fn look_unless(
    spool: &Arc<Spool<Disk>>,
    slot: Slot,
    known: Option<Identity>,
) -> Option<(Slot, Examined)> {
    if known.is_some() && spool.store().identity(&spool.path(slot.0, &slot.1)).ok() == known {
        return None;
    }
    let found = spool.examine(slot.0, &slot.1);
    Some((slot, found))
}

/// Looks at some names.
pub(super) fn look_at(spool: &Arc<Spool<Disk>>, slots: Vec<Slot>) -> Vec<(Slot, Examined)> {
    slots.into_iter().map(|slot| (slot.clone(), spool.examine(slot.0, &slot.1))).collect()
}

/// The directories that are watched for hints, with the inode that is watched under each name.
#[derive(Debug)]
pub(super) struct Watched {
    places: Vec<(Place, PathBuf)>,
    inodes: HashMap<PathBuf, (u64, u64)>,
    blind: HashSet<PathBuf>,
}

impl Watched {
    pub(super) fn new(layout: &Layout, worker: &WorkerName) -> Self {
        let places = [Place::Inbox, Place::Pending, Place::Staged, Place::Active];
        let places = places.iter().map(|place| (*place, layout.place(worker, *place))).collect();
        Self { places, inodes: HashMap::new(), blind: HashSet::new() }
    }

    /// Makes missing directories again, and watches those that were replaced: a watch stays with its inode.
    pub(super) fn refresh(&mut self, hints: Option<&mut Hints>) -> std::io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let mut hints = hints;
        for (_, dir) in &self.places {
            crate::os::durable::make_dir(dir, crate::os::durable::DIR_MODE)?;
            let meta = std::fs::symlink_metadata(dir)?;
            let inode = (meta.dev(), meta.ino());
            if self.inodes.get(dir) == Some(&inode) {
                continue;
            }
            if let Some(hints) = hints.as_deref_mut() {
                hints.remove(dir);
                self.blind.remove(dir);
                if let Err(error) = hints.add(dir) {
                    self.blind.insert(dir.clone());
                    tracing::warn!(error = %error, dir = %dir.display(), "no kernel events here; looking every few seconds instead");
                }
            }
            self.inodes.insert(dir.clone(), inode);
        }
        Ok(())
    }

    /// Whether a folder gives no hints.
    pub(super) fn is_blind(&self) -> bool {
        !self.blind.is_empty()
    }

    /// Whether a hint is about a watched folder itself.
    pub(super) fn is_folder(&self, path: &Path) -> bool {
        self.places.iter().any(|(_, dir)| dir == path)
    }

    /// The name in a queue that a hint is about.
    pub(super) fn slot(&self, path: &Path) -> Option<Slot> {
        let dir = path.parent()?;
        let place = self.places.iter().find(|(_, it)| it == dir)?.0;
        let file = path.file_name()?.to_str()?.parse().ok()?;
        Some((place, file))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test drops a file as a user does")]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::os::durable::{DIR_MODE, Durability, make_dir};

    #[test]
    fn what_was_found_gone_for_want_of_an_answer_is_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, worker): (Layout, WorkerName) = (Layout::new(dir.path()), "marie".parse().unwrap());
        for path in layout.common_dirs().into_iter().chain(layout.worker_dirs(&worker)) {
            make_dir(&path, DIR_MODE).unwrap();
        }
        let spool = Spool::new(layout.clone(), worker, Disk::new(Durability::None), SystemClock::shared());
        std::fs::write(layout.tasks().join("t.json"), r#"{"prompt":"x"}"#).unwrap();
        let slot = || (Place::Inbox, "t.json".parse().unwrap());
        let mut scanner = Scanner::default();
        assert_eq!(scanner.scan(&spool).looked.len(), 1);
        assert_eq!(scanner.scan(&spool).looked.len(), 0, "what did not change is not read again");
        scanner.forget(std::iter::once(slot()));
        assert_eq!(scanner.scan(&spool).looked.len(), 1);
    }
}
