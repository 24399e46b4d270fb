//! The bounds of the fields that people write. What lies outside is said with its field, before anything is claimed.

use serde_json::Value;

use super::fields::Spec;
use super::file::ParseError;
use super::prompt::{self, PromptError};
use super::text::{is_hidden, shown};

/// The most retries one task may ask for: each attempt that counts stays in its file for good.
const RETRIES_MAX: u32 = 1000;
/// The longest correlation id, in bytes: it stands in every line of the log.
const CORRELATION_MAX: usize = 256;
/// The longest name of a pack, in bytes.
const KIND_MAX: usize = 128;
/// The longest path (`PATH_MAX`, limits.h), in bytes.
const PATH_MAX: usize = 4095;

/// Whether a task can be worked on as far as its own fields tell.
pub(super) fn check(spec: &Spec) -> Result<(), ParseError> {
    match wrong(spec) {
        Some(why) => Err(ParseError::Invalid(why)),
        None => promptly(spec),
    }
}

fn wrong(spec: &Spec) -> Option<String> {
    numbers(spec).map(str::to_owned).or_else(|| names(spec)).or_else(|| nul(spec))
}

fn numbers(spec: &Spec) -> Option<&'static str> {
    if spec.timeout_s == Some(0) {
        return Some("field `timeout_s`: must be at least 1");
    }
    if spec.max_turns == Some(0) {
        return Some("field `max_turns`: must be at least 1");
    }
    if spec.max_tokens == Some(0) {
        return Some("field `max_tokens`: must be at least 1");
    }
    if spec.max_retries.is_some_and(|n| n > RETRIES_MAX) {
        return Some("field `max_retries`: must be at most 1000");
    }
    if spec.max_cost_usd.is_some_and(|usd| !usd.is_finite() || usd <= 0.0) {
        return Some("field `max_cost_usd`: must be above 0");
    }
    None
}

fn names(spec: &Spec) -> Option<String> {
    let longer = |text: &str, max: usize| (text.len() > max).then(|| format!("longer than {max} bytes"));
    let hidden = |text: &str| {
        text.contains(is_hidden)
            .then(|| format!("`{}` holds a character that cannot be seen", shown(text, 80)))
    };
    let correlation =
        spec.correlation_id.as_deref().and_then(|it| longer(it, CORRELATION_MAX).or_else(|| hidden(it)));
    let kind = spec.kind.as_deref().and_then(|it| longer(it, KIND_MAX));
    let workdir = spec.workdir.as_deref().and_then(|it| {
        let relative =
            || (!it.starts_with('/')).then(|| format!("`{}` must be an absolute path", shown(it, 80)));
        longer(it, PATH_MAX).or_else(relative)
    });
    let fields = [("correlation_id", correlation), ("type", kind), ("workdir", workdir)];
    fields.into_iter().find_map(|(name, why)| Some(format!("field `{name}`: {}", why?)))
}

/// A NUL ends a text for half of the programs that meet it, and not for the others.
fn nul(spec: &Spec) -> Option<String> {
    let has = |text: &Option<String>| text.as_deref().is_some_and(|it| it.contains('\0'));
    let fields = [
        ("prompt", has(&spec.prompt)),
        ("workdir", has(&spec.workdir)),
        ("type", has(&spec.kind)),
        ("input", spec.input.as_ref().is_some_and(holds_nul)),
    ];
    let (name, _) = fields.into_iter().find(|(_, has)| *has)?;
    Some(format!("field `{name}`: holds a NUL character (\\u0000); take it out"))
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn promptly(spec: &Spec) -> Result<(), ParseError> {
    if spec.prompt.is_none() && spec.input.is_none() {
        return Err(ParseError::Invalid(
            "neither `prompt` nor `input` is given; say what is to be done".to_owned(),
        ));
    }
    let checked = match &spec.input {
        None => prompt::check(spec.prompt.as_deref().unwrap_or_default()),
        Some(_) => prompt::compose(spec).map(drop),
    };
    match checked {
        Ok(()) => Ok(()),
        Err(error @ PromptError::Empty) => Err(ParseError::Invalid(error.to_string())),
        Err(error @ PromptError::TooLong { .. }) => Err(ParseError::TooLong(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::TaskFile;

    fn refusal(field: &str) -> Option<String> {
        let text = format!("{{\"prompt\":\"x\",{field}}}");
        TaskFile::parse(text.as_bytes()).err().map(|it| it.to_string())
    }

    #[test]
    fn what_lies_outside_is_refused_with_its_field_and_what_lies_at_the_bound_is_not() {
        let text = |name: &str, n: usize| format!("\"{name}\":\"{}\"", "x".repeat(n));
        let dir = |n: usize| format!("\"workdir\":\"/{}\"", "x".repeat(n));
        for (good, bad, why) in [
            ("\"max_retries\":1000".to_owned(), "\"max_retries\":1001".to_owned(), "at most 1000"),
            ("\"max_cost_usd\":0.01".to_owned(), "\"max_cost_usd\":0".to_owned(), "above 0"),
            ("\"max_cost_usd\":1".to_owned(), "\"max_cost_usd\":-1".to_owned(), "above 0"),
            ("\"timeout_s\":1".to_owned(), "\"timeout_s\":0".to_owned(), "at least 1"),
            ("\"max_turns\":1".to_owned(), "\"max_turns\":0".to_owned(), "at least 1"),
            ("\"max_tokens\":1".to_owned(), "\"max_tokens\":0".to_owned(), "at least 1"),
            (text("correlation_id", 256), text("correlation_id", 257), "longer than 256 bytes"),
            (text("type", 128), text("type", 129), "longer than 128 bytes"),
            (dir(4094), dir(4095), "longer than 4095 bytes"),
            (dir(3), "\"workdir\":\"src\"".to_owned(), "must be an absolute path"),
            (text("type", 1), "\"type\":\"a\\u0000\"".to_owned(), "holds a NUL"),
            ("\"input\":[\"a\"]".to_owned(), "\"input\":[\"a\",\"\\u0000\"]".to_owned(), "holds a NUL"),
            ("\"input\":{\"a\":1}".to_owned(), "\"input\":{\"a\\u0000\":1}".to_owned(), "holds a NUL"),
            ("\"input\":{\"a\":\"b\"}".to_owned(), "\"input\":{\"a\":\"\\u0000\"}".to_owned(), "holds a NUL"),
        ] {
            assert_eq!(refusal(&good), None, "{}", &good[..good.len().min(40)]);
            let said = refusal(&bad).unwrap_or_default();
            let field = bad.split('"').nth(1).unwrap();
            assert!(said.contains(why) && said.contains(&format!("`{field}`")), "{field}: {said}");
        }
    }
}
