//! The start of a worker: it is prepared, finds its way in, and works.

use std::cell::OnceCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::board::Board;
use super::budgets::Budgets;
use super::cli::Cli;
use super::ctx::Ctx;
use super::enter::{StartError, Starting, check, remote, with_causes};
use super::face::WatcherFace;
use super::fence::Fence;
use super::groups::Groups;
use super::herald::Herald;
use super::live::Live;
use super::machine::Machine;
use super::mirror::Mirrors;
use super::seats::Seats;
use super::shell::{Parting, Shell};
use super::{beat::Beat, disks::Disks, keeping, watchdog};
use crate::checkout::Git;
use crate::clock::SharedClock;
use crate::config::{AgentKind, Environment, Exit, LogFormat as Wanted, OnRateLimit, WatcherConfig};
use crate::layout::Layout;
use crate::limits::{Account, Limiter, Store};
use crate::os::inherited;
use crate::os::limits::room_for_a_thread;
use crate::os::manager::Manager;
use crate::os::process::{Reaper, Starters, reaper};
use crate::os::signals;
use crate::os::space::Reserve;
use crate::os::watch::Hints;
use crate::pack::Shelf;
use crate::spool::{Disk, Spool, suitable};
use crate::task::FileName;
use crate::telemetry::face::{Face, Hosts};
use crate::telemetry::journal::{Event as Noted, Journal};
use crate::telemetry::log::{self, LogError, LogFormat, LogHandle, LogOptions, Rotation};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// Threads for what the disk and the kernel keep waiting: a flood of drops must not become one of threads.
const BLOCKING: usize = 20;
/// They stay: where this user may have no more threads, one that is there already still works.
const STAYING: Duration = Duration::from_hours(24 * 365);

/// Runs a worker to its end.
pub fn run(config: Live, environment: &Environment, clock: SharedClock) -> Exit {
    crate::os::memory::give_back();
    let log = match start_log(&config, environment, Arc::clone(&clock)) {
        Ok(log) => log,
        Err(exit) => return exit,
    };
    let mut starting = match prepare(config, environment, clock) {
        Ok(starting) => starting,
        Err(error) => return failed(&error),
    };
    match starting.enter() {
        Ok(Some(living)) => work(starting, living, log),
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
        rotation: Rotation { max_bytes: config.log.max_bytes, keep: config.log.keep },
        journal_stream: environment.text("JOURNAL_STREAM").map(str::to_owned),
        color: environment.terminals().stderr && environment.get("NO_COLOR").is_none(),
        redactor: environment.redactor(),
    };
    log::install(&options, Some(&config.worker), clock).map_err(|error| {
        let worker = &config.worker;
        // There is no other place to say it.
        writeln!(std::io::stderr(), "{worker}: the worker does not start: {}", with_causes(&error)).ok();
        if matches!(error, LogError::Thread(_)) { Exit::TryAgain } else { Exit::Internal }
    })
}

/// With one thread for errands that stays: no errand will ever be without.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(BLOCKING).thread_keep_alive(STAYING);
    let runtime = builder.build()?;
    room_for_a_thread()?;
    runtime.block_on(runtime.spawn_blocking(|| ())).ok();
    Ok(runtime)
}

