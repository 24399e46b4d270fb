//! What the documentation says is so: links lead somewhere, examples are tasks, every field is told.

use std::path::{Path, PathBuf};

use agent_worker::task::TaskFile;
use agent_worker::task::schema::task_schema;

fn repo() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn pages(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.');
        if path.is_dir() && !hidden && name != "target" && name != "shared" {
            pages(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            found.push(path);
        }
    }
}

fn all_pages() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    pages(&repo(), &mut found);
    found.into_iter().map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap_or_default())).collect()
}

/// The targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split(')').next())
}

/// The fenced blocks of one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.match_indices(&fence).filter_map(|(at, _)| text[at + fence.len()..].split("```").next()).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let pages = all_pages();
    assert!(pages.len() > 5, "the pages were not found");
    for (page, text) in &pages {
        for link in links(text).filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or(link);
            let target = page.parent().unwrap_or(page).join(file);
            assert!(target.exists(), "{}: the link to {link} leads nowhere", page.display());
        }
    }
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_to_headings_find_them() {
    let headings = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with('#'));
        lines.map(|line| anchor(line.trim_start_matches('#').trim_start())).collect()
    };
    for (page, text) in all_pages() {
        for link in links(&text).filter(|link| !link.contains("://")) {
            let Some((file, wanted)) = link.split_once('#') else { continue };
            let target =
                if file.is_empty() { page.clone() } else { page.parent().unwrap_or(&page).join(file) };
            if target.extension().is_none_or(|kind| kind != "md") {
                continue;
            }
            let there = std::fs::read_to_string(&target).unwrap_or_default();
            assert!(
                headings(&there).iter().any(|it| it == wanted),
                "{}: {link}: no such heading",
                page.display()
            );
        }
    }
}

#[test]
fn examples_of_tasks_are_tasks() {
    let readme = std::fs::read_to_string(repo().join("README.md")).unwrap();
    let examples = blocks(&readme, "json");
    assert!(!examples.is_empty(), "README.md shows no task");
    for example in examples {
        let parsed = TaskFile::parse(example.as_bytes());
        assert!(parsed.is_ok(), "README.md: {example} is no task: {}", parsed.unwrap_err());
    }
}

#[test]
fn the_readme_tells_every_field() {
    let readme = std::fs::read_to_string(repo().join("README.md")).unwrap();
    let schema = task_schema();
    for field in schema["properties"].as_object().unwrap().keys() {
        assert!(readme.contains(&format!("`{field}`")), "README.md does not tell the field `{field}`");
    }
}
