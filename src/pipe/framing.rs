//! Bytes from a pipe, as lines. Pure.
//!
//! Invariants:
//! - a line comes out whole or not at all; what is passed over is told once;
//! - never more than [`LINE_MAX`] bytes are held, whatever comes in;
//! - what comes out does not depend on how the bytes were cut on their way.
//!
//! It deliberately does not know what a line means. Two writers who each write half a line within one second make one
//! line of it: nothing in a pipe tells them apart, so the contract is one `write(2)` a line.

use std::time::Duration;

use super::LINE_MAX;
use crate::clock::Ticks;

/// How long the rest of a line may take.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Why a line was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unfit {
    /// It has more bytes than are written in one piece.
    #[error("a line of more than {LINE_MAX} bytes, its end included; write less, or name a file")]
    TooLong,
    /// Its end did not come.
    #[error("half a line, and its end did not come within a second; write each line at once, with a newline")]
    Half,
    /// Bytes that are no text.
    #[error("a line that is not UTF-8")]
    NotText,
    /// Something that steers a terminal, or a NUL.
    #[error("a line with a NUL or another control character in it, such as a tab or a carriage return")]
    Control,
}

/// A line without its end, or why there is none.
pub type Framed = Result<String, Unfit>;

/// What is known of the line that is under way.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    held: Vec<u8>,
    /// It is too long already: the rest of it is passed over.
    is_over: bool,
    /// When the last byte of it came.
    at: Option<Ticks>,
}

impl Framer {
    /// Takes in what was read; the lines that ended in it go to `lines`. An empty line is nothing.
    pub fn feed(&mut self, bytes: &[u8], now: Ticks, lines: &mut Vec<Framed>) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.take(&rest[..end], lines);
            if !self.is_over && !self.held.is_empty() {
                lines.push(text(&self.held));
            }
            self.begin();
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            self.take(rest, lines);
            self.at = Some(now);
        }
    }

    /// When the line that is under way is given up.
    pub fn due(&self) -> Option<Ticks> {
        self.at.map(|at| at.plus(PATIENCE))
    }

    /// Gives up the line that is under way, if its rest took too long. To be asked after what is there was read.
    pub fn tick(&mut self, now: Ticks) -> Option<Unfit> {
        self.due().filter(|due| now >= *due)?;
        // One that is too long was told when it became so.
        let told = (!self.is_over).then_some(Unfit::Half);
        self.begin();
        told
    }

    fn begin(&mut self) {
        self.held.clear();
        self.is_over = false;
        self.at = None;
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<Framed>) {
        if self.is_over {
            return;
        }
        // The end of the line has one byte more.
        if self.held.len() + bytes.len() >= LINE_MAX {
            self.is_over = true;
            self.held.clear();
            lines.push(Err(Unfit::TooLong));
            return;
        }
        self.held.extend_from_slice(bytes);
    }
}

