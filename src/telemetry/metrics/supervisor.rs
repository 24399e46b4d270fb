//! The supervisor's metrics: the runbooks' names at 0 (it runs no task itself), and its workers.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGaugeVec};

use crate::task::WorkerName;
use crate::telemetry::state_file::Resuming;

use super::registry::Registrar;
use super::{MetricsError, Runbook};

/// The supervisor's metrics. Cloning shares them.
#[derive(Clone, Debug)]
pub struct SupervisorMetrics {
    registry: Registrar,
    // Held so that the names stay registered; a supervisor never changes them.
    _runbook: Runbook,
    up: IntGaugeVec,
    set_aside: IntGaugeVec,
    restarts: IntCounterVec,
    heartbeat_age: GaugeVec,
    loop_lag: Gauge,
    resume: ResumeGauges,
}

/// The gradual resumes, one number a worker.
#[derive(Clone, Debug)]
struct ResumeGauges {
    under_way: IntGaugeVec,
    found: IntGaugeVec,
    released: IntGaugeVec,
    failed: IntGaugeVec,
    batch: IntGaugeVec,
}

impl SupervisorMetrics {
    /// All metrics at 0 for the configured `workers`, which are the only values of the label `worker`.
    pub fn new(version: &str, workers: &[WorkerName]) -> Result<Self, MetricsError> {
        let registry = Registrar::new(version)?;
        let metrics = Self {
            _runbook: Runbook::new(&registry)?,
            up: registry.int_gauges("agent_worker_up", "1 while the worker's watcher lives.", "worker")?,
            set_aside: registry.int_gauges(
                "agent_worker_set_aside",
                "1 while the worker is no longer restarted.",
                "worker",
            )?,
            restarts: registry.counters(
                "agent_worker_restarts_total",
                "How often the supervisor restarted the worker.",
                "worker",
            )?,
            heartbeat_age: registry.gauges(
                "agent_worker_heartbeat_age_seconds",
                "How long ago the worker's heartbeat was written.",
                "worker",
            )?,
            loop_lag: registry
                .gauge("agent_worker_loop_lag_seconds", "How long ago the supervisor's loop last turned.")?,
            resume: ResumeGauges::new(&registry)?,
            registry,
        };
        for worker in workers {
            metrics.admit(worker);
        }
        Ok(metrics)
    }

    fn admit(&self, worker: &WorkerName) {
        let label = &[worker.as_str()];
        self.up.with_label_values(label).set(0);
        self.set_aside.with_label_values(label).set(0);
        self.restarts.with_label_values(label).reset();
        self.heartbeat_age.with_label_values(label).set(0.0);
        self.set_resume(worker, None);
    }

    /// The gradual resume that the worker follows, if there is one.
    pub fn set_resume(&self, worker: &WorkerName, resuming: Option<&Resuming>) {
        let number =
            |of: fn(&Resuming) -> u64| resuming.map_or(0, |it| i64::try_from(of(it)).unwrap_or(i64::MAX));
        let gauges = &self.resume;
        for (gauge, value) in [
            (&gauges.under_way, number(|it| if it.stopped { 2 } else { 1 })),
            (&gauges.found, number(|it| it.found)),
            (&gauges.released, number(|it| it.released)),
            (&gauges.failed, number(|it| it.failed)),
            (&gauges.batch, number(|it| it.batch.into())),
        ] {
            gauge.with_label_values(&[worker.as_str()]).set(value);
        }
    }

    /// The text of a scrape, in Prometheus' format.
    pub fn render(&self) -> String {
        self.registry.render()
    }

    /// The worker's watcher was seen alive.
    pub fn seen_up(&self, worker: &WorkerName) {
        self.up.with_label_values(&[worker.as_str()]).set(1);
        self.set_aside.with_label_values(&[worker.as_str()]).set(0);
    }

    /// The worker's watcher was seen dead.
    pub fn seen_down(&self, worker: &WorkerName) {
        self.up.with_label_values(&[worker.as_str()]).set(0);
    }

    /// The worker is no longer restarted.
    pub fn set_aside(&self, worker: &WorkerName) {
        self.seen_down(worker);
        self.set_aside.with_label_values(&[worker.as_str()]).set(1);
    }

    /// The worker was restarted.
    pub fn restarted(&self, worker: &WorkerName) {
        self.restarts.with_label_values(&[worker.as_str()]).inc();
    }

    /// How long ago the worker's heartbeat was written.
    pub fn set_heartbeat_age(&self, worker: &WorkerName, age: Duration) {
        self.heartbeat_age.with_label_values(&[worker.as_str()]).set(age.as_secs_f64());
    }

    /// How long ago the supervisor's loop last turned.
    pub fn set_loop_lag(&self, lag: Duration) {
        self.loop_lag.set(lag.as_secs_f64());
    }
}

impl ResumeGauges {
    fn new(registry: &Registrar) -> Result<Self, MetricsError> {
        let gauges =
            |what: &str, help| registry.int_gauges(&format!("agent_worker_resume_{what}"), help, "worker");
        Ok(Self {
            under_way: gauges(
                "state",
                "0 without a gradual resume, 1 while one is under way, 2 when it has stopped.",
            )?,
            found: gauges("found_tasks", "How many tasks waited when the gradual resume began.")?,
            released: gauges("released_tasks", "How many of them were let go.")?,
            failed: gauges("failed_tasks", "How many of those failed.")?,
            batch: gauges("batch", "The latest batch of the gradual resume, counted from 1.")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_is_there_from_the_start_and_changes_are_seen() {
        let (marie, anga): (WorkerName, WorkerName) = ("marie".parse().unwrap(), "anga".parse().unwrap());
        let metrics = SupervisorMetrics::new("1", &[marie.clone(), anga.clone()]).unwrap();
        metrics.seen_up(&marie);
        metrics.restarted(&marie);
        metrics.set_aside(&anga);
        let text = metrics.render();
        for line in [
            "agent_worker_up{worker=\"marie\"} 1",
            "agent_worker_up{worker=\"anga\"} 0",
            "agent_worker_restarts_total{worker=\"marie\"} 1",
            "agent_worker_restarts_total{worker=\"anga\"} 0",
            "agent_worker_set_aside{worker=\"anga\"} 1",
            "active_tasks 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
    }
}
