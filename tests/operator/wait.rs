//! `agentctl wait`, and its codes.

use crate::root::{Root, Said, until, until_it_listens};

#[test]
fn waiting_ends_with_the_code_of_the_outcome() {
    let root = Root::new();
    for (place, name, state, code) in [
        ("completed", "a", "COMPLETED", 0),
        ("failed", "b", "FAILED", 1),
        ("failed", "c", "TIMEOUT", 124),
        ("cancelled", "d", "CANCELLED", 130),
    ] {
        root.lay_ended(place, name, state);
        let said = root.run(&["wait", name]);
        assert_eq!((said.code, said.out), (code, format!("marie/{name} {state}\n")));
    }
    assert_eq!(root.run(&["wait", "a", "c", "b"]).code, 124, "the first that did not complete");
    assert_eq!(root.run(&["wait", "nobody"]).code, 65);
    root.lay("tasks/marie/pending/e.json", r#"{"prompt":"x"}"#);
    assert_eq!(root.run(&["wait", "e", "--timeout", "50ms"]).code, 75);
    let both = root.run(&["wait", "e", "a", "--timeout", "50ms", "--json"]);
    let told: Vec<_> = both.json().as_array().unwrap().iter().map(|it| it["state"].clone()).collect();
    assert_eq!(
        (both.code, told),
        (75, vec!["PENDING".into(), "COMPLETED".into()]),
        "a program is told of all"
    );
}

#[test]
fn waiting_goes_on_until_the_task_is_filed() {
    let root = Root::new();
    root.lay("tasks/marie/active/t.json", r#"{"prompt":"x","state":"RUNNING"}"#);
    let waiting = root.start(&["wait", "t", "--timeout", "60s"]);
    until_it_listens(&waiting);
    root.lay_ended("active", "t", "COMPLETED");
    std::fs::rename(root.path("tasks/marie/active/t.json"), root.path("tasks/marie/completed/t.json"))
        .unwrap();
    let said = Said::from(waiting.wait_with_output().unwrap());
    assert_eq!((said.code, said.out.as_str()), (0, "marie/t COMPLETED\n"), "{said:?}");
}

#[test]
fn a_task_is_followed_from_the_inbox_to_whoever_took_it() {
    let root = Root::new();
    root.lay("tasks/20260101.json", r#"{"id":"report","prompt":"x"}"#);
    let waiting = root.start(&["wait", "inbox/report", "--timeout", "60s"]);
    until_it_listens(&waiting);
    std::fs::rename(root.path("tasks/20260101.json"), root.path("tasks/marie/active/20260101.json")).unwrap();
    std::fs::rename(
        root.path("tasks/marie/active/20260101.json"),
        root.path("tasks/marie/cancelled/20260101.json"),
    )
    .unwrap();
    let said = Said::from(waiting.wait_with_output().unwrap());
    assert_eq!((said.code, said.out.as_str()), (130, "marie/report CANCELLED\n"), "{said:?}");
}

#[test]
fn submit_and_wait_prints_the_answer() {
    let root = Root::new();
    let waiting = root.start(&["submit", "x", "--worker", "marie", "--id", "t", "--wait"]);
    let pending = root.path("tasks/marie/pending/t.json");
    until("the task is submitted", || pending.exists());
    until_it_listens(&waiting);
    root.lay_ended("completed", "t", "COMPLETED");
    std::fs::remove_file(pending).unwrap();
    let said = Said::from(waiting.wait_with_output().unwrap());
    assert_eq!((said.code, said.out.as_str()), (0, "t\n42\n"), "{said:?}");
}
