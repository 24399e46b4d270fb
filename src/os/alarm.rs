//! A pause that costs one wake-up: a timer of the kernel (`timerfd_create(2)`).
//!
//! The runtime's own timers are kept in steps of 64 ms and 4 s and wake at each step on their way, two or three times
//! a second for a pause of one; a worker that waits for months should not.

#![expect(unsafe_code, reason = "the runtime wants it proven that the descriptor stays ours")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
}

impl Alarm {
    /// An alarm that is not set; to be called within a runtime.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        // SAFETY: the timer owns its descriptor, always answers with that one, and is never taken out of the AsyncFd
        // while it is registered.
        let timer = unsafe { AsyncFd::register_with_interest(Timer(timer), Interest::READABLE) };
        Ok(Self { timer: timer.map_err(io::Error::from)? })
    }

    /// Waits so long, or a little less where an earlier pause was given up when it was just over.
    pub async fn pause(&self, pause: Duration) -> io::Result<()> {
        // Zero would switch it off.
        let pause = TimeSpec::from_duration(pause.max(Duration::from_millis(1)));
        self.timer.get_ref().0.set(Expiration::OneShot(pause), TimerSetTimeFlags::empty())?;
        // Setting it again takes back that it has rung, so it is never read.
        self.timer.readable().await?.clear_ready();
        Ok(())
    }
}

/// Waits so long, with the runtime's own timer where there is no alarm.
pub async fn pause(alarm: Option<&Alarm>, pause: Duration) {
    let rung = match alarm {
        Some(alarm) => alarm.pause(pause).await.is_ok(),
        None => false,
    };
    if !rung {
        tokio::time::sleep(pause).await;
    }
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
            alarm.pause(Duration::from_millis(20)).await.unwrap();
        }
        let waited = SystemClock.ticks().since(before);
        assert!(waited >= Duration::from_millis(60), "{waited:?}");
        assert!(waited < Duration::from_secs(20), "{waited:?}");
    }
}
