//! What becomes of a task after a verdict on its attempt. Pure; the watcher and recovery ask the same rule.
//!
//! | verdict | charged | then |
//! |---|---|---|
//! | done | - | completed |
//! | failed, a code that is retried | yes | pending with a backoff, until the budget is used up; then failed |
//! | failed, another code | yes | failed |
//! | not the task's fault | no | pending; the worker holds |
//! | a rate limit, where tasks are not to wait for its end | - | failed (E006) |
//! | the disk was full under it, for the second time in a row | yes | as a code that is retried (E007); the worker holds |
//! | the agent or its watcher died | yes | pending, at once after a first crash; past the budget failed |
//! | its turns were used up, and its pack gives more | no | pending, at once |
//! | the same without more | yes | failed (E004), with what goes on with it |
//! | ended by an operator or a shutdown | no | pending |
//! | cancelled by an operator | no | cancelled |
//! | its session is gone, or refused | no | pending, at once, with the next rung of [`super::ladder`] |

use std::borrow::Cow;

use super::remedy::remedy;
use super::verdict::{HoldCause, Interruption, Judgement, Until, Verdict};
use crate::clock::Timestamp;
use crate::os::trouble::Trouble;
use crate::task::retry::{backoff, crash_backoff, is_exhausted};
use crate::task::{
    Attempt, AttemptOutcome, Began, ErrorCode, Outcome, Requeue, SessionId, TaskFile, TaskState, Tokens,
    Usage,
};
use crate::text::redact::Redactor;

/// What the rule depends on besides verdict and task.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// How often a task may be charged before it fails for good, where it does not say so itself.
    pub max_retries: u32,
    /// The most that it may say itself; `None`: anything.
    pub most_retries: Option<u32>,
    /// How often a task that used up its turns goes on with as many again.
    pub continues: u32,
    /// Now.
    pub now: Timestamp,
    /// 0 to 1, for the backoff.
    pub jitter: f64,
    /// Whether a task fails at a rate limit in place of waiting for its end.
    pub fails_at_limit: bool,
    /// What takes secrets out of the reasons, which are written in many places.
    pub redactor: &'a Redactor,
}

/// Why a worker should not start another task for now.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// The kind of fault.
    pub cause: HoldCause,
    /// What happened.
    pub reason: String,
    /// What a person can do about it.
    pub remedy: String,
    /// Until when, where that was told.
    pub until: Option<Timestamp>,
}

impl Holding {
    /// A hold with the remedy that goes with its cause, until it proves over.
    pub fn of(cause: HoldCause, reason: String) -> Self {
        Self { cause, reason, remedy: remedy(cause).to_owned(), until: None }
    }

    /// The same for what could not be written, read or made, with the remedy that goes with the error.
    pub fn of_disk(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        let usual = || remedy(HoldCause::Disk);
        let remedy = Trouble::of(error).map_or_else(usual, Trouble::remedy).to_owned();
        Self { cause: HoldCause::Disk, reason: format!("{what}: {error}"), remedy, until: None }
    }
}

/// What becomes of the task.
#[derive(Clone, Debug, PartialEq)]
pub enum Disposition {
    /// It ends.
    Conclude {
        /// How.
        outcome: Outcome,
        /// The whole answer.
        answer: Option<String>,
        /// What the attempt used.
        usage: Usage,
    },
    /// It goes back to the queue.
    Requeue {
        /// What is recorded.
        entry: Requeue,
        /// Whether the worker should hold.
        hold: Option<Holding>,
    },
}

impl Disposition {
    /// The same with no secret in any reason. The answer stays as it is: it is what was asked for.
    #[must_use]
    pub fn without_secrets(mut self, redactor: &Redactor) -> Self {
        let clean = |text: &mut String| {
            if let Cow::Owned(masked) = redactor.redact(text) {
                *text = masked;
            }
        };
        match &mut self {
            Self::Conclude { outcome, .. } => outcome.failure_reason.as_mut().map(clean),
            Self::Requeue { entry, hold } => {
                clean(&mut entry.reason);
                hold.as_mut().map(|hold| clean(&mut hold.reason))
            }
        };
        self
    }

    /// The same, and the worker should hold; a task that ends needs no hold.
    fn holding(self, holding: Holding) -> Self {
        match self {
            Self::Requeue { entry, .. } => Self::Requeue { entry, hold: Some(holding) },
            Self::Conclude { .. } => self,
        }
    }
}

/// What becomes of `task` after `judgement` on its open attempt.
pub fn dispose(judgement: &Judgement, task: &TaskFile, terms: &Terms<'_>) -> Disposition {
    disposed(judgement, task, terms).without_secrets(terms.redactor)
}

