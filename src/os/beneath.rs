//! A directory below another one, held open: what is checked is what is used.
//!
//! A path that was looked at can mean another directory when it is used (`openat2(2)`, "resolution of paths by
//! programs"). So each step is one `openat` of one name that must be a directory and no link, and what comes out is the
//! directory itself: `chdir` into it through its descriptor cannot be led astray any more.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// A directory that is held open.
#[derive(Debug)]
pub struct Held {
    fd: OwnedFd,
}

impl Held {
    /// Opens `below`, a path of plain names, under `root`; no link is followed below the root.
    pub fn open(root: &Path, below: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut fd = openat(CWD, root, flags, Mode::empty())?;
        for part in below.components() {
            let Component::Normal(name) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
            fd = openat(&fd, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(Self { fd })
    }

    /// Whether this process may work in it: enter it, list it, and it was not removed.
    pub fn check_usable(&self) -> io::Result<()> {
        openat(&self.fd, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        if rustix::fs::fstat(&self.fd)?.st_nlink == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(())
    }

    /// A path that means this directory in this process, and in a child until its `exec` (`proc(5)`).
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_took_a_name_s_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir_all(outside.join("b")).unwrap();
        let held = Held::open(&root, Path::new("a/b")).unwrap();
        held.check_usable().unwrap();
        std::fs::remove_dir_all(root.join("a")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("a")).unwrap();
        assert!(Held::open(&root, Path::new("a/b")).is_err());
        assert!(Held::open(&root, Path::new("../outside")).is_err());
        assert!(held.check_usable().is_err(), "it was removed");
    }
}
