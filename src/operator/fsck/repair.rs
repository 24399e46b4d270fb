//! Mending: each repair by the verb of whoever owns that kind of thing, under the lock that it needs.
//!
//! Recovery takes the worker's lock itself, and comes first, since it clears much of the rest. Then the lock is taken for
//! what is left, everything is looked at once more, and only what is still so is mended.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::damage::{Finding, Repair, Severity};
use super::{judge, survey};
use crate::config::{RecoverConfig, Settings};
use crate::operator::desk::Desk;
use crate::operator::error::OperatorError;
use crate::os::durable::{self, Durability};
use crate::os::holder::{Holder, Role};
use crate::os::lock::Lock;
use crate::recovery::{LivingAgents, locks};
use crate::spool::found::FILE_LIMIT;
use crate::spool::{Disk, Spool, Store};
use crate::supervisor::recover::{self, Wish};
use crate::task::{FileName, Place, TaskFile, WorkerName};
use crate::telemetry::journal::{Event, Journal, Line};

/// What was mended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Done {
    path: std::path::PathBuf,
    what: String,
}

/// Mends what is broken in `found`, as far as no watcher is in the way; tells each repair as it is done.
pub(super) fn repair(
    desk: &Desk,
    found: &[Finding],
    workers: &[WorkerName],
) -> Result<Vec<Done>, OperatorError> {
    let mut done = Vec::new();
    let ours = |it: &&Finding| it.severity == Severity::Broken && it.repair.is_ours();
    for it in found.iter().filter(ours).filter(|it| it.repair.needs().is_none()) {
        done.extend(mend(desk, None, it));
    }
    for worker in workers {
        let theirs: Vec<&Finding> =
            found.iter().filter(ours).filter(|it| it.repair.needs() == Some(worker)).collect();
        if theirs.is_empty() {
            continue;
        }
        if theirs.iter().any(|it| matches!(it.repair, Repair::Recover { .. })) {
            done.extend(recovered(desk, worker)?);
        }
        if theirs.iter().any(|it| !matches!(it.repair, Repair::Recover { .. })) {
            done.extend(under_the_lock(desk, worker, workers)?);
        }
    }
    Ok(done)
}

/// Clean recovery, unless its watcher lives.
fn recovered(desk: &Desk, worker: &WorkerName) -> Result<Option<Done>, OperatorError> {
    let mut settings = Settings::new(Vec::new(), None);
    let mut config = RecoverConfig::resolve(worker.clone(), &mut settings, &desk.env)?;
    desk.layout.root().clone_into(&mut config.root);
    let say = |line: &str| desk.report.talk(line);
    match recover::run(&config, Wish::Apply(LivingAgents::Adopt), &desk.clock, &say) {
        Ok(_) => Ok(Some(Done { path: desk.layout.worker(worker), what: format!("recovered {worker}") })),
        Err(error) => {
            desk.report.error(&error, error.hint());
            Ok(None)
        }
    }
}

/// The lock of a worker, and the mirror that says whose it is meanwhile.
struct Held {
    lock: Lock,
    mirror: std::path::PathBuf,
}

