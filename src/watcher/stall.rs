//! A loop that stands still when a test says so, as one that is caught in a bug would.
//!
//! Built with the feature `test-support` only. While the file named by `AGENT_WORKER_STALL` is there, the next beat of
//! this process never ends; taking the file away does not wake it.

#![expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting")]

/// Stands still for ever if the file is there.
pub(super) fn stall_if_asked() {
    let Some(file) = std::env::var_os("AGENT_WORKER_STALL") else { return };
    if std::path::Path::new(&file).exists() {
        loop {
            std::thread::park();
        }
    }
}
