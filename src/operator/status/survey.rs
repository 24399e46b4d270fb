//! Looking: everything that the screen shows, as values.

use crate::task::{Place, WorkerName};

use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::look::{self, Seen};
use super::super::worker::{WorkerView, is_supervised, view, waiting};

/// How many failures are shown.
const FAILURES: usize = 5;

/// Everything on the screen.
pub(super) struct Screen {
    pub(super) workers: Vec<WorkerView>,
    pub(super) supervised: bool,
    pub(super) inbox: usize,
    /// For how many seconds the oldest has waited there.
    pub(super) inbox_oldest_s: Option<u64>,
    /// How many lie in `failed/`.
    pub(super) dead_letters: usize,
    /// The latest of them.
    pub(super) failures: Vec<Seen>,
}

/// Looks at all of it.
pub(super) fn look(desk: &Desk) -> Result<Screen, OperatorError> {
    let names = look::workers(&desk.layout)?;
    let (dead_letters, failures) = latest_failures(desk, &names)?;
    let (inbox, inbox_oldest_s) = waiting(desk, None, Place::Inbox)?;
    let workers = names.into_iter().map(|name| view(desk, name)).collect::<Result<_, _>>()?;
    Ok(Screen { workers, supervised: is_supervised(desk), inbox, inbox_oldest_s, dead_letters, failures })
}

/// How many dead letters there are, and the latest of them.
fn latest_failures(desk: &Desk, workers: &[WorkerName]) -> Result<(usize, Vec<Seen>), OperatorError> {
    let mut entries = Vec::new();
    for worker in workers {
        entries.extend(look::entries(&desk.layout, Some(worker), Place::Failed)?);
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.mtime));
    let all = entries.len();
    entries.truncate(FAILURES);
    let mut seen = Vec::new();
    for entry in entries {
        seen.extend(entry.read()?);
    }
    Ok((all, seen))
}
