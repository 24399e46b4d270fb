//! Doing: a plan, action by action. It may be cut anywhere; the next survey carries on.

use std::io;

use super::plan::{Action, Plan};
use crate::os::process::ProcessId;
use crate::os::trouble::{Trouble, is_no_answer};
use crate::spool::steps::Step;
use crate::spool::{Lease, Spool, StepError, Store};
use crate::task::{ErrorCode, FileName, Place, TaskFile, TaskState};

/// What is not on the spool's disk.
pub trait Hands {
    /// Ends processes and proves them gone; what is left.
    fn end(&self, file: &FileName, processes: &[ProcessId]) -> Vec<ProcessId>;
    /// Removes a lock file, if still nobody holds it.
    fn remove_lock(&self, path: &std::path::Path);
    /// Empties the scratch of all runs but those whose agents live.
    fn clear_scratch(&self);
    /// Notes what becomes of tasks, in the journal, before they are moved. An error means that none of them may be moved
    /// now, or its line would be lost.
    fn note(&self, changes: &[Change<'_>]) -> io::Result<()>;
    /// Looks at what a run changed in its repository, and puts it into its record, before its end is recorded.
    /// `state`: in which its task ends, if it ends.
    fn collect(&self, _lease: &mut Lease, _state: Option<TaskState>) {}
    /// Removes what a run does not need any more whose attempt is recorded and whose task is home.
    fn tidy(&self, _lease: &Lease) {}
    /// Tells the person who looks on.
    fn say(&self, line: &str);
}

/// What becomes of one task, with the record that it has then.
pub type Change<'a> = (&'a Action, Option<&'a TaskFile>);

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Tasks whose agents live, to be adopted, or have answered, to be taken up.
    pub living: Vec<FileName>,
    /// Actions that were done.
    pub done: usize,
}

/// Why recovery stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The disk refused.
    #[error("could not bring `{file}` home")]
    Disk {
        /// The task's file, or what else it was.
        file: String,
        /// Why.
        #[source]
        source: StepError,
    },
    /// What was to become of a task could not be noted.
    #[error("could not note in the journal what becomes of `{file}`")]
    Journal {
        /// The task's file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that the plan was made from is not there any more, or is another.
    #[error("`{0}` changed since the survey; recover again")]
    Changed(FileName),
    /// Processes that cannot be ended: they are in an uninterruptible wait.
    #[error(
        "{count} process(es) left by `{file}` cannot be ended; they wait in the kernel, most likely for a disk"
    )]
    Undying {
        /// Their task.
        file: FileName,
        /// How many.
        count: usize,
    },
}

/// How many tasks go home in one wave: enough that waiting for the disk does not count, few enough that their content
/// in memory does not either.
const WAVE: usize = 256;

impl ApplyError {
    /// The trouble of the machine behind it, if it is that: then it is worth waiting.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Disk { source, .. } => Trouble::of(&source.source),
            Self::Journal { source, .. } => Trouble::of(source),
            Self::Changed(_) | Self::Undying { .. } => None,
        }
    }
}

/// Does everything in `plan`. Whoever calls holds the worker's lock.
pub fn apply<S: Store>(spool: &Spool<S>, plan: &Plan, hands: &impl Hands) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    // A kill between a move and its syncs: the survey saw the move, and a later power cut must not undo it.
    spool
        .settle()
        .map_err(|source| ApplyError::Disk { file: spool.layout().tasks().display().to_string(), source })?;
    let mut undying: Vec<&FileName> = Vec::new();
    for chunk in plan.actions.chunk_by(|one, next| one.is_homecoming() && next.is_homecoming()) {
        for wave in chunk.chunks(WAVE) {
            // Whose processes are still there is looked at again by the next survey, and nobody else waits.
            let is_due = |action: &&Action| !action.file().is_some_and(|file| undying.contains(&file));
            let due: Vec<&Action> = wave.iter().filter(is_due).collect();
            for action in &due {
                hands.say(&action.to_string());
            }
            match perform(spool, &due, hands) {
                Err(ApplyError::Undying { file, count }) => {
                    hands.say(&format!(
                        "Leaving {file}: {count} of its processes cannot be ended; they wait in the kernel"
                    ));
                    undying.extend(due.iter().find_map(|action| action.file()));
                }
                done => done?,
            }
            applied.done += due.len();
            applied.living.extend(due.iter().filter_map(|action| adopted(action)));
        }
    }
    Ok(applied)
}

fn adopted(action: &Action) -> Option<FileName> {
    let (Action::Adopt { file, .. } | Action::TakeUp { file, .. }) = action else { return None };
    Some(file.clone())
}

/// Does one action, or a wave of homecomings.
fn perform<S: Store>(spool: &Spool<S>, due: &[&Action], hands: &impl Hands) -> Result<(), ApplyError> {
    match due {
        [] => Ok(()),
        [action] if !action.is_homecoming() => perform_one(spool, action, hands),
        wave => bring_home(spool, wave, hands),
    }
}

