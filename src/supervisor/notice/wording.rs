//! How a notice reads to a person: what happened, where, and what to type next.

use std::time::Duration;

use super::{Notice, Typed};
use crate::os::process::Exit;
use crate::supervisor::condition::Condition;
use crate::supervisor::restart::Policy;
use crate::supervisor::state::Swept;
use crate::task::WorkerName;

impl Notice {
    /// The line for the person; `how` says what to type for a worker.
    pub fn text(&self, how: &dyn Fn(&WorkerName) -> Typed) -> String {
        match self {
            Self::Up { worker, pid, after } => up(worker, *pid, *after),
            Self::TakenOver { worker, pid } => {
                format!("{worker}: a watcher is at work already{}; taken over as it is", with_pid(*pid))
            }
            Self::Occupied { worker, role } => {
                format!(
                    "{worker}: its lock is held by another ({role}); its watcher starts when that is done"
                )
            }
            Self::Died { worker, exit, lived, .. } => died(worker, *exit, *lived),
            Self::NotStarted { worker, why } => format!("{worker}: its watcher could not be started: {why}"),
            Self::Restarting { worker, .. } => format!("Restarting {worker}"),
            Self::Awaited { worker, wait } => {
                format!("{worker}: its host is to start it again; waiting {} for that", seconds(*wait))
            }
            Self::NotBack { worker, waited } => not_back(worker, *waited, &how(worker)),
            Self::Cooldown { worker, wait } => {
                format!("Cooldown period for {worker}: started again in {}", seconds(*wait))
            }
            Self::SetAside { worker, policy } => set_aside(worker, policy, &how(worker)),
            Self::Hung { worker, silent } => hung(worker, *silent),
            Self::Stuck { worker, condition, silent } => stuck(worker, *condition, *silent, &how(worker)),
            Self::Moves { worker } => format!("{worker}: makes progress again"),
            Self::Swept { worker, swept } => swept_text(worker, swept),
            Self::Anew { worker } => format!("{worker}: tried again, as asked"),
            Self::Called { worker, instead_of } => {
                format!("{worker}: the backup is started, since {instead_of} is gone")
            }
            Self::Retiring { worker } => {
                format!("{worker}: the backup is not needed any more; it ends when it has nothing to do")
            }
            Self::InReserve { worker } => format!("{worker}: the backup has ended, in reserve"),
            Self::StoppedByItself { worker } => stopped(worker, &how(worker)),
            Self::Misconfigured { worker, why } => misconfigured(worker, why, &how(worker)),
            Self::Stopping { running, grace } => stopping(*running, *grace),
            Self::Leaving { running } => {
                format!("Leaving; the watchers ({running}) belong to their host and go on as they are")
            }
            Self::Hurrying => "Asking again, without the rest of the grace".to_owned(),
            Self::Killing => {
                "Killing the watchers that are left; the next start puts their tasks back".to_owned()
            }
            Self::Ended { worker, exit: None | Some(Exit::Code(0)) } => format!("{worker}: stopped"),
            Self::Ended { worker, exit: Some(exit) } => format!("{worker}: ended, {exit}"),
            Self::NotEnded { worker, why } => format!("{worker}: STILL RUNNING: {why}"),
        }
    }
}

fn with_pid(pid: Option<i32>) -> String {
    pid.map(|pid| format!(", pid {pid}")).unwrap_or_default()
}

fn up(worker: &WorkerName, pid: Option<i32>, after: Option<Duration>) -> String {
    let after = after.map(|it| format!(" again after {}", seconds(it))).unwrap_or_default();
    format!("{worker}: up{after}{}", with_pid(pid))
}

fn died(worker: &WorkerName, exit: Option<Exit>, lived: Duration) -> String {
    let how = exit.map(|exit| format!(": {exit}")).unwrap_or_default();
    format!("{worker}: the watcher died after {}{how}; its tasks are safe", seconds(lived))
}

fn hung(worker: &WorkerName, silent: Duration) -> String {
    format!(
        "{worker}: HUNG: alive, and without any progress for {}; ending it, its agents live on",
        seconds(silent)
    )
}

fn stopped(worker: &WorkerName, typed: &Typed) -> String {
    format!("{worker}: stopped as it was told, so it is not restarted. To start it again: {}", typed.start)
}

fn misconfigured(worker: &WorkerName, why: &str, Typed { log, start, .. }: &Typed) -> String {
    format!(
        "{worker}: NOT RUNNING, and starting it again would not help. It said: {why}\n    all of it: {log}\n    when that is put right: SIGHUP to the supervisor, or {start}"
    )
}

fn not_back(worker: &WorkerName, waited: Duration, typed: &Typed) -> String {
    format!(
        "{worker}: SET ASIDE: nobody has brought it back for {}; its living agents are awaited, its tasks handed to the others.\n    to start it again: by its host, or {}",
        seconds(waited),
        typed.start
    )
}

fn stopping(running: usize, grace: Duration) -> String {
    let workers = if running == 1 { "worker" } else { "workers" };
    format!(
        "Stopping {running} {workers}: their agents have {}. Ctrl-C again skips that, a third one kills.",
        seconds(grace)
    )
}

