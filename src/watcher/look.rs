//! Finding what is new in the queues: hints are looked at by name, and every few seconds everything is.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::layout::Layout;
use crate::os::side_by_side;
use crate::os::watch::{Hints, Wanted};
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
    seen: [HashMap<FileName, Seen>; Place::QUEUES.len()],
    scans: u32,
}

/// A version, and the scan that met it last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    identity: Identity,
    scan: u32,
}

/// The room that is kept for a backlog that comes back.
const SPARE: usize = 256;

impl Scanner {
    /// Looks at everything. The backlog costs one `lstat` a file; only what changed is opened.
    pub(super) fn scan(&mut self, spool: &Spool<Disk>) -> Finds {
        let mut finds = Finds::default();
        self.scans = self.scans.wrapping_add(1);
        for (place, seen) in Place::QUEUES.into_iter().zip(&mut self.seen) {
            match spool.list_all(place) {
                Ok(listing) => {
                    finds.misfits.extend(listing.misfits);
                    let files = listing.files.into_iter();
                    let new: Vec<_> =
                        files.filter(|file| is_new(spool, (place, file), (&mut *seen, self.scans))).collect();
                    look_at_new(spool, (place, new), (seen, self.scans), &mut finds);
                    let gone = seen.extract_if(|_, it| it.scan != self.scans);
                    finds.looked.extend(gone.map(|(file, _)| ((place, file), Examined::Gone)));
                    if seen.len() < seen.capacity() / 8 {
                        seen.shrink_to(SPARE);
                    }
                }
                Err(error) => finds.fault = Some(format!("cannot read {place}: {error}")),
            }
        }
        finds.active = spool.list(Place::Active).unwrap_or_default();
        finds
    }

    /// What is known of names that others have looked at: the version that waits, or nothing, and then they are read anew.
    pub(super) fn learn(&mut self, slots: impl IntoIterator<Item = (Slot, Option<Identity>)>) {
        let scan = self.scans;
        for ((place, file), identity) in slots {
            for (_, seen) in Place::QUEUES.into_iter().zip(&mut self.seen).filter(|(it, _)| *it == place) {
                match identity {
                    Some(identity) => seen.insert(file.clone(), Seen { identity, scan }),
                    None => seen.remove(&file),
                };
            }
        }
    }
}

/// Whether a name is not the version that was read last. One that nobody has read yet is not even asked for.
fn is_new(
    spool: &Spool<Disk>,
    (place, file): (Place, &FileName),
    (seen, scan): (&mut HashMap<FileName, Seen>, u32),
) -> bool {
    let Some(known) = seen.get_mut(file) else { return true };
    let is_same = spool.store().identity(&spool.path(place, file)).is_ok_and(|it| it == known.identity);
    if is_same {
        known.scan = scan;
    }
    !is_same
}

