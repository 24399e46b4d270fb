//! The supervisor's metrics: the runbooks' names at 0 (it runs no task itself), and its workers.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, Histogram, IntCounterVec, IntGaugeVec};

use crate::task::WorkerName;
use crate::telemetry::state_file::Resuming;

use super::registry::Registrar;
use super::{MetricsError, Runbook};

/// The fixed values of two labels.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// How a worker can be.
    pub conditions: &'a [&'a str],
    /// How far a trouble can have gone.
    pub levels: &'a [&'a str],
}

/// Whether a worker is at work, as far as two metrics tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its watcher lives.
    Up,
    /// It does not.
    Down,
    /// It does not, and nobody restarts it any more.
    Aside,
}

/// From the last heartbeat to the notice of a death: milliseconds for a crash, a minute and more for a hang.
const DETECTION_BUCKETS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0, 90.0, 300.0];
/// From there to a watcher that holds the lock again.
const RECOVERY_BUCKETS: [f64; 10] = [0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 30.0, 90.0, 300.0, 1800.0];

/// The supervisor's metrics. Cloning shares them.
#[derive(Clone, Debug)]
pub struct SupervisorMetrics {
    registry: Registrar,
    // Held so that the names stay registered; a supervisor never changes them.
    _runbook: Runbook,
    up: IntGaugeVec,
    set_aside: IntGaugeVec,
    conditions: IntGaugeVec,
    severities: IntGaugeVec,
    restarts: IntCounterVec,
    recoveries: IntCounterVec,
    recovered_tasks: IntCounterVec,
    detection: Histogram,
    recovery: Histogram,
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
    pub fn new(version: &str, workers: &[WorkerName], labels: &Labels<'_>) -> Result<Self, MetricsError> {
        let registry = Registrar::new(version)?;
        let metrics = Self {
            _runbook: Runbook::new(&registry)?,
            up: registry.int_gauges("agent_worker_up", "1 while the worker's watcher lives.", "worker")?,
            set_aside: registry.int_gauges(
                "agent_worker_set_aside",
                "1 while the worker is no longer restarted.",
                "worker",
            )?,
            conditions: registry.int_gauges(
                "agent_worker_workers",
                "How many workers are in this condition.",
                "condition",
            )?,
            severities: registry.int_gauges(
                "agent_worker_troubles",
                "How many workers are in trouble that has gone so far: L1 restarting, L2 again, L3 given up.",
                "severity",
            )?,
            restarts: registry.counters(
                "agent_worker_restarts_total",
                "How often the supervisor restarted the worker.",
                "worker",
            )?,
            recoveries: registry.counters(
                "agent_worker_recoveries_total",
                "How often the worker was back after a death, or was recovered without a watcher.",
                "worker",
            )?,
            recovered_tasks: registry.counters(
                "agent_worker_recovered_tasks_total",
                "Tasks that were at work when their watcher died, and were brought home or taken up again.",
                "worker",
            )?,
            detection: registry.histogram(
                "agent_worker_detection_seconds",
                "From a watcher's last heartbeat until its death or hang was noticed.",
                &DETECTION_BUCKETS,
            )?,
            recovery: registry.histogram(
                "agent_worker_recovery_seconds",
                "From the notice of a watcher's death until a watcher held its lock again.",
                &RECOVERY_BUCKETS,
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
        count(&metrics.conditions, labels.conditions, &[]);
        count(&metrics.severities, labels.levels, &[]);
        Ok(metrics)
    }

    fn admit(&self, worker: &WorkerName) {
        let label = &[worker.as_str()];
        self.up.with_label_values(label).set(0);
        self.set_aside.with_label_values(label).set(0);
        self.restarts.with_label_values(label).reset();
        self.recoveries.with_label_values(label).reset();
        self.recovered_tasks.with_label_values(label).reset();
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

    /// What was seen of the worker.
    pub fn seen(&self, worker: &WorkerName, standing: Standing) {
        let label = &[worker.as_str()];
        self.up.with_label_values(label).set(i64::from(standing == Standing::Up));
        self.set_aside.with_label_values(label).set(i64::from(standing == Standing::Aside));
    }

    /// The condition of each worker, of the words that there are from the start.
    pub fn set_conditions(&self, words: &[&str], labels: &Labels<'_>) {
        count(&self.conditions, labels.conditions, words);
    }

    /// How far the trouble of each worker that is in one has gone.
    pub fn set_severities(&self, levels: &[&str], labels: &Labels<'_>) {
        count(&self.severities, labels.levels, levels);
    }

    /// The worker was restarted.
    pub fn restarted(&self, worker: &WorkerName) {
        self.restarts.with_label_values(&[worker.as_str()]).inc();
    }

    /// A death was noticed so long after the last sign of life.
    pub fn detected(&self, after: Duration) {
        self.detection.observe(after.as_secs_f64());
    }

    /// The worker is back after so long, or was recovered without a watcher; how many tasks were brought home.
    pub fn recovered(&self, worker: &WorkerName, after: Option<Duration>, tasks: u64) {
        let label = &[worker.as_str()];
        self.recoveries.with_label_values(label).inc();
        self.recovered_tasks.with_label_values(label).inc_by(tasks);
        if let Some(after) = after {
            self.recovery.observe(after.as_secs_f64());
        }
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

/// Sets each of `all` to how often it is among `found`.
fn count(gauges: &IntGaugeVec, all: &[&str], found: &[&str]) {
    for word in all {
        let times = found.iter().filter(|it| *it == word).count();
        gauges.with_label_values(&[word]).set(i64::try_from(times).unwrap_or(i64::MAX));
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

    const LABELS: Labels<'_> =
        Labels { conditions: &["working", "crashed", "hung"], levels: &["L1", "L2", "L3"] };

    #[test]
    fn every_worker_is_there_from_the_start_and_changes_are_seen() {
        let (marie, anga): (WorkerName, WorkerName) = ("marie".parse().unwrap(), "anga".parse().unwrap());
        let metrics = SupervisorMetrics::new("1", &[marie.clone(), anga.clone()], &LABELS).unwrap();
        metrics.seen(&marie, Standing::Up);
        metrics.restarted(&marie);
        metrics.seen(&anga, Standing::Aside);
        metrics.recovered(&marie, Some(Duration::from_secs(3)), 2);
        metrics.detected(Duration::from_millis(70));
        metrics.set_conditions(&["working", "crashed", "working"], &LABELS);
        metrics.set_severities(&["L2"], &LABELS);
        let text = metrics.render();
        for line in [
            "agent_worker_up{worker=\"marie\"} 1",
            "agent_worker_up{worker=\"anga\"} 0",
            "agent_worker_restarts_total{worker=\"marie\"} 1",
            "agent_worker_restarts_total{worker=\"anga\"} 0",
            "agent_worker_set_aside{worker=\"anga\"} 1",
            "agent_worker_recoveries_total{worker=\"marie\"} 1",
            "agent_worker_recovered_tasks_total{worker=\"marie\"} 2",
            "agent_worker_recovered_tasks_total{worker=\"anga\"} 0",
            "agent_worker_recovery_seconds_bucket{le=\"2\"} 0",
            "agent_worker_recovery_seconds_bucket{le=\"5\"} 1",
            "agent_worker_detection_seconds_bucket{le=\"0.1\"} 1",
            "agent_worker_workers{condition=\"working\"} 2",
            "agent_worker_workers{condition=\"hung\"} 0",
            "agent_worker_troubles{severity=\"L2\"} 1",
            "agent_worker_troubles{severity=\"L3\"} 0",
            "active_tasks 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
    }
}