fn set_aside(worker: &WorkerName, policy: &Policy, typed: &Typed) -> String {
    format!(
        "Max restarts reached for {worker}: {} in {}. SET ASIDE: its living agents are awaited, its tasks handed to the others.\n    why it died: {}\n    to start it again: SIGHUP to the supervisor, or {}",
        policy.max_restarts,
        seconds(policy.window),
        typed.log,
        typed.start
    )
}

/// Why it does nothing, and what helps, as no restart does.
fn stuck(worker: &WorkerName, condition: Condition, silent: Duration, typed: &Typed) -> String {
    let pid = typed.pid.map_or_else(|| "<its pid>".to_owned(), |pid| pid.to_string());
    match condition {
        Condition::Suspended => format!(
            "{worker}: SUSPENDED by a signal (SIGSTOP) or a debugger; it is left so.\n    to let it go on: kill -CONT {pid}"
        ),
        Condition::DiskWait => format!(
            "{worker}: WAITS FOR A DISK: no progress for {}, asleep in the kernel, where no signal reaches it.\n    look at: dmesg, and the disk or the server below the root; it goes on by itself",
            seconds(silent)
        ),
        Condition::DiskFull => format!(
            "{worker}: THE DISK IS FULL: it claims nothing.\n    make room: df -h and df -i show where; it goes on by itself"
        ),
        Condition::Silent
        | Condition::Working
        | Condition::Starting
        | Condition::Paused
        | Condition::Draining
        | Condition::Degraded
        | Condition::Hung
        | Condition::Occupied
        | Condition::Crashed
        | Condition::Stopped => format!(
            "{worker}: SILENT: it holds its lock and has made no progress for {}, and its process cannot be seen from here (another PID namespace, or no lock file); it is not touched.\n    look at its container: docker logs {worker}, docker restart {worker}",
            seconds(silent)
        ),
    }
}

fn swept_text(worker: &WorkerName, swept: &Swept) -> String {
    let Swept { living, recovered, handed, owed, kept, trouble } = swept;
    let mut parts = Vec::new();
    for (count, what) in [
        (*recovered, "filed or put back"),
        (*handed, "handed to the others (tasks/)"),
        (*kept, "kept: pinned to it, or with a session that only it goes on with"),
        (*owed, "answered, and to be verified as soon as its watcher is started again"),
        (*living, "still with a living agent"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.extend(trouble.as_ref().map(|why| format!("NOT DONE, and tried again: {why}")));
    format!("{worker}: not at work; its tasks: {}", parts.join(", "))
}

/// A duration as a person reads it: `0.4 s`, `12 s`, `4 min`, `2 h 5 min`.
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min", whole / 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Weight;
    use super::*;

    fn text(notice: &Notice) -> String {
        notice.text(&|worker| Typed {
            log: format!("tail {worker}.out"),
            start: format!("watcher {worker}"),
            pid: Some(7),
        })
    }

    #[test]
    fn the_lines_of_the_runbook_are_there_word_for_word() {
        let worker: WorkerName = "marie".parse().unwrap();
        let policy =
            Policy { max_restarts: 3, cooldown: Duration::from_mins(1), window: Duration::from_mins(10) };
        for (notice, line) in [
            (Notice::Restarting { worker: worker.clone(), death: 1 }, "Restarting marie"),
            (
                Notice::Cooldown { worker: worker.clone(), wait: Duration::from_secs(58) },
                "Cooldown period for marie",
            ),
            (Notice::SetAside { worker, policy }, "Max restarts reached for marie"),
        ] {
            assert!(text(&notice).starts_with(line), "{}", text(&notice));
        }
    }

    #[test]
    fn whoever_is_set_aside_or_misconfigured_is_told_what_to_type() {
        let worker: WorkerName = "marie".parse().unwrap();
        let notice = Notice::Misconfigured { worker, why: "no such root".to_owned() };
        let text = text(&notice);
        for part in ["NOT RUNNING", "no such root", "tail marie.out", "watcher marie"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(notice.weight(), Weight::Alarm);
    }

    #[test]
    fn what_no_restart_helps_says_what_does() {
        let worker: WorkerName = "marie".parse().unwrap();
        for (condition, parts) in [
            (Condition::Suspended, ["SUSPENDED", "kill -CONT 7"]),
            (Condition::DiskWait, ["WAITS FOR A DISK", "dmesg"]),
            (Condition::DiskFull, ["DISK IS FULL", "df -h"]),
            (Condition::Silent, ["SILENT", "docker restart marie"]),
        ] {
            let silent = Duration::from_secs(70);
            let text = text(&Notice::Stuck { worker: worker.clone(), condition, silent });
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn durations_read_well() {
        for (millis, text) in [
            (400, "0.4 s"),
            (12_900, "12 s"),
            (119_000, "119 s"),
            (240_000, "4 min"),
            (7_500_000, "2 h 5 min"),
        ] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }
}
