//! How a watcher is, judged from facts alone (pure).
//!
//! | what is seen | condition |
//! |---|---|
//! | the lock is free, and the state says `stopped` | stopped |
//! | the lock is free, and the state says anything else | crashed |
//! | the lock is held by a recovery or an operator | occupied |
//! | its process is stopped by a signal (`T`) | suspended |
//! | it has not beaten yet, and is not overdue | starting |
//! | there is no room, or it says that there is too little | disk full |
//! | it is overdue and sleeps in the kernel (`D`) | disk wait |
//! | it is overdue, and its process cannot be judged from here | silent |
//! | it is overdue, and nothing above explains it | hung |
//! | none of these | what it says of itself |
//!
//! Invariants:
//! - an age alone never kills: only a process of our own PID namespace that runs and makes no progress is hung;
//! - a full disk is never taken for a hang, since a heartbeat needs room.
//!
//! It deliberately does not know how the facts were found, nor what is done about a condition.

use crate::telemetry::state_file::WorkerStatus;

use super::state::Left;

/// Who holds the worker's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nobody; how the last one left.
    Free(Left),
    /// A watcher.
    Watcher,
    /// Somebody who recovers, or an operator.
    Other,
}

/// What `/proc` says of the process that holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// The letter of its state (`proc_pid_stat(5)`).
    State(char),
    /// It is of another PID namespace, or nobody says who it is: only locks and heartbeats speak.
    Unknown,
}

/// Everything that a judgement is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Who holds the lock.
    pub held: Held,
    /// What its process does.
    pub process: Process,
    /// Whether this very watcher has ever beaten.
    pub has_beaten: bool,
    /// Whether two looks in a row found no progress for longer than is allowed.
    pub is_overdue: bool,
    /// Whether there is no room below the root, or the watcher says that there is too little.
    pub is_disk_full: bool,
    /// What it said of itself last.
    pub says: WorkerStatus,
}

/// How a watcher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// At work.
    Working,
    /// Taking its lock and cleaning up.
    Starting,
    /// Takes no new tasks, by an operator's word.
    Paused,
    /// Takes no new tasks and lets the running ones finish.
    Draining,
    /// Alive, and not claiming through a fault that it names.
    Degraded,
    /// Nothing can be written.
    DiskFull,
    /// It waits for a disk, uninterruptibly: no signal reaches it.
    DiskWait,
    /// Stopped by `SIGSTOP` or by a debugger.
    Suspended,
    /// No sign of progress, from where we cannot look.
    Silent,
    /// It runs, and makes no progress.
    Hung,
    /// Somebody recovers in its place.
    Occupied,
    /// Gone without a word.
    Crashed,
    /// Gone as it was told.
    Stopped,
}

impl Condition {
    /// The word for it, in answers, lines and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Starting => "starting",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Degraded => "degraded",
            Self::DiskFull => "disk_full",
            Self::DiskWait => "disk_wait",
            Self::Suspended => "suspended",
            Self::Silent => "silent",
            Self::Hung => "hung",
            Self::Occupied => "occupied",
            Self::Crashed => "crashed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it needs a person, and no restart would help.
    pub const fn is_stuck(self) -> bool {
        match self {
            Self::DiskFull | Self::DiskWait | Self::Suspended | Self::Silent => true,
            Self::Working
            | Self::Starting
            | Self::Paused
            | Self::Draining
            | Self::Degraded
            | Self::Hung
            | Self::Occupied
            | Self::Crashed
            | Self::Stopped => false,
        }
    }
}

/// How a watcher with these facts is.
pub const fn condition(facts: &Facts) -> Condition {
    match facts.held {
        Held::Free(Left::Stopped) => return Condition::Stopped,
        Held::Free(Left::Otherwise) => return Condition::Crashed,
        Held::Other => return Condition::Occupied,
        Held::Watcher => {}
    }
    match facts.process {
        Process::State('T' | 't') => Condition::Suspended,
        Process::State(_) | Process::Unknown if !facts.has_beaten && !facts.is_overdue => Condition::Starting,
        Process::State(_) | Process::Unknown if facts.is_disk_full => Condition::DiskFull,
        Process::State(_) | Process::Unknown if !facts.is_overdue => of_status(facts.says),
        Process::State('D') => Condition::DiskWait,
        Process::State(_) => Condition::Hung,
        Process::Unknown => Condition::Silent,
    }
}

