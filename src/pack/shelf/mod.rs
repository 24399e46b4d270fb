//! The folder of the packs, read as it is now: what is the same file as before is not read again.
//!
//! A file that was changed a moment ago may be half of one that is still being written, and half a pack may read like a
//! whole one: its tasks wait until it has stood still. One that vanished may be on its way back, as editors do it.

mod survey;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::FILE_LIMIT;
use super::check::{Loaded, parse};
use super::fault::Fault;
use super::mark::Mark;
use super::name::{DEFAULT, PackName};
use super::trust::{Rights, distrust};
use crate::clock::{SharedClock, Ticks};
use crate::config::{Allowance, nearest};
use crate::layout::Layout;
use crate::os::folder::{Folder, Inode, Look, is_no_folder};
use survey::names;

pub use survey::Survey;

/// How long a file stands still before it is taken for whole.
const STILL: Duration = Duration::from_secs(1);
/// How long a file that vanished may take to come back.
const BACK: Duration = Duration::from_secs(10);
/// How long a pack that the CLI refused waits before it is tried again as it is.
const REFUSED: Duration = Duration::from_mins(5);
/// What is to be done about an error that no right explains.
const LOOK_AT_THE_DISK: &str = "look at the disk";

/// Why a pack cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An operator took it back.
    Disabled,
    /// Its file is wrong, or cannot be trusted or read; or the CLI refuses it.
    Broken,
    /// It is being changed; a moment.
    Changing,
    /// What its tasks may use in an hour or a day is used up.
    Spent,
}

/// A pack that nothing is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The kind.
    pub what: What,
    /// Why, in words.
    pub why: String,
    /// What to do.
    pub remedy: String,
    /// Whether what runs with it is to be ended.
    pub end_running: bool,
}

/// All packs that nothing is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bars {
    /// Those that can be named.
    pub named: BTreeMap<String, Bar>,
    /// All others but `default`.
    pub others: Option<Bar>,
}

impl Bars {
    /// What bars a task of this `type`.
    pub fn of(&self, kind: Option<&str>) -> Option<&Bar> {
        let name = kind.unwrap_or(DEFAULT);
        self.named.get(name).or_else(|| self.others.as_ref().filter(|_| name != DEFAULT))
    }

    /// Whether everything may be started.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.others.is_none()
    }
}

/// What a look for a pack found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It.
    Ready {
        /// Its name.
        name: PackName,
        /// What it says.
        loaded: Arc<Loaded>,
        /// Its file; `None` for the built-in one.
        file: Option<PathBuf>,
    },
    /// There is none of that name.
    Unknown {
        /// What was most likely meant.
        near: Option<String>,
    },
    /// It cannot be used now.
    Barred(Bar),
}

/// A pack as it stands in the folder, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Its name.
    pub name: PackName,
    /// What it says, or what is wrong; `None` where it has no file.
    pub read: Option<Result<Arc<Loaded>, Vec<Fault>>>,
    /// Whether it was taken back.
    pub mark: Option<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    dev: u64,
    inode: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
    rights: Rights,
}

impl Version {
    /// Whether what stands there now is the same.
    fn is_of(&self, look: &Look) -> bool {
        let rights = Rights { owner: look.owner, mode: look.mode() };
        look.inode == Inode::new(self.dev, self.inode)
            && (look.size, look.mtime, look.ctime, rights) == (self.size, self.mtime, self.ctime, self.rights)
    }
}

#[derive(Clone, Debug)]
struct Seen {
    version: Version,
    read: Result<Arc<Loaded>, Vec<Fault>>,
    since: Ticks,
    last: Ticks,
    refused: Option<(Ticks, String, String)>,
}

enum Closed {
    Missing,
    Unfit(String, String),
}

/// The packs under one root.
#[derive(Debug)]
pub struct Shelf {
    layout: Layout,
    clock: SharedClock,
    trusted: Vec<u32>,
    seen: Mutex<HashMap<PackName, Seen>>,
}

impl Shelf {
    /// The packs under the root of `layout`; `trusted` are the users besides root who may own them.
    pub fn new(layout: Layout, clock: SharedClock, trusted: Vec<u32>) -> Self {
        Self { layout, clock, trusted, seen: Mutex::default() }
    }

    /// The pack that a task's `type` means, as it is now.
    pub fn find(&self, kind: Option<&str>) -> Found {
        let Some(name) = PackName::of(kind) else { return Found::Unknown { near: None } };
        match self.open() {
            Ok(folder) => {
                let mark = mark(&folder, &name);
                self.find_in(&folder, name, mark, || names(&folder).unwrap_or_default())
            }
            Err(Closed::Missing) => self.absent(name, Vec::new),
            Err(Closed::Unfit(..)) if name.is_default() && !self.default_stands_there() => built_in(name),
            Err(Closed::Unfit(why, remedy)) => Found::Barred(broken(why, remedy)),
        }
    }

