//! What a start owes to the worker's last life: why its watcher died is told, and what it left is brought home.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::board::LastCrash;
use super::ctx::Ctx;
use super::homecoming::Homecoming;
use super::trace::Tracer;
use crate::layout::Layout;
use crate::os::durable::Durability;
use crate::os::syslog;
use crate::recovery::crash::{CrashReason, Past, Verdict};
use crate::recovery::{
    LivingAgents, Policy, RecoveryError, SystemHands, SystemWitness, record_crash, recover,
};
use crate::task::{FileName, Place, WorkerName};
use crate::telemetry::journal::Event as Noted;
use crate::telemetry::state_file::{self, State, WorkerStatus};

/// What a start owes, over several tries on a disk that refuses.
#[derive(Debug)]
pub(super) struct Revival {
    past: Past,
    is_told: bool,
}

impl Revival {
    /// Looks for why the last watcher died, before anybody else writes the mirror of the worker's lock.
    pub(super) fn of(layout: &Layout, worker: &WorkerName) -> Result<Self, RecoveryError> {
        let past = Past::of(layout, worker).map_err(RecoveryError::State)?;
        Ok(Self { past, is_told: false })
    }

    /// Clean recovery of what is found in our own `active/`; whose agents live.
    pub(super) fn recover_first(&mut self, ctx: &Ctx) -> Result<Vec<FileName>, RecoveryError> {
        self.tell(ctx)?;
        let Past { died, failure } = &self.past;
        let policy = Policy {
            max_retries: ctx.config.max_retries,
            living: LivingAgents::Adopt,
            now: ctx.clock.wall(),
            jitter: Ctx::jitter(),
            failure,
            unstarted: false,
            redactor: ctx.redactor.clone(),
        };
        let say = |line: &str| tracing::info!("{line}");
        let hands = Homecoming {
            worker: ctx.config.worker.clone(),
            tracer: Tracer::new(ctx),
            hands: SystemHands {
                spool: Arc::clone(&ctx.spool),
                clock: Arc::clone(&ctx.clock),
                scratch: ctx.scratch.clone(),
                own_lock: None,
                say: &say,
                git: ctx.git.granting(ctx.layout().artifacts()),
                durability: ctx.config.durability,
            },
        };
        let witness = SystemWitness::new(ctx.layout().clone());
        let recovered = recover(&ctx.spool, &witness, &policy, &hands);
        let (plan, applied) = recovered.inspect_err(|_| {
            // An orderly end, which is told by its exit status: no death.
            marked(ctx, WorkerStatus::Starting, WorkerStatus::Stopped).ok();
        })?;
        if died.is_some() || plan.found_work() {
            let why = died.as_ref().map(|it| format!("{it}; ")).unwrap_or_default();
            ctx.note_worker(Noted::Recovered, &format!("{why}{} action(s)", applied.done));
        }
        ctx.groups.clear(ctx.layout(), &*ctx.clock);
        count_filed(ctx);
        Ok(applied.living)
    }

    /// A crash is written down and told once, however often its recovery is tried.
    fn tell(&mut self, ctx: &Ctx) -> Result<(), RecoveryError> {
        let state = match &self.past.died {
            Some(_) if self.is_told => return Ok(()),
            Some(verdict) => {
                let path = ctx.layout().state(&ctx.config.worker);
                let state = record_crash(&path, verdict, ctx.clock.wall(), ctx.config.durability)?;
                self.is_told = true;
                tell_crash(ctx, verdict, state.recovery_count);
                state
            }
            None => {
                marked(ctx, WorkerStatus::Stopped, WorkerStatus::Starting).map_err(RecoveryError::State)?
            }
        };
        show_crash(ctx, &state);
        // A worker that was paused stays so.
        ctx.board.show().wanted = state.wanted;
        Ok(())
    }
}

/// Until the first beat the file would still say what the last watcher said: a death before it would pass for the
/// stop before it.
fn marked(ctx: &Ctx, from: WorkerStatus, to: WorkerStatus) -> io::Result<State> {
    mark(&ctx.layout().state(&ctx.config.worker), ctx.config.durability, (from, to))
}

/// What the file says then. One that cannot be read may hold a person's word, and is asked for again.
fn mark(path: &Path, durability: Durability, (from, to): (WorkerStatus, WorkerStatus)) -> io::Result<State> {
    let state = State::read(path)?.unwrap_or_default();
    if state.status != from {
        return Ok(state);
    }
    // A person's word in it is not put at risk; what the disk does not take now is written with the first beat.
    let durability = if state.wanted.is_some() { durability } else { Durability::None };
    Ok(state_file::update(path, durability, |state| state.status = to).unwrap_or(state))
}

fn tell_crash(ctx: &Ctx, verdict: &Verdict, recovery_count: u64) {
    let worker = &ctx.config.worker;
    tracing::warn!(
        recovery_count,
        reason = %verdict.reason,
        "the last watcher of this worker died; recovering. {}",
        verdict.text
    );
    if verdict.reason == CrashReason::OomKilled {
        // Runbooks look for these words, and for the worker's name beside them.
        let line = format!("oom-killer ended the watcher of {worker}: {}", verdict.text);
        tracing::error!(error_code = "E004", "{line}");
        // Where there is no system log, ours has it.
        syslog::error(Path::new(syslog::SOCKET), &line).ok();
    }
    ctx.metrics.recovered();
}

fn show_crash(ctx: &Ctx, state: &State) {
    let crash = LastCrash {
        at: state.last_crash,
        reason: state.last_crash_reason.clone(),
        detail: state.last_crash_detail.clone(),
    };
    ctx.board.show().last_crash = state.last_crash.map(|_| crash);
}

/// How much rests here already, for the board.
fn count_filed(ctx: &Ctx) {
    let count = |place| ctx.spool.count(place).unwrap_or(0);
    let (completed, failed, cancelled) =
        (count(Place::Completed), count(Place::Failed), count(Place::Cancelled));
    let mut shown = ctx.board.show();
    shown.queues.completed = completed;
    shown.queues.failed = failed;
    shown.queues.cancelled = cancelled;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::durable::write_new;

    #[test]
    fn a_state_that_cannot_be_read_is_none_that_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let start = (WorkerStatus::Stopped, WorkerStatus::Starting);
        let mark = |path: &Path| mark(path, Durability::None, start);
        assert_eq!(mark(&path).unwrap(), State::default(), "it never lived");
        let paused =
            br#"{"status":"stopped","wanted":{"mode":"pause","by":"ana","at":"2026-03-01T10:00:00Z"}}"#;
        write_new(&path, paused, None).unwrap();
        for _ in 0..2 {
            let state = mark(&path).unwrap();
            assert!(state.status == WorkerStatus::Starting && state.wanted.is_some(), "{state:?}");
        }
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        assert!(mark(&dir.path().join("loop/state.json")).is_err());
    }
}
