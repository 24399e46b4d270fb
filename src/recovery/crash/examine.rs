//! Looking for why a watcher died, with what can be seen from here.

use std::io;

use jiff::SignedDuration;

use super::note;
use super::reason::CrashReason;
use super::verdict::{Evidence, KernelSays, Struck, Verdict, decide};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::layout::Layout;
use crate::os::holder::{Holder, Role};
use crate::os::oom;
use crate::os::process::{Exit, ProcessId};
use crate::task::WorkerName;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::report;
use crate::telemetry::state_file::{State, WorkerStatus};

/// The watcher that died, as it had written itself down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Which process.
    pub process: ProcessId,
    /// Since when it had been at work, or how far back its death may lie, where that is known.
    pub since: Option<Timestamp>,
}

/// How long before the last beat that is known a report may have been written that tells of the same death.
const LAST_BEATS: SignedDuration = SignedDuration::from_secs(10);

impl Dead {
    /// Whom the mirror of the worker's lock names, else whose heart beat last. To be asked before anybody else
    /// writes the mirror. `None` if nobody is known, or if that one lives.
    pub fn find(layout: &Layout, worker: &WorkerName) -> Option<Self> {
        let mirror = Holder::read(&layout.watcher_lock(worker)).filter(|it| it.role == Role::Watcher);
        let beat = Heartbeat::read(&layout.heartbeat(worker));
        // The mirror may be older than the heart: a runbook's script may have put it there again.
        let dead = match (mirror, beat) {
            (Some(mirror), _) => Self { process: mirror.process, since: Some(mirror.since) },
            // Only its pid and its boot are known; the rest cannot be told apart any more.
            (None, Some(beat)) => Self {
                process: ProcessId {
                    pid: beat.pid,
                    start_ticks: 0,
                    boot_id: beat.boot_id,
                    pid_ns: crate::os::process::identity::pid_ns(),
                },
                // In a container each life has the same pid, and its reports lie there for long.
                since: beat.timestamp.checked_sub(LAST_BEATS).ok(),
            },
            (None, None) => return None,
        };
        (dead.process.is_alive() != Some(true)).then_some(dead)
    }
}

/// The verdict about `dead`, with what the caller knows already in `known`. What the supervisor left about the same
/// process wins: it saw more.
pub fn examine(layout: &Layout, worker: &WorkerName, dead: Option<&Dead>, known: Evidence) -> Verdict {
    let noted = |dead: &Dead| note::read(&layout.death(worker), &dead.process);
    dead.and_then(noted).unwrap_or_else(|| decide(&gather(layout, worker, dead, known)))
}

/// Everything that can be found out about `dead`, on top of what is known.
pub fn gather(layout: &Layout, worker: &WorkerName, dead: Option<&Dead>, known: Evidence) -> Evidence {
    let Some(dead) = dead else { return known };
    let process = &dead.process;
    let rebooted = process.boot_id != crate::os::process::identity::boot_id();
    let struck = struck(layout, worker, process);
    Evidence {
        pid: Some(process.pid),
        report: report::find(&layout.worker(worker), process.pid, dead.since),
        kernel: if rebooted { KernelSays::NotAsked } else { kernel(process, known.exit) },
        struck: struck.filter(|_| !rebooted),
        rebooted,
        ..known
    }
}

/// What the machine's counter says, where the dead one lived in a container and wrote it into its last sign.
fn struck(layout: &Layout, worker: &WorkerName, process: &ProcessId) -> Option<Struck> {
    let beat = Heartbeat::read(&layout.heartbeat(worker)).filter(|beat| beat.pid == process.pid)?;
    let within = beat.age(SystemClock.ticks(), &process.boot_id)?;
    let kills = oom::on_this_machine()?.saturating_sub(beat.oom_kills?);
    Some(Struck { kills, within, percent: beat.memory_percent.unwrap_or(0) })
}

/// The kernel is asked only about deaths that it could have caused: its log is long.
fn kernel(process: &ProcessId, exit: Option<Exit>) -> KernelSays {
    if exit.is_some_and(|exit| exit != Exit::Signal(nix::libc::SIGKILL)) {
        return KernelSays::NotAsked;
    }
    match oom::logged(process) {
        Ok(Some(line)) => KernelSays::Killed(line),
        Ok(None) => KernelSays::Nothing,
        Err(error) => KernelSays::Unreadable(error.to_string()),
    }
}

/// What a recovery has to know about the worker's last life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Why its watcher died, if it did and nobody wrote that down yet.
    pub died: Option<Verdict>,
    /// What the attempts are charged with that were interrupted.
    pub failure: &'static str,
}

