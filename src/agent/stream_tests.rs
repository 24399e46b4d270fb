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
