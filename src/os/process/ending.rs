//! Ending what is left of a run, whatever it does: in its own session, forked twice, ignoring signals, stopped.
//!
//! Looks, asks (`SIGTERM`, and `SIGCONT` so that a stopped process hears it), waits on the processes
//! themselves, and kills what is left; then looks again until a look finds nobody.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::identity::ProcessId;
use crate::clock::{Clock, Ticks};
use crate::os::cgroup::group::Group;

/// How long the ending of a run may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between asking and killing.
    pub grace: Duration,
    /// In all; after it, what is left is reported (it can only be in an uninterruptible wait).
    pub total: Duration,
}

/// What an ending came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How many processes there were.
    pub found: usize,
    /// How many of them had to be killed.
    pub killed: usize,
    /// Those that are still there.
    pub left: Vec<ProcessId>,
}

/// Ends everybody whom `look` finds, until it finds nobody or patience runs out; who has to be killed of `group` is killed
/// as one. Blocks its thread, so it belongs on one of its own.
pub fn end_all(
    mut look: impl FnMut() -> Vec<ProcessId>,
    group: Option<&Group>,
    patience: Patience,
    clock: &dyn Clock,
) -> Ended {
    let began = clock.ticks();
    let mut ended = Ended::default();
    let mut ask = true;
    loop {
        let left = look();
        if left.is_empty() || clock.ticks().since(began) >= patience.total {
            ended.left = left;
            return ended;
        }
        let handles: Vec<OwnedFd> = left.iter().filter_map(|process| process.open().ok()).collect();
        if ask {
            ended.found = ended.found.max(handles.len());
            send(&handles, Signal::TERM);
            send(&handles, Signal::CONT);
            wait_gone(&handles, clock.ticks().plus(patience.grace), clock);
            ask = false;
        } else {
            ended.killed += handles.len();
            ended.found = ended.found.max(ended.killed);
            if let Some(group) = group {
                group.kill();
            }
            send(&handles, Signal::KILL);
            wait_gone(&handles, clock.ticks().plus(Duration::from_secs(1)), clock);
        }
    }
}

/// Whether the process is gone before `patience` is over. Blocks its thread.
pub fn wait_for(process: &ProcessId, patience: Duration, clock: &dyn Clock) -> bool {
    let Ok(handle) = process.open() else { return true };
    wait_gone(&[handle], clock.ticks().plus(patience), clock)
}

fn send(handles: &[OwnedFd], signal: Signal) {
    for handle in handles {
        // One that is gone meanwhile is what we want.
        pidfd_send_signal(handle, signal).ok();
    }
}

/// Waits until every process has ended (a pidfd is readable then, `pidfd_open(2)`) or `until`.
fn wait_gone(handles: &[OwnedFd], until: Ticks, clock: &dyn Clock) -> bool {
    handles.iter().all(|handle| {
        loop {
            let left = until.since(clock.ticks());
            let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            let mut polled = [PollFd::new(handle, PollFlags::IN)];
            match poll(&mut polled, Some(&timeout)) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    })
}

/// Waits, blocked, until the process behind the handle has ended.
pub fn wait_ended(handle: &OwnedFd) {
    loop {
        let mut polled = [PollFd::new(handle, PollFlags::IN)];
        if !matches!(poll(&mut polled, None), Err(rustix::io::Errno::INTR)) {
            return;
        }
    }
}
