//! Looking: everything that the screen shows, as values.

use crate::budget::Scope;
use crate::task::{Place, WorkerName};

use super::super::budget::{Account, accounts};
use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::look::{self, Seen};
use super::super::worker::{Waits, WorkerView, is_supervised, view, waiting};

/// How many failures are shown.
const FAILURES: usize = 5;

/// Everything on the screen.
pub(super) struct Screen {
    pub(super) workers: Vec<WorkerView>,
    pub(super) supervised: bool,
    pub(super) inbox: usize,
    /// For how many seconds the oldest has waited there that nobody holds.
    pub(super) inbox_oldest_s: Option<u64>,
    /// What waits anywhere and is held.
    pub(super) held: Vec<Seen>,
    /// How many lie in `failed/`.
    pub(super) dead_letters: usize,
    /// The latest of them.
    pub(super) failures: Vec<Seen>,
    /// What was spent of late, and what may be.
    pub(super) budgets: Vec<Account>,
}

/// Looks at all of it.
pub(super) fn look(desk: &Desk) -> Result<Screen, OperatorError> {
    let names = look::workers(&desk.layout)?;
    let (dead_letters, failures) = latest_failures(desk, &names)?;
    let Waits { depth: inbox, oldest_s: inbox_oldest_s, mut held } = waiting(desk, None, Place::Inbox)?;
    let mut workers = names.into_iter().map(|name| view(desk, name)).collect::<Result<Vec<_>, _>>()?;
    held.extend(workers.iter_mut().flat_map(|worker| std::mem::take(&mut worker.held)));
    let supervised = is_supervised(desk);
    // A journal that somebody may not read leaves the rest of the screen as it is.
    let budgets = accounts(desk).unwrap_or_else(|error| {
        desk.report.warn(&format!("what was spent is not known: {error}"));
        Vec::new()
    });
    Ok(Screen { workers, supervised, inbox, inbox_oldest_s, held, dead_letters, failures, budgets })
}

impl Screen {
    /// What a worker has spent.
    pub(super) fn spent(&self, worker: &WorkerName) -> Option<&Account> {
        self.budgets.iter().find(|it| matches!(&it.scope, Scope::Worker(name) if name == worker))
    }
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
