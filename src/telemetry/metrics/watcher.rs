//! One worker's metrics.

use std::time::Duration;

use prometheus::{Counter, Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::config::Kind;
use crate::os::space::Space;
use crate::task::{Tokens, Usage};
use crate::telemetry::state_file::{HoldCause, QueueDepths};

use super::registry::Registrar;
use super::{BudgetMetrics, MetricsError, Packs, Runbook};

/// What is written on a disk.
const DISKS: [&str; 6] = ["root", "artifacts", "workspaces", "log", "scratch", "home"];

const TOKEN_KINDS: [&str; 4] = ["input", "output", "cache_read", "cache_write"];

/// One worker's metrics. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registrar,
    runbook: Runbook,
    budget: BudgetMetrics,
    counts: Counts,
    levels: Levels,
    packs: Packs,
}

#[derive(Clone, Debug)]
struct Counts {
    claims: IntCounter,
    retries: IntCounter,
    recoveries: IntCounter,
    adoptions: IntCounter,
    restarts: IntCounter,
    pipe_dropped: IntCounter,
    pipe_commands: IntCounter,
    log_lost: IntCounter,
    journal_lost: IntCounter,
    tokens: IntCounterVec,
    cost: Counter,
    pruned: IntCounterVec,
    pruned_bytes: IntCounterVec,
}

#[derive(Clone, Debug)]
struct Levels {
    queue: IntGaugeVec,
    held: IntGaugeVec,
    rate_limited: IntGauge,
    breaker: IntGauge,
    oldest_pending: Gauge,
    heartbeat_age: Gauge,
    loop_lag: Gauge,
    disk_bytes: IntGaugeVec,
    disk_inodes: IntGaugeVec,
    journal_waiting: IntGauge,
    agents_memory: IntGauge,
    memory_left: IntGauge,
    claude: IntGaugeVec,
}

impl Counts {
    fn new(registry: &Registrar) -> Result<Self, MetricsError> {
        let tokens =
            registry.counters("agent_worker_tokens_total", "Tokens as the API counted them.", "kind")?;
        for kind in TOKEN_KINDS {
            tokens.with_label_values(&[kind]).reset();
        }
        let pruned =
            registry.counters("agent_worker_pruned_total", "Things removed after their time.", "kind")?;
        let pruned_bytes =
            registry.counters("agent_worker_pruned_bytes_total", "Bytes that this freed.", "kind")?;
        for kind in Kind::ALL {
            pruned.with_label_values(&[kind.as_str()]).reset();
            pruned_bytes.with_label_values(&[kind.as_str()]).reset();
        }
        let count = |name: &str, help: &str| registry.counter(name, help);
        Ok(Self {
            claims: count("agent_worker_claims_total", "Tasks moved into active/.")?,
            retries: count("agent_worker_retries_total", "Tasks put back to be tried again.")?,
            recoveries: count("agent_worker_recoveries_total", "Tasks found after a crash and dealt with.")?,
            adoptions: count("agent_worker_adoptions_total", "Living agents taken up by a new watcher.")?,
            restarts: count("agent_worker_restarts_total", "How often this worker was recovered.")?,
            pipe_dropped: count("agent_worker_pipe_dropped_total", "Events that no reader took in time.")?,
            pipe_commands: count("agent_worker_pipe_commands_total", "Commands that were answered.")?,
            log_lost: count("agent_worker_log_lines_lost_total", "Lines that the log file did not take.")?,
            journal_lost: count("agent_worker_journal_lines_lost_total", "Lines that no journal will have.")?,
            tokens,
            cost: registry
                .float_counter("agent_worker_cost_usd_total", "What agents cost, in US dollars.")?,
            pruned,
            pruned_bytes,
        })
    }
}

impl Levels {
    fn new(registry: &Registrar) -> Result<Self, MetricsError> {
        let held = "1 while the worker does not claim for this cause (outage: the breaker is open).";
        let levels = Self {
            queue: registry.int_gauges("agent_worker_queue_depth", "Task files, by place.", "state")?,
            held: registry.int_gauges("agent_worker_held", held, "cause")?,
            rate_limited: registry.int_gauge(
                "agent_worker_rate_limited",
                "1 while the API refuses requests of this worker's account.",
            )?,
            breaker: registry.int_gauge(
                "agent_worker_breaker_state",
                "The breaker of this worker's account: 0 closed, 1 half-open, 2 open.",
            )?,
            oldest_pending: registry.gauge(
                "agent_worker_oldest_pending_age_seconds",
                "How long the oldest waiting task has waited.",
            )?,
            heartbeat_age: registry
                .gauge("agent_worker_heartbeat_age_seconds", "How long ago the heartbeat was written.")?,
            loop_lag: registry
                .gauge("agent_worker_loop_lag_seconds", "How long ago the work loop last turned.")?,
            disk_bytes: registry.int_gauges(
                "agent_worker_disk_free_bytes",
                "Room, by what is written there.",
                "disk",
            )?,
            disk_inodes: registry.int_gauges(
                "agent_worker_disk_free_inodes",
                "Files that can still be made, by what is written there; -1 where nobody counts them.",
                "disk",
            )?,
            journal_waiting: registry.int_gauge(
                "agent_worker_journal_lines_waiting",
                "Lines that wait in memory for a disk that takes them.",
            )?,
            claude: registry.int_gauges(
                "agent_worker_claude_info",
                "The version of the Claude CLI that agents are started with; always 1.",
                "version",
            )?,
            agents_memory: registry.int_gauge(
                "agent_worker_agents_memory_bytes",
                "Memory that the agents at work use, with all that they started.",
            )?,
            memory_left: registry.int_gauge(
                "agent_worker_memory_available_bytes",
                "Memory that is left to the machine, or to the tightest control group around the worker.",
            )?,
        };
        for disk in DISKS {
            levels.disk_bytes.with_label_values(&[disk]).set(0);
            levels.disk_inodes.with_label_values(&[disk]).set(0);
        }
        levels.set_queues(&QueueDepths::default());
        levels.set_hold(None);
        Ok(levels)
    }

