//! Whether some bytes are one JSON document that every reader understands alike.
//!
//! A field that is not ours is kept as it was written, so it is looked at here, once: what one reader takes and the
//! next one refuses (half a surrogate pair, a number beyond all numbers, a thousand brackets), or what two readers
//! understand differently (a key that comes twice, at any depth), must not wait in the queue for the first who
//! stumbles. It deliberately does not know what a task is.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::file::ParseError;
use super::text::shown;

/// How deep arrays and objects may stand in one another: well below the 128 levels that most readers take, and one of
/// our own files adds some.
pub(super) const DEPTH_MAX: usize = 100;
/// How many fields a task may have.
pub(super) const FIELDS_MAX: usize = 1000;

/// The document, if it is one.
pub fn document(bytes: &[u8]) -> Result<&str, ParseError> {
    let text = utf8(bytes)?;
    if text.trim_ascii().is_empty() {
        return Err(ParseError::Malformed("the file is empty; write the task into it".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    Sound { depth: 0 }.deserialize(&mut reader).map_err(|error| in_words(&error))?;
    reader.end().map_err(|error| {
        let at = place(&error);
        ParseError::Malformed(format!("more text follows the task{at}; one file holds one task"))
    })?;
    Ok(text)
}

fn utf8(bytes: &[u8]) -> Result<&str, ParseError> {
    let malformed = |why: &str| Err(ParseError::Malformed(why.to_owned()));
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => {
            return malformed("it begins with a byte order mark; save it as UTF-8 without one");
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            return malformed("it looks like UTF-16; save it as UTF-8");
        }
        _ => {}
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let line = good.split(|byte| *byte == b'\n').count();
        let column = good.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        ParseError::Malformed(format!(
            "byte 0x{byte:02x} at line {line} column {column} is not UTF-8; save the file as UTF-8"
        ))
    })
}

/// What the parser says, for people: what, where, what to do.
fn in_words(error: &serde_json::Error) -> ParseError {
    let at = place(error);
    if error.is_eof() {
        return ParseError::Malformed(format!("it stops{at} and the rest is missing; write it whole"));
    }
    let plain = error.to_string();
    let what = match plain.split(" at line ").next().unwrap_or(&plain) {
        it if it.contains("hex escape") => "a broken \\u escape, or half of a surrogate pair".to_owned(),
        it => shown(it, 200),
    };
    if error.is_data() {
        ParseError::Invalid(format!("{what}{at}"))
    } else {
        ParseError::Malformed(format!("not JSON: {what}{at}"))
    }
}

fn place(error: &serde_json::Error) -> String {
    format!(" at line {} column {}", error.line(), error.column())
}

/// Reads everything and keeps nothing.
#[derive(Clone, Copy)]
struct Sound {
    depth: usize,
}

impl Sound {
    fn below<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Sound {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while seq.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let below = self.below()?;
        let mut seen = HashSet::new();
        while let Some(Key(hash)) = map.next_key_seed(KeyOnce { seen: &seen })? {
            seen.insert(hash);
            if self.depth == 0 && seen.len() > FIELDS_MAX {
                return Err(de::Error::custom(format!("more than {FIELDS_MAX} fields")));
            }
            map.next_value_seed(below)?;
        }
        Ok(())
    }
}

/// A key, by its hash: an object may have millions, and two of one hash only cost whoever looked for them a refusal.
struct Key(u64);

struct KeyOnce<'a> {
    seen: &'a HashSet<u64>,
}

impl<'de> DeserializeSeed<'de> for KeyOnce<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOnce<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        if self.seen.contains(&hash) {
            return Err(E::custom(format!("field `{}` comes twice", shown(key, 80))));
        }
        Ok(Key(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> (bool, String) {
        match document(bytes) {
            Err(ParseError::Malformed(why)) => (true, why),
            Err(ParseError::Invalid(why) | ParseError::TooLong(why)) => (false, why),
            Ok(text) => panic!("{text:.80}"),
        }
    }

    #[test]
    fn what_may_still_become_json_is_told_from_what_never_will() {
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        let table: [(&[u8], bool, &str); 14] = [
            (b"", true, "the file is empty"),
            (b" \n", true, "the file is empty"),
            (b"{\"prompt\": \"x", true, "it stops at line 1 column 13 and the rest is missing"),
            (b"{\n  prompt: 1}", true, "not JSON: key must be a string at line 2 column 3"),
            (b"\xef\xbb\xbf{}", true, "byte order mark"),
            (b"\xff\xfe{\0}\0", true, "UTF-16"),
            (b"{\0\"\0", true, "UTF-16"),
            (b"{\n \"a\": \"\xff\"}", true, "byte 0xff at line 2 column 8 is not UTF-8"),
            (b"{} {}", true, "more text follows the task at line 1 column 4"),
            (b"{\"x\": \"\\ud800\"}", true, "surrogate"),
            (b"{\"x\": 1e400}", true, "number out of range at line 1 column"),
            (b"{\"a\":1,\"b\":2,\"a\":3}", false, "field `a` comes twice at line 1 column"),
            (b"{\"x\":{\"a\":1,\"\\u0061\":2}}", false, "field `a` comes twice"),
            (deep.as_bytes(), false, "nested deeper than 100 levels at line 1 column"),
        ];
        for (bytes, may_settle, part) in table {
            let (settles, why) = refused(bytes);
            assert_eq!(settles, may_settle, "{why}");
            assert!(why.contains(part), "{why}");
        }
        assert!(
            document(deep.as_bytes()).is_err()
                && document(deep.replacen('[', "", 1).replacen(']', "", 1).as_bytes()).is_ok()
        );
    }

    #[test]
    fn a_million_brackets_or_fields_are_refused_without_a_million_of_anything() {
        let (_, why) = refused(format!("{{\"prompt\":\"x\",\"mine\":{}", "[".repeat(5_000_000)).as_bytes());
        assert!(why.contains("nested deeper"), "{why}");
        let fields: Vec<_> = (0..=FIELDS_MAX).map(|n| format!("\"f{n}\":0")).collect();
        let (settles, why) = refused(format!("{{{}}}", fields.join(",")).as_bytes());
        assert!(!settles && why.contains("more than 1000 fields"), "{why}");
    }

    #[test]
    fn a_task_has_as_many_fields_as_it_may_and_no_more() {
        let text = |n: usize| {
            let fields: Vec<String> = (0..n).map(|n| format!("\"f{n}\":1")).collect();
            format!("{{{}}}", fields.join(","))
        };
        assert!(document(text(FIELDS_MAX).as_bytes()).is_ok());
        assert!(refused(text(FIELDS_MAX + 1).as_bytes()).1.contains("fields"));
    }
}
