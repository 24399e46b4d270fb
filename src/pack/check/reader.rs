//! The values of a pack file by their kind: texts, lists, words, numbers, times, sizes. What is wrong is noted, with its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{nearest, parse_duration, parse_size, show_size};
use crate::pack::fault::Fault;

/// The longest time, in seconds: a month.
const LONGEST: u64 = 31 * 86_400;

/// A file that is being read.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) table: &'a DeTable<'a>,
    pub(super) faults: Vec<Fault>,
    pub(super) lines: BTreeMap<&'static str, usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn fault(&mut self, span: &Range<usize>, what: String, hint: Option<String>) {
        self.faults.push(Fault::at(self.text, span.start, what, hint));
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    pub(super) fn wrong_kind(&mut self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let is = value.get_ref().type_str();
        self.fault(&value.span(), format!("`{key}` takes {wanted}, and this is of type {is}"), None);
    }

    /// A text that is not empty.
    pub(super) fn text_of(&mut self, key: &'static str, most: usize) -> Option<String> {
        let value = self.value(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_kind(key, value, "a text in quotes");
            return None;
        };
        let what = if text.trim().is_empty() {
            Some(format!("`{key}` is empty; leave it out"))
        } else if text.len() > most {
            Some(format!("`{key}` is longer than {most} bytes"))
        } else if text.contains('\0') {
            Some(format!("`{key}` holds a NUL character"))
        } else {
            None
        };
        match what {
            Some(what) => {
                self.fault(&value.span(), what, None);
                None
            }
            None => Some(text.to_owned()),
        }
    }

    /// The texts of a list, each with its place.
    pub(super) fn list(&mut self, key: &'static str) -> Option<Vec<(String, Range<usize>)>> {
        let value = self.value(key)?;
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_kind(key, value, "a list of texts, such as [\"a\", \"b\"]");
            return None;
        };
        let mut texts = Vec::new();
        for item in items {
            match item.get_ref().as_str() {
                Some(text) => texts.push((text.to_owned(), item.span())),
                None => self.wrong_kind(key, item, "texts in its list"),
            }
        }
        Some(texts)
    }

    /// The items of a list that are as they should be; `wrong` says why one is not.
    pub(super) fn checked(
        &mut self,
        key: &'static str,
        wrong: impl Fn(&str) -> Option<(String, Option<String>)>,
    ) -> Option<Vec<String>> {
        let items = self.list(key)?;
        for (text, span) in &items {
            if let Some((what, hint)) = wrong(text) {
                self.fault(span, format!("`{key}`: {what}"), hint);
            }
        }
        Some(items.into_iter().map(|(text, _)| text).collect())
    }

    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let value = self.value(key)?;
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let Some(said) = value.get_ref().as_str() else {
            self.wrong_kind(key, value, &format!("one of {}", list.join(", ")));
            return None;
        };
        let found = words.iter().find(|(word, _)| *word == said).map(|(_, it)| *it);
        if found.is_none() {
            let one_of = format!("it is one of {}", list.join(", "));
            let hint = nearest(said, list).map_or(one_of, |near| format!("did you mean `{near}`?"));
            self.fault(&value.span(), format!("`{key}` cannot be `{said}`"), Some(hint));
        }
        found
    }

    pub(super) fn integer(&mut self, key: &'static str) -> Option<(i64, Range<usize>)> {
        let value = self.value(key)?;
        let number =
            value.get_ref().as_integer().and_then(|it| i64::from_str_radix(it.as_str(), it.radix()).ok());
        if number.is_none() {
            self.wrong_kind(key, value, "a whole number");
        }
        Some((number?, value.span()))
    }

    pub(super) fn count(&mut self, key: &'static str, least: u32, most: u32) -> Option<u32> {
        let (number, span) = self.integer(key)?;
        let fits = u32::try_from(number).ok().filter(|it| (least..=most).contains(it));
        if fits.is_none() {
            self.fault(&span, format!("`{key}` must be from {least} to {most}"), None);
        }
        fits
    }

    /// A number of seconds, or a duration as people write it.
    pub(super) fn seconds(&mut self, key: &'static str) -> Option<u32> {
        let value = self.value(key)?;
        let parsed = match value.get_ref() {
            DeValue::String(text) => parse_duration(text),
            DeValue::Integer(number) => parse_duration(number.as_str()),
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong_kind(key, value, "a duration such as \"5m\"");
                return None;
            }
        };
        let whole = |it: Duration| it.as_secs() + u64::from(it.subsec_nanos() > 0);
        match parsed.map(whole) {
            Ok(seconds) if (1..=LONGEST).contains(&seconds) => u32::try_from(seconds).ok(),
            Ok(_) => {
                self.fault(&value.span(), format!("`{key}` must be from 1s to 31d"), None);
                None
            }
            Err(why) => {
                self.fault(&value.span(), format!("`{key}` {why}"), None);
                None
            }
        }
    }

    /// A size of at least so many bytes.
    pub(super) fn size(&mut self, key: &'static str, least: u64) -> Option<u64> {
        let value = self.value(key)?;
        let parsed = match value.get_ref() {
            DeValue::String(text) => parse_size(text),
            DeValue::Integer(number) => parse_size(number.as_str()),
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => Err("takes a size such as \"64MiB\"".to_owned()),
        };
        let fits = parsed.and_then(|it| {
            if it < least { Err(format!("must be at least {}", show_size(least))) } else { Ok(it) }
        });
        fits.map_err(|why| self.fault(&value.span(), format!("`{key}` {why}"), None)).ok()
    }
}
