//! What a task asks, in the words that reach the agent.

use serde_json::Value;

use super::fields::Spec;

/// The longest prompt, in bytes: the CLI refuses more on its standard input.
pub const PROMPT_MAX: usize = 10_000_000;

/// Why a task cannot be said to an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// The CLI would refuse it.
    #[error(
        "prompt too long: {bytes} bytes with its input, and {PROMPT_MAX} is the most the agent takes; put the rest into a file"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// There is nothing to ask: the CLI would end at once.
    #[error("`prompt` is empty; say what is to be done")]
    Empty,
}

/// What the agent is asked to do: the prompt, and `input` below it as a block of JSON. An input that is a plain
/// string is the prompt where there is none.
pub fn compose(spec: &Spec) -> Result<String, PromptError> {
    let prompt = spec.prompt.as_deref().unwrap_or_default();
    let text = match (&spec.input, prompt.trim().is_empty()) {
        (None, _) => prompt.to_owned(),
        (Some(Value::String(input)), true) => input.clone(),
        (Some(input), true) => format!("Work on this input:\n\n{}\n", fenced(input)),
        (Some(input), false) => format!("{prompt}\n\nInput:\n\n{}\n", fenced(input)),
    };
    check(&text)?;
    Ok(text)
}

/// Whether a text can be sent.
pub fn check(text: &str) -> Result<(), PromptError> {
    if text.trim().is_empty() {
        return Err(PromptError::Empty);
    }
    if text.len() > PROMPT_MAX {
        return Err(PromptError::TooLong { bytes: text.len() });
    }
    Ok(())
}

/// The JSON in a fence that is longer than any run of backticks in it, so that no input closes its own fence.
fn fenced(input: &Value) -> String {
    let json = format!("{input:#}");
    let longest = json.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}json\n{json}\n{fence}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(prompt: Option<&str>, input: Option<Value>) -> Spec {
        Spec { prompt: prompt.map(str::to_owned), input, ..Spec::default() }
    }

    #[test]
    fn prompt_and_input_are_put_together() {
        let table = [
            (Some("do it"), None, "do it"),
            (None, Some(json!("do it")), "do it"),
            (Some(" "), Some(json!("do it")), "do it"),
            (Some("do it"), Some(json!("x")), "do it\n\nInput:\n\n```json\n\"x\"\n```\n"),
            (Some("do it"), Some(json!({"a": 1})), "do it\n\nInput:\n\n```json\n{\n  \"a\": 1\n}\n```\n"),
            (None, Some(json!([1])), "Work on this input:\n\n```json\n[\n  1\n]\n```\n"),
        ];
        for (prompt, input, text) in table {
            assert_eq!(compose(&spec(prompt, input)).unwrap(), text);
        }
    }

    #[test]
    fn an_input_cannot_close_its_own_fence() {
        let text = compose(&spec(Some("p"), Some(json!({"a": "```\n`````"})))).unwrap();
        assert!(text.contains("\n``````json\n") && text.trim_end().ends_with("\n``````"));
    }

    #[test]
    fn what_the_agent_would_refuse_is_refused_here() {
        assert_eq!(compose(&spec(None, Some(json!(" ")))), Err(PromptError::Empty));
        let long = "x".repeat(PROMPT_MAX + 1);
        assert_eq!(compose(&spec(Some(&long), None)), Err(PromptError::TooLong { bytes: PROMPT_MAX + 1 }));
        assert!(check(&long[1..]).is_ok());
    }
}
