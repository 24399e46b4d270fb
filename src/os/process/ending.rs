//! Ending what is left of a run, whatever it does: in its own session, forked twice, ignoring signals, stopped.
//!
//! Looks, asks (`SIGTERM`, and `SIGCONT` so that a stopped process hears it), waits on the processes
//! themselves, and kills what is left; then looks again until a look finds nobody.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::identity::{ProcessId, is_gone};
use crate::clock::{Clock, Ticks};
use crate::os::cgroup::group::Group;
use crate::os::lock;

/// The pause before what the kernel refused is asked again.
const AGAIN: Duration = Duration::from_millis(100);

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
    /// Whether nobody could look at last, so that there may be others.
    pub is_unseen: bool,
}

/// Ends everybody whom `look` finds, until it finds nobody or patience runs out; a look that fails is tried again. Who has
/// to be killed of `group` is killed as one. Blocks its thread, so it belongs on one of its own.
pub fn end_all(
    mut look: impl FnMut() -> io::Result<Vec<ProcessId>>,
    group: Option<&Group>,
    patience: Patience,
    clock: &dyn Clock,
) -> Ended {
    let began = clock.ticks();
    let mut ended = Ended::default();
    let mut ask = true;
    loop {
        let Ok(left) = look() else {
            if clock.ticks().since(began) >= patience.total {
                return Ended { is_unseen: true, ..ended };
            }
            lock::pause(AGAIN);
            continue;
        };
        if left.is_empty() || clock.ticks().since(began) >= patience.total {
            ended.left = left;
            return ended;
        }
        let opened: Vec<io::Result<OwnedFd>> = left.iter().map(ProcessId::open).collect();
        let is_refused = opened.iter().any(|it| it.as_ref().is_err_and(|error| !is_gone(error)));
        let handles: Vec<OwnedFd> = opened.into_iter().flatten().collect();
        if is_refused && handles.is_empty() {
            lock::pause(AGAIN);
        } else if ask {
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
    let until = clock.ticks().plus(patience);
    match opened(|| process.open(), || clock.ticks() < until) {
        Some(Ok(handle)) => wait_gone(&[handle], until, clock),
        Some(Err(_)) => true,
        None => false,
    }
}

/// Waits, blocked, until the process has ended. A handle that is refused is asked for again.
pub fn wait_until_gone(process: &ProcessId) {
    // Where no handle can ever be had (a filter on system calls), `/proc` tells it in the end.
    if let Some(Ok(handle)) = opened(|| process.open(), || process.is_alive() != Some(false)) {
        wait_ended(&handle);
    }
}

/// A handle, or the error that says that the process is gone; `None` where neither was had as long as `go_on` said so.
fn opened<T>(open: impl Fn() -> io::Result<T>, go_on: impl Fn() -> bool) -> Option<io::Result<T>> {
    loop {
        match open() {
            Err(error) if !is_gone(&error) => {
                if !go_on() {
                    return None;
                }
                lock::pause(AGAIN);
            }
            answer => return Some(answer),
        }
    }
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
                Err(_) if left.is_zero() => return false,
                Err(_) => lock::pause(AGAIN.min(left)),
            }
        }
    })
}

/// Waits, blocked, until the process behind the handle has ended.
fn wait_ended(handle: &OwnedFd) {
    loop {
        let mut polled = [PollFd::new(handle, PollFlags::IN)];
        match poll(&mut polled, None) {
            Ok(_) => return,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => lock::pause(AGAIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_handle_that_is_refused_is_asked_for_again() {
        let refused = [nix::libc::EMFILE, nix::libc::ENOMEM, nix::libc::EINTR];
        let tries = Cell::new(0);
        let open = |last: Result<u8, i32>| {
            let tries = &tries;
            tries.set(0);
            move || {
                let n = tries.replace(tries.get() + 1);
                let last = last.map_err(io::Error::from_raw_os_error);
                refused.get(n).map_or(last, |errno| Err(io::Error::from_raw_os_error(*errno)))
            }
        };
        assert!(matches!(opened(open(Ok(7)), || true), Some(Ok(7))));
        assert_eq!(tries.get(), 4);
        assert!(matches!(opened(open(Err(nix::libc::ESRCH)), || true), Some(Err(_))), "it is gone");
        assert_eq!(tries.get(), 4);
        assert!(opened(open(Ok(7)), || tries.get() < 2).is_none(), "nobody knows, and patience is over");
    }

    #[test]
    fn a_look_that_fails_has_not_found_nobody() {
        let patience = Patience { grace: Duration::ZERO, total: Duration::from_millis(1) };
        let end = |look: &dyn Fn() -> io::Result<Vec<ProcessId>>| {
            end_all(look, None, patience, &crate::clock::SystemClock)
        };
        let refused = || Err(io::Error::from_raw_os_error(nix::libc::EMFILE));
        assert_eq!(end(&refused), Ended { is_unseen: true, ..Ended::default() });
        assert_eq!(end(&|| Ok(Vec::new())), Ended::default());
    }

    #[test]
    fn whoever_is_gone_is_not_waited_for() {
        let me = ProcessId::current();
        let clock = crate::clock::SystemClock;
        assert!(!wait_for(&me, Duration::from_millis(1), &clock));
        let earlier = ProcessId { start_ticks: me.start_ticks + 1, ..me };
        assert!(wait_for(&earlier, Duration::from_mins(1), &clock));
        wait_until_gone(&earlier);
    }
}
