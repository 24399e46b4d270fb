//! Which conversation an attempt has, where its claim could not say; and what its agent is told first.

use std::sync::Arc;

use super::Run;
use super::prepare::{Refused, deferred};
use crate::agent::Digest;
use crate::agent::disposition::Holding;
use crate::agent::message;
use crate::task::{Began, HoldCause, RunId, SessionId};
use crate::watcher::past::{Cut, Past};

impl Run {
    /// Decides how the attempt begins, and writes it down before anything is started. Files are read off the loop. Where
    /// they cannot be read nothing is begun: what was done would be done and paid for once more.
    pub(super) async fn choose(&mut self) -> Result<Chosen, Refused> {
        let run = self.lease.run;
        let is_new = self.lease.attempt().is_none_or(|it| it.began == Some(Began::New));
        if is_new && self.lease.task.record.attempts.len() <= 1 {
            return Ok(Chosen { origin: run, done: Digest::default(), cut: Cut::default() });
        }
        let (spool, mut lease) = (Arc::clone(&self.ctx.spool), self.lease.clone());
        let config_dir = self.ctx.config_dir();
        let chosen = tokio::task::spawn_blocking(move || {
            let unread =
                |error| Holding::of_disk("could not find out what is left of its earlier attempts", &error);
            let past = Past::of(&spool, run, &lease.task.record.attempts, config_dir).map_err(unread)?;
            let began = lease.attempt().and_then(|it| it.began);
            // What a conversation knows itself may be less than what was done, where the machine went down.
            let is_told = began != Some(Began::New) && (began.is_none() || past.is_of_another_boot());
            let done = if is_told { past.done().map_err(unread)? } else { Digest::default() };
            if let Some(open) = lease.task.record.open_attempt_mut().filter(|_| began.is_none()) {
                let rung = past.next(SessionId::mint(), &done).map_err(unread)?;
                past.stamp(rung, open);
                spool.update(&lease).map_err(|error| Holding::of_disk(error.to_string(), &error.source))?;
            }
            Ok((lease, Chosen { origin: past.origin(), done, cut: past.cut_by() }))
        });
        let chosen =
            chosen.await.unwrap_or_else(|error| Err(Holding::of(HoldCause::Disk, error.to_string())));
        let (lease, chosen) = chosen.map_err(deferred)?;
        self.lease = lease;
        Ok(chosen)
    }

    /// What the agent is told first.
    pub(super) fn first_message(&self, chosen: &Chosen) -> Result<String, Refused> {
        let began = self.lease.attempt().and_then(|it| it.began).unwrap_or(Began::New);
        let text = match began {
            Began::New => self.prompt()?,
            Began::Told => message::told_message(&self.prompt()?, &chosen.done.render()),
            Began::Resumed | Began::Forked => self
                .what_to_mend()
                .unwrap_or_else(|| message::resume_message(chosen.cut.cause(), &chosen.done.render())),
        };
        let reminds = began != Began::New && self.pack.pack.wants_json();
        let text = if reminds { format!("{text} {}", message::AS_JSON) } else { text };
        Ok(message::user_message(&text))
    }
}

/// What was found out before a start.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The run in whose workspace it works.
    pub(super) origin: RunId,
    /// What was done before, where the agent has to be told.
    done: Digest,
    /// Why its conversation was cut.
    cut: Cut,
}
