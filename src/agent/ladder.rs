//! How a run goes on: which conversation its next attempt has. Pure.
//!
//! The rungs, from the best to the last:
//!
//! | rung | when | costs |
//! |---|---|---|
//! | resumed | the transcript is there | nothing twice |
//! | forked | the CLI would not go on with it, cannot write into it, or somebody else has it open | nothing twice |
//! | told | none can be gone on with, and something was done | what the agent finds out again |
//! | new | nothing was done yet, or the pack starts over | - |
//!
//! Invariants:
//! - a rung that failed is not tried again, so there is an end: whoever begins anew and is refused as well was refused for
//!   another reason, and holds the worker; after that the ladder begins from its top, since nothing was lost by then;
//! - a pack that starts over is never led back to what was before.
//!
//! It deliberately does not know the disk, or what the agent is told.

use crate::task::{Attempt, AttemptOutcome, Began, SessionId};

/// What there is of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transcript {
    /// Nothing.
    Gone,
    /// A transcript.
    There,
    /// A transcript that the CLI cannot write into: what it adds would be lost.
    ReadOnly,
    /// Somebody else has it open.
    InUse,
    /// A transcript that this run did not make, as far as its record tells.
    Foreign,
}

/// How an attempt begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its conversation.
    pub session: SessionId,
    /// How it comes to that.
    pub began: Began,
    /// Of which it is a copy.
    pub forked_from: Option<SessionId>,
}

impl Rung {
    /// A conversation that begins.
    pub const fn new(session: SessionId) -> Self {
        Self { session, began: Began::New, forked_from: None }
    }

    /// Writes it into the attempt that begins so.
    pub fn stamp(self, attempt: &mut Attempt) {
        attempt.session_id = self.session;
        attempt.began = Some(self.began);
        attempt.forked_from = self.forked_from;
    }
}

/// The rung after `earlier`, as far as a transcript is left that may be gone on with; `fresh` is for a conversation of
/// its own. An error is a disk that does not say.
pub fn going_on<E>(
    earlier: &[Attempt],
    fresh: SessionId,
    look: impl Fn(SessionId) -> Result<Transcript, E>,
) -> Result<Option<Rung>, E> {
    let life = since_start(earlier);
    let refusals = refusals(life, &look)?;
    for session in sessions(life) {
        let resumed = Rung { session, began: Began::Resumed, forked_from: None };
        let forked = Rung { session: fresh, began: Began::Forked, forked_from: Some(session) };
        let rungs = match look(session)? {
            Transcript::Gone | Transcript::Foreign => continue,
            Transcript::There => [resumed, forked],
            Transcript::ReadOnly => [forked, resumed],
            Transcript::InUse => [forked, forked],
        };
        let left = rungs.into_iter().find(|rung| !refusals.contains(&(session, rung.began)));
        if left.is_some() {
            return Ok(left);
        }
    }
    Ok(None)
}

/// The rung where none is left to go on with: [`Began::Told`] if anything had been done, else [`Began::New`].
pub fn anew<E>(
    earlier: &[Attempt],
    fresh: SessionId,
    look: impl Fn(SessionId) -> Result<Transcript, E>,
    began: Began,
) -> Result<Rung, E> {
    // A conversation that is nowhere has its identifier still; one that was refused may be there for the CLI.
    let refused = earlier.iter().any(|it| it.outcome == Some(AttemptOutcome::SessionLost));
    let last = earlier.last().map(|it| it.session_id).filter(|_| !refused);
    let session = match last {
        Some(last) if look(last)? == Transcript::Gone => last,
        Some(_) | None => fresh,
    };
    Ok(Rung { began, ..Rung::new(session) })
}

/// The attempts that belong to what is gone on with: from the last on that began anew.
pub fn since_start(earlier: &[Attempt]) -> &[Attempt] {
    let start = earlier.iter().rposition(|it| it.began == Some(Began::New)).unwrap_or(0);
    &earlier[start..]
}

/// Their conversations, the latest first.
fn sessions(life: &[Attempt]) -> Vec<SessionId> {
    let mut all: Vec<SessionId> = Vec::new();
    for attempt in life.iter().rev() {
        if !all.contains(&attempt.session_id) {
            all.push(attempt.session_id);
        }
    }
    all
}

/// Which ways of going on with which conversation the CLI has refused.
fn refusals<E>(
    life: &[Attempt],
    look: &impl Fn(SessionId) -> Result<Transcript, E>,
) -> Result<Vec<(SessionId, Began)>, E> {
    let mut refused = Vec::new();
    for attempt in life {
        let lost = attempt.outcome == Some(AttemptOutcome::SessionLost);
        match attempt.began {
            Some(Began::Resumed) if lost => refused.push((attempt.session_id, Began::Resumed)),
            Some(Began::Forked) if lost => {
                refused.extend(attempt.forked_from.map(|from| (from, Began::Forked)));
            }
            // Written down before it was known how an attempt began: not gone on with.
            None if lost => {
                refused.extend([Began::Resumed, Began::Forked].map(|began| (attempt.session_id, began)));
            }
            // Refused although it needed no conversation: so it was not the conversations.
            Some(Began::New | Began::Told)
                if attempt.outcome == Some(AttemptOutcome::Deferred)
                    && look(attempt.session_id)? == Transcript::Gone =>
            {
                refused.clear();
            }
            Some(_) | None => {}
        }
    }
    Ok(refused)
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
