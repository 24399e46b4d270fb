//! What is left of a run's earlier attempts: their conversations, and what their streams tell. Where the run goes on with
//! the conversation of its task's last life, those of that come before.
//!
//! A conversation counts as there only if the run's own record bears it out: whoever may drop a file may write any session
//! into it, and another task's conversation is not to be gone on with. One that somebody else has open, at a terminal or
//! in a process that nobody could end, is never gone on with itself: two of them would write over one another.

use std::io;
use std::path::PathBuf;

use crate::agent::disposition::counted;
use crate::agent::ladder::{self, Rung, Transcript};
use crate::agent::message::Cause;
use crate::agent::{Digest, replay, transcript};
use crate::layout::RunPaths;
use crate::os::lock;
use crate::os::process::identity::boot_id;
use crate::os::trouble::if_there;
use crate::spool::{Disk, Spool, continuing};
use crate::task::{Attempt, Began, RunId, SessionId};

/// What is left of earlier attempts.
#[derive(Clone, Debug)]
pub(super) struct Past {
    /// The attempts, and the record of the run that each belongs to.
    attempts: Vec<(RunPaths, Attempt)>,
    /// How many of them belong to lives before this one.
    before: usize,
    /// The run in whose workspace it works: the first whose conversation goes on in it.
    origin: RunId,
    /// Where the CLI keeps its transcripts, if it can have any.
    config_dir: Option<PathBuf>,
}

impl Past {
    /// Of `run`, which had these `attempts`. An error is a disk that does not say.
    pub(super) fn of(
        spool: &Spool<Disk>,
        run: RunId,
        attempts: &[Attempt],
        config_dir: Option<PathBuf>,
    ) -> io::Result<Self> {
        let layout = spool.layout();
        let lives = continuing::lives_before(spool.store(), layout, run)?;
        let mut all = Vec::new();
        for life in lives.iter().rev() {
            let ended = continuing::attempts_of(layout, *life)?;
            all.extend(ended.into_iter().map(|it| (layout.run(life), it)));
        }
        let before = all.len();
        let own = attempts.iter().filter(|it| !it.is_open());
        all.extend(own.map(|it| (layout.run(&run), it.clone())));
        let origin = lives.last().copied().unwrap_or(run);
        Ok(Self { attempts: all, before, origin, config_dir })
    }

    /// Of a run that begins, and goes on with the conversation of `last`, which has ended.
    pub(super) fn after(spool: &Spool<Disk>, last: RunId, config_dir: Option<PathBuf>) -> io::Result<Self> {
        let ended = continuing::attempts_of(spool.layout(), last)?;
        let past = Self::of(spool, last, &ended, config_dir)?;
        Ok(Self { before: past.attempts.len(), ..past })
    }

    /// Stamps how an attempt begins, and what its conversation had cost in lives before this one.
    pub(super) fn stamp(&self, rung: Rung, attempt: &mut Attempt) {
        rung.stamp(attempt);
        let attempts = self.attempts();
        let (old, own) = attempts.split_at(self.before);
        let from = rung.forked_from.unwrap_or(rung.session);
        let is_new_here = rung.began.goes_on() && own.iter().all(|it| it.session_id != from);
        attempt.cost_before_usd = Some(counted(old, from)).filter(|usd| is_new_here && *usd > 0.0);
    }

    /// The run in whose workspace it works.
    pub(super) const fn origin(&self) -> RunId {
        self.origin
    }

    /// Why the conversation was cut.
    pub(super) fn cut_by(&self) -> Cut {
        let attempts = self.attempts();
        match attempts.last() {
            Some(last) if attempts.len() == self.before => {
                Cut::Ended(last.reason.clone().unwrap_or_default())
            }
            Some(_) | None => Cut::Attempts(attempts),
        }
    }

    /// The attempts themselves.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.attempts.iter().map(|(_, attempt)| attempt.clone()).collect()
    }

    /// How the next attempt goes on, if a conversation is left for that. An error is a disk that does not say.
    pub(super) fn going_on(&self, fresh: SessionId) -> io::Result<Option<Rung>> {
        ladder::going_on(&self.attempts(), fresh, |session| self.look(session))
    }

    /// How the next attempt begins, whatever is left; `done` is what was done.
    pub(super) fn next(&self, fresh: SessionId, done: &Digest) -> io::Result<Rung> {
        if let Some(rung) = self.going_on(fresh)? {
            return Ok(rung);
        }
        let began = if done.is_empty() { Began::New } else { Began::Told };
        ladder::anew(&self.attempts(), fresh, |session| self.look(session), began)
    }

    /// What was done since it last began anew, the latest first.
    pub(super) fn done(&self) -> io::Result<Digest> {
        let attempts = self.attempts();
        let life = ladder::since_start(&attempts).len();
        let latest = self.attempts.iter().rev().take(life);
        replay::done(latest.map(|(paths, attempt)| paths.stream(attempt.number)))
    }

    /// Whether the machine went down since: what the CLI and the agent had written last may be lost with it.
    pub(super) fn is_of_another_boot(&self) -> bool {
        let last = self.attempts.iter().rev().find_map(|(_, attempt)| attempt.boot_id.as_deref());
        last.is_some_and(|boot| boot != boot_id())
    }

    /// What there is of a conversation.
    fn look(&self, session: SessionId) -> io::Result<Transcript> {
        let Some(dir) = &self.config_dir else { return Ok(Transcript::Gone) };
        let found = transcript::look(dir, session)?;
        if found == Transcript::Gone {
            return Ok(found);
        }
        let mut is_ours = false;
        for (paths, attempt) in self.attempts.iter().rev().filter(|(_, it)| it.session_id == session) {
            let stream = paths.stream(attempt.number);
            if lock::is_held(&stream)? {
                return Ok(Transcript::InUse);
            }
            is_ours = is_ours || bears_out(&stream, session)?;
        }
        Ok(if is_ours { found } else { Transcript::Foreign })
    }
}

/// Why a conversation was cut.
#[derive(Clone, Debug)]
pub(super) enum Cut {
    /// Its task had ended, and was let go on.
    Ended(String),
    /// As the last of these attempts tells.
    Attempts(Vec<Attempt>),
}

impl Default for Cut {
    fn default() -> Self {
        Self::Attempts(Vec::new())
    }
}

impl Cut {
    /// As the agent is told.
    pub(super) fn cause(&self) -> Cause<'_> {
        match self {
            Self::Ended(reason) => Cause::Renewed(reason),
            Self::Attempts(attempts) => Cause::of(attempts),
        }
    }
}

/// Whether the output of an attempt is there and does not speak of another conversation.
fn bears_out(stream: &std::path::Path, session: SessionId) -> io::Result<bool> {
    let Some(said) = if_there(replay::session(stream))? else { return Ok(false) };
    Ok(said.is_none_or(|it| it == session.to_string()))
}
