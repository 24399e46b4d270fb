//! Looking at names in queues: one after the other on one thread, since a burst of large files must not stand in memory
//! all at once. A name that is waiting already is looked at once.

use std::collections::HashMap;

use super::effects::{Errands, Told};
use super::look::{self, Slot};
use crate::spool::Identity;

/// The looks that wait.
#[derive(Debug, Default)]
pub(super) struct Looks {
    waiting: HashMap<Slot, Option<Identity>>,
    is_busy: bool,
}

impl Looks {
    /// One more; a version that is known need not be read again.
    pub(super) fn add(&mut self, slot: Slot, known: Option<Identity>) {
        let waiting = self.waiting.entry(slot).or_insert(known);
        if *waiting != known {
            *waiting = None;
        }
    }

    /// Whether some are under way: what they saw is not told yet.
    pub(super) const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// The last round is over.
    pub(super) fn done(&mut self, errands: &Errands) {
        self.is_busy = false;
        self.go(errands);
    }

    /// Begins a round, if there is anything to do and none is under way.
    pub(super) fn go(&mut self, errands: &Errands) {
        if self.is_busy || self.waiting.is_empty() {
            return;
        }
        self.is_busy = true;
        // In their order: of what came together the first is taken while the others are looked at.
        let mut round: Vec<_> = std::mem::take(&mut self.waiting).into_iter().collect();
        round.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        errands.go_on(move |spool, tell| {
            for (slot, known) in round {
                // Told one by one: a task does not wait for those behind it.
                if let Some(found) = look::look_unless(spool, slot, known) {
                    tell(Told::Looked(vec![found]));
                }
            }
            tell(Told::LookedThrough);
        });
    }
}
