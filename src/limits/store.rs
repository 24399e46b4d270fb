//! The file of an account, `limits/<key>.json`: read by anybody, changed under the lock of its folder.
//!
//! Invariants:
//! - a reader sees the old file or the new one; whoever is killed in between leaves a hidden `.tmp`, which the next one
//!   removes;
//! - nobody waits for a holder of the lock that was stopped: after two seconds there is no lock, and no change;
//! - only a plain file of a sensible size is read, and no link is followed.
//!
//! It deliberately does not know what a change means.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::record::Record;
use crate::os::durable::{self, DIR_MODE, Durability, FILE_MODE};
use crate::os::lock::{self, Lock};

/// Many may wait for it, and where it cannot be had more is started than was agreed on; nobody waits for it on a loop.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest file that can be a record, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// The folder of all accounts.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// What a look at a file found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// There is none.
    Absent,
    /// It cannot be understood: torn, foreign, or of another version.
    Broken,
    /// It is a record.
    Record(Box<Record>),
}

impl Store {
    /// The accounts in `folder`, which may not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file of an account.
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.json"))
    }

    /// Reads the file of an account.
    pub fn read(&self, key: &str) -> io::Result<Found> {
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let file = match File::options().read(true).custom_flags(flags).open(self.path(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => return Ok(Found::Broken),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Ok(Found::Broken);
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        let record = Record::parse(&bytes).filter(|_| bytes.len() as u64 <= MAX_BYTES);
        Ok(record.map_or(Found::Broken, |record| Found::Record(Box::new(record))))
    }

    /// Replaces the file of an account; for the holder of the lock.
    pub fn write(&self, key: &str, record: &Record) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(record)?;
        bytes.push(b'\n');
        // After a power cut it is as good as absent, and learned anew with the next run.
        durable::write_atomic(&self.path(key), &bytes, Durability::None)
    }

    /// The lock under which files change; `None` where somebody was stopped while he held it. The folder is made.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        durable::make_dir(&self.folder, DIR_MODE)?;
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_DIRECTORY;
        let folder = File::options().read(true).custom_flags(flags).open(&self.folder)?;
        Ok(Lock::patiently_exclusive_on(folder, PATIENCE))
    }

    /// Removes what those left who were killed while they wrote; for the holder of the lock.
    pub fn tidy(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let name = PathBuf::from(entry.file_name());
            let is_hidden = name.to_str().is_some_and(|name| name.starts_with('.'));
            if is_hidden && name.extension().is_some_and(|kind| kind == "tmp") {
                durable::remove_if_there(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The keys of all accounts, in order.
    pub fn keys(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let name = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".json").filter(|key| !key.starts_with('.')).map(str::to_owned)
        };
        let mut keys: Vec<_> = entries.flatten().filter_map(name).collect();
        keys.sort();
        Ok(keys)
    }

    /// Asks for the right to be the one run that tries; `None` while another has it.
    pub fn try_probe(&self, key: &str) -> io::Result<Option<Lock>> {
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let mut options = File::options();
        options.read(true).custom_flags(flags);
        let path = self.probe(key);
        let file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                options.append(true).create(true).mode(FILE_MODE).open(&path)?
            }
            // Who may only read it, since another user made it, may lock it all the same.
            other => other?,
        };
        Lock::try_exclusive_on(file)
    }

    /// Whether some run tries right now.
    pub fn is_probed(&self, key: &str) -> bool {
        lock::is_held(&self.probe(key)).unwrap_or(false)
    }

    fn probe(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.probe"))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("limits"));
        (dir, store)
    }

    #[test]
    fn what_is_written_is_read_and_what_is_nothing_is_said_to_be() {
        let (_dir, store) = store();
        assert_eq!((store.read("a").unwrap(), store.keys().unwrap()), (Found::Absent, vec![]));
        let _lock = store.lock().unwrap().unwrap();
        let record = Record::fresh("e", "b");
        store.write("a", &record).unwrap();
        assert_eq!(store.read("a").unwrap(), Found::Record(Box::new(record)));
        durable::write_new(&store.path("torn"), b"{\"version\":1", None).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", store.path("link")).unwrap();
        fs::create_dir(store.path("folder")).unwrap();
        durable::write_new(&store.path("huge"), &vec![b' '; 70_000], None).unwrap();
        for broken in ["torn", "link", "folder", "huge"] {
            assert_eq!(store.read(broken).unwrap(), Found::Broken, "{broken}");
        }
        assert_eq!(store.keys().unwrap(), ["a", "folder", "huge", "link", "torn"]);
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let (_dir, store) = store();
        let _lock = store.lock().unwrap().unwrap();
        store.write("a", &Record::fresh("e", "b")).unwrap();
        let left = store.folder().join(".a.json.77.0.tmp");
        durable::write_new(&left, b"{", None).unwrap();
        drop(store.try_probe("a").unwrap());
        store.tidy().unwrap();
        assert_eq!(fs::read_dir(store.folder()).unwrap().count(), 2);
        assert!(!left.exists());
    }

    #[test]
    fn a_holder_that_was_stopped_stops_nobody() {
        let (_dir, store) = store();
        let _lock = store.lock().unwrap().unwrap();
        assert!(store.lock().unwrap().is_none());
    }

    #[test]
    fn one_tries_at_a_time() {
        let (_dir, store) = store();
        drop(store.lock().unwrap());
        assert!(!store.is_probed("a"));
        let probe = store.try_probe("a").unwrap().unwrap();
        assert!(store.is_probed("a") && store.try_probe("a").unwrap().is_none());
        drop(probe);
        assert!(!store.is_probed("a") && store.try_probe("a").unwrap().is_some());
    }
}
