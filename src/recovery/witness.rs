//! What can be found out about an attempt that nobody recorded the end of.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use super::groups;
use super::owed::{self, Owed};
use crate::agent::evidence::Evidence;
use crate::agent::replay;
use crate::agent::verdict::{self, Denied, EndedBy, Ending, Judgement};
use crate::config::show_size;
use crate::layout::Layout;
use crate::os::cgroup::group::Group;
use crate::os::lock;
use crate::os::oom::Killed;
use crate::os::process::ProcessId;
use crate::os::process::tree::{self, Orphans, Seen, Signs};
use crate::os::trouble::if_there;
use crate::pack::{DeniedTools, Stamp};
use crate::task::{Attempt, RunId, Tokens};

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
    /// What its stream says that it used, whether or not it came to a result; `None` where there is no stream.
    pub tokens: Option<Tokens>,
    /// Processes of the run that are left, the agent itself not counted while it lives.
    pub strays: Vec<ProcessId>,
    /// Whether the kernel's log, or the count of its control group, says that the kernel ended the agent for want of memory
    /// that others had.
    pub is_oom_killed: bool,
    /// The pack that its agent was started with.
    pub pack: Box<Stamp>,
    /// What is still to be done before what it came to counts.
    pub owed: Option<Owed>,
}

/// Looks at the world for an attempt.
pub trait Witness {
    /// What is known of attempt `attempt` of `run`. An error is a stream that is there and cannot be read, or a `/proc`
    /// that does not answer: what the agent came to, or who is left of it, is not known, and must not be done a second
    /// time.
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
    oom_killed: OnceLock<Killed>,
}

impl SystemWitness {
    /// A witness for the runs under `layout`.
    pub const fn new(layout: Layout) -> Self {
        Self { layout, processes: OnceLock::new(), oom_killed: OnceLock::new() }
    }

    fn processes(&self) -> io::Result<&[Seen]> {
        if let Some(processes) = self.processes.get() {
            return Ok(processes);
        }
        let processes = tree::snapshot(0)?;
        Ok(self.processes.get_or_init(|| processes))
    }

    /// Asked only about those whose end nobody saw: the kernel's log is long, and is read once.
    fn is_oom_killed(&self, agent: &ProcessId) -> bool {
        self.oom_killed.get_or_init(|| Killed::read().unwrap_or_default()).has(agent)
    }
}

impl Witness for SystemWitness {
    fn testify(&self, run: RunId, attempt: &Attempt) -> io::Result<Testimony> {
        let stream = self.layout.run(&run).stream(attempt.number);
        // What cannot be asked is taken for held: nothing is started twice for a disk that fails.
        let locked = lock::is_held(&stream).unwrap_or(true);
        let found = agent_among(|| self.processes(), run, attempt)?;
        let group = groups::recorded(run, attempt);
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
            Liveness::Dead => {
                with_group(strays_among(self.processes()?, run, agent.as_ref()), group.as_ref())
            }
        };
        let struck =
            group.as_ref().filter(|_| liveness == Liveness::Dead).map(Group::struck).unwrap_or_default();
        let killed = group.as_ref().filter(|_| struck.kills > 0 && struck.by_own_limit).map(at_its_limit);
        let pack = Box::new(Stamp::read(&self.layout.run(&run).pack(attempt.number))?);
        let evidence = if_there(replay::read(&stream))?;
        let tokens = evidence.as_ref().map(Evidence::used);
        let stderr = self.layout.run(&run).stderr(attempt.number);
        let mut heard =
            evidence.as_ref().and_then(|said| heard(attempt, said, &stderr, &pack, killed.as_deref()));
        let owed = match &mut heard {
            Some(judgement) => owed::settle(&self.layout.run(&run), attempt.number, &pack, judgement)?,
            None => None,
        };
        let unseen = agent.filter(|it| liveness == Liveness::Dead && heard.is_none() && it.is_of_this_boot());
        let is_oom_killed = unseen.is_some_and(|agent| struck.kills > 0 || self.is_oom_killed(&agent));
        Ok(Testimony { liveness, heard, tokens, strays, is_oom_killed, pack, owed })
    }
}

