//! Doing it on the files, where no watcher lives.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::os::durable::Durability;
use crate::os::trouble::Trouble;
use crate::recovery::owed;
use crate::spool::{Disk, Spool, WaitingError};
use crate::task::{FileName, Held, Place, TaskFile, TaskState, Usage, WorkerName};
use crate::telemetry::journal::{Event, Journal, Line};

use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::plan::{Act, Change, Deed};
use super::tenure::Tenure;

/// Who asks, as far as that is known.
pub(in crate::operator) fn who(desk: &Desk) -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| desk.env.text(name));
    named.map_or_else(|| format!("uid {}", nix::unistd::getuid()), str::to_owned)
}

/// The workers in whose place we act, for as long as this lives.
#[derive(Debug)]
pub(in crate::operator) struct Ground<'a> {
    desk: &'a Desk,
    tenures: BTreeMap<WorkerName, Tenure>,
}

impl<'a> Ground<'a> {
    /// Nobody's place yet.
    pub(in crate::operator) const fn new(desk: &'a Desk) -> Self {
        Self { desk, tenures: BTreeMap::new() }
    }

    /// Takes the place of a worker, once, and says so.
    pub(in crate::operator) fn enter(&mut self, worker: &WorkerName) -> Result<Spool<Disk>, OperatorError> {
        let desk = self.desk;
        if let Some(tenure) = self.tenures.get(worker) {
            tenure.check(desk, worker)?;
        } else {
            let tenure = Tenure::take(desk, worker)?;
            desk.report.talk(&format!("no watcher of {worker} lives: acting on the files"));
            self.tenures.insert(worker.clone(), tenure);
        }
        let store = Disk::new(desk.layout.root(), Durability::Full);
        Ok(Spool::new(desk.layout.clone(), worker.clone(), store, Arc::clone(&desk.clock)))
    }

    /// Does it; what was done, in words.
    pub(super) fn perform(&mut self, worker: &WorkerName, act: &Act) -> Result<String, OperatorError> {
        let spool = self.enter(worker)?;
        let (place, file) = (act.target.place, &act.target.file);
        match act.change {
            Change::Cancel => self.cancel(&spool, act),
            Change::Renew => self.renew(&spool, act),
            Change::TryNow => {
                self.amend(&spool, (place, file), "its retry need not be waited for", |task| {
                    task.try_now();
                })?;
                Ok("is tried again as soon as a worker has room".to_owned())
            }
            Change::Hold => {
                let reason = if let Deed::Hold { reason } = &act.deed { reason.clone() } else { None };
                let held = Held { since: Some(self.desk.clock.wall()), by: Some(who(self.desk)), reason };
                let note = held.reason.as_ref().map_or("held".to_owned(), |why| format!("held: {why}"));
                self.amend(&spool, (place, file), &note, |task| task.hold(held))?;
                Ok("held: not taken until it is released".to_owned())
            }
            Change::Release => {
                self.amend(&spool, (place, file), "released", |task| {
                    task.release();
                })?;
                Ok("released".to_owned())
            }
            Change::Agent => Err(OperatorError::Held { worker: worker.clone() }),
        }
    }

    fn cancel(&self, spool: &Spool<Disk>, act: &Act) -> Result<String, OperatorError> {
        let by = who(self.desk);
        let Deed::Cancel { reason } = &act.deed else { return Ok(String::new()) };
        let reason = reason
            .as_ref()
            .map_or_else(|| format!("cancelled by {by}"), |why| format!("cancelled by {by}: {why}"));
        let spent = |task: &TaskFile| owed::spent(spool.layout(), task);
        let note = |file: &FileName, task: &TaskFile, usage: Usage| {
            let line = self.line(spool, Event::Concluded, Some(task), file).spending(task, usage);
            self.note(
                spool,
                Line { to: Some(TaskState::Cancelled), reason: Some(reason.clone()), ..line }.identified(),
            )
        };
        let filed = spool.cancel((act.target.place, &act.target.file), &reason, spent, note);
        let filed = filed.map_err(|source| waiting(spool, source))?;
        Ok(format!("cancelled: {}", filed.display()))
    }

    fn renew(&self, spool: &Spool<Disk>, act: &Act) -> Result<String, OperatorError> {
        let (place, file) = (act.target.place, &act.target.file);
        let note = |task: Option<&TaskFile>| {
            let line = self.line(spool, Event::Retried, task, file);
            let from = task.and_then(|task| task.record.state);
            self.note(spool, Line { from, to: Some(TaskState::Pending), ..line }.identified())
        };
        let goes_on = matches!(act.deed, Deed::Retry { goes_on: true, .. });
        let renewed = if goes_on { spool.go_on(place, file, note) } else { spool.renew(place, file, note) };
        let name = renewed.map_err(|source| {
            if source.is_gone() {
                return OperatorError::Moved { what: act.target.full.clone() };
            }
            OperatorError::Spool { what: act.target.full.clone(), source: Box::new(source) }
        })?;
        let what = if goes_on { "goes on where it ended" } else { "begins a new life" };
        Ok(format!("{what}: {}", spool.path(Place::Pending, &name).display()))
    }

    /// Changes a task that waits.
    pub(in crate::operator) fn amend(
        &self,
        spool: &Spool<Disk>,
        (place, file): (Place, &FileName),
        what: &str,
        change: impl FnOnce(&mut TaskFile),
    ) -> Result<FileName, OperatorError> {
        self.amend_version(spool, (place, file, None), what, change)
    }

    /// The same, if it is still this version of it.
    pub(in crate::operator) fn amend_version(
        &self,
        spool: &Spool<Disk>,
        (place, file, version): (Place, &FileName, Option<crate::spool::Identity>),
        what: &str,
        change: impl FnOnce(&mut TaskFile),
    ) -> Result<FileName, OperatorError> {
        let mut after = None;
        let done = spool.amend(place, file, version, |task| {
            change(task);
            after = Some(task.clone());
        });
        let name = done.map_err(|source| waiting(spool, source))?;
        let line = self.line(spool, Event::Amended, after.as_ref(), &name);
        let line = Line { reason: Some(what.to_owned()), ..line };
        if let Err(error) = self.note(spool, line) {
            self.desk.report.warn(&format!("the journal does not tell of it: {error}"));
        }
        Ok(name)
    }

    fn line(&self, spool: &Spool<Disk>, event: Event, task: Option<&TaskFile>, file: &FileName) -> Line {
        let mut line = Line::new(self.desk.clock.wall(), spool.worker().clone(), event);
        line.file = Some(file.as_str().to_owned());
        line.by = Some(who(self.desk));
        if let Some(task) = task {
            line = line.about(task.name(file), file, task.record.run_id);
            line.attempt = task.record.attempts.last().map(|it| it.number);
            line.correlation_id.clone_from(&task.spec.correlation_id);
        }
        line
    }

    /// A disk that refuses the line stops what it tells of. What else may be wrong with the journal, whose it is for
    /// instance, stops nobody.
    fn note(&self, spool: &Spool<Disk>, line: Line) -> io::Result<()> {
        let journal = Journal::new(spool.layout().clone(), spool.worker().clone());
        match journal.append_durably(&[line], Durability::Full) {
            Err(error) if Trouble::of(&error).is_some_and(Trouble::is_of_the_disk) => Err(error),
            Err(error) => {
                self.desk.report.warn(&format!("the journal does not tell of it: {error}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

fn waiting(spool: &Spool<Disk>, source: WaitingError) -> OperatorError {
    OperatorError::Waiting { worker: spool.worker().clone(), source: Box::new(source) }
}
