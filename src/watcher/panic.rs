//! A bug leaves a report and ends the process: whatever restarts it finds everything where it was, while a task of
//! the loop that vanished alone would keep its slot, and its agent, for ever.

use std::backtrace::Backtrace;
use std::path::PathBuf;

use crate::clock::SharedClock;
use crate::telemetry::report::{self, Kind};

/// From here on, a panic writes `panic-<time>.txt` into `dir`, and aborts.
pub(super) fn report_into(dir: PathBuf, clock: SharedClock) {
    std::panic::set_hook(Box::new(move |info| {
        let now = clock.wall();
        let backtrace = Backtrace::force_capture();
        let path = report::path(&dir, Kind::Panic, now);
        // On a full disk the log still has it.
        let written = report::write(&path, now, &info.to_string(), &backtrace.to_string()).is_ok();
        tracing::error!(report = %path.display(), written, "a bug ended this watcher: {info}");
        std::process::abort();
    }));
}
