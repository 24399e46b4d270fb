//! What is counted for each pack.
//!
//! Invariants:
//! - a pack has a label while it is there, and no longer: what a task names and nobody wrote is not counted, so that no task
//!   makes the page longer;
//! - `default` is always there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounterVec, IntGaugeVec};

use crate::task::TaskState;

use super::MetricsError;
use super::registry::Registrar;
use super::runbook::ENDS;

/// The built-in pack.
const DEFAULT: &str = "default";

/// What is counted for each pack. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Packs {
    runs: IntCounterVec,
    available: IntGaugeVec,
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl Packs {
    pub(super) fn new(registry: &Registrar) -> Result<Self, MetricsError> {
        let packs = Self {
            runs: registry.counters_by(
                "agent_worker_pack_runs_total",
                "Tasks that ended, by their pack and how they ended.",
                &["pack", "status"],
            )?,
            available: registry.int_gauges(
                "agent_worker_pack_available",
                "1 while tasks of the pack are started, 0 while it is disabled or something is wrong with it.",
                "pack",
            )?,
            known: Arc::default(),
        };
        packs.set([(DEFAULT, true)].into_iter());
        Ok(packs)
    }

    /// The packs that there are, and whether their tasks are started.
    pub fn set<'a>(&self, packs: impl Iterator<Item = (&'a str, bool)>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *known);
        for (name, is_available) in packs {
            if !gone.remove(name) {
                for end in ENDS {
                    self.runs.with_label_values(&[name, end.as_str()]).reset();
                }
            }
            self.available.with_label_values(&[name]).set(is_available.into());
            known.insert(name.to_owned());
        }
        for name in gone {
            for end in ENDS {
                self.runs.remove_label_values(&[&name, end.as_str()]).ok();
            }
            self.available.remove_label_values(&[&name]).ok();
        }
    }

    /// A task of this pack ended in `state`; one of a pack that is not there is not counted here.
    pub fn run_ended(&self, pack: Option<&str>, state: TaskState) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(pack.unwrap_or(DEFAULT)).filter(|_| state.is_terminal()) {
            self.runs.with_label_values(&[name, state.as_str()]).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_counted_while_it_is_there_and_no_task_makes_one_up() {
        let registry = Registrar::new("1").unwrap();
        let packs = Packs::new(&registry).unwrap();
        let text = registry.render();
        assert!(
            text.contains("agent_worker_pack_runs_total{pack=\"default\",status=\"FAILED\"} 0"),
            "{text}"
        );
        packs.set([("default", true), ("review", false)].into_iter());
        packs.run_ended(None, TaskState::Completed);
        packs.run_ended(Some("review"), TaskState::Failed);
        packs.run_ended(Some("made-up"), TaskState::Failed);
        packs.run_ended(Some("review"), TaskState::Running);
        let text = registry.render();
        for line in [
            "agent_worker_pack_runs_total{pack=\"default\",status=\"COMPLETED\"} 1",
            "agent_worker_pack_runs_total{pack=\"review\",status=\"FAILED\"} 1",
            "agent_worker_pack_available{pack=\"default\"} 1",
            "agent_worker_pack_available{pack=\"review\"} 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
        assert!(!text.contains("made-up") && !text.contains("RUNNING"), "{text}");
        packs.set([("default", true)].into_iter());
        let text = registry.render();
        assert!(!text.contains("review") && text.contains("status=\"COMPLETED\"} 1"), "{text}");
    }
}
