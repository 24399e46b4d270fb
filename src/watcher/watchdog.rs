//! Ends a watcher whose loop has stood still too long, so that whatever restarts it can.
//!
//! A lock that is held says that a process lives, not that it works: a loop caught in a bug would hold its tasks
//! for ever. Its agents live on and are adopted by the next watcher.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::board::Board;
use crate::clock::{SharedClock, Ticks};
use crate::telemetry::report::{self, Kind};

/// How long the loop may stand still.
const PATIENCE: Duration = Duration::from_mins(3);
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(20);
/// How long the report may take: the disk may be what the loop waits for.
const REPORT: Duration = Duration::from_secs(2);

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    _alive: mpsc::Sender<()>,
}

/// Starts to watch; a report goes to `dir`.
pub(super) fn start(board: Arc<Board>, clock: SharedClock, dir: PathBuf) -> std::io::Result<Watchdog> {
    let (alive, ended) = mpsc::channel();
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || watch(&ended, &board, &clock, &dir))?;
    Ok(Watchdog { _alive: alive })
}

fn watch(ended: &mpsc::Receiver<()>, board: &Board, clock: &SharedClock, dir: &std::path::Path) {
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
            leave_word(dir, clock, board.loop_age(now));
            std::process::abort();
        }
        stale_before = stale && on_time;
        last = Some(now);
    }
}

/// Writes the report, from a thread of its own: this one must come to its end.
fn leave_word(dir: &std::path::Path, clock: &SharedClock, age: Duration) {
    let (done, written) = mpsc::channel();
    let now = clock.wall();
    let path = report::path(dir, Kind::Stalled, now);
    let said = format!("its work loop had stood still for {} s", age.as_secs());
    let writer = std::thread::Builder::new().name("last-word".to_owned());
    let started = writer.spawn(move || {
        report::write(&path, now, &said, "").ok();
        done.send(()).ok();
    });
    if started.is_ok() {
        written.recv_timeout(REPORT).ok();
    }
}
