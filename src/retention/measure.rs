//! How much a folder holds, and when something in it last changed. Links count as themselves.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::clock::Timestamp;

/// What a folder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Bytes on the disk.
    pub(super) bytes: u64,
    /// The latest change of anything in it, by modification times.
    pub(super) latest: Timestamp,
}

/// Looks at everything below `dir`; `None` if it was to be given up. What cannot be read counts as nothing.
pub(super) fn measure(dir: &Path, go_on: &mut dyn FnMut() -> bool) -> Option<Measure> {
    let mut found = Measure::default();
    let mut dirs = vec![dir.to_owned()];
    found.add(std::fs::symlink_metadata(dir).ok().as_ref());
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if !go_on() {
                return None;
            }
            let meta = entry.metadata().ok();
            found.add(meta.as_ref());
            if meta.is_some_and(|meta| meta.is_dir()) {
                dirs.push(entry.path());
            }
        }
    }
    Some(found)
}

impl Measure {
    fn add(&mut self, meta: Option<&std::fs::Metadata>) {
        let Some(meta) = meta else { return };
        self.bytes = self.bytes.saturating_add(on_disk(meta));
        self.latest = self.latest.max(modified(meta));
    }
}

/// What removing a file frees (`st_blocks` counts 512 bytes each); nothing while it has another name.
pub(super) fn on_disk(meta: &std::fs::Metadata) -> u64 {
    if meta.nlink() > 1 && !meta.is_dir() { 0 } else { meta.blocks().saturating_mul(512) }
}

/// When its content last changed.
pub(super) fn modified(meta: &std::fs::Metadata) -> Timestamp {
    Timestamp::new(meta.mtime(), i32::try_from(meta.mtime_nsec()).unwrap_or(0)).unwrap_or_default()
}

/// When it last changed or came to where it is: a rename leaves the modification time alone, not this one.
pub(super) fn came(meta: &std::fs::Metadata) -> Timestamp {
    let changed = Timestamp::new(meta.ctime(), i32::try_from(meta.ctime_nsec()).unwrap_or(0));
    modified(meta).max(changed.unwrap_or_default())
}
