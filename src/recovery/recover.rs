//! The whole of clean recovery: for a watcher's start, and for `supervisor recover`.

use std::io;

use super::apply::{Applied, ApplyError, Hands, apply};
use super::crash::Verdict;
use super::plan::{self, Action, LivingAgents, Plan, Policy};
use super::survey;
use super::witness::{SystemWitness, Witness};
use crate::clock::{Timestamp, epoch_seconds};
use crate::os::durable::Durability;
use crate::os::trouble::Trouble;
use crate::spool::{Spool, Store};
use crate::task::FileName;
use crate::telemetry::state_file::{self, State, WorkerStatus};

/// Why recovery did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The folders could not be read.
    #[error("could not survey the worker's folders")]
    Survey(#[source] io::Error),
    /// Something could not be done.
    #[error("could not finish the recovery")]
    Apply(#[source] Box<ApplyError>),
    /// The state file could not be written.
    #[error("could not write state.json")]
    State(#[source] io::Error),
}

impl RecoveryError {
    /// The trouble of the machine behind it, if it is that: then it is worth waiting.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Survey(source) | Self::State(source) => Trouble::of(source),
            Self::Apply(source) => source.trouble(),
        }
    }
}

/// What would be done.
pub fn planned<S: Store>(
    spool: &Spool<S>,
    witness: &impl Witness,
    policy: &Policy,
) -> Result<Plan, RecoveryError> {
    let looked = || -> io::Result<Vec<Action>> {
        let files = survey::active(spool)?;
        let (mut actions, last) = plan::clear(survey::surroundings(spool, &files)?);
        let mut tasks = Vec::new();
        for file in files {
            let active = survey::look_at(spool, witness, file);
            actions.extend(plan::remove_temps(survey::temps_of_run(spool, &active)?));
            tasks.extend(plan::decide(&active, policy));
        }
        actions.extend(tasks);
        actions.extend(last);
        Ok(actions)
    };
    let actions = looked().map_err(RecoveryError::Survey)?;
    Ok(Plan { worker: spool.worker().clone(), actions })
}

/// Does it, and tells the runbook's lines. Whoever calls holds the worker's lock.
pub fn recover<S: Store>(
    spool: &Spool<S>,
    witness: &impl Witness,
    policy: &Policy,
    hands: &impl Hands,
) -> Result<(Plan, Applied), RecoveryError> {
    let plan = planned(spool, witness, policy)?;
    let applied = carry_out(spool, &plan, hands)?;
    Ok((plan, applied))
}

/// Does what was planned, and tells the runbook's lines.
pub fn carry_out<S: Store>(
    spool: &Spool<S>,
    plan: &Plan,
    hands: &impl Hands,
) -> Result<Applied, RecoveryError> {
    hands.say(&format!("Starting clean recovery for {}", spool.worker()));
    let applied = apply(spool, plan, hands).map_err(|error| RecoveryError::Apply(Box::new(error)))?;
    hands.say(&format!("Clean recovery completed for {}", spool.worker()));
    Ok(applied)
}

/// The same where living agents are ended: all of them first, and what becomes of their tasks is decided by what they said
/// until then, which `witness` has heard. What was done.
pub fn end_and_carry_out<S: Store, W: Witness>(
    spool: &Spool<S>,
    plan: &Plan,
    policy: &Policy,
    hands: &impl Hands,
    witness: impl FnOnce() -> W,
) -> Result<Plan, RecoveryError> {
    let ended: Vec<FileName> = plan.actions.iter().filter_map(Action::of_one_who_is_ended).cloned().collect();
    if ended.is_empty() {
        return carry_out(spool, plan, hands).map(|_| plan.clone());
    }
    let of_them = |action: &Action| action.file().is_some_and(|file| ended.contains(file));
    let (ends, rest): (Vec<_>, Vec<_>) = plan.actions.iter().cloned().partition(of_them);
    let ends = ends.into_iter().filter(|action| matches!(action, Action::End { .. })).collect();
    let (ends, mut rest) = (with(plan, ends), with(plan, rest));
    hands.say(&format!("Starting clean recovery for {}", spool.worker()));
    let perform =
        |plan: &Plan| apply(spool, plan, hands).map_err(|error| RecoveryError::Apply(Box::new(error)));
    perform(&ends)?;
    let (witness, policy) = (witness(), Policy { living: LivingAgents::Ended, ..policy.clone() });
    let decided =
        ended.into_iter().flat_map(|file| plan::decide(&survey::look_at(spool, &witness, file), &policy));
    let is_last = |action: &Action| matches!(action, Action::RemoveLock { .. } | Action::ClearScratch);
    let before = rest.actions.iter().position(is_last).unwrap_or(rest.actions.len());
    rest.actions.splice(before..before, decided);
    perform(&rest)?;
    hands.say(&format!("Clean recovery completed for {}", spool.worker()));
    Ok(with(plan, ends.actions.into_iter().chain(rest.actions).collect()))
}

fn with(plan: &Plan, actions: Vec<Action>) -> Plan {
    Plan { worker: plan.worker.clone(), actions }
}

/// Recovers one file in `active/` that came there without us; whether its agent lives and is to be adopted.
pub fn recover_one(
    spool: &Spool<crate::spool::Disk>,
    witness: &SystemWitness,
    file: &FileName,
    policy: &Policy,
    hands: &impl Hands,
) -> Result<bool, ApplyError> {
    if spool.store().identity(&spool.path(crate::task::Place::Active, file)).is_err() {
        // It moved on since it was listed.
        return Ok(false);
    }
    let active = survey::look_at(spool, witness, file.clone());
    let actions: Vec<Action> = plan::decide(&active, policy);
    let plan = Plan { worker: spool.worker().clone(), actions };
    Ok(!apply(spool, &plan, hands)?.living.is_empty())
}

/// Writes down that a crash was recovered, and why it died: the runbooks read it.
pub fn record_crash(
    path: &std::path::Path,
    why: &Verdict,
    now: Timestamp,
    durability: Durability,
) -> Result<State, RecoveryError> {
    state_file::update(path, durability, |state| {
        state.status = WorkerStatus::Recovering;
        state.last_crash = Some(epoch_seconds(now));
        state.recovery_count += 1;
        state.last_crash_reason = Some(why.reason.to_string());
        state.last_crash_detail = Some(why.text.clone());
    })
    .map_err(RecoveryError::State)
}