fn disposed(judgement: &Judgement, task: &TaskFile, terms: &Terms<'_>) -> Disposition {
    let usage = usage(judgement, task);
    match &judgement.verdict {
        Verdict::Done { answer } => Disposition::Conclude {
            outcome: Outcome {
                denied_tools: judgement.denied.clone(),
                ..Outcome::completed(answer, output_path(task))
            },
            answer: Some(answer.clone()),
            usage,
        },
        Verdict::Failed { reason, .. } if judgement.needs_more => needs_more(reason, usage, task, terms),
        Verdict::Failed { code, reason } => failed(*code, reason, usage, task, terms),
        // Once is the disk's fault. Twice in a row, with room found in between, is the task's, which fills it.
        Verdict::Wait { cause: HoldCause::Disk, reason, remedy, .. }
            if task.record.error_code == Some(ErrorCode::E007) =>
        {
            let (cause, reason) = (HoldCause::Disk, reason.clone());
            let disposition = failed(ErrorCode::E007, &reason, usage, task, terms);
            disposition.holding(Holding { cause, reason, remedy: remedy.clone(), until: None })
        }
        Verdict::Wait { cause: HoldCause::RateLimit, reason, .. } if terms.fails_at_limit => {
            Disposition::Conclude { outcome: at_limit(reason), answer: None, usage }
        }
        Verdict::Wait { cause, until, reason, remedy } => {
            let entry = uncharged(AttemptOutcome::Deferred, reason, Some(cause.code()), usage);
            let until = until.and_then(|until| moment(until, terms.now));
            let (reason, remedy) = (reason.clone(), remedy.clone());
            Disposition::Requeue { entry, hold: Some(Holding { cause: *cause, reason, remedy, until }) }
        }
        Verdict::Interrupted { cause: Interruption::Crashed, reason } => {
            after_crash(reason, usage, task, terms)
        }
        Verdict::Interrupted { cause: Interruption::Asked | Interruption::Held, reason } => {
            Disposition::Requeue {
                entry: uncharged(AttemptOutcome::Interrupted, reason, None, usage),
                hold: None,
            }
        }
        Verdict::Cancelled { reason } => {
            let outcome = Outcome {
                state: TaskState::Cancelled,
                error_code: None,
                failure_reason: Some(reason.clone()),
                result: None,
                output: None,
                denied_tools: Vec::new(),
            };
            Disposition::Conclude { outcome, answer: None, usage }
        }
        // At once: the ladder has an end.
        Verdict::SessionGone { reason } => Disposition::Requeue {
            entry: uncharged(AttemptOutcome::SessionLost, reason, None, usage),
            hold: None,
        },
    }
}

/// A task that is not to wait until a rate limit is lifted. It is not tried again: that would only burn its retries.
pub fn at_limit(reason: &str) -> Outcome {
    Outcome::failed(
        ErrorCode::E006,
        format!("{reason}; it did not wait for the end of the limit (--on-rate-limit fail)"),
    )
}

/// The moment that is meant.
pub fn moment(until: Until, now: Timestamp) -> Option<Timestamp> {
    match until {
        Until::At(at) => Some(at),
        Until::After(pause) => later(now, pause),
    }
}

fn failed(code: ErrorCode, reason: &str, usage: Usage, task: &TaskFile, terms: &Terms<'_>) -> Disposition {
    let charges = charges_after(task);
    if !code.is_retried() || is_exhausted(charges, budget(task, terms)) {
        return Disposition::Conclude { outcome: Outcome::failed(code, reason), answer: None, usage };
    }
    let outcome = if code == ErrorCode::E003 { AttemptOutcome::TimedOut } else { AttemptOutcome::Failed };
    let pause = backoff(charges, terms.jitter);
    let entry = Requeue {
        outcome,
        charged: true,
        reason: reason.to_owned(),
        error_code: Some(code),
        retry_at: later(terms.now, pause),
        usage,
    };
    Disposition::Requeue { entry, hold: None }
}

/// Its turns were used up: it goes on with as many again, or fails with what would go on with it.
fn needs_more(reason: &str, usage: Usage, task: &TaskFile, terms: &Terms<'_>) -> Disposition {
    let had = task.record.attempts.iter().filter(|it| it.outcome == Some(AttemptOutcome::NeedsMore)).count();
    if u32::try_from(had).is_ok_and(|had| had < terms.continues) {
        let entry = uncharged(AttemptOutcome::NeedsMore, reason, Some(ErrorCode::E004), usage);
        return Disposition::Requeue { entry, hold: None };
    }
    let name = task.spec.id.as_ref().map_or("TASK", |id| id.as_str());
    let had = if had > 0 {
        format!("; it went on {had} times already (max_continues in its pack)")
    } else {
        String::new()
    };
    let reason =
        format!("{reason}{had}; its session is kept: `agentctl retry {name} --continue` goes on with it");
    Disposition::Conclude { outcome: Outcome::failed(ErrorCode::E004, reason), answer: None, usage }
}

