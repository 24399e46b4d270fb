//! Reading a pack file: every key and every value is checked, and all that is wrong is told at once, with its place. Pure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::model::{AfterTimeout, DeniedTools, Pack, PermissionMode, WorkdirRule};
use super::template;
use crate::config::{nearest, parse_duration, parse_size};

/// Every key that may stand in a pack file.
pub(super) const KEYS: [&str; 19] = [
    "description",
    "model",
    "fallback_model",
    "permission_mode",
    "allowed_tools",
    "disallowed_tools",
    "system_prompt",
    "prompt",
    "timeout",
    "idle_timeout",
    "max_turns",
    "max_cost_usd",
    "max_output",
    "max_retries",
    "environment",
    "workdir",
    "workdir_roots",
    "after_timeout",
    "denied_tools",
];

/// The built-in tools that a slip of the finger is told by; one that is not among them is taken as it is.
const TOOLS: [&str; 18] = [
    "Bash",
    "BashOutput",
    "Edit",
    "ExitPlanMode",
    "Glob",
    "Grep",
    "KillShell",
    "MultiEdit",
    "NotebookEdit",
    "NotebookRead",
    "Read",
    "Skill",
    "Task",
    "TodoWrite",
    "ToolSearch",
    "WebFetch",
    "WebSearch",
    "Write",
];

/// The longest time, in seconds: a month.
const LONGEST: u64 = 31 * 86_400;
/// Less output than this is no answer.
const OUTPUT_MIN: u64 = 1024;
const RETRIES_MAX: u32 = 1000;

/// A pack, and the line of each key that its file has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub pack: Pack,
    /// Where it says it.
    pub lines: BTreeMap<&'static str, usize>,
}

/// The pack in `text`; or everything that is wrong with it, in the order of the file.
pub fn parse(text: &str) -> Result<Loaded, Vec<Fault>> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![Fault::at(text, at, format!("no TOML: {}", error.message().trim()), None)]
    })?;
    let mut reader = Reader { text, table: table.get_ref(), faults: Vec::new(), lines: BTreeMap::new() };
    reader.keys();
    let pack = reader.pack();
    let Reader { mut faults, lines, .. } = reader;
    faults.sort_by_key(|fault| (fault.line, fault.column));
    if faults.is_empty() { Ok(Loaded { pack, lines }) } else { Err(faults) }
}

struct Reader<'a> {
    text: &'a str,
    table: &'a DeTable<'a>,
    faults: Vec<Fault>,
    lines: BTreeMap<&'static str, usize>,
}

impl<'a> Reader<'a> {
    fn keys(&mut self) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if let Some(known) = KEYS.iter().find(|it| **it == name) {
                let line = Fault::at(self.text, key.span().start, String::new(), None).line;
                self.lines.insert(known, line);
                continue;
            }
            let hint = nearest(name, KEYS).map_or_else(
                || format!("there are {}", KEYS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.fault(&key.span(), format!("unknown key `{name}`"), Some(hint));
        }
    }

    fn pack(&mut self) -> Pack {
        Pack {
            description: self.text_of("description", 1000),
            model: self.text_of("model", 256).filter(|_| self.is_model("model")),
            fallback_model: self.models(),
            permission_mode: self.word("permission_mode", &PermissionMode::WORDS),
            allowed_tools: self.tools("allowed_tools"),
            disallowed_tools: self.tools("disallowed_tools"),
            system_prompt: self.text_of("system_prompt", usize::MAX),
            prompt: self.template(),
            timeout_s: self.seconds("timeout"),
            idle_timeout_s: self.seconds("idle_timeout"),
            max_turns: self.count("max_turns", 1, u32::MAX),
            max_cost_usd: self.dollars(),
            max_output: self.size("max_output"),
            max_retries: self.count("max_retries", 0, RETRIES_MAX),
            environment: self.variables(),
            workdir: self.word("workdir", &WorkdirRule::WORDS).unwrap_or_default(),
            workdir_roots: self.roots(),
            after_timeout: self.word("after_timeout", &AfterTimeout::WORDS).unwrap_or_default(),
            denied_tools: self.word("denied_tools", &DeniedTools::WORDS).unwrap_or_default(),
        }
    }

    fn fault(&mut self, span: &Range<usize>, what: String, hint: Option<String>) {
        self.faults.push(Fault::at(self.text, span.start, what, hint));
    }

    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    fn wrong_kind(&mut self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let is = value.get_ref().type_str();
        self.fault(&value.span(), format!("`{key}` takes {wanted}, and this is of type {is}"), None);
    }

