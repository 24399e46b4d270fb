//! A start that waits for the disk: nothing is claimed or recovered yet, and everybody can see why.
//!
//! To leave in its place would make whoever restarts us count crashes, and there would be nobody to ask.

use std::time::Duration;

use super::beat::{hold_of, in_a_line, write_heartbeat};
use super::enter::Starting;
use crate::agent::disposition::Holding;
use crate::os::process::ProcessId;
use crate::os::signals::Signal;
use crate::os::trouble::Trouble;
use crate::task::HoldCause;
use crate::telemetry::health::Check;
use crate::telemetry::journal::Event as Noted;
use crate::telemetry::state_file::{self, WorkerStatus};

/// Between two tries; each costs a look at the worker's folders.
const AGAIN: Duration = Duration::from_secs(2);

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// It is time to try again.
    Again,
    /// A signal says to stop.
    Stop,
}

/// The waiting of one start.
#[derive(Debug, Default)]
pub(super) struct Wait {
    beats: u64,
}

impl Wait {
    /// Says why, and waits for a moment.
    pub(super) fn for_the_disk(
        &mut self,
        starting: &mut Starting,
        (trouble, why): (Trouble, String),
    ) -> Woken {
        self.beats += 1;
        let holding =
            Holding { cause: HoldCause::Disk, reason: why, remedy: trouble.remedy().to_owned(), until: None };
        self.tell(starting, &holding);
        let signals = &mut starting.signals;
        let heard = starting.runtime.block_on(async { tokio::time::timeout(AGAIN, signals.recv()).await });
        match heard {
            // Nobody sends any more: nobody could end us either, so it is as if we were told.
            Ok(Some(Signal::Stop) | None) => Woken::Stop,
            Ok(Some(Signal::Reload | Signal::Child)) | Err(_) => Woken::Again,
        }
    }

    fn tell(&self, starting: &mut Starting, holding: &Holding) {
        let ctx = &starting.ctx;
        ctx.board.turned(ctx.clock.ticks());
        ctx.look_at_disks();
        ctx.metrics.set_hold(Some(holding.cause));
        let mut shown = ctx.board.show();
        shown.status = WorkerStatus::Degraded;
        shown.hold = Some(hold_of(holding, None));
        shown.artifacts = Check::Failing(holding.reason.clone());
        // It is up, as far as whoever started it is concerned: more waiting there would end it.
        starting.manager.turned(&in_a_line(&shown), ctx.clock.ticks());
        let hold = shown.hold.clone();
        drop(shown);
        tracing::error!(
            error_code = holding.cause.code().as_str(),
            remedy = %holding.remedy,
            "not at work yet, and waiting for the disk: {}",
            holding.reason
        );
        if self.beats == 1 {
            ctx.note_worker(Noted::Held, &holding.reason);
        }
        if starting.may_sign() {
            write_heartbeat(ctx, &ProcessId::current(), self.beats, (WorkerStatus::Degraded, 0));
            // The status stays as the last watcher left it: it tells whether that one crashed, which is still to be
            // counted. Where there was none, a file of ours would look like a crash.
            let path = ctx.layout().state(&ctx.config.worker);
            if !matches!(path.try_exists(), Ok(true)) {
                return;
            }
            let done = state_file::update(&path, ctx.config.durability, |state| state.hold = hold);
            if let Err(error) = done {
                tracing::debug!(error = %error, "could not write state.json");
            }
        }
    }
}
