//! The start of a worker: its lock, clean recovery, then everything else.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::board::Board;
use super::ctx::Ctx;
use super::face::WatcherFace;
use super::mirror::Mirrors;
use super::shell::Shell;
use super::wait::{Wait, Woken};
use super::{beat::Beat, disks::Disks, panic, watchdog};
use crate::clock::SharedClock;
use crate::config::{Environment, Exit, LogFormat as Wanted, WatcherConfig};
use crate::layout::Layout;
use crate::os::durable::{DIR_MODE, make_dir};
use crate::os::holder::{Holder, Role};
use crate::os::inherited;
use crate::os::lock::Lock;
use crate::os::process::{Reaper, reaper};
use crate::os::signals;
use crate::os::space::Reserve;
use crate::os::trouble::Trouble;
use crate::os::watch::Hints;
use crate::recovery::{
    LivingAgents, Policy, RecoveryError, SystemHands, SystemWitness, record_crash, recover,
};
use crate::spool::{Disk, Spool};
use crate::task::{FileName, Place};
use crate::telemetry::face::Face;
use crate::telemetry::journal::{Event as Noted, Journal};
use crate::telemetry::log::{self, LogFormat, LogHandle, LogOptions};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::state_file::{State, WorkerStatus};

/// How long a start waits for another watcher's lock: one that was killed just now lets go within milliseconds.
const FOR_A_WATCHER: Duration = Duration::from_secs(2);
/// How long it waits for whoever recovers in its place.
const FOR_OTHERS: Duration = Duration::from_mins(1);
/// Between two tries.
const TRY: Duration = Duration::from_millis(20);

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("could not make `{path}`")]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("could not lock `{path}`")]
    Lock {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("a {role} holds worker {worker} already{who}")]
    Held { role: Role, worker: crate::task::WorkerName, who: String },
    #[error("could not prepare this process")]
    Process(#[source] std::io::Error),
    #[error("could not make the metrics")]
    Metrics(#[from] crate::telemetry::metrics::MetricsError),
    #[error("could not recover")]
    Recovery(#[from] RecoveryError),
}

impl StartError {
    /// The trouble of the machine behind it, if it is that: then it is worth waiting.
    fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Folder { source, .. } | Self::Lock { source, .. } => Trouble::of(source),
            Self::Recovery(error) => error.trouble(),
            Self::Held { .. } | Self::Process(_) | Self::Metrics(_) => None,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Folder { source, .. } | Self::Lock { source, .. } => {
                if Exit::of_io(source) == Exit::Denied { Exit::Denied } else { Exit::Configuration }
            }
            Self::Held { .. } => Exit::Configuration,
            Self::Process(_) | Self::Metrics(_) => Exit::Internal,
            Self::Recovery(_) => Exit::TryAgain,
        }
    }
}

/// Runs a worker to its end.
pub fn run(config: WatcherConfig, environment: &Environment, clock: SharedClock) -> Exit {
    let log = match start_log(&config, environment, Arc::clone(&clock)) {
        Ok(log) => log,
        Err(exit) => return exit,
    };
    let mut starting = match prepare(config, environment, clock) {
        Ok(starting) => starting,
        Err(error) => return failed(&error),
    };
    match starting.enter() {
        Ok(Some(entered)) => work(starting, entered, log),
        Ok(None) => {
            tracing::info!("told to stop before there was room to begin; nothing was touched");
            Exit::Done
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &StartError) -> Exit {
    tracing::error!("the worker does not start: {}", with_causes(error));
    error.exit()
}

fn start_log(
    config: &WatcherConfig,
    environment: &Environment,
    clock: SharedClock,
) -> Result<LogHandle, Exit> {
    let format = match config.log.format {
        Wanted::Json => LogFormat::Json,
        Wanted::Pretty => LogFormat::Pretty,
        Wanted::Bracket => LogFormat::Bracket,
    };
    let options = LogOptions {
        format,
        level: config.log.level.as_str().to_owned(),
        file: Some(config.log.dir.join(format!("{}.log", config.worker))),
        color: environment.terminals().stderr && environment.get("NO_COLOR").is_none(),
    };
    log::install(&options, Some(&config.worker), clock).map_err(|_| Exit::Internal)
}

/// An error with everything below it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// A worker on its way in: what needs no disk is there.
pub(super) struct Starting {
    pub(super) ctx: Rc<Ctx>,
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) signals: UnboundedReceiver<signals::Signal>,
    face: Option<Face>,
    faced: bool,
    lock: Option<Lock>,
    mirrors: Mirrors,
    crashed: bool,
}

/// A worker that is in: its lock is held, and what its predecessor left is brought home.
struct Entered {
    lock: Lock,
    living: Vec<FileName>,
}

fn prepare(
    config: WatcherConfig,
    environment: &Environment,
    clock: SharedClock,
) -> Result<Starting, StartError> {
    signals::clean().map_err(StartError::Process)?;
    inherited::keep().map_err(StartError::Process)?;
    let signals = signals::listen().map_err(StartError::Process)?;
    reaper::become_subreaper().map_err(StartError::Process)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::Process)?;
    let layout = Layout::new(&config.root);
    let scratch = config.scratch_dir.clone().unwrap_or_else(|| layout.default_scratch(&config.worker));
    let disk = Disk::new(config.durability);
    let spool = Arc::new(Spool::new(layout.clone(), config.worker.clone(), disk, Arc::clone(&clock)));
    let reserve = Reserve { bytes: config.reserve, inodes: config.reserve_inodes };
    let mirrors = Mirrors::new(config.worker.clone());
    let mut ctx = Ctx {
        journal: Journal::new(layout, config.worker.clone()),
        environment: environment.clone(),
        clock,
        spool,
        reaper: Arc::new(Reaper::default()),
        metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))?),
        board: Arc::new(Board::new()),
        disks: Disks::new(config.root.clone(), reserve),
        scratch,
        config,
    };
    let disks = Disks::new(ctx.config.root.clone(), reserve);
    ctx.disks = disks
        .and("log", Some(ctx.config.log.dir.clone()))
        .and("scratch", Some(ctx.scratch.clone()))
        .and("home", ctx.config_dir());
    ctx.board.turned(ctx.clock.ticks());
    Ok(Starting {
        ctx: Rc::new(ctx),
        runtime,
        signals,
        face: None,
        faced: false,
        lock: None,
        mirrors,
        crashed: false,
    })
}

