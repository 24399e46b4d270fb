//! `supervisor recover W`: clean recovery by hand, of a worker whose watcher is dead.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::checkout::Git;
use crate::clock::{SharedClock, Timestamp};
use crate::config::{Exit, RecoverConfig};
use crate::layout::Layout;
use crate::os::holder::{Holder, Role};
use crate::os::lock::Lock;
use crate::recovery::crash::{Past, Verdict};
use crate::recovery::{
    Action, LivingAgents, Plan, Policy, RecoveryError, SystemHands, SystemWitness, end_and_carry_out, locks,
    planned, record_crash,
};
use crate::spool::{Disk, Spool};
use crate::task::WorkerName;

/// What is wanted of a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Only the plan.
    Plan(LivingAgents),
    /// The plan, done.
    Apply(LivingAgents),
}

/// Why there was no recovery.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There is no such worker here.
    #[error("there is no worker `{worker}` below `{root}`")]
    Unknown {
        /// The name.
        worker: String,
        /// The root.
        root: PathBuf,
    },
    /// Its watcher lives, or somebody else recovers it.
    #[error("worker {worker} is held by a living {role}{who}")]
    Alive {
        /// The worker.
        worker: String,
        /// What holds it.
        role: Role,
        /// Which process.
        who: String,
    },
    /// Its lock cannot be asked for.
    #[error("could not lock `{path}`")]
    Lock {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Recovery stopped before its end; it can be run again.
    #[error("could not recover `{worker}`")]
    Recovery {
        /// The worker.
        worker: String,
        /// Why.
        #[source]
        source: RecoveryError,
    },
}

impl RecoverError {
    /// The exit status for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Unknown { .. } => Exit::Data,
            Self::Alive { .. } | Self::Recovery { .. } => Exit::TryAgain,
            Self::Lock { .. } => Exit::Denied,
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Alive { .. } => Some("a living watcher recovers by itself; stop it first if you mean it"),
            Self::Recovery { .. } => Some("run it again: it carries on where it stopped"),
            Self::Unknown { .. } => {
                Some("`agentctl status` names the workers of a root; --root says which root")
            }
            Self::Lock { .. } => Some("recovery writes the worker's files: run it as the worker's user"),
        }
    }
}

/// What was planned, and what of it was done.
#[derive(Debug, Serialize)]
pub struct Recovered {
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// Whether it was done.
    pub applied: bool,
    /// Why its watcher died, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub died: Option<String>,
}

/// Recovers a worker, or says what that would do; `say` hears the runbook's lines while it is done.
pub fn run(
    config: &RecoverConfig,
    wish: Wish,
    clock: &SharedClock,
    say: &dyn Fn(&str),
) -> Result<Recovered, RecoverError> {
    let layout = Layout::new(&config.root);
    let folder = layout.worker(&config.worker);
    let worker = config.worker.to_string();
    if !folder.is_dir() {
        return Err(RecoverError::Unknown { worker, root: config.root.clone() });
    }
    // A plan only looks: a watcher that starts meanwhile must not find its lock taken.
    let lock = Some(take(&layout, config)?).filter(|_| matches!(wish, Wish::Apply(_)));
    let spool = Arc::new(Spool::new(
        layout.clone(),
        config.worker.clone(),
        Disk::new(layout.root(), config.durability),
        Arc::clone(clock),
    ));
    let (Wish::Plan(living) | Wish::Apply(living)) = wish;
    let past = Past::of(&layout, &config.worker).map_err(RecoveryError::State);
    let Past { died, failure } =
        past.map_err(|source| RecoverError::Recovery { worker: worker.clone(), source })?;
    let policy = Policy {
        max_retries: config.max_retries,
        living,
        now: clock.wall(),
        jitter: 0.0,
        failure,
        unstarted: false,
        redactor: config.redactor.clone(),
    };
    let done = match wish {
        Wish::Plan(_) => planned(&spool, &SystemWitness::new(layout), &policy).map(|plan| Recovered {
            plan,
            applied: false,
            died: died.map(|it| it.to_string()),
        }),
        Wish::Apply(_) => do_it(config, &spool, &policy, died.as_ref(), say),
    };
    let done = done.map_err(|source| RecoverError::Recovery { worker, source });
    drop(lock);
    done
}

