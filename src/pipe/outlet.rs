//! The end on which we speak, to whoever listens.
//!
//! It is opened for writing alone, and only when somebody reads: so nothing lies in the pipe for a reader who comes
//! later, and who left is noticed.
//!
//! Invariants:
//! - nothing waits for a reader, and nothing is kept for one: a line goes at once, whole, by one `write(2)`, or never;
//! - what went lost is counted, and told before the next line;
//! - without a reader an event costs a number.
//!
//! It deliberately does not know what is told.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use serde_json::json;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use super::event::{Event, Kind, Teller};
use super::place::{Notice, Place, PlaceError};
use crate::clock::Timestamp;
use crate::os::folder::{End, Inode};
use crate::os::opened::Opened;

/// How much a pipe holds for a reader that waits for its turn on the processor: some hundred events, where the usual
/// 64 KiB are gone within two milliseconds. Not the most that is allowed: all pipes of one user share 64 MiB (`pipe(7)`).
const ROOM: i32 = 256 * 1024;

/// What a look at the outlet found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Nobody reads.
    Nobody,
    /// The same as before.
    Same,
    /// Somebody new.
    New,
}

/// A pipe into which events are written.
#[derive(Debug)]
pub struct Outlet {
    place: Place,
    teller: Teller,
    open: Option<(Arc<Sender>, Inode)>,
    opened: Option<Opened>,
    /// How many went lost since the last one that was read.
    unannounced: u64,
    /// How many went lost since the start.
    lost: u64,
}

impl Outlet {
    /// At a place; nothing is opened before the first [`Self::look`].
    pub const fn new(place: Place, teller: Teller) -> Self {
        Self { place, teller, open: None, opened: None, unannounced: 0, lost: 0 }
    }

    /// Sees that the pipe stands there, and whether somebody reads; to be asked every second.
    pub fn look(&mut self, notices: &mut Vec<Notice>) -> Result<Listener, PlaceError> {
        let there = self.place.put_right(notices)?;
        if self.open.as_ref().is_some_and(|(_, inode)| *inode == there) {
            // Readers may have taken turns so fast that nobody saw one leave.
            let is_another = self.opened.as_ref().is_some_and(Opened::since_last);
            return Ok(if is_another { Listener::New } else { Listener::Same });
        }
        self.open = None;
        let (file, inode) = match self.place.open(End::Write) {
            Ok(opened) => opened,
            Err(error) if error.is_nobody() => return Ok(Listener::Nobody),
            Err(error) => return Err(error),
        };
        give_room(&file);
        self.opened = self.place.watch();
        match Sender::from_file(file) {
            Ok(pipe) => self.open = Some((Arc::new(pipe), inode)),
            Err(source) => return Err(self.place.failed("could not wait for the pipe", source)),
        }
        Ok(Listener::New)
    }

    /// What is open, for [`left`].
    pub fn pipe(&self) -> Option<Arc<Sender>> {
        self.open.as_ref().map(|(pipe, _)| Arc::clone(pipe))
    }

    /// Its reader has left.
    pub fn close(&mut self, pipe: Option<&Arc<Sender>>) {
        self.open.take_if(|(open, _)| pipe.is_some_and(|it| Arc::ptr_eq(open, it)));
    }

    /// Whether somebody listens, as far as is known.
    pub const fn is_heard(&self) -> bool {
        self.open.is_some()
    }

    /// How many events nobody read, since the start.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Tells; `event` is made only if somebody listens. The line, if it was made.
    pub fn tell(&mut self, event: impl FnOnce() -> Event) -> Option<String> {
        if self.open.is_none() {
            self.teller.pass_over();
            self.lose();
            return None;
        }
        let event = event();
        self.announce(event.time);
        let line = self.teller.line(event);
        self.put(&line);
        Some(line)
    }

    /// Tells what is also needed elsewhere: the line.
    pub fn tell_all(&mut self, event: Event) -> String {
        if self.open.is_some() {
            self.announce(event.time);
        }
        let line = self.teller.line(event);
        self.put(&line);
        line
    }

    /// Takes the pipe away.
    pub fn remove(mut self) {
        self.place.remove();
    }

    /// Says how many went lost before this one. If it cannot be said, the next one is lost too, and it is said later.
    fn announce(&mut self, time: Timestamp) {
        if self.unannounced == 0 {
            return;
        }
        let line =
            self.teller.line(Event::new(Kind::Dropped, None, time, json!({ "count": self.unannounced })));
        if self.write(&line) {
            self.unannounced = 0;
        }
    }

    fn put(&mut self, line: &str) {
        // One that comes through where its announcement did not would hide what went lost before it.
        if self.unannounced > 0 || !self.write(line) {
            self.lose();
        }
    }

    const fn lose(&mut self) {
        self.unannounced += 1;
        self.lost += 1;
    }

    fn write(&mut self, line: &str) -> bool {
        let Some((pipe, _)) = &self.open else { return false };
        match write_once(pipe.as_ref(), line.as_bytes()) {
            Ok(whole) => whole,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.open = None;
                false
            }
        }
    }
}

/// Waits until the reader has left; for ever, if there is none. That it can be written again is never waited for.
pub async fn left(pipe: Option<&Sender>) {
    match pipe {
        Some(pipe) if pipe.ready(Interest::ERROR).await.is_ok() => {}
        Some(_) | None => std::future::pending().await,
    }
}

