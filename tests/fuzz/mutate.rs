//! Inputs made from a kept corpus and a seed: the same seed, the same inputs.
//!
//! It deliberately does not know what reads them.

/// The longest input that is made.
const LONGEST: usize = 64 << 10;

/// Pieces that readers stumble over.
const PIECES: [&[u8]; 40] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b":",
    b",",
    b"\n",
    b"\r\n",
    b"\0",
    b"\x1b[2J",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\\u0000",
    b"\\uD800",
    b"\\uDC00",
    b"\\ud83d\\ude00",
    b"null",
    b"true",
    b"-0",
    b"1e999",
    b"-1",
    b"18446744073709551616",
    b"9223372036854775808",
    b"0.1",
    b"NaN",
    b"\"\"",
    b"{}",
    b"[]",
    b"\"prompt\":\"x\",",
    b"\"run_id\":",
    b"\"attempts\":[",
    b"= ",
    b"[workers.x]\n",
    b"\"\"\"",
    b"~2",
    b"\xe2\x80\xae",
];

/// Numbers by chance, from a seed (xorshift64*).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn of(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit as u64)).unwrap_or(0)
    }
}

/// One more input: a seed of the corpus, changed a few times.
pub(crate) fn input(corpus: &[(String, Vec<u8>)], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = corpus[dice.below(corpus.len())].1.clone();
    for _ in 0..=dice.below(8) {
        let other = &corpus[dice.below(corpus.len())].1;
        change(&mut bytes, other, dice);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = at + dice.below((bytes.len() - at + 1).min(64));
    match dice.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 if at < bytes.len() => bytes[at] = u8::try_from(dice.below(256)).unwrap_or(0),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        4 => bytes.truncate(at),
        // Deep and long things come of doing one thing very often.
        5 => {
            let piece = PIECES[dice.below(PIECES.len())].repeat(1 << dice.below(11));
            bytes.splice(at..at, piece);
        }
        6 => {
            let from = dice.below(other.len() + 1);
            bytes.splice(at.., other[from..].iter().copied());
        }
        _ => {
            let piece = PIECES[dice.below(PIECES.len())];
            bytes.splice(at..end, piece.iter().copied());
        }
    }
}
