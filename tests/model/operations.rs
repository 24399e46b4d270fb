//! What is done to the queue, each as the program does it: verbs of the spool, and recovery whole.
//!
//! It deliberately does not know who calls, nor when.

use std::sync::Arc;

use agent_worker::agent::disposition::{Disposition, Terms, dispose};
use agent_worker::clock::{Clock, Ticks, Timestamp};
use agent_worker::os::process::ProcessId;
use agent_worker::recovery::owed::Owed;
use agent_worker::recovery::plan::{LivingAgents, decide};
use agent_worker::recovery::survey::look_at;
use agent_worker::recovery::{Change, Hands, Liveness, Plan, Policy, Testimony, apply, planned};
use agent_worker::spool::found::Examined;
use agent_worker::spool::{Claimed, Lease, Spool, Store};
use agent_worker::task::{Attempt, ErrorCode, FileName, Place, RunId, SessionId, TaskFile, TaskState, Usage};
use agent_worker::text::redact::Redactor;

pub(crate) use super::ending::Ending;
use super::intern::{self, PathId, Text, layout};
use super::leading;
use super::unfold::{Desk, Mint, Word, run};

pub(crate) const MAX_RETRIES: u32 = 1;

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    /// Clean recovery, whole.
    Recover,
    /// Looks at a name in a queue and takes it, if it is a task.
    Take(PathId),
    /// Decides about a task that came into `active/` with its attempt open.
    TakeUp(FileName),
    /// Writes down that the agent was started.
    Update(FileName, Text),
    /// Makes of an agent's end what it means for its task.
    End(FileName, Text, Ending),
    /// Puts a task by, whose answer owes something.
    LayBy(FileName, Text),
    /// Hands on what another worker may do.
    HandOn,
    Cancel(PathId),
    Amend(PathId),
    Renew(PathId),
    /// One turn of the leader of a gradual resume.
    Lead,
    /// What was let go is to be taken back.
    StopLead,
}

/// It, by whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Op {
    pub(crate) worker: usize,
    pub(crate) verb: Verb,
    /// The run that it begins, if it begins one.
    pub(crate) fresh: u8,
    /// Of which life it is.
    pub(crate) life: u8,
}

/// What it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Nothing that counts, or an error: whoever did it looks again.
    Nothing,
    /// The tasks in `active/` whose agents live, or owe something.
    Recovered(Vec<FileName>),
    Leased(FileName, Text, (RunId, u32)),
    /// It came with its attempt open, and stands in `active/`.
    Open(FileName),
    Ended,
    LaidBy,
    /// It could not be done as a whole: what is in `active/` is recovered.
    Refused,
}

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap_or_default()
    }

    fn ticks(&self) -> Ticks {
        Ticks::default()
    }
}

pub(crate) fn now() -> Timestamp {
    Still.wall()
}

struct NoHands;

impl Hands for NoHands {
    fn end(&self, _: &FileName, _: &[ProcessId]) -> Vec<ProcessId> {
        Vec::new()
    }
    fn remove_lock(&self, _: &std::path::Path) {}
    fn clear_scratch(&self) {}
    fn note(&self, _: &[Change<'_>]) -> std::io::Result<()> {
        Ok(())
    }
    fn say(&self, _: &str) {}
}

fn policy() -> Policy {
    Policy {
        max_retries: MAX_RETRIES,
        living: LivingAgents::Adopt,
        now: now(),
        jitter: 0.0,
        failure: "worker_crash",
        redactor: Redactor::default(),
        unstarted: false,
    }
}

impl Word {
    pub(crate) fn testimony(self) -> Testimony {
        let (liveness, ending, owes) = match self {
            Self::Lives => (Liveness::Lives, None, false),
            Self::Dead { heard, owes } => (Liveness::Dead, heard, owes),
        };
        Testimony {
            liveness,
            heard: ending.map(Ending::judgement),
            tokens: None,
            strays: Vec::new(),
            is_oom_killed: false,
            pack: Box::default(),
            owed: owes.then_some(Owed::Verification),
        }
    }
}

type Queue<'a, 'b> = Spool<&'a Desk<'b>>;

impl Op {
    pub(crate) fn mint(&self) -> Mint {
        Mint { run: run(self.fresh), life: self.life }
    }

