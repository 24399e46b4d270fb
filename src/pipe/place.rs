//! The place of a pipe: makes it, and sees that what stands there is a pipe of ours.
//!
//! Invariants:
//! - nothing that stands there is opened before it was looked at, and no link is followed;
//! - what is no pipe of ours is moved aside, unread, and never replaced or removed;
//! - a pipe is seen under its name only with the mode and the group that it should have.
//!
//! It deliberately does not know what is said on the pipe.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub use crate::config::PipeAccess as Access;
use crate::os::folder::{End, Folder, Held, Inode, Look};
use crate::os::opened::Opened;

/// How many things are moved aside before somebody has to look.
const ASIDE_MAX: u32 = 999;
/// How often the place is looked at again when somebody is faster.
const TRIES: u32 = 5;

/// Why there is no pipe.
#[derive(Debug, thiserror::Error)]
#[error("{what} `{}`: {source}", path.display())]
pub struct PlaceError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
    /// What to do.
    pub remedy: &'static str,
}

impl PlaceError {
    /// Whether all that is missing is somebody who reads.
    pub fn is_nobody(&self) -> bool {
        self.source.raw_os_error() == Some(nix::libc::ENXIO)
    }
}

/// Something that somebody should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What was found.
    pub message: String,
    /// What to do.
    pub remedy: &'static str,
}

/// A name in a folder below the root, where a pipe of ours stands.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    dir: PathBuf,
    name: OsString,
    access: Access,
    /// Held, so that nothing else gets its inode.
    known: Option<Held>,
}

