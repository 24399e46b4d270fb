//! Tables: what an attempt cost, and what becomes of a task whose turns were used up.

use super::*;
use crate::task::RunId;

fn at() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// A task with these ended attempts (conversation, how it began, of which it is a copy, what it cost), and an open one.
fn task(attempts: &[(u8, Began, Option<u8>, Option<f64>)]) -> TaskFile {
    let id = |n: u8| SessionId(uuid::Uuid::from_u128(n.into()));
    let mut task = TaskFile::parse(br#"{"prompt":"x"}"#).unwrap();
    task.begin_run(RunId::mint(), &"hello".parse().unwrap(), at());
    for (n, (session, began, from, cost)) in (1..).zip(attempts) {
        let mut attempt = Attempt::open(n, id(*session), at());
        attempt.began = Some(*began);
        attempt.forked_from = from.map(id);
        if usize::try_from(n).unwrap() < attempts.len() {
            attempt.close(AttemptOutcome::Interrupted, None, at());
            attempt.cost_usd = *cost;
        }
        task.record.attempts.push(attempt);
    }
    task
}

fn judgement(verdict: Verdict, total: Option<f64>) -> Judgement {
    Judgement {
        verdict,
        needs_more: false,
        cost_usd: total,
        tokens: Tokens::default(),
        session_id: None,
        num_turns: None,
        model: None,
        answered_by: None,
        api_ms: None,
        denied: Vec::new(),
    }
}

#[test]
fn an_attempt_costs_what_its_conversation_had_not_cost_before() {
    use Began::{Forked, New, Resumed, Told};
    let open = None;
    for (attempts, total, own) in [
        (&[(1, New, None, open)][..], 5.0, 5.0),
        (&[(1, New, None, Some(3.0)), (1, Resumed, None, open)], 5.0, 2.0),
        (&[(1, New, None, Some(3.0)), (1, Resumed, None, Some(0.5)), (1, Resumed, None, open)], 5.0, 1.5),
        // The count goes into a copy, and on from there.
        (&[(1, New, None, Some(3.0)), (2, Forked, Some(1), open)], 5.0, 2.0),
        (&[(1, New, None, Some(3.0)), (2, Forked, Some(1), Some(1.0)), (2, Resumed, None, open)], 5.0, 1.0),
        (
            &[
                (1, New, None, Some(3.0)),
                (2, Forked, Some(1), Some(1.0)),
                (3, Forked, Some(2), Some(0.5)),
                (3, Resumed, None, open),
            ],
            5.0,
            0.5,
        ),
        // What a copy cost that was not gone on with is no part of it.
        (&[(1, New, None, Some(3.0)), (2, Forked, Some(1), Some(1.0)), (1, Resumed, None, open)], 5.0, 2.0),
        // Told: a count of its own, also under the same identifier.
        (&[(1, New, None, Some(3.0)), (2, Told, None, open)], 5.0, 5.0),
        (&[(1, New, None, Some(3.0)), (1, Told, None, open)], 5.0, 5.0),
        (&[(1, New, None, Some(3.0)), (1, Told, None, Some(1.0)), (1, Resumed, None, open)], 5.0, 4.0),
        // Of what a killed process spent the CLI knows nothing, nor does the record.
        (&[(1, New, None, None), (1, Resumed, None, open)], 0.5, 0.5),
        // The transcript lost its end, and the count with it.
        (&[(1, New, None, Some(3.0)), (1, Resumed, None, open)], 0.25, 0.25),
        // Nothing was added.
        (&[(1, New, None, Some(3.0)), (1, Resumed, None, open)], 3.0, 0.0),
        // A refused start counts nothing.
        (&[(1, New, None, Some(3.0)), (1, Resumed, None, open)], 0.0, 0.0),
    ] {
        let used = usage(&judgement(Verdict::Done { answer: String::new() }, Some(total)), &task(attempts));
        let cost = used.cost_usd.unwrap();
        assert!((cost - own).abs() < 1e-9, "{attempts:?}: {cost} and not {own}");
    }
}

#[test]
fn turns_that_are_used_up_are_given_again_as_often_as_the_pack_says() {
    let redactor = Redactor::default();
    let limit =
        || Verdict::Failed { code: ErrorCode::E004, reason: "the limit of turns was reached".to_owned() };
    for (had, continues, goes_on) in [(0, 0, false), (0, 1, true), (1, 1, false), (2, 3, true), (3, 3, false)]
    {
        let mut task = task(&[(1, Began::New, None, None)]);
        let open = task.record.attempts.pop().unwrap();
        for _ in 0..had {
            let mut more = open.clone();
            more.close(AttemptOutcome::NeedsMore, None, at());
            task.record.attempts.push(more);
        }
        task.record.attempts.push(open);
        let terms = Terms {
            max_retries: 0,
            most_retries: None,
            continues,
            now: at(),
            jitter: 0.0,
            fails_at_limit: false,
            redactor: &redactor,
        };
        let judged = Judgement { needs_more: true, ..judgement(limit(), Some(1.0)) };
        match dispose(&judged, &task, &terms) {
            Disposition::Requeue { entry, hold: None } if goes_on => {
                assert_eq!((entry.outcome, entry.charged), (AttemptOutcome::NeedsMore, false));
                assert_eq!((entry.retry_at, entry.usage.cost_usd), (None, Some(1.0)));
            }
            Disposition::Conclude { outcome, .. } if !goes_on => {
                let reason = outcome.failure_reason.unwrap();
                assert_eq!(outcome.error_code, Some(ErrorCode::E004));
                assert!(reason.contains("`agentctl retry hello --continue`"), "{reason}");
            }
            other @ (Disposition::Requeue { .. } | Disposition::Conclude { .. }) => {
                panic!("{had} of {continues}: {other:?}")
            }
        }
        // Another limit is no such thing.
        let judged = judgement(limit(), None);
        assert!(matches!(dispose(&judged, &task, &terms), Disposition::Conclude { .. }));
    }
}

fn terms(redactor: &Redactor) -> Terms<'_> {
    Terms {
        max_retries: 2,
        most_retries: None,
        continues: 0,
        now: at(),
        jitter: 0.0,
        fails_at_limit: false,
        redactor,
    }
}

