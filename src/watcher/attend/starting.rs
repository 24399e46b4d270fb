//! From where an agent, or what checks its answer, is started: a thread of its own, which the run waits for.
//!
//! Invariant: a start that hangs, as on a disk that does not answer, is told, and keeps no worker that is to leave at once.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::confined::usual;
use super::{Order, Run};
use crate::os::confine::Confinement;
use crate::os::process::start::put_first;
use crate::os::process::{Child, Starter};
use crate::watcher::core::Wanted;
use crate::watcher::ctx::Ctx;

/// A start that takes longer is told.
const LONG: Duration = Duration::from_secs(15);

/// Begins to see to the bounds of all runs of this worker, for one that is being claimed: that takes as long as the claim.
pub(in crate::watcher) fn foresee(ctx: &Ctx) {
    if let (None, Some(usual)) = (ctx.groups.place(), usual(ctx)) {
        ctx.starters.foresee(usual, ctx.clock.ticks());
    }
}

impl Run {
    /// A thread to start something from, which begins to see to the bounds of all runs of this worker; and those. Who enters
    /// a group confines himself.
    pub(super) fn starter(&self) -> io::Result<(Starter, Option<Confinement>)> {
        let mut starter = self.ctx.starters.take()?;
        let usual = usual(&self.ctx);
        if let (Some(usual), None) = (&usual, &self.group) {
            starter.foresee(usual.clone(), self.ctx.clock.ticks());
        }
        Ok((starter, usual))
    }

    /// Waits until `program` is started. Nothing, where the worker leaves meanwhile at once: it may begin when nobody is there
    /// any more, and the next watcher takes it up. What else is said is kept.
    pub(super) async fn while_it_starts<T>(
        &mut self,
        program: &Path,
        start: impl Future<Output = T>,
    ) -> Option<T> {
        let long = tokio::time::sleep(LONG);
        tokio::pin!(start, long);
        let mut is_told = false;
        loop {
            tokio::select! {
                biased;
                started = &mut start => {
                    self.ctx.starters.refill();
                    return Some(started);
                }
                order = self.orders.recv() => match order {
                    Some(Order::Look) => {}
                    Some(Order::Kill) | None => {
                        (self.wanted, self.hurry) = (Wanted::StopNow, true);
                        return None;
                    }
                    Some(order) => self.early.push(order),
                },
                () = &mut long, if !is_told => {
                    is_told = true;
                    let message = format!(
                        "does not get started: the kernel has been at `{}` for {} s; what is said to it waits",
                        program.display(),
                        LONG.as_secs()
                    );
                    let remedy = "look at the disk that the program lies on";
                    self.ctx.herald.caution(Some(self.lease.file.as_str()), &message, Some(remedy));
                }
            }
        }
    }

    /// Has it go before us when memory runs out, where the thread that started it may not say so.
    pub(super) fn put_first(&self, child: &Child) {
        if self.ctx.fence.strength().is_some() && self.group.is_none() {
            put_first(child);
        }
    }
}
