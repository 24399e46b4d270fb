//! What came of a run.
//!
//! Invariants:
//! - a good result is the verdict, whoever ended the process afterwards and however; unless one of us asked it to end in the
//!   middle of a later turn, whose answer somebody waits for;
//! - an end without a result line is never a success, whatever the exit status;
//! - an API failure is told by status and kind, and comes as a `success` with `is_error`;
//! - what is not the task's fault is a [`Verdict::Wait`], and is never charged.
//!
//! It deliberately does not know the task, its retries, or what happens next.

use std::time::Duration;

pub use super::ending::{Allowed, Denied, EndedBy, Ending};
use super::evidence::Evidence;
use super::remedy;
use super::stream::ResultLine;
use crate::clock::Timestamp;
pub use crate::os::process::Exit;
pub use crate::task::HoldCause;
use crate::task::outcome::head;
use crate::task::{AttemptOutcome, ErrorCode, Tokens};

/// Until when to wait, where the API said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until this moment.
    At(Timestamp),
    /// For this long.
    After(Duration),
}

/// Whether a run was interrupted on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// By one of us, for a reason that is not the task's.
    Asked,
    /// By an operator, who lets it go on later.
    Held,
    /// It crashed, or was killed by nobody of us.
    Crashed,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It answered.
    Done {
        /// The whole answer.
        answer: String,
    },
    /// The task's own fault, or one that this task met.
    Failed {
        /// Why, as a code.
        code: ErrorCode,
        /// Why, in words.
        reason: String,
    },
    /// Not the task's fault: it goes back uncharged, and the worker holds.
    Wait {
        /// What the worker waits for.
        cause: HoldCause,
        /// Until when, where the API said so.
        until: Option<Until>,
        /// What happened, in words.
        reason: String,
        /// What a person can do about it.
        remedy: String,
    },
    /// It was cut short, and its session can go on.
    Interrupted {
        /// By whom.
        cause: Interruption,
        /// How, in words.
        reason: String,
    },
    /// An operator cancelled it.
    Cancelled {
        /// How it ended, in words.
        reason: String,
    },
    /// The conversation that was to go on is not there, or the CLI would not go on with it: nothing ran.
    SessionGone {
        /// What the CLI said.
        reason: String,
    },
}

impl Verdict {
    /// Whether the attempt counts against `max_retries`.
    pub const fn is_charged(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::Interrupted { cause: Interruption::Crashed, .. } => true,
            Self::Done { .. }
            | Self::Wait { .. }
            | Self::Interrupted { cause: Interruption::Asked | Interruption::Held, .. }
            | Self::Cancelled { .. }
            | Self::SessionGone { .. } => false,
        }
    }

    /// How the attempt is recorded.
    pub const fn attempt_outcome(&self) -> AttemptOutcome {
        match self {
            Self::Done { .. } => AttemptOutcome::Completed,
            Self::Failed { code: ErrorCode::E003, .. } => AttemptOutcome::TimedOut,
            Self::Failed { .. } => AttemptOutcome::Failed,
            Self::Wait { .. } => AttemptOutcome::Deferred,
            Self::Interrupted { cause: Interruption::Asked | Interruption::Held, .. } => {
                AttemptOutcome::Interrupted
            }
            Self::Interrupted { cause: Interruption::Crashed, .. } => AttemptOutcome::Crashed,
            Self::Cancelled { .. } => AttemptOutcome::Cancelled,
            Self::SessionGone { .. } => AttemptOutcome::SessionLost,
        }
    }
}

/// A verdict, with what the run used.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What came of it.
    pub verdict: Verdict,
    /// Whether it failed only since its turns were used up, so that more of them may do.
    pub needs_more: bool,
    /// What the session cost so far, in US dollars: over all its runs, so the difference is this run's.
    pub cost_usd: Option<f64>,
    /// What this run used.
    pub tokens: Tokens,
    /// The conversation, as the CLI calls it.
    pub session_id: Option<String>,
    /// The turns of the last message.
    pub num_turns: Option<u32>,
    /// The model that was asked.
    pub model: Option<String>,
    /// The model that answered last.
    pub answered_by: Option<String>,
    /// The time spent in API calls, in milliseconds.
    pub api_ms: Option<u64>,
    /// The tools that were denied, where the answer counts all the same.
    pub denied: Vec<String>,
}

