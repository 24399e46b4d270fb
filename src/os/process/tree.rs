//! Which processes belong to a run: looked for, not remembered.
//!
//! Four signs: ancestry (children of the agent, and theirs), session (each command of the CLI has one of its
//! own), the cookie `AGENT_RUN_ID` in the environment, and, for what shed all of these, being an orphan that
//! the kernel handed to us since the run began.
//!
//! It deliberately does not judge processes of another PID namespace: it only sees its own `/proc`.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::sync::{Mutex, PoisonError};

use super::identity::{self, ProcessId, Stat, boot_id, pid_ns};
use crate::os::trouble::is_no_answer;

/// The variable that marks every process of a run.
pub const COOKIE: &str = "AGENT_RUN_ID";

/// One process as a snapshot saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What `/proc/<pid>/stat` said.
    pub stat: Stat,
    /// The run named by its cookie, where its environment can be read.
    pub cookie: Option<String>,
}

/// What we know of the run whose processes we look for.
#[derive(Clone, Debug)]
pub struct Signs<'a> {
    /// The run.
    pub run: &'a str,
    /// The agent, also when it is dead: its session and its children's parent may still name it.
    pub agent: Option<&'a ProcessId>,
    /// When the run's agent was started, in clock ticks after boot: what is older is none of it; 0 if not known.
    pub since: u64,
    /// Ourselves, never part of a run.
    pub own_pid: i32,
    /// Children of ours that belong to nobody's run, or to another's.
    pub others: &'a HashSet<i32>,
    /// Whether orphans without any sign are this run's: it is the only one that could have left them.
    pub orphans: Orphans,
}

/// What to think of a child of ours that carries no sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// It may be another run's: leave it.
    Unknown,
    /// Only this run can have left it, if it began at `since` or later and before `before`, when the first of the
    /// agents that live besides was started. Both are start times of processes.
    Ours {
        /// When this run's own agent was started.
        since: u64,
        /// When the first of the others was; the greatest number without others.
        before: u64,
    },
}

/// A process as the last snapshot met it: the inode of its folder below `/proc` is made for it, and no later process of
/// the same number has it.
#[derive(Clone, Copy, Debug)]
struct Met {
    inode: u64,
    start_ticks: u64,
}

/// The inode that `/proc` gives where it has none to give.
const NO_INODE: u64 = 1;

impl Met {
    /// Whether it is the process that has this folder now, and older than `since`.
    const fn is_older(self, inode: u64, since: u64) -> bool {
        self.inode == inode && inode > NO_INODE && self.start_ticks < since
    }
}

/// A snapshot of the processes that we can see and that began at `since` (clock ticks after boot) or later: what is
/// older than a run cannot be its own, and reading less of `/proc` is most of what a sweep costs. So what was found to be
/// older once is not read again as long as it has the same folder.
///
/// An error is a `/proc` that did not answer: whoever is missing may be there.
pub fn snapshot(since: u64) -> io::Result<Vec<Seen>> {
    static MET: Mutex<BTreeMap<i32, Met>> = Mutex::new(BTreeMap::new());
    let entries = std::fs::read_dir("/proc")?;
    let mut met = MET.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut seen, mut now) = (Vec::new(), BTreeMap::new());
    for entry in entries {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse::<i32>().ok()) else { continue };
        let inode = entry.ino();
        if let Some(older) = met.get(&pid).filter(|it| it.is_older(inode, since)) {
            now.insert(pid, *older);
            continue;
        }
        let Some(stat) = answered(Stat::ask(pid))?.flatten() else { continue };
        now.insert(pid, Met { inode, start_ticks: stat.start_ticks });
        if stat.start_ticks >= since {
            seen.push(Seen { stat, cookie: cookie(pid)? });
        }
    }
    *met = now;
    Ok(seen)
}

