//! The supervisor as it is seen over HTTP: a board that its loop writes, and the answers made from it.
//!
//! Invariants:
//! - an answer touches no disk and waits for nothing but the board's own lock, which is held for an instant;
//! - a loop that stands still is seen: the age of its last turn is computed when somebody asks.
//!
//! It deliberately does not know how the workers were looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::level::Level;
use super::notice::Notice;
use super::seeing::{LABELS, Seen, seen, with_hold};
use super::state::{Actual, Rest, Worker};
use crate::clock::{SharedClock, Ticks, Timestamp};
use crate::config::WorkerSpec;
use crate::os::process::identity::boot_id;
use crate::task::WorkerName;
use crate::telemetry::face::FaceSource;
use crate::telemetry::health::Snapshot;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::metrics::{MetricsError, Standing, SupervisorMetrics};
use crate::telemetry::state_file::{QueueDepths, State, WorkerStatus};

/// What the loop writes down for those who ask.
#[derive(Debug)]
struct Board {
    turned: Ticks,
    status: WorkerStatus,
    seen: Vec<Seen>,
    states: BTreeMap<WorkerName, State>,
    beats: BTreeMap<WorkerName, Beaten>,
    /// Tasks that were at work when their watcher was found dead.
    at_work: BTreeMap<WorkerName, u64>,
    /// Those whose hang was told, so that the death that follows is not told as late.
    hung: BTreeSet<WorkerName>,
}

/// A heartbeat that was seen.
#[derive(Clone, Copy, Debug)]
struct Beaten {
    at: Timestamp,
    /// On the boot clock, where it is of this boot.
    ticks: Option<Ticks>,
}

/// The board and the numbers.
#[derive(Debug)]
pub(super) struct SupervisorFace {
    workers: Vec<WorkerSpec>,
    clock: SharedClock,
    metrics: SupervisorMetrics,
    board: Mutex<Board>,
}

