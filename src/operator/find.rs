//! Finding one task by what a person calls it: its name, `worker/name`, `inbox/name`, or its file's name.
//!
//! First by the file `<name>.json` in every place, which costs a few `lstat`; only then by `id`, which reads the
//! backlog. A live task wins over ended ones, and of those of one worker the latest; what several workers have
//! must be called `worker/name`.

use crate::config::nearest;
use crate::task::{FileName, Place, WorkerName};

use super::desk::Desk;
use super::error::OperatorError;
use super::look::{self, Entry, Seen};

/// The task that `called` means.
pub(super) fn find(desk: &Desk, called: &str) -> Result<Seen, OperatorError> {
    look::check_root(&desk.layout)?;
    match look_for(desk, called)? {
        Some(seen) => Ok(seen),
        // A task on its way between two folders can be missed once, not twice; and it may have been taken out of
        // the inbox.
        None => look_for(desk, called.strip_prefix("inbox/").unwrap_or(called))?
            .ok_or_else(|| unknown(desk, called)),
    }
}

/// The tasks that `called` mean, each once.
pub(super) fn all(desk: &Desk, called: &[String]) -> Result<Vec<Seen>, OperatorError> {
    let mut found: Vec<Seen> = Vec::new();
    for called in called {
        let seen = find(desk, called)?;
        if !found.iter().any(|it| it.entry.path == seen.entry.path) {
            found.push(seen);
        }
    }
    Ok(found)
}

/// A task that is looked at again and again while it moves. Once it was seen it is called by its file, so that
/// the backlog is not read each time.
#[derive(Debug)]
pub(super) struct Trail {
    called: String,
    seen_as: Option<String>,
}

impl Trail {
    /// The trail of the task that `called` means.
    pub(super) fn new(called: &str) -> Self {
        Self { called: called.to_owned(), seen_as: None }
    }

    /// The task as it is now.
    pub(super) fn look(&mut self, desk: &Desk) -> Result<Seen, OperatorError> {
        let again = self.seen_as.as_deref().map(|name| look_for(desk, name)).transpose()?.flatten();
        let seen = again.map_or_else(|| find(desk, &self.called), Ok)?;
        let stem = seen.entry.file.stem();
        // Any worker may take it out of the inbox.
        self.seen_as = Some(match &seen.entry.worker {
            Some(worker) => format!("{worker}/{stem}"),
            None => stem.to_owned(),
        });
        if seen.entry.worker.is_none() {
            stem.clone_into(&mut self.called);
        }
        Ok(seen)
    }
}

fn look_for(desk: &Desk, called: &str) -> Result<Option<Seen>, OperatorError> {
    let workers = look::workers(&desk.layout)?;
    let (worker, name) = split(called);
    let places: Vec<(Option<WorkerName>, Place)> = look::all_places(&workers)
        .into_iter()
        .filter(|(owner, _)| {
            worker.is_none_or(|wanted| owner.as_ref().map_or("inbox", WorkerName::as_str) == wanted)
        })
        .collect();
    let by_file = by_file(desk, &places, name)?;
    let found = if by_file.is_empty() { by_id(desk, &places, name)? } else { by_file };
    choose(called, found)
}

/// `worker/name` and its parts; a trailing `.json` is forgiven.
fn split(called: &str) -> (Option<&str>, &str) {
    let called = called.strip_suffix(".json").unwrap_or(called);
    called.split_once('/').map_or((None, called), |(worker, name)| (Some(worker), name))
}

fn by_file(
    desk: &Desk,
    places: &[(Option<WorkerName>, Place)],
    name: &str,
) -> Result<Vec<Seen>, OperatorError> {
    let Ok(file) = format!("{name}.json").parse::<FileName>() else { return Ok(Vec::new()) };
    let entries =
        places.iter().filter_map(|(worker, place)| look::entry(&desk.layout, worker.as_ref(), *place, &file));
    read_all(entries.collect(), |_| true)
}

fn by_id(
    desk: &Desk,
    places: &[(Option<WorkerName>, Place)],
    name: &str,
) -> Result<Vec<Seen>, OperatorError> {
    let mut found = Vec::new();
    for (worker, place) in places {
        let entries = look::entries(&desk.layout, worker.as_ref(), *place)?;
        found.extend(read_all(entries, |seen| seen.name() == name)?);
    }
    Ok(found)
}

fn read_all(entries: Vec<Entry>, wanted: impl Fn(&Seen) -> bool) -> Result<Vec<Seen>, OperatorError> {
    let mut found = Vec::new();
    for entry in entries {
        found.extend(entry.read()?.filter(&wanted));
    }
    Ok(found)
}

/// The one that is meant, of several files.
fn choose(called: &str, mut found: Vec<Seen>) -> Result<Option<Seen>, OperatorError> {
    // The same task met twice on its way: only one of the files is still there.
    if found.len() > 1 {
        found.retain(|seen| seen.entry.path.symlink_metadata().is_ok());
    }
    let is_live = |seen: &Seen| !Place::TERMINAL.contains(&seen.entry.place);
    if found.iter().any(is_live) {
        found.retain(is_live);
    }
    found.sort_by_key(|seen| (seen.entry.worker.clone(), std::cmp::Reverse(seen.entry.mtime)));
    found.dedup_by(|later, earlier| later.entry.worker == earlier.entry.worker);
    if found.len() > 1 {
        let full = found.iter().map(Seen::full_name).collect();
        return Err(OperatorError::Ambiguous { name: called.to_owned(), full });
    }
    Ok(found.pop())
}

/// What to say about a name that nothing has.
fn unknown(desk: &Desk, called: &str) -> OperatorError {
    let stems: Vec<String> = look::workers(&desk.layout)
        .map(|workers| look::all_places(&workers))
        .unwrap_or_default()
        .iter()
        .filter_map(|(worker, place)| look::entries(&desk.layout, worker.as_ref(), *place).ok())
        .flatten()
        .map(|entry| entry.file.stem().to_owned())
        .collect();
    let near = nearest(split(called).1, stems.iter().map(String::as_str)).map(str::to_owned);
    OperatorError::UnknownTask { name: called.to_owned(), root: desk.layout.root().to_owned(), near }
}

/// The worker that `called` means.
pub(super) fn worker(desk: &Desk, called: &str) -> Result<WorkerName, OperatorError> {
    let workers = look::workers(&desk.layout)?;
    workers.iter().find(|worker| worker.as_str() == called).cloned().ok_or_else(|| {
        OperatorError::UnknownWorker {
            name: called.to_owned(),
            root: desk.layout.root().to_owned(),
            near: nearest(called, workers.iter().map(WorkerName::as_str)).map(str::to_owned),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_called_by_name_or_by_worker_and_name() {
        assert_eq!(split("hello"), (None, "hello"));
        assert_eq!(split("hello.json"), (None, "hello"));
        assert_eq!(split("marie/hello"), (Some("marie"), "hello"));
        assert_eq!(split("inbox/hello.json"), (Some("inbox"), "hello"));
    }
}
