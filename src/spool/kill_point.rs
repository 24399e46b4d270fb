//! Named points at which a test kills the real program: after the n-th durable step.
//!
//! Built with the feature `test-support` only. `AGENT_WORKER_KILL_AFTER=n` ends the process, as `kill -9`
//! would, right after the n-th step that this process performed; `AGENT_WORKER_PANIC_AFTER=n` as a bug would.

#![expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::steps::Step;

/// Counts a step that was done, and dies if it was the one.
pub(super) fn passed(_: &Step) {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    static BUG: OnceLock<Option<u64>> = OnceLock::new();
    static DONE: AtomicU64 = AtomicU64::new(0);
    let said = |name| std::env::var(name).ok()?.parse().ok();
    let limit = LIMIT.get_or_init(|| said("AGENT_WORKER_KILL_AFTER"));
    let bug = BUG.get_or_init(|| said("AGENT_WORKER_PANIC_AFTER"));
    let done = DONE.fetch_add(1, Ordering::SeqCst) + 1;
    if *limit == Some(done) {
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).ok();
    }
    assert!(*bug != Some(done), "a test asked for a bug");
}
