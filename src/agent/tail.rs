//! Reading an agent's output while it is written.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::evidence::Evidence;
use super::lines::LineSplitter;
use super::stream::StreamEvent;

/// The most that is read before others get their turn.
const FAIR: usize = 4 << 20;

/// The reading end of a stream file.
#[derive(Debug)]
pub struct Tail {
    file: File,
    lines: LineSplitter,
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
}

impl Tail {
    /// Reads `path` from its start.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::of(File::open(path)?))
    }

    /// Reads an open file from where it stands.
    pub fn of(file: File) -> Self {
        Self {
            file,
            lines: LineSplitter::default(),
            chunk: vec![0; 64 * 1024],
            evidence: Evidence::default(),
        }
    }

    /// Reads what is new, and hands every event on.
    pub fn look(&mut self, mut each: impl FnMut(&StreamEvent)) -> io::Result<Looked> {
        let mut total = 0;
        while total < FAIR {
            let n = match self.file.read(&mut self.chunk) {
                Ok(0) => return Ok(Looked { bytes: total as u64, more: false }),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            total += n;
            let evidence = &mut self.evidence;
            self.lines.push(&self.chunk[..n], |line| each(&evidence.read(line)));
        }
        Ok(Looked { bytes: total as u64, more: true })
    }

    /// Everything has been written: what is left of a line is torn.
    pub fn finish(&mut self) {
        self.evidence.is_torn = self.lines.torn_bytes() > 0;
    }
}
