//! A disk that can be cut: what a kill leaves, and everything that a power cut may show.
//!
//! - a name operation is durable when its directory was synced; a rename is two halves, one per directory;
//! - a power cut shows what is durable, and any prefix of the rest in its order: so a removal that nobody
//!   synced never comes without the addition it belongs to, but one that was synced does;
//! - content that nobody synced comes back whole, empty or torn;
//! - a folder that was made and not synced into its parent is gone, with all that is in it;
//! - device numbers change with a boot.
//!
//! It knows one operation in flight at a time. Real file systems write both halves of a rename in one
//! transaction, so what holds here holds there for many at once.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use agent_worker::spool::store::Entry;
use agent_worker::spool::{Identity, Step};

/// What a file whose content was never synced may hold after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsynced {
    Whole,
    Empty,
    Torn,
}

pub(crate) const UNSYNCED: [Unsynced; 3] = [Unsynced::Whole, Unsynced::Empty, Unsynced::Torn];

#[derive(Clone, Debug, Hash)]
struct Inode {
    content: Rc<[u8]>,
    is_synced: bool,
    mtime_ns: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Half {
    Add(PathBuf, usize),
    Remove(PathBuf),
    Folder(PathBuf),
}

impl Half {
    fn path(&self) -> &Path {
        match self {
            Self::Add(path, _) | Self::Remove(path) | Self::Folder(path) => path,
        }
    }
}

/// How a move is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Moves {
    /// One rename.
    #[default]
    Rename,
    /// A link and an unlink, where renames cannot refuse to replace.
    LinkAndUnlink,
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    durable_folders: BTreeSet<PathBuf>,
    pending: Vec<Vec<Half>>,
    boot: u64,
    clock: i64,
    pub(crate) moves: Moves,
}

