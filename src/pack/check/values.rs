//! The values of a pack file that mean something to it: models, tools, prompts, variables, directories.

use std::path::{Component, Path, PathBuf};

use toml::de::DeValue;

use super::reader::Reader;
use crate::pack::name::PackName;
use crate::pack::template;

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

impl Reader<'_> {
    pub(super) fn is_model(&mut self, key: &'static str) -> bool {
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
    pub(super) fn models(&mut self) -> Option<Vec<String>> {
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

    pub(super) fn tools(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.checked(key, no_tool)
    }

    /// Names of packs, which need not be there yet; or a `*` for all.
    pub(super) fn packs(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.checked(key, |name| {
            let fits = name == "*" || name.parse::<PackName>().is_ok();
            let hint = "the name of a pack as a task's `type` says it, or \"*\" for all";
            (!fits).then(|| (format!("no pack can be called `{name}`"), Some(hint.to_owned())))
        })
    }

    pub(super) fn template(&mut self) -> Option<String> {
        let text = self.text_of("prompt", usize::MAX)?;
        if let Err(wrong) = template::check(&text) {
            let span = self.value("prompt")?.span();
            // Where the piece stands in the file, as far as no escape hides it.
            let inside = self.text.get(span.clone()).and_then(|it| it.find(&wrong.piece)).unwrap_or(0);
            self.fault(&(span.start + inside..span.end), format!("`prompt`: {}", wrong.what), wrong.hint);
        }
        Some(text)
    }

    /// A number of tokens.
    pub(super) fn amount(&mut self, key: &'static str) -> Option<u64> {
        let value = self.value(key)?;
        let number: Option<u64> = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::Float(_)
            | DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        let fits = number.filter(|it| *it > 0);
        if fits.is_none() {
            self.fault(&value.span(), format!("`{key}` takes a whole number above 0, such as 200_000"), None);
        }
        fits
    }

    pub(super) fn dollars(&mut self, key: &'static str) -> Option<f64> {
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

    pub(super) fn variables(&mut self) -> Option<Vec<String>> {
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

    /// A program and its arguments: no shell reads them.
    pub(super) fn command(&mut self, key: &'static str) -> Option<Vec<String>> {
        let words = self.checked(key, |word| {
            word.contains('\0').then(|| ("a word of it holds a NUL character".to_owned(), None))
        })?;
        let program = words.first().map_or("", String::as_str);
        if program.trim().is_empty() {
            let span = self.value(key)?.span();
            self.fault(&span, format!("`{key}` names no program; leave it out"), None);
        } else if words.len() == 1 && program.contains(char::is_whitespace) {
            let span = self.value(key)?.span();
            let split: Vec<_> = program.split_whitespace().map(|it| format!("\"{it}\"")).collect();
            let hint = format!("no shell reads it; each word is a text of its own: [{}]", split.join(", "));
            self.fault(&span, format!("`{key}`: `{program}` is no program"), Some(hint));
        }
        Some(words)
    }

    pub(super) fn roots(&mut self) -> Option<Vec<PathBuf>> {
        let roots = self.checked("workdir_roots", no_directory)?;
        Some(roots.into_iter().map(PathBuf::from).collect())
    }

    /// The directory of the tasks that name none.
    pub(super) fn directory(&mut self) -> Option<PathBuf> {
        let key = "workdir_path";
        let path = self.text_of(key, 4096)?;
        let span = self.value(key)?.span();
        let must = self.value("workdir").and_then(|it| it.get_ref().as_str()) == Some("required");
        let wrong = no_directory(&path).map(|(what, _)| format!("`{key}`: {what}"));
        let wrong = wrong.or_else(|| {
            must.then(|| format!("`{key}` is for tasks that name no directory, and `workdir = \"required\"` lets none do so"))
        });
        match wrong {
            Some(what) => {
                self.fault(&span, what, None);
                None
            }
            None => Some(path.into()),
        }
    }
}

fn no_directory(path: &str) -> Wrong {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let fits = path.starts_with('/') && !path.contains('\0') && Path::new(path).components().all(plain);
    (!fits).then(|| (format!("`{path}` must be an absolute path without `..`"), None))
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
pub(super) fn no_tool(rule: &str) -> Wrong {
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
