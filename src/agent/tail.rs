//! Reading an agent's output while it is written, and afterwards.
//!
//! Invariants:
//! - nothing of a line is kept between two looks: a line that is not whole yet stays in the file and is read from there
//!   once it is, so that memory does not grow with the number of agents;
//! - the agent owns the file's other end: one that was cut short is read from its new start, a hole costs no time that
//!   was not asked for, and nothing that it does to the file is an error of ours.

use std::fs::File;
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::evidence::Evidence;
use super::lines::{LINE_MAX, Line};
use super::stream::StreamEvent;

/// The most that is read before others get their turn.
const FAIR: u64 = 4 << 20;

/// Of what was not read by the end, this much is, from the file's end: far more than a last turn, far less than a disk.
const CATCH_UP: u64 = 64 << 20;

/// The reading end of a stream file.
#[derive(Debug)]
pub struct Tail {
    file: File,
    /// Where the line begins that is being read.
    line: u64,
    /// Up to where it was searched for its end.
    at: u64,
    /// Whether what is left of this line belongs to one whose beginning was passed over.
    is_headless: bool,
    chunk: Vec<u8>,
    /// What it has said so far.
    pub evidence: Evidence,
}

/// How far a look came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Bytes that were new.
    pub bytes: u64,
    /// Whether there may be more right now.
    pub more: bool,
    /// Whether the file had been cut short, so that it is read from its start again.
    pub cut: bool,
}

impl Tail {
    /// Reads `path` from its start.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::of(File::open(path)?))
    }

    /// Reads an open file from its start.
    pub fn of(file: File) -> Self {
        Self {
            file,
            line: 0,
            at: 0,
            is_headless: false,
            chunk: vec![0; 64 * 1024],
            evidence: Evidence::default(),
        }
    }

    /// Reads what is new, and hands every event on.
    pub fn look(&mut self, mut each: impl FnMut(&StreamEvent)) -> io::Result<Looked> {
        // Where its length is not told, what there is of it may still be read.
        let cut = self.size().is_ok_and(|size| size < self.at);
        if cut {
            (self.line, self.at, self.is_headless) = (0, 0, false);
        }
        let began = self.at;
        while self.at - began < FAIR {
            let n = match self.file.read_at(&mut self.chunk, self.at) {
                Ok(0) => return Ok(Looked { bytes: self.at - began, more: false, cut }),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let chunk = std::mem::take(&mut self.chunk);
            let cut = self.cut_into_lines(&chunk[..n], &mut each);
            self.chunk = chunk;
            cut?;
        }
        Ok(Looked { bytes: self.at - began, more: true, cut })
    }

    /// How long the file is now, in bytes.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Passes over what could not be read in time up to `end`: all but the last of it.
    pub fn catch_up(&mut self, end: u64) {
        self.pass_over(end, CATCH_UP);
    }

    /// Passes over all but the last `most` bytes up to `end`; whether that left anything out.
    pub fn pass_over(&mut self, end: u64, most: u64) -> bool {
        let from = end.saturating_sub(most);
        if from > self.at {
            (self.line, self.at, self.is_headless) = (from, from, true);
        }
        from > 0
    }

    /// Whether it has read as far as `end`.
    pub const fn has_reached(&self, end: u64) -> bool {
        self.at >= end
    }

    /// Everything has been written: what is left of a line is torn.
    pub const fn finish(&mut self) {
        self.evidence.is_torn = self.at > self.line;
    }

    fn cut_into_lines(&mut self, chunk: &[u8], each: &mut impl FnMut(&StreamEvent)) -> io::Result<()> {
        let base = self.at;
        let mut from = 0;
        while let Some(length) = line_length(&chunk[from..]) {
            let end = from + length;
            if self.line < base || self.is_headless {
                // Where the disk does not answer, this line is looked for again.
                self.read_back(base + end as u64, each).inspect_err(|_| self.at = base + from as u64)?;
            } else {
                each(&self.evidence.read(Line::Whole(&chunk[from..end])));
            }
            from = end + 1;
            (self.line, self.is_headless) = (base + from as u64, false);
        }
        self.at = base + chunk.len() as u64;
        Ok(())
    }

    /// A line that began before this chunk, from the file.
    fn read_back(&mut self, end: u64, each: &mut impl FnMut(&StreamEvent)) -> io::Result<()> {
        let bytes = end - self.line;
        let mut line = Vec::new();
        let fits = !self.is_headless && bytes <= LINE_MAX as u64;
        if fits {
            line.resize(usize::try_from(bytes).unwrap_or(0), 0);
        }
        // A file that was cut between the two readings has no such line any more.
        let is_there = fits
            && match self.file.read_exact_at(&mut line, self.line) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
                Err(error) => return Err(error),
            };
        let read = if is_there { Line::Whole(&line) } else { Line::Oversized { bytes } };
        each(&self.evidence.read(read));
        Ok(())
    }
}

