//! `docs/promises.md` is so: each promise has, for each host, tests that are there and are run, or says how it is weaker and
//! names the test of that.

use std::path::{Path, PathBuf};

const PROMISES: [&str; 10] = [
    "One place",
    "One runner",
    "Outcome before move",
    "Every start is recorded, charging is at the end",
    "No overwriting",
    "A drop is taken when it is whole",
    "Death is a fact",
    "A living agent is adopted",
    "No process outlives its task",
    "Full disks and failing writes lose nothing",
];
const HOSTS: [&str; 3] = ["exec", "systemd", "Docker"];

fn repo() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository; one that is not there holds nothing.
fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(repo().join(path)).unwrap_or_default()
}

/// What stands between back quotes and names a test: where, and which.
fn named(text: &str) -> Vec<(&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|name| name.split_once(": ")).collect()
}

/// The rows of the table, without its head.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let lines = page.lines().filter(|line| line.starts_with("| "));
    lines.skip(1).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The sources of the tests `file`: one file, or all of a folder.
fn sources(file: &str) -> String {
    let folder = repo().join("tests").join(file);
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let files: Vec<PathBuf> = entries.map(|it| it.path()).filter(|it| it.extension().is_some()).collect();
    let alone = repo().join(format!("tests/{file}.rs"));
    files.into_iter().chain(alone.is_file().then_some(alone)).map(read).collect()
}

/// Whether a test, act or scene of this name is run.
fn is_run(file: &str, name: &str) -> bool {
    match file {
        "systemd" => read("tests/systemd/main.rs").contains(&format!("\n    (\"{name}\", ")),
        "docker" => read("tests/docker/main.rs").contains(&format!("\n    stage.scene(\"{name}\", ")),
        _ => {
            let text = sources(file);
            let Some(at) = text.find(&format!("\nfn {name}(")) else { return false };
            text[..at].lines().rev().take_while(|line| line.starts_with(['#', '/'])).any(|it| it == "#[test]")
        }
    }
}

#[test]
fn every_promise_has_its_tests_on_every_host() {
    let page = read("docs/promises.md");
    let rows = rows(&page);
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), PROMISES);
    for row in &rows {
        assert_eq!(row.len(), 1 + HOSTS.len(), "{row:?}");
        for (host, cell) in HOSTS.iter().zip(&row[1..]) {
            assert!(!named(cell).is_empty(), "{}: no test shows it under {host}", row[0]);
            // A test of another host shows nothing about this one.
            let own = host.to_lowercase();
            let is_own = |(file, _): &(&str, &str)| match own.as_str() {
                "exec" => !["systemd", "docker"].contains(file),
                own => *file == own,
            };
            assert!(named(cell).iter().all(is_own), "{}, {host}: {cell}", row[0]);
        }
    }
    let unknown: Vec<_> = named(&page).into_iter().filter(|(file, name)| !is_run(file, name)).collect();
    // The first of them tell how a name reads.
    let told = [("file", "function"), ("systemd", "act")];
    let unknown: Vec<_> = unknown.into_iter().filter(|it| !told.contains(it)).collect();
    assert!(unknown.is_empty(), "named in docs/promises.md and not run: {unknown:?}");
}

#[test]
fn what_is_said_of_security_is_shown_by_tests_that_are_run() {
    let page = read("docs/security.md");
    let pairs =
        page.split('`').skip(1).step_by(2).map(|name| name.split_whitespace().collect::<Vec<_>>().join(" "));
    let named: Vec<(String, String)> = pairs
        .filter_map(|name| name.split_once(": ").map(|(file, name)| (file.to_owned(), name.to_owned())))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    let unknown: Vec<_> = named.iter().filter(|(file, name)| !is_run(file, name)).collect();
    assert!(unknown.is_empty(), "no such tests: {unknown:?}");
}