/// Judges a run that has ended.
pub fn judge(evidence: &Evidence, ending: &Ending<'_>) -> Judgement {
    let (init, result) = (evidence.init.as_ref(), evidence.last_result.as_ref());
    let verdict = verdict(evidence, ending);
    let is_limit = matches!(verdict, Verdict::Failed { code: ErrorCode::E004, .. });
    Judgement {
        needs_more: is_limit && result.is_some_and(is_out_of_turns),
        verdict,
        cost_usd: result.and_then(|result| result.cost_usd),
        tokens: evidence.used(),
        session_id: result
            .and_then(|result| result.session_id.clone())
            .or_else(|| init.and_then(|init| init.session_id.clone())),
        num_turns: result.and_then(|result| result.num_turns),
        model: init.and_then(|init| init.model.clone()),
        answered_by: evidence.answered_by.clone(),
        api_ms: result.and_then(|result| result.api_ms),
        denied: reported(evidence, ending.denied),
    }
}

/// The denied tools that are told and no failure, each once.
fn reported(evidence: &Evidence, worth: Denied<'_>) -> Vec<String> {
    let mut tools: Vec<String> = Vec::new();
    for denial in evidence.denials.iter().filter(|_| worth == Denied::Counts) {
        if !tools.contains(&denial.tool) {
            tools.push(denial.tool.clone());
        }
    }
    tools
}

fn verdict(evidence: &Evidence, ending: &Ending<'_>) -> Verdict {
    let was_asked = matches!(ending.ended_by, Some(EndedBy::Stop | EndedBy::Hold | EndedBy::Cancel));
    // The CLI ends such a turn as a success, and leaves the answer out.
    let is_cut_in_a_hook = ending.ended_by.is_some()
        && !evidence.open_hooks.is_empty()
        && evidence.last_result.as_ref().is_some_and(ResultLine::is_ended_by_hook);
    if is_cut_in_a_hook {
        return unfinished(evidence, ending);
    }
    if let Some(answer) = evidence.answer().filter(|_| !(was_asked && evidence.is_in_turn)) {
        return answered(evidence, answer, ending.denied);
    }
    if ending.ended_by == Some(EndedBy::Cancel) {
        return Verdict::Cancelled { reason: "cancelled by an operator".to_owned() };
    }
    match &evidence.last_result {
        Some(_) if was_asked && evidence.is_in_turn => unfinished(evidence, ending),
        Some(result) if result.is_aborted() => unfinished(evidence, ending),
        Some(result) => refused(evidence, result, ending),
        None => unfinished(evidence, ending),
    }
}

/// A good result: done, unless something that was asked for is missing from it.
fn answered(evidence: &Evidence, answer: &str, worth: Denied<'_>) -> Verdict {
    let mut denied: Vec<&str> = evidence.denials.iter().map(|denial| denial.tool.as_str()).collect();
    let file = match worth {
        Denied::Fails => None,
        Denied::FailsBy(file) => Some(file),
        Denied::Counts => {
            denied.clear();
            None
        }
    };
    let wants_shape = evidence.init.as_ref().is_some_and(|init| init.wants_structured_output);
    let shaped = evidence.last_result.as_ref().and_then(|result| result.structured_output.as_ref());
    if !denied.is_empty() {
        return failed(ErrorCode::E005, remedy::denied(&denied, file));
    }
    match shaped {
        Some(shaped) if wants_shape => Verdict::Done { answer: shaped.clone() },
        None if wants_shape => {
            failed(ErrorCode::E006, "the model gave no answer of the shape that was asked for")
        }
        Some(_) | None => Verdict::Done { answer: answer.to_owned() },
    }
}

/// A bad result that the run came to by itself.
fn refused(evidence: &Evidence, result: &ResultLine, ending: &Ending<'_>) -> Verdict {
    if let (Some(why), None) = (ending.disk, result.api_error_status)
        && result.subtype == "error_during_execution"
    {
        return no_room(evidence, why, &said(result));
    }
    if result.subtype == "error_during_execution" && evidence.init.is_none() {
        return not_begun(evidence, said(result), ending);
    }
    if let Some(limit) = limit(result, evidence.assistant_error.as_deref()) {
        return failed(ErrorCode::E004, format!("{limit}: {}", said(result)));
    }
    if result.stop_reason.as_deref() == Some("refusal") {
        return failed(ErrorCode::E006, format!("the model refused: {}", said(result)));
    }
    let error = evidence.assistant_error.as_deref();
    match HoldCause::of(result.api_error_status, result.api_error_type.as_deref(), error) {
        Some(cause) => wait(evidence, cause, said(result)),
        None => failed(ErrorCode::E006, said(result)),
    }
}

