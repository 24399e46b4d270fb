//! A disk whose directories are volatile: what a name operation did is seen at once, and is durable when its directory
//! was synced. Small numbers in place of paths and contents, so that a million of them can be held.
//!
//! - a rename is two halves, one per directory; before the next sync the file system may have kept some of them:
//! - in a journal all changes are kept in their order, and both halves of a rename together;
//! - elsewhere only those of one directory are in their order, and no removal before the addition that it belongs to, unless the folder
//!   of the removed name was synced by itself;
//! - content that nobody synced comes back whole, empty or torn; a new folder that nobody synced is gone with what is in it;
//! - numbers of inodes are used again as soon as nothing names them, as real file systems do.
//!
//! It deliberately does not know what a task is, nor who acts.

#![expect(clippy::fn_params_excessive_bools, reason = "a table of facts, each true or not")]

use std::io::ErrorKind;
use std::path::Path;

use agent_worker::spool::{Identity, Step};

use super::intern::{self, PathId, Text};

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inode {
    pub(crate) text: Text,
    pub(crate) is_synced: bool,
    pub(crate) mtime: i64,
}

/// More files than any scenario has.
const FILES: usize = 64;

/// One half of a name operation that is not durable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Half {
    Add(PathId, u8),
    /// The other name that the file got, if it is a rename.
    Remove(PathId, Option<PathId>),
    Folder(PathId),
}

impl Half {
    const fn path(self) -> PathId {
        match self {
            Self::Add(path, _) | Self::Remove(path, _) | Self::Folder(path) => path,
        }
    }
}

/// What a file whose content was never synced holds after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsynced {
    Whole,
    Empty,
    Torn,
}

/// How many halves are weighed against each other.
const HALVES: u32 = 16;

type Names = Vec<(PathId, u8)>;

/// The disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    inodes: Vec<Option<Inode>>,
    names: Names,
    durable: Names,
    /// Folders that were made, beside those which the layout has.
    folders: Vec<PathId>,
    durable_folders: Vec<PathId>,
    pending: Vec<Half>,
    boot: u8,
    /// Whether the file system is a journal of whole renames.
    is_journal: bool,
}

fn find(names: &Names, path: PathId) -> Result<usize, usize> {
    names.binary_search_by_key(&path, |it| it.0)
}

fn set(names: &mut Names, path: PathId, inode: Option<u8>) {
    match (find(names, path), inode) {
        (Ok(at), Some(inode)) => names[at].1 = inode,
        (Ok(at), None) => {
            names.remove(at);
        }
        (Err(at), Some(inode)) => names.insert(at, (path, inode)),
        (Err(_), None) => {}
    }
}

fn add_folder(folders: &mut Vec<PathId>, path: PathId) {
    if let Err(at) = folders.binary_search(&path) {
        folders.insert(at, path);
    }
}

impl Disk {
    pub(crate) fn of(is_journal: bool) -> Self {
        Self { is_journal, ..Self::default() }
    }

