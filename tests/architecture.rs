//! Keeps the shape of the source: floors, openings and sizes.
//!
//! The floors are read from the table at the top of `src/lib.rs`, so that there is one list. A finding names
//! file and line and says what to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Two modules of one floor of which the first may use the second, and why.
const SIDEWAYS: &[(&str, &str, &str)] = &[
    ("task", "clock", "a record is told which moment it is; it never asks"),
    ("task", "text", "a message about a name shows it, and there is one rule for what may be shown"),
];

/// No file is longer than this.
const FILE_LINES_MAX: usize = 500;

/// The longest function of today, in lines that are neither blank nor comment. It may only get shorter.
const FUNCTION_LINES_MAX: usize = 70;

/// One source file.
struct Source {
    /// The path below the repository, for findings.
    path: String,
    /// The module path: `["spool", "disk"]` for `src/spool/disk.rs`; empty for `src/lib.rs` and programs.
    module: Vec<String>,
    text: String,
}

impl Source {
    fn read(repo: &Path, file: &Path) -> Self {
        let below = file.strip_prefix(repo.join("src")).unwrap_or(file);
        let mut module: Vec<String> =
            below.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        if module.first().is_some_and(|first| first == "bin" || first == "lib") {
            module.clear();
        }
        let text = std::fs::read_to_string(file).unwrap_or_default();
        Self { path: format!("src/{}", below.display()), module, text }
    }

    /// The lines of code with their numbers, comments cut off, and whether they stand in `mod tests`.
    fn code(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let mut in_tests = false;
        self.text.lines().enumerate().map(move |(n, line)| {
            in_tests |= line.trim_start().starts_with("mod tests {");
            (n + 1, without_comment(line), in_tests)
        })
    }
}

/// The line up to a `//` that does not stand in a string.
fn without_comment(line: &str) -> &str {
    line.match_indices("//")
        .find(|(at, _)| line[..*at].matches('"').count().is_multiple_of(2))
        .map_or(line, |(at, _)| &line[..at])
}

fn repo() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect(&repo().join("src"), &mut files);
    files.sort();
    files.iter().map(|file| Source::read(&repo(), file)).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
}

/// The table of floors in the opening of `src/lib.rs`: `//! | 3 | [`spool`] | … |`.
fn floors(lib: &str) -> BTreeMap<String, u32> {
    lib.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("//! |")?.split('|').map(str::trim);
            let floor = cells.next()?.parse().ok()?;
            let module = cells.next()?.strip_prefix("[`")?.strip_suffix("`]")?;
            Some((module.to_owned(), floor))
        })
        .collect()
}

/// The modules at the root of the crate that a line of code names.
fn uses(line: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    let climb = "super::".repeat(depth);
    for prefix in ["crate::", &climb] {
        for (at, _) in line.match_indices(prefix).filter(|_| !prefix.is_empty()) {
            let before = &line[..at];
            let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
            if begins {
                found.extend(heads(&line[at + prefix.len()..]));
            }
        }
    }
    found
}

/// The first segments of a path or of a braced list of paths: `{a::b, c}` gives `a` and `c`.
fn heads(path: &str) -> Vec<String> {
    let Some(list) = path.strip_prefix('{') else { return ident(path).into_iter().collect() };
    let mut depth = 0usize;
    let mut items = vec![String::new()];
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ if depth == 0 => items.last_mut().into_iter().for_each(|item| item.push(c)),
            _ => {}
        }
    }
    items.iter().filter_map(|item| ident(item.trim())).collect()
}

/// The module name that a path begins with; a macro or a type is none.
fn ident(path: &str) -> Option<String> {
    let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let is_module = name.starts_with(|c: char| c.is_lowercase()) && !path[name.len()..].starts_with('!');
    is_module.then_some(name)
}

/// Braced imports over several lines as one, at the number of their first line.
fn joined(source: &Source) -> Vec<(usize, String, bool)> {
    let mut out: Vec<(usize, String, bool)> = Vec::new();
    let mut open = false;
    for (n, line, in_tests) in source.code() {
        if open {
            if let Some((_, text, _)) = out.last_mut() {
                text.push_str(line.trim());
            }
        } else {
            out.push((n, line.to_owned(), in_tests));
        }
        let whole = out.last().map_or("", |(_, text, _)| text.trim_start());
        let import = whole.starts_with("use ") || whole.starts_with("pub use ") || whole.starts_with("pub(");
        open = import && whole.contains("use ") && !whole.contains(';') && whole.contains('{');
    }
    out
}

fn fail_with(findings: &[String], advice: &str) {
    let list = findings.join("\n  ");
    assert!(findings.is_empty(), "\n  {list}\n{advice}\n");
}

