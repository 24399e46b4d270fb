//! What can be found out about an attempt that nobody recorded the end of.

use std::collections::HashSet;
use std::io;
use std::sync::OnceLock;

use crate::agent::replay;
use crate::agent::verdict::{Denied, Judgement};
use crate::layout::Layout;
use crate::os::lock;
use crate::os::process::ProcessId;
use crate::os::process::tree::{self, Orphans, Seen, Signs};
use crate::os::trouble::if_there;
use crate::pack::{DeniedTools, Stamp};
use crate::task::{Attempt, RunId};

/// Whether the agent of an attempt lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Its stream is locked, and nothing says that its process is gone.
    Lives,
    /// Its stream is free, or its process is provably gone.
    Dead,
}

/// What is known of an open attempt.
#[derive(Clone, Debug)]
pub struct Testimony {
    /// Whether its agent lives.
    pub liveness: Liveness,
    /// What its stream says, if the agent came to a result.
    pub heard: Option<Judgement>,
    /// Processes of the run that are left, the agent itself not counted while it lives.
    pub strays: Vec<ProcessId>,
    /// The pack that its agent was started with.
    pub pack: Box<Stamp>,
}

/// Looks at the world for an attempt.
pub trait Witness {
    /// What is known of attempt `attempt` of `run`. An error is a stream that is there and cannot be read: what the
    /// agent came to is not known, and must not be done a second time.
    fn testify(&self, run: RunId, attempt: &Attempt) -> io::Result<Testimony>;
}

/// The real world: flocks, `/proc` and the stream files.
///
/// Processes are looked at once, at its first question: of a run whose watcher is dead none can come that does not
/// descend from one that is there. Who wants to know what is left later asks a new witness.
#[derive(Debug)]
pub struct SystemWitness {
    layout: Layout,
    processes: OnceLock<Vec<Seen>>,
}

impl SystemWitness {
    /// A witness for the runs under `layout`.
    pub const fn new(layout: Layout) -> Self {
        Self { layout, processes: OnceLock::new() }
    }

    fn processes(&self) -> &[Seen] {
        self.processes.get_or_init(|| tree::snapshot(0))
    }

    fn heard(&self, run: RunId, number: u32, pack: &Stamp) -> io::Result<Option<Judgement>> {
        let paths = self.layout.run(&run);
        let Some(evidence) = if_there(replay::read(&paths.stream(number)))? else { return Ok(None) };
        let said = evidence.last_result.is_some();
        let denied = match pack.pack.denied_tools {
            DeniedTools::Report => Denied::Counts,
            DeniedTools::Fail => pack.file.as_deref().map_or(Denied::Fails, Denied::FailsBy),
        };
        Ok(said.then(|| replay::judge_stream(&evidence, &paths.stderr(number), denied)))
    }
}

impl Witness for SystemWitness {
    fn testify(&self, run: RunId, attempt: &Attempt) -> io::Result<Testimony> {
        let stream = self.layout.run(&run).stream(attempt.number);
        // What cannot be asked is taken for held: nothing is started twice for a disk that fails.
        let locked = lock::is_held(&stream).unwrap_or(true);
        let found = agent_among(self.processes(), run, attempt);
        // A stray that inherited the agent's stdout keeps the lock of an agent that is gone: if we can see
        // that it is gone, it is. Over the border of a PID namespace only the lock speaks.
        let gone = match &found {
            Found::Agent(agent) => agent.is_alive() == Some(false),
            Found::OthersOnly => true,
            Found::Nobody => false,
        };
        let agent = found.agent();
        let liveness = if locked && !gone { Liveness::Lives } else { Liveness::Dead };
        let strays = match liveness {
            Liveness::Lives => Vec::new(),
            Liveness::Dead => strays_among(self.processes(), run, agent.as_ref()),
        };
        let pack = Box::new(Stamp::read(&self.layout.run(&run).pack(attempt.number))?);
        Ok(Testimony { liveness, heard: self.heard(run, attempt.number, &pack)?, strays, pack })
    }
}

/// The process that an attempt recorded.
pub fn process_of(attempt: &Attempt) -> Option<ProcessId> {
    Some(ProcessId {
        pid: attempt.pid?,
        start_ticks: attempt.start_ticks?,
        boot_id: attempt.boot_id.clone()?,
        pid_ns: attempt.pid_ns?,
    })
}

/// What a look for the agent of an attempt found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It, alive or dead: as recorded, or as its arguments tell.
    Agent(ProcessId),
    /// It was not recorded, and among the processes of its run it is not.
    OthersOnly,
    /// It was not recorded, and no process of its run can be seen from here.
    Nobody,
}

impl Found {
    /// The agent.
    pub fn agent(self) -> Option<ProcessId> {
        match self {
            Self::Agent(agent) => Some(agent),
            Self::OthersOnly | Self::Nobody => None,
        }
    }
}

/// The agent of an attempt. Its watcher may have died between the start and the record of it: then it is the process
/// of the run that was given the session.
pub fn find_agent(run: RunId, attempt: &Attempt) -> Found {
    agent_among(&tree::snapshot(0), run, attempt)
}

fn agent_among(seen: &[Seen], run: RunId, attempt: &Attempt) -> Found {
    if let Some(recorded) = process_of(attempt) {
        // A number of an earlier boot means nothing: only the lock speaks.
        return if recorded.is_of_this_boot() { Found::Agent(recorded) } else { Found::Nobody };
    }
    let left = strays_among(seen, run, None);
    let session = attempt.session_id.to_string();
    match left.iter().find(|process| tree::has_argument(process, &session)) {
        Some(agent) => Found::Agent(agent.clone()),
        None if left.is_empty() => Found::Nobody,
        None => Found::OthersOnly,
    }
}

/// The processes of a run that are left, by every sign that survives its watcher.
pub fn strays(run: RunId, agent: Option<&ProcessId>) -> Vec<ProcessId> {
    strays_among(&tree::snapshot(agent.map_or(0, |it| it.start_ticks)), run, agent)
}

fn strays_among(seen: &[Seen], run: RunId, agent: Option<&ProcessId>) -> Vec<ProcessId> {
    let others = HashSet::new();
    let signs = Signs {
        run: &run.to_string(),
        agent,
        since: agent.map_or(0, |it| it.start_ticks),
        own_pid: std::process::id().cast_signed(),
        others: &others,
        orphans: Orphans::Unknown,
    };
    tree::members(seen, &signs)
}
