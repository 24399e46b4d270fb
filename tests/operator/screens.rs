//! The screens, the JSON and the errors as they are, compared letter by letter with `tests/fixtures/screens`.
//!
//! `UPDATE_FIXTURES=1 cargo test --test operator screens` rewrites them; a look at the difference is then the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::root::{Root, Said};
use crate::scene::Scene;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/screens").join(name)
}

/// Compares, or rewrites.
fn is_as_before(name: &str, shown: &str) {
    let path = fixture(name);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, shown).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(before, shown, "{} is not what is shown (UPDATE_FIXTURES=1 rewrites it)", path.display());
}

/// What was said, without what differs from one run to the next: where the root is, and moments of today.
fn told(root: &Root, said: &Said) -> String {
    let parts = [("out", &said.out), ("err", &said.err)].map(|(name, text)| format!("--- {name}\n{text}"));
    let text = format!("--- code {}\n{}", said.code, parts.concat());
    let text = text.replace(root.dir.path().to_str().unwrap(), "/srv/shared");
    let now = jiff::Timestamp::now();
    let days = [-24, 0, 24]
        .map(|hours| (now + jiff::SignedDuration::from_hours(hours)).strftime("%Y-%m-%d").to_string());
    let text = days.iter().fold(text, |text, day| without_times(&text, day));
    // Until a moment in 2030 there is one day less every day.
    text.split_inclusive('\n')
        .map(|line| line.split_once(", in ").map_or(line.to_owned(), |(at, _)| format!("{at}\n")))
        .collect()
}

/// `text` with the moments of `day` taken out: `2026-01-01T06:00:00Z` becomes `<that moment.....>`, as long as it was.
fn without_times(text: &str, day: &str) -> String {
    let begins = format!("{day}T");
    let mut parts = text.split(&begins);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean += "<moment of today...>";
        clean += part.split_once('Z').map_or(part, |(_, rest)| rest);
    }
    clean
}

#[test]
fn screens_and_errors_are_as_they_were() {
    let scene = Scene::new();
    for (name, args) in [
        ("status", &["status"][..]),
        ("list", &["list"]),
        ("list-failed", &["list", "--state", "failed", "-q"]),
        ("show", &["show", "invoice"]),
        ("show-running", &["show", "report"]),
        ("history", &["show", "invoice", "--history"]),
        ("why-inbox", &["why", "letter"]),
        ("why-held", &["why", "count"]),
        ("why-later", &["why", "later"]),
        ("why-misplaced", &["why", "lost"]),
        ("why-running", &["why", "report"]),
        ("why-ended", &["why", "invoice"]),
        ("unknown-task", &["show", "invoise"]),
        ("unknown-worker", &["list", "--worker", "mary"]),
        ("unknown-verb", &["statsu"]),
        ("unknown-flag", &["list", "--stat", "failed"]),
        ("unknown-age", &["list", "--since", "soon"]),
    ] {
        let said = scene.root.run(args);
        is_as_before(&format!("{name}.txt"), &told(&scene.root, &said));
    }
    let nowhere = scene.root.command(&["status"]).env("SHARED_ROOT", "/nonexistent").output().unwrap();
    is_as_before("no-root.txt", &told(&scene.root, &Said::from(nowhere)));
}

/// Numbers of seconds differ from one run to the next; that they are there does not.
fn without_ages(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name.ends_with("_s")
                    && name != "limit_s"
                    && !name.ends_with("timeout_s")
                    && value.is_number()
                {
                    *value = "<seconds>".into();
                }
                without_ages(value);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(without_ages),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn json_is_as_it_was() {
    let scene = Scene::new();
    for (name, args) in [
        ("status", &["status", "--json"][..]),
        ("list", &["list", "--json"]),
        ("show", &["show", "invoice", "--json"]),
        ("why", &["why", "letter", "--json"]),
    ] {
        let mut said = scene.root.run(args);
        let mut value = said.json();
        without_ages(&mut value);
        said.out = format!("{value:#}\n");
        is_as_before(&format!("{name}.json.txt"), &told(&scene.root, &said));
    }
}

#[test]
fn at_a_terminal_a_table_is_as_wide_as_that_and_has_colours_unless_they_are_not_wanted() {
    let scene = Scene::new();
    let at_terminal = |set: &str| {
        let line = format!("stty rows 24 cols 60; {set} exec {} list", env!("CARGO_BIN_EXE_agentctl"));
        let shown = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .env("SHARED_ROOT", scene.root.dir.path())
            .output()
            .unwrap();
        String::from_utf8(shown.stdout).unwrap().replace('\r', "")
    };
    assert!(at_terminal("").contains("\x1b["), "{}", at_terminal(""));
    let plain = at_terminal("NO_COLOR=1");
    assert!(!plain.contains('\x1b') && plain.lines().count() == 7, "{plain}");
    // A letter of the letter's prompt takes two columns.
    let too_wide =
        |line: &&str| line.chars().map(|c| if c.is_ascii() || c == '…' { 1 } else { 2 }).sum::<usize>() > 60;
    assert_eq!(plain.lines().find(too_wide), None, "{plain}");
    assert!(plain.contains('…'), "{plain}");
    let wide = at_terminal("NO_COLOR=1 COLUMNS=200");
    assert!(!wide.contains('…'), "{wide}");
}
