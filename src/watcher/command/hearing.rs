//! The pipe for commands, and the look at both pipes each second.

use crate::clock::Ticks;
use crate::pipe::framing::Framed;
use crate::pipe::inlet::Inlet;
use crate::pipe::leftover::Leftovers;
use crate::pipe::outlet::Listener;
use crate::pipe::place::{Notice, Place, PlaceError};
use crate::telemetry::health::Check;

use super::super::ctx::Ctx;

/// The worker's ear.
#[derive(Debug)]
pub(in crate::watcher) struct Hearing {
    inlet: Inlet,
    /// What is wrong with the pipes, so that it is said once.
    trouble: Option<String>,
    leftovers: Leftovers,
}

impl Hearing {
    pub(in crate::watcher) fn new(ctx: &Ctx) -> Self {
        let layout = ctx.layout();
        let place = Place::new(layout.root(), &layout.commands(&ctx.config.worker), ctx.config.pipes);
        Self { inlet: Inlet::new(place), trouble: None, leftovers: Leftovers::default() }
    }

    /// Sees that both pipes stand where they should: what came in meanwhile, and whether somebody new reads.
    pub(in crate::watcher) fn look(&mut self, ctx: &Ctx, now: Ticks) -> (Vec<Framed>, Listener) {
        let (mut notices, mut lines) = (Vec::new(), Vec::new());
        let heard = self.inlet.look(now, &mut notices, &mut lines);
        let told = ctx.herald.look(&mut notices);
        for Notice { message, remedy } in &notices {
            ctx.herald.caution(None, message, Some(remedy));
        }
        let layout = ctx.layout();
        let swept = self.leftovers.look(layout.root(), &layout.pipes(), now);
        if swept > 0 {
            tracing::info!(count = swept, "removed pipes for answers that nobody reads any more");
        }
        self.show(ctx, heard.as_ref().err().or(told.as_ref().err()));
        (lines, told.unwrap_or(Listener::Nobody))
    }

    fn show(&mut self, ctx: &Ctx, error: Option<&PlaceError>) {
        let trouble = error.map(|it| format!("{it}; {}", it.remedy));
        if trouble == self.trouble {
            return;
        }
        if let Some(error) = error {
            tracing::error!(remedy = error.remedy, "the worker works, and cannot be talked to: {error}");
        } else {
            tracing::info!("the pipes are as they should be again");
        }
        ctx.board.show().pipes = trouble.clone().map_or(Check::Ok, Check::Degraded);
        self.trouble = trouble;
    }

    /// Waits until something is there to be read.
    pub(in crate::watcher) async fn readable(&self) {
        self.inlet.readable().await;
    }

    /// Reads what is there, as far as one turn goes; and whether there may be more.
    pub(in crate::watcher) fn read(&mut self, now: Ticks) -> (Vec<Framed>, bool) {
        let mut lines = Vec::new();
        let may_be_more = self.inlet.read(now, &mut lines);
        (lines, may_be_more)
    }

    /// When half a line is to be given up.
    pub(in crate::watcher) fn due(&self) -> Option<Ticks> {
        self.inlet.due()
    }
}
