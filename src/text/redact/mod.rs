//! Takes secrets out of text before it is written anywhere. Best effort, and pure.
//!
//! Two ways lead to a secret: its look (a token's known beginning, a name before it, a key's block, a password in a URL),
//! and its value, where it is one that this program was given itself.
//!
//! Invariants:
//! - text without a secret comes back borrowed and unchanged, and masking twice changes nothing more;
//! - the kind of a secret stays readable (`sk-ant-[redacted]`), so that one can tell what was said;
//! - a rule that is wrong errs towards hiding;
//! - the time grows with the length of the text and no faster, whatever stands in it.
//!
//! | module | what it knows |
//! |---|---|
//! | `shapes` | tokens that are known by how they look |
//! | `names` | `password=…`, `Authorization: …`: values that are known by what stands before them |
//! | `keys` | private keys, over several lines |
//!
//! It deliberately does not know who wrote the text or where it goes.

mod keys;
mod names;
mod shapes;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// What stands where a secret stood.
pub const MASK: &str = "[redacted]";

/// The shortest value of a variable that is looked for: a shorter one would be found in ordinary words.
const LITERAL_LEAST: usize = 8;

/// The shortest beginning of such a value that is hidden where the text was cut.
const CUT_LEAST: usize = 5;

/// What takes secrets out: by their looks always, and by the values that it knows. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redactor {
    known: Arc<[String]>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values are what nobody is to read.
        write!(f, "Redactor({} known)", self.known.len())
    }
}

impl Redactor {
    /// One that knows the values of the variables whose names say that they are secret.
    pub fn of_environment<'a>(vars: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut known: Vec<String> = vars
            .filter(|(name, value)| names::is_secret(name) && is_worth_hiding(value))
            .flat_map(|(_, value)| forms(value))
            .collect();
        // The longest first, so that one that contains another is hidden whole.
        known.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        known.dedup();
        Self { known: known.into() }
    }

    /// `text` with every secret masked that we know the look or the value of.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut spans = secrets(text);
        for value in self.known.iter() {
            spans.extend(text.match_indices(value.as_str()).map(|(at, found)| at..at + found.len()));
            spans.extend(cut_off(text, value));
        }
        masked(text, spans)
    }
}

/// One text after another, for those that come line by line: a private key may begin in one and end in a later one.
#[derive(Clone, Debug)]
pub struct Lines {
    redactor: Redactor,
    in_key: bool,
}

impl Lines {
    /// Begins outside of any key.
    pub const fn new(redactor: Redactor) -> Self {
        Self { redactor, in_key: false }
    }

    /// The next line, masked.
    pub fn redact<'t>(&mut self, line: &'t str) -> Cow<'t, str> {
        if self.in_key && keys::continues(line) {
            return Cow::Borrowed(if line.is_empty() { line } else { MASK });
        }
        self.in_key = keys::begins_without_end(line);
        self.redactor.redact(line)
    }
}

fn is_worth_hiding(value: &str) -> bool {
    value.len() >= LITERAL_LEAST && !value.bytes().all(|c| c.is_ascii_digit())
}

/// A value as it is, and as it stands inside a JSON string.
fn forms(value: &str) -> Vec<String> {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    vec![value.to_owned(), quoted.trim_matches('"').to_owned()]
}

/// The beginning of `value` with which `text` ends, also before the sign that says that it was cut.
fn cut_off(text: &str, value: &str) -> Option<Range<usize>> {
    let end = text.trim_end_matches('…').len();
    let longest = (CUT_LEAST..value.len().min(end + 1)).rev();
    longest.map(|n| end - n..end).find(|it| text.get(it.clone()).is_some_and(|tail| value.starts_with(tail)))
}

/// Where secrets stand that are known by their looks, in order.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut spans = keys::footless_and_headless(text);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let found = match bytes[at] {
            b'=' | b':' => names::value_after(text, at).or_else(|| shapes::in_url(text, at)),
            b'-' => keys::block(text, at),
            b'B' | b'b' => names::bearer(text, at),
            _ => None,
        };
        match found.or_else(|| shapes::token(text, at)) {
            Some(span) => {
                at = span.end.max(at + 1);
                spans.push(span);
            }
            None => at += 1,
        }
    }
    spans
}

fn masked(text: &str, mut spans: Vec<Range<usize>>) -> Cow<'_, str> {
    spans
        .retain(|span| !span.is_empty() && !text[span.clone()].trim_matches(['\\', 'n', '\n', ' ']).eq(MASK));
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    spans.sort_by_key(|span| span.start);
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    for span in spans {
        if span.start >= kept {
            out.push_str(&text[kept..span.start]);
            out.push_str(MASK);
        }
        kept = kept.max(span.end);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