    /// The names of the files, with what is in them.
    pub(crate) fn files(&self) -> impl Iterator<Item = (PathId, Text)> + '_ {
        self.names.iter().map(|(path, inode)| (*path, self.inode(*inode).text))
    }

    /// The same, as far as no power cut can take it away.
    pub(crate) fn durable_files(&self) -> impl Iterator<Item = (PathId, Text)> + '_ {
        let is_kept =
            |it: &&(PathId, u8)| self.inode(it.1).is_synced && self.is_durable(intern::parent(it.0));
        self.durable.iter().filter(is_kept).map(|(path, inode)| (*path, self.inode(*inode).text))
    }

    fn is_durable(&self, dir: PathId) -> bool {
        intern::is_of_layout(dir) || self.durable_folders.binary_search(&dir).is_ok()
    }

    fn inode(&self, number: u8) -> Inode {
        self.inodes[usize::from(number)].expect("a file that has a name is there")
    }

    /// Which file stands at a name.
    pub(crate) fn number(&self, path: PathId) -> Option<u8> {
        find(&self.names, path).ok().map(|at| self.names[at].1)
    }

    pub(crate) fn text(&self, path: PathId) -> Option<Text> {
        self.number(path).map(|number| self.inode(number).text)
    }

    pub(crate) fn list(&self, dir: PathId) -> Vec<PathId> {
        self.names.iter().map(|it| it.0).filter(|path| intern::parent(*path) == dir).collect()
    }

    pub(crate) fn read(&self, path: PathId) -> Result<(Text, Identity), ErrorKind> {
        let identity = self.identity(path)?;
        let text = self.text(path).ok_or(ErrorKind::InvalidInput)?;
        Ok((text, identity))
    }

    pub(crate) fn identity(&self, path: PathId) -> Result<Identity, ErrorKind> {
        let dev = u64::from(self.boot);
        match self.number(path) {
            Some(number) => {
                let inode = self.inode(number);
                let size = intern::bytes(inode.text).len() as u64;
                Ok(Identity { dev, inode: u64::from(number), size, mtime_ns: inode.mtime })
            }
            None if self.has_folder(path) => Ok(Identity { dev, inode: u64::MAX, size: 0, mtime_ns: 0 }),
            None => Err(ErrorKind::NotFound),
        }
    }

    pub(crate) fn has_folder(&self, path: PathId) -> bool {
        intern::is_of_layout(path) || self.folders.binary_search(&path).is_ok()
    }

    /// Writes a file in place, as `cp` and `echo >` do.
    pub(crate) fn scribble(&mut self, path: PathId, text: Text, mtime: i64) {
        let inode = Inode { text, is_synced: false, mtime };
        if let Some(number) = self.number(path) {
            self.inodes[usize::from(number)] = Some(inode);
            return;
        }
        let number = self.take_number(inode);
        self.add(path, number);
    }

    /// A file that is durable, content and name. Whoever syncs it so knows nothing of our order: what was done before
    /// becomes durable with it, as in any journal.
    pub(crate) fn plant(&mut self, path: PathId, text: Text, mtime: i64) {
        let number = self.take_number(Inode { text, is_synced: true, mtime });
        self.add(path, number);
        for half in std::mem::take(&mut self.pending) {
            settle(&mut self.durable, &mut self.durable_folders, half);
        }
    }

    fn take_number(&mut self, inode: Inode) -> u8 {
        let free = self.inodes.iter().position(Option::is_none).unwrap_or_else(|| {
            self.inodes.push(None);
            self.inodes.len() - 1
        });
        self.inodes[free] = Some(inode);
        assert!(free < FILES, "nobody goes round for ever");
        u8::try_from(free).expect("fewer than that")
    }

    /// Forgets the files that nothing names any more.
    fn collect(&mut self) {
        for number in 0..self.inodes.len() {
            let is = |it: &(PathId, u8)| usize::from(it.1) == number;
            let is_pending =
                |half: &Half| matches!(half, Half::Add(_, inode) if usize::from(*inode) == number);
            let is_named = self.names.iter().any(is)
                || self.durable.iter().any(is)
                || self.pending.iter().any(is_pending);
            if !is_named {
                self.inodes[number] = None;
            }
        }
        while self.inodes.last().is_some_and(Option::is_none) {
            self.inodes.pop();
        }
    }

    /// Does one step.
    pub(crate) fn perform(&mut self, step: &Step) -> Result<(), ErrorKind> {
        let done = self.do_step(step);
        self.collect();
        done
    }

    fn do_step(&mut self, step: &Step) -> Result<(), ErrorKind> {
        match step {
            Step::SyncFile(path) => {
                let number = self.number(intern::path(path)).ok_or(ErrorKind::NotFound)?;
                if let Some(inode) = &mut self.inodes[usize::from(number)] {
                    inode.is_synced = true;
                }
                Ok(())
            }
            Step::SyncDir(path) => {
                let dir = intern::path(path);
                if !self.has_folder(dir) {
                    return Err(ErrorKind::NotFound);
                }
                self.sync_dir(dir);
                Ok(())
            }
            Step::MakeDir(path) => {
                let path = intern::path(path);
                if !self.has_folder(path) {
                    add_folder(&mut self.folders, path);
                    self.pending.push(Half::Folder(path));
                }
                Ok(())
            }
            Step::Move { from, to } => self.rename(from, to, true),
            Step::Replace { from, to } => self.rename(from, to, false),
            Step::Confirm { at, is } if self.identity(intern::path(at))? == *is => Ok(()),
            Step::Confirm { .. } => Err(ErrorKind::InvalidData),
            Step::Write { path, bytes, mtime } => self.write(path, bytes, *mtime),
            Step::Remove(path) => {
                let path = intern::path(path);
                if self.number(path).is_some() {
                    set(&mut self.names, path, None);
                    self.pending.push(Half::Remove(path, None));
                } else if self.names.iter().all(|it| intern::parent(it.0) != path) {
                    // A folder that nobody needs: it is not asked whether a power cut brings it back.
                    self.folders.retain(|it| *it != path);
                    self.durable_folders.retain(|it| *it != path);
                    self.pending.retain(|it| *it != Half::Folder(path));
                }
                Ok(())
            }
            Step::Look(_) | Step::Note(_) => Ok(()),
        }
    }

    fn write(
        &mut self,
        path: &Path,
        bytes: &[u8],
        mtime: Option<std::time::SystemTime>,
    ) -> Result<(), ErrorKind> {
        let path = intern::path(path);
        if self.number(path).is_some() {
            return Err(ErrorKind::AlreadyExists);
        }
        if !self.has_folder(intern::parent(path)) {
            return Err(ErrorKind::NotFound);
        }
        let since = mtime.and_then(|it| it.duration_since(std::time::UNIX_EPOCH).ok());
        let text = intern::text(bytes);
        let mtime =
            since.map_or_else(|| intern::age(text), |it| i64::try_from(it.as_nanos()).unwrap_or(i64::MAX));
        self.scribble(path, text, mtime);
        Ok(())
    }

    fn add(&mut self, path: PathId, number: u8) {
        set(&mut self.names, path, Some(number));
        self.pending.push(Half::Add(path, number));
    }

    fn rename(&mut self, from: &Path, to: &Path, refuses: bool) -> Result<(), ErrorKind> {
        let (from, to) = (intern::path(from), intern::path(to));
        let number = self.number(from).ok_or(ErrorKind::NotFound)?;
        if !self.has_folder(intern::parent(to)) {
            return Err(ErrorKind::NotFound);
        }
        if refuses && self.number(to).is_some() {
            return Err(ErrorKind::AlreadyExists);
        }
        set(&mut self.names, from, None);
        self.add(to, number);
        self.pending.push(Half::Remove(from, Some(to)));
        Ok(())
    }

    fn sync_dir(&mut self, dir: PathId) {
        let all = std::mem::take(&mut self.pending);
        let is_of_dir = |half: &Half| intern::parent(half.path()) == dir;
        let is_of_journal = self.is_journal && all.iter().any(is_of_dir);
        for half in all {
            if is_of_journal || is_of_dir(&half) {
                settle(&mut self.durable, &mut self.durable_folders, half);
            } else {
                self.pending.push(half);
            }
        }
    }

    /// Everything that a power cut may show now.
    pub(crate) fn power_cuts(&self) -> Vec<Self> {
        let mut views = Vec::new();
        let count = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
        // So much at once comes of a program that goes round for ever: then nothing of it is kept.
        let all = if count > HALVES { 1 } else { 1_u32 << count };
        for chosen in 0..all {
            if !self.is_consistent(chosen) {
                continue;
            }
            let (mut names, mut folders) = (self.durable.clone(), self.durable_folders.clone());
            for (at, half) in self.pending.iter().enumerate() {
                if chosen & (1 << at) != 0 {
                    settle(&mut names, &mut folders, *half);
                }
            }
            let is_there = |dir| intern::is_of_layout(dir) || folders.binary_search(&dir).is_ok();
            names.retain(|(path, _)| is_there(intern::parent(*path)));
            let is_unsynced = names.iter().any(|(_, inode)| !self.inode(*inode).is_synced);
            let fates = [Unsynced::Whole, Unsynced::Empty, Unsynced::Torn];
            let fates = if is_unsynced { &fates[..] } else { &fates[..1] };
            for fate in fates {
                let view = self.after_boot(&names, &folders, *fate);
                if !views.contains(&view) {
                    views.push(view);
                }
            }
        }
        views
    }

    /// Whether a file system may have kept just these of the pending halves.
    fn is_consistent(&self, chosen: u32) -> bool {
        let is_chosen = |at: usize| chosen & (1 << at) != 0;
        if self.is_journal {
            let count = chosen.trailing_ones();
            let is_amid = matches!(self.pending.get(count as usize), Some(Half::Remove(_, Some(_))));
            return chosen == (1 << count) - 1 && !is_amid;
        }
        self.pending.iter().enumerate().filter(|(at, _)| is_chosen(*at)).all(|(at, half)| {
            let earlier = &self.pending[..at];
            let dir = intern::parent(half.path());
            let is_of_dir = |other: &Half| intern::parent(other.path()) == dir;
            let in_order =
                earlier.iter().enumerate().all(|(before, other)| !is_of_dir(other) || is_chosen(before));
            let Half::Remove(_, Some(to)) = half else { return in_order };
            // The addition stands right before its removal, if it is not durable yet.
            let is_whole = match earlier.last() {
                Some(Half::Add(path, _)) if path == to => is_chosen(at - 1),
                _ => true,
            };
            in_order && is_whole
        })
    }

    fn after_boot(&self, names: &Names, folders: &[PathId], fate: Unsynced) -> Self {
        let mut inodes = self.inodes.clone();
        for inode in inodes.iter_mut().flatten().filter(|it| !it.is_synced) {
            inode.is_synced = true;
            let bytes = intern::bytes(inode.text);
            inode.text = match fate {
                Unsynced::Whole => inode.text,
                Unsynced::Empty => intern::text(b""),
                Unsynced::Torn => intern::text(&bytes[..bytes.len() / 2]),
            };
        }
        let mut disk = Self {
            inodes,
            names: names.clone(),
            durable: names.clone(),
            folders: folders.to_vec(),
            durable_folders: folders.to_vec(),
            pending: Vec::new(),
            boot: self.boot + 1,
            is_journal: self.is_journal,
        };
        disk.collect();
        disk
    }
}

fn settle(names: &mut Names, folders: &mut Vec<PathId>, half: Half) {
    match half {
        Half::Add(path, inode) => set(names, path, Some(inode)),
        Half::Remove(path, _) => set(names, path, None),
        Half::Folder(path) => add_folder(folders, path),
    }
}
