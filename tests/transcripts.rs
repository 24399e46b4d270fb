//! Every recorded run of the real CLI gets the verdict that it must get.
//!
//! `fixtures/transcripts/expected.tsv` has one row per recording: what was asked, how the process ended, and the
//! verdict. A row without a verdict is a probe of the command line that no run of ours can meet; they are named here.

#![expect(clippy::unwrap_used, reason = "a test's own helpers")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use agent_worker::agent::digest::BYTES;
use agent_worker::agent::verdict::{Denied, judge};
use agent_worker::agent::{Digest, EndedBy, Ending, Evidence, Exit, LineSplitter, Verdict};

/// Recordings of calls that a run of ours never makes.
const PROBES: [&str; 17] = [
    "argv_prompt_dash",
    "disallowed",
    "mcp_bad_file",
    "resume_missing",
    "resume_not_uuid",
    "sig_SIGPIPE",
    "sj_bad_json",
    "sj_bad_type",
    "sj_blank_line",
    "sj_controls",
    "sj_keepalive",
    "sj_no_message",
    "sj_string_prompt",
    "sj_with_argv_prompt",
    "stdin_slash_compact",
    "text_output",
    // Its only trace is a sentence for people, since it was asked for text instead of a stream.
    "text_output_err",
];

struct Row {
    name: String,
    exit: Option<Exit>,
    expected: String,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transcripts")
}

fn rows() -> Vec<Row> {
    let table = fs::read_to_string(fixtures().join("expected.tsv")).unwrap();
    table.lines().skip(1).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.split('\t').collect();
    assert_eq!(cells.len(), 10, "{line}");
    let exit = match cells[2].parse::<i32>() {
        Ok(signal @ ..0) => Some(Exit::Signal(-signal)),
        Ok(code) => Some(Exit::Code(code)),
        Err(_) => None,
    };
    Row { name: cells[0].to_owned(), exit, expected: cells[9].to_owned() }
}

fn stream(name: &str) -> Vec<u8> {
    fs::read(fixtures().join(format!("{name}.ndjson"))).unwrap()
}

/// The runs that a watchdog ended after 45 s in which the model's answer stood still.
fn ended_by(name: &str) -> Option<EndedBy> {
    matches!(name, "hangmid_api_timeout_3s" | "hangmid_idle_4s").then_some(EndedBy::Silence)
}

/// What is known of a run that was to go on with a conversation.
const RESUMED: Ending<'_> = Ending {
    exit: None,
    ended_by: None,
    disk: None,
    memory: None,
    oom: None,
    stderr_tail: "",
    denied: Denied::Fails,
    goes_on: true,
    allowed: None,
};

/// What is known of a recorded run: those whose transcript was tampered with were to go on.
fn known(name: &str) -> Ending<'static> {
    if name.contains("_transcript_") { RESUMED } else { Ending::default() }
}

/// The verdict; `known` says whether it was to go on with a conversation.
fn verdict_of(row: &Row, evidence: &Evidence, known: Ending<'_>) -> Verdict {
    let stderr = fs::read_to_string(fixtures().join(format!("{}.stderr", row.name))).unwrap_or_default();
    let ended_by = ended_by(&row.name);
    judge(evidence, &Ending { exit: row.exit, ended_by, stderr_tail: &stderr, ..known }).verdict
}

fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Done { .. } => "done".to_owned(),
        Verdict::Failed { code, .. } => format!("failed {code}"),
        Verdict::Wait { cause, .. } => format!("wait {}", cause.as_str()),
        Verdict::Interrupted { .. } => "interrupted".to_owned(),
        Verdict::Cancelled { .. } => "cancelled".to_owned(),
        Verdict::SessionGone { .. } => "session gone".to_owned(),
    }
}

