//! Private keys between their `BEGIN` and `END`, on lines of their own or with escaped line breaks, whole or cut.

use std::ops::Range;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const CLOSE: &str = "-----";
/// The longest label of a key: `ENCRYPTED PRIVATE KEY`, `PGP PRIVATE KEY BLOCK`.
const LABEL_MAX: usize = 64;
/// How long a word must be to belong to a key whose beginning is not there.
const BODY_WORD: usize = 30;

/// The body of the private key whose `BEGIN` stands at `at`; to the end of the text where there is no `END`.
pub(super) fn block(text: &str, at: usize) -> Option<Range<usize>> {
    let start = after_label(text, at, BEGIN)?;
    let end = text[start..].find(END).map_or(text.len(), |length| start + length);
    Some(start..end)
}

/// The bodies that stand before an `END` without a `BEGIN`: what was cut at the front.
pub(super) fn footless_and_headless(text: &str) -> Vec<Range<usize>> {
    let Some(end) = text.find(END).filter(|at| after_label(text, *at, END).is_some()) else {
        return Vec::new();
    };
    let has_head = text[..end].find(BEGIN).is_some();
    if has_head { Vec::new() } else { vec![body_before(text, end)] }
}

/// Whether a key begins in `line` and does not end in it.
pub(super) fn begins_without_end(line: &str) -> bool {
    let begin = line.rfind(BEGIN).filter(|at| after_label(line, *at, BEGIN).is_some());
    begin.is_some_and(|at| !line[at..].contains(END))
}

/// Whether `line` may stand inside a key: base64, or one of its headers. Prose ends it, so that a `BEGIN` alone does
/// not hide all that follows.
pub(super) fn continues(line: &str) -> bool {
    let line = line.trim();
    let is_body = line.bytes().all(|c| c.is_ascii_alphanumeric() || b"+/=".contains(&c));
    is_body || line.starts_with("Proc-Type:") || line.starts_with("DEK-Info:")
}

/// Where the line ends that begins with `mark` at `at`, if it is about a private key.
fn after_label(text: &str, at: usize, mark: &str) -> Option<usize> {
    let label = text.get(at..)?.strip_prefix(mark)?;
    let label = &label[..label.floor_char_boundary(LABEL_MAX)];
    let length = label.find(CLOSE)?;
    label[..length].contains("PRIVATE KEY").then_some(at + mark.len() + length + CLOSE.len())
}

fn body_before(text: &str, end: usize) -> Range<usize> {
    let mut start = end;
    for (n, word) in text[..end].rsplit([' ', '\n', '\r', '\\']).enumerate() {
        let bare = word.strip_prefix('n').unwrap_or(word);
        let is_body = bare.bytes().all(|c| c.is_ascii_alphanumeric() || b"+/=".contains(&c));
        let begin = word.as_ptr() as usize - text.as_ptr() as usize;
        // The last line of a key may be short, and so may the first one that is left of it.
        if !is_body || (n > 1 && bare.len() < BODY_WORD && begin > 0) {
            break;
        }
        start = begin;
    }
    start..end
}
