//! How a worker is shown: a word for programs, what health makes of it, and what there is to say about it (pure).

use std::collections::BTreeMap;

use super::condition::Condition;
use super::level::{Level, level};
use super::state::{Actual, Rest, Worker};
use crate::task::WorkerName;
use crate::telemetry::health::{Verdict, WorkerSeen};
use crate::telemetry::metrics::Labels;
use crate::telemetry::state_file::State;

/// A worker that was looked at.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Its condition.
    pub(super) word: &'static str,
    /// How far its trouble has gone.
    pub(super) level: Option<Level>,
    /// Its restarts that still count.
    pub(super) restarts: usize,
    /// Whether it runs only while another is gone.
    pub(super) is_backup: bool,
    /// What health makes of it.
    pub(super) health: WorkerSeen,
}

/// Every word that a worker's condition can be.
const WORDS: &[&str] = &[
    "working",
    "starting",
    "paused",
    "draining",
    "degraded",
    "disk_full",
    "disk_wait",
    "suspended",
    "silent",
    "hung",
    "occupied",
    "crashed",
    "stopped",
    "cooling",
    "set_aside",
    "misconfigured",
    "undying",
    "reserve",
];

/// The labels of the supervisor's metrics.
pub(super) const LABELS: Labels<'_> = Labels { conditions: WORDS, levels: &["L1", "L2", "L3"] };

/// How a worker is: a word for programs, what health makes of it, and what there is to say about it.
pub(super) fn seen(worker: &Worker) -> Seen {
    let (word, verdict, reason) = match worker.actual {
        Actual::Up { .. } => of_condition(worker.condition.unwrap_or(Condition::Starting)),
        Actual::Ousting { .. } => of_condition(Condition::Hung),
        Actual::Absent | Actual::Starting { .. } => ("starting", Verdict::Degraded, "it is being started"),
        Actual::Asked { .. } => ("crashed", Verdict::Degraded, "its host is to start it again"),
        Actual::Ending { .. } => ("crashed", Verdict::Degraded, "it is ending"),
        Actual::Refused => ("starting", Verdict::Degraded, "it refused to start"),
        Actual::Occupied => ("occupied", Verdict::Degraded, "its lock is held by a recovery or an operator"),
        Actual::Cooling { .. } => {
            ("cooling", Verdict::Degraded, "it died and is started again after a pause")
        }
        Actual::Resting(rest) => of_rest(rest),
    };
    let up = matches!(worker.actual, Actual::Up { .. } | Actual::Ousting { .. });
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    Seen {
        word,
        level: level(worker),
        restarts: worker.tally.count(),
        is_backup: worker.is_backup,
        health: WorkerSeen { name: worker.name.clone(), up, verdict, reason },
    }
}

const fn of_rest(rest: Rest) -> (&'static str, Verdict, &'static str) {
    match rest {
        Rest::Stopped => ("stopped", Verdict::Degraded, "it was stopped"),
        Rest::SetAside => ("set_aside", Verdict::Failing, "it is set aside: nobody restarts it any more"),
        Rest::Misconfigured => {
            ("misconfigured", Verdict::Failing, "it cannot start the way it is configured")
        }
        Rest::LeftRunning => ("undying", Verdict::Failing, "it could not be ended"),
        Rest::Reserve => ("reserve", Verdict::Ok, ""),
    }
}

const fn of_condition(condition: Condition) -> (&'static str, Verdict, &'static str) {
    let (verdict, reason) = match condition {
        Condition::Working | Condition::Starting | Condition::Paused | Condition::Draining => {
            (Verdict::Ok, "")
        }
        Condition::Degraded => (Verdict::Degraded, "it claims nothing"),
        Condition::DiskFull => (Verdict::Degraded, "the disk is full, and it claims nothing"),
        Condition::DiskWait => (Verdict::Degraded, "it waits for a disk, where no signal reaches it"),
        Condition::Suspended => (Verdict::Degraded, "it was stopped by a signal; kill -CONT lets it go on"),
        Condition::Silent => {
            (Verdict::Degraded, "it makes no progress, and its process cannot be seen from here")
        }
        Condition::Hung => (Verdict::Degraded, "it hangs and is being ended"),
        Condition::Occupied => (Verdict::Degraded, "its lock is held by a recovery or an operator"),
        Condition::Crashed => (Verdict::Degraded, "it died"),
        Condition::Stopped => (Verdict::Degraded, "it was stopped"),
    };
    (condition.as_str(), verdict, reason)
}

/// A worker that claims nothing says why.
pub(super) fn with_hold(seen: &WorkerSeen, states: &BTreeMap<WorkerName, State>) -> WorkerSeen {
    let hold = states.get(&seen.name).and_then(|state| state.hold.as_ref()).filter(|_| seen.up);
    let mut seen = seen.clone();
    if let (Some(reason), Some(hold)) = (&mut seen.reason, hold) {
        *reason = format!("{reason} ({}: {})", hold.cause.as_str(), hold.reason);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::super::state::Origin;
    use super::*;
    use crate::clock::Ticks;

    #[test]
    fn every_word_and_every_level_is_a_label_from_the_start() {
        let now = Ticks::default();
        let up = Actual::Up { origin: Origin::Child, began: now };
        let actuals = [
            Actual::Absent,
            Actual::Starting { began: now, until: now },
            Actual::Asked { until: now, freed: true },
            Actual::Ousting { origin: Origin::Child, began: now, until: now, killed: false },
            Actual::Ending { began: now, until: now },
            Actual::Refused,
            Actual::Occupied,
            Actual::Cooling { until: now },
        ];
        let rests = [Rest::Stopped, Rest::SetAside, Rest::Misconfigured, Rest::LeftRunning, Rest::Reserve];
        let conditions = [
            Condition::Working,
            Condition::Starting,
            Condition::Paused,
            Condition::Draining,
            Condition::Degraded,
            Condition::DiskFull,
            Condition::DiskWait,
            Condition::Suspended,
            Condition::Silent,
            Condition::Hung,
            Condition::Occupied,
            Condition::Crashed,
            Condition::Stopped,
        ];
        let marie = || Worker::new("marie".parse().unwrap());
        let others = actuals.into_iter().chain(rests.map(Actual::Resting));
        let workers = others.map(|actual| Worker { actual, ..marie() });
        let living = conditions.map(|it| Worker { actual: up, condition: Some(it), ..marie() });
        for worker in workers.chain(living) {
            let seen = seen(&worker);
            assert!(WORDS.contains(&seen.word), "{worker:?}");
            assert_eq!(seen.health.verdict == Verdict::Ok, seen.health.reason.is_none(), "{worker:?}");
            let acts = seen.level == Some(Level::L3);
            assert_eq!(seen.health.verdict == Verdict::Failing, acts, "somebody has to act: {worker:?}");
        }
        assert_eq!(LABELS.levels, Level::ALL.map(Level::as_str));
    }
}