    /// What each pack that was looked at lets its tasks use, where that is bounded.
    pub fn allowances(&self) -> BTreeMap<String, Allowance> {
        let seen = self.seen();
        let bounded = seen.iter().filter_map(|(name, seen)| {
            let allowance = seen.read.as_ref().ok()?.pack.allowance;
            (!allowance.is_none()).then(|| (name.to_string(), allowance))
        });
        bounded.collect()
    }

    /// The CLI refused to work with this pack as it is: it waits until it is changed, or for some minutes.
    pub fn refused(&self, name: &PackName, why: &str, remedy: &str) {
        let now = self.clock.ticks();
        if let Some(seen) = self.seen().get_mut(name) {
            seen.refused = Some((now, why.to_owned(), remedy.to_owned()));
        }
    }

    /// What was refused may be tried again: somebody says that it was mended.
    pub fn try_again(&self) {
        self.seen().values_mut().for_each(|it| it.refused = None);
    }

    fn open(&self) -> Result<Folder, Closed> {
        let path = self.layout.packs();
        let folder = Folder::open_to_read(self.layout.root(), &path).map_err(|error| self.closed(&error))?;
        let rights = folder.look_at_itself().map(|it| Rights { owner: it.owner, mode: it.permissions() });
        let rights = rights.map_err(|error| self.closed(&error))?;
        match distrust(&path, rights, &self.trusted) {
            // Where nobody ever put a pack there is nothing to be believed or not.
            Some(_) if self.seen().is_empty() && names(&folder).is_ok_and(|it| it.is_empty()) => {
                Err(Closed::Missing)
            }
            Some((why, remedy)) => Err(Closed::Unfit(why, remedy)),
            None => Ok(folder),
        }
    }

    fn closed(&self, error: &io::Error) -> Closed {
        let path = self.layout.packs();
        if error.kind() == io::ErrorKind::NotFound {
            return Closed::Missing;
        }
        if is_no_folder(error) {
            return Closed::Unfit(
                format!("`{}` is a link or no folder", path.display()),
                format!("`mv {0} {0}.aside`, and put the folder itself there", path.display()),
            );
        }
        let Fault { what, hint, .. } = self.unread(error);
        Closed::Unfit(what, hint.unwrap_or_default())
    }

    fn unread(&self, error: &io::Error) -> Fault {
        let path = self.layout.packs();
        let remedy = if error.kind() == io::ErrorKind::PermissionDenied {
            format!("`chmod u+rx {}`, or `chown` it to the worker's user", path.display())
        } else {
            LOOK_AT_THE_DISK.to_owned()
        };
        Fault::of_file(format!("`{}` cannot be read: {error}", path.display()), remedy)
    }

    /// In a folder that others can write, `default` is not what they make of it, and not less than its owner made of it.
    fn default_stands_there(&self) -> bool {
        let name = PackName::of(None);
        name.is_some_and(|it| {
            [it.file(), it.mark()].iter().any(|it| self.layout.packs().join(it).symlink_metadata().is_ok())
        })
    }

    fn find_in(
        &self,
        folder: &Folder,
        name: PackName,
        mark: Option<Mark>,
        known: impl FnOnce() -> Vec<PackName>,
    ) -> Found {
        if let Some(mark) = mark {
            return Found::Barred(disabled(&name, &mark));
        }
        let Some(seen) = self.read(folder, &name) else { return self.absent(name, known) };
        let file = self.layout.packs().join(name.file());
        let (now, wall) = (self.clock.ticks(), self.clock.wall());
        let age = wall.as_second() - seen.version.mtime.0;
        // What is wrong with it as a whole is not for want of a rest.
        let is_text = seen.read.as_ref().err().is_none_or(|faults| faults.iter().all(|it| it.line > 0));
        if is_text && (0..=2).contains(&age) && now.since(seen.since) < STILL {
            return Found::Barred(changing(format!("`{}` was changed a moment ago", file.display())));
        }
        match (seen.read, seen.refused) {
            (Err(faults), _) => {
                let first = faults.first().map(ToString::to_string).unwrap_or_default();
                let more = if faults.len() > 1 {
                    format!(" (and {} more)", faults.len() - 1)
                } else {
                    String::new()
                };
                let remedy = "mend it; `agentctl packs check` shows everything that is wrong, and its tasks go on by themselves";
                Found::Barred(broken(format!("`{}`: {first}{more}", file.display()), remedy.to_owned()))
            }
            (Ok(_), Some((at, why, remedy))) if now.since(at) < REFUSED => Found::Barred(broken(why, remedy)),
            (Ok(loaded), _) => Found::Ready { name, loaded, file: Some(file) },
        }
    }

    /// What a pack without a file is.
    fn absent(&self, name: PackName, known: impl FnOnce() -> Vec<PackName>) -> Found {
        let mut seen = self.seen();
        if let Some(last) = seen.get(&name).map(|it| it.last) {
            if self.clock.ticks().since(last) < BACK {
                return Found::Barred(changing(format!(
                    "the file of the pack `{name}` was there a moment ago"
                )));
            }
            seen.remove(&name);
        }
        drop(seen);
        if name.is_default() {
            return built_in(name);
        }
        let known = known();
        let words = known.iter().map(PackName::as_str).chain([DEFAULT]);
        Found::Unknown { near: nearest(name.as_str(), words).map(str::to_owned) }
    }

