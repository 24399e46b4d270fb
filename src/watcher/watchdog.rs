//! Ends a watcher whose loop has stood still too long, so that whatever restarts it can.
//!
//! A lock that is held says that a process lives, not that it works: a loop caught in a bug would hold its tasks
//! for ever. Its agents live on and are adopted by the next watcher.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::board::Board;
use crate::clock::{SharedClock, Ticks};

/// How long the loop may stand still.
const PATIENCE: Duration = Duration::from_mins(3);
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(20);

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    _alive: mpsc::Sender<()>,
}

/// Starts to watch.
pub(super) fn start(board: Arc<Board>, clock: SharedClock) -> std::io::Result<Watchdog> {
    let (alive, ended) = mpsc::channel();
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || watch(&ended, &board, &clock))?;
    Ok(Watchdog { _alive: alive })
}

fn watch(ended: &mpsc::Receiver<()>, board: &Board, clock: &SharedClock) {
    let mut stale_before = false;
    let mut last: Option<Ticks> = None;
    while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let now = clock.ticks();
        // A machine that was suspended, or a process that was stopped, did not give the loop its time either: only
        // two looks in a row, taken on time, count.
        let on_time = last.is_some_and(|last| now.since(last) < LOOK * 2);
        let stale = board.loop_age(now) > PATIENCE;
        if stale && stale_before && on_time {
            tracing::error!(
                age_s = board.loop_age(now).as_secs(),
                "the work loop stands still; aborting so that it can be restarted"
            );
            std::process::abort();
        }
        stale_before = stale && on_time;
        last = Some(now);
    }
}