fn error<T>(kind: io::ErrorKind) -> io::Result<T> {
    Err(kind.into())
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

impl Model {
    /// A disk with these folders, which are durable.
    pub(crate) fn with(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let folders: BTreeSet<_> = folders.into_iter().collect();
        Self { durable_folders: folders.clone(), folders, clock: 1_000_000_000, ..Self::default() }
    }

    /// The names of the files, with their content.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.names.iter().map(|(path, inode)| (path.as_path(), &*self.inodes[*inode].content))
    }

    /// The content of a file.
    pub(crate) fn content(&self, path: &Path) -> Option<&[u8]> {
        self.names.get(path).map(|inode| &*self.inodes[*inode].content)
    }

    pub(crate) fn inode(&self, path: &Path) -> Option<usize> {
        self.names.get(path).copied()
    }

    pub(crate) fn has_folder(&self, path: &Path) -> bool {
        self.folders.contains(path)
    }

    pub(crate) fn list(&self, dir: &Path) -> Vec<Entry> {
        let names = self.names.keys().filter(|path| parent(path) == dir);
        let entry = |path: &PathBuf| Entry {
            name: path.file_name().unwrap_or_default().to_owned(),
            path: path.clone(),
        };
        names.map(entry).collect()
    }

    /// As the real disk, it refuses a file with two names.
    pub(crate) fn read(&self, path: &Path) -> io::Result<(Vec<u8>, Identity)> {
        let identity = self.identity(path)?;
        let inode = self.names[path];
        if self.moves == Moves::LinkAndUnlink && self.names.values().filter(|it| **it == inode).count() > 1 {
            return error(io::ErrorKind::InvalidInput);
        }
        Ok((self.inodes[inode].content.to_vec(), identity))
    }

    pub(crate) fn identity(&self, path: &Path) -> io::Result<Identity> {
        match self.names.get(path) {
            Some(number) => {
                let inode = &self.inodes[*number];
                let size = inode.content.len() as u64;
                Ok(Identity { dev: self.boot, inode: *number as u64, size, mtime_ns: inode.mtime_ns })
            }
            None if self.folders.contains(path) => {
                Ok(Identity { dev: self.boot, inode: u64::MAX, size: 0, mtime_ns: 0 })
            }
            None => error(io::ErrorKind::NotFound),
        }
    }

    /// Writes into a file in place, as `cp` and `echo >` do; it makes the file if need be.
    pub(crate) fn scribble(&mut self, path: &Path, bytes: &[u8]) {
        self.clock += 1_000;
        let inode = Inode { content: bytes.into(), is_synced: false, mtime_ns: self.clock };
        if let Some(number) = self.names.get(path) {
            self.inodes[*number] = inode;
            return;
        }
        self.inodes.push(inode);
        self.add(path, self.inodes.len() - 1);
    }

    /// A file that is durable, content and name.
    pub(crate) fn plant(&mut self, path: &Path, bytes: &[u8]) {
        self.scribble(path, bytes);
        let number = self.names[path];
        self.inodes[number].is_synced = true;
        self.sync_dir(parent(path));
    }

    /// Does one step. A move by link and unlink tells `halfway` when the file has two names.
    pub(crate) fn perform(&mut self, step: &Step, halfway: impl FnOnce(&Self)) -> io::Result<()> {
        match step {
            Step::SyncFile(path) => self.sync_file(path),
            Step::SyncDir(path) if !self.folders.contains(path) => error(io::ErrorKind::NotFound),
            Step::SyncDir(path) => {
                self.sync_dir(path);
                Ok(())
            }
            Step::MakeDir(path) => {
                if self.folders.insert(path.clone()) {
                    self.pending.push(vec![Half::Folder(path.clone())]);
                }
                Ok(())
            }
            Step::Move { from, to } => self.shift(from, to, halfway),
            Step::Confirm { at, is } if self.identity(at)? == *is => Ok(()),
            Step::Confirm { .. } => error(io::ErrorKind::InvalidData),
            Step::Write { path, bytes, mtime } => self.write(path, bytes, *mtime),
            Step::Replace { from, to } => {
                let Some(number) = self.names.remove(from) else { return error(io::ErrorKind::NotFound) };
                self.names.insert(to.clone(), number);
                self.pending.push(vec![Half::Add(to.clone(), number), Half::Remove(from.clone())]);
                Ok(())
            }
            Step::Remove(path) => {
                self.remove(path);
                Ok(())
            }
            Step::Look(_) | Step::Note(_) => Ok(()),
        }
    }

    fn shift(&mut self, from: &Path, to: &Path, halfway: impl FnOnce(&Self)) -> io::Result<()> {
        let Some(number) = self.names.get(from).copied() else { return error(io::ErrorKind::NotFound) };
        if self.names.contains_key(to) {
            return error(io::ErrorKind::AlreadyExists);
        }
        match self.moves {
            Moves::Rename => {
                self.names.remove(from);
                self.names.insert(to.to_owned(), number);
                self.pending.push(vec![Half::Add(to.to_owned(), number), Half::Remove(from.to_owned())]);
            }
            Moves::LinkAndUnlink => {
                self.add(to, number);
                halfway(self);
                self.remove(from);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, number: usize) {
        self.names.insert(path.to_owned(), number);
        self.pending.push(vec![Half::Add(path.to_owned(), number)]);
    }

    fn remove(&mut self, path: &Path) {
        if self.names.remove(path).is_some() {
            self.pending.push(vec![Half::Remove(path.to_owned())]);
        }
    }

    fn write(&mut self, path: &Path, bytes: &[u8], mtime: Option<std::time::SystemTime>) -> io::Result<()> {
        if self.names.contains_key(path) {
            return error(io::ErrorKind::AlreadyExists);
        }
        if !self.folders.contains(parent(path)) {
            return error(io::ErrorKind::NotFound);
        }
        self.scribble(path, bytes);
        if let Some(since) = mtime.and_then(|it| it.duration_since(std::time::UNIX_EPOCH).ok()) {
            let number = self.names[path];
            self.inodes[number].mtime_ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        }
        Ok(())
    }

    fn sync_file(&mut self, path: &Path) -> io::Result<()> {
        let Some(number) = self.names.get(path) else { return error(io::ErrorKind::NotFound) };
        self.inodes[*number].is_synced = true;
        Ok(())
    }

    fn sync_dir(&mut self, dir: &Path) {
        for mut halves in std::mem::take(&mut self.pending) {
            for half in halves.extract_if(.., |half| parent(half.path()) == dir) {
                settle(&mut self.durable, &mut self.durable_folders, &half);
            }
            if !halves.is_empty() {
                self.pending.push(halves);
            }
        }
    }

    /// Everything that a power cut may show now.
    pub(crate) fn power_cuts(&self) -> Vec<Self> {
        let mut views = Vec::new();
        let (mut names, mut folders) = (self.durable.clone(), self.durable_folders.clone());
        for count in 0..=self.pending.len() {
            if let Some(halves) = count.checked_sub(1).map(|last| &self.pending[last]) {
                for half in halves {
                    settle(&mut names, &mut folders, half);
                }
            }
            let reachable: BTreeMap<_, _> =
                names.iter().filter(|(path, _)| folders.contains(parent(path))).collect();
            let is_unsynced = reachable.values().any(|inode| !self.inodes[**inode].is_synced);
            let fates = if is_unsynced { &UNSYNCED[..] } else { &UNSYNCED[..1] };
            views.extend(fates.iter().map(|fate| self.after_boot(&reachable, &folders, *fate)));
        }
        views
    }

    fn after_boot(
        &self,
        names: &BTreeMap<&PathBuf, &usize>,
        folders: &BTreeSet<PathBuf>,
        fate: Unsynced,
    ) -> Self {
        let names: BTreeMap<_, _> = names.iter().map(|(path, inode)| ((*path).clone(), **inode)).collect();
        let mut inodes = self.inodes.clone();
        for inode in inodes.iter_mut().filter(|inode| !inode.is_synced) {
            inode.is_synced = true;
            inode.content = match fate {
                Unsynced::Whole => Rc::clone(&inode.content),
                Unsynced::Empty => Rc::from([]),
                Unsynced::Torn => inode.content[..inode.content.len() / 2].into(),
            };
        }
        Self {
            inodes,
            durable: names.clone(),
            names,
            folders: folders.clone(),
            durable_folders: folders.clone(),
            pending: Vec::new(),
            boot: self.boot + 1,
            clock: self.clock,
            moves: self.moves,
        }
    }

    /// Two disks with one print behave alike from here on: numbers of inodes and of temporary names, and the
    /// age of what is no task, are left out.
    pub(crate) fn print(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        let mut numbers = BTreeMap::new();
        let pending: Vec<_> = self.pending.iter().flatten().collect();
        let added = pending.iter().filter_map(|half| match half {
            Half::Add(path, inode) => Some((path, inode)),
            Half::Remove(_) | Half::Folder(_) => None,
        });
        for (path, inode) in self.names.iter().chain(&self.durable).chain(added) {
            let next = numbers.len();
            let number = *numbers.entry(*inode).or_insert(next);
            let Inode { content, is_synced, mtime_ns } = &self.inodes[*inode];
            let age = path.extension().is_some_and(|it| it == "json").then_some(mtime_ns);
            (plain(path), number, content, is_synced, age).hash(&mut hash);
        }
        for half in pending {
            (std::mem::discriminant(half), plain(half.path())).hash(&mut hash);
        }
        let shape: Vec<_> = self.pending.iter().map(Vec::len).collect();
        (shape, self.names.len(), &self.folders, &self.durable_folders, self.boot.min(1)).hash(&mut hash);
        hash.finish()
    }
}

/// A path without the counters of a temporary name.
fn plain(path: &Path) -> String {
    let text = path.to_string_lossy();
    match text.strip_suffix(".tmp") {
        Some(stem) => stem.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit()).to_owned() + ".tmp",
        None => text.into_owned(),
    }
}

fn settle(names: &mut BTreeMap<PathBuf, usize>, folders: &mut BTreeSet<PathBuf>, half: &Half) {
    match half {
        Half::Add(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        Half::Remove(path) => {
            names.remove(path);
        }
        Half::Folder(path) => {
            folders.insert(path.clone());
        }
    }
}