    fn set_queues(&self, depths: &QueueDepths) {
        for (place, depth) in depths.by_place() {
            self.queue.with_label_values(&[place]).set(i64::try_from(depth).unwrap_or(i64::MAX));
        }
    }

    fn set_hold(&self, cause: Option<HoldCause>) {
        for each in HoldCause::ALL {
            self.held.with_label_values(&[each.as_str()]).set(i64::from(cause == Some(each)));
        }
    }
}

impl Metrics {
    /// All metrics at 0, for a program of this `version`.
    pub fn new(version: &str) -> Result<Self, MetricsError> {
        let registry = Registrar::new(version)?;
        Ok(Self {
            runbook: Runbook::new(&registry)?,
            budget: BudgetMetrics::new(&registry)?,
            counts: Counts::new(&registry)?,
            levels: Levels::new(&registry)?,
            packs: Packs::new(&registry)?,
            registry,
        })
    }

    /// The text of a scrape, in Prometheus' format.
    pub fn render(&self) -> String {
        self.registry.render()
    }

    /// The metrics that the runbooks ask for.
    pub const fn runbook(&self) -> &Runbook {
        &self.runbook
    }

    /// Budgets, and what each pack has cost.
    pub const fn budget(&self) -> &BudgetMetrics {
        &self.budget
    }

    /// What is counted for each pack.
    pub const fn packs(&self) -> &Packs {
        &self.packs
    }

    /// A task was claimed.
    pub fn claimed(&self) {
        self.counts.claims.inc();
    }

    /// A task was put back to be tried again.
    pub fn retried(&self) {
        self.counts.retries.inc();
    }

    /// A task was found after a crash and dealt with.
    pub fn recovered(&self) {
        self.counts.recoveries.inc();
    }

    /// A living agent was taken up.
    pub fn adopted(&self) {
        self.counts.adoptions.inc();
    }

    /// The worker has been recovered `times` in its life (`recovery_count`); a smaller number than before is
    /// ignored, since a counter never falls.
    pub fn set_restarts(&self, times: u64) {
        self.counts.restarts.inc_by(times.saturating_sub(self.counts.restarts.get()));
    }

    /// So many events in all no reader took.
    pub fn set_pipe_dropped(&self, count: u64) {
        self.counts.pipe_dropped.inc_by(count.saturating_sub(self.counts.pipe_dropped.get()));
    }

    /// A command was answered.
    pub fn pipe_command(&self) {
        self.counts.pipe_commands.inc();
    }

    /// An attempt used `tokens`.
    pub fn used(&self, tokens: Tokens) {
        let counts = [tokens.input, tokens.output, tokens.cache_read, tokens.cache_write];
        for (kind, count) in TOKEN_KINDS.iter().zip(counts) {
            self.counts.tokens.with_label_values(&[kind]).inc_by(count);
        }
    }

    /// An attempt with `pack` came to so much; dollars that are not a positive number are ignored, since a counter never
    /// falls.
    pub fn spent(&self, pack: &str, usage: Usage) {
        self.budget().spent(pack, usage);
        if let Some(usd) = usage.cost_usd.filter(|usd| usd.is_finite() && *usd > 0.0) {
            self.counts.cost.inc_by(usd);
        }
    }

    /// One thing of `kind` was removed after its time, and freed `bytes`.
    pub fn pruned(&self, kind: Kind, bytes: u64) {
        self.counts.pruned.with_label_values(&[kind.as_str()]).inc();
        self.counts.pruned_bytes.with_label_values(&[kind.as_str()]).inc_by(bytes);
    }

    /// How many tasks lie where.
    pub fn set_queues(&self, depths: &QueueDepths) {
        self.levels.set_queues(depths);
    }