impl SupervisorFace {
    /// Nobody has been looked at yet.
    pub(super) fn new(workers: &[WorkerSpec], clock: &SharedClock) -> Result<Self, MetricsError> {
        let names: Vec<WorkerName> = workers.iter().map(|it| it.name.clone()).collect();
        Ok(Self {
            workers: workers.to_vec(),
            metrics: SupervisorMetrics::new(env!("CARGO_PKG_VERSION"), &names, &LABELS)?,
            board: Mutex::new(Board {
                turned: clock.ticks(),
                status: WorkerStatus::Starting,
                seen: Vec::new(),
                states: BTreeMap::new(),
                beats: BTreeMap::new(),
                at_work: BTreeMap::new(),
                hung: BTreeSet::new(),
            }),
            clock: Arc::clone(clock),
        })
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop turned, and these are the workers now.
    pub(super) fn turned(&self, workers: &[Worker], status: WorkerStatus) {
        let seen: Vec<Seen> = workers.iter().map(seen).collect();
        for (worker, seen) in workers.iter().zip(&seen) {
            let is_aside = worker.actual == Actual::Resting(Rest::SetAside);
            let down = if is_aside { Standing::Aside } else { Standing::Down };
            self.metrics.seen(&worker.name, if seen.health.up { Standing::Up } else { down });
        }
        let words: Vec<&str> = seen.iter().map(|it| it.word).collect();
        let levels: Vec<&str> = seen.iter().filter_map(|it| it.level).map(Level::as_str).collect();
        self.metrics.set_conditions(&words, &LABELS);
        self.metrics.set_severities(&levels, &LABELS);
        let mut board = self.board();
        board.turned = self.clock.ticks();
        board.status = status;
        board.seen = seen;
    }

    /// What a worker says about itself.
    pub(super) fn says(&self, worker: &WorkerName, state: State) {
        self.board().states.insert(worker.clone(), state);
    }

    /// A worker's heart beat.
    pub(super) fn beat(&self, worker: &WorkerName, beat: &Heartbeat) {
        let ticks = (beat.boot_id == boot_id()).then(|| Ticks(Duration::from_nanos(beat.boottime_ns)));
        self.board().beats.insert(worker.clone(), Beaten { at: beat.timestamp, ticks });
    }

    /// Counts what is told.
    pub(super) fn told(&self, notice: &Notice) {
        match notice {
            Notice::Restarting { worker, .. } => self.metrics.restarted(worker),
            Notice::Hung { worker, .. } => {
                self.detected(worker);
                self.board().hung.insert(worker.clone());
            }
            Notice::Died { worker, .. } => self.died(worker),
            Notice::Up { worker, after: Some(after), .. } => {
                let tasks = self.board().at_work.remove(worker).unwrap_or(0);
                self.metrics.recovered(worker, Some(*after), tasks);
            }
            Notice::Swept { worker, swept } => {
                self.board().at_work.remove(worker);
                self.metrics.recovered(worker, None, swept.recovered as u64);
            }
            Notice::Up { after: None, .. }
            | Notice::SetAside { .. }
            | Notice::TakenOver { .. }
            | Notice::Occupied { .. }
            | Notice::NotStarted { .. }
            | Notice::Awaited { .. }
            | Notice::NotBack { .. }
            | Notice::Cooldown { .. }
            | Notice::Stuck { .. }
            | Notice::Moves { .. }
            | Notice::Anew { .. }
            | Notice::Called { .. }
            | Notice::Retiring { .. }
            | Notice::InReserve { .. }
            | Notice::StoppedByItself { .. }
            | Notice::Misconfigured { .. }
            | Notice::Stopping { .. }
            | Notice::Leaving { .. }
            | Notice::Hurrying
            | Notice::Killing
            | Notice::Ended { .. }
            | Notice::NotEnded { .. } => {}
        }
    }

    /// So many tasks were at work when the watcher was found dead.
    pub(super) fn left_at_work(&self, worker: &WorkerName, tasks: usize) {
        self.board().at_work.insert(worker.clone(), tasks as u64);
    }

    fn died(&self, worker: &WorkerName) {
        let was_hung = self.board().hung.remove(worker);
        if !was_hung {
            self.detected(worker);
        }
    }

    /// From the last heartbeat until now, when it is told: the most that the detection can have taken.
    fn detected(&self, worker: &WorkerName) {
        let last = self.board().beats.get(worker).and_then(|beat| beat.ticks);
        if let Some(last) = last {
            self.metrics.detected(self.clock.ticks().since(last));
        }
    }

    fn loop_age(&self) -> Duration {
        self.clock.ticks().since(self.board().turned)
    }

    fn worker_status(&self, spec: &WorkerSpec) -> Value {
        let board = self.board();
        let seen = board.seen.iter().find(|it| it.health.name == spec.name);
        let state = board.states.get(&spec.name);
        json!({
            "worker": spec.name,
            "up": seen.is_some_and(|it| it.health.up),
            "condition": seen.map(|it| it.word),
            "severity": seen.and_then(|it| it.level).map(Level::as_str),
            "reason": seen.and_then(|it| it.health.reason.clone()),
            "restarts_in_window": seen.map(|it| it.restarts),
            "backup": seen.is_some_and(|it| it.is_backup),
            "status": state.map(|it| it.status),
            "hold": state.and_then(|it| it.hold.clone()),
            "resume": state.and_then(|it| it.resume),
            "running": state.map(|it| it.running.clone()).unwrap_or_default(),
            "queues": state.map(|it| it.queues),
            "last_crash": state.and_then(|it| it.last_crash),
            "last_crash_reason": state.and_then(|it| it.last_crash_reason.clone()),
            "last_crash_detail": state.and_then(|it| it.last_crash_detail.clone()),
            "heartbeat": board.beats.get(&spec.name).map(|beat| beat.at),
            "metrics_addr": spec.metrics_addr,
        })
    }
}

impl FaceSource for SupervisorFace {
    fn metrics(&self) -> String {
        let now = self.clock.wall();
        for (worker, state) in &self.board().states {
            self.metrics.set_resume(worker, state.resume.as_ref());
        }
        let ticks = self.clock.ticks();
        for (worker, beat) in &self.board().beats {
            let by_wall = || Duration::try_from(now.duration_since(beat.at)).unwrap_or_default();
            let age = beat.ticks.map_or_else(by_wall, |at| ticks.since(at));
            self.metrics.set_heartbeat_age(worker, age);
        }
        self.metrics.set_loop_lag(self.loop_age());
        self.metrics.render()
    }

    fn snapshot(&self) -> Snapshot {
        let loop_age = self.loop_age();
        let board = self.board();
        Snapshot {
            status: board.status,
            loop_age,
            queues: queues(board.states.values()),
            workers: Some(board.seen.iter().map(|it| with_hold(&it.health, &board.states)).collect()),
            ..Snapshot::healthy(self.clock.wall())
        }
    }

