//! Which connection has to go when there is no place for another. Pure.
//!
//! Invariants: never more are seated than there are places; the oldest goes first, whatever it does, so that a
//! flood pushes out itself: who asks once is answered long before it is the oldest.

use std::collections::BTreeMap;

/// Enough for every scraper and a few people.
const MOST: usize = 64;
/// One for the answer and one for whoever comes meanwhile, and some more.
const LEAST: usize = 4;
/// The part of the descriptors that connections may take. A run takes some ten while it is started.
const SHARE: u64 = 8;

/// When a connection came; unique, rising.
pub(super) type Stamp = u64;

/// How many places there are where a process may have `descriptors`.
pub(super) fn places(descriptors: u64) -> usize {
    usize::try_from(descriptors / SHARE).unwrap_or(MOST).clamp(LEAST, MOST)
}

/// The open connections, each with what ends it.
#[derive(Debug)]
pub(super) struct Slots<T> {
    places: usize,
    next: Stamp,
    open: BTreeMap<Stamp, T>,
}

impl<T> Slots<T> {
    /// `places` for connections, at least one.
    pub(super) const fn new(places: usize) -> Self {
        Self { places, next: 0, open: BTreeMap::new() }
    }

    /// A stamp for a connection that will be seated.
    pub(super) fn stamp(&mut self) -> Stamp {
        self.next += 1;
        self.next
    }

    /// Seats a connection and returns the one that has to go for it.
    pub(super) fn seat(&mut self, stamp: Stamp, end: T) -> Option<T> {
        self.open.insert(stamp, end);
        if self.open.len() > self.places { self.oldest() } else { None }
    }

    /// Takes out the oldest.
    pub(super) fn oldest(&mut self) -> Option<T> {
        self.open.pop_first().map(|(_, end)| end)
    }

    /// The connection has ended.
    pub(super) fn leave(&mut self, stamp: Stamp) {
        self.open.remove(&stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_keeps_most_of_the_descriptors() {
        for (descriptors, expected) in [(0, 4), (64, 8), (256, 32), (1024, 64), (u64::MAX, 64)] {
            assert_eq!(places(descriptors), expected, "{descriptors}");
        }
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut slots = Slots::new(64);
        let stamps: Vec<_> = (0..64)
            .map(|n| {
                let stamp = slots.stamp();
                assert_eq!(slots.seat(stamp, n), None, "there is room for {n}");
                stamp
            })
            .collect();
        let stamp = slots.stamp();
        assert_eq!(slots.seat(stamp, 1000), Some(0));
        slots.leave(stamps[2]);
        let stamp = slots.stamp();
        assert_eq!(slots.seat(stamp, 1001), None, "2 has left its place");
    }

    #[test]
    fn whoever_was_pushed_out_changes_nothing_by_leaving() {
        let mut slots = Slots::new(64);
        let stamp = slots.stamp();
        slots.seat(stamp, "only");
        assert_eq!(slots.oldest(), Some("only"));
        slots.leave(stamp);
        assert_eq!(slots.oldest(), None);
    }
}
