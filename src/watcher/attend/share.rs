//! What a run learned of the account is told to all its workers before the task goes anywhere.
//!
//! It deliberately does not know what follows from it: that is [`crate::limits`]' and the core's.

use std::sync::Arc;

use super::prepare::Refused;
use super::{Begin, Run};
use crate::agent::disposition::{Disposition, at_limit, moment};
use crate::agent::stream::RateLimit;
use crate::agent::verdict::{Judgement, Verdict};
use crate::clock::{Ticks, Timestamp};
use crate::limits::{Limiter, News, Warning};
use crate::task::Usage;
use crate::watcher::ctx::Ctx;

impl Run {
    /// Tells what this run met. An answer to what was asked before a fault was met is no proof that it is over.
    pub(super) async fn share(&mut self, judgement: &Judgement) {
        let answered =
            self.answered.then(|| if self.begin == Begin::Adopt { Ticks::default() } else { self.began });
        let file = self.lease.file.clone();
        if let Some(news) = self.news(judgement) {
            self.off_the_loop(move |limits| limits.learn(&file, news, Ctx::jitter())).await;
        } else if let Some(began) = answered {
            let lasts = self.off_the_loop(move |limits| limits.answered(began)).await;
            self.answered &= lasts != Some(true);
        }
    }

    fn news(&self, judgement: &Judgement) -> Option<News> {
        let Verdict::Wait { cause, until, reason, remedy } = &judgement.verdict else { return None };
        Some(News {
            cause: *cause,
            reason: self.ctx.redactor.redact(reason).into_owned(),
            remedy: remedy.clone(),
            told: until.and_then(|until| moment(until, self.ctx.clock.wall())),
            by: self.lease.worker.clone(),
            tried: false,
        })
    }

    /// It is over: if it was the one that tried, another may.
    pub(super) fn let_others_try(&self) {
        if let Some(limits) = &self.ctx.limits {
            limits.ended(&self.lease.file);
        }
    }

    /// A task that is not to wait for the end of a rate limit fails before anything is started.
    pub(super) fn check_limit(&self) -> Result<(), Refused> {
        let known = self.ctx.limits.as_ref().and_then(|limits| limits.refusal(&self.lease.file));
        let Some(stop) = known else { return Ok(()) };
        let outcome = at_limit(&format!("{} (until {:.0}, met by {})", stop.reason, stop.until, stop.by));
        Err(Box::new(Disposition::Conclude { outcome, answer: None, usage: Usage::default() }))
    }

    /// The API says that its limit is near.
    pub(super) fn warn_of(&self, near: Option<RateLimit>) {
        let (Some(near), Some(limits)) = (near, self.ctx.limits.as_ref().map(Arc::clone)) else { return };
        let resets_at = near.resets_at.and_then(|at| Timestamp::from_second(at).ok());
        let (by, at) = (self.lease.worker.clone(), self.ctx.clock.wall());
        let warning = Warning { window: near.window, used_percent: near.used_percent, resets_at, by, at };
        tracing::warn!(task = %self.lease.name, "{warning}");
        self.ctx.herald.warn(&warning.to_string(), None);
        tokio::task::spawn_blocking(move || limits.warned(warning));
    }

    async fn off_the_loop<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Limiter) -> T + Send + 'static,
    ) -> Option<T> {
        let limits = Arc::clone(self.ctx.limits.as_ref()?);
        tokio::task::spawn_blocking(move || ask(&limits)).await.ok()
    }
}