fn text(bytes: &[u8]) -> Framed {
    let text = std::str::from_utf8(bytes).map_err(|_| Unfit::NotText)?;
    if text.contains(char::is_control) { Err(Unfit::Control) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Ticks {
        Ticks(Duration::from_millis(ms))
    }

    fn framed(pieces: &[&[u8]]) -> Vec<Framed> {
        let (mut framer, mut lines) = (Framer::default(), Vec::new());
        for piece in pieces {
            framer.feed(piece, at(0), &mut lines);
            assert!(framer.held.capacity() <= 2 * LINE_MAX, "{}", framer.held.capacity());
        }
        lines
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands in tables beside what is refused")]
    fn ok(line: &str) -> Framed {
        Ok(line.to_owned())
    }

    #[test]
    fn a_line_is_whole_text_and_short_or_it_is_none() {
        let long = "x".repeat(LINE_MAX - 1);
        let (whole, more) = (format!("{long}\n"), format!("{long}y\nping\n"));
        let endless = long.repeat(2);
        let table: Vec<(&[u8], Vec<Framed>)> = vec![
            (b"", vec![]),
            (b"\n\n\n", vec![]),
            (b"ping\n", vec![ok("ping")]),
            (b"ping\nstatus\n", vec![ok("ping"), ok("status")]),
            (b"half", vec![]),
            (b"ping\nhalf", vec![ok("ping")]),
            ("tell t schön 漢 👩\u{200d}🔧\n".as_bytes(), vec![ok("tell t schön 漢 👩\u{200d}🔧")]),
            (b"a\xffb\nping\n", vec![Err(Unfit::NotText), ok("ping")]),
            (b"\xe6\xbc\nping\n", vec![Err(Unfit::NotText), ok("ping")]),
            (b"a\0b\nping\n", vec![Err(Unfit::Control), ok("ping")]),
            (b"ping\r\n", vec![Err(Unfit::Control)]),
            (b"a\x1b[2Jb\n", vec![Err(Unfit::Control)]),
            ("a\u{9b}b\n".as_bytes(), vec![Err(Unfit::Control)]),
            (whole.as_bytes(), vec![ok(&long)]),
            (more.as_bytes(), vec![Err(Unfit::TooLong), ok("ping")]),
            (endless.as_bytes(), vec![Err(Unfit::TooLong)]),
        ];
        for (bytes, lines) in table {
            assert_eq!(framed(&[bytes]), lines, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn four_mebibytes_without_an_end_are_told_once_and_not_kept() {
        let piece = vec![b'x'; 64 * 1024];
        let mut pieces: Vec<&[u8]> = vec![&piece; 64];
        pieces.push(b"y\nping\n");
        assert_eq!(framed(&pieces), [Err(Unfit::TooLong), ok("ping")]);
    }

    #[test]
    fn half_a_line_is_given_up_after_a_second_of_silence() {
        let (mut framer, mut lines) = (Framer::default(), Vec::new());
        framer.feed(b"pau", at(0), &mut lines);
        assert_eq!((framer.due(), framer.tick(at(999))), (Some(at(1000)), None));
        framer.feed(b"s", at(900), &mut lines);
        assert_eq!(framer.tick(at(1800)), None);
        framer.feed(b"e\n", at(1850), &mut lines);
        assert_eq!((lines.as_slice(), framer.due()), ([ok("pause")].as_slice(), None));

        framer.feed(b"sto", at(2000), &mut lines);
        assert_eq!(framer.tick(at(3000)), Some(Unfit::Half));
        assert_eq!((framer.tick(at(9000)), framer.due()), (None, None));
        framer.feed(b"ping\n", at(9000), &mut lines);
        assert_eq!(lines, [ok("pause"), ok("ping")], "the next line is not joined to it");
    }

    #[test]
    fn who_writes_much_and_goes_away_does_not_take_the_next_line_along() {
        let (mut framer, mut lines) = (Framer::default(), Vec::new());
        framer.feed(&[b'x'; 9000], at(0), &mut lines);
        assert_eq!(framer.tick(at(1000)), None, "it was told already");
        framer.feed(b"ping\n", at(1001), &mut lines);
        assert_eq!(lines, [Err(Unfit::TooLong), ok("ping")]);
    }

    /// A generator that needs no crate: the same numbers each time, so that a failure can be looked at.
    fn random(state: &mut u64) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).unwrap()
    }

    #[test]
    fn how_the_bytes_were_cut_changes_nothing() {
        let alphabet: [&[u8]; 10] =
            [b"a", b"\n", b"\n", b" ", "ä".as_bytes(), b"\0", b"\xff", "漢".as_bytes(), b"{}", &[b'z'; 700]];
        for seed in 0..500 {
            let mut state = seed;
            let parts = random(&mut state) % 40;
            let whole: Vec<u8> =
                (0..parts).flat_map(|_| alphabet[random(&mut state) % alphabet.len()]).copied().collect();
            let (mut pieces, mut rest) = (Vec::new(), whole.as_slice());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + random(&mut state) % rest.len().min(900));
                pieces.push(piece);
                rest = after;
            }
            assert_eq!(framed(&pieces), framed(&[&whole]), "seed {seed}");
            for line in framed(&pieces).into_iter().flatten() {
                assert!(line.len() < LINE_MAX && !line.contains('\n'));
            }
        }
    }
}
