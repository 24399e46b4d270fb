//! Tokens that are known by how they look: the beginning that their issuer gives them, or the place where they stand.

use std::ops::Range;

/// How long a token must be to count even where a letter stands before its prefix.
const GLUED_LEAST: usize = 16;
/// The longest part of a URL in which a password is looked for.
const AUTHORITY_MAX: usize = 512;

/// Which characters go on with a token.
#[derive(Clone, Copy)]
enum Letters {
    /// Letters and digits.
    Plain,
    /// And `_` and `-`.
    Token,
    /// And `.`, `/`, `+`, `=`.
    Path,
}

impl Letters {
    const fn has(self, c: u8) -> bool {
        c.is_ascii_alphanumeric()
            || match self {
                Self::Plain => false,
                Self::Token => matches!(c, b'_' | b'-'),
                Self::Path => matches!(c, b'_' | b'-' | b'.' | b'/' | b'+' | b'='),
            }
    }
}

use Letters::{Path, Plain, Token};

/// The prefix, how many more characters make it a token, and which.
const PREFIXES: [(&str, usize, Letters); 37] = [
    ("sk-ant-", 4, Token),
    ("sk-proj-", 16, Token),
    ("sk-", 32, Plain),
    ("sk_live_", 8, Token),
    ("sk_test_", 8, Token),
    ("rk_live_", 8, Token),
    ("whsec_", 16, Path),
    ("github_pat_", 8, Token),
    ("ghp_", 8, Token),
    ("gho_", 8, Token),
    ("ghu_", 8, Token),
    ("ghs_", 8, Token),
    ("ghr_", 8, Token),
    ("glpat-", 8, Token),
    ("AKIA", 12, Plain),
    ("ASIA", 12, Plain),
    ("AIza", 30, Token),
    ("ya29.", 16, Path),
    ("xoxa-", 8, Token),
    ("xoxb-", 8, Token),
    ("xoxe-", 8, Token),
    ("xoxe.", 8, Path),
    ("xoxp-", 8, Token),
    ("xoxr-", 8, Token),
    ("xoxs-", 8, Token),
    ("xapp-", 8, Token),
    ("npm_", 30, Plain),
    ("pypi-AgE", 16, Token),
    ("hf_", 20, Plain),
    ("dckr_pat_", 16, Token),
    ("dop_v1_", 16, Plain),
    ("shpat_", 16, Plain),
    ("AGE-SECRET-KEY-1", 16, Plain),
    ("SG.", 32, Path),
    ("hooks.slack.com/services/", 8, Path),
    ("discord.com/api/webhooks/", 8, Path),
    ("api.telegram.org/bot", 20, Token),
];

/// How web tokens begin: `{"` in base64.
const WEB_TOKEN: &[u8] = b"eyJ";

/// After each first character of a token, a bit for each that comes second: most of a text begins none, and is asked
/// no further.
static BEGINNINGS: [u128; 128] = beginnings();

const fn beginnings() -> [u128; 128] {
    let mut after = [0; 128];
    after[WEB_TOKEN[0] as usize] = 1 << WEB_TOKEN[1];
    let mut n = 0;
    while n < PREFIXES.len() {
        let prefix = PREFIXES[n].0.as_bytes();
        after[prefix[0] as usize] |= 1 << prefix[1];
        n += 1;
    }
    after
}

fn may_begin(bytes: &[u8]) -> bool {
    let &[first, second, ..] = bytes else { return false };
    first.is_ascii() && second.is_ascii() && BEGINNINGS[usize::from(first)] >> second & 1 == 1
}

/// The part to hide of a token whose prefix begins at `at`.
pub(super) fn token(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if !may_begin(&bytes[at..]) {
        return None;
    }
    let glued = at > 0 && bytes[at - 1].is_ascii_alphanumeric();
    if !glued && bytes[at..].starts_with(WEB_TOKEN) {
        return web_token(bytes, at);
    }
    let rest = &bytes[at..];
    let (prefix, least, letters) =
        PREFIXES.iter().find(|(prefix, _, _)| rest.starts_with(prefix.as_bytes()))?;
    let start = at + prefix.len();
    let length = bytes[start..].iter().take_while(|c| letters.has(**c)).count();
    // What follows a letter may be a word (`risk-ant-hill`), or the `n` of an escaped line break.
    let least = if glued { GLUED_LEAST.max(*least) } else { *least };
    (length >= least).then_some(start..start + length)
}

/// A JSON web token: two or three parts in base64url, the first of which is a JSON object.
fn web_token(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let part = |from: usize| bytes[from..].iter().take_while(|c| Token.has(**c)).count();
    // A run that this one stands in the middle of has been searched already.
    if at > 0 && Token.has(bytes[at - 1]) {
        return None;
    }
    let header = part(at);
    let dot = at + header;
    if header < 10 || bytes.get(dot) != Some(&b'.') {
        return None;
    }
    let payload = part(dot + 1);
    let mut end = dot + 1 + payload;
    if payload < 4 {
        return None;
    }
    while bytes.get(end) == Some(&b'.') {
        end += 1 + part(end + 1);
    }
    Some(at + 3..end)
}

/// The password (or the lonely token) in `scheme://user:password@host`, whose first colon stands at `at`.
pub(super) fn in_url(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if !bytes[at..].starts_with(b"://") || at == 0 || !bytes[at - 1].is_ascii_alphanumeric() {
        return None;
    }
    let start = at + 3;
    let word = bytes[start..]
        .iter()
        .take(AUTHORITY_MAX)
        .take_while(|c| c.is_ascii_graphic() && !b"\"'<>`".contains(c));
    let word = &bytes[start..start + word.count()];
    let slash = word.iter().position(|c| b"/?#\\".contains(c)).unwrap_or(word.len());
    let colon = word[..slash].iter().position(|c| *c == b':');
    // A password may hold a slash; a port holds digits only.
    let port = colon.is_none_or(|colon| word[colon + 1..slash].iter().all(u8::is_ascii_digit));
    let area = if port { &word[..slash] } else { word };
    let end = area.iter().rposition(|c| *c == b'@')?;
    match colon.filter(|colon| *colon < end) {
        Some(colon) => Some(start + colon + 1..start + end),
        // `https://TOKEN@github.com`: nobody's name is that long.
        None => (end >= GLUED_LEAST).then_some(start..start + end),
    }
}
