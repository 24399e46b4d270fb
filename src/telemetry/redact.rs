//! Takes secrets out of text before it is written anywhere. Best effort, and pure.
//!
//! Invariants:
//! - text without a secret comes back borrowed and unchanged;
//! - the kind of a secret stays readable (`sk-ant-[redacted]`), so that one can tell what was said;
//! - a rule that is wrong errs towards hiding.
//!
//! It deliberately does not know who wrote the text or where it goes.

use std::borrow::Cow;
use std::ops::Range;

const MASK: &str = "[redacted]";
/// How long a token must be to count even where a letter stands before its prefix.
const GLUED_LEAST: usize = 16;

/// Tokens that are known by how they begin: the prefix, and how many more characters make it one.
const PREFIXES: [(&str, usize); 10] = [
    ("sk-ant-", 4),
    ("github_pat_", 8),
    ("ghp_", 8),
    ("gho_", 8),
    ("ghu_", 8),
    ("ghs_", 8),
    ("ghr_", 8),
    ("AKIA", 12),
    ("xoxb-", 8),
    ("glpat-", 8),
];

/// Header or variable names after which a value is a secret, in lowercase.
const NAMES: [&str; 6] = [
    "authorization",
    "x-api-key",
    "anthropic_api_key",
    "anthropic_auth_token",
    "aws_secret_access_key",
    "bearer",
];

/// `text` with every secret we know the look of masked.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    while at < text.len() {
        if let Some(secret) = secret_at(text, at) {
            out.push_str(&text[kept..secret.start]);
            out.push_str(MASK);
            kept = secret.end;
            at = secret.end;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

/// The part to hide of a secret whose mark begins at `at`.
fn secret_at(text: &str, at: usize) -> Option<Range<usize>> {
    let glued = text.as_bytes()[..at].last().is_some_and(u8::is_ascii_alphanumeric);
    if !glued && let Some(found) = by_name(text, at) {
        return Some(found);
    }
    let found = by_prefix(text, at)?;
    // What follows a letter may be a word (`risk-ant-hill`), or the `n` of an escaped line break.
    if glued && found.len() < GLUED_LEAST { None } else { Some(found) }
}

fn by_prefix(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = &text[at..];
    let (prefix, least) = PREFIXES.iter().find(|(prefix, _)| rest.starts_with(prefix))?;
    let start = at + prefix.len();
    let end = start + token_len(&text.as_bytes()[start..]);
    (end - start >= *least).then_some(start..end)
}

fn by_name(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let name = NAMES.iter().find(|name| {
        bytes[at..].get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
    })?;
    let after = at + name.len();
    let gap = bytes[after..].iter().take_while(|c| b" \t:=\"'\\".contains(c)).count();
    let says_value = bytes[after..after + gap].iter().any(|c| b":=".contains(c));
    if gap == 0 || !(says_value || *name == "bearer") {
        return None;
    }
    let mut start = after + gap;
    // `Authorization: Basic dXNlcjpwYXNz` has the scheme first and the secret behind it.
    for scheme in ["bearer ", "basic ", "token "] {
        if bytes[start..].get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme.as_bytes()))
        {
            start += scheme.len();
        }
    }
    let end = start + value_len(&bytes[start..]);
    let plain_word = *name == "bearer" && end - start < 12;
    let masked = text.get(start..).is_some_and(|value| value.starts_with(MASK));
    (end > start && !plain_word && !masked).then_some(start..end)
}

const fn is_token(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_' || c == b'-'
}

fn token_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|c| is_token(**c)).count()
}

fn value_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|c| c.is_ascii_graphic() && !b"\"',;\\".contains(c)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_secret_is_masked() {
        for (said, written) in [
            ("key sk-ant-api03-AbC_d-9 used", "key sk-ant-[redacted] used"),
            ("ghp_0123456789abcdef", "ghp_[redacted]"),
            ("(gho_0123456789abcdef)", "(gho_[redacted])"),
            ("https://u:ghs_0123456789abcdef@github.com", "https://u:ghs_[redacted]@github.com"),
            ("ghr_0123456789abcdef ghu_0123456789abcdef", "ghr_[redacted] ghu_[redacted]"),
            ("github_pat_11AAAAAAA0123456789", "github_pat_[redacted]"),
            ("id=AKIAIOSFODNN7EXAMPLE,", "id=AKIA[redacted],"),
            ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer [redacted]"),
            ("authorization: Basic dXNlcjpwYXNz==", "authorization: Basic [redacted]"),
            (r#"{"Authorization":"token 0123456789"}"#, r#"{"Authorization":"token [redacted]"}"#),
            (r#"{\"x-api-key\": \"hush-hush\"}"#, r#"{\"x-api-key\": \"[redacted]\"}"#),
            ("curl -H 'X-Api-Key: hush'", "curl -H 'X-Api-Key: [redacted]'"),
            ("ANTHROPIC_API_KEY=abc123 claude", "ANTHROPIC_API_KEY=[redacted] claude"),
            ("export AWS_SECRET_ACCESS_KEY='wJalr/K7+x'", "export AWS_SECRET_ACCESS_KEY='[redacted]'"),
            ("Bearer eyJhbGciOi.eyJzdWIi.sig", "Bearer [redacted]"),
            (r"\nsk-ant-api03-0123456789abcdef", r"\nsk-ant-[redacted]"),
            ("--key-ghp_0123456789abcdef", "--key-ghp_[redacted]"),
            ("MY_sk-ant-api03-AbCd", "MY_sk-ant-[redacted]"),
            ("üñ sk-ant-abcd ü", "üñ sk-ant-[redacted] ü"),
        ] {
            assert_eq!(redact(said), written);
            assert_eq!(redact(written), written, "masking twice changes nothing");
        }
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in [
            "",
            "the bearer of this letter",
            "task-ghp_ marker",
            "AKIA",
            "authorization failed",
            "risk-ant-hill",
            "sk-ant-",
            "ключ 🔑",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == text), "{text}: {}", redact(text));
        }
    }
}
