//! `agentctl logs`, once and followed.

use std::io::Write;

use crate::root::{ENDED, RUN, Root, SAID, Said, until_it_listens};

fn attempt(number: u32) -> String {
    format!(
        r#"{{"number":{number},"session_id":"{RUN}","started_at":"2026-01-01T00:00:00Z","charged":false}}"#
    )
}

#[test]
fn a_tasks_log_is_what_its_agent_said_over_all_attempts() {
    let root = Root::new();
    let record = format!(r#""run_id":"{RUN}","attempts":[{},{}]"#, attempt(1), attempt(2));
    root.lay("tasks/marie/active/t.json", &format!(r#"{{"prompt":"x","state":"RUNNING",{record}}}"#));
    root.lay(&format!("artifacts/{RUN}/attempt-1/stream.ndjson"), "torn \u{1b}[2J\n");
    root.lay(&format!("artifacts/{RUN}/attempt-1/stderr.log"), "killed\n");
    root.lay(&format!("artifacts/{RUN}/attempt-2/stream.ndjson"), &format!("{SAID}\n{ENDED}\n"));
    let said = root.run(&["logs", "t"]);
    assert_eq!(said.code, 0, "{said:?}");
    let order =
        ["attempt 1", "? torn \\u{1b}[2J", "stderr: killed", "attempt 2", "hello", "→ Bash ls", "✓ answered"];
    let found: Vec<_> = order.iter().map(|word| said.out.find(word)).collect();
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{found:?} in {}", said.out);
    assert!(said.err.contains("RUNNING"), "{said:?}");
    let raw = root.run(&["logs", "t", "--raw"]);
    assert_eq!(raw.out, format!("torn \u{1b}[2J\n{SAID}\n{ENDED}\n"));
    assert_eq!(root.run(&["logs", "nobody"]).code, 65);
}

#[test]
fn a_followed_log_goes_on_until_the_task_is_filed() {
    let root = Root::new();
    root.lay("tasks/marie/active/t.json", r#"{"prompt":"x"}"#);
    let following = root.start(&["logs", "-f", "t"]);
    until_it_listens(&following);
    let record = format!(r#""run_id":"{RUN}","attempts":[{}]"#, attempt(1));
    root.lay("tasks/marie/active/t.json", &format!(r#"{{"prompt":"x","state":"RUNNING",{record}}}"#));
    root.lay(&format!("artifacts/{RUN}/attempt-1/stream.ndjson"), &format!("{SAID}\n"));
    let mut stream = std::fs::File::options()
        .append(true)
        .open(root.path(&format!("artifacts/{RUN}/attempt-1/stream.ndjson")));
    stream.as_mut().unwrap().write_all(format!("{ENDED}\n").as_bytes()).unwrap();
    root.lay("tasks/marie/active/t.json", &format!(r#"{{"prompt":"x","state":"COMPLETED",{record}}}"#));
    std::fs::rename(root.path("tasks/marie/active/t.json"), root.path("tasks/marie/completed/t.json"))
        .unwrap();
    let said = Said::from(following.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("→ Bash ls") && said.out.contains("✓ answered"), "{said:?}");
}

#[test]
fn a_workers_log_is_shown_from_its_end() {
    let root = Root::new();
    root.lay("logs/marie.log", "one\ntwo\nthree \u{7}\n");
    let dir = root.path("logs");
    let said = root.run(&["logs", "marie", "-n", "2", "--log-dir", dir.to_str().unwrap()]);
    assert_eq!((said.code, said.out.as_str()), (0, "two\nthree \\u{7}\n"), "{said:?}");
    let missing = root.run(&["logs", "marie", "--log-dir", "/nonexistent"]);
    assert_eq!(missing.code, 69, "{missing:?}");
}
