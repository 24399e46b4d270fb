//! What the face answers with: the board, and the metrics. Touches no disk.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::board::Board;
use crate::clock::{SharedClock, Timestamp};
use crate::task::WorkerName;
use crate::telemetry::face::FaceSource;
use crate::telemetry::health::Snapshot;
use crate::telemetry::metrics::Metrics;

/// The worker as it is seen over HTTP.
#[derive(Debug)]
pub(super) struct WatcherFace {
    pub(super) worker: WorkerName,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: SharedClock,
}

impl FaceSource for WatcherFace {
    fn metrics(&self) -> String {
        let lag = self.board.loop_age(self.clock.ticks());
        // The loop that turns also beats: one age is the other's.
        self.metrics.set_loop_lag(lag);
        self.metrics.set_heartbeat_age(lag);
        self.metrics.render()
    }

    fn snapshot(&self) -> Snapshot {
        let now = self.clock.wall();
        let shown = self.board.show().clone();
        Snapshot {
            at: now,
            status: shown.status,
            hold: shown.hold,
            loop_age: self.board.loop_age(self.clock.ticks()),
            lock_held: shown.lock_held,
            queues: shown.queues,
            oldest_pending: shown.oldest.map(|at| age(at, now)),
            queue: shown.queue,
            artifacts: shown.artifacts,
            registry: shown.registry,
            workers: None,
        }
    }

    fn status(&self) -> Value {
        let shown = self.board.show().clone();
        json!({
            "worker": self.worker,
            "status": shown.status,
            "hold": shown.hold,
            "packs": shown.packs,
            "running": shown.running.values().collect::<Vec<_>>(),
            "queues": shown.queues,
            "last_crash": shown.last_crash.as_ref().and_then(|it| it.at),
            "last_crash_reason": shown.last_crash.as_ref().and_then(|it| it.reason.clone()),
            "last_crash_detail": shown.last_crash.as_ref().and_then(|it| it.detail.clone()),
            "timestamp": self.clock.wall(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

/// How long ago `at` was; zero if it lies ahead.
pub(super) fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or(Duration::ZERO)
}
