//! A log file that is opened again when it was rotated away, or when somebody asks for it; and that is put aside when it
//! has grown too large and nobody else did that.
//!
//! Invariants:
//! - before each line it looks whether its path still leads to its file, so that nothing is written into one that is gone;
//!   what cannot be opened is tried again once a second, on the boot clock;
//! - an error is never the writer's problem: the line is lost here (stderr has it), it is counted, and the file is tried
//!   again;
//! - a line is there whole or not at all: what a full disk cut short is taken back, and what a kill or a power cut left
//!   torn stands on a line of its own;
//! - it appends only, so a file that is truncated in place (`copytruncate`) goes on from its start;
//! - a line is never written twice and never torn between two files: what was written before the file was put aside is
//!   in `.1`, what comes after is in the new one;
//! - of several processes that write one file, only the one that has its flock puts it aside.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::OFlag;

use super::Rotation;
use crate::clock::{SharedClock, Ticks};
use crate::os::durable;
use crate::os::lock::Lock;

const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Readable by the operators' group.
const MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    clock: SharedClock,
    reopen: Arc<AtomicBool>,
    file: Option<File>,
    /// What the file holds, as far as we know.
    bytes: u64,
    /// When it could last not be opened.
    failed: Option<Ticks>,
    lost: Arc<AtomicU64>,
}

impl LogFile {
    pub(super) fn new(
        path: PathBuf,
        rotation: Rotation,
        clock: SharedClock,
        reopen: Arc<AtomicBool>,
        lost: Arc<AtomicU64>,
    ) -> Self {
        Self { path, rotation, clock, reopen, file: None, bytes: 0, failed: None, lost }
    }