    /// How long the oldest waiting task has waited; zero without one.
    pub fn set_oldest_pending(&self, age: Duration) {
        self.levels.oldest_pending.set(age.as_secs_f64());
    }

    /// How long ago the heartbeat was written.
    pub fn set_heartbeat_age(&self, age: Duration) {
        self.levels.heartbeat_age.set(age.as_secs_f64());
    }

    /// What is left on the disk of `what`, one of [`DISKS`].
    pub fn set_disk(&self, what: &'static str, space: &Space) {
        let clamp = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.levels.disk_bytes.with_label_values(&[what]).set(clamp(space.bytes));
        self.levels
            .disk_inodes
            .with_label_values(&[what])
            .set(space.inodes.map_or(-1, |(left, _)| clamp(left)));
    }

    /// Agents are started with this version of the CLI.
    pub fn set_claude(&self, version: &str) {
        self.levels.claude.reset();
        self.levels.claude.with_label_values(&[version]).set(1);
    }

    /// What the agents at work use in all, in bytes.
    pub fn set_agents_memory(&self, bytes: u64) {
        self.levels.agents_memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// What is left where it is tightest, in bytes.
    pub fn set_memory_left(&self, bytes: u64) {
        self.levels.memory_left.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// So many lines of the journal wait for the disk, and so many in all were given up.
    pub fn set_journal(&self, waiting: usize, lost: u64) {
        self.levels.journal_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.counts.journal_lost.inc_by(lost.saturating_sub(self.counts.journal_lost.get()));
    }

    /// So many lines in all the log file did not take.
    pub fn set_log_lost(&self, lost: u64) {
        self.counts.log_lost.inc_by(lost.saturating_sub(self.counts.log_lost.get()));
    }

    /// How long ago the work loop last turned.
    pub fn set_loop_lag(&self, lag: Duration) {
        self.levels.loop_lag.set(lag.as_secs_f64());
    }

    /// What all workers of the account know: how many rate limits there are, and the breaker as a number.
    pub fn set_account(&self, limits: u8, breaker: u8) {
        self.levels.rate_limited.set(limits.into());
        self.levels.breaker.set(breaker.into());
    }

    /// Why the worker does not claim; `None` when it does.
    pub fn set_hold(&self, cause: Option<HoldCause>) {
        self.levels.set_hold(cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TaskState;

    #[test]
    fn every_runbook_name_is_there_at_zero_from_the_start() {
        let text = Metrics::new("1.2.3").unwrap().render();
        for line in [
            "active_tasks 0",
            "task_failed_total 0",
            "agent_execution_duration_seconds_bucket{le=\"0.1\"} 0",
            "agent_execution_duration_seconds_bucket{le=\"7200\"} 0",
            "agent_execution_duration_seconds_count 0",
            "agent_runs_total{status=\"COMPLETED\"} 0",
            "agent_runs_total{status=\"FAILED\"} 0",
            "agent_runs_total{status=\"TIMEOUT\"} 0",
            "agent_runs_total{status=\"CANCELLED\"} 0",
            "external_api_request_duration_seconds_count 0",
            "agent_worker_queue_depth{state=\"pending\"} 0",
            "agent_worker_held{cause=\"rate_limit\"} 0",
            "agent_worker_rate_limited 0",
            "agent_worker_breaker_state 0",
            "agent_worker_tokens_total{kind=\"cache_write\"} 0",
            "agent_worker_cost_usd_total 0",
            "agent_worker_agents_memory_bytes 0",
            "agent_worker_held{cause=\"memory\"} 0",
            "agent_worker_pruned_total{kind=\"completed\"} 0",
            "agent_worker_pruned_bytes_total{kind=\"artifacts\"} 0",
            "agent_worker_build_info{version=\"1.2.3\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
        assert!(text.contains("process_open_fds "));
    }

    #[test]
    fn what_happens_is_counted() {
        let metrics = Metrics::new("1").unwrap();
        metrics.runbook().run_ended(TaskState::Timeout);
        metrics.runbook().run_ended(TaskState::Running);
        let usd = |usd| Usage { cost_usd: Some(usd), tokens: None };
        metrics.spent("p", usd(0.25));
        metrics.spent("p", usd(-1.0));
        metrics.spent("p", usd(f64::NAN));
        metrics.set_restarts(3);
        metrics.set_restarts(2);
        metrics.set_hold(Some(HoldCause::Auth));
        let text = metrics.render();
        for line in [
            "agent_runs_total{status=\"TIMEOUT\"} 1",
            "agent_worker_cost_usd_total 0.25",
            "agent_worker_restarts_total 3",
            "agent_worker_held{cause=\"auth\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
        assert!(!text.contains("RUNNING"));
    }

    #[test]
    fn two_in_one_process_do_not_meet() {
        let (one, other) = (Metrics::new("1").unwrap(), Metrics::new("1").unwrap());
        one.claimed();
        assert!(other.render().contains("agent_worker_claims_total 0"));
    }
}