/// Puts tasks back into the queue, with what their plan says; all of them are noted once their records are durable, and
/// before the first is moved.
fn bring_home<S: Store>(spool: &Spool<S>, wave: &[&Action], hands: &impl Hands) -> Result<(), ApplyError> {
    let mut tasks: Vec<(&Action, &FileName, Option<TaskFile>)> = Vec::new();
    for action in wave {
        let Some(file) = action.file() else { continue };
        let task = if let Action::Requeue { entry, .. } = action {
            let mut task = read(spool, file)?;
            if let Some(mut lease) = Lease::of(spool.worker(), file, task.clone()) {
                hands.collect(&mut lease, None);
                task = lease.task;
            }
            Some(spool.requeued(task, entry))
        } else if matches!(action, Action::PutBack { .. }) {
            let mut task = read(spool, file)?;
            // One whose attempt is open is laid by, and says so.
            task.record.state = Some(TaskState::Pending);
            Some(task)
        } else {
            None
        };
        tasks.push((action, file, task));
    }
    let files: Vec<_> = tasks.iter().map(|(_, file, task)| (*file, task.as_ref())).collect();
    let changes: Vec<Change<'_>> = tasks.iter().map(|(action, _, task)| (*action, task.as_ref())).collect();
    let done = spool.bring_home(&files, || hands.note(&changes));
    done.map_err(|source| refused(names(&files), source))?;
    for (_, file, task) in tasks {
        if let Some(lease) = task.and_then(|task| Lease::of(spool.worker(), file, task)) {
            hands.tidy(&lease);
        }
    }
    Ok(())
}

/// The first file of a wave, and how many more.
fn names(files: &[(&FileName, Option<&TaskFile>)]) -> String {
    let first = files.first().map(|(file, _)| file.to_string()).unwrap_or_default();
    match files.len() {
        0 | 1 => first,
        n => format!("{first} and {} more", n - 1),
    }
}

fn perform_one<S: Store>(spool: &Spool<S>, action: &Action, hands: &impl Hands) -> Result<(), ApplyError> {
    match action {
        Action::Adopt { .. } | Action::TakeUp { .. } | Action::Leave { .. } => Ok(()),
        Action::Requeue { .. } | Action::PutBack { .. } | Action::MoveBack { .. } => {
            bring_home(spool, &[action], hands)
        }
        Action::End { file, processes, .. } => match hands.end(file, processes).len() {
            0 => Ok(()),
            count => Err(ApplyError::Undying { file: file.clone(), count }),
        },
        Action::File { file, .. } => with_task(spool, file, action, hands, |task| {
            spool.file(file, task)?;
            if let Some(lease) = Lease::of(spool.worker(), file, task.clone()) {
                hands.tidy(&lease);
            }
            Ok(())
        }),
        Action::Conclude { file, outcome, answer, usage } => {
            let answer = answer.as_deref().map(str::as_bytes);
            let note = |lease: &Lease| hands.note(&[(action, Some(&lease.task))]);
            with_lease(spool, file, |lease| {
                hands.collect(lease, Some(outcome.state));
                spool.conclude(lease, (outcome, *usage), answer, note)?;
                hands.tidy(lease);
                Ok(())
            })
        }
        Action::Reject { file, reason } => {
            let done = spool.reject(Place::Active, file, ErrorCode::E002, reason);
            done.map_err(|source| disk(file, source)).and_then(|_| noted(file, hands.note(&[(action, None)])))
        }
        Action::DropGhost { path } => spool
            .drop_ghost(path)
            .map_err(|source| ApplyError::Disk { file: path.display().to_string(), source }),
        Action::RemoveTemp { path } => spool
            .drop_temp(path)
            .map_err(|source| ApplyError::Disk { file: path.display().to_string(), source }),
        Action::RemoveLock { path } => {
            hands.remove_lock(path);
            Ok(())
        }
        Action::ClearScratch => {
            hands.clear_scratch();
            Ok(())
        }
    }
}

fn with_task<S: Store>(
    spool: &Spool<S>,
    file: &FileName,
    action: &Action,
    hands: &impl Hands,
    act: impl FnOnce(&TaskFile) -> Result<(), StepError>,
) -> Result<(), ApplyError> {
    let task = read(spool, file)?;
    noted(file, hands.note(&[(action, Some(&task))]))?;
    act(&task).map_err(|source| disk(file, source))
}

fn with_lease<S: Store>(
    spool: &Spool<S>,
    file: &FileName,
    act: impl FnOnce(&mut Lease) -> Result<(), StepError>,
) -> Result<(), ApplyError> {
    let task = read(spool, file)?;
    let mut lease = Lease::of(spool.worker(), file, task).ok_or_else(|| ApplyError::Changed(file.clone()))?;
    act(&mut lease).map_err(|source| disk(file, source))
}

fn noted(file: &FileName, done: io::Result<()>) -> Result<(), ApplyError> {
    done.map_err(|source| ApplyError::Journal { file: file.to_string(), source })
}

fn read<S: Store>(spool: &Spool<S>, file: &FileName) -> Result<TaskFile, ApplyError> {
    let path = spool.path(Place::Active, file);
    let changed = || ApplyError::Changed(file.clone());
    let (bytes, _) = match spool.store().read(&path, crate::spool::found::FILE_LIMIT) {
        Err(source) if Trouble::of(&source).is_some() || is_no_answer(&source) => {
            return Err(disk(file, StepError { step: Step::Look(path), index: 0, source }));
        }
        other => other.map_err(|_| changed())?,
    };
    TaskFile::parse(&bytes).map_err(|_| changed())
}

fn disk(file: &FileName, source: StepError) -> ApplyError {
    refused(file.to_string(), source)
}

fn refused(file: String, source: StepError) -> ApplyError {
    if matches!(source.step, Step::Note(_)) {
        ApplyError::Journal { file, source: source.source }
    } else {
        ApplyError::Disk { file, source }
    }
}