/// A task with an open attempt, after so many that were charged.
fn charged(times: u32, max_retries: Option<u32>) -> TaskFile {
    let mut task = task(&[(1, Began::New, None, None)]);
    let open = task.record.attempts.pop().unwrap();
    for _ in 0..times {
        let mut ended = open.clone();
        ended.close(AttemptOutcome::Failed, None, at());
        ended.charged = true;
        task.record.attempts.push(ended);
    }
    task.record.attempts.push(open);
    task.spec.max_retries = max_retries;
    task
}

/// In how many seconds it is tried again, and how the attempt is recorded; or with which code the task ends.
fn fate(disposition: Disposition) -> Result<(Option<i64>, AttemptOutcome), Option<ErrorCode>> {
    match disposition {
        Disposition::Requeue { entry, .. } => Ok((entry.retry_at.map(Timestamp::as_second), entry.outcome)),
        Disposition::Conclude { outcome, .. } => Err(outcome.error_code),
    }
}

#[test]
fn what_failed_is_tried_again_after_a_pause_as_often_as_it_may() {
    use ErrorCode::{E003, E004, E006};
    let redactor = Redactor::default();
    let again = |seconds| Ok((Some(seconds), AttemptOutcome::Failed));
    for (code, before, own, most, expected) in [
        (E006, 0, None, None, again(1)),
        (E006, 1, None, None, again(2)),
        (E006, 2, None, None, Err(Some(E006))),
        (E003, 0, None, None, Ok((Some(1), AttemptOutcome::TimedOut))),
        (E004, 0, None, None, Err(Some(E004))),
        // The task says how often, and its pack says how often it may say.
        (E006, 0, Some(0), None, Err(Some(E006))),
        (E006, 3, Some(5), None, again(8)),
        (E006, 3, Some(5), Some(3), Err(Some(E006))),
        (E006, 2, Some(5), Some(3), again(4)),
    ] {
        let failed = judgement(Verdict::Failed { code, reason: "no".to_owned() }, None);
        let terms = Terms { most_retries: most, ..terms(&redactor) };
        let found = fate(dispose(&failed, &charged(before, own), &terms));
        assert_eq!(found, expected, "{code} after {before} charges, {own:?} of {most:?}");
    }
    // A script may have raised the number alone.
    let mut raised = charged(0, None);
    raised.record.retry_count = Some(7);
    let failed = judgement(Verdict::Failed { code: E006, reason: "no".to_owned() }, None);
    assert_eq!(fate(dispose(&failed, &raised, &terms(&redactor))), Err(Some(E006)));
}

