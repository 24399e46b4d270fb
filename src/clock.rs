//! Time, given to whoever needs it: nobody else in the program asks the kernel for it.
//!
//! Two answers, never mixed: [`Clock::wall`] is for people and files and may jump; [`Clock::ticks`] is
//! `CLOCK_BOOTTIME`, which counts suspended time and never jumps, and decides everything that is a duration.
//!
//! Suspended time counts where the world outside goes on meanwhile: a rate limit, a pause, a cooldown. It does not
//! count against an agent, which slept too: [`crate::agent::course`] leaves out time in which nobody could look.
//! Wall time decides only where it is the contract: `not_before` and `retry_at` are times of day.

#![expect(clippy::disallowed_methods, reason = "this is the Clock that everybody else is told to ask")]

use std::sync::Arc;
use std::time::Duration;

pub use jiff::Timestamp;

/// A moment on the boot clock: nanoseconds since this boot, suspended time included (`clock_gettime(2)`,
/// `CLOCK_BOOTTIME`). Comparable between processes of one boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub Duration);

impl Ticks {
    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `later` from now.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time of day, for people and files.
    fn wall(&self) -> Timestamp;
    /// The boot clock, for durations.
    fn ticks(&self) -> Ticks;
}

/// A clock that can be handed to every part of a program.
pub type SharedClock = Arc<dyn Clock>;

/// The kernel's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The kernel's clocks, to be shared.
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn ticks(&self) -> Ticks {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
            .or_else(|_| nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC))
            .map_or(Duration::ZERO, Duration::from);
        Ticks(now)
    }
}

/// The kernel's clocks, with a wall clock that is off by what a file says, in seconds: it is read each time, so that
/// a test can set the clock of a program that runs.
#[cfg(feature = "test-support")]
#[derive(Clone, Debug)]
pub struct SteppedClock {
    step: std::path::PathBuf,
}

#[cfg(feature = "test-support")]
impl SteppedClock {
    /// The clock that is off by what `step` says.
    pub fn shared(step: std::path::PathBuf) -> SharedClock {
        Arc::new(Self { step })
    }
}

#[cfg(feature = "test-support")]
impl Clock for SteppedClock {
    fn wall(&self) -> Timestamp {
        let said = std::fs::read_to_string(&self.step).ok();
        let seconds: i64 = said.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        SystemClock.wall().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or_default()
    }

    fn ticks(&self) -> Ticks {
        SystemClock.ticks()
    }
}

/// Seconds since 1970 as the runbooks write them: a float.
#[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit a double")]
pub fn epoch_seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}
