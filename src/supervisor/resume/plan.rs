//! What a gradual resume would be, and the end of one before its time.

use std::time::Duration;

use super::verb::{ResumeError, Resumed, View, backlog, terms};
use crate::config::ResumeConfig;
use crate::os::process::ProcessId;
use crate::os::{durable, lock};
use crate::recovery::ramp::{Approach, Line, Record, Shelf, approach};
use crate::spool::{Disk, Spool};
use crate::task::Place;
use crate::telemetry::journal::{self, Event, Journal};

/// How long a leader may take to see that its resume was taken away.
const HEEDED: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// What would be done; nothing is touched.
pub(super) fn plan(
    config: &ResumeConfig,
    spool: &Spool<Disk>,
    view: View<'_>,
) -> Result<Resumed, ResumeError> {
    let path = spool.layout().resume(&config.worker);
    if let Some(record) = Record::read(&path).map_err(|source| ResumeError::Look { path, source })? {
        (view.warn)(&format!("there is one already: {}, by pid {}", record.summary(), record.leader.pid));
    }
    let found = backlog(spool)?;
    (view.say)(&Line::Found(found).text(&config.worker));
    let now = spool.clock().wall();
    let record = Record::begin(terms(config), found, ProcessId::current(), now);
    let path = spool.layout().place(&config.worker, Place::Pending);
    let picked = Shelf::default()
        .pick(spool, &record, found, now)
        .map_err(|source| ResumeError::Look { path, source })?;
    let names: Vec<String> = picked.iter().map(|ticket| ticket.file.to_string()).collect();
    let batches: Vec<Vec<String>> = names.chunks(config.batch_size).map(<[String]>::to_vec).collect();
    for (number, batch) in (1..).zip(&batches) {
        let line = Line::Batch { number, size: batch.len() }.text(&config.worker);
        (view.say)(&format!("{line} ({})", batch.join(" ")));
    }
    if names.len() < found {
        let left = found - names.len();
        (view.say)(&format!("{left} more wait for something of their own, and stay in pending/"));
    }
    let batch = u32::try_from(batches.len()).unwrap_or(u32::MAX);
    let resumed = Resumed::of(config, "planned", Some(&Record { batch, ..record }));
    Ok(Resumed { plan: Some(batches), ..resumed })
}

/// Ends a resume: from now on the worker takes everything again.
pub(super) fn abandon(
    config: &ResumeConfig,
    spool: &Spool<Disk>,
    view: View<'_>,
) -> Result<Resumed, ResumeError> {
    let (clock, worker) = (spool.clock(), &config.worker);
    let path = spool.layout().resume(worker);
    let failed = |source| ResumeError::Look { path: path.clone(), source };
    let record = Record::read(&path).map_err(failed)?;
    match approach(&path, &clock).map_err(failed)? {
        Approach::Free => {
            (view.say)(&format!("There is no gradual resume of {worker}"));
            return Ok(Resumed::of(config, "abandoned", None));
        }
        // Its leader sees it and says so in the journal; if it was just about to write, it is told again.
        Approach::Led(_) => {
            let began = clock.ticks();
            while clock.ticks().since(began) < HEEDED {
                durable::remove_if_there(&path).map_err(failed)?;
                lock::pause(LOOK);
            }
        }
        Approach::Orphaned(_, leader) | Approach::Stopped(_, leader) | Approach::Nonsense(leader) => {
            let retired = leader.retire(spool);
            retired.map_err(|error| failed(error.source))?;
            let mut entry = journal::Line::new(clock.wall(), worker.clone(), Event::ResumeAbandoned);
            entry.reason = Some(Line::Abandoned.text(worker));
            // What a full disk keeps out of the journal is said here.
            Journal::new(spool.layout().clone(), worker.clone()).append(&entry).ok();
        }
    }
    (view.say)(&Line::Abandoned.text(worker));
    Ok(Resumed::of(config, "abandoned", record.as_ref()))
}
