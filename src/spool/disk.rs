//! The disk that performs the steps in production.
//!
//! Every folder is reached from the root without following a link, anew for each operation: one that was replaced by a
//! link is refused, not followed. The steps of one operation share what they have reached, a folder once.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::FileType;

use super::steps::Step;
use super::store::{Entry, Identity, Reader, StepError, Store};
use crate::os::durable::{self, Durability};
use crate::os::folder::Folder;
use crate::os::side_by_side;

/// So many files are waited for one after the other: after the first there is nothing left to wait for.
const FEW: usize = 4;

/// The real disk.
#[derive(Clone, Debug)]
pub struct Disk {
    root: PathBuf,
    durability: Durability,
}

/// The folders that one operation has reached so far.
#[derive(Debug)]
struct Reach<'a> {
    root: &'a Path,
    /// There are three or four.
    folders: RefCell<Vec<(PathBuf, Rc<Folder>)>>,
}

impl<'a> Reach<'a> {
    const fn new(root: &'a Path) -> Self {
        Self { root, folders: RefCell::new(Vec::new()) }
    }

    /// The folder in which `path` has its name, and that name.
    fn at<'b>(&self, path: &'b Path) -> io::Result<(Rc<Folder>, &'b OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = durable::parent(path);
        let mut folders = self.folders.borrow_mut();
        if let Some((_, folder)) = folders.iter().find(|(known, _)| known == dir) {
            return Ok((Rc::clone(folder), name));
        }
        let folder = Rc::new(Folder::open(self.root, dir)?);
        folders.push((dir.to_owned(), Rc::clone(&folder)));
        Ok((folder, name))
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let (above, name) = match self.at(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_dir(durable::parent(path))?;
                self.at(path)?
            }
            other => other?,
        };
        above.make_dir(name, durable::DIR_MODE)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from, name), (into, to)) = (self.at(from)?, self.at(to)?);
        from.move_noreplace(name, &into, to)
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (folder, name) = self.at(from)?;
        folder.replace(name, to.file_name().ok_or(io::ErrorKind::InvalidInput)?)
    }

    fn write(&self, path: &Path, bytes: &[u8], mtime: Option<std::time::SystemTime>) -> io::Result<()> {
        let (folder, name) = self.at(path)?;
        let mut file = folder.new_file(name, durable::FILE_MODE)?;
        let written = file.write_all(bytes).and_then(|()| mtime.map_or(Ok(()), |it| file.set_modified(it)));
        written.inspect_err(|_| {
            // On a full disk the half that was written must not stay.
            folder.remove(name).ok();
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match self.at(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok((folder, name)) => match folder.remove(name) {
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => folder.remove_dir(name),
                done => done,
            },
        }
    }
}

impl Disk {
    /// The disk below `root`, synced as `durability` says.
    pub fn new(root: impl Into<PathBuf>, durability: Durability) -> Self {
        Self { root: root.into(), durability }
    }

    /// How it syncs.
    pub const fn durability(&self) -> Durability {
        self.durability
    }

    fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self.durability {
            Durability::Full => sync(),
            Durability::None => Ok(()),
        }
    }

    /// Waits for several files; the first that failed, by its position. The disk begins with all of them before the first
    /// is waited for: a journal takes them as one.
    fn sync_together(&self, reach: &Reach<'_>, syncs: &[Step]) -> Result<(), (usize, io::Error)> {
        if self.durability == Durability::Full {
            for step in syncs {
                if let Step::SyncFile(path) = step {
                    // What cannot be opened says so when it is waited for.
                    reach
                        .at(path)
                        .and_then(|(folder, name)| folder.file(name))
                        .map(|it| durable::begin(&it))
                        .ok();
                }
            }
        }
        if syncs.len() <= FEW || self.durability == Durability::None {
            return syncs
                .iter()
                .enumerate()
                .try_for_each(|(at, step)| self.perform_in(reach, step).map_err(|it| (at, it)));
        }
        let failed = side_by_side::failures(syncs, |step| self.perform(step));
        failed.into_iter().next().map_or(Ok(()), Err)
    }

    fn perform_in(&self, reach: &Reach<'_>, step: &Step) -> io::Result<()> {
        let done = match step {
            Step::SyncFile(path) => self.sync(|| {
                let (folder, name) = reach.at(path)?;
                folder.file(name)?.sync_all()
            }),
            Step::SyncDir(path) => self.sync(|| Folder::open_to_read(&self.root, path)?.sync()),
            Step::MakeDir(path) => reach.make_dir(path),
            Step::Move { from, to } => reach.rename(from, to),
            Step::Confirm { at, is } => confirm(self.identity(at)?, *is),
            Step::Write { path, bytes, mtime } => reach.write(path, bytes, *mtime),
            Step::Replace { from, to } => reach.replace(from, to),
            Step::Remove(path) => reach.remove(path),
            Step::Look(_) | Step::Note(_) => Ok(()),
        };
        #[cfg(feature = "test-support")]
        super::kill_point::passed(step);
        done
    }
}

