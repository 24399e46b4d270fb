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
    let resumed = |ending| Ending { goes_on: true, ..ending };
    for refused in [evidence(&[refusal]), evidence(&[])] {
        assert_eq!(word(&judge(&refused, &resumed(exited(1))).verdict), "session gone");
        let new = judge(&refused, &exited(1)).verdict;
        assert_eq!(word(&new), "wait configuration", "there was none to be gone");
    }
    assert_eq!(word(&judge(&evidence(&[INIT, refusal]), &resumed(exited(1))).verdict), "failed E006");
    assert_eq!(word(&judge(&evidence(&[]), &resumed(exited(143))).verdict), "crashed", "it was killed");
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

#[test]
fn a_kill_for_want_of_memory_is_told_from_our_own_limit() {
    let retrying = r#"{"type":"system","subtype":"api_retry","error_status":529,"error":"overloaded"}"#;
    for lines in [&[INIT][..], &[INIT, TOOL], &[INIT, retrying]] {
        let killed =
            Ending { exit: Some(Exit::Signal(9)), oom: Some("the kernel says so"), ..Ending::default() };
        let verdict = judge(&evidence(lines), &killed).verdict;
        assert!(verdict.is_charged() && word(&verdict) == "crashed", "{verdict:?}");
        let Verdict::Interrupted { reason, .. } = verdict else { panic!("{lines:?}") };
        assert!(
            reason.starts_with("oom_killed: the kernel says so") && reason.contains("MemoryMax"),
            "{reason}"
        );
        let ours = Ending { ended_by: Some(EndedBy::MemoryLimit), memory: Some("2.3GiB of 2GiB"), ..killed };
        let verdict = judge(&evidence(lines), &ours).verdict;
        assert_eq!(verdict, Verdict::Failed { code: ErrorCode::E004, reason: "2.3GiB of 2GiB".to_owned() });
        let stopped = Ending { ended_by: Some(EndedBy::Stop), ..killed };
        assert_eq!(word(&judge(&evidence(lines), &stopped).verdict), "asked");
    }
    let answered = Ending { oom: Some("the kernel says so"), ..exited(137) };
    assert_eq!(
        word(&judge(&evidence(&[INIT, GOOD]), &answered).verdict),
        "done",
        "what was paid for is not lost"
    );
}

#[test]
fn a_hook_that_says_nothing_is_not_the_api_s_fault() {
    let hook =
        r#"{"type":"system","subtype":"hook_started","hook_id":"h","hook_name":"SessionStart:startup"}"#;
    let over = hook.replace("hook_started", "hook_response");
    for lines in [&[hook][..], &[INIT, hook], &[INIT, TOOL, hook]] {
        let Verdict::Failed { code: ErrorCode::E003, reason } =
            judge(&evidence(lines), &ended(EndedBy::Silence)).verdict
        else {
            panic!("{lines:?}")
        };
        assert!(reason.contains("the hook SessionStart:startup"), "{reason}");
    }
    assert_eq!(
        word(&judge(&evidence(&[hook, &over, INIT]), &ended(EndedBy::Silence)).verdict),
        "wait outage",
        "it had ended"
    );
}

#[test]
fn an_answer_that_was_cut_in_a_hook_is_none() {
    let hook = r#"{"type":"system","subtype":"hook_started","hook_id":"h","hook_name":"Stop"}"#;
    let over = hook.replace("hook_started", "hook_response");
    let empty = r#"{"type":"result","subtype":"success","is_error":false,"result":"","terminal_reason":"stop_hook_prevented"}"#;
    for (by, expected) in [
        (EndedBy::Silence, "failed E003"),
        (EndedBy::Timeout, "failed E003"),
        (EndedBy::Stop, "asked"),
        (EndedBy::Hold, "held"),
        (EndedBy::Cancel, "cancelled"),
    ] {
        let mut evidence = evidence(&[INIT, hook]);
        evidence.ask_to_end();
        for line in [&over, empty] {
            evidence.read(crate::agent::lines::Line::Whole(line.as_bytes()));
        }
        assert_eq!(word(&judge(&evidence, &ended(by)).verdict), expected, "{by:?}");
    }
    let by_itself = judge(&evidence(&[INIT, hook, &over, empty]), &exited(0));
    assert_eq!(word(&by_itself.verdict), "done", "a hook may end a turn");
}

