//! From which places a worker takes its tasks, and when a gradual resume that nobody leads is over. Pure.

use std::io;
use std::path::Path;

use crate::agent::disposition::Holding;
use crate::clock::Ticks;
use crate::os::trouble::Trouble;
use crate::recovery::ramp::lines::remedy;
use crate::recovery::ramp::{Phase, Record};
use crate::task::{HoldCause, Place, WorkerName};

/// From where tasks are taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Takes {
    /// From every queue.
    #[default]
    All,
    /// From `staged/` only: a gradual resume is under way.
    Staged,
    /// The same, and a person has to look: a gradual resume stopped, or it is not known whether there is one.
    Held(Box<Holding>),
}

impl Takes {
    /// While it is not known whether there is a gradual resume.
    pub fn unknown(path: &Path, error: &io::Error) -> Self {
        let remedy = Trouble::of(error).map_or(
            "let the worker's user read it, or remove it: then there is none; the worker goes on by itself",
            Trouble::remedy,
        );
        Self::Held(Box::new(Holding {
            cause: HoldCause::Resume,
            reason: format!(
                "whether a gradual resume is under way is not known: {}: {error}",
                path.display()
            ),
            remedy: remedy.to_owned(),
            until: None,
        }))
    }

    /// Whether a task that waits in `place` may be taken.
    pub fn allows(&self, place: Place) -> bool {
        match self {
            Self::All => true,
            Self::Staged | Self::Held(_) => place == Place::Staged,
        }
    }

    /// What a person should know.
    pub fn holding(&self) -> Option<&Holding> {
        match self {
            Self::Held(holding) => Some(holding),
            Self::All | Self::Staged => None,
        }
    }
}

/// What a look at `resume.json` found.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// What it says.
    pub record: &'a Record,
    /// Whether somebody holds its lock.
    pub is_led: bool,
}

/// Counts how long nobody has led.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    leaderless: Option<Ticks>,
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Take from there.
    Take(Takes),
    /// Nobody has led for too long: end the resume, and take everything.
    End,
}

impl Patience {
    /// What follows from `sight`, and from what was seen before.
    pub fn judge(&mut self, worker: &WorkerName, sight: Option<Sight<'_>>, now: Ticks) -> Verdict {
        let Some(Sight { record, is_led }) = sight else {
            self.leaderless = None;
            return Verdict::Take(Takes::All);
        };
        if record.state == Phase::Stopped {
            self.leaderless = None;
            return Verdict::Take(Takes::Held(Box::new(stopped(worker, record))));
        }
        if is_led {
            self.leaderless = None;
            return Verdict::Take(Takes::Staged);
        }
        let since = *self.leaderless.get_or_insert(now);
        if now.since(since) >= record.terms.leaderless() {
            self.leaderless = None;
            return Verdict::End;
        }
        Verdict::Take(Takes::Staged)
    }
}

fn stopped(worker: &WorkerName, record: &Record) -> Holding {
    let why = record.reason.as_deref().unwrap_or("too much of a batch failed");
    Holding {
        cause: HoldCause::Resume,
        reason: format!("the gradual resume was stopped: {why}"),
        remedy: remedy(worker),
        until: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::os::process::ProcessId;
    use crate::recovery::ramp::Terms;

    fn record(state: Phase) -> Record {
        let terms = Terms::usual();
        let now = "2026-03-01T10:00:00Z".parse().unwrap();
        Record { state, ..Record::begin(terms, 12, ProcessId::current(), now) }
    }

    #[test]
    fn a_resume_that_nobody_leads_is_over_after_a_minute_and_not_before() {
        let worker: WorkerName = "marie".parse().unwrap();
        let record = record(Phase::Waiting);
        let mut patience = Patience::default();
        let (led, orphaned) = (Some(true), Some(false));
        for (second, sight, expected) in [
            (0, None, Verdict::Take(Takes::All)),
            (10, led, Verdict::Take(Takes::Staged)),
            (500, led, Verdict::Take(Takes::Staged)),
            (501, orphaned, Verdict::Take(Takes::Staged)),
            (560, orphaned, Verdict::Take(Takes::Staged)),
            (560, led, Verdict::Take(Takes::Staged)),
            (570, orphaned, Verdict::Take(Takes::Staged)),
            (629, orphaned, Verdict::Take(Takes::Staged)),
            (630, orphaned, Verdict::End),
            (631, None, Verdict::Take(Takes::All)),
            (632, orphaned, Verdict::Take(Takes::Staged)),
        ] {
            let sight = sight.map(|is_led| Sight { record: &record, is_led });
            let now = Ticks(Duration::from_secs(second));
            assert_eq!(patience.judge(&worker, sight, now), expected, "at {second} s");
        }
    }

    #[test]
    fn a_resume_that_stopped_waits_for_a_person_however_long() {
        let worker: WorkerName = "marie".parse().unwrap();
        let record = Record { reason: Some("3 of 5".to_owned()), ..record(Phase::Stopped) };
        let mut patience = Patience::default();
        for second in [0, 59, 61, 1_000_000] {
            let sight = Some(Sight { record: &record, is_led: false });
            let Verdict::Take(takes) = patience.judge(&worker, sight, Ticks(Duration::from_secs(second)))
            else {
                panic!("it ended by itself")
            };
            assert!(
                takes.allows(Place::Staged) && !takes.allows(Place::Pending) && !takes.allows(Place::Inbox)
            );
            let holding = takes.holding().unwrap();
            assert_eq!(holding.cause, HoldCause::Resume);
            assert!(holding.reason.contains("3 of 5"), "{holding:?}");
            assert!(holding.remedy.contains("supervisor resume marie --abandon"), "{holding:?}");
        }
    }
}
