//! The start of a worker: its lock, clean recovery, then everything else.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::board::Board;
use super::ctx::Ctx;
use super::face::WatcherFace;
use super::mirror::Mirrors;
use super::revive::recover_first;
use super::shell::{Left, Shell};
use super::{beat::Beat, keeping, panic, watchdog};
use crate::clock::{SharedClock, Ticks};
use crate::config::{Environment, Exit, LogFormat as Wanted, WatcherConfig};
use crate::layout::Layout;
use crate::os::durable::{DIR_MODE, make_dir};
use crate::os::holder::{Holder, Role};
use crate::os::inherited;
use crate::os::lock::Lock;
use crate::os::process::{Reaper, reaper};
use crate::os::signals;
use crate::os::watch::Hints;
use crate::recovery::crash::Past;
use crate::spool::probe::{probe, probe_locks};
use crate::spool::suitable::{self, Finding, Remote, Weight};
use crate::spool::{Disk, Spool};
use crate::task::FileName;
use crate::telemetry::face::{Face, Hosts};
use crate::telemetry::journal::{Event as Noted, Journal};
use crate::telemetry::log::{self, LogFormat, LogHandle, LogOptions, Rotation};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Traces, TracesGuard};

/// How long a start waits for another watcher's lock: one that was killed just now lets go within milliseconds.
const FOR_A_WATCHER: Duration = Duration::from_secs(2);
/// How long it waits for whoever recovers in its place.
const FOR_OTHERS: Duration = Duration::from_mins(1);
/// Threads for what the disk and the kernel keep waiting: a flood of drops must not become one of threads.
const BLOCKING: usize = 20;
/// They stay: where this user may have no more threads, one that is there already still works.
const STAYING: Duration = Duration::from_hours(24 * 365);
/// Between two tries.
const TRY: Duration = Duration::from_millis(20);

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{}", said(.0))]
    Unsuitable(Vec<Finding>),
    #[error("could not make `{path}`; make it for the worker's user, or name another root")]
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
    Recovery(#[from] crate::recovery::RecoveryError),
}

impl StartError {
    fn exit(&self) -> Exit {
        match self {
            Self::Folder { source, .. } | Self::Lock { source, .. } => {
                if Exit::of_io(source) == Exit::Denied { Exit::Denied } else { Exit::Configuration }
            }
            Self::Unsuitable(found) if found.iter().all(|it| it.weight != Weight::Wrong) => Exit::Denied,
            Self::Unsuitable(_) | Self::Held { .. } => Exit::Configuration,
            Self::Process(_) | Self::Metrics(_) => Exit::Internal,
            Self::Recovery(_) => Exit::TryAgain,
        }
    }
}

/// Runs a worker to its end.
pub fn run(config: WatcherConfig, environment: &Environment, clock: SharedClock) -> Exit {
    crate::os::memory::give_back();
    let log = match start_log(&config, environment, Arc::clone(&clock)) {
        Ok(log) => log,
        Err(exit) => return exit,
    };
    match open(config, environment, clock) {
        Ok(opened) => work(opened, log),
        Err(error) => {
            tracing::error!("the worker does not start: {}", with_causes(&error));
            error.exit()
        }
    }
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
        rotation: Rotation { max_bytes: config.log.max_bytes, keep: config.log.keep },
        color: environment.terminals().stderr && environment.get("NO_COLOR").is_none(),
        redactor: environment.redactor(),
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

/// Everything that was opened, in the order in which it was.
struct Opened {
    ctx: Ctx,
    mirrors: Mirrors,
    signals: tokio::sync::mpsc::UnboundedReceiver<signals::Signal>,
    living: Vec<FileName>,
    sending: TracesGuard,
}

fn open(config: WatcherConfig, environment: &Environment, clock: SharedClock) -> Result<Opened, StartError> {
    signals::clean().map_err(StartError::Process)?;
    inherited::keep().map_err(StartError::Process)?;
    inherited::dump_nothing().map_err(StartError::Process)?;
    let signals = signals::listen().map_err(StartError::Process)?;
    reaper::become_subreaper().map_err(StartError::Process)?;
    let layout = Layout::new(&config.root);
    check(suitable::survey(&layout, &config.worker, remote(&config)))?;
    lay_out(&layout, &config)?;
    check(probe_locks(&layout, &config.worker))?;
    let lock = take_lock(&layout, &config, &clock)?;
    check(probe(&layout, &config.worker))?;
    panic::report_into(layout.worker(&config.worker), Arc::clone(&clock));
    let past = Past::of(&layout, &config.worker);
    let mut mirrors = Mirrors::new(config.worker.clone());
    // At once, so that whoever finds the lock taken can read by whom.
    if let Err(error) = mirrors.keep(&[(layout.watcher_lock(&config.worker), None)], clock.wall()) {
        tracing::warn!(error = %error, "could not make the lock file that runbooks look at");
    }
    let scratch = config.scratch_dir.clone().unwrap_or_else(|| layout.default_scratch(&config.worker));
    make_scratch(&scratch)?;
    let is_remote = suitable::is_remote(&layout);
    let disk = Disk::new(layout.root(), config.durability);
    let spool = Arc::new(Spool::new(layout.clone(), config.worker.clone(), disk, Arc::clone(&clock)));
    let (traces, sending) = Traces::start(
        config.traces_exporter.as_deref(),
        config.otlp_endpoint.as_deref(),
        environment,
        config.worker.as_str(),
        Box::new(|line| tracing::warn!("{line}")),
    );
    let ctx = Ctx {
        journal: Journal::new(layout, config.worker.clone()),
        environment: environment.clone(),
        redactor: environment.redactor(),
        clock,
        spool,
        reaper: Arc::new(Reaper::default()),
        metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))?),
        board: Arc::new(Board::new()),
        scratch,
        lock: Arc::new(lock),
        remote: is_remote,
        config,
        traces,
    };
    let living = recover_first(&ctx, past)?;
    Ok(Opened { ctx, mirrors, signals, living, sending })
}

