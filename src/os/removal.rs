//! Removing a whole tree that somebody else filled: in slices, through links never, and as far as it goes.
//!
//! Every step is relative to an open folder (`openat(2)`, `unlinkat(2)`), so a folder that is swapped for a link
//! meanwhile is not followed; `std::fs::remove_dir_all` does the same, but in one piece, only up to the first refusal,
//! and with one descriptor for each level of a tree that may be as deep as an agent liked.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// How many folders stand open at once; what lies deeper is brought up first.
const DEPTH_MAX: usize = 32;
/// How many refusals are kept word for word.
const TOLD_MAX: usize = 5;

/// What became of a tree.
#[derive(Debug, Default)]
pub struct Removal {
    /// Names that were removed.
    pub removed: u64,
    /// Names that could not be removed.
    pub refused: u64,
    /// Some of those, below the tree, and why.
    pub told: Vec<(PathBuf, io::Error)>,
    /// Whether it was given up before its end.
    pub given_up: bool,
}

impl Removal {
    /// Whether nothing is left.
    pub const fn is_whole(&self) -> bool {
        self.refused == 0 && !self.given_up
    }
}

/// Removes `path` and everything below it. `go_on` is asked before each name: it may take its time, and end it.
pub fn remove_tree(path: &Path, go_on: &mut dyn FnMut() -> bool) -> io::Result<Removal> {
    let mut work = Work { go_on, done: Removal::default(), device: 0, named: 0, brought: 0 };
    match open(CWD, &text(path)?) {
        Err(Errno::NOENT) => return Ok(work.done),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            std::fs::remove_file(path)?;
            work.done.removed += 1;
        }
        Err(error) => return Err(error.into()),
        Ok(top) => {
            work.device = rustix::fs::fstat(&top)?.st_dev;
            work.empty(&top, &Place { top: top.as_fd(), below: PathBuf::new(), depth: 0 });
            if work.done.is_whole() {
                std::fs::remove_dir(path)?;
                work.done.removed += 1;
            }
        }
    }
    Ok(work.done)
}

struct Work<'a> {
    go_on: &'a mut dyn FnMut() -> bool,
    done: Removal,
    device: u64,
    /// The last name that was made for what lies deep.
    named: u64,
    /// How many folders were brought up.
    brought: u64,
}

/// Where a folder lies in the tree.
struct Place<'a> {
    top: BorrowedFd<'a>,
    below: PathBuf,
    depth: usize,
}

impl Work<'_> {
    /// Empties a folder. A pass that removes nothing is the last: what is left cannot be removed.
    fn empty(&mut self, dir: &OwnedFd, place: &Place<'_>) {
        loop {
            let (before, refused) = (self.done.removed + self.brought, self.done.refused);
            self.pass(dir, place);
            let progress = self.done.removed + self.brought > before;
            if self.done.given_up || !progress {
                return;
            }
            // What was refused is met again by the next pass, and counted once.
            self.done.refused = refused;
            self.done.told.truncate(usize::try_from(refused).unwrap_or(TOLD_MAX));
        }
    }

    fn pass(&mut self, dir: &OwnedFd, place: &Place<'_>) {
        let entries = match Dir::read_from(dir) {
            Ok(entries) => entries,
            Err(error) => return self.refuse(place, c".", error),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.refuse(place, c".", error),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if !(self.go_on)() {
                self.done.given_up = true;
                return;
            }
            let removed = if entry.file_type() == FileType::Directory {
                self.remove_dir(dir, name, place)
            } else {
                self.remove_name(dir, name, place)
            };
            match removed {
                Ok(true) => self.done.removed += 1,
                Ok(false) | Err(Errno::NOENT) => {}
                Err(error) => self.refuse(place, name, error),
            }
            if self.done.given_up {
                return;
            }
        }
    }

    fn remove_name(&mut self, dir: &OwnedFd, name: &CStr, place: &Place<'_>) -> Result<bool, Errno> {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => self.remove_dir(dir, name, place),
            Err(Errno::ACCESS) => {
                make_writable(dir)?;
                rustix::fs::unlinkat(dir, name, AtFlags::empty()).map(|()| true)
            }
            done => done.map(|()| true),
        }
    }

    /// Whether it was removed; one that was only brought up, or emptied in part, was not.
    fn remove_dir(&mut self, dir: &OwnedFd, name: &CStr, place: &Place<'_>) -> Result<bool, Errno> {
        let inner = open(dir.as_fd(), name).or_else(|error| {
            if error != Errno::ACCESS {
                return Err(error);
            }
            make_readable(dir, name)?;
            open(dir.as_fd(), name)
        })?;
        if rustix::fs::fstat(&inner)?.st_dev != self.device {
            return Err(Errno::XDEV);
        }
        if place.depth >= DEPTH_MAX {
            return self.bring_up(dir, name, (&inner, place));
        }
        let refused = self.done.refused;
        let below = place.below.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        self.empty(&inner, &Place { top: place.top, below, depth: place.depth + 1 });
        if self.done.given_up || self.done.refused > refused {
            return Ok(false);
        }
        match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Err(Errno::ACCESS) => {
                make_writable(dir)?;
                rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).map(|()| true)
            }
            done => done.map(|()| true),
        }
    }

    fn bring_up(
        &mut self,
        dir: &OwnedFd,
        name: &CStr,
        (inner, place): (&OwnedFd, &Place<'_>),
    ) -> Result<bool, Errno> {
        // A folder that changes its parent must be writable itself, for its `..`.
        make_writable(inner).ok();
        let mut is_tried = false;
        loop {
            self.named += 1;
            let up = format!(".up-{}", self.named);
            match rustix::fs::renameat(dir, name, place.top, up) {
                Err(Errno::ACCESS) if !std::mem::replace(&mut is_tried, true) => {
                    make_writable(dir)?;
                    make_writable(place.top)?;
                }
                // Not every file system can refuse to replace; an empty folder that is replaced was to go anyway.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.brought += 1;
                    return Ok(false);
                }
            }
        }
    }

    fn refuse(&mut self, place: &Place<'_>, name: &CStr, error: Errno) {
        self.done.refused += 1;
        if self.done.told.len() < TOLD_MAX {
            let path = place.below.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            self.done.told.push((path, error.into()));
        }
    }
}

