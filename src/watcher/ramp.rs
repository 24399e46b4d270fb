//! The watcher's side of a gradual resume: looks at `resume.json` with every beat, and ends one that nobody leads.
//!
//! It deliberately does not know when a batch goes: that is its leader's.

use std::io;
use std::path::Path;

use crate::clock::Ticks;
use crate::os::lock::Lock;
use crate::os::trouble::if_there;
use crate::recovery::ramp::{Record, lines};
use crate::spool::{Identity, Store, steps};
use crate::task::WorkerName;
use crate::telemetry::journal::Event as Noted;

use super::ctx::Ctx;
use super::takes::{Patience, Sight, Takes, Verdict};

/// What is known of `resume.json`. A look that was refused adds nothing to it.
#[derive(Debug, Default)]
pub(super) struct Ramp {
    patience: Patience,
    seen: Seen,
    /// Why the latest look was refused, if it was.
    refused: Option<io::Error>,
}

#[derive(Debug, Default)]
enum Seen {
    /// Nothing: there was no answer yet, or one is there now that cannot be read.
    #[default]
    Unknown,
    /// There is none.
    Absent,
    /// This version, and what it says; `None` if that is no resume.
    Version(Identity, Option<Box<Record>>),
}

impl Ramp {
    /// Looks; from where tasks are taken now.
    pub(super) fn look(&mut self, ctx: &Ctx, now: Ticks) -> Takes {
        let path = ctx.layout().resume(&ctx.config.worker);
        let found = if_there(ctx.spool.store().identity(&path));
        self.learn(&path, found, || Record::read(&path));
        ctx.board.show().resume = self.record().map(Record::summary);
        // Nobody else's business: a lock that cannot be asked for is taken for held.
        let is_led = || crate::os::lock::is_held(&path).unwrap_or(true);
        match self.judge((&ctx.config.worker, &path), is_led, now) {
            Verdict::Take(takes) => takes,
            Verdict::End if self.end(ctx, &path) => Takes::All,
            // Somebody leads again.
            Verdict::End => Takes::Staged,
        }
    }

    fn record(&self) -> Option<&Record> {
        if let Seen::Version(_, record) = &self.seen { record.as_deref() } else { None }
    }

    /// What follows from what is known. A resume whose latest version cannot be read may have stopped, so it is not ended
    /// meanwhile.
    fn judge(
        &mut self,
        (worker, path): (&WorkerName, &Path),
        is_led: impl FnOnce() -> bool,
        now: Ticks,
    ) -> Verdict {
        let record = match (&self.seen, &self.refused) {
            (Seen::Unknown, Some(error)) => return Verdict::Take(Takes::unknown(path, error)),
            (Seen::Version(_, record), _) => record.as_deref(),
            (Seen::Unknown | Seen::Absent, _) => None,
        };
        let is_refused = self.refused.is_some();
        let sight = record.map(|record| Sight { record, is_led: is_refused || is_led() });
        self.patience.judge(worker, sight, now)
    }

    /// Takes in which version was found, and reads it if it is another. What was known stays where that is refused.
    fn learn(
        &mut self,
        path: &Path,
        found: io::Result<Option<Identity>>,
        read: impl FnOnce() -> io::Result<Option<Record>>,
    ) {
        let learned = found.and_then(|found| match (found, &self.seen) {
            (None, _) => Ok(Some(Seen::Absent)),
            (Some(new), Seen::Version(seen, _)) if *seen == new => Ok(None),
            (Some(new), _) => {
                let read = read().map(|record| Some(Seen::Version(new, record.map(Box::new))));
                if read.is_err() && self.record().is_none() {
                    self.seen = Seen::Unknown;
                }
                read
            }
        });
        match learned {
            Ok(seen) => {
                self.refused = None;
                if let Some(seen) = seen {
                    self.tell(path, &seen);
                    self.seen = seen;
                }
            }
            Err(error) => self.refuse(path, error),
        }
    }

    /// Says it once, until it is another thing.
    fn refuse(&mut self, path: &Path, error: io::Error) {
        if self.refused.as_ref().is_none_or(|was| was.to_string() != error.to_string()) {
            tracing::warn!(
                path = %path.display(),
                error = %error,
                "cannot see whether there is a gradual resume; what was known of it holds until that can be read"
            );
        }
        self.refused = Some(error);
    }

