//! Starting the agent's process: stdin a named pipe, stdout and stderr plain files, nothing else handed on.
//!
//! Invariants:
//! - stdout is the run's `stream.ndjson`, locked before the spawn; the lock lives with the agent's descriptor and
//!   is the fact that it lives (`flock(2)`);
//! - the first message is in the pipe before the process is there, as far as the pipe takes it;
//! - nothing runs between fork and exec, so that `posix_spawn(3)` serves;
//! - an agent that cannot be started has cost nothing: the error says in words what is missing.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::trouble::{self, Trouble};
use crate::layout::RunPaths;
use crate::os::cgroup::group::Group;
use crate::os::confine::Confinement;
use crate::os::durable::{DIR_MODE, make_dir};
use crate::os::fifo::{self, Ends};
use crate::os::lock::Lock;
use crate::os::process::start::{Start, Started, append_to, start};
use crate::os::process::starter::Apart;
use crate::os::process::{Child, Reaper};

/// Everything that is needed to start an agent.
#[derive(Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it works.
    pub cwd: PathBuf,
    /// The run's folder.
    pub paths: RunPaths,
    /// The attempt, from 1.
    pub number: u32,
    /// What it is told first.
    pub first: Vec<u8>,
    /// The control group that it and all that it starts are to be in.
    pub group: Option<Group>,
    /// What they may write to; everything that their user may, where nothing is said.
    pub confined: Option<Confinement>,
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
    /// What of the first message is not in the pipe yet.
    pub unsent: Vec<u8>,
    /// Why it is not in its control group.
    pub outside: Option<io::Error>,
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

/// Starts an agent, from a thread that does nothing else.
pub fn launch(apart: Apart, reaper: &Reaper, launch: Launch) -> Result<Agent, LaunchError> {
    let (paths, number) = (&launch.paths, launch.number);
    prepare(&paths.attempt(number), |dir| make_dir(dir, DIR_MODE))?;
    prepare(&paths.stdin(), |path| fifo::make(path, 0o600))?;
    let Ends { read, write } = prepare(&paths.stdin(), fifo::open_ends)?;
    let sent = prepare(&paths.stdin(), |_| fifo::write_some(&write, &launch.first))?;
    let stream = lock_stream(&paths.stream(number))?;
    let heard = prepare(&paths.stream(number), |path| File::open(path))?;
    let stderr = paths.stderr(number);
    prepare(&stderr, append_to)?;
    let started = start(
        apart,
        reaper,
        Start {
            program: &launch.program,
            arguments: launch.arguments,
            environment: launch.environment,
            cwd: &launch.cwd,
            stdin: Stdio::from(read),
            stdout: stream,
            stderr: &stderr,
            group: launch.group.as_ref(),
            confined: launch.confined.as_ref(),
        },
    );
    let Started { child, outside } =
        started.map_err(|source| not_spawned(source, &launch.program, &launch.cwd))?;
    Ok(Agent { child, stdin: write, stream: heard, unsent: launch.first[sent..].to_vec(), outside })
}

/// What the kernel said, in words.
pub fn not_spawned(source: io::Error, program: &Path, cwd: &Path) -> LaunchError {
    let trouble = trouble::explain(&source, program, cwd);
    LaunchError::Spawn { program: program.to_owned(), trouble, source }
}

/// The stream, locked, as a file that takes the lock along wherever it is handed.
fn lock_stream(path: &Path) -> Result<File, LaunchError> {
    let file = prepare(path, append_to)?;
    let locked = prepare(path, |_| Lock::try_exclusive_on(file))?;
    locked.and_then(Lock::into_file).ok_or_else(|| LaunchError::Occupied(path.to_owned()))
}

fn prepare<T>(path: &Path, make: impl FnOnce(&Path) -> io::Result<T>) -> Result<T, LaunchError> {
    make(path).map_err(|source| LaunchError::Prepare { path: path.to_owned(), source })
}