fn is_out_of_turns(result: &ResultLine) -> bool {
    result.subtype == "error_max_turns" || result.terminal_reason.as_deref() == Some("max_turns")
}

/// The limit that a bad result says was reached.
fn limit(result: &ResultLine, error: Option<&str>) -> Option<&'static str> {
    if is_out_of_turns(result) {
        return Some("the limit of turns was reached");
    }
    match (result.subtype.as_str(), result.terminal_reason.as_deref()) {
        ("error_max_budget_usd", _) | (_, Some("budget_exhausted")) => Some("the limit of costs was reached"),
        (_, Some("prompt_too_long")) => Some("the conversation is too long for the model"),
        _ if result.api_error_status == Some(413) => Some("the request is too large for the API"),
        _ if error == Some("max_output_tokens") => Some("the answer is longer than the model may print"),
        _ => None,
    }
}

/// No result, or one that says no more than that the turn was cut short: who cut it?
fn unfinished(evidence: &Evidence, ending: &Ending<'_>) -> Verdict {
    if let (None, Some(witness)) = (ending.ended_by, ending.oom) {
        return oom_killed(evidence, ending, witness);
    }
    match ending.ended_by {
        Some(EndedBy::Stop) => Verdict::Interrupted {
            cause: Interruption::Asked,
            reason: "interrupted on request, before it was finished".to_owned(),
        },
        Some(EndedBy::Hold) => Verdict::Interrupted {
            cause: Interruption::Held,
            reason: "interrupted by an operator, before it was finished".to_owned(),
        },
        Some(EndedBy::Cancel) => Verdict::Cancelled { reason: "cancelled by an operator".to_owned() },
        Some(EndedBy::OutputLimit) => failed(ErrorCode::E004, "it printed more than --max-output allows"),
        Some(EndedBy::TokenLimit) => failed(
            ErrorCode::E004,
            ending.allowed.map_or_else(|| "it used more tokens than it may".to_owned(), |it| it.to_string()),
        ),
        Some(EndedBy::MemoryLimit) => {
            failed(ErrorCode::E004, ending.memory.unwrap_or("it used more memory than it may"))
        }
        Some(EndedBy::Timeout) => pending_cause(evidence)
            .or_else(|| lacked_room(evidence, ending).filter(|_| evidence.is_torn))
            .unwrap_or_else(|| failed(ErrorCode::E003, "the time limit was reached before it was finished")),
        Some(EndedBy::Silence) => pending_cause(evidence)
            .or_else(|| lacked_room(evidence, ending))
            .unwrap_or_else(|| silent(evidence)),
        Some(EndedBy::HopelessWait | EndedBy::HangAfterResult) | None => pending_cause(evidence)
            .or_else(|| lacked_room(evidence, ending))
            .unwrap_or_else(|| ended_by_itself(evidence, ending)),
    }
}

/// The kernel took it: whatever it waited for, that is why it ended.
fn oom_killed(evidence: &Evidence, ending: &Ending<'_>, witness: &str) -> Verdict {
    let how = how_it_ended(evidence, ending.exit);
    let reason = format!("oom_killed: {witness}; {how}; {}", remedy::MORE_MEMORY);
    Verdict::Interrupted { cause: Interruption::Crashed, reason }
}

/// The failure of the API that the run had met and not got over when it ended.
fn pending_cause(evidence: &Evidence) -> Option<Verdict> {
    if let Some(retry) = &evidence.open_retry {
        let cause = HoldCause::of(retry.status, None, retry.error.as_deref())?;
        let status = retry.status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
        let error = retry.error.as_deref().unwrap_or("unknown");
        return Some(wait(evidence, cause, format!("the API failed: {status}, {error}")));
    }
    let error = evidence.assistant_error.as_deref()?;
    let cause = HoldCause::of(None, None, Some(error))?;
    Some(wait(evidence, cause, format!("the API failed: {error}")))
}

