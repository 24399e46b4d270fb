//! What lies with a worker that nobody restarts: its finished runs are filed, its interrupted ones put back, and what
//! another worker may do is handed on.
//!
//! Invariants:
//! - it acts only while it holds the worker's lock, announced as a recovery, and only for an instant: an agent that
//!   lives is left, and looked at again by the next sweep;
//! - it never waits for the lock: whoever holds it does the same work, or is the watcher that was missed;
//! - an answer that is to be verified is left in `active/` for its own watcher: only a worker has what that needs;
//! - a task is handed on by one rename that replaces nothing, its content untouched; one that is pinned, or that has
//!   begun (its session belongs to this worker), stays.
//!
//! It deliberately does not know when it is called, nor why the worker is gone.

use std::path::Path;
use std::sync::Arc;

use super::recover::{Announced, Case, RecoverError, carry_out_as, take};
use super::state::{Sweep, Swept};
use crate::checkout::Git;
use crate::clock::SharedClock;
use crate::config::RecoverConfig;
use crate::layout::Layout;
use crate::os::lock;
use crate::os::process::Reaper;
use crate::recovery::crash::Past;
use crate::recovery::{Action, LivingAgents, Plan, Policy, SystemWitness, planned};
use crate::spool::{Disk, Spool, Store};
use crate::task::{FileName, Place, TaskFile};
use crate::telemetry::journal::{Event, Journal, Line};
use crate::telemetry::state_file;

/// The largest task file that is read here: one that is larger is left where it is.
const READ_BYTES: u64 = crate::spool::found::FILE_LIMIT;

/// Sweeps once.
pub(super) fn sweep(config: &RecoverConfig, clock: &SharedClock, what: Sweep, reaper: &Arc<Reaper>) -> Swept {
    let layout = Layout::new(&config.root);
    let disk = Disk::new(layout.root(), config.durability);
    let spool = Arc::new(Spool::new(layout.clone(), config.worker.clone(), disk, Arc::clone(clock)));
    let mut swept = Swept::default();
    let result = if what == Sweep::All || is_worth_it(&spool, config, &mut swept) {
        act(config, &spool, what, (&mut swept, reaper))
    } else {
        Ok(())
    };
    swept.trouble = result.err();
    swept
}

/// Whether there is anything to do, found out without the lock.
fn is_worth_it(spool: &Arc<Spool<Disk>>, config: &RecoverConfig, swept: &mut Swept) -> bool {
    let Ok(past) = Past::of(spool.layout(), &config.worker) else { return true };
    let policy = policy(spool, config, past.failure);
    let plan = planned(spool, &SystemWitness::new(spool.layout().clone()), &policy);
    let Ok(plan) = plan else { return true };
    swept.living = living(&plan);
    brings_home(&plan) > 0 || queued(spool).any(|(_, _, task)| is_for_anybody(&task))
}

fn act(
    config: &RecoverConfig,
    spool: &Arc<Spool<Disk>>,
    what: Sweep,
    (swept, reaper): (&mut Swept, &Arc<Reaper>),
) -> Result<(), String> {
    let layout = spool.layout();
    let lock = match take(layout, config) {
        Ok(lock) => lock,
        // Whoever holds it does the same, or is the watcher that was missed.
        Err(RecoverError::Alive { .. }) => return Ok(()),
        Err(error) => return Err(with_causes(&error)),
    };
    // Before the mirror is ours: it says who died.
    let past = Past::of(layout, &config.worker).map_err(|error| with_causes(&error))?;
    let Past { died, failure } = past;
    let policy = policy(spool, config, failure);
    let announced = Announced::new(layout, &config.worker, policy.now);
    let say = |line: &str| tracing::info!(worker = %config.worker, "{line}");
    let git = Git::new(&config.environment, Some(Arc::clone(reaper)), spool.clock());
    let case = Case { announced: &announced, config, policy: &policy, died: died.as_ref(), git };
    let recovered = carry_out_as(&case, spool, &say);
    let done = recovered.map(|it| it.plan).map_err(|error| with_causes(&error));
    if let Ok(plan) = &done {
        swept.living = living(plan);
        swept.recovered = brings_home(plan);
        swept.owed = plan.actions.iter().filter(|it| matches!(it, Action::TakeUp { .. })).count();
    }
    hand_on(config, spool, swept);
    if what == Sweep::All {
        // Those who look at the worker are to see why nobody starts it; without that it is set aside all the same.
        let at = policy.now;
        state_file::update(&layout.state(&config.worker), config.durability, |state| {
            state.set_aside = Some(at);
        })
        .ok();
    }
    drop(announced);
    drop(lock);
    done.map(drop)
}