#[test]
fn a_module_uses_only_floors_below_its_own() {
    let sources = sources();
    let lib = sources.iter().find(|source| source.path == "src/lib.rs").expect("src/lib.rs");
    let floors = floors(&lib.text);
    assert!(floors.len() >= 2, "the floor table in src/lib.rs cannot be read");
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        let mine = &source.module[0];
        let Some(floor) = floors.get(mine) else {
            findings.push(format!("{}:1: module `{mine}` has no floor", source.path));
            continue;
        };
        for (n, line, in_tests) in joined(source) {
            for other in uses(&line, source.module.len() + usize::from(in_tests)) {
                let allowed = other == *mine
                    || SIDEWAYS.iter().any(|(from, to, _)| from == mine && *to == other)
                    || floors.get(&other).is_some_and(|theirs| theirs < floor);
                // An item that a module brings from the crate's root by `super::` is not a module.
                let known = floors.contains_key(&other) || line.contains(&format!("crate::{other}"));
                if known && !allowed {
                    let theirs = floors.get(&other).map_or("none".to_owned(), u32::to_string);
                    findings.push(format!(
                        "{}:{n}: `{mine}` (floor {floor}) uses `{other}` (floor {theirs})",
                        source.path
                    ));
                }
            }
        }
    }
    fail_with(
        &findings,
        "A module uses only floors below its own. Move what is shared down, pass it in as a value or a trait,\n\
         or change the table in src/lib.rs if the module stands on the wrong floor.",
    );
}

#[test]
fn the_table_of_floors_and_the_modules_are_the_same_list() {
    let lib = std::fs::read_to_string(repo().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or(line.strip_prefix("mod "))?.strip_suffix(';'))
        .collect();
    let floors = floors(&lib);
    let mut findings: Vec<String> = declared
        .iter()
        .filter(|module| !floors.contains_key(**module))
        .map(|module| format!("src/lib.rs: `{module}` is declared and has no row in the table of floors"))
        .collect();
    findings.extend(
        floors
            .keys()
            .filter(|module| !declared.contains(&module.as_str()))
            .map(|module| format!("src/lib.rs: `{module}` has a floor and is not declared")),
    );
    fail_with(&findings, "Keep the table in src/lib.rs and its `pub mod` lines together.");
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    let findings: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{}:1: does not open with `//!`", source.path))
        .collect();
    fail_with(&findings, "Say what it is for, what always holds, and what it deliberately does not know.");
}

#[test]
fn no_file_is_longer_than_the_limit() {
    let findings: Vec<String> = sources()
        .iter()
        .map(|source| (&source.path, source.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{path}:{lines}: {lines} lines, {FILE_LINES_MAX} are allowed"))
        .collect();
    fail_with(&findings, "Split the file by subject.");
}

/// The functions of a file: first line, name, lines of the body that are neither blank nor comment.
fn functions(source: &Source) -> Vec<(usize, String, usize)> {
    let lines: Vec<(usize, &str, bool)> = source.code().collect();
    let mut out = Vec::new();
    for (at, (n, line, _)) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(fn_at) = words.iter().position(|word| *word == "fn") else { continue };
        let qualifier = |word: &&str| {
            ["async", "const", "unsafe", "extern", "\"C\""].contains(word) || word.starts_with("pub")
        };
        if !words[..fn_at].iter().all(qualifier) || line.trim_end().ends_with([';', '}']) {
            continue;
        }
        // rustfmt puts the closing brace below the function's first letter.
        let end = format!("{}}}", " ".repeat(indent));
        let body = lines[at + 1..].iter().take_while(|(_, line, _)| *line != end);
        let count = body.filter(|(_, line, _)| !line.trim().is_empty()).count();
        let name = words.get(fn_at + 1).map_or("?", |word| word.split(['(', '<']).next().unwrap_or("?"));
        out.push((*n, name.to_owned(), count));
    }
    out
}

#[test]
fn the_longest_function_does_not_grow() {
    let mut all: Vec<(usize, String)> = sources()
        .iter()
        .flat_map(|source| {
            functions(source)
                .into_iter()
                .map(|(n, name, lines)| (lines, format!("{}:{n}: `{name}` has {lines} lines", source.path)))
        })
        .collect();
    all.sort_by_key(|(lines, _)| std::cmp::Reverse(*lines));
    println!("the longest of {} functions:", all.len());
    all.iter().take(5).for_each(|(_, text)| println!("  {text}"));
    let findings: Vec<String> =
        all.into_iter().filter(|(lines, _)| *lines > FUNCTION_LINES_MAX).map(|(_, text)| text).collect();
    fail_with(&findings, "Take a named part out of it; the limit in this test only goes down.");
}

#[test]
fn the_reading_of_paths_is_not_fooled() {
    for (line, depth, expected) in [
        ("use crate::spool::Disk;", 2, &["spool"][..]),
        ("use crate::{agent::Child, os::{lock, fifo}, task};", 2, &["agent", "os", "task"]),
        ("    let x = crate::watcher::run(crate::layout::Layout::new(a));", 1, &["watcher", "layout"]),
        ("use super::super::spool::Disk;", 2, &["spool"]),
        ("use super::disk::Disk;", 2, &[]),
        ("use super::task::Place;", 1, &["task"]),
        ("crate::invariant!(a)", 1, &[]),
        ("use crate::Thing;", 1, &[]),
        ("use my_crate::spool;", 1, &[]),
    ] {
        assert_eq!(uses(line, depth), expected, "{line}");
    }
    assert_eq!(without_comment(r#"let a = "http://x"; // crate::spool"#), r#"let a = "http://x"; "#);
}
