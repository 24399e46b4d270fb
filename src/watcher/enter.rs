//! The way in: the folders, the lock, the last life's legacy. On a disk that is full or fails it is taken again and again,
//! in sight of everybody; what was done once is not done anew.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::ctx::{Ctx, Entered};
use super::mirror::Mirrors;
use super::panic;
use super::revive::Revival;
use super::start::start_face;
use super::wait::{Wait, Woken};
use crate::agent::trouble::is_scarcity;
use crate::clock::{SharedClock, Ticks};
use crate::config::{Exit, WatcherConfig};
use crate::layout::Layout;
use crate::os::durable::{DIR_MODE, make_dir};
use crate::os::holder::{Holder, Role};
use crate::os::lock::Lock;
use crate::os::manager::Manager;
use crate::os::signals;
use crate::os::trouble::Trouble;
use crate::pack;
use crate::recovery::RecoveryError;
use crate::spool::probe::{probe, probe_locks};
use crate::spool::suitable::{self, Finding, Remote, Weight};
use crate::task::FileName;
use crate::telemetry::face::Face;
use crate::telemetry::traces::TracesGuard;

/// How long a start waits for another watcher's lock: one that was killed just now lets go within milliseconds.
const FOR_A_WATCHER: Duration = Duration::from_secs(2);
/// How long it waits for whoever recovers in its place.
const FOR_OTHERS: Duration = Duration::from_mins(1);
/// Between two tries.
const TRY: Duration = Duration::from_millis(20);

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
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
    #[error("agents cannot be confined, which `confine` asks for: {0}")]
    Unconfined(String),
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
            Self::Unsuitable(_)
            | Self::Held { .. }
            | Self::Process(_)
            | Self::Unconfined(_)
            | Self::Metrics(_) => None,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Folder { source, .. } | Self::Lock { source, .. } => {
                if Exit::of_io(source) == Exit::Denied { Exit::Denied } else { Exit::Configuration }
            }
            Self::Unsuitable(found) if found.iter().all(|it| it.weight != Weight::Wrong) => Exit::Denied,
            Self::Unsuitable(_) | Self::Held { .. } | Self::Unconfined(_) => Exit::Configuration,
            Self::Process(source) if is_scarcity(source) => Exit::TryAgain,
            Self::Process(_) | Self::Metrics(_) => Exit::Internal,
            Self::Recovery(_) => Exit::TryAgain,
        }
    }
}

/// An error with everything below it, on one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
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
    pub(super) sending: TracesGuard,
    pub(super) mirrors: Mirrors,
    pub(super) manager: Manager,
    pub(super) face: Option<Face>,
    pub(super) faced: bool,
    pub(super) revival: Option<Revival>,
}

impl Starting {
    /// Takes the lock and recovers; whose agents live. On a disk that is full or fails it waits, seen by everybody, until
    /// that is over; `None` if it is told to stop meanwhile.
    pub(super) fn enter(&mut self) -> Result<Option<Vec<FileName>>, StartError> {
        let mut wait = Wait::default();
        loop {
            match self.try_enter() {
                Ok(living) => return Ok(Some(living)),
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

    /// Whether the worker is ours and the last life's signs are read: from then on our own may replace them.
    pub(super) const fn may_sign(&self) -> bool {
        self.revival.is_some()
    }

    fn try_enter(&mut self) -> Result<Vec<FileName>, StartError> {
        let ctx = Rc::clone(&self.ctx);
        let (layout, config) = (ctx.layout(), &ctx.config);
        lay_out(layout, config)?;
        take_place(&ctx)?;
        let revival = match self.revival.take() {
            Some(revival) => revival,
            None => Revival::of(layout, &config.worker)?,
        };
        let revival = self.revival.insert(revival);
        // At once, so that whoever finds the lock taken can read by whom.
        if let Err(error) =
            self.mirrors.keep(&[(layout.watcher_lock(&config.worker), None)], ctx.clock.wall())
        {
            tracing::warn!(error = %error, "could not make the lock file that runbooks look at");
        }
        make_scratch(&ctx.scratch)?;
        let living = revival.recover_first(&ctx)?;
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

/// Takes the lock, and tries the root out, once.
fn take_place(ctx: &Ctx) -> Result<(), StartError> {
    if ctx.entered.get().is_some() {
        return Ok(());
    }
    let (layout, config) = (ctx.layout(), &ctx.config);
    check(probe_locks(layout, &config.worker))?;
    let lock = Arc::new(take_lock(layout, config, &ctx.clock)?);
    check(probe(layout, &config.worker))?;
    panic::report_into(layout.worker(&config.worker), Arc::clone(&ctx.clock));
    let remote = suitable::is_remote(layout);
    // Nobody else sets it.
    ctx.entered.set(Entered { lock, remote }).ok();
    Ok(())
}

pub(super) const fn remote(config: &WatcherConfig) -> Remote {
    if config.allow_nfs { Remote::Allowed } else { Remote::Refused }
}

/// Refuses a root on which a worker cannot work, before anything is claimed; says what is weaker than usual.
pub(super) fn check(found: Vec<Finding>) -> Result<(), StartError> {
    // What did not answer is asked for again by the steps that follow, which wait until it does.
    let is_wrong = |it: &Finding| it.forbids() && it.weight != Weight::Failing;
    let (wrong, weaker): (Vec<_>, Vec<_>) = found.into_iter().partition(is_wrong);
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
    // Nobody needs one, and it may be for root to make.
    if let Err(error) = make_dir(&layout.packs(), pack::DIR_MODE) {
        tracing::warn!(error = %error, "could not make the folder for packs");
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
            // Whoever takes it without a word is no watcher of ours.
            let unknown = || format!("; which process it is says `fuser -v {}`", path.display());
            let who = holder.map_or_else(unknown, |it| format!(" ({})", it.who()));
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
