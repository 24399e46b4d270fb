//! A bug leaves a report and ends the process: whatever restarts it finds everything where it was, while a task of
//! the loop that vanished alone would keep its slot, and its agent, for ever.

use std::backtrace::Backtrace;
use std::path::PathBuf;

use crate::clock::SharedClock;
use crate::os::durable::{self, Durability};

/// From here on, a panic writes `panic-<time>.txt` into `dir`, and aborts.
pub(super) fn report_into(dir: PathBuf, clock: SharedClock) {
    std::panic::set_hook(Box::new(move |info| {
        let now = clock.wall();
        let backtrace = Backtrace::force_capture();
        let text = format!("{now}\nagent-worker {}\n{info}\n\n{backtrace}\n", env!("CARGO_PKG_VERSION"));
        let path = dir.join(format!("panic-{}.txt", now.as_millisecond()));
        // On a full disk the log still has it.
        let written = durable::write_atomic(&path, text.as_bytes(), Durability::Full).is_ok();
        tracing::error!(report = %path.display(), written, "a bug ended this watcher: {info}");
        std::process::abort();
    }));
}
