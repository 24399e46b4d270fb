//! What the doctor saw: values, to be judged. They know no rule.

use std::path::PathBuf;
use std::time::Duration;

use crate::os::confine::Strength;
use crate::os::folder::Standing;
use crate::os::limits::Inotify;
use crate::os::space::{Reserve, Space};
use crate::spool::suitable;
use crate::task::WorkerName;
use crate::telemetry::face::holder::Listener;
use crate::telemetry::state_file::Hold;
use crate::telemetry::vital::Vital;

/// Everything.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) root: PathBuf,
    /// `agentctl` as it has to be typed for this root.
    pub(super) agentctl: String,
    /// Who looks.
    pub(super) uid: u32,
    pub(super) claude: ClaudeSeen,
    /// Whether `tasks/` is a folder.
    pub(super) is_laid_out: bool,
    pub(super) folders: Vec<FolderSeen>,
    /// What the file system and the folders cannot do, tried out where we may.
    pub(super) unsuitable: Vec<suitable::Finding>,
    pub(super) reserve: Reserve,
    pub(super) spaces: Vec<(PathBuf, Result<Space, String>)>,
    /// How far the time of a new file is ahead of our clock, in seconds; `None` where none could be made.
    pub(super) file_clock_s: Option<i64>,
    pub(super) workers: Vec<WorkerSeen>,
    pub(super) supervisor: Acting,
    pub(super) ports: Vec<PortSeen>,
    /// Names of workers that lead nowhere from here, for the root that runbooks know.
    pub(super) astray: Vec<String>,
    /// Lock files of workers that nobody is.
    pub(super) free_locks: Vec<PathBuf>,
    /// Processes of runs that nobody works on, with the run.
    pub(super) strays: Vec<(i32, String)>,
    pub(super) log_dir: (PathBuf, Standing),
    pub(super) machine: Machine,
    /// Whether the kernel can keep agents from writing where they need not.
    pub(super) confine: Result<Strength, String>,
}

/// Whether a supervisor acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acting {
    /// Nobody holds its lock.
    Nobody,
    /// Somebody does; its process, where it wrote that down.
    Somebody(Option<i32>),
}

/// The Claude CLI.
#[derive(Clone, Debug)]
pub(super) struct ClaudeSeen {
    /// The program, or what was looked for in vain.
    pub(super) program: Result<PathBuf, String>,
    pub(super) is_executable: bool,
    /// What it said to `--version`; `None` where it was not asked.
    pub(super) version: Option<Result<String, String>>,
    pub(super) login: Login,
}

/// Whether the CLI is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// It says so, or says not; by which method.
    Told { is_in: bool, method: String },
    /// It was not asked, or did not answer: whether there are credentials in its folder, and a key in the environment.
    Guessed { credentials: bool, key: bool },
}

/// One folder of the tree.
#[derive(Clone, Debug)]
pub(super) struct FolderSeen {
    pub(super) path: PathBuf,
    pub(super) standing: Standing,
    pub(super) uid: u32,
    /// Who should own it: the owner of the worker's own folder.
    pub(super) owner: Option<u32>,
}

/// One worker.
#[derive(Clone, Debug)]
pub(super) struct WorkerSeen {
    pub(super) name: WorkerName,
    pub(super) vital: Vital,
    /// How old its heartbeat is on the boot clock, and by the time of day that stands in it, in seconds.
    pub(super) beat: Option<(i64, i64)>,
    pub(super) hold: Option<Hold>,
    /// How long an agent of it may take.
    pub(super) agent_timeout: Option<Duration>,
    /// How long after a bad end systemd ends its agents, where it does.
    pub(super) left_for: Option<Duration>,
    /// Where each of its runs gets a control group of its own.
    pub(super) cgroup: Option<String>,
    /// By what its agents are kept from writing where they need not.
    pub(super) confined: Option<String>,
    pub(super) pipes: Vec<PipeSeen>,
    pub(super) scratch: ScratchSeen,
}

/// One of its pipes.
#[derive(Clone, Debug)]
pub(super) struct PipeSeen {
    pub(super) path: PathBuf,
    pub(super) stands: Pipe,
    /// Whether the worker reads from it.
    pub(super) is_command: bool,
}

/// What stands in a pipe's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipe {
    Missing,
    Other,
    Fifo { mode: u32, has_reader: bool },
}

/// The scratch of a worker's agents.
#[derive(Clone, Debug)]
pub(super) struct ScratchSeen {
    pub(super) path: PathBuf,
    /// Whether it is a folder, its owner and its mode; `None`: it is not there yet.
    pub(super) stands: Option<(bool, u32, u32)>,
}

/// A port on which something of ours is served unless it is told otherwise.
#[derive(Clone, Debug)]
pub(super) struct PortSeen {
    pub(super) port: u16,
    pub(super) whose: String,
    pub(super) listener: Listener,
    /// Its process, while it lives.
    pub(super) pid: Option<i32>,
}

/// What the kernel allows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Machine {
    pub(super) inotify: Option<Inotify>,
    pub(super) descriptors: Option<u64>,
    pub(super) pid_max: Option<u64>,
    pub(super) cgroup: Option<u8>,
}

/// How long the CLI may take to answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);