/// How long the first line is, if its end is there. The library's own search takes many bytes at a time.
fn line_length(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let length = rest.skip_until(b'\n').ok()?.checked_sub(1)?;
    (bytes.get(length) == Some(&b'\n')).then_some(length)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const INIT: &str = r#"{"type":"system","subtype":"init","session_id":"s"}"#;

    struct World {
        _dir: tempfile::TempDir,
        writer: File,
        tail: Tail,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream.ndjson");
        let writer = File::options().append(true).create(true).open(&path).unwrap();
        World { tail: Tail::open(&path).unwrap(), writer, _dir: dir }
    }

    impl World {
        fn say(&mut self, text: &str) {
            self.writer.write_all(text.as_bytes()).unwrap();
        }

        fn look(&mut self) -> Looked {
            self.tail.look(|_| ()).unwrap()
        }

        fn seen(&self) -> (u64, u64, u64) {
            let evidence = &self.tail.evidence;
            (evidence.messages, evidence.garbage, evidence.oversized)
        }
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_arrive() {
        for step in [1, 2, 7, 50, 1000] {
            let mut world = world();
            let text = format!("{INIT}\nnonsense\n{INIT}\n{INIT}");
            for part in text.as_bytes().chunks(step) {
                world.writer.write_all(part).unwrap();
                world.look();
            }
            world.tail.finish();
            assert_eq!((world.seen(), world.tail.evidence.is_torn), ((2, 1, 0), true), "in steps of {step}");
        }
    }

    #[test]
    fn a_long_line_is_read_once_it_is_whole_and_one_that_is_too_long_is_passed_over() {
        let mut world = world();
        let long = "x".repeat(3 << 20);
        world.say(&format!(r#"{{"type":"assistant","message":{{"content":[{{"type":"text","text":"{long}"#));
        while world.look().more {}
        assert_eq!(world.seen(), (0, 0, 0));
        world.say("\"}]}}\n");
        world.look();
        assert_eq!(world.seen(), (1, 0, 0));
        for _ in 0..6 {
            world.say(&long);
        }
        world.say(&format!("\n{INIT}\n"));
        while world.look().more {}
        assert_eq!(world.seen(), (2, 0, 1));
    }

    #[test]
    fn a_file_that_was_cut_is_read_from_its_start() {
        let mut world = world();
        world.say(&format!("{INIT}\n{INIT}\nhalf a li"));
        assert!(!world.look().cut);
        world.writer.set_len(0).unwrap();
        world.say(&format!("{INIT}\n"));
        assert!(world.look().cut);
        assert_eq!(world.seen(), (3, 0, 0));
        assert_eq!(world.look(), Looked { bytes: 0, more: false, cut: false });
    }

    #[test]
    fn a_hole_is_not_read_through_to_find_the_last_line() {
        let mut world = world();
        world.say(&format!("{INIT}\n"));
        world.look();
        world.writer.set_len(1 << 40).unwrap();
        world.say(&format!("\n{INIT}\n"));
        let end = world.tail.size().unwrap();
        world.tail.catch_up(end);
        while !world.tail.has_reached(end) {
            world.look();
        }
        assert_eq!(world.seen(), (2, 0, 1));
    }
}
