//! What each worker claimed and spent today (UTC), read from the journals as they grow.
//!
//! Invariant: a state change counts once; the line of one may come twice, and then both have the same `id`.

use std::collections::{BTreeMap, HashSet};

use crate::task::WorkerName;
use crate::telemetry::journal::{Event, Line};

use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::gazette::{From, Gazette};

/// What a worker did today.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Today {
    /// US dollars of the attempts that ended.
    pub(super) cost_usd: f64,
    /// How many tasks it claimed.
    pub(super) claims: usize,
}

/// The sums of one day.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    day: String,
    gazette: Option<Gazette>,
    counted: HashSet<String>,
    sums: BTreeMap<WorkerName, Today>,
}

impl Ledger {
    /// Reads what is new.
    pub(super) fn read(&mut self, desk: &Desk, workers: &[WorkerName]) -> Result<(), OperatorError> {
        let today = desk.clock.wall().strftime("%Y-%m-%d").to_string();
        if self.day != today {
            *self = Self { day: today, ..Self::default() };
        }
        let mut gazette = match self.gazette.take() {
            Some(gazette) => gazette,
            None => Gazette::open(&desk.layout, From::Day(self.day.clone()), workers)?,
        };
        gazette.drain(workers, &mut |line| {
            self.count(line);
            true
        })?;
        self.gazette = Some(gazette);
        Ok(())
    }

    /// What a worker did today.
    pub(super) fn of(&self, worker: &WorkerName) -> Today {
        self.sums.get(worker).copied().unwrap_or_default()
    }

    fn count(&mut self, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return };
        if line.id.is_some_and(|id| !self.counted.insert(id)) {
            return;
        }
        let today = self.sums.entry(line.worker).or_default();
        today.claims += usize::from(line.event == Event::Claimed);
        if matches!(line.event, Event::Requeued | Event::Concluded) {
            today.cost_usd += line.cost_usd.unwrap_or(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_comes_twice_counts_once() {
        let line = |event: &str, id: &str, cost: &str| {
            format!(
                r#"{{"time":"2026-01-01T00:00:00Z","worker":"marie","event":"{event}","id":"{id}"{cost}}}"#
            )
        };
        let mut ledger = Ledger::default();
        for line in [
            line("claimed", "a:1:claimed", ""),
            line("claimed", "a:1:claimed", ""),
            line("requeued", "a:1:requeued", r#","cost_usd":0.5"#),
            line("requeued", "a:1:requeued", r#","cost_usd":0.5"#),
            line("concluded", "a:2:concluded", r#","cost_usd":0.25"#),
            line("started", "a:2:started", r#","cost_usd":9"#),
            "nonsense".to_owned(),
        ] {
            ledger.count(line.as_bytes());
        }
        let marie = ledger.sums[&"marie".parse::<WorkerName>().unwrap()];
        assert_eq!(marie, Today { cost_usd: 0.75, claims: 1 });
    }
}
