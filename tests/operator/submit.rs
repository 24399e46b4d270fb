//! What goes in: `agentctl submit`, and what is refused.

use serde_json::Value;

use crate::root::{Root, files};

#[test]
fn wrong_usage_ends_with_64_and_help_with_0() {
    let root = Root::new();
    for args in [&["lst"][..], &["list", "--bogus"], &["submit"], &["wait"], &["list", "--state", "odd"], &[]]
    {
        let said = root.run(args);
        assert_eq!((said.code, said.out.as_str()), (64, ""), "{args:?}: {said:?}");
    }
    assert!(root.run(&["lst"]).err.contains("list"), "the verb that was meant is named");
    assert_eq!(root.run(&["--help"]).code, 0);
    assert_eq!(root.run(&["submit", "--help"]).code, 0);
}

#[test]
fn a_root_that_is_none_says_how_to_make_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root { dir };
    for verb in [&["status"][..], &["list"], &["submit", "hi"], &["show", "x"], &["wait", "x"]] {
        let said = root.run(verb);
        assert_eq!(said.code, 69, "{said:?}");
        assert!(said.err.contains("supervisor up --root"), "{said:?}");
    }
}

#[test]
fn a_submitted_prompt_is_a_task_and_its_name_is_all_of_stdout() {
    let root = Root::new();
    let said = root.run(&["submit", "say hello", "--priority", "-3", "--timeout", "5m", "--input", "[1]"]);
    assert_eq!(said.code, 0, "{said:?}");
    let name = said.out.trim_end();
    assert!(name.starts_with("say-hello-"), "{said:?}");
    assert_eq!(files(&root.path("tasks")), [format!("{name}.json")]);
    let task: Value =
        serde_json::from_slice(&std::fs::read(root.path(&format!("tasks/{name}.json"))).unwrap()).unwrap();
    assert_eq!(task["prompt"], "say hello");
    assert_eq!((task["priority"].as_i64(), task["timeout_s"].as_u64()), (Some(-3), Some(300)));
    assert_eq!(task["input"], serde_json::json!([1]));
    assert!(said.err.contains("no worker is alive"), "{said:?}");
}

#[test]
fn a_task_for_one_worker_is_pinned_and_lies_in_its_folder() {
    let root = Root::new();
    let said = root.run(&["submit", "hi", "--worker", "marie", "--id", "t1"]);
    assert_eq!((said.code, said.out.as_str()), (0, "t1\n"), "{said:?}");
    let task = std::fs::read_to_string(root.path("tasks/marie/pending/t1.json")).unwrap();
    assert!(task.contains(r#""worker": "marie""#), "{task}");
    let again = root.run(&["submit", "hi", "--worker", "marie", "--id", "t1"]);
    assert_eq!(again.code, 65, "{again:?}");
    let typo = root.run(&["submit", "hi", "--worker", "mari"]);
    assert_eq!(typo.code, 65);
    assert!(typo.err.contains("did you mean `marie`?"), "{typo:?}");
}

#[test]
fn fields_of_others_go_in_as_they_were_written_and_forged_ones_do_not() {
    let root = Root::new();
    root.lay("in/nightly.json", r#"{"zeta": 1.50e3, "prompt":"x", "state":"COMPLETED", "retry_count": 9}"#);
    let file = root.path("in/nightly.json");
    let file = file.to_str().unwrap();
    assert_eq!(root.run(&["submit", "--file", file]).out, "nightly\n");
    let text = std::fs::read_to_string(root.path("tasks/nightly.json")).unwrap();
    assert!(
        text.contains("1.50e3") && !text.contains("COMPLETED") && !text.contains("retry_count"),
        "{text}"
    );
    assert_eq!(root.run(&["submit", "--file", file]).out, "nightly~2\n", "a taken name is numbered");
    std::fs::rename(root.path("tasks/nightly.json"), root.path("tasks/marie/completed/nightly.json"))
        .unwrap();
    assert_eq!(root.run(&["submit", "--file", file]).out, "nightly~3\n", "also one that an ended task has");
}

#[test]
fn what_a_watcher_would_refuse_is_refused_and_nothing_is_written() {
    let root = Root::new();
    root.lay("in/good.json", r#"{"prompt":"x"}"#);
    root.lay("in/bad.json", r#"{"prompt":"x","priority":"high"}"#);
    let (good, bad) = (root.path("in/good.json"), root.path("in/bad.json"));
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    for (args, word) in [
        (vec!["submit", "  "], "`prompt` is empty"),
        (vec!["submit", "--file", good, "--file", bad], "`priority`"),
        (vec!["submit", "x", "--input", "{"], "--input"),
        (vec!["submit", "x", "--timeout", "0"], "`timeout_s`"),
    ] {
        let said = root.run(&args);
        assert_eq!((said.code, said.out.as_str()), (65, ""), "{said:?}");
        assert!(said.err.contains(word), "{said:?}");
    }
    assert_eq!(files(&root.path("tasks")), [""; 0]);
    let missing = root.run(&["submit", "--file", "/nonexistent/x.json"]);
    assert_eq!(missing.code, 69, "{missing:?}");
}

#[test]
fn stdin_is_a_prompt_or_a_task() {
    let root = Root::new();
    let said = root.run_with_stdin(&["submit", "-", "--id", "a"], "look at this\nand that\n");
    assert_eq!((said.code, said.out.as_str()), (0, "a\n"), "{said:?}");
    let said = root.run_with_stdin(&["submit", "--file", "-"], r#"{"id":"b","prompt":"x"}"#);
    assert_eq!((said.code, said.out.as_str()), (0, "b\n"), "{said:?}");
    assert_eq!(files(&root.path("tasks")), ["a.json", "b.json"]);
}

#[test]
fn a_dry_run_shows_the_task_and_writes_nothing() {
    let root = Root::new();
    let said = root.run(&["submit", "hi", "--dry-run", "--in", "2h"]);
    assert_eq!((said.code, said.json()["prompt"].as_str()), (0, Some("hi")), "{said:?}");
    assert!(said.json()["not_before"].is_string());
    assert_eq!(files(&root.path("tasks")), [""; 0]);
}
