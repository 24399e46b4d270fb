//! What a start owes to the worker's last life: why its watcher died is told, and what it left is brought home.

use std::path::Path;
use std::sync::Arc;

use super::board::LastCrash;
use super::ctx::Ctx;
use crate::os::durable::Durability;
use crate::os::process::ProcessId;
use crate::os::syslog;
use crate::recovery::crash::{CrashReason, Past, Verdict};
use crate::recovery::{
    Action, Hands, LivingAgents, Policy, RecoveryError, SystemHands, SystemWitness, record_crash, recover,
};
use crate::spool::Lease;
use crate::task::{FileName, Place, TaskFile};
use crate::telemetry::journal::Event as Noted;
use crate::telemetry::state_file::{self, State, WorkerStatus};

/// Clean recovery of what is found in our own `active/`, after a look for why the last watcher died.
pub(super) fn recover_first(ctx: &Ctx, past: Past) -> Result<Vec<FileName>, RecoveryError> {
    let Past { died, failure } = past;
    let state = match &died {
        Some(verdict) => {
            let path = ctx.layout().state(&ctx.config.worker);
            let state = record_crash(&path, verdict, ctx.clock.wall(), ctx.config.durability)?;
            tell_crash(ctx, verdict, state.recovery_count);
            state
        }
        None => mark(ctx, WorkerStatus::Stopped, WorkerStatus::Starting),
    };
    show_crash(ctx, &state);
    let policy = Policy {
        max_retries: ctx.config.max_retries,
        living: LivingAgents::Adopt,
        now: ctx.clock.wall(),
        jitter: Ctx::jitter(),
        failure,
        redactor: ctx.redactor.clone(),
    };
    let say = |line: &str| tracing::info!("{line}");
    let hands = Homecoming {
        ctx,
        hands: SystemHands {
            spool: Arc::clone(&ctx.spool),
            clock: Arc::clone(&ctx.clock),
            scratch: ctx.scratch.clone(),
            own_lock: None,
            say: &say,
        },
    };
    let witness = SystemWitness::new(ctx.layout().clone());
    let recovered = recover(&ctx.spool, &witness, &policy, &hands);
    let (plan, applied) = recovered.inspect_err(|_| {
        // An orderly end, which is told by its exit status: no death.
        mark(ctx, WorkerStatus::Starting, WorkerStatus::Stopped);
    })?;
    if died.is_some() || plan.found_work() {
        let why = died.map(|it| format!("{it}; ")).unwrap_or_default();
        ctx.note_worker(Noted::Recovered, &format!("{why}{} action(s)", applied.done));
    }
    count_filed(ctx);
    Ok(applied.living)
}

/// Until the first beat the file would still say what the last watcher said: a death before it would pass for the
/// stop before it.
fn mark(ctx: &Ctx, from: WorkerStatus, to: WorkerStatus) -> State {
    let path = ctx.layout().state(&ctx.config.worker);
    let state = State::read(&path);
    if state.status != from {
        return state;
    }
    // What the disk does not take now is written with the first beat.
    state_file::update(&path, Durability::None, |state| state.status = to).unwrap_or(state)
}

/// Hands that also send the spans of what they end: their own watcher could not.
struct Homecoming<'a> {
    ctx: &'a Ctx,
    hands: SystemHands<'a>,
}

impl Hands for Homecoming<'_> {
    fn end(&self, file: &FileName, processes: &[ProcessId]) -> Vec<ProcessId> {
        self.hands.end(file, processes)
    }

    fn remove_lock(&self, path: &Path) {
        self.hands.remove_lock(path);
    }

    fn clear_scratch(&self) {
        self.hands.clear_scratch();
    }

    fn note(&self, action: &Action, task: Option<&TaskFile>) {
        self.hands.note(action, task);
        if let (Action::Requeue { file, .. } | Action::Conclude { file, .. }, Some(task)) = (action, task)
            && let Some(lease) = Lease::of(&self.ctx.config.worker, file, task.clone())
        {
            self.ctx.trace_attempt(&lease);
        }
    }

    fn say(&self, line: &str) {
        self.hands.say(line);
    }
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