    /// Does it, as far as the desk has answers.
    pub(crate) fn perform(&self, desk: &Desk<'_>) -> Done {
        let spool = Spool::new(layout(), intern::worker(self.worker), desk, Arc::new(Still));
        match &self.verb {
            Verb::Recover => recover(&spool),
            Verb::Take(path) => take(&spool, *path),
            Verb::TakeUp(file) => {
                let actions = decide(&look_at(&spool, spool.store(), file.clone()), &policy());
                let plan = Plan { worker: spool.worker().clone(), actions };
                apply(&spool, &plan, &NoHands).map_or(Done::Refused, |done| Done::Recovered(done.living))
            }
            Verb::Update(file, task) => {
                let Some(mut lease) = lease(&spool, file, *task) else { return Done::Refused };
                lease.task.record.state = Some(TaskState::Running);
                match spool.update(&lease) {
                    Ok(()) => leased(&spool, &lease),
                    Err(_) => Done::Refused,
                }
            }
            Verb::End(file, task, ending) => end(&spool, file, *task, *ending),
            Verb::LayBy(file, task) => {
                let Some(mut lease) = lease(&spool, file, *task) else { return Done::Refused };
                lease.task.record.state = Some(TaskState::Pending);
                spool.lay_by(&lease, |_| Ok(())).map_or(Done::Refused, |()| Done::LaidBy)
            }
            Verb::HandOn => {
                hand_on(&spool);
                Done::Nothing
            }
            Verb::Cancel(path) => on_home(*path, |place, file| {
                spool
                    .cancel((place, file), "not needed", |_| Ok(Usage::default()), |_, _, _| Ok(()))
                    .map_or(Done::Refused, |_| Done::Ended)
            }),
            Verb::Amend(path) => on_home(*path, |place, file| {
                let change = |task: &mut TaskFile| task.spec.priority = Some(7);
                spool.amend(place, file, None, change).map_or(Done::Refused, |_| Done::Nothing)
            }),
            Verb::Renew(path) => on_home(*path, |place, file| {
                spool.renew(place, file, |_| Ok(())).map_or(Done::Refused, |_| Done::Nothing)
            }),
            Verb::StopLead => leading::stop(&spool).map_or(Done::Refused, |()| Done::Nothing),
            Verb::Lead => leading::lead(&spool).map_or(Done::Refused, |()| Done::Nothing),
        }
    }
}

fn on_home(path: PathId, act: impl FnOnce(Place, &FileName) -> Done) -> Done {
    intern::home(path).map_or(Done::Nothing, |(_, place, file)| act(*place, file))
}

fn recover(spool: &Queue<'_, '_>) -> Done {
    let done =
        planned(spool, spool.store(), &policy()).ok().and_then(|plan| apply(spool, &plan, &NoHands).ok());
    done.map_or(Done::Refused, |done| Done::Recovered(done.living))
}

fn take(spool: &Queue<'_, '_>, path: PathId) -> Done {
    on_home(path, |place, file| match spool.examine(place, file) {
        Examined::Gone | Examined::Elsewhere { .. } => Done::Nothing,
        Examined::Copy { worker, .. } => {
            spool.drop_foreign_copy(place, file, &worker).ok();
            Done::Nothing
        }
        Examined::Unsettled { why, .. } | Examined::Invalid { why, .. } => {
            spool.reject(place, file, ErrorCode::E002, &why).map_or(Done::Refused, |_| Done::Ended)
        }
        Examined::Task(_) => match spool.claim(place, file, attempt) {
            Ok(Claimed::Lease(lease)) => leased(spool, &lease),
            Ok(Claimed::Open(file)) => Done::Open(file),
            Err(agent_worker::spool::ClaimError::Live(_)) => {
                spool.rename_aside(place, file).ok();
                Done::Nothing
            }
            Err(_) => Done::Refused,
        },
    })
}

fn attempt(task: &TaskFile, _: RunId) -> Attempt {
    let number = u32::try_from(task.record.attempts.len()).unwrap_or(u32::MAX) + 1;
    Attempt::open(number, SessionId(uuid::Uuid::from_u128(u128::from(number))), now())
}

fn leased(spool: &Queue<'_, '_>, lease: &Lease) -> Done {
    let text = intern::text(&spool.store().renamed(&lease.task.to_bytes()));
    let run = intern::facts(text).task.as_ref().and_then(|it| it.record.run_id).unwrap_or(lease.run);
    Done::Leased(lease.file.clone(), text, (run, lease.number()))
}

pub(crate) fn lease(spool: &Queue<'_, '_>, file: &FileName, task: Text) -> Option<Lease> {
    Lease::of(spool.worker(), file, intern::facts(task).task.clone()?)
}

fn end(spool: &Queue<'_, '_>, file: &FileName, task: Text, ending: Ending) -> Done {
    let Some(mut lease) = lease(spool, file, task) else { return Done::Refused };
    let redactor = Redactor::default();
    let terms = Terms {
        max_retries: MAX_RETRIES,
        most_retries: None,
        continues: 0,
        now: now(),
        jitter: 0.0,
        fails_at_limit: false,
        redactor: &redactor,
    };
    let done = match dispose(&ending.judgement(), &lease.task, &terms) {
        Disposition::Conclude { outcome, answer, usage } => {
            let answer = answer.as_deref().map(str::as_bytes);
            spool.conclude(&mut lease, (&outcome, usage), answer, |_| Ok(())).map(drop)
        }
        Disposition::Requeue { entry, .. } => spool.requeue(&mut lease, &entry, |_| Ok(())),
    };
    done.map_or(Done::Refused, |()| Done::Ended)
}

/// As the sweep of a worker that is set aside: what is not pinned and has not begun goes to the others.
fn hand_on(spool: &Queue<'_, '_>) {
    for place in [Place::Pending, Place::Staged] {
        for file in spool.list(place).unwrap_or_default() {
            let Ok((bytes, _)) = spool.store().read(&spool.path(place, &file), u64::MAX) else { continue };
            let Ok(task) = TaskFile::parse(&bytes) else { continue };
            if task.spec.worker.is_none() && task.record.attempts.is_empty() {
                spool.hand_on(place, &file).ok();
            }
        }
    }
}