    /// Says what is new.
    fn tell(&self, path: &Path, seen: &Seen) {
        match seen {
            Seen::Absent if matches!(self.seen, Seen::Version(..)) => {
                tracing::info!(
                    "no gradual resume any more: tasks are taken from pending and the inbox again"
                );
            }
            Seen::Version(_, Some(record)) if self.record().is_none_or(|was| was.id != record.id) => {
                tracing::info!(
                    found = record.found,
                    leader = record.leader.pid,
                    "a gradual resume: tasks are taken from staged only"
                );
            }
            Seen::Version(_, None) => {
                tracing::warn!(path = %path.display(), "not a gradual resume; it is passed over, and may be removed");
            }
            Seen::Unknown | Seen::Absent | Seen::Version(_, Some(_)) => {}
        }
    }

    /// Ends the resume; not, if somebody leads again.
    fn end(&mut self, ctx: &Ctx, path: &Path) -> bool {
        let Ok(Some(lock)) = Lock::try_exclusive(path) else { return false };
        if !lock.is_still(path) {
            return false;
        }
        let left = self.record().map(|it| it.terms.leaderless_s);
        if let Err(error) = ctx.spool.store().perform_all(&steps::drop_temp(path)) {
            tracing::error!(error = %error, "nobody leads the gradual resume, and it cannot be ended");
            return false;
        }
        let said = lines::leaderless(&ctx.config.worker, left.unwrap_or_default());
        tracing::warn!("{said}");
        ctx.note_worker(Noted::ResumeAbandoned, &said);
        self.seen = Seen::Absent;
        ctx.board.show().resume = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::os::process::ProcessId;
    use crate::recovery::ramp::{Phase, Terms};
    use crate::task::Place;

    fn record(state: Phase) -> Record {
        let terms = Terms::usual();
        let now = "2026-03-01T10:00:00Z".parse().unwrap();
        Record { state, ..Record::begin(terms, 12, ProcessId::current(), now) }
    }

    const fn version(n: u64) -> Identity {
        Identity { dev: 1, inode: n, size: 1, mtime_ns: 1 }
    }

    fn refused<T>() -> io::Result<T> {
        Err(io::Error::from_raw_os_error(nix::libc::EIO))
    }

    /// What follows from a look at that second, while nobody leads.
    fn look(
        ramp: &mut Ramp,
        second: u64,
        found: io::Result<Option<Identity>>,
        read: io::Result<Option<Record>>,
    ) -> Verdict {
        let (worker, path) = ("marie".parse().unwrap(), Path::new("resume.json"));
        ramp.learn(path, found, || read);
        ramp.judge((&worker, path), || false, Ticks(Duration::from_secs(second)))
    }

    fn holds(verdict: &Verdict) -> bool {
        let Verdict::Take(takes) = verdict else { return false };
        takes.allows(Place::Staged) && !takes.allows(Place::Pending)
    }

    #[test]
    fn a_resume_that_cannot_be_read_goes_on_as_it_was_known() {
        for state in [Phase::Waiting, Phase::Stopped] {
            let mut ramp = Ramp::default();
            let known = look(&mut ramp, 0, Ok(Some(version(1))), Ok(Some(record(state))));
            assert!(holds(&known), "{state:?}");
            for second in [100, 200] {
                assert_eq!(look(&mut ramp, second, refused(), refused()), known, "{state:?}: not found");
                assert_eq!(
                    look(&mut ramp, second, Ok(Some(version(2))), refused()),
                    known,
                    "{state:?}: not read"
                );
            }
            let stopped = look(&mut ramp, 300, Ok(Some(version(2))), Ok(Some(record(Phase::Stopped))));
            assert!(matches!(stopped, Verdict::Take(Takes::Held(_))), "what was not read is read later");
            assert_eq!(look(&mut ramp, 301, Ok(None), refused()), Verdict::Take(Takes::All));
        }
    }

    #[test]
    fn whether_there_is_one_is_asked_until_it_is_answered_and_only_what_was_there_before_is_taken() {
        let mut ramp = Ramp::default();
        for (found, read) in [(refused(), refused()), (Ok(Some(version(1))), refused())] {
            let verdict = look(&mut ramp, 0, found, read);
            let Verdict::Take(Takes::Held(why)) = &verdict else { panic!("{verdict:?}") };
            assert!(holds(&verdict) && why.reason.contains("resume.json"), "{why:?}");
        }
        assert_eq!(look(&mut ramp, 1, Ok(None), refused()), Verdict::Take(Takes::All));
        assert_eq!(look(&mut ramp, 2, refused(), refused()), Verdict::Take(Takes::All), "none was there");
        assert!(
            holds(&look(&mut ramp, 3, Ok(Some(version(2))), refused())),
            "one is there, whatever it says"
        );
        assert_eq!(look(&mut ramp, 4, Ok(Some(version(2))), Ok(None)), Verdict::Take(Takes::All), "nonsense");
        assert!(holds(&look(&mut ramp, 5, Ok(Some(version(3))), Ok(Some(record(Phase::Waiting))))));
    }
}