fn policy(spool: &Spool<Disk>, config: &RecoverConfig, failure: &'static str) -> Policy {
    let now = spool.clock().wall();
    Policy {
        max_retries: config.max_retries,
        living: LivingAgents::Adopt,
        now,
        jitter: 0.0,
        failure,
        unstarted: false,
        redactor: config.redactor.clone(),
    }
}

fn living(plan: &Plan) -> usize {
    plan.actions.iter().filter(|action| matches!(action, Action::Adopt { .. })).count()
}

/// How many tasks the plan files or puts back.
fn brings_home(plan: &Plan) -> usize {
    let is_home = |action: &&Action| match action {
        Action::File { .. }
        | Action::Conclude { .. }
        | Action::Requeue { .. }
        | Action::PutBack { .. }
        | Action::MoveBack { .. }
        | Action::Reject { .. } => true,
        Action::Adopt { .. }
        | Action::TakeUp { .. }
        | Action::Leave { .. }
        | Action::End { .. }
        | Action::DropGhost { .. }
        | Action::RemoveTemp { .. }
        | Action::RemoveLock { .. }
        | Action::ClearScratch => false,
    };
    plan.actions.iter().filter(is_home).count()
}

/// The tasks in the worker's queues, as far as they can be read now. What a gradual resume leads is its own.
fn queued(spool: &Spool<Disk>) -> impl Iterator<Item = (Place, FileName, TaskFile)> + '_ {
    let is_led = lock::is_held(&spool.layout().resume(spool.worker())).unwrap_or(true);
    let places = [Place::Pending, Place::Staged];
    let places = places.into_iter().filter(move |place| *place == Place::Pending || !is_led);
    let files = places
        .flat_map(|place| spool.list(place).unwrap_or_default().into_iter().map(move |file| (place, file)));
    files.filter_map(|(place, file)| {
        let task = read(spool, &spool.path(place, &file))?;
        Some((place, file, task))
    })
}

fn read(spool: &Spool<Disk>, path: &Path) -> Option<TaskFile> {
    let (bytes, _) = spool.store().read(path, READ_BYTES).ok()?;
    TaskFile::parse(&bytes).ok()
}

/// Whether another worker may do it: nobody is named, and nothing was begun.
fn is_for_anybody(task: &TaskFile) -> bool {
    task.spec.worker.is_none() && task.record.attempts.is_empty()
}

fn hand_on(config: &RecoverConfig, spool: &Spool<Disk>, swept: &mut Swept) {
    let journal = Journal::new(spool.layout().clone(), config.worker.clone());
    let all: Vec<_> = queued(spool).collect();
    for (place, file, task) in all {
        if !is_for_anybody(&task) {
            swept.kept += 1;
            continue;
        }
        match spool.hand_on(place, &file) {
            Ok(name) => {
                swept.handed += 1;
                let line = Line::new(spool.clock().wall(), config.worker.clone(), Event::Requeued);
                let mut line = line.about(task.name(&file), &file, task.record.run_id);
                line.reason =
                    Some(format!("handed to the others as tasks/{name}: {} is not at work", config.worker));
                if let Err(error) = journal.append(&line) {
                    tracing::warn!(error = %error, "could not write the journal");
                }
            }
            // It is still where it was: the next sweep finds it.
            Err(error) => {
                tracing::warn!(worker = %config.worker, file = %file, error = %error, "could not hand it on");
            }
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
