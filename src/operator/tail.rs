//! The end of a growing file, read bit by bit.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::OperatorError;

/// The bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// A file that grows, and how much of it was read. It may not exist yet; one that was replaced or cut short is
/// read from its new beginning.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    read: u64,
}

impl Tail {
    /// From the beginning of `path`.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, read: 0 }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Skips all but the last `lines` lines, as far as a few megabytes reach.
    pub(super) fn skip_to_last(&mut self, lines: usize) -> Result<(), OperatorError> {
        const REACH: u64 = 4 << 20;
        let failed = |error| OperatorError::io("read", &self.path)(error);
        let mut file = File::open(&self.path).map_err(failed)?;
        let start = file.metadata().map_err(failed)?.len().saturating_sub(REACH);
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut end)).map_err(failed)?;
        self.read = start + u64::try_from(last_lines(&end, lines)).unwrap_or(0);
        file.seek(SeekFrom::Start(self.read)).map_err(failed)?;
        self.file = Some(file);
        Ok(())
    }

    /// Hands what is new to `each`, until it answers `false`; the answer is the last one.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8]) -> bool) -> Result<bool, OperatorError> {
        let goes_on = self.drain_open(&mut each)?;
        if !goes_on || !self.was_replaced() {
            return Ok(goes_on);
        }
        (self.file, self.read) = (None, 0);
        self.drain_open(&mut each)
    }

    fn drain_open(&mut self, each: &mut impl FnMut(&[u8]) -> bool) -> Result<bool, OperatorError> {
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
                opened => Some(opened.map_err(OperatorError::io("open", &self.path))?),
            };
        }
        let Some(file) = &mut self.file else { return Ok(true) };
        let mut chunk = vec![0; CHUNK];
        loop {
            let n = file.read(&mut chunk).map_err(OperatorError::io("read", &self.path))?;
            if n == 0 {
                return Ok(true);
            }
            self.read += u64::try_from(n).unwrap_or(0);
            if !each(&chunk[..n]) {
                return Ok(false);
            }
        }
    }

    /// Whether the name stands for another file by now, or for a shorter one.
    fn was_replaced(&self) -> bool {
        let (Some(file), Ok(now)) = (&self.file, self.path.metadata()) else { return false };
        file.metadata()
            .is_ok_and(|then| (then.dev(), then.ino()) != (now.dev(), now.ino()) || now.len() < self.read)
    }
}

/// Where the last `lines` lines of `text` begin.
fn last_lines(text: &[u8], lines: usize) -> usize {
    let whole = text.strip_suffix(b"\n").unwrap_or(text);
    let mut breaks = whole.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match lines {
        0 => text.len(),
        n => breaks.nth(n - 1).map_or(0, |(at, _)| at + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_lines_are_found_with_and_without_a_final_break() {
        for (text, lines, rest) in
            [("a\nb\nc\n", 2, "b\nc\n"), ("a\nb\nc", 1, "c"), ("a\n", 5, "a\n"), ("a\n", 0, ""), ("", 3, "")]
        {
            assert_eq!(&text[last_lines(text.as_bytes(), lines)..], rest, "{text:?} {lines}");
        }
    }

    #[test]
    fn a_rotated_file_is_read_on_from_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marie.log");
        let append = |text: &str| {
            let mut file = File::options().append(true).create(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let mut seen = Vec::new();
        let mut tail = Tail::new(&path);
        let look = |tail: &mut Tail, seen: &mut Vec<u8>| {
            tail.drain(|bytes| {
                seen.extend_from_slice(bytes);
                true
            })
            .unwrap()
        };
        assert!(look(&mut tail, &mut seen), "a file that is not there yet is waited for");
        append("one\n");
        look(&mut tail, &mut seen);
        append("two\n");
        std::fs::remove_file(&path).unwrap();
        append("three\n");
        look(&mut tail, &mut seen);
        File::create(&path).unwrap();
        append("4\n");
        look(&mut tail, &mut seen);
        assert_eq!(String::from_utf8(seen).unwrap(), "one\ntwo\nthree\n4\n");
    }
}
