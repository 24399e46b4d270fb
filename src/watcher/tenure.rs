//! How long a worker may go on when its lock is in doubt (pure).
//!
//! The lock goes with the folder, not with its name: once the folder is moved away or replaced, another watcher can
//! take the lock of the new one. From the first doubt on nothing is claimed and nothing is filed; a folder that does
//! not come back ends the watcher, whose agents live on for the next one.

use std::time::Duration;

use crate::clock::Ticks;

/// How long a folder may be away: somebody may be moving it back.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What a look at the folder found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is the one that we locked.
    Ours,
    /// It is gone, or another one stands there.
    Another,
    /// Another one stands there, and somebody holds its lock.
    Taken,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The worker is ours.
    Held,
    /// It may be somebody else's: nothing is claimed or filed.
    Doubtful,
    /// It is not ours any more: leave, and leave everything as it is.
    Lost,
}

/// Since when the lock is in doubt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tenure {
    doubtful_since: Option<Ticks>,
}

impl Tenure {
    /// Takes in what was seen.
    pub(super) fn judge(&mut self, seen: Seen, now: Ticks) -> Verdict {
        match seen {
            Seen::Ours => {
                self.doubtful_since = None;
                Verdict::Held
            }
            Seen::Taken => Verdict::Lost,
            Seen::Another => {
                let since = *self.doubtful_since.get_or_insert(now);
                if now.since(since) >= PATIENCE { Verdict::Lost } else { Verdict::Doubtful }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_may_be_away_for_a_moment_and_no_longer() {
        let mut tenure = Tenure::default();
        for (second, seen, verdict) in [
            (0, Seen::Ours, Verdict::Held),
            (10, Seen::Another, Verdict::Doubtful),
            (14, Seen::Another, Verdict::Doubtful),
            (14, Seen::Ours, Verdict::Held),
            (20, Seen::Another, Verdict::Doubtful),
            (25, Seen::Another, Verdict::Lost),
        ] {
            assert_eq!(tenure.judge(seen, Ticks(Duration::from_secs(second))), verdict, "{second} {seen:?}");
        }
    }

    #[test]
    fn a_folder_that_somebody_else_holds_is_left_at_once() {
        assert_eq!(Tenure::default().judge(Seen::Taken, Ticks::default()), Verdict::Lost);
    }
}