fn result(fields: &str) -> String {
    format!(r#"{{"type":"result","is_error":true,{fields}}}"#)
}

/// The verdict, and its reason.
fn told(lines: &[&str], ending: &Ending<'_>) -> (String, String) {
    let verdict = judge(&evidence(lines), ending).verdict;
    let reason = match &verdict {
        Verdict::Failed { reason, .. }
        | Verdict::Wait { reason, .. }
        | Verdict::Interrupted { reason, .. }
        | Verdict::Cancelled { reason }
        | Verdict::SessionGone { reason } => reason.clone(),
        Verdict::Done { answer } => answer.clone(),
    };
    (word(&verdict), reason)
}

#[test]
fn a_limit_that_was_reached_is_named() {
    let too_long = r#"{"type":"assistant","error":"max_output_tokens","message":{"content":[]}}"#;
    for (before, fields, reason) in [
        ("", r#""subtype":"error_max_turns","errors":["x"]"#, "the limit of turns was reached: x"),
        (
            "",
            r#""subtype":"success","terminal_reason":"max_turns","result":"x""#,
            "the limit of turns was reached: x",
        ),
        ("", r#""subtype":"error_max_budget_usd","errors":["x"]"#, "the limit of costs was reached: x"),
        ("", r#""subtype":"x","terminal_reason":"budget_exhausted","result":"x""#, "the limit of costs"),
        (
            "",
            r#""subtype":"x","terminal_reason":"prompt_too_long","result":"x""#,
            "the conversation is too long",
        ),
        ("", r#""subtype":"success","api_error_status":413,"result":"x""#, "the request is too large"),
        (too_long, r#""subtype":"success","result":"x""#, "the answer is longer than"),
    ] {
        let (found, said) = told(&[INIT, before, &result(fields)], &exited(1));
        assert_eq!(found, "failed E004", "{fields}");
        assert!(said.contains(reason), "{fields}: {said}");
    }
}

#[test]
fn only_turns_that_were_used_up_may_be_given_again() {
    let needs_more = |lines: &[&str]| judge(&evidence(lines), &exited(1)).needs_more;
    assert!(needs_more(&[INIT, &result(r#""subtype":"error_max_turns""#)]));
    assert!(needs_more(&[INIT, &result(r#""subtype":"success","terminal_reason":"max_turns""#)]));
    assert!(!needs_more(&[INIT, &result(r#""subtype":"error_max_budget_usd""#)]));
    let good = GOOD.replace('}', r#","terminal_reason":"max_turns"}"#);
    assert!(!needs_more(&[INIT, &good]), "it has answered");
}

#[test]
fn what_went_wrong_is_told_in_the_words_of_the_agent_on_one_line() {
    for (fields, expected) in [
        (r#""subtype":"odd","result":"no\n\t luck\u0007now""#, "no luck now"),
        (r#""subtype":"odd","errors":["first","second"]"#, "first"),
        (r#""subtype":"odd""#, "the agent failed (odd)"),
    ] {
        assert_eq!(
            told(&[INIT, &result(fields)], &exited(1)),
            ("failed E006".to_owned(), expected.to_owned())
        );
    }
    let refusal = result(r#""subtype":"success","stop_reason":"refusal","result":"I must not""#);
    let expected = ("failed E006".to_owned(), "the model refused: I must not".to_owned());
    assert_eq!(told(&[INIT, &refusal], &exited(1)), expected);
}

#[test]
fn a_denied_tool_fails_the_task_or_is_told_beside_its_answer() {
    let denied = r#"{"type":"system","subtype":"permission_denied","tool_name":"Bash","tool_use_id":"a"}"#;
    let again = denied.replace(r#""a""#, r#""b""#);
    let lines = [INIT, denied, &again, GOOD];
    for (worth, expected, listed) in [
        (Denied::Fails, "failed E005", &[][..]),
        (Denied::FailsBy("packs/x.toml"), "failed E005", &[]),
        (Denied::Counts, "done", &["Bash"]),
    ] {
        let judged = judge(&evidence(&lines), &Ending { denied: worth, ..exited(0) });
        assert_eq!(
            (word(&judged.verdict), judged.denied),
            (expected.to_owned(), listed.iter().map(|it| (*it).to_owned()).collect())
        );
    }
    let (_, reason) = told(&lines, &Ending { denied: Denied::FailsBy("packs/x.toml"), ..exited(0) });
    assert!(reason.contains("Bash") && reason.contains("packs/x.toml"), "{reason}");
}

#[test]
fn an_answer_of_a_shape_that_was_asked_for_is_that_shape() {
    let asked = INIT.replace(r#"["Bash"]"#, r#"["StructuredOutput"]"#);
    let shaped = GOOD.replace('}', r#","structured_output":[7]}"#);
    for (init, line, expected, answer) in [
        (INIT, GOOD, "done", "42"),
        // Nobody asked for it.
        (INIT, &shaped, "done", "42"),
        (&asked, &shaped, "done", "[7]"),
        (&asked, GOOD, "failed E006", "no answer of the shape"),
    ] {
        let (found, said) = told(&[init, line], &exited(0));
        assert_eq!(found, expected, "{said}");
        assert!(said.contains(answer), "{said}");
    }
}

#[test]
fn a_full_disk_is_what_ended_a_run_that_came_to_nothing() {
    let full = |ending: Ending<'static>| Ending { disk: Some("the disk was full"), ..ending };
    let error = result(r#""subtype":"error_during_execution","errors":["ENOSPC"]"#);
    for (lines, ending, expected) in [
        (&[INIT, &error][..], exited(1), "wait disk"),
        (&[INIT], exited(1), "wait disk"),
        (&[INIT], ended(EndedBy::Silence), "wait disk"),
        (&[INIT], ended(EndedBy::HopelessWait), "wait disk"),
        // It was at work all the time.
        (&[INIT], ended(EndedBy::Timeout), "failed E003"),
        (&[INIT], ended(EndedBy::Stop), "asked"),
        (&[INIT, GOOD], exited(0), "done"),
    ] {
        let (found, said) = told(lines, &full(ending));
        assert_eq!(found, expected, "{said}");
        assert!(!found.starts_with("wait") || said.starts_with("the disk was full: "), "{said}");
    }
    let of_the_api = result(r#""subtype":"error_during_execution","api_error_status":500,"errors":["x"]"#);
    assert_eq!(told(&[INIT, &of_the_api], &full(exited(1))).0, "wait outage");
    let other = result(r#""subtype":"odd","errors":["x"]"#);
    assert_eq!(told(&[INIT, &other], &full(exited(1))).0, "failed E006", "it says what went wrong");
}

#[test]
fn who_is_asked_to_end_after_a_turn_that_failed_has_not_failed() {
    let failed = result(r#""subtype":"odd","errors":["x"]"#);
    assert_eq!(told(&[INIT, &failed, INIT], &ended(EndedBy::Stop)).0, "asked");
    assert_eq!(told(&[INIT, &failed], &ended(EndedBy::Stop)).0, "failed E006", "it was over before");
    assert_eq!(told(&[INIT, &failed, INIT], &exited(1)).0, "failed E006", "nobody asked");
}

#[test]
fn an_answer_beside_a_hook_that_does_not_end_counts() {
    let hook = r#"{"type":"system","subtype":"hook_started","hook_id":"h","hook_name":"Stop"}"#;
    assert_eq!(told(&[INIT, GOOD, hook], &ended(EndedBy::Timeout)).0, "done");
    let prevented = GOOD.replace('}', r#","terminal_reason":"stop_hook_prevented"}"#);
    assert_eq!(told(&[INIT, &prevented], &exited(0)).0, "done", "nobody cut it");
    assert_eq!(told(&[INIT, &prevented], &ended(EndedBy::Timeout)).0, "done", "no hook was at work");
}
