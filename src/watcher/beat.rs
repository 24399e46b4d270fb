//! Once a second: heartbeat, state, mirrors of locks, and a look whether everything is still ours.

use std::rc::Rc;

use super::core::{Core, Now, Wanted};
use super::ctx::Ctx;
use super::mirror::Mirrors;
use crate::agent::disposition::Holding;
use crate::clock::Timestamp;
use crate::os::durable::{self, Durability};
use crate::os::lock::Lock;
use crate::os::process::ProcessId;
use crate::spool::{Identity, Store};
use crate::task::{ErrorCode, HoldCause, Place};
use crate::telemetry::health::Check;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::journal::Event as Noted;
use crate::telemetry::state_file::{self, Hold, State, WorkerStatus};

/// Beats between two freshenings of the files of running tasks.
const FRESHEN: u64 = 30;

/// What beats.
#[derive(Debug)]
pub(super) struct Beat {
    ctx: Rc<Ctx>,
    lock: Lock,
    mirrors: Mirrors,
    me: ProcessId,
    seq: u64,
    written: Option<(State, Identity)>,
    lost: u64,
}

impl Beat {
    pub(super) fn new(ctx: Rc<Ctx>, lock: Lock, mirrors: Mirrors) -> Self {
        Self { ctx, lock, mirrors, me: ProcessId::current(), seq: 0, written: None, lost: 0 }
    }

    /// Beats once; a fault that concerns no single task, if there is one. `lost`: the lines that the log did not take.
    pub(super) fn beat(&mut self, core: &Core, now: Now, lost: u64) -> Option<Holding> {
        self.seq += 1;
        self.catch_up(lost);
        self.show(core);
        self.keep_mirrors(now.wall);
        self.heartbeat();
        self.state(now.wall);
        if self.seq.is_multiple_of(FRESHEN) {
            self.freshen(now.wall);
        }
        self.fault()
    }

    /// The last words: stopped, before the lock goes.
    pub(super) fn farewell(mut self, core: &Core) {
        self.show(core);
        self.ctx.board.show().status = WorkerStatus::Stopped;
        self.written = None;
        if let Err(error) = self.ctx.journal.flush() {
            let (lines, _) = self.ctx.journal.behind();
            tracing::error!(error = %error, lines, "these lines are missing in the journal; the task files have what they told");
        }
        self.state(self.ctx.clock.wall());
        self.heartbeat();
        self.mirrors.release_all();
        drop(self.lock);
    }

    /// What a full disk did not take is written as soon as it does.
    fn catch_up(&mut self, lost: u64) {
        let journal = &self.ctx.journal;
        if journal.behind().0 > 0 && journal.flush().is_ok() {
            tracing::info!("the journal is complete again");
        }
        let (waiting, given_up) = journal.behind();
        self.ctx.metrics.set_journal(waiting, given_up);
        self.ctx.metrics.set_log_lost(lost);
        if lost > self.lost {
            tracing::warn!(
                lines = lost - self.lost,
                in_all = lost,
                "the log file did not take these lines; standard error has them"
            );
        }
        self.lost = lost;
    }

    fn show(&self, core: &Core) {
        let mut shown = self.ctx.board.show();
        let before = shown.hold.as_ref().map(|hold| hold.cause);
        shown.hold = core.hold().map(|holding| hold_of(holding, core.held_until()));
        shown.status = status(core);
        shown.lock_held = self.lock.is_still(&self.ctx.layout().worker(&self.ctx.config.worker));
        let queue = core.queue();
        shown.queues.inbox = queue.depth(Place::Inbox) as u64;
        shown.queues.pending = queue.depth(Place::Pending) as u64;
        shown.queues.staged = queue.depth(Place::Staged) as u64;
        shown.queues.active = core.active() as u64;
        shown.oldest = queue.heads().map(|head| head.dropped_at).min();
        shown.registry = match core.hold().filter(|it| it.cause == HoldCause::Configuration) {
            Some(holding) => Check::Failing(holding.reason.clone()),
            None => Check::Ok,
        };
        shown.artifacts = match core.hold().filter(|it| it.cause == HoldCause::Disk) {
            Some(holding) => Check::Failing(holding.reason.clone()),
            None => Check::Ok,
        };
        let (hold, queues, oldest) = (shown.hold.clone(), shown.queues, shown.oldest);
        drop(shown);
        self.measure(core, hold.as_ref(), &queues, oldest);
        self.tell_change(before, hold.as_ref());
    }

    fn measure(
        &self,
        core: &Core,
        hold: Option<&Hold>,
        queues: &state_file::QueueDepths,
        oldest: Option<Timestamp>,
    ) {
        let metrics = &self.ctx.metrics;
        metrics.runbook().set_active_tasks(core.active() as u64);
        metrics.set_queues(queues);
        metrics.set_hold(hold.map(|hold| hold.cause));
        let waited = oldest.map(|at| super::face::age(at, self.ctx.clock.wall())).unwrap_or_default();
        metrics.set_oldest_pending(waited);
    }

