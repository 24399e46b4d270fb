//! The attempt that is stamped into a task before its agent is started: which conversation it has.
//!
//! What can be said at the claim is stamped with it. What cannot, since no conversation is left or a disk did not answer, is
//! decided and written down right before the start.

use std::path::PathBuf;

use super::past::Past;
use crate::agent::ladder::Rung;
use crate::pack::{self, AfterTimeout, Shelf};
use crate::spool::{Disk, Spool};
use crate::task::{Attempt, AttemptOutcome, RunId, SessionId, TaskFile};

/// The next attempt of a task that goes on with the record of `run`: its own, or that of its last life.
pub(super) fn plan(
    task: &TaskFile,
    run: RunId,
    spool: &Spool<Disk>,
    packs: &Shelf,
    config_dir: Option<PathBuf>,
) -> Attempt {
    let attempts = &task.record.attempts;
    let number = attempts.last().map_or(1, |it| it.number.saturating_add(1));
    let mut attempt = Attempt::open(number, SessionId::mint(), spool.clock().wall());
    attempt.config_dir = config_dir.as_ref().map(|dir| dir.display().to_string());
    let is_renewed = task.record.run_id != Some(run);
    if attempts.is_empty() && !is_renewed || starts_over(packs, task) {
        Rung::new(attempt.session_id).stamp(&mut attempt);
        return attempt;
    }
    let past = if is_renewed {
        Past::after(spool, run, config_dir)
    } else {
        Past::of(spool, run, attempts, config_dir)
    };
    if let Ok(past) = past
        && let Ok(Some(rung)) = past.going_on(attempt.session_id)
    {
        past.stamp(rung, &mut attempt);
    }
    attempt
}

/// Whether the time was up of a task whose pack begins again then.
fn starts_over(packs: &Shelf, task: &TaskFile) -> bool {
    let timed_out =
        task.record.attempts.last().is_some_and(|it| it.outcome == Some(AttemptOutcome::TimedOut));
    timed_out
        && matches!(
            packs.find(task.spec.kind.as_deref()),
            pack::Found::Ready { loaded, .. } if loaded.pack.after_timeout == AfterTimeout::StartOver
        )
}