impl Store for Disk {
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let names = self.names(dir)?;
        Ok(names.into_iter().map(|name| Entry { path: dir.join(&name), name }).collect())
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        match Folder::open_to_read(&self.root, dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other?.names(),
        }
    }

    /// Without keeping a name: there may be a hundred thousand.
    fn count(&self, dir: &Path, is: fn(&str) -> bool) -> io::Result<u64> {
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other?,
        };
        let mut count = 0;
        for entry in entries {
            count += u64::from(entry?.file_name().to_str().is_some_and(is));
        }
        Ok(count)
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<(Vec<u8>, Identity)> {
        // Most names that are asked for are not there: that is one call.
        plain_file(&Kind::of(&std::fs::symlink_metadata(path)?), limit)?;
        let (folder, name) = Reach::new(&self.root).at(path)?;
        read_plain(folder.file(name)?, limit)
    }

    fn reader<'a>(&'a self, dir: &'a Path, limit: u64) -> Reader<'a> {
        let Ok(folder) = Folder::open(&self.root, dir) else {
            return Box::new(move |name| self.read(&dir.join(name), limit));
        };
        Box::new(move |name| {
            let look = folder.look(name)?.ok_or(io::ErrorKind::NotFound)?;
            plain_file(&Kind { mode: look.mode(), names: look.names, size: look.size }, limit)?;
            read_plain(folder.file(name)?, limit)
        })
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        Ok(identity(&std::fs::symlink_metadata(path)?))
    }

    fn changed_ns(&self, path: &Path) -> io::Result<Option<i64>> {
        let meta = std::fs::symlink_metadata(path)?;
        Ok(Some(ns(meta.ctime(), meta.ctime_nsec())))
    }

    fn perform_all(&self, steps: &[Step]) -> Result<(), StepError> {
        let (mut index, reach) = (0, Reach::new(&self.root));
        for alike in steps.chunk_by(|one, next| one.is_file_sync() && next.is_file_sync()) {
            let done = match alike {
                [step] => self.perform_in(&reach, step).map_err(|error| (0, error)),
                syncs => self.sync_together(&reach, syncs),
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
        self.perform_in(&Reach::new(&self.root), step)
    }
}

/// What a look tells of a name.
struct Kind {
    mode: u32,
    names: u64,
    size: u64,
}

impl Kind {
    fn of(meta: &Metadata) -> Self {
        Self { mode: meta.mode(), names: meta.nlink(), size: meta.len() }
    }
}

/// Whether this can be read as a drop: nobody else can change it through another name, and reading it ends.
fn plain_file(seen: &Kind, limit: u64) -> io::Result<()> {
    let what = match FileType::from_raw_mode(seen.mode) {
        FileType::Symlink => "a symbolic link, which is never followed",
        FileType::Directory => "a directory, and not a file",
        FileType::Fifo => "a named pipe, and not a file",
        FileType::Socket => "a socket, and not a file",
        FileType::CharacterDevice | FileType::BlockDevice => "a device, and not a file",
        FileType::RegularFile | FileType::Unknown if seen.names > 1 => {
            "a file with a second name (a hard link); drop a copy instead"
        }
        FileType::RegularFile | FileType::Unknown if seen.size > limit => return Err(too_large(limit)),
        FileType::RegularFile | FileType::Unknown => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Reads as much as it has now: another may have taken its place since it was looked at, and what it grows by is another
/// version.
fn read_plain(mut file: File, limit: u64) -> io::Result<(Vec<u8>, Identity)> {
    let meta = file.metadata()?;
    plain_file(&Kind::of(&meta), limit)?;
    // To measure: grown by doubling, a large one would take twice its size.
    let mut bytes = vec![0; usize::try_from(meta.len()).unwrap_or_default()];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok((bytes, identity(&meta)))
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes"))
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
        mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
    }
}

const fn ns(seconds: i64, ns: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_another_between_two_looks_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path(), Durability::None);
        let path = dir.path().join("x.json");
        durable::write_new(&path, b"one", None).unwrap();
        let is = disk.identity(&path).unwrap();
        disk.perform(&Step::Confirm { at: path.clone(), is }).unwrap();
        durable::write_atomic(&path, b"longer", Durability::None).unwrap();
        let error = disk.perform(&Step::Confirm { at: path, is }).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
