//! Kernel events on directories and files (`inotify(7)`): hints to look again, never facts.
//!
//! Events can be missed (a full queue, another kernel's writes over NFS, no instance left), so whoever uses
//! this also looks by himself now and then.

#![expect(unsafe_code, reason = "the runtime wants it proven that the descriptor stays ours")]

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::task::ready;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A reason to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Something happened to this path.
    Changed(PathBuf),
    /// What stood at this path was moved or removed.
    Gone(PathBuf),
    /// Events were lost: look everywhere.
    Lost,
}

/// Why there are no hints.
#[derive(Debug, thiserror::Error)]
#[error("could not watch `{path}` for changes")]
pub struct WatchError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What is to be told of a folder or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every change.
    Changes,
    /// Only that something was moved out of the folder or removed.
    Departures,
}

/// The hints of this program: one inotify instance for all. What waits is kept by the kernel, up to its own bound.
#[derive(Debug)]
pub struct Hints {
    kernel: AsyncFd<OwnedFd>,
    watched: Watched,
    /// Read and not yet taken.
    waiting: VecDeque<Hint>,
}

/// What is watched, under the kernel's numbers and under its own names.
#[derive(Debug, Default)]
struct Watched {
    paths: HashMap<i32, PathBuf>,
    numbers: HashMap<PathBuf, i32>,
}

const DEPARTURES: WatchFlags = WatchFlags::MOVED_FROM
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);
/// Reading is not a change, and our own looking would wake us for ever.
const CHANGES: WatchFlags = DEPARTURES
    .union(WatchFlags::CREATE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVED_TO);

/// Room for the events of one read.
const BUFFER: usize = 4096;
/// So often is it read for what waits already: whoever writes without end is never read to an end.
const BURST: usize = 64;

impl Hints {
    /// Starts to listen. Belongs into a runtime that drives descriptors; an error is a user or a process that has no
    /// instance or descriptor left.
    pub fn start() -> Result<Self, WatchError> {
        let failed = |source| WatchError { path: PathBuf::from("inotify"), source };
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(|error| failed(error.into()))?;
        // SAFETY: an `OwnedFd` always answers with its own descriptor, and is never taken out of the `AsyncFd`.
        let kernel = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        let kernel = kernel.map_err(|error| failed(error.into()))?;
        Ok(Self { kernel, watched: Watched::default(), waiting: VecDeque::new() })
    }

    /// Adds a directory (not what is below it) or a file; one of the same name that was added before is let go.
    pub fn add(&mut self, path: &Path, wanted: Wanted) -> Result<(), WatchError> {
        let flags = match wanted {
            Wanted::Changes => CHANGES,
            Wanted::Departures => DEPARTURES,
        };
        let number = inotify::add_watch(self.kernel.get_ref(), path, flags)
            .map_err(|error| WatchError { path: path.to_owned(), source: error.into() })?;
        if let Some(before) = self.watched.put(path, number) {
            self.let_go(before);
        }
        Ok(())
    }

    /// Takes one away; one that is gone is fine.
    pub fn remove(&mut self, path: &Path) {
        if let Some(number) = self.watched.take(path) {
            self.let_go(number);
        }
    }

    fn let_go(&self, number: i32) {
        inotify::remove_watch(self.kernel.get_ref(), number).ok();
    }

    /// Waits for the next hint. Nothing is lost where the wait is given up.
    pub async fn next(&mut self) -> Hint {
        std::future::poll_fn(|context| {
            loop {
                if let Some(hint) = self.waiting.pop_front() {
                    return std::task::Poll::Ready(hint);
                }
                // The descriptor is ours while we live: an error here is a runtime that is ending.
                let Ok(mut ready) = ready!(self.kernel.poll_read_ready(context)) else {
                    return std::task::Poll::Pending;
                };
                if !read(self.kernel.get_ref(), &mut self.watched, &mut self.waiting) {
                    ready.clear_ready();
                }
            }
        })
        .await
    }

    /// The hints that wait already, or the first of very many: a burst is one look.
    pub fn waiting(&mut self) -> Vec<Hint> {
        for _ in 0..BURST {
            if !read(self.kernel.get_ref(), &mut self.watched, &mut self.waiting) {
                break;
            }
        }
        self.waiting.drain(..).collect()
    }
}

/// Reads once what the kernel has; whether it had something.
fn read(kernel: &OwnedFd, watched: &mut Watched, waiting: &mut VecDeque<Hint>) -> bool {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut events = Reader::new(kernel, &mut buffer);
    let mut has_read = false;
    loop {
        match events.next() {
            Ok(event) => {
                has_read = true;
                let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                let hint = watched.hint(event.wd(), event.events(), name);
                waiting.extend(hint.filter(|hint| waiting.back() != Some(hint)));
            }
            Err(Errno::INTR) => {}
            Err(_) => return has_read,
        }
        if events.is_buffer_empty() {
            return true;
        }
    }
}

