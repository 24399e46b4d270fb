//! When a worker should not start anything: the API, the account or the agent itself is at fault, not a task.
//!
//! A hold ends at the moment that was told, or after a growing pause; then one task is let through to try
//! whether it is over, and only its good end ends the hold.

use std::time::Duration;

use crate::agent::disposition::Holding;
use crate::agent::verdict::HoldCause;
use crate::clock::Timestamp;
use crate::task::FileName;

#[derive(Clone, Debug, PartialEq)]
struct Hold {
    holding: Holding,
    until: Timestamp,
    times: u32,
    trying: Option<FileName>,
}

/// The hold of a worker, if there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holds {
    hold: Option<Hold>,
}

impl Holds {
    /// A run ended for a reason that is not its task's.
    pub fn begin(&mut self, holding: Holding, now: Timestamp) {
        let same = self.hold.as_ref().filter(|hold| hold.holding.cause == holding.cause);
        // Several runs that were under way may come back with one and the same fault.
        let times = same.map_or(1, |hold| if hold.trying.is_some() { hold.times + 1 } else { hold.times });
        let until =
            holding.until.filter(|at| *at > now).unwrap_or_else(|| after(now, pause(holding.cause, times)));
        self.hold = Some(Hold { holding, until, times, trying: None });
    }

    /// A run reached the API and was answered: whatever was wrong is over.
    pub fn prove_over(&mut self) {
        self.hold = None;
    }

    /// The pause is over: the next task tries.
    pub fn try_now(&mut self, now: Timestamp) {
        if let Some(hold) = &mut self.hold {
            hold.until = hold.until.min(now);
        }
    }

    /// Whether a task may be started.
    pub fn lets_start(&self, now: Timestamp) -> bool {
        self.hold.as_ref().is_none_or(|hold| now >= hold.until && hold.trying.is_none())
    }

    /// A task is being started: under a hold, it tries.
    pub fn started(&mut self, file: &FileName) {
        if let Some(hold) = &mut self.hold {
            hold.trying = Some(file.clone());
        }
    }

    /// A task was not started after all, or ended before it could tell: if it was the one that tried, the next one
    /// does.
    pub fn told_nothing(&mut self, file: &FileName) {
        if let Some(hold) = &mut self.hold {
            hold.trying.take_if(|it| it == file);
        }
    }

    /// Why nothing is started.
    pub fn holding(&self) -> Option<&Holding> {
        self.hold.as_ref().map(|hold| &hold.holding)
    }

    /// Until when; `None` without a hold, and while a task tries whether it is over.
    pub fn until(&self) -> Option<Timestamp> {
        self.hold.as_ref().filter(|hold| hold.trying.is_none()).map(|hold| hold.until)
    }
}

/// How long to hold where nobody told: by cause, doubling each time.
fn pause(cause: HoldCause, times: u32) -> Duration {
    let (first, longest) = match cause {
        HoldCause::Auth | HoldCause::Billing | HoldCause::Configuration => (15, 300),
        HoldCause::RateLimit => (60, 900),
        HoldCause::Outage => (5, 60),
        // Trying costs a few writes, and whoever made room does not wait long.
        HoldCause::Disk => (2, 5),
    };
    Duration::from_secs((first << times.saturating_sub(1).min(8)).min(longest))
}

fn after(now: Timestamp, pause: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(pause).ok().and_then(|pause| now.checked_add(pause).ok()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn file(name: &str) -> FileName {
        format!("{name}.json").parse().unwrap()
    }

    fn holding(cause: HoldCause, until: Option<Timestamp>) -> Holding {
        Holding { cause, reason: "r".to_owned(), remedy: "m".to_owned(), until }
    }

    #[test]
    fn a_rate_limit_holds_until_the_moment_that_was_told() {
        let mut holds = Holds::default();
        holds.begin(holding(HoldCause::RateLimit, Some(at(500))), at(0));
        assert!(!holds.lets_start(at(499)));
        assert!(holds.lets_start(at(500)));
    }

    #[test]
    fn one_task_tries_and_the_others_wait_for_it() {
        let mut holds = Holds::default();
        holds.begin(holding(HoldCause::Auth, None), at(0));
        assert!(!holds.lets_start(at(14)));
        assert!(holds.lets_start(at(15)));
        holds.started(&file("t"));
        assert!(!holds.lets_start(at(16)), "one at a time");
        holds.begin(holding(HoldCause::Auth, None), at(16));
        assert_eq!(holds.until(), Some(at(46)), "the pause doubles");
        holds.prove_over();
        assert!(holds.lets_start(at(17)));
    }

    #[test]
    fn a_try_that_never_started_leaves_the_next_one_to_try() {
        let mut holds = Holds::default();
        holds.begin(holding(HoldCause::Auth, None), at(0));
        holds.started(&file("t"));
        holds.told_nothing(&file("another"));
        assert!(!holds.lets_start(at(15)), "it was not the one that tries");
        holds.told_nothing(&file("t"));
        assert!(holds.lets_start(at(15)));
    }

    #[test]
    fn who_mended_it_need_not_wait() {
        let mut holds = Holds::default();
        holds.try_now(at(0));
        holds.begin(holding(HoldCause::Auth, None), at(0));
        holds.try_now(at(1));
        assert!(holds.lets_start(at(1)) && holds.holding().is_some(), "it is tried, and not taken for over");
        holds.started(&file("t"));
        holds.try_now(at(2));
        assert!(!holds.lets_start(at(2)), "one task tries already");
    }

    #[test]
    fn runs_that_come_back_together_count_once() {
        let mut holds = Holds::default();
        for _ in 0..5 {
            holds.begin(holding(HoldCause::Outage, None), at(0));
        }
        assert_eq!(holds.until(), Some(at(5)));
    }

    #[test]
    fn a_long_fault_is_tried_every_few_minutes() {
        assert_eq!(pause(HoldCause::Auth, 40), Duration::from_mins(5));
        assert_eq!(pause(HoldCause::Outage, 40), Duration::from_mins(1));
    }
}
