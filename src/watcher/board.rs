//! What the worker shows: written by its loop, read by the face and by `state.json`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Ticks, Timestamp};
use crate::task::text::shown;
use crate::task::{FileName, Place};
use crate::telemetry::health::Check;
use crate::telemetry::state_file::{
    BarredPack, Hold, QueueDepths, Resuming, RunningTask, Wanted, WorkerStatus,
};

/// How many files that cannot be moved are remembered by name; more are counted as these.
const IMMOVABLE_MAX: usize = 1000;

/// The part that changes together.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) status: WorkerStatus,
    pub(super) hold: Option<Hold>,
    pub(super) packs: Vec<BarredPack>,
    pub(super) wanted: Option<Wanted>,
    pub(super) resume: Option<Resuming>,
    pub(super) running: BTreeMap<FileName, RunningTask>,
    pub(super) queues: QueueDepths,
    pub(super) oldest: Option<Timestamp>,
    pub(super) lock_held: bool,
    pub(super) queue: Check,
    pub(super) artifacts: Check,
    pub(super) registry: Check,
    pub(super) pipes: Check,
    /// How the budgets are.
    pub(super) budget: Check,
    pub(super) served: Option<SocketAddr>,
    pub(super) last_crash: Option<LastCrash>,
    /// When a disk was last so full that writes fail, and which.
    pub(super) out: Option<(Ticks, String)>,
}

/// How this worker's watcher last died.
#[derive(Clone, Debug)]
pub(super) struct LastCrash {
    pub(super) at: Option<f64>,
    pub(super) reason: Option<String>,
    pub(super) detail: Option<String>,
}

/// The board.
#[derive(Debug)]
pub(super) struct Board {
    shown: Mutex<Shown>,
    turned_ns: AtomicU64,
    immovable: Mutex<BTreeMap<PathBuf, String>>,
}

impl Board {
    pub(super) fn new() -> Self {
        let shown = Shown {
            status: WorkerStatus::Starting,
            hold: None,
            packs: Vec::new(),
            wanted: None,
            resume: None,
            running: BTreeMap::new(),
            queues: QueueDepths::default(),
            oldest: None,
            lock_held: true,
            queue: Check::Ok,
            artifacts: Check::Ok,
            registry: Check::Ok,
            pipes: Check::Ok,
            budget: Check::Ok,
            served: None,
            last_crash: None,
            out: None,
        };
        Self { shown: Mutex::new(shown), turned_ns: AtomicU64::new(0), immovable: Mutex::default() }
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

    /// Notes what is no task and cannot be moved; whether that is new.
    pub(super) fn immovable(&self, path: PathBuf, why: String) -> bool {
        let mut immovable = self.stuck();
        immovable.len() < IMMOVABLE_MAX && immovable.insert(path, why).is_none()
    }

    /// It is not there any more.
    pub(super) fn moved(&self, path: &Path) {
        self.stuck().remove(path);
    }

    /// Forgets what somebody took away.
    pub(super) fn forget_moved(&self, is_there: impl Fn(&Path) -> bool) {
        self.stuck().retain(|path, _| is_there(path));
    }

    /// How the queue is, as far as that goes.
    pub(super) fn queue(&self) -> Check {
        let immovable = self.stuck();
        let Some((path, why)) = immovable.first_key_value() else { return Check::Ok };
        let path = shown(&path.display().to_string(), 300);
        let count = immovable.len();
        Check::Degraded(format!(
            "{count} file(s) are no tasks and cannot be moved to failed, such as `{path}` ({}); remove them by hand",
            shown(why, 300)
        ))
    }

    fn stuck(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.immovable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One task rests in `place` no longer.
    pub(super) fn left(&self, place: Place) {
        let mut shown = self.show();
        let queues = &mut shown.queues;
        match place {
            Place::Completed => queues.completed = queues.completed.saturating_sub(1),
            Place::Failed => queues.failed = queues.failed.saturating_sub(1),
            Place::Cancelled => queues.cancelled = queues.cancelled.saturating_sub(1),
            Place::Inbox | Place::Pending | Place::Staged | Place::Active => {}
        }
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