/// Reads what is new. A backlog of a hundred thousand is read by every processor: nothing is claimed before all of it is
/// known, or what is seen first would go first.
fn look_at_new(
    spool: &Spool<Disk>,
    (place, new): (Place, Vec<FileName>),
    (seen, scan): (&mut HashMap<FileName, Seen>, u32),
    finds: &mut Finds,
) {
    let found = side_by_side::each(&new, |share| spool.examine_all(place, share));
    seen.reserve(new.len());
    finds.looked.reserve(new.len());
    for (file, found) in new.into_iter().zip(found) {
        if let Examined::Task(head) = &found {
            // The version that was read: one that takes its place meanwhile is read by the next look.
            seen.insert(file.clone(), Seen { identity: head.identity, scan });
        } else {
            seen.remove(&file);
        }
        finds.looked.push(((place, file), found));
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

/// What tells one folder from a later one: an inode number is given again soon.
type FolderId = (u64, u64, Option<std::time::SystemTime>);

/// The directories that are watched for hints, with the folder that is watched under each name.
#[derive(Debug)]
pub(super) struct Watched {
    places: Vec<(Place, PathBuf)>,
    known: HashMap<PathBuf, FolderId>,
    blind: HashSet<PathBuf>,
}

impl Watched {
    pub(super) fn new(layout: &Layout, worker: &WorkerName) -> Self {
        let places = [Place::Inbox, Place::Pending, Place::Staged, Place::Active];
        let places = places.iter().map(|place| (*place, layout.place(worker, *place))).collect();
        Self { places, known: HashMap::new(), blind: HashSet::new() }
    }

    /// Has changes told, and says whether all of them are.
    pub(super) fn listen(&mut self, hints: &mut Option<Hints>) -> bool {
        if hints.is_none() {
            // Somebody may have raised the limit, or given an instance back.
            *hints = Hints::start().ok();
            if hints.is_some() {
                tracing::info!("kernel events again");
            }
        }
        let Some(hints) = hints else { return false };
        self.refresh(hints);
        self.blind.is_empty()
    }

    /// Watches what is new under its name: a watch stays with the folder that had the name before.
    fn refresh(&mut self, hints: &mut Hints) {
        for (place, dir) in &self.places {
            let id = folder_id(dir);
            if id.is_some() && self.known.get(dir) == id.as_ref() {
                continue;
            }
            hints.remove(dir);
            self.known.remove(dir);
            let was_blind = self.blind.remove(dir);
            let Some(id) = id else { continue };
            // What is put there by hand is found when everything is looked at, and all else there is our own writing.
            let wanted = if *place == Place::Active { Wanted::Departures } else { Wanted::Changes };
            if let Err(error) = hints.add(dir, wanted) {
                self.blind.insert(dir.clone());
                if !was_blind {
                    tracing::warn!(error = %error, dir = %dir.display(), "no kernel events here; looking every few seconds instead (`sysctl fs.inotify` shows the limits)");
                }
            } else {
                self.known.insert(dir.clone(), id);
            }
        }
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

/// The folder of this name; a link is none.
fn folder_id(dir: &Path) -> Option<FolderId> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::symlink_metadata(dir).ok().filter(std::fs::Metadata::is_dir)?;
    Some((meta.dev(), meta.ino(), meta.created().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::os::durable::{DIR_MODE, Durability, make_dir, write_new};

    #[test]
    fn what_was_out_of_reach_is_looked_at_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, marie): (_, WorkerName) = (Layout::new(dir.path()), "marie".parse().unwrap());
        let disk = Disk::new(dir.path(), Durability::None);
        let spool = Spool::new(layout, marie, disk, Arc::new(SystemClock));
        let slot: Slot = (Place::Pending, "x.json".parse().unwrap());
        let path = spool.path(slot.0, &slot.1);
        make_dir(path.parent().unwrap(), DIR_MODE).unwrap();
        write_new(&path, br#"{"prompt":"x"}"#, None).unwrap();
        let mut scanner = Scanner::default();
        let mut found = || scanner.scan(&spool).looked.len();
        assert_eq!((found(), found()), (1, 0), "what did not change is not read again");
        scanner.learn([(slot, None)]);
        assert_eq!(scanner.scan(&spool).looked.len(), 1);
    }

    #[test]
    fn what_a_hint_found_is_not_read_again_and_is_missed_when_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, marie): (_, WorkerName) = (Layout::new(dir.path()), "marie".parse().unwrap());
        let disk = Disk::new(dir.path(), Durability::None);
        let spool = Arc::new(Spool::new(layout, marie, disk, Arc::new(SystemClock)));
        let mut scanner = Scanner::default();
        let found = |name: &str| {
            let slot: Slot = (Place::Pending, name.parse().unwrap());
            let path = spool.path(slot.0, &slot.1);
            make_dir(path.parent().unwrap(), DIR_MODE).unwrap();
            write_new(&path, br#"{"prompt":"x"}"#, None).unwrap();
            let Some((_, Examined::Task(head))) = look_unless(&spool, slot.clone(), None) else { panic!() };
            (slot, path, Some(head.identity))
        };
        let ((stays, _, seen), (goes, path, also)) = (found("stays.json"), found("goes.json"));
        std::fs::remove_file(path).unwrap();
        scanner.learn([(stays, seen), (goes.clone(), also)]);
        assert_eq!(scanner.scan(&spool).looked, [(goes, Examined::Gone)]);
        assert_eq!(scanner.scan(&spool).looked, []);
    }
}