#[test]
fn a_crash_is_free_of_a_pause_once_and_ends_the_task_in_the_end() {
    let redactor = Redactor::default();
    let fates = (0..3).map(|before| {
        fate(after_crash("crash", Usage::default(), &charged(before, None), &terms(&redactor)))
    });
    let expected = [Ok((None, AttemptOutcome::Crashed)), Ok((Some(1), AttemptOutcome::Crashed)), Err(None)];
    assert_eq!(fates.collect::<Vec<_>>(), expected);
}

#[test]
fn what_was_to_be_waited_for_holds_the_worker_until_it_was_said() {
    let redactor = Redactor::default();
    let in_a_minute = Timestamp::from_second(60).unwrap();
    let wait = |cause, until| {
        let (reason, remedy) = ("why".to_owned(), "what to do".to_owned());
        judgement(Verdict::Wait { cause, until, reason, remedy }, None)
    };
    for (until, expected) in [
        (None, None),
        (Some(Until::At(in_a_minute)), Some(in_a_minute)),
        (Some(Until::After(std::time::Duration::from_mins(1))), Some(in_a_minute)),
    ] {
        match dispose(&wait(HoldCause::RateLimit, until), &charged(0, None), &terms(&redactor)) {
            Disposition::Requeue { entry, hold: Some(hold) } => {
                assert_eq!((entry.outcome, entry.charged), (AttemptOutcome::Deferred, false));
                assert_eq!((hold.until, hold.remedy.as_str()), (expected, "what to do"));
            }
            other @ (Disposition::Requeue { .. } | Disposition::Conclude { .. }) => panic!("{other:?}"),
        }
    }
    let impatient = Terms { fails_at_limit: true, ..terms(&redactor) };
    let found = |cause| fate(dispose(&wait(cause, None), &charged(0, None), &impatient));
    assert_eq!(found(HoldCause::RateLimit), Err(Some(ErrorCode::E006)));
    assert_eq!(found(HoldCause::Outage), Ok((None, AttemptOutcome::Deferred)), "it is no limit");
}

#[test]
fn a_full_disk_is_the_tasks_fault_when_it_was_full_the_last_time_too() {
    let redactor = Redactor::default();
    let (reason, remedy) = ("full".to_owned(), "make room".to_owned());
    let full = judgement(Verdict::Wait { cause: HoldCause::Disk, until: None, reason, remedy }, None);
    for (last, is_charged) in [(None, false), (Some(ErrorCode::E006), false), (Some(ErrorCode::E007), true)] {
        let mut task = charged(0, None);
        task.record.error_code = last;
        match dispose(&full, &task, &terms(&redactor)) {
            Disposition::Requeue { entry, hold: Some(hold) } => {
                assert_eq!(
                    (entry.charged, entry.error_code),
                    (is_charged, Some(ErrorCode::E007)),
                    "{last:?}"
                );
                assert_eq!((hold.cause, hold.remedy.as_str()), (HoldCause::Disk, "make room"));
            }
            other @ (Disposition::Requeue { .. } | Disposition::Conclude { .. }) => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_answer_names_its_file_and_the_tools_that_were_denied() {
    let redactor = Redactor::default();
    let task = charged(0, None);
    let mut done = judgement(Verdict::Done { answer: "42".to_owned() }, None);
    done.denied = vec!["Bash".to_owned()];
    let Disposition::Conclude { outcome, answer, .. } = dispose(&done, &task, &terms(&redactor)) else {
        panic!("it is done")
    };
    assert_eq!(outcome.output, Some(format!("artifacts/{}/output.txt", task.record.run_id.unwrap())));
    assert_eq!((outcome.denied_tools, answer.as_deref()), (vec!["Bash".to_owned()], Some("42")));
}

#[test]
fn whoever_goes_on_is_told_how_often_it_went_on() {
    let redactor = Redactor::default();
    for (had, told) in [(0, false), (1, true)] {
        let mut task = charged(had, None);
        for it in task.record.attempts.iter_mut().filter(|it| !it.is_open()) {
            it.outcome = Some(AttemptOutcome::NeedsMore);
        }
        let verdict = Verdict::Failed { code: ErrorCode::E004, reason: "turns".to_owned() };
        let more = Judgement { needs_more: true, ..judgement(verdict, None) };
        let Disposition::Conclude { outcome, .. } = dispose(&more, &task, &terms(&redactor)) else {
            panic!("it may not go on")
        };
        let reason = outcome.failure_reason.unwrap();
        assert_eq!(reason.contains("it went on 1 times already"), told, "{reason}");
        assert_eq!(reason.contains("went on"), told, "{reason}");
    }
}
