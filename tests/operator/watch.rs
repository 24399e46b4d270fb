//! `agentctl watch`: nothing is missed, and what is not wanted is left out.

use std::io::{BufRead, BufReader, Write};
use std::process::Child;

use crate::root::{Root, until_it_listens};

const DAY: &str = "workers/marie/journal/2026-02-28.ndjson";

fn line(time: &str, worker: &str, task: &str, event: &str) -> String {
    format!(r#"{{"time":"{time}","worker":"{worker}","task":"{task}","event":"{event}"}}"#)
}

fn append(root: &Root, path: &str, text: &str) {
    let path = root.path(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The next line of a program's output; whoever runs the tests ends one that never says anything.
fn next(lines: &mut BufReader<std::process::ChildStdout>) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn two_watch_and_both_see_everything_over_midnight_and_of_a_worker_that_comes_later() {
    let root = Root::new();
    append(&root, DAY, &(line("2026-02-28T10:00:00Z", "marie", "old", "claimed") + "\n"));
    let mut watching: Vec<Child> = (0..2).map(|_| root.start(&["watch", "--json"])).collect();
    watching.iter().for_each(until_it_listens);
    let mut outs: Vec<_> = watching.iter_mut().map(|it| BufReader::new(it.stdout.take().unwrap())).collect();
    let mut seen = |written: &str| {
        for out in &mut outs {
            assert_eq!(next(out), written);
        }
    };
    let late = line("2026-02-28T23:59:59Z", "marie", "a", "claimed");
    // Half a line is none yet.
    append(&root, DAY, &late[..20]);
    append(&root, DAY, &format!("{}\n", &late[20..]));
    seen(&late);
    let early = line("2026-03-01T00:00:01Z", "marie", "a", "concluded");
    append(&root, "workers/marie/journal/2026-03-01.ndjson", &format!("{early}\n"));
    seen(&early);
    let owed = line("2026-02-28T23:59:58Z", "marie", "b", "never_heard_of");
    append(&root, DAY, &format!("{owed}\n"));
    seen(&owed);
    let newcomer = line("2026-03-01T08:00:00Z", "anga", "c", "claimed");
    append(&root, "workers/anga/journal/2026-03-01.ndjson", &format!("{newcomer}\n"));
    seen(&newcomer);
    watching.into_iter().for_each(end);
}

#[test]
fn the_past_is_told_as_far_as_it_was_asked_for_and_filtered() {
    let root = Root::new();
    let twice = r#"{"time":"2026-02-28T12:00:00Z","worker":"marie","task":"b","event":"concluded","id":"r:1:concluded"}"#;
    append(
        &root,
        DAY,
        &[
            line("2026-02-28T10:00:00Z", "marie", "a", "claimed"),
            line("2026-02-28T11:00:00Z", "marie", "a", "requeued"),
            twice.to_owned(),
            twice.to_owned(),
            "torn".to_owned(),
            String::new(),
        ]
        .join("\n"),
    );
    let anga = line("2026-02-28T13:00:00Z", "anga", "a", "claimed");
    append(&root, "workers/anga/journal/2026-02-28.ndjson", &(anga + "\n"));
    let watch = |args: &[&str]| {
        let all: Vec<&str> =
            ["watch", "--no-follow", "--since", "2026-02-28T10:30:00Z"].iter().chain(args).copied().collect();
        let said = root.run(&all);
        assert_eq!(said.code, 0, "{said:?}");
        said.out
    };
    let told = "2026-02-28T13:00:00Z anga/a claimed\n2026-02-28T11:00:00Z marie/a requeued\n2026-02-28T12:00:00Z marie/b concluded\n";
    assert_eq!(watch(&[]).replace(" \n", "\n"), told, "what was written twice is told once");
    assert_eq!(watch(&["--json", "marie"]).lines().count(), 3, "a program gets the journal as it is");
    assert_eq!(watch(&["--task", "a", "--json"]).lines().count(), 2);
    assert_eq!(watch(&["--task", "marie/a", "--json"]).lines().count(), 1);
    assert_eq!(watch(&["--event", "concluded,requeued", "--json"]).lines().count(), 3);
    let typo = root.run(&["watch", "mariee"]);
    assert_eq!(typo.code, 65, "{typo:?}");
    assert!(typo.err.contains("did you mean `marie`?"), "{typo:?}");
    assert_eq!(root.run(&["watch", "--no-follow"]).code, 64, "without a past there is nothing to tell");
}
