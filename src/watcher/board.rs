//! What the worker shows: written by its loop, read by the face and by `state.json`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Ticks, Timestamp};
use crate::task::{FileName, Place};
use crate::telemetry::health::Check;
use crate::telemetry::state_file::{Hold, QueueDepths, RunningTask, WorkerStatus};

/// The part that changes together.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) status: WorkerStatus,
    pub(super) hold: Option<Hold>,
    pub(super) running: BTreeMap<FileName, RunningTask>,
    pub(super) queues: QueueDepths,
    pub(super) oldest: Option<Timestamp>,
    pub(super) lock_held: bool,
    pub(super) queue: Check,
    pub(super) artifacts: Check,
    pub(super) registry: Check,
    /// When a disk was last so full that writes fail, and which.
    pub(super) out: Option<(Ticks, String)>,
}

/// The board.
#[derive(Debug)]
pub(super) struct Board {
    shown: Mutex<Shown>,
    turned_ns: AtomicU64,
}

impl Board {
    pub(super) fn new() -> Self {
        let shown = Shown {
            status: WorkerStatus::Starting,
            hold: None,
            running: BTreeMap::new(),
            queues: QueueDepths::default(),
            oldest: None,
            lock_held: true,
            queue: Check::Ok,
            artifacts: Check::Ok,
            registry: Check::Ok,
            out: None,
        };
        Self { shown: Mutex::new(shown), turned_ns: AtomicU64::new(0) }
    }

    /// Looks at it, or changes it; for an instant only.
    pub(super) fn show(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop turned.
    pub(super) fn turned(&self, now: Ticks) {
        self.turned_ns.store(u64::try_from(now.0.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// How long ago the loop last turned.
    pub(super) fn loop_age(&self, now: Ticks) -> Duration {
        now.since(Ticks(Duration::from_nanos(self.turned_ns.load(Ordering::Acquire))))
    }

    /// One more task rests in `place`.
    pub(super) fn filed(&self, place: Place) {
        let mut shown = self.show();
        match place {
            Place::Completed => shown.queues.completed += 1,
            Place::Failed => shown.queues.failed += 1,
            Place::Cancelled => shown.queues.cancelled += 1,
            Place::Inbox | Place::Pending | Place::Staged | Place::Active => {}
        }
    }
}