    /// Opens the file at the path, and keeps the one it has where that fails.
    pub(super) fn open(&mut self) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
        }
        // Without O_NONBLOCK a named pipe in the file's place would stop us here.
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let mut file =
            File::options().append(true).create(true).mode(MODE).custom_flags(flags).open(&self.path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if is_torn(&self.path, meta.len()) {
            // The next line goes on without it otherwise, and both are spoilt.
            append(&mut file, b"\n");
        }
        self.bytes = meta.len();
        self.file = Some(file);
        Ok(())
    }

    fn look(&mut self) {
        let asked = self.reopen.swap(false, Ordering::AcqRel);
        let now = self.clock.ticks();
        let rests = self.failed.is_some_and(|failed| now.since(failed) < RETRY_EVERY);
        if asked || (!rests && !self.is_current()) {
            self.failed = self.open().is_err().then_some(now);
        }
        // One that was moved is written on until there is another; into one that was removed a line would be lost unseen.
        if self.failed.is_some() {
            self.file.take_if(|file| file.metadata().is_ok_and(|meta| meta.nlink() == 0));
        }
    }

    /// Puts a file aside that has become too large. On failure it goes on growing until the next so many bytes.
    fn rotate(&mut self) {
        let Some(most) = self.rotation.max_bytes.filter(|most| self.bytes > *most) else { return };
        self.bytes = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len());
        if self.bytes <= most {
            return;
        }
        self.bytes = 0;
        let locked = self.file.as_ref().and_then(|file| file.try_clone().ok()).map(Lock::try_exclusive_on);
        let Some(Ok(Some(lock))) = locked else { return };
        if self.is_current() && self.shift().is_ok() {
            self.open().ok();
        }
        drop(lock);
    }

    /// `.log` becomes `.log.1`, that one `.log.2`, and the last one goes.
    fn shift(&self) -> io::Result<()> {
        let numbered = |n: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        };
        if self.rotation.keep == 0 {
            return durable::remove_if_there(&self.path);
        }
        for n in (1..self.rotation.keep).rev() {
            match durable::replace(&numbered(n), &numbered(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        durable::replace(&self.path, &numbered(1))
    }

    fn is_current(&self) -> bool {
        let of = |found: fs::Metadata| (found.dev(), found.ino());
        let here = self.file.as_ref().and_then(|file| file.metadata().ok()).map(of);
        here.is_some() && here == fs::metadata(&self.path).ok().map(of)
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.look();
        self.rotate();
        // A full disk must not end the thread that writes.
        if self.file.as_mut().is_some_and(|file| append(file, line)) {
            self.bytes = self.bytes.saturating_add(line.len() as u64);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the file ends within a line.
fn is_torn(path: &Path, length: u64) -> bool {
    let last = |at| {
        let mut last = [0];
        File::open(path)?.read_exact_at(&mut last, at).map(|()| last)
    };
    length.checked_sub(1).and_then(|at| last(at).ok()).is_some_and(|last: [u8; 1]| last != *b"\n")
}

/// Whether the file took all of `line`; else it has none of it.
fn append(file: &mut File, line: &[u8]) -> bool {
    let mut written = 0;
    while written < line.len() {
        match file.write(&line[written..]) {
            Ok(n) if n > 0 => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    if written > 0 && written < line.len() {
        // Somebody may have truncated it meanwhile (`copytruncate`): only what we wrote goes.
        if let Ok(meta) = file.metadata() {
            file.set_len(meta.len().saturating_sub(written as u64)).ok();
        }
    }
    written == line.len()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests rotate files as logrotate does")]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    struct HandClock(Mutex<Duration>);

    impl crate::clock::Clock for HandClock {
        fn wall(&self) -> crate::clock::Timestamp {
            crate::clock::Timestamp::UNIX_EPOCH
        }

        fn ticks(&self) -> Ticks {
            Ticks(*self.0.lock().unwrap())
        }
    }

    struct World {
        dir: tempfile::TempDir,
        clock: Arc<HandClock>,
        reopen: Arc<AtomicBool>,
        log: LogFile,
    }

    impl World {
        fn new() -> Self {
            Self::rotating(Rotation::default())
        }

        fn rotating(rotation: Rotation) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let clock = Arc::new(HandClock::default());
            let reopen = Arc::new(AtomicBool::new(false));
            let path = dir.path().join("logs/marie.log");
            let shared: SharedClock = Arc::<HandClock>::clone(&clock);
            let log = LogFile::new(path, rotation, shared, Arc::clone(&reopen), Arc::default());
            Self { dir, clock, reopen, log }
        }

        fn say(&mut self, line: &str) {
            self.log.write_all(line.as_bytes()).unwrap();
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.dir.path().join("logs").join(name)).unwrap_or_default()
        }

        fn rotate(&self) {
            let logs = self.dir.path().join("logs");
            fs::rename(logs.join("marie.log"), logs.join("marie.log.1")).unwrap();
        }
    }

    #[test]
    fn a_file_that_was_moved_or_removed_gets_no_further_line() {
        let mut world = World::new();
        world.say("one\n");
        world.rotate();
        world.say("two\n");
        assert_eq!(
            (world.text("marie.log.1").as_str(), world.text("marie.log").as_str()),
            ("one\n", "two\n")
        );
        fs::remove_dir_all(world.dir.path().join("logs")).unwrap();
        world.say("three\n");
        assert_eq!(world.text("marie.log"), "three\n");
    }

    #[test]
    fn where_no_new_file_can_be_made_a_moved_one_is_written_on_and_a_removed_one_is_not() {
        let mut world = World::new();
        let logs = world.dir.path().join("logs");
        world.say("one\n");
        fs::rename(&logs, world.dir.path().join("aside")).unwrap();
        fs::write(&logs, "in the way").unwrap();
        world.say("two\n");
        assert_eq!(fs::read_to_string(world.dir.path().join("aside/marie.log")).unwrap(), "one\ntwo\n");
        fs::remove_dir_all(world.dir.path().join("aside")).unwrap();
        world.say("lost\n");
        assert_eq!(world.log.lost.load(Ordering::Relaxed), 1);
        fs::remove_file(&logs).unwrap();
        *world.clock.0.lock().unwrap() += RETRY_EVERY;
        world.say("three\n");
        assert_eq!(world.text("marie.log"), "three\n");
    }

    #[test]
    fn what_was_torn_off_spoils_no_other_line() {
        let mut world = World::new();
        world.say("one\n");
        File::options()
            .append(true)
            .open(world.dir.path().join("logs/marie.log"))
            .unwrap()
            .write_all(b"tw")
            .unwrap();
        world.reopen.store(true, Ordering::Release);
        world.say("three\n");
        world.reopen.store(true, Ordering::Release);
        world.say("four\n");
        assert_eq!(world.text("marie.log"), "one\ntw\nthree\nfour\n");
    }

    #[test]
    fn a_file_that_has_grown_is_put_aside_and_only_so_many_are_kept() {
        let mut world = World::rotating(Rotation { max_bytes: Some(20), keep: 2 });
        for n in 0..12 {
            world.say(&format!("line {n:04}\n"));
        }
        let texts = ["marie.log", "marie.log.1", "marie.log.2", "marie.log.3"].map(|name| world.text(name));
        assert_eq!(texts[0], "line 0009\nline 0010\nline 0011\n");
        assert_eq!(texts[1], "line 0006\nline 0007\nline 0008\n");
        assert_eq!(texts[2], "line 0003\nline 0004\nline 0005\n");
        assert_eq!(texts[3], "", "the oldest goes");
    }

    #[test]
    fn a_file_that_somebody_else_puts_aside_is_not_put_aside_by_us_too() {
        let mut world = World::rotating(Rotation { max_bytes: Some(10), keep: 2 });
        world.say("line one\n");
        let path = world.dir.path().join("logs/marie.log");
        let other = Lock::try_exclusive(&path).unwrap().unwrap();
        world.say("line two\n");
        world.say("line three\n");
        assert_eq!(world.text("marie.log.1"), "");
        drop(other);
        world.say("line four\n");
        assert_eq!(world.text("marie.log.1"), "line one\nline two\nline three\n");
        assert_eq!(world.text("marie.log"), "line four\n");
    }

    #[test]
    fn a_truncated_file_goes_on_from_its_start() {
        let mut world = World::new();
        world.say("one\n");
        File::create(world.dir.path().join("logs/marie.log")).unwrap();
        world.say("two\n");
        assert_eq!(world.text("marie.log"), "two\n");
    }

    #[test]
    fn what_cannot_be_opened_is_an_error_at_first_and_tried_again_later() {
        let mut world = World::new();
        let blocker = world.dir.path().join("logs");
        fs::write(&blocker, "in the way").unwrap();
        assert!(world.log.open().is_err());
        world.say("lost\n");
        assert_eq!(world.log.lost.load(Ordering::Relaxed), 1);
        fs::remove_file(&blocker).unwrap();
        *world.clock.0.lock().unwrap() += RETRY_EVERY;
        world.say("kept\n");
        assert_eq!(world.text("marie.log"), "kept\n");
    }

    #[test]
    fn a_pipe_in_its_place_is_refused_and_does_not_block() {
        let mut world = World::new();
        let logs = world.dir.path().join("logs");
        fs::create_dir(&logs).unwrap();
        nix::unistd::mkfifo(&logs.join("marie.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(world.log.open().is_err());
    }
}