impl Held {
    fn take(desk: &Desk, worker: &WorkerName) -> Result<Option<Self>, OperatorError> {
        let path = desk.layout.worker(worker);
        let Some(lock) = Lock::try_exclusive(&path).map_err(OperatorError::io("lock", &path))? else {
            return Ok(None);
        };
        let mirror = desk.layout.watcher_lock(worker);
        // For people, and for a watcher that starts, which waits for it; without it the lock still holds.
        Holder::current(Role::Operator, Some(worker.clone()), desk.clock.wall()).write_to(&mirror).ok();
        Ok(Some(Self { lock, mirror }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        locks::remove_stale(&self.mirror).ok();
        self.lock.release();
    }
}

fn under_the_lock(
    desk: &Desk,
    worker: &WorkerName,
    workers: &[WorkerName],
) -> Result<Vec<Done>, OperatorError> {
    let Some(held) = Held::take(desk, worker)? else {
        desk.report.warn(&format!(
            "{worker} is held by its watcher, or by somebody who acts for it: what needs its lock is left as it is; stop \
             the watcher, and run this again"
        ));
        return Ok(Vec::new());
    };
    let mut seen = survey::survey(&desk.layout, workers)?;
    // By us.
    if let Some(it) = seen.workers.get_mut(worker) {
        it.is_held = false;
    }
    let again = judge::judge(&seen);
    let theirs =
        again.iter().filter(|it| it.severity == Severity::Broken && it.repair.needs() == Some(worker));
    let done = theirs
        .filter(|it| !matches!(it.repair, Repair::Recover { .. }))
        .filter_map(|it| mend(desk, Some(worker), it))
        .collect();
    drop(held);
    Ok(done)
}

/// Does one repair; one that fails is told and does not cost the others.
fn mend(desk: &Desk, worker: Option<&WorkerName>, it: &Finding) -> Option<Done> {
    let tried = match worker {
        Some(worker) => as_holder(desk, worker, it),
        None => beside(it),
    };
    let shown = crate::text::escape::one_line(&it.path.display().to_string());
    match tried {
        Ok(()) => {
            let what = it.repair.to_string();
            desk.report.talk(&format!("mended: {shown}: {what}"));
            Some(Done { path: it.path.clone(), what })
        }
        Err(why) => {
            desk.report.warn(&format!("could not mend `{shown}`: {why}"));
            None
        }
    }
}

/// What is safe beside a living watcher.
fn beside(it: &Finding) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    match &it.repair {
        Repair::RemoveLock => locks::remove_stale(&it.path).map(drop).map_err(text),
        Repair::Close => close(&it.path).map_err(text),
        Repair::Recover { .. }
        | Repair::Refile { .. }
        | Repair::Papers { .. }
        | Repair::Unstage { .. }
        | Repair::Tell { .. }
        | Repair::Remove { .. }
        | Repair::ByHand { .. }
        | Repair::None => Err(format!("`{}` is nothing that can be done beside its watcher", it.repair)),
    }
}

fn close(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = std::fs::File::options().read(true).custom_flags(flags).open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7775;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

fn as_holder(desk: &Desk, worker: &WorkerName, it: &Finding) -> Result<(), String> {
    let store = Disk::new(desk.layout.root(), Durability::Full);
    let spool = Spool::new(desk.layout.clone(), worker.clone(), store, Arc::clone(&desk.clock));
    let refused = |error: crate::spool::store::StepError| format!("{error}: {}", error.source);
    match &it.repair {
        Repair::Refile { place, file, .. } => spool.refile(*place, file).map(drop).map_err(refused),
        Repair::Papers { place, file, .. } => spool.mend_papers(*place, file).map_err(refused),
        Repair::Unstage { file, .. } => spool.unstage(file).map(drop).map_err(refused),
        Repair::Tell { place, file, .. } => tell(&spool, *place, file).map_err(|error| error.to_string()),
        Repair::Remove { .. } => durable::remove_if_there(&it.path)
            .and_then(|()| durable::sync_dir(durable::parent(&it.path)))
            .map_err(|error| error.to_string()),
        Repair::Recover { .. }
        | Repair::RemoveLock
        | Repair::Close
        | Repair::ByHand { .. }
        | Repair::None => beside(it),
    }
}

/// Writes the line that tells of a task's end.
fn tell(spool: &Spool<Disk>, place: Place, file: &FileName) -> std::io::Result<()> {
    let (bytes, _) = spool.store().read(&spool.path(place, file), FILE_LIMIT)?;
    let task = TaskFile::parse(&bytes).map_err(std::io::Error::other)?;
    let record = &task.record;
    let last = record.attempts.last();
    let at = last.and_then(|it| it.ended_at).unwrap_or_else(|| spool.clock().wall());
    let mut line =
        Line::new(at, spool.worker().clone(), Event::Concluded).about(task.name(file), file, record.run_id);
    line.to = record.state;
    line.attempt = last.map(|it| it.number);
    line.error_code = record.error_code;
    line.reason.clone_from(&record.failure_reason);
    line.correlation_id.clone_from(&task.spec.correlation_id);
    if let Some(last) = last {
        line = line.spending(&task, last.usage());
    }
    let journal = Journal::new(spool.layout().clone(), spool.worker().clone());
    journal.append_durably(&[line.identified()], Durability::Full)
}