fn open(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

fn make_writable(dir: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fchmod(dir, Mode::RWXU)
}

/// A folder of ours that may not even be opened. A mode is changed through a link otherwise, so the folder itself is
/// held first.
fn make_readable(dir: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    make_writable(dir).ok();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    rustix::fs::chmodat(CWD, path, Mode::RWXU, AtFlags::empty())
}

fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::os::durable::write_new;

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir(&top).unwrap();
        (dir, top)
    }

    fn all(path: &Path) -> Removal {
        remove_tree(path, &mut || true).unwrap()
    }

    #[test]
    fn links_are_removed_and_never_followed() {
        let (dir, top) = tree();
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        write_new(&outside.join("precious"), b"x", None).unwrap();
        symlink(&outside, top.join("folder")).unwrap();
        symlink(outside.join("precious"), top.join("file")).unwrap();
        assert!(all(&top).is_whole());
        assert!(!top.exists() && outside.join("precious").exists());
        symlink(&outside, &top).unwrap();
        assert!(all(&top).is_whole(), "a link in the tree's own place");
        assert!(top.symlink_metadata().is_err() && outside.join("precious").exists());
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes_with_few_descriptors() {
        let (_dir, top) = tree();
        let mut at = open(CWD, &text(&top).unwrap()).unwrap();
        for _ in 0..1500 {
            rustix::fs::mkdirat(&at, c"d", Mode::RWXU).unwrap();
            at = open(at.as_fd(), c"d").unwrap();
        }
        drop(at);
        let (mut most, mut steps) = (0, 0);
        let removal = remove_tree(&top, &mut || {
            steps += 1;
            if steps % 31 == 0 {
                most = most.max(std::fs::read_dir("/proc/self/fd").unwrap().count());
            }
            true
        });
        assert!(removal.unwrap().is_whole() && !top.exists());
        assert!((10..400).contains(&most), "{most} descriptors");
    }

    /// A folder that lies one level too deep to be emptied where it is, and all that lead there.
    fn deep(top: &Path) -> Vec<PathBuf> {
        let deep: PathBuf = std::iter::repeat_n("d", DEPTH_MAX + 1).collect();
        std::fs::create_dir_all(top.join(&deep)).unwrap();
        deep.ancestors().map(|it| top.join(it)).collect()
    }

    #[test]
    fn what_lies_deep_and_cannot_be_brought_up_is_met_once_more_and_no_further() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can make what belongs to others");
            return;
        }
        let (dir, top) = tree();
        let folders = deep(&top);
        write_new(&folders[0].join("theirs"), b"x", None).unwrap();
        let mut own = vec![dir.path()];
        own.extend(folders[1..].iter().map(PathBuf::as_path));
        let mut left = 1000;
        let removal = as_nobody(&own, || {
            remove_tree(&top, &mut || {
                left -= 1;
                left > 0
            })
        });
        let removal = removal.unwrap();
        assert_eq!((removal.given_up, removal.refused), (false, 1), "{removal:?}");
        assert!(folders[0].join("theirs").exists());
    }

    #[test]
    fn what_lies_deep_is_brought_up_through_folders_that_may_not_be_written() {
        let (dir, top) = tree();
        let folders = deep(&top);
        let mut own = vec![dir.path()];
        own.extend(folders.iter().map(PathBuf::as_path));
        for folder in &folders {
            chmod(folder, 0o555);
        }
        let mut left = 1000;
        let removal = as_nobody(&own, || {
            remove_tree(&top, &mut || {
                left -= 1;
                left > 0
            })
        });
        assert!(removal.as_ref().is_ok_and(Removal::is_whole) && !top.exists(), "{removal:?}");
    }

    /// Does it as a user without privileges: of one thread alone, since the kernel keeps this user per thread.
    fn as_nobody<T: Send>(own: &[&Path], act: impl FnOnce() -> T + Send) -> T {
        use nix::unistd::{Uid, chown, geteuid, setfsuid};
        if !geteuid().is_root() {
            return act();
        }
        let nobody = Uid::from_raw(65534);
        for path in own {
            chown(*path, Some(nobody), None).unwrap();
        }
        std::thread::scope(|scope| {
            let acting = scope.spawn(|| {
                setfsuid(nobody);
                act()
            });
            acting.join().unwrap()
        })
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folders_that_may_not_be_written_or_opened_are_no_hindrance_to_their_owner() {
        let (dir, top) = tree();
        let mut own = vec![dir.path().to_owned(), top.clone()];
        for (name, mode) in [("read-only", 0o555), ("closed", 0o000)] {
            let (folder, deeper) = (top.join(name), top.join(name).join("deeper"));
            std::fs::create_dir_all(&deeper).unwrap();
            write_new(&deeper.join("file"), b"x", None).unwrap();
            chmod(&deeper, mode);
            chmod(&folder, mode);
            own.extend([deeper, folder]);
        }
        let own: Vec<&Path> = own.iter().map(PathBuf::as_path).collect();
        assert!(as_nobody(&own, || all(&top)).is_whole(), "could not be removed by its owner");
        assert!(!top.exists());
    }

    #[test]
    fn what_belongs_to_others_stays_is_told_and_keeps_nothing_else() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can make what belongs to others");
            return;
        }
        let (dir, top) = tree();
        let foreign = top.join("a/foreign");
        std::fs::create_dir_all(&foreign).unwrap();
        write_new(&foreign.join("theirs"), b"x", None).unwrap();
        chmod(&foreign, 0o755);
        for name in ["a/ours", "z"] {
            write_new(&top.join(name), b"x", None).unwrap();
        }
        let removal = as_nobody(&[dir.path(), &top, &top.join("a")], || all(&top));
        assert_eq!((removal.removed, removal.refused), (2, 1), "{removal:?}");
        assert_eq!(removal.told[0].0, Path::new("a/foreign/theirs"), "{removal:?}");
        assert!(foreign.join("theirs").exists());
    }

    #[test]
    fn it_can_be_given_up_and_taken_up_again() {
        let (_dir, top) = tree();
        for n in 0..10 {
            write_new(&top.join(format!("f{n}")), b"x", None).unwrap();
        }
        let mut left = 4;
        let removal = remove_tree(&top, &mut || {
            left -= 1;
            left >= 0
        });
        let removal = removal.unwrap();
        assert!(removal.given_up && removal.removed == 4, "{removal:?}");
        assert_eq!(std::fs::read_dir(&top).unwrap().count(), 6);
        assert!(all(&top).is_whole() && !top.exists());
    }

    #[test]
    fn the_names_that_it_makes_for_what_lies_deep_are_nobodys() {
        let (_dir, top) = tree();
        write_new(&top.join(".up-1"), b"x", None).unwrap();
        std::fs::create_dir_all(top.join(".up-2/full")).unwrap();
        let deep: PathBuf = std::iter::repeat_n("d", DEPTH_MAX + 3).collect();
        std::fs::create_dir_all(top.join(deep)).unwrap();
        let removal = all(&top);
        assert!(removal.is_whole() && !top.exists(), "{removal:?}");
    }
}