/// What the attempt came to: by a result in its stream, or since it was `killed` by the kernel at its own limit.
fn heard(
    attempt: &Attempt,
    evidence: &Evidence,
    stderr: &Path,
    pack: &Stamp,
    killed: Option<&str>,
) -> Option<Judgement> {
    let said = evidence.last_result.is_some();
    let denied = match pack.pack.denied_tools {
        DeniedTools::Report => Denied::Counts,
        DeniedTools::Fail => pack.file.as_deref().map_or(Denied::Fails, Denied::FailsBy),
    };
    let known = Ending { denied, goes_on: attempt.goes_on(), ..Ending::default() };
    if let Some(why) = killed.filter(|_| !said) {
        let known = Ending { ended_by: Some(EndedBy::MemoryLimit), memory: Some(why), ..known };
        return Some(verdict::judge(evidence, &known));
    }
    said.then(|| replay::judge_stream(evidence, stderr, known))
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
/// of the run that was given the session. An error is a `/proc` that does not answer.
pub fn find_agent(run: RunId, attempt: &Attempt) -> io::Result<Found> {
    agent_among(|| tree::snapshot(0), run, attempt)
}

fn agent_among<S: AsRef<[Seen]>>(
    seen: impl FnOnce() -> io::Result<S>,
    run: RunId,
    attempt: &Attempt,
) -> io::Result<Found> {
    if let Some(recorded) = process_of(attempt) {
        // A number of an earlier boot means nothing: only the lock speaks.
        return Ok(if recorded.is_of_this_boot() { Found::Agent(recorded) } else { Found::Nobody });
    }
    let left = strays_among(seen()?.as_ref(), run, None);
    let session = attempt.session_id.to_string();
    for process in &left {
        if tree::has_argument(process, &session)? {
            return Ok(Found::Agent(process.clone()));
        }
    }
    Ok(if left.is_empty() { Found::Nobody } else { Found::OthersOnly })
}

/// The processes of a run that are left, by every sign that survives its watcher. An error is a `/proc` that does not
/// answer.
pub fn strays(run: RunId, agent: Option<&ProcessId>, group: Option<&Group>) -> io::Result<Vec<ProcessId>> {
    let seen = tree::snapshot(agent.map_or(0, |it| it.start_ticks))?;
    Ok(with_group(strays_among(&seen, run, agent), group))
}

/// Those, and whoever is in the run's control group, whatever it has shed.
fn with_group(mut left: Vec<ProcessId>, group: Option<&Group>) -> Vec<ProcessId> {
    left.extend(group.map(Group::members).unwrap_or_default());
    left.sort_by_key(|it| it.pid);
    left.dedup();
    left
}

/// What is told of a run that its own limit ended.
fn at_its_limit(group: &Group) -> String {
    let used = group.peak().map_or_else(|| "more".to_owned(), show_size);
    format!("it used {used} of memory while its watcher was dead, more than it may, and the kernel ended it")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::task::SessionId;

    #[test]
    fn an_agent_that_nobody_recorded_is_not_missed_where_nobody_could_look() {
        let run = RunId::mint();
        let me = ProcessId::current();
        let attempt = Attempt::open(1, SessionId::mint(), SystemClock.wall());
        let refused = || Err::<Vec<Seen>, _>(io::Error::from_raw_os_error(nix::libc::EMFILE));
        assert!(agent_among(refused, run, &attempt).is_err());
        assert_eq!(agent_among(|| Ok(Vec::new()), run, &attempt).unwrap(), Found::Nobody);
        let recorded = Attempt {
            pid: Some(me.pid),
            start_ticks: Some(me.start_ticks),
            boot_id: Some(me.boot_id.clone()),
            pid_ns: Some(me.pid_ns),
            ..attempt
        };
        assert_eq!(agent_among(refused, run, &recorded).unwrap(), Found::Agent(me), "nobody has to look");
    }
}
