//! `shared-layout/` and the code agree: the same folders, a README in each, the schema as the types have it.
//!
//! `UPDATE_FIXTURES=1 cargo test --test layout` rewrites the schema.

#![expect(
    clippy::disallowed_methods,
    reason = "rewrites a fixture of the repository, where nobody reads half a file"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agent_worker::layout::Layout;
use agent_worker::task::WorkerName;
use agent_worker::task::schema::task_schema;

const WORKERS: [&str; 3] = ["marie", "anga", "fabien"];

fn shown() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shared-layout")
}

/// All folders below `dir`, and `dir` itself.
fn folders(dir: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::from([dir.to_owned()]);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            all.extend(folders(&entry.path()));
        }
    }
    all
}

/// The folders that the code makes for the three workers, with those above them.
fn made(layout: &Layout) -> BTreeSet<PathBuf> {
    let workers = WORKERS.iter().filter_map(|name| name.parse::<WorkerName>().ok());
    let leaves: Vec<PathBuf> = layout
        .common_dirs()
        .into_iter()
        .chain([layout.limits(), layout.packs(), layout.directories()])
        .chain(workers.flat_map(|worker| layout.worker_dirs(&worker)))
        .collect();
    let within = |path: &&Path| path.starts_with(layout.root());
    leaves.iter().flat_map(|leaf| leaf.ancestors().take_while(within).map(Path::to_owned)).collect()
}

#[test]
fn the_folders_shown_are_the_folders_made() {
    let layout = Layout::new(shown());
    let mut on_disk = folders(layout.root());
    assert!(on_disk.remove(&layout.root().join("schemas")), "shared-layout/schemas is missing");
    let made = made(&layout);
    let missing: Vec<_> = made.difference(&on_disk).collect();
    let foreign: Vec<_> = on_disk.difference(&made).collect();
    assert!(missing.is_empty(), "the code makes these, and shared-layout/ does not show them: {missing:#?}");
    assert!(foreign.is_empty(), "shared-layout/ shows these, and the code does not make them: {foreign:#?}");
}

#[test]
fn every_folder_says_what_it_is() {
    for folder in folders(&shown()) {
        let readme = folder.join("README.md");
        let text = std::fs::read_to_string(&readme).unwrap_or_default();
        let name = if folder == shown() { "/shared" } else { folder.file_name().unwrap().to_str().unwrap() };
        let title = text.lines().next().unwrap_or_default();
        assert!(title.starts_with("# "), "{}: is missing, or does not begin with a title", readme.display());
        assert!(title.contains(name), "{}: the title `{title}` does not name `{name}`", readme.display());
    }
}

#[test]
fn nothing_shown_would_be_taken_for_work() {
    for folder in folders(&shown()) {
        for entry in std::fs::read_dir(&folder).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            let name = entry.file_name().into_string().unwrap();
            let schema = folder.ends_with("schemas") && name == "task.schema.json";
            assert!(schema || name == "README.md", "{}: what is this?", entry.path().display());
        }
    }
}

#[test]
fn the_three_workers_are_told_alike() {
    let folders = folders(&shown());
    let of_marie = folders.iter().filter(|folder| folder.iter().any(|part| part == "marie"));
    for folder in of_marie {
        let text = std::fs::read_to_string(folder.join("README.md")).unwrap();
        for other in ["anga", "fabien"] {
            let twin: PathBuf = folder
                .iter()
                .map(|part| if part == "marie" { other.as_ref() } else { part })
                .collect::<PathBuf>()
                .join("README.md");
            let told = std::fs::read_to_string(&twin).unwrap();
            assert_eq!(told, text.replace("marie", other), "{}", twin.display());
        }
    }
}

#[test]
fn the_schema_is_that_of_the_types() {
    let file = shown().join("schemas/task.schema.json");
    let current = format!("{:#}\n", task_schema());
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(&file, &current).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(kept, current, "UPDATE_FIXTURES=1 cargo test --test layout rewrites {}", file.display());
}
