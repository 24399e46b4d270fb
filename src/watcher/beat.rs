//! Once a second: heartbeat, state, mirrors of locks, and a look whether everything is still ours.

use std::rc::Rc;

use super::board::Shown;
use super::core::{Core, Now, Wanted};
use super::ctx::Ctx;
use super::ground::{self, Found, Ground};
use super::mirror::Mirrors;
use super::tenure::Verdict;
use crate::agent::disposition::Holding;
use crate::clock::Timestamp;
use crate::config::WatcherConfig;
use crate::os::durable::{self, Durability};
use crate::os::manager::Manager;
use crate::os::oom;
use crate::os::process::ProcessId;
use crate::os::trouble::Trouble;
use crate::spool::{Identity, Store};
use crate::task::{ErrorCode, HoldCause, Place};
use crate::telemetry::health::Check;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::journal::Event as Noted;
use crate::telemetry::state_file::{self, Hold, Limits, State, WorkerStatus};

/// Beats between two freshenings of the files of running tasks.
const FRESHEN: u64 = 30;

/// What beats.
#[derive(Debug)]
pub(super) struct Beat {
    ctx: Rc<Ctx>,
    ground: Ground,
    mirrors: Mirrors,
    manager: Manager,
    me: ProcessId,
    seq: u64,
    written: Option<(State, Identity)>,
    /// Whether a version of `state.json` that is not ours was left alone at the last beat.
    waited: bool,
}

/// What a beat found.
#[derive(Debug)]
pub(super) struct Beaten {
    /// A fault that concerns no single task, if there is one.
    pub(super) fault: Option<Holding>,
    /// Whether the worker is not ours any more.
    pub(super) lost: bool,
}

impl Beat {
    pub(super) fn new(ctx: Rc<Ctx>, mirrors: Mirrors, manager: Manager) -> Self {
        let (ground, me) = (Ground::default(), ProcessId::current());
        let seq = Heartbeat::last_seq(&ctx.layout().heartbeat(&ctx.config.worker));
        Self { ctx, ground, mirrors, manager, me, seq, written: None, waited: false }
    }

    /// Beats once. `unlogged`: the lines that the log did not take so far.
    pub(super) fn beat(&mut self, core: &Core, now: Now, unlogged: u64) -> Beaten {
        #[cfg(feature = "test-support")]
        super::stall::stall_if_asked();
        self.seq += 1;
        let found = self.ground.look(&self.ctx, now.ticks);
        if found.tenure == Verdict::Held {
            self.catch_up(unlogged);
        }
        self.show(core, &found, now);
        let status = in_a_line(&self.ctx.board.show());
        self.manager.turned(&status, now.ticks);
        let fault = ground::fault(&self.ctx, &found);
        let lost = found.tenure == Verdict::Lost;
        if found.tenure != Verdict::Held {
            // What stands there may be another watcher's: nothing is written into it.
            return Beaten { fault, lost };
        }
        self.keep_mirrors(now.wall);
        // The state first: whose heart has beaten once, and who dies, is known to have lived.
        self.state(now.wall);
        let unwritten = self.heartbeat();
        if self.seq.is_multiple_of(FRESHEN) {
            self.freshen(now.wall);
        }
        // A disk may refuse what its folders and its room do not show: ext4 after an error of its own.
        Beaten { fault: fault.or(unwritten), lost }
    }

    /// The last words: stopped, before the lock goes.
    pub(super) fn farewell(mut self, core: &Core) {
        self.manager.stopping();
        let now = Now { wall: self.ctx.clock.wall(), ticks: self.ctx.clock.ticks() };
        let found = self.ground.look(&self.ctx, now.ticks);
        if found.tenure == Verdict::Held {
            self.show(core, &found, now);
            self.ctx.board.show().status = WorkerStatus::Stopped;
            self.ctx.tell_status();
            self.written = None;
            if let Err(error) = self.ctx.journal.flush() {
                let (lines, _) = self.ctx.journal.behind();
                tracing::error!(error = %error, lines, "these lines are missing in the journal; the task files have what they told");
            }
            self.state(now.wall);
            self.heartbeat();
        }
        self.mirrors.release_all();
        if let Some(entered) = self.ctx.entered.get() {
            entered.lock.release();
        }
    }

