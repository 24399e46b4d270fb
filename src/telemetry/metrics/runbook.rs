//! The metrics that the runbooks ask for, under exactly their names and without other labels.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use crate::task::TaskState;

use super::MetricsError;
use super::registry::Registrar;

/// From a tenth of a second to two hours.
const RUN_BUCKETS: [f64; 15] =
    [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0];
const API_BUCKETS: [f64; 11] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The states in which a run can end, as `agent_runs_total` counts them.
pub(super) const ENDS: [TaskState; 4] =
    [TaskState::Completed, TaskState::Failed, TaskState::Timeout, TaskState::Cancelled];

/// The runbooks' metrics.
#[derive(Clone, Debug)]
pub struct Runbook {
    active: IntGauge,
    failed: IntCounter,
    duration: Histogram,
    runs: IntCounterVec,
    api: Histogram,
}

impl Runbook {
    pub(super) fn new(registry: &Registrar) -> Result<Self, MetricsError> {
        let runs = registry.counters("agent_runs_total", "Tasks that ended, by how they ended.", "status")?;
        for end in ENDS {
            runs.with_label_values(&[end.as_str()]).reset();
        }
        Ok(Self {
            active: registry.int_gauge("active_tasks", "Tasks that are being run now.")?,
            failed: registry.counter("task_failed_total", "Task files moved into failed/.")?,
            duration: registry.histogram(
                "agent_execution_duration_seconds",
                "How long agents ran, from start to end of an attempt.",
                &RUN_BUCKETS,
            )?,
            runs,
            api: registry.histogram(
                "external_api_request_duration_seconds",
                "How long requests to the model's API took.",
                &API_BUCKETS,
            )?,
        })
    }

    /// How many tasks are being run now.
    pub fn set_active_tasks(&self, count: u64) {
        self.active.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A task file went into `failed/`.
    pub fn task_failed(&self) {
        self.failed.inc();
    }

    /// A task ended in `state`; a state that is no end is not counted.
    pub fn run_ended(&self, state: TaskState) {
        if state.is_terminal() {
            self.runs.with_label_values(&[state.as_str()]).inc();
        }
    }

    /// An attempt of an agent took `time`.
    pub fn agent_ran(&self, time: Duration) {
        self.duration.observe(time.as_secs_f64());
    }

    /// A request to the model's API took `time`.
    pub fn api_request(&self, time: Duration) {
        self.api.observe(time.as_secs_f64());
    }
}
