//! What stands there: `status`, `list`, `show`.

use crate::root::{RUN, Root};

#[test]
fn a_list_has_the_running_first_and_is_filtered() {
    let root = Root::new();
    root.lay("tasks/in.json", r#"{"prompt":"one"}"#);
    root.lay("tasks/marie/active/run.json", r#"{"prompt":"two","state":"RUNNING"}"#);
    root.lay_ended("failed", "bad", "TIMEOUT");
    root.lay("tasks/marie/failed/bad.json.reason", "{}");
    root.lay("tasks/marie/pending/torn.json", r#"{"prompt":"#);
    let all = root.run(&["list", "--json"]).json();
    let names: Vec<&str> =
        all.as_array().unwrap().iter().map(|task| task["task"].as_str().unwrap()).collect();
    assert_eq!((names[0], names[3], names.len()), ("run", "bad", 4), "{all:#}");
    let failed = root.run(&["list", "--state", "failed", "--json"]).json();
    assert_eq!(
        (failed[0]["state"].as_str(), failed[0]["error_code"].as_str()),
        (Some("TIMEOUT"), Some("E006"))
    );
    assert_eq!(failed.as_array().unwrap().len(), 1);
    let table = root.run(&["list", "--worker", "marie"]);
    assert!(table.out.starts_with("TASK") && !table.out.contains("inbox"), "{table:?}");
    assert!(root.run(&["list", "--limit", "1"]).err.contains("3 more"));
}

#[test]
fn a_list_is_found_by_age_code_hold_and_text_and_sorted() {
    let scene = crate::scene::Scene::new();
    let names = |args: &[&str]| {
        let all: Vec<&str> = ["list", "-q"].iter().chain(args).copied().collect();
        let said = scene.root.run(&all);
        assert_eq!(said.code, 0, "{said:?}");
        said.out.lines().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    for (args, expected) in [
        (&["--since", "1d"][..], "marie/report bob/later marie/lost"),
        (&["--until", "1d"], "inbox/letter marie/count marie/invoice"),
        (&["--since", "3d", "--until", "1d", "--state", "failed"], "marie/invoice"),
        (&["--error-code", "e006"], "marie/invoice"),
        (&["--error-code", "E001"], ""),
        (&["--held"], "marie/count"),
        (&["--grep", "API DOWN"], "marie/invoice"),
        (&["--grep", "漢字"], "inbox/letter"),
        (&["--sort", "name", "-n", "2"], "marie/count marie/invoice"),
        (&["--sort", "name", "--reverse", "-n", "2"], "marie/report marie/lost"),
        (&["--sort", "priority", "-n", "1"], "marie/count"),
        (&["--sort", "cost", "--reverse", "-n", "2"], "marie/report marie/invoice"),
        (&["--sort", "charges", "--reverse", "-n", "1", "--worker", "marie"], "marie/invoice"),
        (&["--reverse", "-n", "1"], "marie/invoice"),
    ] {
        assert_eq!(names(args), expected, "{args:?}");
    }
    assert!(scene.root.run(&["list", "--sort", "name", "-n", "2"]).err.contains("4 more"));
    assert_eq!(scene.root.run(&["list", "--error-code", "E9"]).code, 64);
}

#[test]
fn one_task_is_shown_with_its_attempts_and_an_unknown_one_is_65() {
    let root = Root::new();
    let attempt = r#"{"number":1,"session_id":"11111111-1111-4111-8111-111111111111","started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:01:30Z","outcome":"completed","charged":false,"cost_usd":0.0123}"#;
    root.lay(
        "tasks/marie/completed/hello.json",
        &format!(r#"{{"prompt":"say \u001b[2J","state":"COMPLETED","run_id":"{RUN}","attempts":[{attempt}],"result":"hi there"}}"#),
    );
    let said = root.run(&["show", "hello"]);
    assert_eq!(said.code, 0, "{said:?}");
    for word in ["marie/hello", "COMPLETED", "1m30s", "$0.0123", "hi there", RUN, "\\u{1b}[2J"] {
        assert!(said.out.contains(word), "{word} in {}", said.out);
    }
    assert!(!said.out.contains('\x1b'), "no colours into a pipe, and no control bytes of others");
    let json = root.run(&["show", "marie/hello", "--json"]).json();
    assert_eq!(json["file"]["attempts"][0]["cost_usd"], 0.0123);
    let typo = root.run(&["show", "helo"]);
    assert_eq!((typo.code, typo.out.as_str()), (65, ""));
    assert!(typo.err.contains("did you mean `hello`?"), "{typo:?}");
}

#[test]
fn a_task_is_found_by_id_and_told_from_another_workers() {
    let root = Root::new();
    root.lay("tasks/marie/pending/20260101.json", r#"{"id":"report","prompt":"x"}"#);
    assert_eq!(root.run(&["show", "report", "--json"]).json()["task"], "report");
    root.lay("tasks/anga/pending/twin.json", r#"{"prompt":"x"}"#);
    root.lay("tasks/marie/completed/twin.json", r#"{"prompt":"x"}"#);
    assert_eq!(root.run(&["show", "twin", "--json"]).json()["worker"], "anga", "what lives is meant");
    root.lay("tasks/anga/completed/twin.json", r#"{"prompt":"x"}"#);
    std::fs::remove_file(root.path("tasks/anga/pending/twin.json")).unwrap();
    let both = root.run(&["show", "twin"]);
    assert_eq!(both.code, 65, "{both:?}");
    assert!(both.err.contains("anga/twin") && both.err.contains("marie/twin"), "{both:?}");
    assert_eq!(root.run(&["show", "anga/twin", "--json"]).json()["worker"], "anga");
    root.lay("tasks/marie/pending/twin.json", r#"{"prompt":"y"}"#);
    assert_eq!(root.run(&["show", "marie/twin", "--json"]).json()["place"], "pending", "what lives wins");
}

#[test]
fn the_status_tells_the_living_from_the_dead() {
    let root = Root::new();
    root.lay("workers/marie/state.json", r#"{"status":"running","recovery_count":2}"#);
    root.lay("tasks/in.json", r#"{"prompt":"one"}"#);
    root.lay_ended("failed", "bad", "FAILED");
    let said = root.run(&["status"]);
    assert_eq!(said.code, 0, "{said:?}");
    for word in
        ["0 of 1 workers alive", "1 in the inbox", "dead", "marie/bad", "E006 api down", "supervisor up"]
    {
        assert!(said.out.contains(word), "{word} in {}", said.out);
    }
    let lock = agent_worker::os::lock::Lock::try_exclusive(&root.path("workers/marie")).unwrap().unwrap();
    root.lay(
        "workers/marie/state.json",
        r#"{"status":"degraded","hold":{"cause":"auth","reason":"not logged in","remedy":"run claude /login"}}"#,
    );
    let alive = root.run(&["status"]);
    for word in
        ["1 of 1 workers alive", "degraded", "marie takes no tasks: auth: not logged in", "run claude /login"]
    {
        assert!(alive.out.contains(word), "{word} in {}", alive.out);
    }
    let json = root.run(&["status", "--json"]).json();
    let marie = &json["workers"][0];
    assert_eq!(
        (marie["alive"].as_bool(), marie["depths"]["failed"].as_u64()),
        (Some(true), Some(1)),
        "{json:#}"
    );
    assert_eq!(json["inbox"], 1);
    drop(lock);
}
