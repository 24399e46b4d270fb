//! Values that are secret by the name that stands before them: variables, headers, fields of JSON and of YAML.

use std::ops::Range;

use super::MASK;

/// The longest name that is looked at.
const NAME_MAX: usize = 80;
/// The most quotes, blanks and backslashes between a name and its value.
const GAP_MAX: usize = 24;
/// After a colon a word may be prose: from this length on, or with a digit, it is none.
const WORD_MAX: usize = 16;

/// How names of secrets end, in lowercase and without `_` and `-`.
const ENDINGS: [&str; 18] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "authkey",
    "signingkey",
    "encryptionkey",
    "accountkey",
    "credential",
    "credentials",
    "authorization",
    "cookie",
];

/// Names that end so and hold no secret.
const HARMLESS: [&str; 4] = ["pwd", "oldpwd", "nexttoken", "continuationtoken"];

/// What may stand for a value without being one.
const NO_VALUES: [&str; 12] = [
    "true",
    "false",
    "null",
    "none",
    "nil",
    "undefined",
    "yes",
    "no",
    "required",
    "invalid",
    "missing",
    "expired",
];

/// Whether a variable, header or field of this name holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let bare: String =
        name.chars().filter(|c| !matches!(c, '_' | '-' | '.')).map(|c| c.to_ascii_lowercase()).collect();
    ENDINGS.iter().any(|ending| bare.ends_with(ending)) && !HARMLESS.contains(&bare.as_str())
}

/// The value to hide behind the `=` or `:` at `at`.
pub(super) fn value_after(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let name = name_before(text, at)?;
    if !is_secret(name) {
        return None;
    }
    let gap = bytes[at + 1..].iter().take(GAP_MAX).take_while(|c| b" \t=:>\"'\\".contains(c)).count();
    let mut start = at + 1 + gap;
    let quote = bytes[at + 1..start].iter().rev().copied().find(|c| matches!(c, b'"' | b'\''));
    start += scheme(&bytes[start..]);
    if is_reference(&bytes[start..]) {
        return None;
    }
    let end = start + value_length(&bytes[start..], quote);
    let value = text.get(start..end).filter(|_| !bytes[end..].starts_with(MASK.as_bytes()))?;
    // `name=`, `"name":` and `x-name:` are no prose; `the token: invalid` is.
    let is_prose = bytes[at] == b':' && quote.is_none() && !name.contains(['-', '_']) && !says_it_all(name);
    (is_value(value) && !(is_prose && is_word(value))).then_some(start..end)
}

/// The token after `Bearer` at `at`, where no header names it.
pub(super) fn bearer(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let glued = at > 0 && bytes[at - 1].is_ascii_alphanumeric();
    let word = bytes.get(at..at + 7)?;
    if glued || !word.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let start = at + 7;
    let end = start + value_length(&bytes[start..], None);
    let value = text.get(start..end).filter(|_| !bytes[end..].starts_with(MASK.as_bytes()))?;
    let is_lowercase = value.bytes().all(|c| c.is_ascii_lowercase());
    (value.len() >= 12 && !is_lowercase && is_value(value)).then_some(start..end)
}

/// Names after which even prose is more likely a secret.
fn says_it_all(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "passphrase", "authorization"].iter().any(|it| name.ends_with(it))
}

/// A value that is looked up elsewhere: `${TOKEN}`, `{{ token }}`, `$(cat token)`.
fn is_reference(bytes: &[u8]) -> bool {
    [b"${", b"{{", b"$("].iter().any(|it| bytes.starts_with(*it))
}

/// The identifier before `at`, its closing quote and blanks passed over.
fn name_before(text: &str, at: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let gap = bytes[..at].iter().rev().take(4).take_while(|c| b" \"'\\".contains(c)).count();
    let end = at - gap;
    let is_part = |c: &&u8| c.is_ascii_alphanumeric() || matches!(**c, b'_' | b'-' | b'.');
    let length = bytes[..end].iter().rev().take(NAME_MAX).take_while(is_part).count();
    if length < 3 { None } else { text.get(end - length..end) }
}

fn scheme(bytes: &[u8]) -> usize {
    let starts = |scheme: &&[u8]| bytes.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme));
    let schemes: [&[u8]; 4] = [b"bearer ", b"basic ", b"token ", b"negotiate "];
    schemes.iter().find(|it| starts(it)).map_or(0, |it| it.len())
}

/// How far a value goes: to its closing quote, to the end of the word, or to what is masked already.
fn value_length(bytes: &[u8], quote: Option<u8>) -> usize {
    let ends = |n: usize, c: u8| match quote {
        // A backslash before the quote belongs to a JSON string around all of it; one inside is an escape.
        Some(quote) => c == quote || c == b'\n' || (c == b'\\' && bytes.get(n + 1) == Some(&quote)),
        None => !(c.is_ascii_graphic() || c >= 0x80) || b"\"',;\\&<>`".contains(&c),
    };
    let is_masked = |n: usize, c: u8| c == MASK.as_bytes()[0] && bytes[n..].starts_with(MASK.as_bytes());
    bytes.iter().enumerate().position(|(n, c)| ends(n, *c) || is_masked(n, *c)).unwrap_or(bytes.len())
}

/// What stands after a colon in a sentence.
fn is_word(value: &str) -> bool {
    let bare = bare(value);
    bare.len() < WORD_MAX && !bare.bytes().any(|c| c.is_ascii_digit())
}

fn bare(value: &str) -> &str {
    value.trim_end_matches([')', ']', '}', '.', ':', '!', '?'])
}

fn is_value(value: &str) -> bool {
    let bare = bare(value);
    let variable = bare.strip_prefix('$').unwrap_or_default();
    let is_variable = !variable.is_empty() && variable.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
    let is_count = bare.len() < 7 && bare.bytes().all(|c| c.is_ascii_digit());
    let is_none = NO_VALUES.iter().any(|none| bare.eq_ignore_ascii_case(none));
    !(bare.is_empty() || is_variable || is_count || is_none)
}
