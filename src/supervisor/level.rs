//! How far a trouble has gone, in the words of the runbooks' escalation path (pure).
//!
//! | level | when | who |
//! |---|---|---|
//! | L1 | a first death, a hung watcher, a start that is waited for | nobody yet: it is being restarted |
//! | L2 | a second death in the window, a pause before the next restart, a watcher that no restart would help | somebody should look |
//! | L3 | set aside, wrongly configured, not to be ended | somebody has to act |

use std::fmt;

use super::state::{Actual, Rest, Worker};

/// How far a trouble has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is dealt with.
    L1,
    /// It goes on in spite of that.
    L2,
    /// It is not dealt with any more.
    L3,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::L1, Self::L2, Self::L3];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L3 => "L3",
        }
    }

    /// The level of death number `n` within the window, counted from 1.
    pub const fn of_death(n: usize) -> Self {
        if n <= 1 { Self::L1 } else { Self::L2 }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far the trouble with a worker has gone; `None`: there is none.
pub fn level(worker: &Worker) -> Option<Level> {
    let died_before = || (worker.tally.count() > 0).then(|| Level::of_death(worker.tally.count()));
    match worker.actual {
        Actual::Up { .. } => worker.condition.filter(|it| it.is_stuck()).map(|_| Level::L2),
        Actual::Ousting { .. } => Some(Level::of_death(worker.tally.count() + 1)),
        Actual::Asked { .. } => Some(Level::of_death(worker.tally.count())),
        Actual::Absent | Actual::Starting { .. } | Actual::Ending { .. } | Actual::Refused => died_before(),
        Actual::Cooling { .. } => Some(Level::L2),
        Actual::Resting(Rest::SetAside | Rest::Misconfigured | Rest::LeftRunning) => Some(Level::L3),
        Actual::Occupied | Actual::Resting(Rest::Stopped | Rest::Reserve) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::condition::Condition;
    use super::super::restart::{Death, Policy, decide};
    use super::super::state::Origin;
    use super::*;
    use crate::clock::Ticks;

    fn worker(actual: Actual, deaths: u64, condition: Option<Condition>) -> Worker {
        let policy = Policy { max_restarts: 9, cooldown: Duration::ZERO, window: Duration::from_mins(10) };
        let mut worker = Worker::new("marie".parse().unwrap());
        for second in 0..deaths {
            let now = Ticks(Duration::from_secs(second));
            decide(&mut worker.tally, Death { began: now, died: now }, now, &policy, 0.0);
        }
        Worker { actual, condition, ..worker }
    }

    #[test]
    fn every_state_has_its_level() {
        let now = Ticks::default();
        let up = Actual::Up { origin: Origin::Child, began: now };
        let ousting = Actual::Ousting { origin: Origin::Child, began: now, until: now, killed: false };
        let starting = Actual::Starting { began: now, until: now };
        for (actual, deaths, condition, expected) in [
            (up, 0, Some(Condition::Working), None),
            (up, 2, Some(Condition::Working), None),
            (up, 0, Some(Condition::Degraded), None),
            (up, 0, Some(Condition::Suspended), Some(Level::L2)),
            (up, 0, Some(Condition::DiskWait), Some(Level::L2)),
            (up, 0, Some(Condition::DiskFull), Some(Level::L2)),
            (up, 0, Some(Condition::Silent), Some(Level::L2)),
            (ousting, 0, Some(Condition::Hung), Some(Level::L1)),
            (ousting, 1, Some(Condition::Hung), Some(Level::L2)),
            (starting, 0, None, None),
            (starting, 1, None, Some(Level::L1)),
            (starting, 2, None, Some(Level::L2)),
            (Actual::Cooling { until: now }, 2, None, Some(Level::L2)),
            (Actual::Asked { until: now, freed: true }, 1, None, Some(Level::L1)),
            (Actual::Resting(Rest::SetAside), 3, None, Some(Level::L3)),
            (Actual::Resting(Rest::Misconfigured), 0, None, Some(Level::L3)),
            (Actual::Resting(Rest::Stopped), 3, None, None),
            (Actual::Resting(Rest::Reserve), 0, None, None),
        ] {
            assert_eq!(
                level(&worker(actual, deaths, condition)),
                expected,
                "{actual:?} {deaths} {condition:?}"
            );
        }
    }
}
