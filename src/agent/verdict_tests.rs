//! How runs are judged that no recording shows. Recorded ones: `tests/transcripts.rs`.

use super::*;

const INIT: &str = r#"{"type":"system","subtype":"init","session_id":"s","model":"m","tools":["Bash"]}"#;
const GOOD: &str = r#"{"type":"result","subtype":"success","is_error":false,"result":"42","total_cost_usd":0.5,"num_turns":2,"session_id":"s"}"#;
const ABORTED: &str = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools"}"#;
const TOOL: &str = r#"{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"make"}}]}}"#;

fn evidence(lines: &[&str]) -> Evidence {
    Evidence::of([lines.join("\n"), String::from("\n")].concat().as_bytes())
}

fn ended(by: EndedBy) -> Ending<'static> {
    Ending { exit: Some(Exit::Signal(15)), ended_by: Some(by), ..Ending::default() }
}

fn exited(code: i32) -> Ending<'static> {
    Ending { exit: Some(Exit::Code(code)), ..Ending::default() }
}

/// The verdict in a word or two.
fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Done { .. } => "done".to_owned(),
        Verdict::Failed { code, .. } => format!("failed {code}"),
        Verdict::Wait { cause, .. } => format!("wait {}", cause.as_str()),
        Verdict::Interrupted { cause: Interruption::Asked, .. } => "asked".to_owned(),
        Verdict::Interrupted { cause: Interruption::Held, .. } => "held".to_owned(),
        Verdict::Interrupted { cause: Interruption::Crashed, .. } => "crashed".to_owned(),
        Verdict::Cancelled { .. } => "cancelled".to_owned(),
        Verdict::SessionGone { .. } => "session gone".to_owned(),
    }
}

#[test]
fn a_good_result_stands_whatever_happened_afterwards() {
    let good = evidence(&[INIT, GOOD]);
    for by in [
        EndedBy::Timeout,
        EndedBy::Silence,
        EndedBy::Stop,
        EndedBy::Cancel,
        EndedBy::OutputLimit,
        EndedBy::MemoryLimit,
        EndedBy::HopelessWait,
        EndedBy::HangAfterResult,
    ] {
        assert_eq!(judge(&good, &ended(by)).verdict, Verdict::Done { answer: "42".to_owned() }, "{by:?}");
    }
    for ending in [exited(0), exited(1), exited(143), Ending::default()] {
        assert_eq!(word(&judge(&good, &ending).verdict), "done");
    }
    let judgement = judge(&good, &exited(0));
    assert_eq!((judgement.cost_usd, judgement.num_turns), (Some(0.5), Some(2)));
    assert_eq!((judgement.session_id.as_deref(), judgement.model.as_deref()), (Some("s"), Some("m")));
}

#[test]
fn who_is_asked_to_end_in_a_later_turn_has_not_answered_that() {
    let later = evidence(&[INIT, GOOD, INIT]);
    for (by, expected) in [
        (EndedBy::Stop, "asked"),
        (EndedBy::Hold, "held"),
        (EndedBy::Cancel, "cancelled"),
        (EndedBy::Timeout, "done"),
        (EndedBy::HangAfterResult, "done"),
    ] {
        assert_eq!(word(&judge(&later, &ended(by)).verdict), expected, "{by:?}");
    }
    assert_eq!(word(&judge(&later, &exited(1)).verdict), "done", "what was paid for is not lost by a crash");
}

#[test]
fn a_run_without_a_result_is_what_ended_it() {
    let table = [
        (EndedBy::Timeout, "failed E003"),
        (EndedBy::Silence, "wait outage"),
        (EndedBy::Stop, "asked"),
        (EndedBy::Hold, "held"),
        (EndedBy::Cancel, "cancelled"),
        (EndedBy::OutputLimit, "failed E004"),
        (EndedBy::MemoryLimit, "failed E004"),
        (EndedBy::HopelessWait, "crashed"),
        (EndedBy::HangAfterResult, "crashed"),
    ];
    for (by, expected) in table {
        for lines in [&[INIT][..], &[INIT, ABORTED]] {
            assert_eq!(word(&judge(&evidence(lines), &ended(by)).verdict), expected, "{by:?} {lines:?}");
        }
    }
}

#[test]
fn silence_of_a_tool_is_the_tasks_and_silence_of_the_model_is_not() {
    let in_tool = judge(&evidence(&[INIT, TOOL]), &ended(EndedBy::Silence)).verdict;
    assert_eq!(word(&in_tool), "failed E003");
    assert!(
        matches!(in_tool, Verdict::Failed { reason, .. } if reason.contains("Bash") && reason.contains("make"))
    );
}