impl Past {
    /// Looks back, before anybody else writes the mirror of the worker's lock. An error is a state that is there and
    /// cannot be read: whether it tells of a death is not known.
    pub fn of(layout: &Layout, worker: &WorkerName) -> io::Result<Self> {
        let Some(state) = State::read(&layout.state(worker))? else {
            return Ok(Self { died: None, failure: CrashReason::Unknown.failure() });
        };
        Ok(match state.status {
            WorkerStatus::Stopped => Self { died: None, failure: CrashReason::Unknown.failure() },
            // Its recovery was cut: the crash is written down, and why.
            WorkerStatus::Recovering => {
                let reason = state.last_crash_reason.and_then(|it| it.parse().ok());
                Self { died: None, failure: reason.unwrap_or(CrashReason::Unknown).failure() }
            }
            WorkerStatus::Starting
            | WorkerStatus::Running
            | WorkerStatus::Paused
            | WorkerStatus::Draining
            | WorkerStatus::Degraded => {
                let dead = Dead::find(layout, worker);
                let verdict = examine(layout, worker, dead.as_ref(), Evidence::default());
                let failure = verdict.reason.failure();
                Self { died: Some(verdict), failure }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn world(state: &str) -> (tempfile::TempDir, Layout, WorkerName) {
        let dir = tempfile::tempdir().unwrap();
        let (layout, worker) = (Layout::new(dir.path()), "marie".parse().unwrap());
        std::fs::create_dir_all(layout.worker(&worker)).unwrap();
        std::fs::create_dir_all(layout.locks()).unwrap();
        let file = std::fs::File::create(layout.state(&worker)).unwrap();
        io::Write::write_all(&mut &file, state.as_bytes()).unwrap();
        (dir, layout, worker)
    }

    /// Somebody of this boot who is not there any more.
    fn gone() -> ProcessId {
        ProcessId { start_ticks: 1, ..ProcessId::current() }
    }

    fn mirrored(layout: &Layout, worker: &WorkerName, process: ProcessId) {
        let since = "2026-03-01T10:00:00Z".parse().unwrap();
        let mut holder = Holder::current(Role::Watcher, Some(worker.clone()), since);
        holder.process = process;
        holder.write_to(&layout.watcher_lock(worker)).unwrap();
    }

    #[test]
    fn a_stop_is_no_death_and_a_recovery_that_was_cut_knows_why() {
        for (state, failure) in [
            (r#"{"status":"stopped","last_crash_reason":"oom_killed"}"#, "worker_crash"),
            (r#"{"status":"recovering","last_crash_reason":"oom_killed"}"#, "oom_killed"),
            (r#"{"status":"recovering"}"#, "worker_crash"),
        ] {
            let (_dir, layout, worker) = world(state);
            assert_eq!(Past::of(&layout, &worker).unwrap(), Past { died: None, failure }, "{state}");
        }
        let (_dir, layout, worker) = world("");
        std::fs::remove_file(layout.state(&worker)).unwrap();
        assert_eq!(Past::of(&layout, &worker).unwrap().died, None, "it never lived");
    }

    #[test]
    fn what_the_supervisor_saw_wins() {
        let (_dir, layout, worker) = world(r#"{"status":"running"}"#);
        mirrored(&layout, &worker, gone());
        let seen = Verdict { reason: CrashReason::OomKilled, text: "seen".to_owned() };
        note::write(&layout.death(&worker), &gone(), &seen, "2026-03-01T10:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(Past::of(&layout, &worker).unwrap(), Past { died: Some(seen), failure: "oom_killed" });
        let earlier = ProcessId { start_ticks: 2, ..gone() };
        mirrored(&layout, &worker, earlier);
        assert_ne!(Past::of(&layout, &worker).unwrap().failure, "oom_killed", "that was another one");
    }

    #[test]
    fn a_report_of_an_earlier_life_with_the_same_number_tells_nothing_of_this_death() {
        let (_dir, layout, worker) = world(r#"{"status":"running"}"#);
        let dead = gone();
        let beat = serde_json::json!({
            "worker": "marie", "pid": dead.pid, "boot_id": dead.boot_id, "boottime_ns": 1, "seq": 1,
            "timestamp": "2026-03-01T10:00:00Z", "status": "running", "active_tasks": 0,
        });
        let put =
            |path: &Path, text: String| crate::os::durable::write_new(path, text.as_bytes(), None).unwrap();
        put(&layout.heartbeat(&worker), beat.to_string());
        for (at, reason) in [("09:00:00", CrashReason::Unknown), ("10:00:01", CrashReason::Panicked)] {
            let at: Timestamp = format!("2026-03-01T{at}Z").parse().unwrap();
            let name = format!("panic-{}.txt", at.as_millisecond());
            put(
                &layout.worker(&worker).join(name),
                format!("{at}\nagent-worker 0, pid {}\nsaid\n\n", dead.pid),
            );
            assert_eq!(Past::of(&layout, &worker).unwrap().died.unwrap().reason, reason, "{at}");
        }
    }

    #[test]
    fn another_boot_is_a_reason_of_its_own() {
        let (_dir, layout, worker) = world(r#"{"status":"running"}"#);
        mirrored(&layout, &worker, ProcessId { boot_id: "another".to_owned(), ..gone() });
        assert_eq!(Past::of(&layout, &worker).unwrap().died.unwrap().reason, CrashReason::HostRestarted);
    }

    #[test]
    fn whoever_lives_did_not_die() {
        let (_dir, layout, worker) = world(r#"{"status":"running"}"#);
        mirrored(&layout, &worker, ProcessId::current());
        assert_eq!(Dead::find(&layout, &worker), None);
    }
}