    /// What a full disk did not take is written as soon as it does.
    fn catch_up(&mut self, unlogged: u64) {
        let journal = &self.ctx.journal;
        if journal.behind().0 > 0 && journal.flush().is_ok() {
            tracing::info!("the journal is complete again");
        }
        let (waiting, given_up) = journal.behind();
        self.ctx.metrics.set_journal(waiting, given_up);
        self.ctx.metrics.set_log_lost(unlogged);
    }

    fn show(&self, core: &Core, found: &Found, now: Now) {
        let mut shown = self.ctx.board.show();
        let (before, was) = (shown.hold.clone(), shown.status);
        shown.hold = core.hold().map(|holding| hold_of(holding, core.held_until(now)));
        shown.status = status(core);
        shown.lock_held = found.tenure == Verdict::Held;
        shown.queue = match found.folders.iter().find(|it| it.forbids()) {
            Some(finding) => Check::Failing(finding.what.clone()),
            None => match self.ctx.board.queue() {
                Check::Ok => shown.pipes.clone(),
                worse @ (Check::Degraded(_) | Check::Failing(_)) => worse,
            },
        };
        let queue = core.queue();
        shown.queues.inbox = queue.depth(Place::Inbox) as u64;
        shown.queues.pending = queue.depth(Place::Pending) as u64;
        shown.queues.staged = queue.depth(Place::Staged) as u64;
        shown.queues.active = core.active() as u64;
        shown.oldest = queue.oldest();
        shown.registry = match core.hold().filter(|it| it.cause == HoldCause::Configuration) {
            Some(holding) => Check::Failing(holding.reason.clone()),
            None => match super::packs::check(&shown.packs) {
                Check::Ok => shown.budget.clone(),
                worse @ (Check::Degraded(_) | Check::Failing(_)) => worse,
            },
        };
        shown.artifacts = match core.hold().filter(|it| it.cause == HoldCause::Disk) {
            Some(holding) => Check::Failing(holding.reason.clone()),
            None => Check::Ok,
        };
        let (hold, queues, oldest) = (shown.hold.clone(), shown.queues, shown.oldest);
        let is_news = was != shown.status || kind(before.as_ref()) != kind(hold.as_ref());
        drop(shown);
        if is_news {
            self.ctx.tell_status();
        }
        self.measure(core, hold.as_ref(), &queues, oldest);
        self.tell_change(before.as_ref(), hold.as_ref());
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
    fn tell_change(&self, before: Option<&Hold>, hold: Option<&Hold>) {
        match (before, hold) {
            (was, Some(hold)) if kind(was) != kind(Some(hold)) => {
                tracing::error!(
                    error_code = hold.error_code.map(ErrorCode::as_str),
                    cause = hold.cause.as_str(),
                    remedy = hold.remedy.as_deref(),
                    until = hold.until.map(|at| at.to_string()),
                    "claiming nothing: {}",
                    hold.reason
                );
                self.ctx.note_worker(Noted::Held, &hold.reason);
                self.ctx.herald.warn(&format!("claiming nothing: {}", hold.reason), hold.remedy.as_deref());
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

    fn heartbeat(&self) -> Option<Holding> {
        let shown = self.ctx.board.show();
        let (status, active) = (shown.status, shown.running.len());
        drop(shown);
        write_heartbeat(&self.ctx, &self.me, self.seq, (status, active))
    }

    /// Writes `state.json` if something changed, or if somebody else wrote it.
    fn state(&mut self, now: Timestamp) {
        let path = self.ctx.layout().state(&self.ctx.config.worker);
        let shown = self.ctx.board.show().clone();
        let state_now = |state: &mut State| {
            state.status = shown.status;
            state.hold.clone_from(&shown.hold);
            state.packs.clone_from(&shown.packs);
            state.wanted.clone_from(&shown.wanted);
            state.set_aside = None;
            state.resume = shown.resume;
            state.running = shown.running.values().cloned().collect();
            state.queues = shown.queues;
            state.metrics_addr = shown.served.map(|addr| addr.to_string());
            state.limits = Some(limits(&self.ctx.config));
            state.budget = self.ctx.config.budget;
            state.claude_version = self.ctx.cli.version();
            state.cgroup = self.ctx.groups.place().map(|path| path.display().to_string());
            state.confined = self.ctx.fence.strength().map(|it| it.to_string());
            state.account = self.ctx.limits.as_ref().map(|limits| limits.account().key.clone());
        };
        let on_disk = self.ctx.spool.store().identity(&path).ok();
        if let Some((written, identity)) = &self.written {
            let mut wanted = written.clone();
            state_now(&mut wanted);
            if wanted == *written && on_disk == Some(*identity) {
                return;
            }
            // Whoever writes it in place may have written half so far: that has until the next beat.
            let is_theirs = on_disk.is_some_and(|it| it != *identity);
            self.waited = is_theirs && !self.waited;
            if self.waited {
                return;
            }
        }
        // What is not waited for may come back empty from a power cut, and a person's word with it.
        let lasts = shown.status == WorkerStatus::Stopped || shown.wanted.is_some();
        let durability = if lasts { self.ctx.config.durability } else { Durability::None };
        let updated = state_file::update(&path, durability, |state| {
            state_now(state);
            state.updated_at = Some(now);
        });
        match updated {
            Ok(state) => {
                self.ctx.metrics.set_restarts(state.recovery_count);
                // Somebody may have written since, and that version must not be taken for ours.
                let identity = self.ctx.spool.store().identity(&path).ok();
                self.written = identity.filter(|_| state.is_at(&path)).map(|identity| (state, identity));
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
}

/// Writes the sign of life; where that fails the file is at least touched. What the machine lacks for it, if it is that.
pub(super) fn write_heartbeat(
    ctx: &Ctx,
    me: &ProcessId,
    seq: u64,
    (status, active): (WorkerStatus, usize),
) -> Option<Holding> {
    let contained = oom::is_contained();
    let heartbeat = Heartbeat {
        worker: ctx.config.worker.clone(),
        pid: me.pid,
        boot_id: me.boot_id.clone(),
        boottime_ns: u64::try_from(ctx.clock.ticks().0.as_nanos()).unwrap_or(u64::MAX),
        seq,
        timestamp: ctx.clock.wall(),
        status,
        active_tasks: u32::try_from(active).unwrap_or(u32::MAX),
        oom_kills: contained.then(oom::on_this_machine).flatten(),
        memory_percent: contained.then(oom::share_in_use).flatten(),
    };
    let path = ctx.layout().heartbeat(&ctx.config.worker);
    let error = heartbeat.write(&path).err()?;
    tracing::warn!(error = %error, "could not write the heartbeat");
    let is_of_the_disk = Trouble::of(&error).is_some_and(Trouble::is_of_the_disk);
    is_of_the_disk.then(|| Holding::of_disk(format!("could not write `{}`", path.display()), &error))
}

/// How the worker is, as the service manager shows it.
pub(super) fn in_a_line(shown: &Shown) -> String {
    let queues = &shown.queues;
    let waiting = queues.inbox + queues.pending + queues.staged;
    let mut line = format!("{}: {} at work, {waiting} waiting", shown.status.as_str(), queues.active);
    if let Some(hold) = &shown.hold {
        line.push_str("; claiming nothing: ");
        line.push_str(&hold.reason);
    }
    line
}

fn limits(config: &WatcherConfig) -> Limits {
    Limits {
        concurrency: config.concurrency as u64,
        agent_timeout_s: config.agent_timeout.as_secs(),
        idle_timeout_s: config.idle_timeout.as_secs(),
        max_retries: config.max_retries,
    }
}

fn status(core: &Core) -> WorkerStatus {
    match core.wanted() {
        Wanted::Drain | Wanted::Stop | Wanted::StopNow => WorkerStatus::Draining,
        Wanted::Pause => WorkerStatus::Paused,
        Wanted::Run if core.hold().is_some() => WorkerStatus::Degraded,
        Wanted::Run => WorkerStatus::Running,
    }
}

/// One cause may have several remedies; its reason may change with every look at the disk.
fn kind(hold: Option<&Hold>) -> Option<(HoldCause, Option<String>)> {
    hold.map(|hold| (hold.cause, hold.remedy.clone()))
}

pub(super) fn hold_of(holding: &Holding, until: Option<Timestamp>) -> Hold {
    Hold {
        cause: holding.cause,
        reason: holding.reason.clone(),
        remedy: Some(holding.remedy.clone()),
        until: until.or(holding.until),
        error_code: Some(holding.cause.code()),
    }
}
