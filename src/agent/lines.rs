//! Bytes as they arrive, cut into lines.
//!
//! Invariants:
//! - at most [`LINE_MAX`] bytes (or the cap that was given) are kept, and after a long line the memory is let go;
//! - a line above the cap is dropped whole and reported with its length, never cut and taken for another;
//! - what follows the last newline is no line: it is a torn one, or one that is still being written.
//!
//! It deliberately does not know what stands in a line.

/// The longest line that is read, in bytes. Lines of 5 MB have been seen.
pub const LINE_MAX: usize = 16 << 20;

/// What the buffer keeps between lines, in bytes.
const KEPT: usize = 64 << 10;

/// One line, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It was longer than the cap and is gone.
    Oversized {
        /// How long it was, in bytes.
        bytes: u64,
    },
}

/// Cuts a stream of bytes into lines, however the bytes arrive.
#[derive(Debug)]
pub struct LineSplitter {
    partial: Vec<u8>,
    cap: usize,
    /// The bytes of a line above the cap that were let go so far.
    skipped: Option<u64>,
}

impl Default for LineSplitter {
    fn default() -> Self {
        Self::with_cap(LINE_MAX)
    }
}

impl LineSplitter {
    /// A splitter that drops lines of more than `cap` bytes.
    pub const fn with_cap(cap: usize) -> Self {
        Self { partial: Vec::new(), cap, skipped: None }
    }

    /// Takes the next bytes and hands every line that they complete to `each`.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.complete(&bytes[..end], &mut each);
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// How many bytes stand after the last newline. At the end of the stream they are a torn line.
    pub fn torn_bytes(&self) -> u64 {
        self.skipped.unwrap_or(self.partial.len() as u64)
    }

    fn complete(&mut self, tail: &[u8], each: &mut impl FnMut(Line<'_>)) {
        let length = self.torn_bytes() + tail.len() as u64;
        if length > self.cap as u64 {
            each(Line::Oversized { bytes: length });
        } else if self.partial.is_empty() {
            each(Line::Whole(tail));
        } else {
            self.partial.extend_from_slice(tail);
            each(Line::Whole(&self.partial));
        }
        self.partial.clear();
        self.partial.shrink_to(KEPT);
        self.skipped = None;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let length = self.torn_bytes() + bytes.len() as u64;
        if length > self.cap as u64 {
            self.partial = Vec::new();
            self.skipped = Some(length);
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(splitter: &mut LineSplitter, bytes: &[u8]) -> Vec<String> {
        let mut seen = Vec::new();
        splitter.push(bytes, |line| {
            seen.push(match line {
                Line::Whole(text) => String::from_utf8_lossy(text).into_owned(),
                Line::Oversized { bytes } => format!("<{bytes} bytes>"),
            });
        });
        seen
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_arrive() {
        let text = b"one\n\ntwo three\nfour\nfi";
        for step in 1..=text.len() {
            let mut splitter = LineSplitter::default();
            let seen: Vec<_> = text.chunks(step).flat_map(|chunk| lines(&mut splitter, chunk)).collect();
            assert_eq!(seen, ["one", "", "two three", "four"], "in steps of {step}");
            assert_eq!(splitter.torn_bytes(), 2);
        }
    }

    #[test]
    fn a_line_above_the_cap_is_reported_and_the_next_one_is_whole() {
        for step in 1..=20 {
            let mut splitter = LineSplitter::with_cap(4);
            let seen: Vec<_> = b"1234\n12345\n1234567890\nok\n"
                .chunks(step)
                .flat_map(|chunk| lines(&mut splitter, chunk))
                .collect();
            assert_eq!(seen, ["1234", "<5 bytes>", "<10 bytes>", "ok"], "in steps of {step}");
        }
    }

    #[test]
    fn memory_stays_flat() {
        let mut splitter = LineSplitter::with_cap(1 << 20);
        for _ in 0..64 {
            assert!(lines(&mut splitter, &vec![b'x'; 100_000]).is_empty());
            assert!(splitter.partial.capacity() <= 2 << 20);
        }
        assert_eq!(splitter.torn_bytes(), 6_400_000);
        assert_eq!(lines(&mut splitter, b"\nok\n"), ["<6400000 bytes>", "ok"]);
        lines(&mut splitter, &vec![b'x'; 900_000]);
        lines(&mut splitter, b"\n");
        assert!(splitter.partial.capacity() <= KEPT, "a long line is not paid for afterwards");
    }
}
