//! Steps in words, so that two lists of the same kinds of steps are seen to be one.

use std::path::Path;

use agent_worker::layout::Layout;
use agent_worker::spool::Step;
use agent_worker::task::Place;

/// One step in words, by the kinds of its places: the shape of an operation does not depend on names.
pub(crate) fn word(step: &Step, place_of: impl Fn(&Path) -> Option<Place>) -> String {
    let at = |path: &Path| match place_of(path) {
        Some(place) if Place::QUEUES.contains(&place) => "queue",
        Some(place) if Place::TERMINAL.contains(&place) => "filed",
        Some(_) => "active",
        None if path.ends_with("input.json") => "input",
        None => "papers",
    };
    let inside = |dir: &Path| at(&dir.join("x"));
    match step {
        Step::SyncFile(path) => format!("sync file {}", at(path)),
        Step::SyncDir(dir) if *dir == Layout::new("/r").artifacts() => "sync artifacts".to_owned(),
        Step::SyncDir(dir) => format!("sync {}", inside(dir)),
        Step::MakeDir(_) => "make run".to_owned(),
        Step::Move { from, to } => format!("move {} {}", at(from), at(to)),
        Step::Confirm { .. } => "confirm".to_owned(),
        Step::Write { path, .. } => format!("write {}", at(path)),
        Step::Replace { to, .. } => format!("replace {}", at(to)),
        Step::Remove(path) => format!("remove {}", at(path)),
        Step::Look(_) | Step::Note(_) => "nothing".to_owned(),
    }
}
