//! Text that others wrote: what may be shown of it, and what may be kept. Pure.
//!
//! | module | what it is for |
//! |---|---|
//! | [`escape`] | nothing in a text steers a terminal or poses as another line |
//! | [`redact`] | secrets are taken out before a text is written into a record of ours |
//!
//! It deliberately does not know who wrote a text or where it goes.

pub mod escape;
pub mod redact;

/// The line of byte `at` of `text` and the column in characters, both from 1.
pub fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_begin = before.rfind('\n').map_or(0, |it| it + 1);
    (before.matches('\n').count() + 1, before[line_begin..].chars().count() + 1)
}