    fn status(&self) -> Value {
        json!({
            "supervisor": self.board().status,
            "workers": self.workers.iter().map(|spec| self.worker_status(spec)).collect::<Vec<_>>(),
            "timestamp": self.clock.wall(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

/// The tasks of all workers. The inbox is one, and each worker counts all of it.
fn queues<'a>(states: impl Iterator<Item = &'a State>) -> QueueDepths {
    states.map(|state| state.queues).fold(QueueDepths::default(), |sum, one| QueueDepths {
        inbox: sum.inbox.max(one.inbox),
        pending: sum.pending + one.pending,
        staged: sum.staged + one.staged,
        active: sum.active + one.active,
        completed: sum.completed + one.completed,
        failed: sum.failed + one.failed,
        cancelled: sum.cancelled + one.cancelled,
    })
}

#[cfg(test)]
mod tests {
    use super::super::state::Origin;
    use super::*;
    use crate::clock::SystemClock;
    use crate::telemetry::health::{Part, Verdict, answer};

    fn worker(name: &str, actual: Actual) -> Worker {
        Worker { actual, ..Worker::new(name.parse().unwrap()) }
    }

    fn face() -> SupervisorFace {
        SupervisorFace::new(&["marie=9".parse().unwrap(), "anga".parse().unwrap()], &SystemClock::shared())
            .unwrap()
    }

    fn up() -> Actual {
        Actual::Up { origin: Origin::Child, began: Ticks(Duration::ZERO) }
    }

    #[test]
    fn a_worker_that_is_down_is_named_with_its_reason() {
        let face = face();
        for (actual, verdict, word) in [
            (up(), Verdict::Ok, ""),
            (Actual::Resting(Rest::SetAside), Verdict::Failing, "set aside"),
            (Actual::Cooling { until: Ticks(Duration::ZERO) }, Verdict::Degraded, "after a pause"),
        ] {
            face.turned(&[worker("marie", up()), worker("anga", actual)], WorkerStatus::Running);
            let answer = answer(Part::Orchestrator, &face.snapshot()).unwrap();
            assert_eq!(answer.verdict, verdict);
            assert!(answer.body["reasons"].to_string().contains(word), "{}", answer.body);
        }
    }

    #[test]
    fn restarts_and_setting_aside_are_counted() {
        let face = face();
        let name: WorkerName = "anga".parse().unwrap();
        face.told(&Notice::Restarting { worker: name.clone(), death: 1 });
        face.turned(&[worker("anga", Actual::Resting(Rest::SetAside))], WorkerStatus::Running);
        let text = face.metrics();
        for line in [
            "agent_worker_restarts_total{worker=\"anga\"} 1",
            "agent_worker_set_aside{worker=\"anga\"} 1",
            "agent_worker_up{worker=\"anga\"} 0",
            "agent_worker_workers{condition=\"set_aside\"} 1",
            "agent_worker_troubles{severity=\"L3\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
        face.turned(&[worker("anga", up())], WorkerStatus::Running);
        assert!(face.metrics().contains("agent_worker_set_aside{worker=\"anga\"} 0"));
    }

    #[test]
    fn a_death_is_measured_once_and_its_tasks_are_counted_when_they_are_home() {
        let face = face();
        let marie: WorkerName = "marie".parse().unwrap();
        face.left_at_work(&marie, 1);
        let beat = serde_json::json!({"worker": "marie", "pid": 7, "boot_id": boot_id(), "boottime_ns": 5,
            "seq": 1, "timestamp": "2026-01-02T03:04:05Z", "status": "running", "active_tasks": 1});
        face.beat(&marie, &serde_json::from_value(beat).unwrap());
        let minute = Duration::from_mins(1);
        let died = Notice::Died { worker: marie.clone(), exit: None, lived: minute, death: 1 };
        face.told(&Notice::Hung { worker: marie.clone(), silent: minute });
        face.told(&died);
        face.told(&Notice::Up { worker: marie.clone(), pid: None, after: Some(Duration::from_secs(1)) });
        face.told(&died);
        face.told(&Notice::Up { worker: marie, pid: None, after: None });
        let text = face.metrics();
        for line in [
            "agent_worker_detection_seconds_count 2",
            "agent_worker_recovery_seconds_count 1",
            "agent_worker_recoveries_total{worker=\"marie\"} 1",
            "agent_worker_recovered_tasks_total{worker=\"marie\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_inbox_is_counted_once_and_what_is_each_worker_s_own_is_added_up() {
        let state = |inbox, pending| State {
            queues: QueueDepths { inbox, pending, ..QueueDepths::default() },
            ..State::default()
        };
        let face = face();
        face.says(&"marie".parse().unwrap(), state(4, 1));
        face.says(&"anga".parse().unwrap(), state(5, 2));
        let queues = face.snapshot().queues;
        assert_eq!((queues.inbox, queues.pending), (5, 3));
        assert_eq!(face.status()["workers"][0]["queues"]["pending"], 1);
    }
}