/// What `/proc` said of one process; `None` where it is gone, or is none of ours to look at.
fn answered<T>(asked: io::Result<T>) -> io::Result<Option<T>> {
    match asked {
        Ok(it) => Ok(Some(it)),
        Err(error) if is_no_answer(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The living processes of a run in `seen`: a closure over all signs, in one pure step.
pub fn members(seen: &[Seen], signs: &Signs<'_>) -> Vec<ProcessId> {
    let mut pids: HashSet<i32> = HashSet::new();
    let mut sessions: HashSet<i32> = HashSet::new();
    if let Some(agent) = signs.agent {
        // The agent leads its own group and is the parent of what it started, alive or a zombie.
        if seen.iter().any(|it| it.stat.pid == agent.pid && it.stat.start_ticks == agent.start_ticks) {
            pids.insert(agent.pid);
        }
    }
    loop {
        let before = pids.len();
        for it in seen.iter().filter(|it| eligible(it, signs)) {
            let stat = &it.stat;
            let ours = it.cookie.as_deref() == Some(signs.run)
                || pids.contains(&stat.parent)
                || sessions.contains(&stat.session)
                || is_ours_by_exclusion(it, signs);
            if ours || pids.contains(&stat.pid) {
                pids.insert(stat.pid);
                // A session that a member leads is the run's; one that it only lives in may be the operator's.
                if stat.session == stat.pid {
                    sessions.insert(stat.session);
                }
            }
        }
        if pids.len() == before {
            break;
        }
    }
    let (boot, ns) = (boot_id(), pid_ns());
    seen.iter()
        .filter(|it| pids.contains(&it.stat.pid) && !it.stat.is_dead())
        .map(|it| ProcessId {
            pid: it.stat.pid,
            start_ticks: it.stat.start_ticks,
            boot_id: boot.clone(),
            pid_ns: ns,
        })
        .collect()
}

fn eligible(it: &Seen, signs: &Signs<'_>) -> bool {
    it.stat.pid != signs.own_pid
        && it.stat.pid > 1
        && it.stat.start_ticks >= signs.since
        && !signs.others.contains(&it.stat.pid)
}

fn is_ours_by_exclusion(it: &Seen, signs: &Signs<'_>) -> bool {
    match signs.orphans {
        Orphans::Unknown => false,
        Orphans::Ours { since, before } => {
            it.cookie.is_none()
                && it.stat.parent == signs.own_pid
                && (since..before).contains(&it.stat.start_ticks)
        }
    }
}

/// Whether `word` is one of the arguments of `process`.
pub fn has_argument(process: &ProcessId, word: &str) -> io::Result<bool> {
    let line = answered(std::fs::read(format!("/proc/{}/cmdline", process.pid)))?.unwrap_or_default();
    Ok(line.split(|byte| *byte == 0).any(|it| it == word.as_bytes()))
}

/// The run named in the environment of `pid`.
fn cookie(pid: i32) -> io::Result<Option<String>> {
    let environ = answered(identity::contents(&format!("/proc/{pid}/environ")))?.unwrap_or_default();
    Ok(environ.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"=")?;
        String::from_utf8(value.to_vec()).ok()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pid: i32, parent: i32, session: i32, cookie: Option<&str>) -> Seen {
        Seen {
            stat: Stat {
                pid,
                state: 'S',
                parent,
                session,
                threads: 1,
                start_ticks: u64::from(pid.unsigned_abs()),
            },
            cookie: cookie.map(str::to_owned),
        }
    }

    fn pids(seen: &[Seen], orphans: Orphans, others: &[i32]) -> Vec<i32> {
        let agent = ProcessId { pid: 10, start_ticks: 10, boot_id: boot_id(), pid_ns: pid_ns() };
        let others = others.iter().copied().collect();
        let signs = Signs { run: "r", agent: Some(&agent), since: 0, own_pid: 5, others: &others, orphans };
        let mut pids: Vec<_> = members(seen, &signs).iter().map(|it| it.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn each_sign_alone_is_enough() {
        let world = [
            seen(5, 1, 1, None),
            seen(10, 5, 1, Some("r")),
            seen(11, 10, 11, None),        // a child in its own session
            seen(12, 1, 11, None),         // left behind in that session
            seen(13, 1, 13, Some("r")),    // double fork, own session: only the cookie
            seen(14, 13, 14, None),        // its child, environment shed
            seen(20, 5, 1, Some("other")), // another run's agent
            seen(21, 20, 21, None),        // and its child
            seen(30, 1, 1, None),          // a stranger
        ];
        assert_eq!(pids(&world, Orphans::Unknown, &[]), [10, 11, 12, 13, 14]);
    }

    #[test]
    fn an_orphan_without_signs_is_ours_only_by_exclusion() {
        let world =
            [seen(5, 1, 1, None), seen(10, 5, 1, Some("r")), seen(40, 5, 40, None), seen(7, 5, 7, None)];
        assert_eq!(pids(&world, Orphans::Unknown, &[]), [10]);
        let ours = |before| Orphans::Ours { since: 10, before };
        assert_eq!(pids(&world, ours(u64::MAX), &[]), [10, 40], "what began before the run is not its");
        assert_eq!(pids(&world, ours(u64::MAX), &[40]), [10]);
        assert_eq!(pids(&world, ours(41), &[]), [10, 40], "the other agent is younger than the orphan");
        assert_eq!(pids(&world, ours(40), &[]), [10], "the other agent may have left it");
    }

    #[test]
    fn a_dead_agent_s_number_taken_by_another_proves_nothing() {
        let mut reused = seen(10, 1, 1, None);
        reused.stat.start_ticks = 99;
        let child_of_the_other = seen(11, 10, 11, None);
        assert_eq!(pids(&[reused, child_of_the_other], Orphans::Unknown, &[]), Vec::<i32>::new());
    }

    #[test]
    fn the_session_of_the_operator_is_never_swept() {
        let world = [seen(10, 5, 1, Some("r")), seen(50, 1, 1, None)];
        assert_eq!(pids(&world, Orphans::Unknown, &[]), [10]);
    }

    #[test]
    fn we_see_ourselves() {
        let me = std::process::id().cast_signed();
        let began = Stat::read(me).unwrap().start_ticks;
        let is_seen = |since| snapshot(since).unwrap().iter().any(|it| it.stat.pid == me);
        assert!(is_seen(began));
        assert!(!is_seen(began + 1), "it is older");
        assert!(is_seen(began), "known to be older than another");
    }

    #[test]
    fn a_process_that_could_not_be_asked_for_is_not_left_out() {
        use nix::libc::{EACCES, EINTR, EIO, EMFILE, ENFILE, ENOENT, ENOMEM, EPERM, ESRCH};
        let asked = |errno| answered::<()>(Err(io::Error::from_raw_os_error(errno)));
        for errno in [ENOENT, ESRCH, EACCES, EPERM] {
            assert!(matches!(asked(errno), Ok(None)), "{errno}");
        }
        for errno in [EMFILE, ENFILE, ENOMEM, EINTR, EIO] {
            assert!(asked(errno).is_err(), "{errno}");
        }
    }

    #[test]
    fn only_the_very_process_that_was_older_is_passed_over() {
        let met = |inode| Met { inode, start_ticks: 100 };
        assert!(met(7).is_older(7, 101));
        assert!(!met(7).is_older(7, 100), "it is as old as the run");
        assert!(!met(7).is_older(8, 101), "another one has its number");
        assert!(!met(NO_INODE).is_older(NO_INODE, 101), "nobody knows whose folder that is");
    }
}