#[test]
fn every_recorded_run_gets_its_verdict() {
    let mut wrong = Vec::new();
    let mut judged = 0;
    for row in rows().iter().filter(|row| !row.expected.is_empty()) {
        let verdict = verdict_of(row, &Evidence::of(&stream(&row.name)), known(&row.name));
        judged += 1;
        if word(&verdict) != row.expected {
            wrong.push(format!("{}: expected {}, got {verdict:?}", row.name, row.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(judged >= 120, "only {judged} recordings were judged");
}

#[test]
fn the_rows_without_a_verdict_are_the_known_probes() {
    let without: BTreeSet<_> =
        rows().into_iter().filter(|row| row.expected.is_empty()).map(|row| row.name).collect();
    let known: BTreeSet<_> = PROBES.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(without, known);
}

#[test]
fn every_recording_has_its_row() {
    let listed: BTreeSet<_> = rows().into_iter().map(|row| row.name).collect();
    for entry in fs::read_dir(fixtures()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.strip_suffix(".ndjson").or(name.strip_suffix(".stderr"));
        assert!(name == "expected.tsv" || stem.is_some_and(|stem| listed.contains(stem)), "{name}");
    }
}

#[test]
fn a_session_that_is_not_there_is_told_by_shape() {
    for name in ["resume_missing", "resume_not_uuid", "session_id_reuse"] {
        let row = Row { name: name.to_owned(), exit: Some(Exit::Code(1)), expected: String::new() };
        let said = Evidence::of(&stream(name));
        assert_eq!(word(&verdict_of(&row, &said, RESUMED)), "session gone", "{name}");
        assert_eq!(
            word(&verdict_of(&row, &said, Ending::default())),
            "wait configuration",
            "{name}: none was asked for"
        );
    }
}

#[test]
fn it_does_not_matter_how_the_bytes_arrive() {
    for row in rows() {
        let bytes = stream(&row.name);
        let whole = Evidence::of(&bytes);
        let (mut evidence, mut lines) = (Evidence::default(), LineSplitter::default());
        for chunk in bytes.chunks(61) {
            lines.push(chunk, |line| {
                evidence.read(line);
            });
        }
        evidence.is_torn = lines.torn_bytes() > 0;
        assert_eq!(evidence, whole, "{}", row.name);
    }
}

#[test]
fn a_stream_cut_anywhere_is_done_only_if_its_result_is_whole() {
    for name in ["success_text", "tool_bash", "partial_messages"] {
        let bytes = stream(name);
        for cut in (0..bytes.len()).step_by(37) {
            let evidence = Evidence::of(&bytes[..cut]);
            let ending = Ending { exit: Some(Exit::Signal(9)), ..Ending::default() };
            let verdict = judge(&evidence, &ending).verdict;
            let Verdict::Interrupted { .. } = verdict else { panic!("{name} cut at {cut}: {verdict:?}") };
        }
    }
}

/// What was done in a recording, as an agent is told that goes on without the conversation.
fn digest_of(name: &str) -> String {
    let (mut evidence, mut digest, bytes) = (Evidence::default(), Digest::default(), stream(name));
    LineSplitter::default().push(&bytes, |line| digest.read(&evidence.read(line)));
    digest.render()
}

#[test]
fn what_was_done_in_a_recorded_run_is_told_in_a_few_lines() {
    for (name, told, not_told) in [
        (
            "tool_bash",
            &["What was said last:\n- All done.", "Tools called:\n- Bash: echo hi\n"][..],
            "no answer",
        ),
        ("tool_write_ok", &["Files written or edited:\n- ", "- Write: "], "no answer"),
        ("tool_write_denied", &["- Write: ", "(it failed)"], "no answer"),
        (
            "SIGKILL_pgrp_in_bash",
            &["- Bash: ", "(no answer: nobody knows whether it was carried out)"],
            "it failed",
        ),
        ("max_turns", &["- Bash: echo hi"], "no answer"),
        ("err429_forever", &[], "What"),
        ("resume_transcript_empty", &[], "What"),
    ] {
        let digest = digest_of(name);
        for words in told {
            assert!(digest.contains(words), "{name}: {words:?} in {digest}");
        }
        assert!(!digest.contains(not_told), "{name}: {digest}");
        assert_eq!(digest.is_empty(), told.is_empty(), "{name}: {digest}");
    }
    for row in rows() {
        assert!(digest_of(&row.name).len() <= BYTES, "{}", row.name);
    }
}
