//! Whether somebody opened a thing since this was asked last (`inotify(7)`, `IN_OPEN`).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

/// Sees who opens one thing.
#[derive(Debug)]
pub struct Opened {
    fd: OwnedFd,
}

impl Opened {
    /// Begins to watch what is at `path`.
    pub fn watch(path: &Path) -> io::Result<Self> {
        let fd = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        add_watch(&fd, path, WatchFlags::OPEN)?;
        Ok(Self { fd })
    }

    /// Whether it was opened since this was asked last, by us too.
    pub fn since_last(&self) -> bool {
        let mut events = [0; 1024];
        let mut opened = false;
        // It ends: equal events that nobody has read are one, and a queue has a bound.
        while rustix::io::read(&self.fd, &mut events).is_ok_and(|n| n > 0) {
            opened = true;
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_opens_it_is_seen_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let opened = Opened::watch(file.path()).unwrap();
        assert!(!opened.since_last());
        drop(std::fs::File::open(file.path()).unwrap());
        assert_eq!((opened.since_last(), opened.since_last()), (true, false));
    }
}