impl Place {
    /// The pipe at `path`, in a folder below `root`.
    pub fn new(root: &Path, path: &Path, access: Access) -> Self {
        Self {
            root: root.to_owned(),
            dir: path.parent().unwrap_or(root).to_owned(),
            name: path.file_name().unwrap_or_default().to_owned(),
            access,
            known: None,
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Sees that a pipe of ours stands there; which one, and what somebody should know of it.
    pub fn put_right(&mut self, notices: &mut Vec<Notice>) -> Result<Inode, PlaceError> {
        let folder = self.folder()?;
        for _ in 0..TRIES {
            match folder.look(&self.name).map_err(|source| self.failed("could not look at", source))? {
                Some(look) if self.is_known(look.inode) => return Ok(look.inode),
                Some(look) if is_ours(&look) => {
                    let held = self.hold(&folder, &self.name)?;
                    // Something else may stand there by now.
                    if held.look.inode == look.inode {
                        self.allow(&folder, &held, notices)?;
                        self.known = Some(held);
                    }
                }
                Some(look) => notices.push(self.move_aside(&folder, &look)?),
                None => self.make(&folder, notices)?,
            }
        }
        let source = io::Error::other("somebody puts other things there all the time");
        Err(self.failed("could not make the pipe", source))
    }

    /// Begins to see who opens it; `None` where that cannot be seen.
    pub fn watch(&self) -> Option<Opened> {
        Opened::watch(&self.known.as_ref()?.path()).ok()
    }

    /// Opens one end of what `put_right` found.
    pub fn open(&self, end: End) -> Result<(File, Inode), PlaceError> {
        let opened = self.folder()?.fifo(&self.name, end);
        opened.map_err(|source| self.failed("could not open the pipe", source))
    }

    /// Removes the pipe, if it is still the one that was seen there last.
    pub fn remove(&mut self) {
        let Some(known) = self.known.take() else { return };
        let Ok(folder) = self.folder() else { return };
        if folder.look(&self.name).is_ok_and(|look| look.is_some_and(|it| it.inode == known.look.inode)) {
            // One that stays is told as what it is, and made new by the next who needs it.
            folder.remove(&self.name).ok();
        }
    }

    fn is_known(&self, inode: Inode) -> bool {
        self.known.as_ref().is_some_and(|known| known.look.inode == inode)
    }

    fn hold(&self, folder: &Folder, name: &OsStr) -> Result<Held, PlaceError> {
        folder.hold(name).map_err(|source| self.failed("could not look at", source))
    }

    fn folder(&self) -> Result<Folder, PlaceError> {
        Folder::open(&self.root, &self.dir).map_err(|source| PlaceError {
            what: "could not open the folder",
            path: self.dir.clone(),
            source,
            remedy: "put a folder there that this user may write in, and no link",
        })
    }

    /// An error about it.
    pub(super) fn failed(&self, what: &'static str, source: io::Error) -> PlaceError {
        let remedy = match source.raw_os_error() {
            Some(nix::libc::EACCES | nix::libc::EPERM) => {
                "let this user write in the folder, and remove by hand what is in the way"
            }
            Some(nix::libc::ENOSPC | nix::libc::EDQUOT) => "make room on the disk",
            _ => "remove by hand what is in the way",
        };
        PlaceError { what, path: self.path(), source, remedy }
    }

    /// Under another name first: whoever opens the pipe finds it as it should be.
    fn make(&mut self, folder: &Folder, notices: &mut Vec<Notice>) -> Result<(), PlaceError> {
        if let Some(made) = self.made(folder, notices)? {
            self.known = Some(made);
        }
        Ok(())
    }

    /// A new pipe in its place; `None` where what stands there by now is to be looked at.
    fn made(&self, folder: &Folder, notices: &mut Vec<Notice>) -> Result<Option<Held>, PlaceError> {
        let fail = |source| self.failed("could not make the pipe", source);
        let mut temp = OsString::from(".");
        temp.push(&self.name);
        temp.push(".new");
        match folder.make_fifo(&temp) {
            // What a killed one has left.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                folder.remove(&temp).and_then(|()| folder.make_fifo(&temp))
            }
            other => other,
        }
        .map_err(fail)?;
        let made = self.hold(folder, &temp)?;
        let moved = self.allow(folder, &made, notices).and_then(|()| {
            match folder.move_noreplace(&temp, folder, &self.name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                other => other.map(|()| true).map_err(fail),
            }
        });
        if !matches!(moved, Ok(true)) {
            folder.remove(&temp).ok();
        }
        // Whoever may write in the folder may have put another one there before it was held.
        Ok(moved?.then_some(made).filter(|it| is_ours(&it.look)))
    }

    /// Lets those in who should be. A group that cannot be given gets nothing: another one would stand in its place.
    fn allow(&self, folder: &Folder, held: &Held, notices: &mut Vec<Notice>) -> Result<(), PlaceError> {
        let fail = |source| self.failed("could not set mode and group of the pipe", source);
        let Access { mode, group } = self.access;
        let wanted = match group {
            Some(group) => group,
            None => folder.look_at_itself().map_err(fail)?.group,
        };
        let to_set = (held.look.group != wanted).then_some(wanted);
        match held.allow(mode, to_set) {
            Err(error) if to_set.is_some() && error.raw_os_error() == Some(nix::libc::EPERM) => {
                let path = self.path();
                notices.push(Notice {
                    message: format!(
                        "the group {wanted} may not use the pipe `{}`: this user is not in it",
                        path.display()
                    ),
                    remedy: "add this user to the group, or name another one with --pipe-group",
                });
                held.allow(mode & !0o070, None).map_err(fail)
            }
            other => other.map_err(fail),
        }
    }

    fn move_aside(&self, folder: &Folder, look: &Look) -> Result<Notice, PlaceError> {
        for n in 1..=ASIDE_MAX {
            let mut to = self.name.clone();
            to.push(format!(".misplaced-{n}"));
            match folder.move_noreplace(&self.name, folder, &to) {
                Ok(()) => {
                    let (kind, path) = (look.kind(), self.path());
                    let message = format!(
                        "{kind} stood in the place of the pipe `{}`; it was moved aside, unread, as `{}`",
                        path.display(),
                        to.to_string_lossy()
                    );
                    let remedy = "look at it and remove it; a line is written with `echo … > pipe`, and only while the pipe is there";
                    return Ok(Notice { message, remedy });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => {
                    return Err(self.failed("could not move aside what is no pipe of ours at", error));
                }
            }
        }
        let source = io::Error::other(format!("it is gone, or {ASIDE_MAX} things were moved aside already"));
        Err(self.failed("could not move aside what is no pipe of ours at", source))
    }
}

/// A pipe of somebody else's can have any mode and be given to anybody.
fn is_ours(look: &Look) -> bool {
    look.is_fifo() && look.owner == nix::unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    use super::*;

    const ACCESS: Access = Access { mode: 0o620, group: None };

    struct Root(tempfile::TempDir);

    impl Root {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("pipes")).unwrap();
            Self(dir)
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("pipes/marie.in")
        }

        fn place(&self) -> Place {
            Place::new(self.0.path(), &self.path(), ACCESS)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.0.path().join("pipes")).unwrap();
            let mut names: Vec<_> =
                entries.map(|it| it.unwrap().file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        }
    }