    /// A text that is not empty.
    fn text_of(&mut self, key: &'static str, most: usize) -> Option<String> {
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
    fn list(&mut self, key: &'static str) -> Option<Vec<(String, Range<usize>)>> {
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
    fn checked(
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

    fn word<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
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

    fn is_model(&mut self, key: &'static str) -> bool {
        let Some((said, value)) = self.value(key).and_then(|it| Some((it.get_ref().as_str()?, it))) else {
            return false;
        };
        let wrong = no_model(said);
        let is_one = wrong.is_none();
        if let Some((what, hint)) = wrong {
            self.fault(&value.span(), format!("`{key}`: {what}"), hint);
        }
        is_one
    }

    /// One model, or several in order.
    fn models(&mut self) -> Option<Vec<String>> {
        let key = "fallback_model";
        if self.value(key)?.get_ref().is_str() {
            return self.text_of(key, 256).filter(|_| self.is_model(key)).map(|one| vec![one]);
        }
        let models = self.checked(key, no_model)?;
        if models.is_empty() {
            let span = self.value(key)?.span();
            self.fault(&span, format!("`{key}` names none; leave it out"), None);
        }
        Some(models)
    }

    fn tools(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.checked(key, no_tool)
    }

    fn template(&mut self) -> Option<String> {
        let text = self.text_of("prompt", usize::MAX)?;
        if let Err(wrong) = template::check(&text) {
            let span = self.value("prompt")?.span();
            // Where the piece stands in the file, as far as no escape hides it.
            let inside = self.text.get(span.clone()).and_then(|it| it.find(&wrong.piece)).unwrap_or(0);
            self.fault(&(span.start + inside..span.end), format!("`prompt`: {}", wrong.what), wrong.hint);
        }
        Some(text)
    }

    fn integer(&mut self, key: &'static str) -> Option<(i64, Range<usize>)> {
        let value = self.value(key)?;
        let number =
            value.get_ref().as_integer().and_then(|it| i64::from_str_radix(it.as_str(), it.radix()).ok());
        if number.is_none() {
            self.wrong_kind(key, value, "a whole number");
        }
        Some((number?, value.span()))
    }

    fn count(&mut self, key: &'static str, least: u32, most: u32) -> Option<u32> {
        let (number, span) = self.integer(key)?;
        let fits = u32::try_from(number).ok().filter(|it| (least..=most).contains(it));
        if fits.is_none() {
            self.fault(&span, format!("`{key}` must be from {least} to {most}"), None);
        }
        fits
    }

    /// A number of seconds, or a duration as people write it.
    fn seconds(&mut self, key: &'static str) -> Option<u32> {
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

    fn dollars(&mut self) -> Option<f64> {
        let key = "max_cost_usd";
        let value = self.value(key)?;
        let number: Option<f64> = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        let fits = number.filter(|it| it.is_finite() && *it > 0.0);
        if fits.is_none() {
            self.fault(&value.span(), format!("`{key}` takes a number above 0, such as 1.5"), None);
        }
        fits
    }

    fn size(&mut self, key: &'static str) -> Option<u64> {
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
        let fits = parsed
            .and_then(|it| if it < OUTPUT_MIN { Err("must be at least 1KiB".to_owned()) } else { Ok(it) });
        fits.map_err(|why| self.fault(&value.span(), format!("`{key}` {why}"), None)).ok()
    }

    fn variables(&mut self) -> Option<Vec<String>> {
        self.checked("environment", |name| {
            let stem = name.strip_suffix('*').unwrap_or(name);
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let is_name =
                stem.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && stem.chars().all(fits);
            let hint =
                "a name as it is, or its beginning and a `*`; the value is that of the worker's environment";
            (!is_name).then(|| (format!("`{name}` is no variable's name"), Some(hint.to_owned())))
        })
    }

    fn roots(&mut self) -> Option<Vec<PathBuf>> {
        let roots = self.checked("workdir_roots", |path| {
            let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
            let fits =
                path.starts_with('/') && !path.contains('\0') && Path::new(path).components().all(plain);
            (!fits).then(|| (format!("`{path}` must be an absolute path without `..`"), None))
        })?;
        Some(roots.into_iter().map(PathBuf::from).collect())
    }
}

type Wrong = Option<(String, Option<String>)>;

/// A name must not be taken for another argument, nor for two names.
fn no_model(name: &str) -> Wrong {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:/@[]".contains(c);
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 256 && name.chars().all(fits);
    let hint = || Some("such as `sonnet`, or a model's full name".to_owned());
    (!is_name).then(|| (format!("`{name}` is no model's name"), hint()))
}

/// A tool, or a rule: `Bash`, `Bash(git *)`, `mcp__server__tool`.
fn no_tool(rule: &str) -> Wrong {
    let (name, inner) = match rule.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')),
        None => (rule, Some("-")),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(fits);
    let is_rule = inner.is_some_and(|it| {
        !it.trim().is_empty() && !it.contains(['(', ')', ',']) && !it.chars().any(char::is_control)
    });
    if !is_name || !is_rule {
        let hint = "one tool or rule in each text, such as \"Read\" or \"Bash(git *)\", without commas";
        return Some((format!("`{rule}` is no tool"), Some(hint.to_owned())));
    }
    let alike = |tool: &str| {
        tool.eq_ignore_ascii_case(name) || name.len() > 3 && strsim::osa_distance(tool, name) == 1
    };
    let near = TOOLS.iter().find(|tool| alike(tool)).filter(|_| !TOOLS.contains(&name))?;
    Some((format!("there is no tool `{name}`"), Some(format!("did you mean `{near}`?"))))
}

#[cfg(test)]
mod tests;
