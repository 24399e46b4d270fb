//! The disk that performs the steps in production.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::steps::Step;
use super::store::{Entry, Identity, Store};
use crate::os::durable::{self, Durability};

/// The real disk.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    durability: Durability,
}

impl Disk {
    /// A disk that syncs as `durability` says.
    pub const fn new(durability: Durability) -> Self {
        Self { durability }
    }

    /// How it syncs.
    pub const fn durability(self) -> Durability {
        self.durability
    }

    fn sync(self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self.durability {
            Durability::Full => sync(),
            Durability::None => Ok(()),
        }
    }
}

impl Store for Disk {
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        // A name that is no UTF-8 cannot be a task's.
        let named = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            Some(Entry { name, path: entry.path() })
        };
        entries.filter_map(|entry| entry.map(named).transpose()).collect()
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<(Vec<u8>, Identity)> {
        // Without blocking, since a pipe may lie here under a task's name, and never through a link.
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if meta.nlink() > 1 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file with a second name (hard link)"));
        }
        let mut bytes = Vec::new();
        (&file).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
        }
        Ok((bytes, identity(&meta)))
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        Ok(identity(&std::fs::symlink_metadata(path)?))
    }

    fn perform(&self, step: &Step) -> io::Result<()> {
        let done = match step {
            Step::SyncFile(path) => self.sync(|| durable::sync_file(path)),
            Step::SyncDir(path) => self.sync(|| durable::sync_dir(path)),
            Step::MakeDir(path) => durable::make_dir(path, durable::DIR_MODE),
            Step::Move { from, to } => durable::rename_noreplace(from, to),
            Step::Confirm { at, is } => confirm(self.identity(at)?, *is),
            Step::Write { path, bytes, mtime } => write(path, bytes, *mtime),
            Step::Replace { from, to } => durable::replace(from, to),
            Step::Remove(path) => durable::remove_if_there(path),
            Step::Look(_) | Step::Note(_) => Ok(()),
        };
        #[cfg(feature = "test-support")]
        super::kill_point::passed(step);
        done
    }
}

fn write(path: &Path, bytes: &[u8], mtime: Option<std::time::SystemTime>) -> io::Result<()> {
    durable::write_new(path, bytes, mtime).inspect_err(|_| {
        // On a full disk the half that was written must not stay.
        durable::remove_if_there(path).ok();
    })
}

fn confirm(found: Identity, expected: Identity) -> io::Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it changed between two looks"))
}

fn identity(meta: &std::fs::Metadata) -> Identity {
    Identity {
        dev: meta.dev(),
        inode: meta.ino(),
        size: meta.len(),
        mtime_ns: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
    }
}
