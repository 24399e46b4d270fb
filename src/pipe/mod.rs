//! The named pipes: what a line on them means, and their two ends. `docs/pipes.md` is the contract.
//!
//! | room | what happens there |
//! |---|---|
//! | [`words`] | a line from a person or a program, as a command (pure) |
//! | [`reply`] | the answer to a command (pure) |
//! | [`event`] | what is told, as a line (pure) |
//! | [`framing`] | bytes, as lines (pure) |
//! | [`place`] | a pipe stands where it should, and nothing else |
//! | [`inlet`] | the end on which we listen |
//! | [`outlet`] | the end on which we speak |
//! | [`answer`] | the way of an answer to its caller |
//! | [`leftover`] | pipes of callers that died |
//! | [`client`] | the caller's end: a command, and its answer |
//!
//! Invariants:
//! - half a command is never carried out: a line is whole, of text, and within [`LINE_MAX`], or it is passed over;
//! - nobody is waited for, and what is kept has a bound;
//! - what is not understood exactly is refused, with what is known and what was probably meant.
//!
//! It deliberately does not know who carries a command out, or whether that is possible.

pub mod answer;
pub mod client;
pub mod event;
pub mod framing;
pub mod inlet;
pub mod leftover;
pub mod outlet;
pub mod place;
pub mod reply;
pub mod words;

/// The longest line on a pipe, in bytes, its end included: `PIPE_BUF`, up to which writers never mix (pipe(7)).
pub const LINE_MAX: usize = 4096;
