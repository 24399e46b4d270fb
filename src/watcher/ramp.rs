//! The watcher's side of a gradual resume: looks at `resume.json` with every beat, and ends one that nobody leads.
//!
//! It deliberately does not know when a batch goes: that is its leader's.

use crate::clock::Ticks;
use crate::os::lock::Lock;
use crate::os::trouble::if_there;
use crate::recovery::ramp::{Record, lines};
use crate::spool::{Identity, Store, steps};
use crate::telemetry::journal::Event as Noted;

use super::ctx::Ctx;
use super::takes::{Patience, Sight, Takes, Verdict};

/// What was seen of `resume.json`.
#[derive(Debug, Default)]
pub(super) struct Ramp {
    patience: Patience,
    seen: Option<(Identity, Option<Box<Record>>)>,
    /// Whether the last look got no answer.
    unseen: bool,
}

impl Ramp {
    /// Looks; from where tasks are taken now.
    pub(super) fn look(&mut self, ctx: &Ctx, now: Ticks) -> Takes {
        let path = ctx.layout().resume(&ctx.config.worker);
        if let Err(error) = self.read(ctx, &path) {
            // One may be under way, or stopped until somebody looks.
            if !std::mem::replace(&mut self.unseen, true) {
                tracing::warn!(
                    error = %error,
                    path = %path.display(),
                    "cannot see whether there is a gradual resume: until that is seen, tasks are taken from staged only"
                );
            }
            return Takes::Staged;
        }
        self.unseen = false;
        let record = self.seen.as_ref().and_then(|(_, record)| record.as_deref());
        // Nobody else's business: a lock that cannot be asked for is taken for held.
        let sight =
            record.map(|record| Sight { record, is_led: crate::os::lock::is_held(&path).unwrap_or(true) });
        let verdict = self.patience.judge(&ctx.config.worker, sight, now);
        ctx.board.show().resume = record.map(Record::summary);
        match verdict {
            Verdict::Take(takes) => takes,
            Verdict::End if self.end(ctx, &path) => Takes::All,
            // Somebody leads again.
            Verdict::End => Takes::Staged,
        }
    }

    fn read(&mut self, ctx: &Ctx, path: &std::path::Path) -> std::io::Result<()> {
        let Some(identity) = if_there(ctx.spool.store().identity(path))? else {
            if self.seen.take().is_some() {
                tracing::info!(
                    "no gradual resume any more: tasks are taken from pending and the inbox again"
                );
            }
            return Ok(());
        };
        if self.seen.as_ref().is_some_and(|(seen, _)| *seen == identity) {
            return Ok(());
        }
        let record = Record::ask(path)?.map(Box::new);
        let was = self.seen.as_ref().and_then(|(_, record)| record.as_ref()).map(|it| it.id);
        match &record {
            Some(record) if Some(record.id) != was => {
                tracing::info!(
                    found = record.found,
                    leader = record.leader.pid,
                    "a gradual resume: tasks are taken from staged only"
                );
            }
            Some(_) => {}
            None => {
                tracing::warn!(path = %path.display(), "not a gradual resume; it is passed over, and may be removed");
            }
        }
        self.seen = Some((identity, record));
        Ok(())
    }

    /// Ends the resume; not, if somebody leads again.
    fn end(&mut self, ctx: &Ctx, path: &std::path::Path) -> bool {
        let Ok(Some(lock)) = Lock::try_exclusive(path) else { return false };
        if !lock.is_still(path) {
            return false;
        }
        let left = self.seen.as_ref().and_then(|(_, record)| record.as_ref()).map(|it| it.terms.leaderless_s);
        if let Err(error) = ctx.spool.store().perform_all(&steps::drop_temp(path)) {
            tracing::error!(error = %error, "nobody leads the gradual resume, and it cannot be ended");
            return false;
        }
        let said = lines::leaderless(&ctx.config.worker, left.unwrap_or_default());
        tracing::warn!("{said}");
        ctx.note_worker(Noted::ResumeAbandoned, &said);
        self.seen = None;
        ctx.board.show().resume = None;
        true
    }
}
