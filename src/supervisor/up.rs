//! `supervisor up` and `supervisor run`: lay out the root, make sure to be the only one, and run until somebody asks to
//! stop. Where another acts, `up` is refused and `run` stands by.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::shell::{Ended, Given, Shell, ShellError};

use super::single::Single;
use crate::clock::SharedClock;
use crate::config::{Changes, ConfigError, Environment, Exit, LogFormat as Wanted, Manner, SupervisorConfig};
use crate::layout::Layout;
use crate::os::durable;
use crate::os::holder::Holder;
use crate::os::manager::Manager;
use crate::os::signals::{self, Signal};
use crate::telemetry::log::{self, LogFormat, LogHandle, LogOptions, Rotation};

/// Reads the configuration again; what is different since the start.
pub type Again = Box<dyn Fn() -> Result<Changes, ConfigError>>;

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// A directory of the root.
    #[error("could not make `{}`", .path.display())]
    Layout {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The supervisor's lock.
    #[error("could not lock `{}`", .path.display())]
    Lock {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is one already.
    #[error("{}", held_text(.path, .holder.as_deref()))]
    Held {
        /// The lock.
        path: PathBuf,
        /// Who, where the file says so.
        holder: Option<Box<Holder>>,
    },
    /// Something that it needs to run.
    #[error(transparent)]
    Shell(#[from] ShellError),
}

impl UpError {
    /// With what the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Layout { source, .. } | Self::Lock { source, .. } => Exit::of_io(source),
            Self::Held { .. } => Exit::TryAgain,
            Self::Shell(_) => Exit::Internal,
        }
    }
}

/// Runs the supervisor in the foreground, until it was asked to stop and every watcher has ended.
pub fn run(config: SupervisorConfig, again: Again, env: &Environment, clock: SharedClock) -> Exit {
    match try_run(config, again, env, clock) {
        Ok(exit) => exit,
        Err(error) => {
            tell(&error);
            error.exit()
        }
    }
}

fn try_run(
    config: SupervisorConfig,
    again: Again,
    env: &Environment,
    clock: SharedClock,
) -> Result<Exit, UpError> {
    let failed = |what| move |source| UpError::Shell(ShellError::Start { what, source });
    let log = start_log(&config, env, &clock);
    let layout = Layout::new(&config.root);
    lay_out(&layout, &config)?;
    signals::clean().map_err(failed("clean signals"))?;
    let mut signals = signals::listen().map_err(failed("listening to signals"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed("the event loop"))?;
    let ended = runtime.block_on(async {
        let path = layout.supervisor_lock();
        let mut manager = Manager::of_this_process();
        let Some((single, took_over)) =
            be_the_one(&path, &config, &clock, (&mut signals, &mut manager)).await?
        else {
            return Ok(Exit::Done);
        };
        let given = Given { signals, single, took_over, log, manager, again };
        let ended = Shell::start(config, env, clock, given)?.run().await?;
        Ok(if ended == Ended::Displaced { Exit::TryAgain } else { Exit::Done })
    });
    // A thread that still waits for a host or sweeps may be cut anywhere.
    runtime.shutdown_background();
    ended
}

/// Takes the lock of the one acting supervisor: at once, or as a service when its turn comes; whether it had to wait.
/// `None`: somebody asked to stop before.
async fn be_the_one(
    path: &Path,
    config: &SupervisorConfig,
    clock: &SharedClock,
    (signals, manager): (&mut UnboundedReceiver<Signal>, &mut Manager),
) -> Result<Option<(Single, bool)>, UpError> {
    let failed = |source| UpError::Lock { path: path.to_owned(), source };
    let holder = match Single::take(path, clock.wall()).map_err(failed)? {
        Ok(single) => return Ok(Some((single, false))),
        Err(holder) => holder,
    };
    if config.manner == Manner::Up {
        return Err(UpError::Held { path: path.to_owned(), holder });
    }
    say(&format!("Standing by: {}; taking over when it is gone", held_text(path, holder.as_deref())));
    let turned = || manager.turned("standing by for another supervisor", clock.ticks());
    let taken = Single::wait(path, signals, || clock.wall(), turned).await.map_err(failed)?;
    say(if taken.is_some() { "Taking over: the supervisor is gone" } else { "Stopped while standing by" });
    Ok(taken.map(|single| (single, true)))
}

/// A service has a log, for programs; in front of a person it would only be in the way.
fn start_log(config: &SupervisorConfig, env: &Environment, clock: &SharedClock) -> Option<LogHandle> {
    if config.manner == Manner::Up {
        return None;
    }
    let format = match config.log.format {
        Wanted::Json => LogFormat::Json,
        Wanted::Pretty => LogFormat::Pretty,
        Wanted::Bracket => LogFormat::Bracket,
    };
    let options = LogOptions {
        format,
        level: config.log.level.as_str().to_owned(),
        file: Some(config.log.dir.join("supervisor.log")),
        rotation: Rotation { max_bytes: config.log.max_bytes, keep: config.log.keep },
        redactor: config.redactor.clone(),
        journal_stream: env.text("JOURNAL_STREAM").map(str::to_owned),
        color: env.terminals().stderr && env.get("NO_COLOR").is_none(),
    };
    // It supervises without one, too; what it has to say stands on stdout.
    log::install(&options, None, Arc::clone(clock)).ok()
}

/// Makes every directory of the root that is missing.
fn lay_out(layout: &Layout, config: &SupervisorConfig) -> Result<(), UpError> {
    let workers = config.workers.iter().flat_map(|worker| layout.worker_dirs(&worker.name));
    for path in layout.common_dirs().into_iter().chain(workers) {
        durable::make_dir(&path, durable::DIR_MODE).map_err(|source| UpError::Layout { path, source })?;
    }
    if let Err(error) = durable::make_dir(&layout.packs(), crate::pack::DIR_MODE) {
        tracing::warn!(error = %error, "could not make the folder for packs");
    }
    Ok(())
}

fn held_text(path: &Path, holder: Option<&Holder>) -> String {
    let who =
        holder.map_or_else(|| "another supervisor".to_owned(), |it| format!("the supervisor ({})", it.who()));
    format!("{who} looks after this root already: it holds `{}`", path.display())
}

/// A line for the person, before there is anything else to say it.
fn say(text: &str) {
    use std::io::Write;
    tracing::info!("{text}");
    // With no stdout there is nobody to tell.
    writeln!(anstream::stdout(), "{text}").ok();
}

/// An error and what caused it, on the terminal's stderr.
fn tell(error: &UpError) {
    use std::error::Error;
    use std::io::Write;
    // With no stderr there is nobody to tell.
    let mut err = anstream::stderr();
    writeln!(err, "supervisor: {error}").ok();
    let mut cause = error.source();
    while let Some(error) = cause {
        writeln!(err, "  caused by: {error}").ok();
        cause = error.source();
    }
}
