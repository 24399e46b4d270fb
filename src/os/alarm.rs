//! A pause that costs one wake-up: a timer of the kernel (`timerfd_create(2)`).
//!
//! The runtime's own timers are kept in steps of 64 ms and 4 s and wake at each step on their way, two or three times
//! a second for a pause of one; a worker that waits for months should not.

#![expect(unsafe_code, reason = "the runtime wants it proven that the descriptor stays ours")]

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::Ticks;

#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A timer that is set again for every pause. It goes on while the machine is suspended.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<Timer>,
    /// For when it is set, until it has rung: a loop that turns often waits for the same moment again and again.
    set: Cell<Option<Ticks>>,
}

impl Alarm {
    /// An alarm that is not set; to be called within a runtime.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        // SAFETY: the timer owns its descriptor, always answers with that one, and is never taken out of the AsyncFd
        // while it is registered.
        let timer = unsafe { AsyncFd::register_with_interest(Timer(timer), Interest::READABLE) };
        Ok(Self { timer: timer.map_err(io::Error::from)?, set: Cell::new(None) })
    }

    /// Waits from `now` until `at`, or a little less where an earlier pause was given up when it was just over.
    pub async fn pause(&self, now: Ticks, at: Ticks) -> io::Result<()> {
        if self.set.get() != Some(at) {
            let pause = Expiration::OneShot(TimeSpec::from_duration(between(now, at)));
            self.timer.get_ref().0.set(pause, TimerSetTimeFlags::empty())?;
            self.set.set(Some(at));
        }
        // Setting it again takes back that it has rung, so it is never read.
        self.timer.readable().await?.clear_ready();
        self.set.set(None);
        Ok(())
    }
}

/// Waits from `now` until `at`, with the runtime's own timer where there is no alarm.
pub async fn pause(alarm: Option<&Alarm>, now: Ticks, at: Ticks) {
    let rung = match alarm {
        Some(alarm) => alarm.pause(now, at).await.is_ok(),
        None => false,
    };
    if !rung {
        tokio::time::sleep(between(now, at)).await;
    }
}

/// How long; never zero, which would switch a timer off.
fn between(now: Ticks, at: Ticks) -> Duration {
    at.since(now).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[tokio::test(flavor = "current_thread")]
    async fn it_rings_every_time_it_is_set() {
        let alarm = Alarm::new().unwrap();
        let before = SystemClock.ticks();
        for _ in 0..3 {
            let now = SystemClock.ticks();
            alarm.pause(now, now.plus(Duration::from_millis(20))).await.unwrap();
        }
        let waited = SystemClock.ticks().since(before);
        assert!(waited >= Duration::from_millis(60), "{waited:?}");
        assert!(waited < Duration::from_secs(20), "{waited:?}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_pause_that_is_given_up_and_taken_up_again_ends_when_it_was_to_end() {
        let alarm = Alarm::new().unwrap();
        let before = SystemClock.ticks();
        let at = before.plus(Duration::from_millis(60));
        for _ in 0..5 {
            tokio::select! {
                biased;
                rung = alarm.pause(SystemClock.ticks(), at) => rung.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
        alarm.pause(SystemClock.ticks(), at).await.unwrap();
        assert!(SystemClock.ticks() >= at);
        // An earlier moment sets it again, and the same one after it has rung does too.
        for _ in 0..2 {
            let rings = alarm.pause(SystemClock.ticks(), before);
            tokio::time::timeout(Duration::from_mins(1), rings).await.unwrap().unwrap();
        }
    }
}