/// Where the kernel refuses, the pipe stays as it is: all that differs is when events begin to be dropped.
fn give_room(pipe: &File) {
    nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(ROOM)).ok();
}

/// Whether all of it was taken: up to `PIPE_BUF` bytes a pipe takes all or nothing (`pipe(7)`).
pub(super) fn write_once(pipe: impl AsFd, bytes: &[u8]) -> io::Result<bool> {
    loop {
        match rustix::io::write(&pipe, bytes) {
            Ok(n) => return Ok(n == bytes.len()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::super::place::Access;
    use super::*;
    use crate::text::redact::Redactor;

    struct Rig {
        dir: tempfile::TempDir,
        path: PathBuf,
        outlet: Outlet,
    }

    impl Rig {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("marie.out");
            let place = Place::new(dir.path(), &path, Access { mode: 0o640, group: None });
            let teller = Teller::new(&"marie".parse().unwrap(), uuid::Uuid::nil(), Redactor::default());
            Self { dir, path, outlet: Outlet::new(place, teller) }
        }

        fn look(&mut self) -> Listener {
            self.outlet.look(&mut Vec::new()).unwrap()
        }

        fn reader(&self) -> File {
            OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&self.path).unwrap()
        }

        fn tell(&mut self) {
            self.outlet.tell(|| Event::new(Kind::Turn, None, Timestamp::UNIX_EPOCH, json!({"text": "x"})));
        }
    }

    /// The kinds of the events that were read, with the number that they have.
    fn heard(reader: &mut impl Read) -> Vec<(String, u64)> {
        let mut bytes = Vec::new();
        // It ends with what is there now.
        reader.read_to_end(&mut bytes).ok();
        BufReader::new(bytes.as_slice())
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap())
            .map(|event| {
                let kind = event["type"].as_str().unwrap().trim_start_matches("agent-worker.").to_owned();
                (kind, event["data"]["count"].as_u64().unwrap_or_default())
            })
            .collect()
    }

    #[tokio::test]
    async fn who_comes_is_told_how_much_was_missed() {
        let mut rig = Rig::new();
        assert_eq!(rig.look(), Listener::Nobody);
        rig.tell();
        rig.tell();
        assert_eq!(rig.look(), Listener::Nobody);
        let mut reader = rig.reader();
        assert_eq!((rig.look(), rig.look()), (Listener::New, Listener::Same));
        rig.tell();
        rig.tell();
        let expected = [("worker.dropped", 2), ("task.turn", 0), ("task.turn", 0)];
        assert_eq!(heard(&mut reader), expected.map(|(kind, count)| (kind.to_owned(), count)));
        assert_eq!(rig.outlet.lost(), 2);
    }

    #[tokio::test]
    async fn a_reader_that_is_late_finds_some_hundred_events() {
        let mut rig = Rig::new();
        rig.look();
        let mut reader = rig.reader();
        rig.look();
        for _ in 0..500 {
            rig.tell();
        }
        assert_eq!((heard(&mut reader).len(), rig.outlet.lost()), (500, 0));
    }

    #[tokio::test]
    async fn a_reader_that_stopped_costs_its_lines_and_is_told_so() {
        let mut rig = Rig::new();
        rig.look();
        let mut reader = rig.reader();
        rig.look();
        for _ in 0..2000 {
            rig.tell();
        }
        let lost = rig.outlet.lost();
        let read = heard(&mut reader).len();
        assert!(lost > 0 && read > 100, "{lost} {read}");
        rig.tell();
        let after = heard(&mut reader);
        assert_eq!(after[0], ("worker.dropped".to_owned(), lost), "{after:?}");
        assert_eq!(read + usize::try_from(lost).unwrap(), 2000);
    }

    #[tokio::test]
    async fn a_reader_that_leaves_is_noticed_and_the_next_one_is_new() {
        let mut rig = Rig::new();
        rig.look();
        let reader = rig.reader();
        rig.look();
        drop(reader);
        let pipe = rig.outlet.pipe();
        tokio::time::timeout(Duration::from_mins(1), left(pipe.as_deref())).await.unwrap();
        rig.outlet.close(pipe.as_ref());
        assert!(!rig.outlet.is_heard());
        let reader = rig.reader();
        assert_eq!(rig.look(), Listener::New);
        drop(reader);
        rig.tell();
        assert!(!rig.outlet.is_heard() && rig.outlet.lost() == 1, "also by a line that nobody took");
    }

    #[tokio::test]
    async fn a_reader_that_took_another_s_place_is_new_however_fast() {
        let mut rig = Rig::new();
        rig.look();
        let first = rig.reader();
        assert_eq!((rig.look(), rig.look()), (Listener::New, Listener::Same));
        let second = rig.reader();
        drop(first);
        assert_eq!((rig.look(), rig.look()), (Listener::New, Listener::Same));
        drop(second);
    }

    #[tokio::test]
    async fn no_reader_and_a_folder_that_is_gone_are_two_things() {
        let mut rig = Rig::new();
        rig.look();
        std::fs::remove_dir_all(rig.dir.path()).unwrap();
        assert!(rig.outlet.look(&mut Vec::new()).is_err());
        rig.tell();
    }
}
