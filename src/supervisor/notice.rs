//! What the supervisor tells the person in front of it, as values and as lines.
//!
//! The runbook's lines ("Restarting W", "Cooldown period for W", "Max restarts reached for W") stand at the
//! beginning of theirs, word for word.

use std::time::Duration;

use super::restart::Policy;
use crate::os::holder::Role;
use crate::os::process::Exit;
use crate::task::WorkerName;

/// How a watcher is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// `SIGTERM`: it puts its tasks back; a second one skips its grace.
    Ask,
    /// `SIGKILL`: whoever comes next puts its tasks back.
    Kill,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A watcher that we started holds its lock.
    Up {
        /// Whose.
        worker: WorkerName,
        /// Its pid.
        pid: i32,
    },
    /// A watcher was there already.
    TakenOver {
        /// Whose.
        worker: WorkerName,
        /// Its pid, where the lock's mirror says it.
        pid: Option<i32>,
    },
    /// Somebody who is no watcher holds the worker's lock.
    Occupied {
        /// Whose.
        worker: WorkerName,
        /// Who.
        role: Role,
    },
    /// A watcher died.
    Died {
        /// Whose.
        worker: WorkerName,
        /// How, where we are its parent.
        exit: Option<Exit>,
        /// How long it had lived, as far as we know.
        lived: Duration,
    },
    /// A watcher could not be started now.
    NotStarted {
        /// Whose.
        worker: WorkerName,
        /// Why not.
        why: String,
    },
    /// It is started again.
    Restarting {
        /// Whose.
        worker: WorkerName,
    },
    /// It will be.
    Cooldown {
        /// Whose.
        worker: WorkerName,
        /// In how long.
        wait: Duration,
    },
    /// It will not be.
    SetAside {
        /// Whose.
        worker: WorkerName,
        /// The rule that said so.
        policy: Policy,
    },
    /// It stopped without our asking, and said so.
    StoppedByItself {
        /// Whose.
        worker: WorkerName,
    },
    /// It cannot start the way it is configured.
    Misconfigured {
        /// Whose.
        worker: WorkerName,
        /// What it said.
        why: String,
    },
    /// Everybody is asked to stop.
    Stopping {
        /// How many there are.
        running: usize,
        /// What their agents get.
        grace: Duration,
    },
    /// Everybody is asked again.
    Hurrying,
    /// Everybody is killed.
    Killing,
    /// A watcher has ended as we asked.
    Ended {
        /// Whose.
        worker: WorkerName,
        /// How, where we are its parent.
        exit: Option<Exit>,
    },
    /// A watcher could not be ended.
    NotEnded {
        /// Whose.
        worker: WorkerName,
        /// Why not.
        why: String,
    },
}

/// How much a line asks of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Good to know.
    Plain,
    /// Something is wrong, and we deal with it.
    Warning,
    /// Somebody has to do something.
    Alarm,
}

impl Notice {
    /// How much it asks of the person.
    pub const fn weight(&self) -> Weight {
        match self {
            Self::Died { .. } | Self::NotStarted { .. } | Self::Cooldown { .. } | Self::Killing => {
                Weight::Warning
            }
            Self::SetAside { .. } | Self::Misconfigured { .. } | Self::NotEnded { .. } => Weight::Alarm,
            Self::Up { .. }
            | Self::TakenOver { .. }
            | Self::Occupied { .. }
            | Self::Restarting { .. }
            | Self::StoppedByItself { .. }
            | Self::Stopping { .. }
            | Self::Hurrying
            | Self::Ended { .. } => Weight::Plain,
        }
    }

    /// The line for the person; `how` says what to type for a worker.
    pub fn text(&self, how: &dyn Fn(&WorkerName) -> Typed) -> String {
        match self {
            Self::Up { worker, pid } => format!("{worker}: up, pid {pid}"),
            Self::TakenOver { worker, pid } => {
                let pid = pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
                format!("{worker}: a watcher is at work already{pid}; taken over as it is")
            }
            Self::Occupied { worker, role } => {
                format!(
                    "{worker}: its lock is held by another ({role}); its watcher starts when that is done"
                )
            }
            Self::Died { worker, exit, lived } => {
                let how = exit.map(|exit| format!(": {exit}")).unwrap_or_default();
                format!("{worker}: the watcher died after {}{how}; its tasks are safe", seconds(*lived))
            }
            Self::NotStarted { worker, why } => format!("{worker}: its watcher could not be started: {why}"),
            Self::Restarting { worker } => format!("Restarting {worker}"),
            Self::Cooldown { worker, wait } => {
                format!("Cooldown period for {worker}: started again in {}", seconds(*wait))
            }
            Self::SetAside { worker, policy } => set_aside(worker, policy, &how(worker)),
            Self::StoppedByItself { worker } => {
                format!(
                    "{worker}: stopped as it was told, so it is not restarted. To start it again: {}",
                    how(worker).start
                )
            }
            Self::Misconfigured { worker, why } => {
                let Typed { log, start } = how(worker);
                format!(
                    "{worker}: NOT RUNNING, and starting it again would not help. It said: {why}\n    all of it: {log}\n    when that is put right: {start}"
                )
            }
            Self::Stopping { running, grace } => stopping(*running, *grace),
            Self::Hurrying => "Asking again, without the rest of the grace".to_owned(),
            Self::Killing => {
                "Killing the watchers that are left; the next start puts their tasks back".to_owned()
            }
            Self::Ended { worker, exit } => match exit {
                None | Some(Exit::Code(0)) => format!("{worker}: stopped"),
                Some(exit @ (Exit::Code(_) | Exit::Signal(_))) => format!("{worker}: ended, {exit}"),
            },
            Self::NotEnded { worker, why } => format!("{worker}: STILL RUNNING: {why}"),
        }
    }
}

/// What to type about one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Reads what its watcher printed.
    pub log: String,
    /// Starts its watcher by hand.
    pub start: String,
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
        "Max restarts reached for {worker}: {} in {}. SET ASIDE: its tasks stay where they are.\n    why it died: {}\n    to start it again: {}",
        policy.max_restarts,
        seconds(policy.window),
        typed.log,
        typed.start
    )
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
    use super::*;

    fn text(notice: &Notice) -> String {
        notice.text(&|worker| Typed { log: format!("tail {worker}.out"), start: format!("watcher {worker}") })
    }

    #[test]
    fn the_lines_of_the_runbook_are_there_word_for_word() {
        let worker: WorkerName = "marie".parse().unwrap();
        let policy =
            Policy { max_restarts: 3, cooldown: Duration::from_mins(1), window: Duration::from_mins(10) };
        for (notice, line) in [
            (Notice::Restarting { worker: worker.clone() }, "Restarting marie"),
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