fn prepare(config: Live, environment: &Environment, clock: SharedClock) -> Result<Starting, StartError> {
    signals::clean().map_err(StartError::Process)?;
    inherited::keep().map_err(StartError::Process)?;
    inherited::dump_nothing().map_err(StartError::Process)?;
    let signals = signals::listen().map_err(StartError::Process)?;
    reaper::become_subreaper().map_err(StartError::Process)?;
    let runtime = runtime().map_err(StartError::Process)?;
    let layout = Layout::new(&config.root);
    check(suitable::survey(&layout, &config.worker, remote(&config)))?;
    let scratch = config.scratch_dir.clone().unwrap_or_else(|| layout.default_scratch(&config.worker));
    let disk = Disk::new(layout.root(), config.durability);
    let spool = Arc::new(Spool::new(layout.clone(), config.worker.clone(), disk, Arc::clone(&clock)));
    let (traces, sending) = Traces::start(
        config.traces_exporter.as_deref(),
        config.otlp_endpoint.as_deref(),
        environment,
        config.worker.as_str(),
        Box::new(|line| tracing::warn!("{line}")),
    );
    let reserve = Reserve { bytes: config.reserve, inodes: config.reserve_inodes };
    let mirrors = Mirrors::new(config.worker.clone());
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))?);
    let redactor = environment.redactor();
    let herald = Herald::new(&config, &layout, (Arc::clone(&metrics), redactor.clone()), Arc::clone(&clock));
    let me = nix::unistd::geteuid().as_raw();
    let packs = Arc::new(Shelf::new(layout.clone(), Arc::clone(&clock), vec![me]));
    let reaper = Arc::new(Reaper::default());
    let fence = Fence::settle(&config).map_err(StartError::Unconfined)?;
    let git = Git::new(environment, Some(Arc::clone(&reaper)), Arc::clone(&clock))
        .kept_to(fence.outside(&config, &layout));
    let seats =
        Seats::new(layout.clone(), Arc::clone(&packs), git.clone(), (Arc::clone(&clock), herald.clone()));
    let mut ctx = Ctx {
        herald,
        packs,
        git,
        seats: Arc::new(seats),
        budgets: Budgets::new(layout.clone()),
        journal: Journal::new(layout, config.worker.clone()),
        environment: environment.clone(),
        redactor,
        clock,
        spool,
        reaper,
        starters: Starters::default(),
        metrics,
        board: Arc::new(Board::new()),
        disks: Disks::new(config.root.clone(), reserve),
        machine: Machine::new(&config, environment),
        scale: Arc::default(),
        groups: Arc::new(Groups::settle(&config)),
        fence,
        cli: Cli::default(),
        scratch,
        traces,
        limits: None,
        entered: OnceCell::new(),
        config,
    };
    ctx.disks = Disks::new(ctx.config.root.clone(), reserve)
        .and("artifacts", Some(ctx.layout().artifacts()))
        .and("workspaces", Some(ctx.layout().workspaces()))
        .and("log", Some(ctx.config.log.dir.clone()))
        .and("scratch", Some(ctx.scratch.clone()))
        .and("home", ctx.config_dir());
    ctx.limits = (ctx.config.agent == AgentKind::Claude).then(|| Arc::new(limiter(&ctx)));
    ctx.board.turned(ctx.clock.ticks());
    let ctx = Rc::new(ctx);
    let manager = Manager::of_this_process();
    Ok(Starting { ctx, runtime, signals, sending, mirrors, manager, face: None, faced: false, revival: None })
}

fn limiter(ctx: &Ctx) -> Limiter {
    let account = Account::of(&ctx.environment, ctx.config_dir().as_deref());
    let (config, store) = (&ctx.config, Store::new(ctx.layout().limits()));
    let how = (config.api_requests_per_minute, config.on_rate_limit == OnRateLimit::Fail);
    Limiter::new(store, account, config.worker.clone(), how, Arc::clone(&ctx.clock))
}

fn work(starting: Starting, living: Vec<FileName>, log: LogHandle) -> Exit {
    let Starting { ctx, runtime, signals, sending, face, mirrors, manager, .. } = starting;
    ctx.board.turned(ctx.clock.ticks());
    let folder = ctx.layout().worker(&ctx.config.worker);
    super::attend::sweep_pipes(ctx.layout(), &ctx.config.worker);
    let watchdog = watchdog::start(Arc::clone(&ctx.board), Arc::clone(&ctx.clock), folder);
    let keeping = keeping::start(&ctx)
        .inspect_err(|error| tracing::error!(error = %error, "no thread for retention: nothing is pruned"));
    let inside = runtime.enter();
    let hints = Hints::start()
        .inspect_err(
            |error| tracing::warn!(error = %error, "no kernel events; looking every few seconds instead"),
        )
        .ok();
    drop(inside);
    tracing::info!(
        worker = %ctx.config.worker,
        root = %ctx.config.root.display(),
        agent = ctx.config.agent.as_str(),
        concurrency = ctx.config.concurrency,
        version = env!("CARGO_PKG_VERSION"),
        "at work"
    );
    let beat = Beat::new(Rc::clone(&ctx), mirrors, manager);
    let shell = Shell { ctx, beat, _sending: sending, log, signals, hints, living };
    let local = tokio::task::LocalSet::new();
    let parting = local.block_on(&runtime, shell.run());
    drop(local);
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop((face, watchdog, keeping));
    match parting {
        Parting::Stopped => Exit::Done,
        Parting::LostLock => Exit::Unavailable,
    }
}

/// Serves metrics and health; a port that is taken is said, and does not stop the work.
pub(super) fn start_face(ctx: &Ctx) -> Option<Face> {
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
