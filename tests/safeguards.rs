//! `scripts/safeguards.tsv` fits the source: each of its texts stands there once, and no wait for the disk, lock, refusal to
//! replace or second look lacks a row. Whether each is noticed when it is deleted, `scripts/safeguards.sh` asks.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What makes a line a safeguard: the calls themselves, and not who calls a function that makes them for him.
const MARKS: [&str; 14] = [
    "sync_all()",
    "sync_data()",
    "fsync(",
    "?.sync()",
    "durable::sync_file(",
    "durable::sync_dir(",
    "FileExt::try_lock",
    "FileExt::lock",
    "RenameFlags::NOREPLACE",
    "OFlags::EXCL",
    ".create_new(",
    "lock.is_still(",
    "held.is_still(",
    "locked.is_still(",
];

struct Row {
    name: String,
    file: String,
    text: String,
    test: String,
}

fn repo() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> Vec<Row> {
    let list = fs::read_to_string(repo().join("scripts/safeguards.tsv")).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [name, file, text, instead, judge] = columns[..] else { panic!("five columns: {line}") };
            assert!(instead.contains("OFF"), "{name}: nothing is deleted");
            Row {
                name: name.to_owned(),
                file: file.to_owned(),
                text: text.to_owned(),
                test: judge.to_owned(),
            }
        })
        .collect()
}

/// A source without its tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.split("#[cfg(test)]\n").next().unwrap().to_owned()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.as_bytes().ends_with(b".rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn each_row_has_its_place_in_the_source_and_a_test() {
    let (mut names, rows) = (BTreeSet::new(), rows());
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!(
            code(&repo().join(&row.file)).matches(&row.text).count(),
            1,
            "{}: `{}`",
            row.name,
            row.text
        );
        let (binary, filter) = row.test.split_once(' ').unwrap();
        let is_there = |path: &str| repo().join(format!("tests/{path}")).exists();
        assert!(
            ["lib", "none"].contains(&binary)
                || is_there(&format!("{binary}.rs"))
                || is_there(&format!("{binary}/main.rs")),
            "{}: there is no test file {binary}",
            row.name
        );
        assert!(!filter.is_empty(), "{}: which tests?", row.name);
        assert!(names.insert(row.name.clone()), "{} stands there twice", row.name);
    }
}

#[test]
fn no_safeguard_lacks_a_row() {
    let (rows, mut found) = (rows(), Vec::new());
    sources(&repo().join("src"), &mut found);
    let mut lacking = Vec::new();
    for path in found {
        let file = path.strip_prefix(repo()).unwrap().display().to_string();
        let texts: Vec<&str> =
            rows.iter().filter(|row| row.file == file).map(|row| row.text.as_str()).collect();
        for (at, line) in code(&path).lines().enumerate() {
            let is_code = !line.trim_start().starts_with("//") && !line.contains(" fn ");
            if is_code
                && MARKS.iter().any(|mark| line.contains(mark))
                && !texts.iter().any(|it| line.contains(it))
            {
                lacking.push(format!("{file}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(lacking.is_empty(), "a row in scripts/safeguards.tsv is missing for\n{}", lacking.join("\n"));
}
