//! The entries that a task's record takes over its life. Each is one pure change, written by one replacement.

use jiff::Timestamp;

use super::attempt::{Attempt, AttemptOutcome, Tokens, Usage};
use super::fault::ErrorCode;
use super::file::TaskFile;
use super::name::{RunId, TaskName};
use super::outcome::Outcome;
use super::state::TaskState;
use crate::clock::epoch_seconds;

/// The attempts that a record keeps for certain.
const ATTEMPTS_KEPT: usize = 50;

/// Why a task goes back to the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Requeue {
    /// How the attempt ended.
    pub outcome: AttemptOutcome,
    /// Whether it counts against `max_retries`.
    pub charged: bool,
    /// Why, in a word or a sentence.
    pub reason: String,
    /// Why, as a code, where one fits.
    pub error_code: Option<ErrorCode>,
    /// Not before this moment.
    pub retry_at: Option<Timestamp>,
    /// What it used.
    pub usage: Usage,
}

impl TaskFile {
    /// Begins a life: the first claim. `name` and the pack are written down so that they last.
    pub fn begin_run(&mut self, run: RunId, name: &TaskName, submitted_at: Timestamp) {
        self.spec.id = Some(name.clone());
        self.spec.kind.get_or_insert_with(|| "default".to_owned());
        self.record.submitted_at = Some(submitted_at);
        self.record.run_id = Some(run);
        self.record.retry_count = Some(0);
    }

    /// Records a start before it happens.
    pub fn begin_attempt(&mut self, attempt: Attempt) {
        self.record.state = Some(TaskState::Initializing);
        self.record.retry_at = None;
        self.forget_idle_attempts();
        self.record.attempts.push(attempt);
    }

    /// A fault that lasts for weeks is tried again every few minutes: of the attempts that cost nothing and count
    /// for nothing, only the last ones stay.
    fn forget_idle_attempts(&mut self) {
        let attempts = &mut self.record.attempts;
        let mut surplus = attempts.len().saturating_sub(ATTEMPTS_KEPT);
        attempts.retain(|attempt| {
            let is_free = attempt.cost_usd.unwrap_or(0.0) <= 0.0
                && attempt.tokens.is_none_or(|it| it == Tokens::default());
            let idle = !attempt.charged && !attempt.is_open() && is_free;
            let forget = idle && surplus > 0;
            surplus -= usize::from(forget);
            !forget
        });
    }

    /// Records the outcome, once: the first one wins.
    pub fn conclude(&mut self, outcome: &Outcome, usage: Usage, at: Timestamp) {
        if self.record.outcome().is_some() {
            return;
        }
        let failed = outcome.state != TaskState::Completed;
        let charged = matches!(outcome.state, TaskState::Failed | TaskState::Timeout);
        self.close_attempt(outcome.attempt_outcome(), outcome.failure_reason.clone(), usage, at);
        if charged {
            self.charge();
        }
        self.release();
        let record = &mut self.record;
        record.state = Some(outcome.state);
        record.retry_at = None;
        record.error_code = outcome.error_code;
        record.failure_reason.clone_from(&outcome.failure_reason);
        if failed {
            record.last_failure = Some(epoch_seconds(at));
        }
        record.result.clone_from(&outcome.result);
        record.output.clone_from(&outcome.output);
        record.denied_tools.clone_from(&outcome.denied_tools);
    }

    /// Records the end of an attempt that is to be followed by another.
    pub fn requeue(&mut self, why: &Requeue, at: Timestamp) {
        self.close_attempt(why.outcome, Some(why.reason.clone()), why.usage, at);
        if why.charged {
            self.charge();
        }
        let record = &mut self.record;
        record.state = Some(TaskState::Pending);
        record.retry_at = why.retry_at;
        record.last_failure = Some(epoch_seconds(at));
        record.failure_reason = Some(why.reason.clone());
        record.error_code = why.error_code;
    }

    fn close_attempt(
        &mut self,
        outcome: AttemptOutcome,
        reason: Option<String>,
        usage: Usage,
        at: Timestamp,
    ) {
        if let Some(attempt) = self.record.open_attempt_mut() {
            attempt.close(outcome, reason, at);
            attempt.cost_usd = usage.cost_usd;
            attempt.tokens = usage.tokens;
        }
    }

    /// Charges the last attempt, once. The count never falls behind the attempts that were charged, and a
    /// count that a runbook's script had already raised for this attempt is not raised again.
    fn charge(&mut self) {
        let record = &mut self.record;
        let written = record.retry_count.unwrap_or(0);
        match record.attempts.last_mut() {
            Some(attempt) => attempt.charged = true,
            None => record.retry_count = Some(written.saturating_add(1)),
        }
        record.retry_count = Some(record.charges());
    }
}

