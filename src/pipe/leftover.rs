//! The pipes of callers that died before their answer came: `reply-<uuid>`, which nobody reads any more.
//!
//! Invariants:
//! - only a named pipe of exactly that name goes, as `agentctl` makes them: what a person calls their own is theirs;
//! - it goes when nobody had it open at two looks that are a minute apart, at the same pipe: a caller opens it in the
//!   moment in which it makes it, and holds it open until it has its answer;
//! - the look wakes nobody: callers hold both ends, so that a writer that comes and goes is no end to them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Ticks;
use crate::os::folder::{End, Folder, Inode};

/// Between two looks.
const MINUTE: Duration = Duration::from_mins(1);

/// The pipe for the answer to the command with this mark.
pub fn name_of(mark: &Uuid) -> String {
    format!("reply-{mark}")
}

fn is_a_callers(name: &OsStr) -> bool {
    let mark = name.to_str().and_then(|name| name.strip_prefix("reply-")).map(Uuid::try_parse);
    matches!(mark, Some(Ok(mark)) if OsStr::new(&name_of(&mark)) == name)
}

/// Those that nobody had open at the last look.
#[derive(Debug, Default)]
pub struct Leftovers {
    next: Option<Ticks>,
    unread: HashMap<OsString, Inode>,
}

impl Leftovers {
    /// Looks through `dir`, if it is time; how many were removed.
    pub fn look(&mut self, root: &Path, dir: &Path, now: Ticks) -> usize {
        if self.next.is_some_and(|next| now < next) {
            return 0;
        }
        self.next = Some(now.plus(MINUTE));
        let Ok(folder) = Folder::open_to_read(root, dir) else { return 0 };
        let before = std::mem::take(&mut self.unread);
        let mut removed = 0;
        for name in folder.names().unwrap_or_default().into_iter().filter(|name| is_a_callers(name)) {
            let Some(inode) = unread(&folder, &name) else { continue };
            if before.get(&name) == Some(&inode) {
                removed += usize::from(folder.remove(&name).is_ok());
            } else {
                self.unread.insert(name, inode);
            }
        }
        removed
    }
}

/// The pipe of this name, if it is one and nobody reads it.
fn unread(folder: &Folder, name: &OsStr) -> Option<Inode> {
    let look = folder.look(name).ok()??;
    let nobody = |error: io::Error| error.raw_os_error() == Some(nix::libc::ENXIO);
    (look.is_fifo() && folder.fifo(name, End::Write).is_err_and(nobody)).then_some(look.inode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::fifo;

    #[test]
    fn what_nobody_reads_for_a_minute_goes_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let marks = [1, 2, 3, 4].map(|n| name_of(&Uuid::from_u128(n)));
        let [dead, read, file, late] = &marks;
        for name in [dead, read, "reply-mine", "marie.in"] {
            fifo::make(&path(name), 0o600).unwrap();
        }
        std::fs::File::create(path(file)).unwrap();
        let _reader = std::fs::File::options().read(true).write(true).open(path(read)).unwrap();
        let mut leftovers = Leftovers::default();
        let now = Ticks::default();
        let mut look =
            |after: u64| leftovers.look(root.path(), root.path(), now.plus(Duration::from_secs(after)));
        assert_eq!(look(0), 0);
        fifo::make(&path(late), 0o600).unwrap();
        assert_eq!(look(59), 0, "the first look is not a minute ago");
        assert_eq!(look(60), 1);
        assert!(!path(dead).exists());
        for name in [read, file, late, "reply-mine", "marie.in"] {
            assert!(path(name).exists(), "{name}");
        }
        assert_eq!(look(120), 1, "the one that came between");
        assert!(!path(late).exists() && path(read).exists());
    }

    #[test]
    fn another_pipe_under_the_same_name_begins_anew() {
        let root = tempfile::tempdir().unwrap();
        let name = name_of(&Uuid::from_u128(1));
        let path = root.path().join(&name);
        fifo::make(&path, 0o600).unwrap();
        let mut leftovers = Leftovers::default();
        let now = Ticks::default();
        assert_eq!(leftovers.look(root.path(), root.path(), now), 0);
        // The old one stays until the new one is there, or they could have the same number.
        let old = root.path().join("old");
        #[expect(clippy::disallowed_methods, reason = "a test plays a caller")]
        std::fs::rename(&path, &old).unwrap();
        fifo::make(&path, 0o600).unwrap();
        assert_eq!(leftovers.look(root.path(), root.path(), now.plus(MINUTE)), 0);
        assert!(path.exists());
    }
}
