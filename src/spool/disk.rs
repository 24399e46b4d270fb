//! The disk that performs the steps in production.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::steps::Step;
use super::store::{Entry, Identity, StepError, Store};
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

    fn sync(self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self.durability {
            Durability::Full => sync(),
            Durability::None => Ok(()),
        }
    }
}

/// How many files are waited for at once: disks and journals take many syncs for the price of a few.
const SYNCS_AT_ONCE: usize = 16;

impl Disk {
    /// Waits for files that stand side by side in a list of steps; the first that failed, by its position.
    fn sync_side_by_side(self, steps: &[Step]) -> Result<(), (usize, io::Error)> {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(step) = steps.get(at) else { return Ok(()) };
                self.perform(step).map_err(|error| (at, error))?;
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..SYNCS_AT_ONCE.min(steps.len())).map(|_| scope.spawn(work)).collect();
            let ends = threads.into_iter().map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err((0, io::Error::other("a thread that syncs has panicked"))))
            });
            ends.collect::<Vec<_>>().into_iter().collect()
        })
    }
}

impl Store for Disk {
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        entries.map(|entry| entry.map(|it| Entry { name: it.file_name(), path: it.path() })).collect()
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<(Vec<u8>, Identity)> {
        plain_file(&std::fs::symlink_metadata(path)?, limit)?;
        // Another may have taken its place since: without blocking, and never through a link.
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let meta = file.metadata()?;
        plain_file(&meta, limit)?;
        // To measure: grown by doubling, a large one would take twice its size.
        let room = usize::try_from(meta.len()).unwrap_or_default().saturating_add(1);
        let mut bytes = Vec::with_capacity(room);
        (&file).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(too_large(limit));
        }
        Ok((bytes, identity(&meta)))
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        Ok(identity(&std::fs::symlink_metadata(path)?))
    }

    fn perform_all(&self, steps: &[Step]) -> Result<(), StepError> {
        let mut index = 0;
        for alike in steps.chunk_by(|one, next| one.is_file_sync() && next.is_file_sync()) {
            let done = match alike {
                [step] => self.perform(step).map_err(|error| (0, error)),
                syncs => self.sync_side_by_side(syncs),
            };
            done.map_err(|(at, source)| {
                self.discard(&steps[..index]);
                StepError { step: alike[at].clone(), index: index + at, source }
            })?;
            index += alike.len();
        }
        Ok(())
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
        };
        #[cfg(feature = "test-support")]
        super::kill_point::passed(step);
        done
    }
}

/// Whether this can be read as a drop: nobody else can change it through another name, and reading it ends.
fn plain_file(meta: &Metadata, limit: u64) -> io::Result<()> {
    let kind = meta.file_type();
    let what = match () {
        () if kind.is_symlink() => "a symbolic link, which is never followed",
        () if kind.is_dir() => "a directory, and not a file",
        () if kind.is_fifo() => "a named pipe, and not a file",
        () if kind.is_socket() => "a socket, and not a file",
        () if kind.is_char_device() || kind.is_block_device() => "a device, and not a file",
        () if meta.nlink() > 1 => "a file with a second name (a hard link); drop a copy instead",
        () if meta.len() > limit => return Err(too_large(limit)),
        () => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes"))
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

fn identity(meta: &Metadata) -> Identity {
    Identity {
        dev: meta.dev(),
        inode: meta.ino(),
        size: meta.len(),
        mtime_ns: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
    }
}