    /// A hold that begins or ends is said once, where people look.
    fn tell_change(&self, before: Option<HoldCause>, hold: Option<&Hold>) {
        match (before, hold) {
            (was, Some(hold)) if was != Some(hold.cause) => {
                tracing::error!(
                    error_code = hold.error_code.map(ErrorCode::as_str),
                    cause = hold.cause.as_str(),
                    remedy = hold.remedy.as_deref(),
                    until = hold.until.map(|at| at.to_string()),
                    "claiming nothing: {}",
                    hold.reason
                );
                self.ctx.note_worker(Noted::Held, &hold.reason);
            }
            (Some(_), None) => {
                tracing::info!("claiming again");
                self.ctx.note_worker(Noted::Released, "claiming again");
            }
            (None | Some(_), None | Some(_)) => {}
        }
    }

    fn keep_mirrors(&mut self, now: Timestamp) {
        let (layout, worker) = (self.ctx.layout(), &self.ctx.config.worker);
        let mut wanted = vec![(layout.watcher_lock(worker), None)];
        for running in self.ctx.board.show().running.values() {
            wanted.push((layout.task_lock(worker, &running.task), Some(running.task.to_string())));
        }
        if let Err(error) = self.mirrors.keep(&wanted, now) {
            tracing::warn!(error = %error, "could not keep the lock files that runbooks look at");
        }
    }

    fn heartbeat(&self) {
        let shown = self.ctx.board.show();
        let (status, active) = (shown.status, shown.running.len());
        drop(shown);
        write_heartbeat(&self.ctx, &self.me, self.seq, (status, active));
    }

    /// Writes `state.json` if something changed, or if somebody else wrote it.
    fn state(&mut self, now: Timestamp) {
        let path = self.ctx.layout().state(&self.ctx.config.worker);
        let shown = self.ctx.board.show().clone();
        let state_now = |state: &mut State| {
            state.status = shown.status;
            state.hold.clone_from(&shown.hold);
            state.running = shown.running.values().cloned().collect();
            state.queues = shown.queues;
        };
        let on_disk = self.ctx.spool.store().identity(&path).ok();
        if let Some((written, identity)) = &self.written {
            let mut wanted = written.clone();
            state_now(&mut wanted);
            if wanted == *written && on_disk == Some(*identity) {
                return;
            }
        }
        let durability =
            if shown.status == WorkerStatus::Stopped { self.ctx.config.durability } else { Durability::None };
        let updated = state_file::update(&path, durability, |state| {
            state_now(state);
            state.updated_at = Some(now);
        });
        match updated {
            Ok(state) => {
                self.ctx.metrics.set_restarts(state.recovery_count);
                self.written = self.ctx.spool.store().identity(&path).ok().map(|identity| (state, identity));
            }
            Err(error) => tracing::warn!(error = %error, "could not write state.json"),
        }
    }

    /// Healthy work must not look stuck to a script that goes by the age of a file.
    fn freshen(&self, now: Timestamp) {
        let (layout, worker) = (self.ctx.layout(), &self.ctx.config.worker);
        let files: Vec<_> = self.ctx.board.show().running.keys().cloned().collect();
        for file in files {
            let path = layout.task(worker, Place::Active, &file);
            if let Err(error) = durable::set_mtime(&path, now.into()) {
                tracing::debug!(path = %path.display(), error = %error, "could not freshen");
            }
        }
    }

    /// What makes starting anything impossible.
    fn fault(&self) -> Option<Holding> {
        let folder = self.ctx.layout().worker(&self.ctx.config.worker);
        if !self.lock.is_still(&folder) {
            let reason =
                format!("`{}` was moved or replaced: its lock is not ours any more", folder.display());
            let remedy = "put the folder back, or restart this worker".to_owned();
            return Some(Holding { cause: HoldCause::Disk, reason, remedy, until: None });
        }
        self.ctx.look_at_disks().fault.or_else(|| self.ctx.program().err())
    }
}

/// Writes the sign of life; where that fails the file is at least touched.
pub(super) fn write_heartbeat(ctx: &Ctx, me: &ProcessId, seq: u64, (status, active): (WorkerStatus, usize)) {
    let heartbeat = Heartbeat {
        worker: ctx.config.worker.clone(),
        pid: me.pid,
        boot_id: me.boot_id.clone(),
        boottime_ns: u64::try_from(ctx.clock.ticks().0.as_nanos()).unwrap_or(u64::MAX),
        seq,
        timestamp: ctx.clock.wall(),
        status,
        active_tasks: u32::try_from(active).unwrap_or(u32::MAX),
    };
    if let Err(error) = heartbeat.write(&ctx.layout().heartbeat(&ctx.config.worker)) {
        tracing::warn!(error = %error, "could not write the heartbeat");
    }
}

fn status(core: &Core) -> WorkerStatus {
    match core.wanted() {
        Wanted::Stop | Wanted::StopNow => WorkerStatus::Draining,
        Wanted::Run if core.hold().is_some() => WorkerStatus::Degraded,
        Wanted::Run => WorkerStatus::Running,
    }
}

pub(super) fn hold_of(holding: &Holding, until: Option<Timestamp>) -> Hold {
    Hold {
        cause: holding.cause,
        reason: holding.reason.clone(),
        remedy: Some(holding.remedy.clone()),
        until: holding.until.or(until),
        error_code: Some(holding.cause.code()),
    }
}
