//! How often one and the same complaint is logged. Pure.
//!
//! A fault that lasts for hours makes every beat complain; the log must not fill the disk that it complains about.
//! Of one complaint the first [`BURST`] lines in a [`PERIOD`] are written; the first one after that says how many were
//! kept back. What is no complaint is not limited.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Ticks;

/// The lines of one complaint that a period has.
const BURST: u32 = 4;
/// How long a period is.
const PERIOD: Duration = Duration::from_mins(1);
/// The complaints that are known at once; far more than there are places in the source.
const KNOWN_MAX: usize = 2048;

/// What was complained about of late.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    known: HashMap<u64, Complaint>,
}

#[derive(Clone, Copy, Debug)]
struct Complaint {
    began: Ticks,
    written: u32,
    kept_back: u64,
}

impl Limiter {
    /// Whether a line of the complaint `key` is written now; then how many like it were kept back before it.
    pub(super) fn admit(&mut self, key: u64, now: Ticks) -> Option<u64> {
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, it| now.since(it.began) < PERIOD);
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let complaint = self.known.entry(key).or_insert(Complaint { began: now, written: 0, kept_back: 0 });
        if now.since(complaint.began) >= PERIOD {
            // Seldom enough to be news, or once more what was kept back.
            let kept_back = complaint.kept_back;
            let written = if kept_back > 0 { BURST } else { 1 };
            *complaint = Complaint { began: now, written, kept_back: 0 };
            return Some(kept_back);
        }
        if complaint.written < BURST {
            complaint.written += 1;
            return Some(0);
        }
        complaint.kept_back += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Ticks {
        Ticks(Duration::from_secs(second))
    }

    #[test]
    fn a_complaint_that_does_not_end_is_said_a_few_times_and_then_once_a_minute() {
        let mut limiter = Limiter::default();
        let said: Vec<_> = (0..300).filter_map(|n| limiter.admit(1, at(n)).map(|kept| (n, kept))).collect();
        assert_eq!(said, [(0, 0), (1, 0), (2, 0), (3, 0), (60, 56), (120, 59), (180, 59), (240, 59)]);
        assert_eq!(limiter.admit(2, at(300)), Some(0), "another one is said at once");
    }

    #[test]
    fn what_comes_seldom_is_always_said() {
        let mut limiter = Limiter::default();
        assert!((0..50).all(|n| limiter.admit(1, at(n * 61)) == Some(0)));
    }

    #[test]
    fn it_does_not_grow() {
        let mut limiter = Limiter::default();
        for key in 0..10_000 {
            limiter.admit(key, at(key / 100));
        }
        assert!(limiter.known.len() <= KNOWN_MAX);
    }
}