    fn mode_of(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_pipe_is_made_with_its_mode_and_stays_the_same() {
        let root = Root::new();
        let (mut place, mut notices) = (root.place(), Vec::new());
        let made = place.put_right(&mut notices).unwrap();
        assert!(std::fs::symlink_metadata(root.path()).unwrap().file_type().is_fifo());
        assert_eq!((mode_of(&root.path()), notices.len()), (0o620, 0), "{notices:?}");
        assert_eq!(place.put_right(&mut notices).unwrap(), made);
        assert_eq!(root.place().put_right(&mut notices).unwrap(), made, "the next watcher takes it");
        assert_eq!(root.names(), ["marie.in"]);
        place.remove();
        assert!(root.names().is_empty());
    }

    #[test]
    fn what_is_no_pipe_is_moved_aside_unread_and_told() {
        type Put<'a> = (&'a str, &'a dyn Fn(&Path));
        let root = Root::new();
        let outside = root.0.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let put: [Put<'_>; 4] = [
            ("a regular file", &|path| drop(File::create(path).unwrap())),
            ("a link", &|path| symlink(&outside, path).unwrap()),
            ("a folder", &|path| std::fs::create_dir(path).unwrap()),
            ("a socket", &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
        ];
        let mut place = root.place();
        for (n, (kind, put)) in put.iter().enumerate() {
            if root.path().exists() {
                std::fs::remove_file(root.path()).unwrap();
            }
            put(&root.path());
            let mut notices = Vec::new();
            place.put_right(&mut notices).unwrap();
            assert!(std::fs::symlink_metadata(root.path()).unwrap().file_type().is_fifo(), "{kind}");
            assert_eq!(notices.len(), 1, "{kind}");
            assert!(notices[0].message.starts_with(kind), "{}", notices[0].message);
            assert!(root.names().contains(&format!("marie.in.misplaced-{}", n + 1)), "{:?}", root.names());
        }
        assert!(std::fs::read_dir(&outside).unwrap().next().is_none());
    }

    #[test]
    fn a_pipe_that_replaced_ours_is_taken_with_its_mode_set_right() {
        let root = Root::new();
        let (mut place, mut notices) = (root.place(), Vec::new());
        let made = place.put_right(&mut notices).unwrap();
        std::fs::remove_file(root.path()).unwrap();
        nix::unistd::mkfifo(&root.path(), nix::sys::stat::Mode::from_bits_truncate(0o444)).unwrap();
        assert_ne!(place.put_right(&mut notices).unwrap(), made);
        assert_eq!((mode_of(&root.path()), notices.len()), (0o620, 0));
    }

    #[test]
    fn a_folder_that_became_a_link_is_not_gone_through() {
        let root = Root::new();
        let (mut place, mut notices) = (root.place(), Vec::new());
        place.put_right(&mut notices).unwrap();
        let (pipes, away) = (root.0.path().join("pipes"), root.0.path().join("away"));
        std::fs::remove_dir_all(&pipes).unwrap();
        std::fs::create_dir(&away).unwrap();
        symlink(&away, &pipes).unwrap();
        let error = place.put_right(&mut notices).unwrap_err();
        assert!(error.remedy.contains("no link"), "{error}: {}", error.remedy);
    }
}