const fn remote(config: &WatcherConfig) -> Remote {
    if config.allow_nfs { Remote::Allowed } else { Remote::Refused }
}

/// Refuses a root on which a worker cannot work, before anything is claimed; says what is weaker than usual.
fn check(found: Vec<Finding>) -> Result<(), StartError> {
    let (wrong, weaker): (Vec<_>, Vec<_>) = found.into_iter().partition(Finding::forbids);
    for finding in weaker {
        tracing::warn!(remedy = finding.remedy, "{}", finding.what);
    }
    if wrong.is_empty() { Ok(()) } else { Err(StartError::Unsuitable(wrong)) }
}

fn said(found: &[Finding]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and ")
}

fn lay_out(layout: &Layout, config: &WatcherConfig) -> Result<(), StartError> {
    let dirs = layout.common_dirs().into_iter().chain(layout.worker_dirs(&config.worker));
    for path in dirs {
        make_dir(&path, DIR_MODE).map_err(|source| StartError::Folder { path, source })?;
    }
    Ok(())
}

/// Our own folder for scratch: private, and no link that somebody else laid there.
fn make_scratch(path: &Path) -> Result<(), StartError> {
    let folder = |source| StartError::Folder { path: path.to_owned(), source };
    // The folder above is for all workers, which may have users of their own.
    if let Some(above) = path.parent() {
        make_dir(above, DIR_MODE).map_err(folder)?;
    }
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
    let mut waiting = Waiting::default();
    loop {
        let locked =
            Lock::try_exclusive(&path).map_err(|source| StartError::Lock { path: path.clone(), source })?;
        if let Some(lock) = locked {
            return Ok(lock);
        }
        let holder = Holder::read(&layout.watcher_lock(&config.worker));
        let role = holder.as_ref().map_or(Role::Watcher, |it| it.role);
        if waiting.is_over(role, clock.ticks()) {
            let who =
                holder.map(|it| format!(" (pid {}, since {})", it.process.pid, it.since)).unwrap_or_default();
            return Err(StartError::Held { role, worker: config.worker.clone(), who });
        }
        crate::os::lock::pause(TRY);
    }
}

/// For whom we wait, and since when.
#[derive(Debug, Default)]
struct Waiting {
    since: Option<(Role, Ticks)>,
}

impl Waiting {
    /// Whether a holder of this role has been waited for long enough. One that takes over from another, or whose name
    /// is gone since it is about to let go, has its own time.
    fn is_over(&mut self, role: Role, now: Ticks) -> bool {
        let (_, since) = *self.since.take_if(|(it, _)| *it == role).get_or_insert((role, now));
        self.since = Some((role, since));
        let patience = if role == Role::Watcher { FOR_A_WATCHER } else { FOR_OTHERS };
        now.since(since) >= patience
    }
}

fn work(opened: Opened, log: LogHandle) -> Exit {
    let Opened { ctx, mirrors, signals, living, sending } = opened;
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().max_blocking_threads(BLOCKING).thread_keep_alive(STAYING).build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(error = %error, "the worker does not start: no runtime");
            return Exit::Internal;
        }
    };
    ctx.board.turned(ctx.clock.ticks());
    let face = start_face(&ctx);
    let folder = ctx.layout().worker(&ctx.config.worker);
    let watchdog = watchdog::start(Arc::clone(&ctx.board), Arc::clone(&ctx.clock), folder);
    let keeping = keeping::start(&ctx)
        .inspect_err(|error| tracing::error!(error = %error, "no thread for retention: nothing is pruned"));
    let ctx = Rc::new(ctx);
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
    let beat = Beat::new(Rc::clone(&ctx), mirrors);
    let shell = Shell { ctx, beat, _sending: sending, log, signals, hints, living };
    let local = tokio::task::LocalSet::new();
    let left = local.block_on(&runtime, shell.run());
    drop(local);
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop((face, watchdog, keeping));
    match left {
        Left::Stopped => Exit::Done,
        Left::LostLock => Exit::Unavailable,
    }
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
    match Face::start(addr, Hosts::new(&ctx.config.allowed_hosts), Arc::new(source)) {
        Ok(face) => {
            tracing::info!(addr = %face.addr(), "serving /metrics and /health");
            ctx.board.show().served = Some(face.addr());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_of_a_lock_is_waited_for_as_it_deserves() {
        let mut waiting = Waiting::default();
        for (second, role, over) in [
            (0, Role::Recovery, false),
            (30, Role::Recovery, false),
            // It has removed its name, and is about to let go.
            (31, Role::Watcher, false),
            (32, Role::Watcher, false),
            (33, Role::Watcher, true),
            (34, Role::Operator, false),
            (94, Role::Operator, true),
        ] {
            let now = Ticks(Duration::from_secs(second));
            assert_eq!(waiting.is_over(role, now), over, "{second} {role}");
        }
    }
}