    /// The file of a pack, read if it is another version than before.
    fn read(&self, folder: &Folder, name: &PackName) -> Option<Seen> {
        let now = self.clock.ticks();
        let file = name.file();
        // One look a second for each of a thousand packs: nothing is opened that did not change.
        if let Ok(Some(look)) = folder.look(OsStr::new(&file))
            && let Some(known) = self.seen().get_mut(name).filter(|it| it.version.is_of(&look))
        {
            known.last = now;
            return Some(known.clone());
        }
        let opened = folder.file(OsStr::new(&file));
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            other => other.and_then(|file| Ok((file.metadata()?, file))),
        };
        let nothing = Version {
            dev: 0,
            inode: 0,
            size: 0,
            mtime: (0, 0),
            ctime: (0, 0),
            rights: Rights { owner: 0, mode: 0 },
        };
        let version = file.as_ref().map_or(nothing, |(meta, _)| version(meta));
        let read = file
            .map_err(|error| vec![unopened(&error)])
            .and_then(|(meta, file)| self.load(name, &meta, file))
            .map(Arc::new);
        let fresh = Seen { version, read, since: now, last: now, refused: None };
        self.seen().insert(name.clone(), fresh.clone());
        Some(fresh)
    }

    fn load(
        &self,
        name: &PackName,
        meta: &std::fs::Metadata,
        file: std::fs::File,
    ) -> Result<Loaded, Vec<Fault>> {
        let path = self.layout.packs().join(name.file());
        let fault = |what: &str, hint: &str| vec![Fault::of_file(what, hint)];
        if !meta.is_file() {
            return Err(fault("it is no file", "put a file there"));
        }
        let rights = Rights { owner: meta.uid(), mode: meta.mode() };
        if let Some((what, hint)) = distrust(&path, rights, &self.trusted) {
            return Err(fault(&what, &hint));
        }
        let mut bytes = Vec::new();
        file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| vec![unopened(&error)])?;
        if bytes.len() as u64 > FILE_LIMIT {
            return Err(fault(
                "it is larger than 64 KiB",
                "put long texts into files of the working directory",
            ));
        }
        let text = String::from_utf8(bytes).map_err(|_| fault("it is not UTF-8", "save it as UTF-8"))?;
        parse(&text)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<PackName, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn built_in(name: PackName) -> Found {
    Found::Ready { name, loaded: Arc::default(), file: None }
}

const fn broken(why: String, remedy: String) -> Bar {
    Bar { what: What::Broken, why, remedy, end_running: false }
}

fn changing(why: String) -> Bar {
    Bar { what: What::Changing, why, remedy: "nothing: it goes on in seconds".to_owned(), end_running: false }
}

fn disabled(name: &PackName, mark: &Mark) -> Bar {
    let by = mark.by.as_ref().map_or_else(String::new, |it| format!(" by {it}"));
    let since = mark.since.map_or_else(String::new, |it| format!(" since {it:.0}"));
    let reason = mark.reason.as_ref().map_or_else(String::new, |it| format!(": {it}"));
    Bar {
        what: What::Disabled,
        why: format!("the pack `{name}` is disabled{by}{since}{reason}"),
        remedy: format!("`agentctl pack enable {name}` lets its tasks go on"),
        end_running: mark.end_running,
    }
}

/// The mark beside a pack. Whatever stands there takes it back; what cannot be looked at may.
fn mark(folder: &Folder, name: &PackName) -> Option<Mark> {
    let file = name.mark();
    let file = OsStr::new(&file);
    if matches!(folder.look(file), Ok(None)) {
        return None;
    }
    let mut bytes = Vec::new();
    let read = folder.file(file).and_then(|it| it.take(FILE_LIMIT).read_to_end(&mut bytes));
    Some(read.map_or_else(|_| Mark::default(), |_| Mark::read(&bytes)))
}

fn version(meta: &std::fs::Metadata) -> Version {
    Version {
        dev: meta.dev(),
        inode: meta.ino(),
        size: meta.size(),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        ctime: (meta.ctime(), meta.ctime_nsec()),
        rights: Rights { owner: meta.uid(), mode: meta.mode() },
    }
}

fn unopened(error: &io::Error) -> Fault {
    match error.raw_os_error() {
        Some(nix::libc::ELOOP) => {
            Fault::of_file("it is a link, which is not followed", "put the file itself there")
        }
        Some(nix::libc::EACCES) => {
            Fault::of_file("the worker's user may not read it", "`chmod a+r` it, or `chown` it to that user")
        }
        _ => Fault::of_file(format!("it cannot be read: {error}"), LOOK_AT_THE_DISK),
    }
}

#[cfg(test)]
mod tests;
