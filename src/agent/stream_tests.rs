//! What each kind of line becomes.

use super::*;

fn text(line: &str) -> StreamEvent {
    parse(line.as_bytes())
}

#[test]
fn what_is_no_message_is_garbage_or_nothing() {
    for line in
        [&b"\xff\xfe{}"[..], b"{\"type\":\"result\"", b"Failed to start", b"[1]", b"{\"type\":\"\xff\"}"]
    {
        assert_eq!(parse(line), StreamEvent::Garbage, "{line:?}");
    }
    for line in
        ["", "  ", "{}", r#"{"type":"news"}"#, r#"{"type":"system","subtype":"status","status":null}"#]
    {
        assert_eq!(text(line), StreamEvent::Other, "{line}");
    }
}

#[test]
fn the_order_of_keys_does_not_matter() {
    let first = text(
        r#"{"type":"system","subtype":"api_retry","attempt":2,"max_retries":10,"retry_delay_ms":534.4,"error_status":401,"error":"authentication_failed"}"#,
    );
    let last = text(
        r#"{"error":"authentication_failed","error_status":401,"retry_delay_ms":534,"max_retries":10,"attempt":2,"subtype":"api_retry","type":"system"}"#,
    );
    assert_eq!(first, last);
    assert_eq!(
        first,
        StreamEvent::Retry(Retry {
            attempt: 2,
            max: 10,
            delay_ms: 534,
            status: Some(401),
            error: Some("authentication_failed".to_owned())
        })
    );
}

#[test]
fn an_assistant_line_names_its_tool_on_one_line() {
    let line = r#"{"type":"assistant","message":{"content":[{"type":"text","text":" Hi "},{"type":"tool_use","id":"t1","name":"Bash","input":{"description":"d","command":"ls\n-l"}},{"type":"thinking","thinking":"x"}]},"parent_tool_use_id":null}"#;
    let StreamEvent::Assistant(said) = text(line) else { panic!("not an assistant line") };
    assert_eq!(said.text, "Hi");
    assert_eq!(
        said.tools,
        [ToolUse { id: "t1".to_owned(), name: "Bash".to_owned(), brief: "ls -l".to_owned() }]
    );
    assert!(said.error.is_none() && !said.is_subagent);
}

#[test]
fn only_tool_results_of_a_user_line_count() {
    let line = r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"no"}]}]}}"#;
    assert_eq!(
        text(line),
        StreamEvent::ToolResults(vec![ToolResult { id: "t1".to_owned(), is_error: true }])
    );
    assert_eq!(text(r#"{"type":"user","message":{"role":"user","content":"plain"}}"#), StreamEvent::Other);
}

#[test]
fn a_result_survives_fields_of_other_types() {
    let line = r#"{"num_turns":"three","usage":{"input_tokens":7,"output_tokens":null},"permission_denials":[{"tool_name":"Write","tool_use_id":"t"},5],"is_error":false,"total_cost_usd":0.5,"subtype":"success","result":"done","errors":{},"type":"result","new":{"deep":[[]]}}"#;
    let StreamEvent::Result(result) = text(line) else { panic!("not a result") };
    assert_eq!(result.answer.as_deref(), Some("done"));
    assert_eq!((result.num_turns, result.cost_usd, result.tokens.input), (None, Some(0.5), 7));
    assert_eq!(result.denials, [Denial { tool: "Write".to_owned(), id: "t".to_owned() }]);
    assert!(!result.is_error && result.errors.is_empty());
}

#[test]
fn a_result_with_half_a_character_is_a_result() {
    let line = r#"{"type":"result","subtype":"success","is_error":false,"result":"cut \ud83d"}"#;
    let StreamEvent::Result(result) = text(line) else { panic!("not a result") };
    assert_eq!(result.answer.as_deref(), Some("cut \u{fffd}"));
}

#[test]
fn a_result_that_does_not_say_whether_it_failed_did_unless_it_is_a_success() {
    for (subtype, is_error) in [("success", false), ("error_max_turns", true)] {
        let StreamEvent::Result(result) = text(&format!(r#"{{"type":"result","subtype":"{subtype}"}}"#))
        else {
            panic!("not a result")
        };
        assert_eq!(result.is_error, is_error);
    }
}

#[test]
fn long_answers_are_kept_and_long_remarks_are_cut() {
    let long = "é".repeat(100_000);
    let result = format!(r#"{{"type":"result","subtype":"success","result":"{long}"}}"#);
    let StreamEvent::Result(result) = text(&result) else { panic!("not a result") };
    assert_eq!(result.answer, Some(long.clone()));
    let said =
        format!(r#"{{"type":"assistant","message":{{"content":[{{"type":"text","text":"{long}"}}]}}}}"#);
    let StreamEvent::Assistant(said) = text(&said) else { panic!("not an assistant line") };
    assert_eq!(said.text.len(), BRIEF);
}

#[test]
fn life_signs_and_answers_to_us() {
    assert_eq!(text(r#"{"type":"stream_event","event":{"type":"ping"}}"#), StreamEvent::Partial);
    assert_eq!(
        text(r#"{"type":"control_response","response":{"subtype":"success","request_id":"r1"}}"#),
        StreamEvent::ControlResponse(ControlResponse { request_id: "r1".to_owned(), error: None })
    );
    assert_eq!(
        text(r#"{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1795349521}}"#),
        StreamEvent::RateLimit(RateLimit {
            is_rejected: true,
            resets_at: Some(1_795_349_521),
            ..RateLimit::default()
        })
    );
}

#[test]
fn a_turn_tells_who_spoke_and_what_failed() {
    let StreamEvent::Assistant(said) = text(
        r#"{"type":"assistant","error":"overloaded","parent_tool_use_id":"t1","message":{"model":"m","content":[{"type":"text","text":"first"},{"type":"text","text":"second"}]}}"#,
    ) else {
        panic!("not an assistant line")
    };
    assert_eq!((said.model.as_deref(), said.error.as_deref()), (Some("m"), Some("overloaded")));
    assert!(said.is_subagent);
    assert_eq!(said.text, "first", "what it said first is what is shown");
}

#[test]
fn what_a_message_has_used_is_counted_from_its_beginning_on() {
    let start = r#"{"type":"stream_event","event":{"type":"message_start","message":{"id":"m1","usage":{"input_tokens":7}}}}"#;
    let delta = r#"{"type":"stream_event","api_message_id":"m1","event":{"type":"message_delta","usage":{"output_tokens":3}}}"#;
    let read = |line: &str| {
        let StreamEvent::Metered(it) = text(line) else { return None };
        Some((it.begins, it.message, it.tokens.input, it.tokens.output))
    };
    assert_eq!(read(start), Some((true, Some("m1".to_owned()), 7, 0)));
    assert_eq!(read(delta), Some((false, Some("m1".to_owned()), 0, 3)));
    assert_eq!(read(&delta.replace(r#"{"output_tokens":3}"#, "null")), None, "it says nothing of it");
}

#[test]
fn tools_that_were_denied_and_messages_that_were_taken_up_are_heard_of() {
    let denied = r#"{"type":"system","subtype":"permission_denied","tool_name":"Bash","tool_use_id":"t1"}"#;
    let denial = Denial { tool: "Bash".to_owned(), id: "t1".to_owned() };
    assert_eq!(text(denied), StreamEvent::PermissionDenied(denial));
    let id = Uuid::from_u128(7);
    for (state, is_taken) in [("queued", false), ("started", true), ("completed", true)] {
        let line = format!(r#"{{"type":"command_lifecycle","state":"{state}","command_uuid":"{id}"}}"#);
        assert_eq!(matches!(text(&line), StreamEvent::TakenUp(_)), is_taken, "{state}");
    }
}

#[test]
fn a_share_of_a_limit_is_told_in_percent() {
    for (used, percent) in
        [("0.456", Some(46)), ("1", Some(100)), ("0", Some(0)), ("-1", None), ("\"x\"", None)]
    {
        let line = format!(
            r#"{{"type":"rate_limit_event","rate_limit_info":{{"status":"allowed_warning","utilization":{used}}}}}"#
        );
        let StreamEvent::RateLimit(limit) = text(&line) else { panic!("not a limit") };
        assert_eq!((limit.is_near, limit.used_percent), (true, percent), "{used}");
    }
}

#[test]
fn a_cost_that_is_none_is_not_believed_and_errors_are_kept() {
    for (cost, believed) in [("0.5", Some(0.5)), ("0", Some(0.0)), ("-0.5", None), ("\"x\"", None)] {
        let line = format!(
            r#"{{"type":"result","subtype":"odd","total_cost_usd":{cost},"errors":["a","b"],"terminal_reason":"stop_hook_prevented"}}"#
        );
        let StreamEvent::Result(result) = text(&line) else { panic!("not a result") };
        assert_eq!(result.cost_usd.map(f64::to_bits), believed.map(f64::to_bits), "{cost}");
        assert_eq!(result.errors, ["a", "b"]);
        assert!(result.is_ended_by_hook());
    }
    let StreamEvent::Result(result) = text(r#"{"type":"result","subtype":"odd"}"#) else {
        panic!("no result")
    };
    assert!(!result.is_ended_by_hook());
}