/// Nothing was heard: a tool or a hook that says nothing is the task's, a model that says nothing is not.
fn silent(evidence: &Evidence) -> Verdict {
    if let Some(hook) = evidence.open_hooks.first() {
        let (name, where_from) =
            (&hook.name, "the settings of its working directory or of the worker's user");
        return failed(
            ErrorCode::E003,
            format!(
                "nothing was heard for too long while the hook {name} was at work, which {where_from} ask for"
            ),
        );
    }
    match evidence.open_tools.first() {
        Some(tool) => failed(
            ErrorCode::E003,
            format!(
                "nothing was heard for too long while the tool {} was at work: {}",
                tool.name, tool.brief
            ),
        ),
        None => wait(evidence, HoldCause::Outage, "nothing was heard from the API for too long".to_owned()),
    }
}

/// Nobody of us ended it, and there is no result.
fn ended_by_itself(evidence: &Evidence, ending: &Ending<'_>) -> Verdict {
    if ending.exit == Some(Exit::Signal(nix::libc::SIGXFSZ)) {
        return failed(
            ErrorCode::E004,
            "it wrote a file larger than the limit on the size of files allows (LimitFSIZE=, `ulimit -f`)",
        );
    }
    // A CLI that does not like its arguments, its prompt or its user says so on standard error and ends with a small
    // status, before it prints anything of its own. A status above 128 stands for a signal.
    let refused_to_start = evidence.init.is_none() && evidence.last_result.is_none();
    let reason = with_stderr(how_it_ended(evidence, ending.exit), ending.stderr_tail);
    match ending.exit {
        Some(Exit::Code(1..=128)) if refused_to_start => not_begun(evidence, reason, ending),
        Some(Exit::Code(_) | Exit::Signal(_)) | None => {
            Verdict::Interrupted { cause: Interruption::Crashed, reason }
        }
    }
}

/// The CLI would not begin: with the conversation that it was to go on with, or at all.
fn not_begun(evidence: &Evidence, reason: String, ending: &Ending<'_>) -> Verdict {
    if ending.goes_on {
        Verdict::SessionGone { reason }
    } else {
        wait(evidence, HoldCause::Configuration, reason)
    }
}

/// The disk that was full under it, if one was.
fn lacked_room(evidence: &Evidence, ending: &Ending<'_>) -> Option<Verdict> {
    ending.disk.map(|why| no_room(evidence, why, &how_it_ended(evidence, ending.exit)))
}

/// Its own writes failed, or its result was not taken: nobody knows what it came to, and it is not the task's fault.
fn no_room(evidence: &Evidence, why: &str, how: &str) -> Verdict {
    wait(evidence, HoldCause::Disk, format!("{why}: {how}"))
}

fn how_it_ended(evidence: &Evidence, exit: Option<Exit>) -> String {
    let how = match exit {
        Some(Exit::Code(code)) => format!("the agent ended with exit status {code}"),
        Some(Exit::Signal(signal)) => format!("the agent was ended by signal {signal}"),
        None => "the agent ended".to_owned(),
    };
    let what = if evidence.is_torn {
        "in the middle of a line"
    } else if evidence.init.is_none() {
        "before it began"
    } else {
        "without a result"
    };
    format!("{how} {what}")
}

fn failed(code: ErrorCode, reason: impl Into<String>) -> Verdict {
    Verdict::Failed { code, reason: reason.into() }
}

fn wait(evidence: &Evidence, cause: HoldCause, reason: String) -> Verdict {
    let until = if cause == HoldCause::RateLimit { lifted(evidence) } else { None };
    Verdict::Wait { cause, until, reason, remedy: remedy::remedy(cause).to_owned() }
}

/// When the rate limit is lifted, as far as the API said.
fn lifted(evidence: &Evidence) -> Option<Until> {
    let told = evidence.rate_limit.as_ref().filter(|limit| limit.is_rejected);
    let at = told.and_then(|limit| limit.resets_at).and_then(|at| Timestamp::from_second(at).ok());
    let delay = evidence.open_retry.as_ref().map(|retry| Duration::from_millis(retry.delay_ms));
    at.map(Until::At).or(delay.map(Until::After))
}

/// What the CLI says went wrong, for people.
fn said(result: &ResultLine) -> String {
    let text = result.answer.as_deref().or(result.errors.first().map(String::as_str)).unwrap_or_default();
    let text = one_line(text);
    if text.is_empty() { format!("the agent failed ({})", one_line(&result.subtype)) } else { text }
}

fn with_stderr(reason: String, stderr: &str) -> String {
    let tail = one_line(stderr);
    if tail.is_empty() { reason } else { format!("{reason}: {tail}") }
}

/// A text on one line, at most 500 bytes of it.
fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    head(&words.join(" "), 500).to_owned()
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