const fn of_status(says: WorkerStatus) -> Condition {
    match says {
        WorkerStatus::Running => Condition::Working,
        WorkerStatus::Starting | WorkerStatus::Recovering => Condition::Starting,
        WorkerStatus::Paused => Condition::Paused,
        WorkerStatus::Draining | WorkerStatus::Stopped => Condition::Draining,
        WorkerStatus::Degraded => Condition::Degraded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the module's opening, said a second time and in another way: a list of what each fact implies.
    fn expected(facts: &Facts) -> Condition {
        let letter = match facts.process {
            Process::State(letter) => letter,
            Process::Unknown => '?',
        };
        let rows = [
            (facts.held == Held::Free(Left::Stopped), Condition::Stopped),
            (matches!(facts.held, Held::Free(_)), Condition::Crashed),
            (facts.held == Held::Other, Condition::Occupied),
            ("Tt".contains(letter), Condition::Suspended),
            (!facts.has_beaten && !facts.is_overdue, Condition::Starting),
            (facts.is_disk_full, Condition::DiskFull),
            (facts.is_overdue && letter == 'D', Condition::DiskWait),
            (facts.is_overdue && letter == '?', Condition::Silent),
            (facts.is_overdue, Condition::Hung),
            (facts.says == WorkerStatus::Running, Condition::Working),
            (facts.says == WorkerStatus::Paused, Condition::Paused),
            (facts.says == WorkerStatus::Degraded, Condition::Degraded),
            (matches!(facts.says, WorkerStatus::Draining | WorkerStatus::Stopped), Condition::Draining),
            (true, Condition::Starting),
        ];
        rows.iter().find(|(holds, _)| *holds).unwrap().1
    }

    fn every_combination() -> Vec<Facts> {
        const STATUSES: [WorkerStatus; 7] = [
            WorkerStatus::Starting,
            WorkerStatus::Running,
            WorkerStatus::Paused,
            WorkerStatus::Draining,
            WorkerStatus::Stopped,
            WorkerStatus::Recovering,
            WorkerStatus::Degraded,
        ];
        let holders = [Held::Free(Left::Stopped), Held::Free(Left::Otherwise), Held::Watcher, Held::Other];
        let states = ['R', 'S', 'D', 'T', 't', 'I'].map(Process::State);
        let mut all = Vec::new();
        for held in holders {
            for process in states.into_iter().chain([Process::Unknown]) {
                for bits in 0..8 {
                    for says in STATUSES {
                        all.push(Facts {
                            held,
                            process,
                            has_beaten: bits & 1 != 0,
                            is_overdue: bits & 2 != 0,
                            is_disk_full: bits & 4 != 0,
                            says,
                        });
                    }
                }
            }
        }
        all
    }

    #[test]
    fn every_combination_of_facts_is_what_the_table_says() {
        let all = every_combination();
        assert_eq!(all.len(), 4 * 7 * 8 * 7);
        for facts in all {
            assert_eq!(condition(&facts), expected(&facts), "{facts:?}");
        }
    }

    #[test]
    fn only_an_overdue_process_that_we_can_see_run_is_hung() {
        let hung: Vec<Facts> =
            every_combination().into_iter().filter(|it| condition(it) == Condition::Hung).collect();
        assert!(!hung.is_empty());
        for facts in hung {
            let running = matches!(facts.process, Process::State('R' | 'S' | 'I'));
            assert!(facts.is_overdue && running && !facts.is_disk_full, "{facts:?}");
            assert_eq!(facts.held, Held::Watcher, "{facts:?}");
        }
    }
}
