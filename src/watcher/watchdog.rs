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
    let mut looks = Looks::default();
    while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let now = clock.ticks();
        let age = board.loop_age(now);
        if looks.stands_still(age, now) {
            tracing::error!(
                age_s = age.as_secs(),
                "the work loop stands still; aborting so that it can be restarted"
            );
            leave_word(dir, clock, age);
            std::process::abort();
        }
    }
}

/// What the last look saw.
#[derive(Debug, Default)]
struct Looks {
    last: Option<Ticks>,
    stale_before: bool,
}

impl Looks {
    /// Whether the loop stands still. A machine that was suspended, or a process that was stopped, did not give the
    /// loop its time either: only two looks in a row, taken on time, count.
    fn stands_still(&mut self, loop_age: Duration, now: Ticks) -> bool {
        let on_time = self.last.is_some_and(|last| now.since(last) < LOOK * 2);
        let stale = loop_age > PATIENCE;
        let stands_still = stale && self.stale_before && on_time;
        self.stale_before = stale && on_time;
        self.last = Some(now);
        stands_still
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is ended at each look, given as (when, age of the loop) in seconds.
    fn ended(looks: &[(u64, u64)]) -> Vec<bool> {
        let mut state = Looks::default();
        looks
            .iter()
            .map(|(now, age)| state.stands_still(Duration::from_secs(*age), Ticks(Duration::from_secs(*now))))
            .collect()
    }

    #[test]
    fn only_a_loop_that_had_its_time_and_stood_still_is_ended() {
        for (why, looks, expected) in [
            ("works", vec![(20, 1), (40, 1), (60, 0)], vec![false, false, false]),
            ("hangs", vec![(180, 170), (200, 190), (220, 210)], vec![false, false, true]),
            ("was stopped for an hour, and works", vec![(20, 1), (3640, 3601), (3660, 1)], vec![false; 3]),
            (
                "was stopped for an hour, and hangs since",
                vec![(20, 1), (3640, 3601), (3660, 3621), (3680, 3641)],
                vec![false, false, false, true],
            ),
            ("is stopped over and over", vec![(20, 1), (620, 600), (1220, 600), (1820, 600)], vec![false; 4]),
        ] {
            assert_eq!(ended(&looks), expected, "{why}");
        }
    }
}