#[cfg(test)]
mod tests {
    use super::super::name::SessionId;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn running() -> TaskFile {
        let mut task = TaskFile::parse(br#"{"prompt":"x","note":1}"#).unwrap();
        task.begin_run(RunId::mint(), &"t".parse().unwrap(), at(1));
        task.begin_attempt(Attempt::open(1, SessionId::mint(), at(2)));
        task
    }

    fn crash() -> Requeue {
        Requeue {
            outcome: AttemptOutcome::Crashed,
            charged: true,
            reason: "worker_crash".to_owned(),
            error_code: None,
            retry_at: None,
            usage: Usage::default(),
        }
    }

    #[test]
    fn a_crash_is_charged_once_however_often_it_is_recorded() {
        let mut task = running();
        task.requeue(&crash(), at(3));
        task.requeue(&crash(), at(4));
        assert_eq!(task.record.retry_count, Some(1));
        assert_eq!(task.record.attempts.len(), 1);
        assert_eq!(task.record.attempts[0].ended_at, Some(at(3)), "the first end wins");
    }

    #[test]
    fn a_count_that_a_script_raised_already_is_not_raised_again() {
        let mut task = running();
        task.record.retry_count = Some(1);
        task.requeue(&crash(), at(3));
        assert_eq!(task.record.retry_count, Some(1));
    }

    #[test]
    fn what_is_not_the_task_s_fault_is_not_charged() {
        let mut task = running();
        task.requeue(&Requeue { charged: false, ..crash() }, at(3));
        assert_eq!(task.record.retry_count, Some(0));
        assert!(!task.record.attempts[0].charged);
    }

    #[test]
    fn a_fault_of_weeks_does_not_grow_the_record_without_end() {
        let mut task = running();
        task.requeue(&crash(), at(3));
        for n in 2..200 {
            task.begin_attempt(Attempt::open(n, SessionId::mint(), at(4)));
            task.requeue(&Requeue { charged: false, ..crash() }, at(5));
        }
        let numbers: Vec<_> = task.record.attempts.iter().map(|it| it.number).collect();
        assert_eq!(numbers.len(), ATTEMPTS_KEPT + 1);
        assert_eq!((numbers[0], numbers[1], numbers.last()), (1, 150, Some(&199)), "the charged one stays");
        assert_eq!(task.record.retry_count, Some(1));
    }

    #[test]
    fn the_first_outcome_wins() {
        let mut task = running();
        task.conclude(&Outcome::completed("yes", None), Usage::default(), at(3));
        task.conclude(&Outcome::failed(ErrorCode::E003, "late"), Usage::default(), at(4));
        assert_eq!(task.record.state, Some(TaskState::Completed));
        assert_eq!(task.record.failure_reason, None);
        assert_eq!(
            TaskFile::parse(&task.to_bytes()).unwrap().record,
            task.record,
            "and it survives a rewrite"
        );
    }

    #[test]
    fn what_was_paid_for_stays_in_the_record() {
        let paid = Usage { cost_usd: Some(0.5), tokens: None };
        let used = Usage { cost_usd: Some(0.0), tokens: Some(Tokens { output: 1, ..Tokens::default() }) };
        let nothing = Usage { cost_usd: Some(0.0), tokens: Some(Tokens::default()) };
        let mut task = running();
        for (n, usage) in (2..).zip([paid, used, nothing].into_iter().chain([Usage::default(); 80])) {
            task.requeue(&Requeue { charged: false, usage, ..crash() }, at(3));
            task.begin_attempt(Attempt::open(n, SessionId::mint(), at(4)));
        }
        let numbers: Vec<_> = task.record.attempts.iter().map(|it| it.number).collect();
        assert_eq!(numbers[..2], [1, 2], "{numbers:?}");
        assert!(!numbers.contains(&3), "it cost nothing and used nothing");
        let sum = task.record.tokens();
        assert_eq!((task.record.cost_usd().to_bits(), sum.output), (0.5f64.to_bits(), 1));
    }

    #[test]
    fn the_last_failure_is_that_of_a_task_that_did_not_succeed() {
        let mut task = running();
        task.conclude(&Outcome::completed("yes", None), Usage::default(), at(3));
        assert_eq!(task.record.last_failure, None);
        let mut task = running();
        task.conclude(&Outcome::failed(ErrorCode::E003, "late"), Usage::default(), at(4));
        assert!(task.record.last_failure.is_some());
    }
}
