//! Starting the agent's process: stdin a named pipe, stdout and stderr plain files, nothing else handed on.
//!
//! Invariants:
//! - stdout is the run's `stream.ndjson`, locked before the spawn; the lock lives with the agent's descriptor and
//!   is the fact that it lives (`flock(2)`);
//! - the first message is in the pipe before the process is there, as far as the pipe takes it;
//! - nothing runs between fork and exec, so that `posix_spawn(3)` serves;
//! - an agent that cannot be started has cost nothing: the error says in words what is missing.

#![expect(clippy::disallowed_methods, reason = "the door through which agents are started")]

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::trouble::{self, Trouble};
use crate::layout::RunPaths;
use crate::os::durable::{DIR_MODE, FILE_MODE, make_dir};
use crate::os::fifo::{self, Ends};
use crate::os::lock::Lock;
use crate::os::process::priority::goes_first;
use crate::os::process::{Child, Reaper};

/// Everything that is needed to start an agent.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it works.
    pub cwd: &'a Path,
    /// The run's folder.
    pub paths: &'a RunPaths,
    /// The attempt, from 1.
    pub number: u32,
    /// What it is told first.
    pub first: &'a [u8],
}

/// A started agent.
#[derive(Debug)]
pub struct Agent {
    /// The process.
    pub child: Child,
    /// Our end of its stdin; it never blocks.
    pub stdin: File,
    /// Its stdout, to be read; opened before the spawn, since an agent that lives and cannot be heard would have to
    /// be taken for one that was never started.
    pub stream: File,
    /// How much of the first message is in the pipe.
    pub sent: usize,
}

/// Why an agent could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The run's files could not be made.
    #[error("could not prepare `{path}`")]
    Prepare {
        /// What was to be made.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process of this attempt lives.
    #[error("`{0}` is locked: an agent of this attempt lives already")]
    Occupied(PathBuf),
    /// The program could not be executed.
    #[error("could not start `{program}`: {}", .trouble.why)]
    Spawn {
        /// The program.
        program: PathBuf,
        /// In words.
        trouble: Trouble,
        /// As the kernel said it.
        #[source]
        source: io::Error,
    },
}

/// Starts an agent.
pub fn launch(reaper: &Reaper, launch: &Launch<'_>) -> Result<Agent, LaunchError> {
    let (paths, number) = (launch.paths, launch.number);
    prepare(&paths.attempt(number), |dir| make_dir(dir, DIR_MODE))?;
    prepare(&paths.stdin(), |path| fifo::make(path, 0o600))?;
    let Ends { read, write } = prepare(&paths.stdin(), fifo::open_ends)?;
    let sent = prepare(&paths.stdin(), |_| fifo::write_some(&write, launch.first))?;
    let stream = lock_stream(&paths.stream(number))?;
    let heard = prepare(&paths.stream(number), |path| File::open(path))?;
    let stderr = prepare(&paths.stderr(number), append_to)?;
    let mut command = Command::new(launch.program);
    command
        .args(&launch.arguments)
        .env_clear()
        .envs(launch.environment.iter().map(|(key, value)| (key, value)))
        .current_dir(launch.cwd)
        .process_group(0)
        .stdin(Stdio::from(read))
        .stdout(Stdio::from(stream))
        .stderr(Stdio::from(stderr));
    let child = reaper.spawn(&mut command).map_err(|source| LaunchError::Spawn {
        program: launch.program.to_owned(),
        trouble: trouble::explain(&source, launch.program, launch.cwd),
        source,
    })?;
    if let Err(error) = goes_first(child.id.pid) {
        tracing::debug!(pid = child.id.pid, error = %error, "the agent is as likely as we are to go when memory runs out");
    }
    Ok(Agent { child, stdin: write, stream: heard, sent })
}

/// The stream, locked, as a file that takes the lock along wherever it is handed.
fn lock_stream(path: &Path) -> Result<File, LaunchError> {
    let file = prepare(path, append_to)?;
    let locked = prepare(path, |_| Lock::try_exclusive_on(file))?;
    locked.and_then(Lock::into_file).ok_or_else(|| LaunchError::Occupied(path.to_owned()))
}

fn append_to(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW;
    OpenOptions::new().append(true).create(true).mode(FILE_MODE).custom_flags(flags).open(path)
}

fn prepare<T>(path: &Path, make: impl FnOnce(&Path) -> io::Result<T>) -> Result<T, LaunchError> {
    make(path).map_err(|source| LaunchError::Prepare { path: path.to_owned(), source })
}
