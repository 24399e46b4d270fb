//! The end on which we listen.
//!
//! It is opened for reading and writing: so no writer finds it without a reader, and it never ends when a writer leaves,
//! which would wake its reader for ever (`fifo(7)`, `pipe(7)`).
//!
//! Invariants:
//! - a turn reads at most [`TURN_BYTES`], and not much more than [`TURN_LINES`] lines, so that whoever floods it costs
//!   the loop a moment and no more;
//! - what was written into a pipe that was replaced is still read.
//!
//! It deliberately does not know what a line means.

use std::io;

use tokio::net::unix::pipe::Receiver;

use super::framing::{Framed, Framer};
use super::place::{Notice, Place, PlaceError};
use crate::clock::Ticks;
use crate::os::folder::{End, Inode};

/// How much is read in one turn.
pub const TURN_BYTES: usize = 64 * 1024;
/// After how many lines a turn ends.
pub const TURN_LINES: usize = 64;
/// How much is read at once.
const PIECE: usize = 4096;

/// A pipe from which lines are read.
#[derive(Debug)]
pub struct Inlet {
    place: Place,
    open: Option<(Receiver, Inode)>,
    framer: Framer,
}

impl Inlet {
    /// At a place; nothing is opened before the first [`Self::look`].
    pub fn new(place: Place) -> Self {
        Self { place, open: None, framer: Framer::default() }
    }

    /// Sees that what stands there is what is open; to be asked every second. What came into one that was replaced
    /// goes to `lines`.
    pub fn look(
        &mut self,
        now: Ticks,
        notices: &mut Vec<Notice>,
        lines: &mut Vec<Framed>,
    ) -> Result<(), PlaceError> {
        let there = self.place.put_right(notices)?;
        if self.open.as_ref().is_some_and(|(_, inode)| *inode == there) {
            return Ok(());
        }
        // Asked of the kernel: the runtime may not know yet that something came.
        self.take(now, lines, |pipe, piece| Ok(rustix::io::read(pipe, piece)?));
        self.open = None;
        let (file, inode) = self.place.open(End::Both)?;
        match Receiver::from_file(file) {
            Ok(pipe) => self.open = Some((pipe, inode)),
            Err(source) => return Err(self.place.failed("could not wait for the pipe", source)),
        }
        Ok(())
    }

    /// Waits until something is there to be read, or a line is to be given up; for ever, if nothing is open.
    pub async fn readable(&self) {
        match &self.open {
            // What cannot be waited for is looked at each second.
            Some((pipe, _)) if pipe.readable().await.is_ok() => {}
            // What cannot be waited for is looked at each second.
            Some(_) | None => std::future::pending().await,
        }
    }

    /// Reads what is there, as far as one turn goes; whether there may be more.
    pub fn read(&mut self, now: Ticks, lines: &mut Vec<Framed>) -> bool {
        let mut is_short = false;
        // The answer comes before the question whether the pipe is empty now: the next turn asks it, and only then waits.
        let may_be_more = self.take(now, lines, |pipe, piece| {
            if is_short {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = pipe.try_read(piece)?;
            is_short = n < piece.len();
            Ok(n)
        });
        lines.extend(self.framer.tick(now).map(Err));
        may_be_more
    }

    fn take(
        &mut self,
        now: Ticks,
        lines: &mut Vec<Framed>,
        mut read: impl FnMut(&Receiver, &mut [u8]) -> io::Result<usize>,
    ) -> bool {
        let Some((pipe, _)) = &self.open else { return false };
        let mut piece = [0; PIECE];
        let (mut bytes, before) = (0, lines.len());
        while bytes < TURN_BYTES && lines.len() - before < TURN_LINES {
            match read(pipe, &mut piece) {
                Ok(0) | Err(_) => return false,
                Ok(n) => {
                    bytes += n;
                    self.framer.feed(&piece[..n], now, lines);
                }
            }
        }
        true
    }

    /// When half a line is to be given up.
    pub fn due(&self) -> Option<Ticks> {
        self.framer.due()
    }

    /// Takes the pipe away.
    pub fn remove(mut self) {
        self.place.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::super::place::Access;
    use super::*;

    struct Rig {
        _dir: tempfile::TempDir,
        path: PathBuf,
        inlet: Inlet,
        lines: Vec<Framed>,
    }

    impl Rig {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("marie.in");
            let place = Place::new(dir.path(), &path, Access { mode: 0o620, group: None });
            Self { _dir: dir, path, inlet: Inlet::new(place), lines: Vec::new() }
        }

        fn look(&mut self) {
            self.inlet.look(Ticks::default(), &mut Vec::new(), &mut self.lines).unwrap();
        }

        fn writer(&self) -> File {
            OpenOptions::new().write(true).open(&self.path).unwrap()
        }

        async fn turn(&mut self) -> bool {
            tokio::time::timeout(Duration::from_mins(1), self.inlet.readable()).await.unwrap();
            self.inlet.read(Ticks::default(), &mut self.lines)
        }

        fn heard(&mut self) -> Vec<String> {
            self.lines.drain(..).map(Result::unwrap).collect()
        }
    }

    #[tokio::test]
    async fn lines_of_writers_that_come_and_go_are_heard() {
        let mut rig = Rig::new();
        rig.look();
        for line in ["ping", "status"] {
            rig.writer().write_all(format!("{line}\n").as_bytes()).unwrap();
            assert!(!rig.turn().await, "that was all");
            assert_eq!(rig.heard(), [line]);
        }
        let quiet = tokio::time::timeout(Duration::from_millis(20), async {
            loop {
                rig.turn().await;
            }
        });
        assert!(quiet.await.is_err(), "nothing wakes it when nobody writes");
    }

    #[tokio::test]
    async fn a_flood_is_read_in_turns() {
        let mut rig = Rig::new();
        rig.look();
        // As much as a pipe takes at once.
        rig.writer().write_all(&b"x\n".repeat(TURN_BYTES / 2)).unwrap();
        assert!(rig.turn().await, "there is more");
        let first = rig.heard().len();
        assert!((TURN_LINES..=TURN_LINES + PIECE).contains(&first), "{first}");
        let mut all = first;
        while all < TURN_BYTES / 2 {
            rig.turn().await;
            all += rig.heard().len();
        }
    }

    #[tokio::test]
    async fn what_was_written_into_a_pipe_that_was_replaced_is_read() {
        let mut rig = Rig::new();
        rig.look();
        let mut old = rig.writer();
        std::fs::remove_file(&rig.path).unwrap();
        old.write_all(b"pause\n").unwrap();
        rig.look();
        assert_eq!(rig.heard(), ["pause"]);
        rig.writer().write_all(b"resume\n").unwrap();
        rig.turn().await;
        assert_eq!(rig.heard(), ["resume"]);
    }
}
