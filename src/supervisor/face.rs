//! The supervisor as it is seen over HTTP: a board that its loop writes, and the answers made from it.
//!
//! Invariants:
//! - an answer touches no disk and waits for nothing but the board's own lock, which is held for an instant;
//! - a loop that stands still is seen: the age of its last turn is computed when somebody asks.
//!
//! It deliberately does not know how the workers were looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::notice::Notice;
use super::state::{Actual, Rest, Worker};
use crate::clock::{SharedClock, Ticks, Timestamp};
use crate::config::WorkerSpec;
use crate::task::WorkerName;
use crate::telemetry::face::FaceSource;
use crate::telemetry::health::{Snapshot, WorkerSeen};
use crate::telemetry::metrics::{MetricsError, SupervisorMetrics};
use crate::telemetry::state_file::{QueueDepths, State, WorkerStatus};

/// What the loop writes down for those who ask.
#[derive(Debug)]
struct Board {
    turned: Ticks,
    status: WorkerStatus,
    seen: Vec<WorkerSeen>,
    states: BTreeMap<WorkerName, State>,
    beats: BTreeMap<WorkerName, Timestamp>,
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
            metrics: SupervisorMetrics::new(env!("CARGO_PKG_VERSION"), &names)?,
            board: Mutex::new(Board {
                turned: clock.ticks(),
                status: WorkerStatus::Starting,
                seen: Vec::new(),
                states: BTreeMap::new(),
                beats: BTreeMap::new(),
            }),
            clock: Arc::clone(clock),
        })
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop turned, and these are the workers now.
    pub(super) fn turned(&self, workers: &[Worker], status: WorkerStatus) {
        let seen: Vec<WorkerSeen> = workers.iter().map(seen).collect();
        for worker in &seen {
            if worker.up {
                self.metrics.seen_up(&worker.name);
            } else {
                self.metrics.seen_down(&worker.name);
            }
        }
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
    pub(super) fn beat(&self, worker: &WorkerName, at: Timestamp) {
        self.board().beats.insert(worker.clone(), at);
    }

    /// Counts what is told.
    pub(super) fn told(&self, notice: &Notice) {
        match notice {
            Notice::Restarting { worker } => self.metrics.restarted(worker),
            Notice::SetAside { worker, .. } => self.metrics.set_aside(worker),
            Notice::Up { .. }
            | Notice::TakenOver { .. }
            | Notice::Occupied { .. }
            | Notice::Died { .. }
            | Notice::NotStarted { .. }
            | Notice::Cooldown { .. }
            | Notice::StoppedByItself { .. }
            | Notice::Misconfigured { .. }
            | Notice::Stopping { .. }
            | Notice::Hurrying
            | Notice::Killing
            | Notice::Ended { .. }
            | Notice::NotEnded { .. } => {}
        }
    }

    fn loop_age(&self) -> Duration {
        self.clock.ticks().since(self.board().turned)
    }

    fn worker_status(&self, spec: &WorkerSpec) -> Value {
        let board = self.board();
        let seen = board.seen.iter().find(|it| it.name == spec.name);
        let state = board.states.get(&spec.name);
        json!({
            "worker": spec.name,
            "up": seen.is_some_and(|it| it.up),
            "reason": seen.and_then(|it| it.reason.clone()),
            "status": state.map(|it| it.status),
            "hold": state.and_then(|it| it.hold.clone()),
            "resume": state.and_then(|it| it.resume),
            "running": state.map(|it| it.running.clone()).unwrap_or_default(),
            "queues": state.map(|it| it.queues),
            "last_crash": state.and_then(|it| it.last_crash),
            "last_crash_reason": state.and_then(|it| it.last_crash_reason.clone()),
            "last_crash_detail": state.and_then(|it| it.last_crash_detail.clone()),
            "heartbeat": board.beats.get(&spec.name),
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
        for (worker, at) in &self.board().beats {
            let age = Duration::try_from(now.duration_since(*at)).unwrap_or_default();
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
            workers: Some(board.seen.clone()),
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

/// Whether a worker is up, and what there is to say about it if it is not.
fn seen(worker: &Worker) -> WorkerSeen {
    let reason = match worker.actual {
        Actual::Up { .. } => None,
        Actual::Absent | Actual::Starting { .. } => Some("it is being started"),
        Actual::Ending { .. } => Some("it is ending"),
        Actual::Refused => Some("it refused to start"),
        Actual::Occupied => Some("its lock is held by a recovery or an operator"),
        Actual::Cooling { .. } => Some("it died and is started again after a pause"),
        Actual::Resting(Rest::Stopped) => Some("it was stopped"),
        Actual::Resting(Rest::SetAside) => Some("it died too often and is set aside"),
        Actual::Resting(Rest::Misconfigured) => Some("it cannot start the way it is configured"),
        Actual::Resting(Rest::LeftRunning) => Some("it could not be ended"),
    };
    WorkerSeen { name: worker.name.clone(), up: reason.is_none(), reason: reason.map(str::to_owned) }
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
    use super::super::restart::Policy;
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
            (Actual::Resting(Rest::SetAside), Verdict::Degraded, "set aside"),
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
        let policy =
            Policy { max_restarts: 3, cooldown: Duration::from_secs(1), window: Duration::from_secs(9) };
        face.told(&Notice::Restarting { worker: name.clone() });
        face.told(&Notice::SetAside { worker: name.clone(), policy });
        face.turned(&[worker("anga", Actual::Resting(Rest::SetAside))], WorkerStatus::Running);
        let text = face.metrics();
        for line in [
            "agent_worker_restarts_total{worker=\"anga\"} 1",
            "agent_worker_set_aside{worker=\"anga\"} 1",
            "agent_worker_up{worker=\"anga\"} 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
        face.turned(&[worker("anga", up())], WorkerStatus::Running);
        assert!(face.metrics().contains("agent_worker_set_aside{worker=\"anga\"} 0"));
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