/// The mirror that says that a recovery holds the worker's lock, as long as this lives.
#[derive(Debug)]
pub(super) struct Announced {
    mirror: PathBuf,
    was_there: bool,
}

impl Announced {
    /// Writes it. It is for people, and for a watcher that starts, which reads in it that it should wait; without it
    /// the lock still holds.
    pub(super) fn new(layout: &Layout, worker: &WorkerName, now: Timestamp) -> Self {
        let mirror = layout.watcher_lock(worker);
        let was_there = mirror.exists();
        Holder::current(Role::Recovery, Some(worker.clone()), now).write_to(&mirror).ok();
        Self { mirror, was_there }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        locks::remove_stale(&self.mirror).ok();
    }
}

fn do_it(
    config: &RecoverConfig,
    spool: &Arc<Spool<Disk>>,
    policy: &Policy,
    died: Option<&Verdict>,
    say: &dyn Fn(&str),
) -> Result<Recovered, RecoveryError> {
    let announced = Announced::new(spool.layout(), &config.worker, policy.now);
    let git = Git::new(&config.environment, None, spool.clock());
    carry_out_as(&Case { announced: &announced, config, policy, died, git }, spool, say)
}

/// What a recovery goes by.
#[derive(Debug)]
pub(super) struct Case<'a> {
    /// The mirror of the lock that is held meanwhile.
    pub(super) announced: &'a Announced,
    /// Whose, where and how.
    pub(super) config: &'a RecoverConfig,
    /// What becomes of the tasks.
    pub(super) policy: &'a Policy,
    /// Why the watcher died, if it did and nobody wrote that down yet.
    pub(super) died: Option<&'a Verdict>,
    /// What looks at repositories.
    pub(super) git: Git,
}

/// Clean recovery by whoever holds the worker's lock and has announced that.
pub(super) fn carry_out_as(
    case: &Case<'_>,
    spool: &Arc<Spool<Disk>>,
    say: &dyn Fn(&str),
) -> Result<Recovered, RecoveryError> {
    let Case { announced, config, policy, died, git } = case;
    let layout = spool.layout();
    let Announced { mirror, was_there } = announced;
    let mut plan = planned(spool, &SystemWitness::new(layout.clone()), policy)?;
    // What was not there before us is none of what the dead watcher left.
    plan.actions.retain(|action| *was_there || *action != Action::RemoveLock { path: mirror.clone() });
    let state_path = layout.state(&config.worker);
    if let Some(why) = died {
        record_crash(&state_path, why, policy.now, config.durability)?;
    }
    let scratch = config.scratch_dir.clone().unwrap_or_else(|| layout.default_scratch(&config.worker));
    let own_lock = Some(mirror.clone());
    let (clock, git, durability) = (spool.clock(), git.clone(), config.durability);
    let hands = SystemHands { spool: Arc::clone(spool), clock, scratch, own_lock, say, git, durability };
    let witness = || SystemWitness::new(layout.clone());
    let plan = end_and_carry_out(spool, &plan, policy, &hands, witness)?;
    Ok(Recovered { plan, applied: true, died: case.died.map(ToString::to_string) })
}

/// Takes the worker's lock, or says who has it.
pub(super) fn take(layout: &Layout, config: &RecoverConfig) -> Result<Lock, RecoverError> {
    let path = layout.worker(&config.worker);
    let mirror = layout.watcher_lock(&config.worker);
    match Lock::try_exclusive(&path) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => {
            let holder = Holder::read(&mirror);
            let role = holder.as_ref().map_or(Role::Watcher, |it| it.role);
            let who = holder.map(|it| format!(" (pid {})", it.process.pid)).unwrap_or_default();
            Err(RecoverError::Alive { worker: config.worker.to_string(), role, who })
        }
        Err(source) => Err(RecoverError::Lock { path, source }),
    }
}