impl Starting {
    /// Takes the lock and recovers. On a disk that is full or fails it waits, seen by everybody, until that is over;
    /// `None` if it is told to stop meanwhile.
    fn enter(&mut self) -> Result<Option<Entered>, StartError> {
        let mut wait = Wait::default();
        loop {
            match self.try_enter() {
                Ok(living) => {
                    let Some(lock) = self.lock.take() else { continue };
                    return Ok(Some(Entered { lock, living }));
                }
                Err(error) => {
                    let Some(trouble) = error.trouble() else { return Err(error) };
                    self.show_face();
                    if wait.for_the_disk(self, (trouble, with_causes(&error))) == Woken::Stop {
                        self.mirrors.release_all();
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Whether the lock of the worker is ours.
    pub(super) const fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    fn try_enter(&mut self) -> Result<Vec<FileName>, StartError> {
        let ctx = Rc::clone(&self.ctx);
        let (layout, config) = (ctx.layout(), &ctx.config);
        lay_out(layout, config)?;
        if self.lock.is_none() {
            self.lock = Some(take_lock(layout, config, &ctx.clock)?);
            panic::report_into(layout.worker(&config.worker), Arc::clone(&ctx.clock));
        }
        // At once, so that whoever finds the lock taken can read by whom.
        if let Err(error) =
            self.mirrors.keep(&[(layout.watcher_lock(&config.worker), None)], ctx.clock.wall())
        {
            tracing::warn!(error = %error, "could not make the lock file that runbooks look at");
        }
        make_scratch(&ctx.scratch)?;
        let living = recover_first(&ctx, &mut self.crashed)?;
        count_filed(&ctx);
        self.show_face();
        Ok(living)
    }

    fn show_face(&mut self) {
        if !self.faced {
            self.faced = true;
            self.face = start_face(&self.ctx);
        }
    }
}

fn lay_out(layout: &Layout, config: &WatcherConfig) -> Result<(), StartError> {
    let dirs = layout.common_dirs().into_iter().chain(layout.worker_dirs(&config.worker));
    for path in dirs {
        make_dir(&path, DIR_MODE).map_err(|source| StartError::Folder { path, source })?;
    }
    Ok(())
}

/// Our own folder for scratch: private, and no link that somebody else laid there.
fn make_scratch(path: &std::path::Path) -> Result<(), StartError> {
    let folder = |source| StartError::Folder { path: path.to_owned(), source };
    make_dir(path, 0o700).map_err(folder)?;
    let meta = std::fs::symlink_metadata(path).map_err(folder)?;
    let ours = std::os::unix::fs::MetadataExt::uid(&meta) == nix::unistd::geteuid().as_raw();
    if meta.is_dir() && ours {
        // Runbooks make it anew with the mode of their umask.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        return std::fs::set_permissions(path, private).map_err(folder);
    }
    Err(folder(std::io::Error::other(
        "it is a link, or belongs to another user: remove it, or name another --scratch-dir",
    )))
}

/// Takes the lock of the worker's folder, waiting as long as its holder deserves.
fn take_lock(layout: &Layout, config: &WatcherConfig, clock: &SharedClock) -> Result<Lock, StartError> {
    let path = layout.worker(&config.worker);
    let began = clock.ticks();
    loop {
        let locked =
            Lock::try_exclusive(&path).map_err(|source| StartError::Lock { path: path.clone(), source })?;
        if let Some(lock) = locked {
            return Ok(lock);
        }
        let holder = Holder::read(&layout.watcher_lock(&config.worker));
        let role = holder.as_ref().map_or(Role::Watcher, |it| it.role);
        let patience = if role == Role::Watcher { FOR_A_WATCHER } else { FOR_OTHERS };
        if clock.ticks().since(began) >= patience {
            let who =
                holder.map(|it| format!(" (pid {}, since {})", it.process.pid, it.since)).unwrap_or_default();
            return Err(StartError::Held { role, worker: config.worker.clone(), who });
        }
        crate::os::lock::pause(TRY);
    }
}

/// Clean recovery of what is found in our own `active/`. `crashed` stays true over several tries.
fn recover_first(ctx: &Ctx, crashed: &mut bool) -> Result<Vec<FileName>, StartError> {
    let state_path = ctx.layout().state(&ctx.config.worker);
    let state = State::read(&state_path).map_err(RecoveryError::State)?;
    // One that died while it recovered has written its crash down already.
    let died = state.is_some_and(|it| !matches!(it.status, WorkerStatus::Stopped | WorkerStatus::Recovering));
    let policy = Policy {
        max_retries: ctx.config.max_retries,
        living: LivingAgents::Adopt,
        now: ctx.clock.wall(),
        jitter: Ctx::jitter(),
        unstarted: false,
    };
    let say = |line: &str| tracing::info!("{line}");
    let hands = SystemHands {
        spool: Arc::clone(&ctx.spool),
        clock: Arc::clone(&ctx.clock),
        scratch: ctx.scratch.clone(),
        own_lock: None,
        say: &say,
    };
    let witness = SystemWitness::new(ctx.layout().clone());
    if died {
        let state = record_crash(&state_path, ctx.clock.wall(), ctx.config.durability)?;
        tracing::warn!(
            recovery_count = state.recovery_count,
            "the last watcher of this worker died; recovering"
        );
        ctx.metrics.recovered();
        *crashed = true;
    }
    let (plan, applied) = recover(&ctx.spool, &witness, &policy, &hands)?;
    if *crashed || plan.found_work() {
        ctx.note_worker(Noted::Recovered, &format!("{} action(s)", applied.done));
    }
    Ok(applied.living)
}

/// How much rests here already, for the board.
fn count_filed(ctx: &Ctx) {
    let count = |place| ctx.spool.list(place).map_or(0, |files| files.len() as u64);
    let (completed, failed, cancelled) =
        (count(Place::Completed), count(Place::Failed), count(Place::Cancelled));
    let mut shown = ctx.board.show();
    shown.queues.completed = completed;
    shown.queues.failed = failed;
    shown.queues.cancelled = cancelled;
}

fn work(starting: Starting, entered: Entered, log: LogHandle) -> Exit {
    let Starting { ctx, runtime, signals, face, mirrors, .. } = starting;
    let Entered { lock, living } = entered;
    ctx.board.turned(ctx.clock.ticks());
    let watchdog = watchdog::start(Arc::clone(&ctx.board), Arc::clone(&ctx.clock));
    let hints = Hints::start()
        .inspect_err(
            |error| tracing::warn!(error = %error, "no kernel events; looking every few seconds instead"),
        )
        .ok();
    tracing::info!(
        worker = %ctx.config.worker,
        root = %ctx.config.root.display(),
        agent = ctx.config.agent.as_str(),
        concurrency = ctx.config.concurrency,
        version = env!("CARGO_PKG_VERSION"),
        "at work"
    );
    let beat = Beat::new(Rc::clone(&ctx), lock, mirrors);
    let shell = Shell { ctx, beat, log, signals, hints, living };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, shell.run());
    drop(local);
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop((face, watchdog));
    Exit::Done
}

/// Serves metrics and health; a port that is taken is said, and does not stop the work.
fn start_face(ctx: &Ctx) -> Option<Face> {
    let addr = ctx.config.metrics_addr?;
    let source = WatcherFace {
        worker: ctx.config.worker.clone(),
        board: Arc::clone(&ctx.board),
        metrics: Arc::clone(&ctx.metrics),
        clock: Arc::clone(&ctx.clock),
    };
    match Face::start(addr, Arc::new(source)) {
        Ok(face) => {
            tracing::info!(addr = %face.addr(), "serving /metrics and /health");
            Some(face)
        }
        Err(error) => {
            tracing::error!(error = %error, "no metrics and no health over HTTP; the work goes on");
            let said = format!("{error}; it works on without metrics and health");
            ctx.note_worker(Noted::WorkerStatus, &said);
            None
        }
    }
}