/// What becomes of `task` when its open attempt died without a result, having used so much.
pub fn after_crash(reason: &str, usage: Usage, task: &TaskFile, terms: &Terms<'_>) -> Disposition {
    let charges = charges_after(task);
    if is_exhausted(charges, budget(task, terms)) {
        let mut outcome = Outcome::failed(ErrorCode::E008, format!("{reason}; it was tried {charges} times"));
        outcome.error_code = None;
        return Disposition::Conclude { outcome, answer: None, usage };
    }
    let pause = crash_backoff(charges, terms.jitter);
    let entry = Requeue {
        outcome: AttemptOutcome::Crashed,
        charged: true,
        reason: reason.to_owned(),
        error_code: None,
        retry_at: if pause.is_zero() { None } else { later(terms.now, pause) },
        usage,
    };
    Disposition::Requeue { entry, hold: None }
}

fn uncharged(outcome: AttemptOutcome, reason: &str, code: Option<ErrorCode>, usage: Usage) -> Requeue {
    Requeue { outcome, charged: false, reason: reason.to_owned(), error_code: code, retry_at: None, usage }
}

/// The charges once the open attempt is charged too, as the record will count them.
fn charges_after(task: &TaskFile) -> u32 {
    let record = &task.record;
    let charged = record.attempts.iter().filter(|attempt| attempt.charged).count() + 1;
    record.retry_count.unwrap_or(0).max(u32::try_from(charged).unwrap_or(u32::MAX))
}

fn budget(task: &TaskFile, terms: &Terms<'_>) -> u32 {
    let wanted = task.spec.max_retries.unwrap_or(terms.max_retries);
    terms.most_retries.map_or(wanted, |most| wanted.min(most))
}

fn later(now: Timestamp, pause: std::time::Duration) -> Option<Timestamp> {
    now.checked_add(jiff::SignedDuration::try_from(pause).ok()?).ok()
}

fn output_path(task: &TaskFile) -> Option<String> {
    task.record.run_id.map(|run| format!("artifacts/{run}/output.txt"))
}

/// What the attempt itself used: the CLI counts cost over the whole conversation and takes the count along into a copy, so
/// what was counted there before is taken off. A count below that began anew: a transcript that lost its end lost it.
pub fn usage(judgement: &Judgement, task: &TaskFile) -> Usage {
    let attempts = &task.record.attempts;
    let open = task.record.open_attempt();
    let before = open.map_or(0.0, |open| match open.began {
        Some(Began::New | Began::Told) => 0.0,
        Some(Began::Resumed | Began::Forked) | None => {
            let ended = &attempts[..attempts.len() - 1];
            let earlier = open.cost_before_usd.unwrap_or(0.0);
            earlier
                + counted(ended, open.session_id)
                + open.forked_from.map_or(0.0, |from| counted(ended, from))
        }
    });
    let own = |total: f64| if total + ROUNDING < before { total } else { (total - before).max(0.0) };
    Usage { cost_usd: judgement.cost_usd.map(own), tokens: Some(judgement.tokens) }
}

/// What an attempt used that came to no result: what it cost is said with one only, while tokens are told as they are used.
pub const fn unpriced(tokens: Option<Tokens>) -> Usage {
    Usage { cost_usd: None, tokens }
}

/// Sums of dollars differ by less than this where they are the same.
const ROUNDING: f64 = 1e-9;

/// What the CLI has counted for a conversation by the end of `attempts`, in US dollars.
pub fn counted(attempts: &[Attempt], session: SessionId) -> f64 {
    let of_it = |it: &&Attempt| it.session_id == session;
    let begins =
        |it: &Attempt| !matches!(it.began, Some(Began::Resumed) | None) || it.cost_before_usd.is_some();
    let first = attempts.iter().rposition(|it| it.session_id == session && begins(it)).unwrap_or(0);
    let own =
        attempts[first..].iter().filter(of_it).filter_map(|it| it.cost_usd).fold(0.0, |sum, usd| sum + usd);
    let copied = attempts.get(first).filter(of_it).and_then(|it| it.forked_from);
    let earlier = attempts.get(first).filter(of_it).and_then(|it| it.cost_before_usd).unwrap_or(0.0);
    earlier + own + copied.map_or(0.0, |from| counted(&attempts[..first], from))
}

#[cfg(test)]
#[path = "disposition_tests.rs"]
mod tests;