impl Watched {
    /// Notes under which number a path is watched; the number that it had before, if another.
    fn put(&mut self, path: &Path, number: i32) -> Option<i32> {
        // Two names of one thing have one number: it goes by the later.
        if let Some(other) = self.paths.insert(number, path.to_owned()).filter(|other| other != path) {
            self.numbers.remove(&other);
        }
        let before = self.numbers.insert(path.to_owned(), number).filter(|before| *before != number)?;
        self.paths.remove(&before);
        Some(before)
    }

    fn take(&mut self, path: &Path) -> Option<i32> {
        let number = self.numbers.remove(path)?;
        self.paths.remove(&number);
        Some(number)
    }

    /// What an event means; nothing, if it is about what is watched no more.
    fn hint(&mut self, number: i32, events: ReadFlags, name: Option<&OsStr>) -> Option<Hint> {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            return Some(Hint::Lost);
        }
        if events.contains(ReadFlags::IGNORED) {
            // It is gone, or its file system is; a number is not given again.
            let path = self.paths.remove(&number)?;
            self.numbers.remove(&path);
            return Some(Hint::Changed(path));
        }
        let path = self.paths.get(&number)?;
        let path = name.map_or_else(|| path.clone(), |name| path.join(name));
        let is_gone = events.intersects(ReadFlags::MOVED_FROM | ReadFlags::DELETE);
        Some(if is_gone { Hint::Gone(path) } else { Hint::Changed(path) })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test plays everybody else: it moves and writes files")]
mod tests {
    use std::fs;

    use super::*;

    async fn until_told(hints: &mut Hints, path: &Path) {
        while hints.next().await != Hint::Changed(path.to_owned()) {}
    }

    #[tokio::test]
    async fn a_new_file_is_told_and_reading_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut hints = Hints::start().unwrap();
        hints.add(dir.path(), Wanted::Changes).unwrap();
        let path = dir.path().join("x.json");
        fs::write(&path, "{}").unwrap();
        until_told(&mut hints, &path).await;
        hints.waiting();
        fs::read(&path).unwrap();
        fs::read_dir(dir.path()).unwrap().for_each(drop);
        assert_eq!(hints.waiting(), []);
    }

    #[tokio::test]
    async fn what_took_the_place_of_a_folder_is_watched_and_the_folder_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let (place, away) = (dir.path().join("pending"), dir.path().join("away"));
        fs::create_dir(&place).unwrap();
        let mut hints = Hints::start().unwrap();
        hints.add(&place, Wanted::Changes).unwrap();
        fs::rename(&place, &away).unwrap();
        until_told(&mut hints, &place).await;
        fs::create_dir(&place).unwrap();
        hints.add(&place, Wanted::Changes).unwrap();
        hints.waiting();
        fs::write(away.join("old.json"), "{}").unwrap();
        assert_eq!(hints.waiting(), []);
        fs::write(place.join("new.json"), "{}").unwrap();
        until_told(&mut hints, &place.join("new.json")).await;
        fs::remove_dir_all(&place).unwrap();
        until_told(&mut hints, &place).await;
        hints.remove(&place);
    }

    #[tokio::test]
    async fn of_a_folder_it_can_be_told_only_what_leaves_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut hints = Hints::start().unwrap();
        hints.add(dir.path(), Wanted::Departures).unwrap();
        let (first, then) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&first, "{}").unwrap();
        fs::rename(&first, &then).unwrap();
        fs::remove_file(&then).unwrap();
        assert_eq!(hints.waiting(), [Hint::Gone(first), Hint::Gone(then)]);
    }

    #[tokio::test]
    async fn what_is_taken_away_is_told_no_more() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut hints = Hints::start().unwrap();
        hints.add(file.path(), Wanted::Changes).unwrap();
        fs::write(file.path(), "a").unwrap();
        until_told(&mut hints, file.path()).await;
        hints.remove(file.path());
        hints.waiting();
        fs::write(file.path(), "b").unwrap();
        assert_eq!(hints.waiting(), []);
    }

    #[tokio::test]
    async fn more_than_the_kernel_keeps_is_told_as_lost() {
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let most: usize = most.trim().parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut hints = Hints::start().unwrap();
        hints.add(dir.path(), Wanted::Changes).unwrap();
        // Equal events in a row are one, and these are not equal.
        let names = ["a", "b"].map(|name| dir.path().join(name));
        for n in 0..=most {
            fs::File::create(&names[n % 2]).unwrap();
        }
        let mut told = Vec::new();
        while told.last() != Some(&Hint::Lost) {
            told.push(hints.next().await);
        }
        assert!(told.len() > most / 2, "{}", told.len());
    }
}
