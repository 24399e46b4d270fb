//! `supervisor up`: lays out the root, makes sure to be the only one, and runs until somebody asks to stop.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::shell::{Shell, ShellError};
use crate::clock::{SharedClock, Timestamp};
use crate::config::{Environment, Exit, RestartBy, SupervisorConfig};
use crate::layout::Layout;
use crate::os::durable;
use crate::os::holder::{Holder, Role};
use crate::os::lock::Lock;

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
    /// This way to restart is not for us.
    #[error("--restart exec is the only way so far: systemd and docker restart watchers by themselves")]
    RestartBy,
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
            Self::RestartBy => Exit::Usage,
            Self::Shell(_) => Exit::Internal,
        }
    }
}

/// Runs the supervisor in the foreground, until it was asked to stop and every watcher has ended.
pub fn run(config: SupervisorConfig, env: &Environment, clock: SharedClock) -> Exit {
    match try_run(config, env, clock) {
        Ok(()) => Exit::Done,
        Err(error) => {
            tell(&error);
            error.exit()
        }
    }
}

fn try_run(config: SupervisorConfig, env: &Environment, clock: SharedClock) -> Result<(), UpError> {
    if config.restart != RestartBy::Exec {
        return Err(UpError::RestartBy);
    }
    let layout = Layout::new(&config.root);
    lay_out(&layout, &config)?;
    let _lock = take_lock(&layout.supervisor_lock(), clock.wall())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|source| ShellError::Start { what: "the event loop", source })?;
    runtime.block_on(async { Shell::start(config, env, clock)?.run().await })?;
    Ok(())
}

/// Makes every directory of the root that is missing.
fn lay_out(layout: &Layout, config: &SupervisorConfig) -> Result<(), UpError> {
    let workers = config.workers.iter().flat_map(|worker| layout.worker_dirs(&worker.name));
    for path in layout.common_dirs().into_iter().chain(workers) {
        durable::make_dir(&path, durable::DIR_MODE).map_err(|source| UpError::Layout { path, source })?;
    }
    Ok(())
}

/// Takes the lock of the one acting supervisor and writes down who that is.
fn take_lock(path: &Path, since: Timestamp) -> Result<Lock, UpError> {
    let failed = |source| UpError::Lock { path: path.to_owned(), source };
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(durable::FILE_MODE)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(path)
            .map_err(failed)?;
        let mirror = file.try_clone().map_err(failed)?;
        let Some(lock) = Lock::try_exclusive_on(file).map_err(failed)? else {
            return Err(UpError::Held { path: path.to_owned(), holder: Holder::read(path).map(Box::new) });
        };
        // Somebody may have unlinked it between our opening and our locking: then we locked a file of nobody's.
        if is_still(&mirror, path) {
            Holder::current(Role::Supervisor, None, since).write(&mirror).map_err(failed)?;
            return Ok(lock);
        }
    }
}

fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

fn held_text(path: &Path, holder: Option<&Holder>) -> String {
    let who = holder.map_or_else(
        || "another supervisor".to_owned(),
        |it| format!("the supervisor with pid {} (since {:.0})", it.process.pid, it.since),
    );
    format!("{who} looks after this root already: it holds `{}`", path.display())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("supervisor.lock");
        let since: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        let first = take_lock(&path, since).unwrap();
        let error = take_lock(&path, since).unwrap_err();
        assert_eq!(error.exit(), Exit::TryAgain);
        let pid = std::process::id();
        assert!(error.to_string().contains(&format!("pid {pid} (since 2026-03-01T10:00:00Z)")), "{error}");
        drop(first);
        take_lock(&path, since).map(drop).unwrap();
    }
}
