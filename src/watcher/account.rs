//! What all workers of the account know, as the loop meets it: with every beat, and when a person says that it was mended.
//!
//! It deliberately does not know what follows from it: that is the core's.

use super::core::Event;
use super::effects::Told;
use super::shell::Looping;
use crate::clock::Ticks;

impl Looping {
    /// What another worker learned a moment ago holds this one too.
    pub(super) fn look_at_account(&mut self) {
        let Some(limits) = &self.ctx.limits else { return };
        let sight = limits.look();
        self.ctx.metrics.set_account(u8::from(sight.limited), sight.breaker);
        self.on_event(Event::Account(sight.word.map(Box::new)));
        if !sight.empty {
            // A person gave back what was spent.
            self.on_event(Event::Paced(Ticks::default()));
        }
    }

    /// A person says that something was mended: all workers of the account may try.
    pub(super) fn try_now(&mut self) {
        let Some(limits) = self.ctx.limits.clone() else { return self.on_event(Event::TryNow) };
        // Off the loop: its lock may have to be waited for.
        self.errands.go(move |_| {
            limits.try_now();
            vec![Told::Core(Event::TryNow)]
        });
    }
}
