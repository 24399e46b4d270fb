//! What an answer is worth beyond that it was given. Pure.
//!
//! | what was wrong | whose it is | then |
//! |---|---|---|
//! | the task lacks what the pack's prompt names | the task's | E002, before anything is paid for |
//! | the schema is none | the pack's | its tasks wait until it is mended |
//! | the answer is no JSON document, or has not the shape | the model's | E006, tried again in the same conversation |
//! | the acceptance command failed | the work's | E006, the same |

use serde::de::IgnoredAny;

use super::verdict::{Judgement, Verdict};
use crate::task::ErrorCode;
use crate::task::acceptance::Acceptance;
use crate::task::outcome::head;
use crate::task::text::shown;

/// How much of what is no JSON is quoted, in bytes.
const QUOTED: usize = 80;

/// The judgement where an answer has to be one JSON document: what stands around it is taken off, and what is none failed.
/// Of what is no answer it says nothing. Whether something was taken off.
pub fn shaped(judgement: &mut Judgement) -> bool {
    let Verdict::Done { answer } = &mut judgement.verdict else { return false };
    match document(answer) {
        Ok(document) => {
            let is_same = document.len() == answer.trim().len();
            let document = document.to_owned();
            *answer = document;
            !is_same
        }
        Err(reason) => {
            judgement.verdict = Verdict::Failed { code: ErrorCode::E006, reason };
            false
        }
    }
}

/// The one JSON document that `answer` is, without white space and without one fence around it; else why it is none.
fn document(answer: &str) -> Result<&str, String> {
    let answer = answer.trim();
    let document = unfenced(answer).unwrap_or(answer);
    if document.is_empty() {
        return Err("the answer has to be one JSON document, and is empty".to_owned());
    }
    match serde_json::from_str::<IgnoredAny>(document) {
        Ok(_) => Ok(document),
        Err(error) => {
            let begins = shown(head(document, QUOTED), QUOTED);
            Err(format!(
                "the answer has to be one JSON document, and is none: {error}; it begins with `{begins}`"
            ))
        }
    }
}

/// What stands in a fence that is all there is: models like to put one around JSON.
fn unfenced(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("```")?.strip_suffix("```")?;
    let (word, inner) = inner.split_once('\n')?;
    let is_word = matches!(word.trim().to_ascii_lowercase().as_str(), "" | "json");
    is_word.then(|| inner.trim())
}

/// The judgement once the acceptance command has had the last word; of what is no answer it says nothing.
pub fn accepted(judgement: &mut Judgement, acceptance: &Acceptance) {
    if matches!(judgement.verdict, Verdict::Done { .. }) && !acceptance.passed {
        judgement.verdict = Verdict::Failed { code: ErrorCode::E006, reason: acceptance.reason() };
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::{Ending, judge};
    use super::*;
    use crate::agent::Evidence;

    fn answered(text: &str) -> Judgement {
        let line =
            serde_json::json!({"type": "result", "subtype": "success", "is_error": false, "result": text});
        judge(&Evidence::of(format!("{line}\n").as_bytes()), &Ending::default())
    }

    #[test]
    fn an_answer_is_one_json_document_or_it_failed() {
        for (answer, expected) in [
            (r#"{"a": 1}"#, Ok((r#"{"a": 1}"#, false))),
            ("  [1, 2]\n", Ok(("[1, 2]", false))),
            ("42", Ok(("42", false))),
            ("```json\n{\"a\": 1}\n```", Ok((r#"{"a": 1}"#, true))),
            ("```\n[]\n```\n", Ok(("[]", true))),
            ("", Err("is empty")),
            ("```json\n```", Err("is empty")),
            ("Here it is:\n```json\n{}\n```", Err("at line 1 column 1; it begins with `Here it is:")),
            ("{\"a\": 1} {\"b\": 2}", Err("trailing characters at line 1 column 10")),
            ("{\"a\": ", Err("EOF while parsing")),
            ("```yaml\na: 1\n```", Err("begins with ````yaml")),
        ] {
            let mut judgement = answered(answer);
            let was_fenced = shaped(&mut judgement);
            match (&judgement.verdict, expected) {
                (Verdict::Done { answer }, Ok((document, fenced))) => {
                    assert_eq!((answer.as_str(), was_fenced), (document, fenced));
                }
                (Verdict::Failed { code: ErrorCode::E006, reason }, Err(part)) => {
                    assert!(reason.contains(part), "{answer}: {reason}");
                }
                (other, _) => panic!("{answer}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_acceptance_command_has_the_last_word_on_answers_only() {
        let no = Acceptance { command: vec!["t".to_owned()], exit: Some(1), ..Acceptance::default() };
        let yes = Acceptance { passed: true, exit: Some(0), ..no.clone() };
        let mut judgement = answered("x");
        accepted(&mut judgement, &yes);
        assert!(matches!(judgement.verdict, Verdict::Done { .. }));
        accepted(&mut judgement, &no);
        let Verdict::Failed { code, reason } = &judgement.verdict else { panic!("{judgement:?}") };
        assert_eq!(
            (*code, reason.as_str()),
            (ErrorCode::E006, "the acceptance command `t` failed (exit status 1)")
        );
        let mut cancelled =
            Judgement { verdict: Verdict::Cancelled { reason: "c".to_owned() }, ..answered("x") };
        accepted(&mut cancelled, &no);
        assert!(matches!(cancelled.verdict, Verdict::Cancelled { .. }));
    }
}
