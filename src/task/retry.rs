//! When a task is tried again.
//!
//! Charging is decided at the end of an attempt: a crash, a timeout and the task's own faults charge; a rate
//! limit, an overload, the network, authentication, billing, the operator's stop and a failed start do not.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The longest pause between two attempts.
pub const LONGEST: Duration = Duration::from_mins(1);

/// Whether a task that has been charged `retry_count` times has used up what it was given.
pub const fn is_exhausted(retry_count: u32, max_retries: u32) -> bool {
    retry_count > max_retries
}

/// The pause before the next attempt: 1, 2, 4 … 60 s, of which `jitter` (0 to 1) takes away up to half.
pub fn backoff(charged: u32, jitter: f64) -> Duration {
    let doubled = Duration::from_secs(1u64 << charged.saturating_sub(1).min(6)).min(LONGEST);
    doubled.mul_f64(1.0 - 0.5 * jitter.clamp(0.0, 1.0))
}

/// The pause after a crash: none after the first, since the task is most likely innocent.
pub fn crash_backoff(charged: u32, jitter: f64) -> Duration {
    if charged <= 1 { Duration::ZERO } else { backoff(charged - 1, jitter) }
}

/// Before which moment it is not tried again. One that is further away than any pause was written before the clock was
/// set back, and means nothing.
pub fn not_tried_before(retry_at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    retry_at.filter(|at| at.duration_since(now) <= SignedDuration::try_from(LONGEST).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_a_minute() {
        let seconds: Vec<_> = (1..=9).map(|n| backoff(n, 0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff(3, 1.0), Duration::from_secs(2), "jitter takes away at most half");
        assert_eq!(backoff(u32::MAX, 0.0), LONGEST);
    }

    #[test]
    fn a_pause_that_no_clock_of_ours_began_is_none() {
        let at = |second| Timestamp::from_second(second).ok();
        for (retry_at, expected) in
            [(None, None), (at(50), at(50)), (at(160), at(160)), (at(161), None), (at(43_300), None)]
        {
            assert_eq!(not_tried_before(retry_at, at(100).unwrap()), expected, "{retry_at:?}");
        }
    }

    #[test]
    fn a_first_crash_does_not_wait() {
        assert_eq!(crash_backoff(1, 0.0), Duration::ZERO);
        assert_eq!(crash_backoff(2, 0.0), Duration::from_secs(1));
    }

    #[test]
    fn the_budget_is_used_up_after_one_more_than_max_retries() {
        assert!(!is_exhausted(3, 3));
        assert!(is_exhausted(4, 3));
        assert!(is_exhausted(1, 0));
    }
}