#[test]
fn an_exit_without_a_result_is_never_a_success() {
    let began = evidence(&[INIT]);
    for ending in [exited(0), exited(1), exited(143), Ending::default()] {
        assert_eq!(word(&judge(&began, &ending).verdict), "crashed", "{ending:?}");
    }
    let silent = evidence(&[]);
    assert_eq!(word(&judge(&silent, &exited(0)).verdict), "crashed");
    assert_eq!(word(&judge(&silent, &exited(139)).verdict), "crashed");
    assert_eq!(word(&judge(&silent, &Ending::default()).verdict), "crashed", "an adopted run has no status");
}

#[test]
fn a_refusal_to_start_quotes_standard_error() {
    let ending = Ending { stderr_tail: "error: unknown option '--nope'\n", ..exited(1) };
    let Verdict::Wait { cause, reason, remedy, .. } = judge(&evidence(&[]), &ending).verdict else {
        panic!("not held")
    };
    assert_eq!(cause, HoldCause::Configuration);
    assert!(reason.ends_with("exit status 1 before it began: error: unknown option '--nope'"), "{reason}");
    assert!(!remedy.is_empty());
}

#[test]
fn a_torn_result_is_none() {
    let torn = Evidence::of(format!("{INIT}\n{GOOD}").as_bytes());
    let verdict = judge(&torn, &Ending { exit: Some(Exit::Signal(9)), ..Ending::default() }).verdict;
    assert!(
        matches!(verdict, Verdict::Interrupted { reason, .. } if reason.contains("in the middle of a line"))
    );
}

#[test]
fn a_rate_limit_waits_until_the_api_said() {
    let retry = r#"{"type":"system","subtype":"api_retry","attempt":1,"max_retries":2,"retry_delay_ms":3550,"error_status":429,"error":"rate_limit"}"#;
    let until = |lines: &[&str]| {
        let Verdict::Wait { cause: HoldCause::RateLimit, until, .. } =
            judge(&evidence(lines), &exited(1)).verdict
        else {
            panic!("not a rate limit")
        };
        until
    };
    assert_eq!(until(&[INIT, retry]), Some(Until::After(Duration::from_millis(3550))));
    let event =
        r#"{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1795349521}}"#;
    let at = Timestamp::from_second(1_795_349_521).unwrap();
    assert_eq!(until(&[INIT, event, retry]), Some(Until::At(at)));
    let allowed = event.replace("rejected", "allowed_warning");
    let refused = r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":429}"#;
    assert_eq!(until(&[INIT, &allowed, refused]), None, "a warning is no limit");
}

#[test]
fn a_wait_for_the_api_that_was_cut_short_is_not_the_tasks() {
    let retry = |status: &str, error: &str| {
        format!(r#"{{"type":"system","subtype":"api_retry","error_status":{status},"error":"{error}"}}"#)
    };
    let table = [
        (retry("401", "authentication_failed"), "wait auth"),
        (retry("529", "overloaded"), "wait outage"),
        (retry("null", "unknown"), "wait outage"),
        (retry("429", "rate_limit"), "wait rate_limit"),
    ];
    for (retry, expected) in table {
        for by in [EndedBy::Timeout, EndedBy::Silence, EndedBy::HopelessWait] {
            assert_eq!(word(&judge(&evidence(&[INIT, &retry]), &ended(by)).verdict), expected, "{retry}");
        }
        let stopped = judge(&evidence(&[INIT, &retry]), &ended(EndedBy::Stop)).verdict;
        assert_eq!(word(&stopped), "asked", "a stop is a stop");
        let overcome = judge(&evidence(&[INIT, &retry, TOOL]), &ended(EndedBy::Timeout)).verdict;
        assert_eq!(word(&overcome), "failed E003", "the API had answered in the end");
    }
}

#[test]
fn a_session_is_gone_when_the_first_line_is_its_refusal() {
    let refusal = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["No conversation"]}"#;
    assert_eq!(word(&judge(&evidence(&[refusal]), &exited(1)).verdict), "session gone");
    assert_eq!(word(&judge(&evidence(&[INIT, refusal]), &exited(1)).verdict), "failed E006");
}

#[test]
fn only_faults_crashes_and_timeouts_charge() {
    let crashed = judge(&evidence(&[INIT]), &exited(1)).verdict;
    assert!(crashed.is_charged() && crashed.attempt_outcome() == AttemptOutcome::Crashed);
    let late = judge(&evidence(&[INIT]), &ended(EndedBy::Timeout)).verdict;
    assert!(late.is_charged() && late.attempt_outcome() == AttemptOutcome::TimedOut);
    let stopped = judge(&evidence(&[INIT]), &ended(EndedBy::Stop)).verdict;
    assert!(!stopped.is_charged() && stopped.attempt_outcome() == AttemptOutcome::Interrupted);
    let held = judge(&evidence(&[]), &exited(1)).verdict;
    assert!(!held.is_charged() && held.attempt_outcome() == AttemptOutcome::Deferred);
}
