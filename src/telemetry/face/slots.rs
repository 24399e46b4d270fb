//! Which connection has to go when there is no place for another. Pure.
//!
//! Invariants: never more than [`Slots::MAX`] are seated; whoever has been idle longest goes first, and a served
//! request makes a connection the youngest again. So a flood of half-open connections pushes out itself.

use std::collections::BTreeMap;

/// When a connection last did something; unique, rising.
pub(super) type Stamp = u64;

/// The open connections, each with what ends it.
#[derive(Debug)]
pub(super) struct Slots<T> {
    next: Stamp,
    open: BTreeMap<Stamp, T>,
}

impl<T> Slots<T> {
    pub(super) const MAX: usize = 64;

    pub(super) const fn new() -> Self {
        Self { next: 0, open: BTreeMap::new() }
    }

    /// A stamp for a connection that will be seated.
    pub(super) fn stamp(&mut self) -> Stamp {
        self.next += 1;
        self.next
    }

    /// Seats a connection and returns the one that has to go for it.
    pub(super) fn seat(&mut self, stamp: Stamp, end: T) -> Option<T> {
        self.open.insert(stamp, end);
        if self.open.len() > Self::MAX { self.oldest() } else { None }
    }

    /// Takes out the one that has been idle longest.
    pub(super) fn oldest(&mut self) -> Option<T> {
        self.open.pop_first().map(|(_, end)| end)
    }

    /// The connection has done something: its new stamp.
    pub(super) fn touch(&mut self, stamp: Stamp) -> Stamp {
        let Some(end) = self.open.remove(&stamp) else { return stamp };
        let fresh = self.stamp();
        self.open.insert(fresh, end);
        fresh
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
    fn the_one_that_was_idle_longest_goes_first() {
        let mut slots = Slots::new();
        let stamps: Vec<_> = (0..Slots::<usize>::MAX)
            .map(|n| {
                let stamp = slots.stamp();
                assert_eq!(slots.seat(stamp, n), None, "there is room for {n}");
                stamp
            })
            .collect();
        slots.touch(stamps[0]);
        let stamp = slots.stamp();
        assert_eq!(slots.seat(stamp, 1000), Some(1), "0 has just been served");
        slots.leave(stamps[2]);
        let stamp = slots.stamp();
        assert_eq!(slots.seat(stamp, 1001), None, "2 has left its place");
    }

    #[test]
    fn whoever_was_pushed_out_changes_nothing_by_leaving() {
        let mut slots = Slots::new();
        let stamp = slots.stamp();
        slots.seat(stamp, "only");
        assert_eq!(slots.oldest(), Some("only"));
        assert_eq!(slots.touch(stamp), stamp);
        slots.leave(stamp);
        assert_eq!(slots.oldest(), None);
    }
}
