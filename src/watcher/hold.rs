//! When a worker should not start anything: the API, the account or the agent itself is at fault, not a task.
//!
//! A hold ends at the moment that was told, or after a growing pause; then one task is let through to try
//! whether it is over, and only its good end ends the hold. How long it lasts is settled when it begins: a wall clock
//! that is set meanwhile neither ends it nor makes it longer.

use std::time::Duration;

use super::core::Now;
use crate::agent::disposition::Holding;
use crate::clock::{Ticks, Timestamp};
use crate::limits::Word;
use crate::limits::record::{is_shared, pause};
use crate::task::{FileName, WorkerName};

#[derive(Clone, Debug, PartialEq)]
struct Hold {
    holding: Holding,
    until: Timestamp,
    due: Ticks,
    times: u32,
    trying: Option<FileName>,
    /// Whether it is what all workers of the account know.
    shared: bool,
    /// Whether another worker's run tries.
    elsewhere: bool,
}

/// The hold of a worker, if there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holds {
    hold: Option<Hold>,
}

impl Holds {
    /// A run ended for a reason that is not its task's.
    pub fn begin(&mut self, holding: Holding, now: Now) {
        let same = self.hold.as_ref().filter(|hold| hold.holding.cause == holding.cause);
        // Several runs that were under way may come back with one and the same fault.
        let times = same.map_or(1, |hold| if hold.trying.is_some() { hold.times + 1 } else { hold.times });
        let told = holding.until.filter(|at| *at > now.wall);
        let wait = told.map_or_else(|| pause(holding.cause, times), |at| ahead(at, now.wall));
        let until = told.unwrap_or_else(|| after(now.wall, wait));
        let due = now.ticks.plus(wait);
        self.hold = Some(Hold { holding, until, due, times, trying: None, shared: false, elsewhere: false });
    }

    /// A run reached the API and was answered: whatever was wrong is over.
    pub fn prove_over(&mut self) {
        self.hold = None;
    }

    /// What all workers of the account know now. It takes the place of what this one learned of the account by itself;
    /// what is wrong with this worker alone is waited out first.
    pub fn heed(&mut self, word: Option<&Word>, me: &WorkerName) {
        let Some(Word { stop, elsewhere }) = word else {
            self.hold.take_if(|hold| hold.shared);
            return;
        };
        if self.hold.as_ref().is_some_and(|hold| !is_shared(hold.holding.cause)) {
            return;
        }
        let reason = if stop.by == *me {
            stop.reason.clone()
        } else {
            format!("{} (met by {})", stop.reason, stop.by)
        };
        self.hold = Some(Hold {
            holding: Holding {
                cause: stop.cause,
                reason,
                remedy: stop.remedy.clone(),
                until: Some(stop.until),
            },
            until: stop.until,
            due: stop.due(),
            times: stop.times,
            trying: self.hold.take().and_then(|hold| hold.trying),
            shared: true,
            elsewhere: *elsewhere,
        });
    }

    /// The pause is over: the next task tries.
    pub fn try_now(&mut self, now: Now) {
        if let Some(hold) = &mut self.hold {
            hold.until = hold.until.min(now.wall);
            hold.due = hold.due.min(now.ticks);
        }
    }

    /// Whether a task may be started.
    pub fn lets_start(&self, now: Ticks) -> bool {
        self.hold.as_ref().is_none_or(|hold| now >= hold.due && hold.trying.is_none() && !hold.elsewhere)
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
    pub fn due(&self) -> Option<Ticks> {
        self.waiting().map(|hold| hold.due)
    }

    /// The same as a time of day: the one that was told, unless the wall clock was set since.
    pub fn until(&self, now: Now) -> Option<Timestamp> {
        let hold = self.waiting()?;
        let left = hold.due.since(now.ticks);
        let computed = after(now.wall, left);
        let apart = ahead(computed.max(hold.until), computed.min(hold.until));
        Some(if left.is_zero() || apart <= SAME { hold.until } else { computed })
    }

    fn waiting(&self) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.trying.is_none() && !hold.elsewhere)
    }
}

/// Two clocks that are so close are one: what is shown does not flicker.
const SAME: Duration = Duration::from_secs(2);

fn ahead(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

fn after(now: Timestamp, pause: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(pause).ok().and_then(|pause| now.checked_add(pause).ok()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Stop;
    use crate::task::HoldCause;

    fn at(second: i64) -> Now {
        let ticks = Ticks(Duration::from_secs(1_000 + second.unsigned_abs()));
        Now { wall: Timestamp::from_second(second).unwrap(), ticks }
    }

    /// The same moment after the wall clock was set.
    fn stepped(second: i64, by: i64) -> Now {
        Now { wall: Timestamp::from_second(second + by).unwrap(), ..at(second) }
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
        holds.begin(holding(HoldCause::RateLimit, Some(at(500).wall)), at(0));
        assert!(!holds.lets_start(at(499).ticks));
        assert!(holds.lets_start(at(500).ticks));
    }

    #[test]
    fn a_wall_clock_that_is_set_neither_ends_a_hold_nor_makes_it_longer() {
        const DAY: i64 = 86_400;
        for told in [Some(at(500).wall), None] {
            let mut holds = Holds::default();
            holds.begin(holding(HoldCause::RateLimit, told), at(0));
            let ends = if told.is_some() { 500 } else { 60 };
            for by in [-DAY, 0, DAY] {
                assert!(!holds.lets_start(stepped(ends - 1, by).ticks), "{by}");
                assert!(holds.lets_start(stepped(ends, by).ticks), "{by}");
                let shown = holds.until(stepped(ends - 10, by)).unwrap();
                assert_eq!(shown, stepped(ends, by).wall, "people are told the time of their clock");
            }
        }
    }

    #[test]
    fn one_task_tries_and_the_others_wait_for_it() {
        let mut holds = Holds::default();
        holds.begin(holding(HoldCause::Auth, None), at(0));
        assert!(!holds.lets_start(at(14).ticks));
        assert!(holds.lets_start(at(15).ticks));
        holds.started(&file("t"));
        assert!(!holds.lets_start(at(16).ticks), "one at a time");
        holds.begin(holding(HoldCause::Auth, None), at(16));
        assert_eq!(holds.until(at(16)), Some(at(46).wall), "the pause doubles");
        holds.prove_over();
        assert!(holds.lets_start(at(17).ticks));
    }

    #[test]
    fn a_try_that_never_started_leaves_the_next_one_to_try() {
        let mut holds = Holds::default();
        holds.begin(holding(HoldCause::Auth, None), at(0));
        holds.started(&file("t"));
        holds.told_nothing(&file("another"));
        assert!(!holds.lets_start(at(15).ticks), "it was not the one that tries");
        holds.told_nothing(&file("t"));
        assert!(holds.lets_start(at(15).ticks));
    }

    #[test]
    fn who_mended_it_need_not_wait() {
        let mut holds = Holds::default();
        holds.try_now(at(0));
        holds.begin(holding(HoldCause::Auth, None), at(0));
        holds.try_now(at(1));
        assert!(
            holds.lets_start(at(1).ticks) && holds.holding().is_some(),
            "it is tried, and not taken for over"
        );
        holds.started(&file("t"));
        holds.try_now(at(2));
        assert!(!holds.lets_start(at(2).ticks), "one task tries already");
    }

    fn word(cause: HoldCause, due: i64) -> Word {
        let stop = Stop {
            cause,
            reason: "r".to_owned(),
            remedy: "m".to_owned(),
            by: "marie".parse().unwrap(),
            at: at(0).wall,
            since_ns: 0,
            until: at(due).wall,
            due_ns: u64::try_from(at(due).ticks.0.as_nanos()).unwrap(),
            times: 1,
        };
        Word { stop, elsewhere: false }
    }

    #[test]
    fn what_another_worker_met_holds_until_the_same_moment() {
        let (mut holds, anga) = (Holds::default(), "anga".parse().unwrap());
        holds.heed(Some(&word(HoldCause::RateLimit, 100)), &anga);
        assert_eq!(holds.holding().unwrap().reason, "r (met by marie)");
        assert_eq!((holds.lets_start(at(99).ticks), holds.until(at(50))), (false, Some(at(100).wall)));
        assert!(holds.lets_start(at(100).ticks));
        holds.heed(Some(&Word { elsewhere: true, ..word(HoldCause::RateLimit, 100) }), &anga);
        assert!(!holds.lets_start(at(100).ticks), "another worker tries");
        assert_eq!(holds.due(), None, "and tells when it is over");
        holds.heed(None, &anga);
        assert!(holds.lets_start(at(101).ticks) && holds.holding().is_none());
    }

    #[test]
    fn what_is_known_together_takes_the_place_of_what_was_met_alone() {
        let (mut holds, marie) = (Holds::default(), "marie".parse().unwrap());
        holds.begin(holding(HoldCause::Outage, None), at(0));
        holds.heed(None, &marie);
        assert!(!holds.lets_start(at(1).ticks), "the others were not told yet");
        holds.heed(Some(&word(HoldCause::Outage, 30)), &marie);
        assert_eq!((holds.due(), holds.holding().unwrap().reason.as_str()), (Some(at(30).ticks), "r"));
        holds.started(&file("t"));
        holds.heed(Some(&word(HoldCause::Outage, 30)), &marie);
        assert!(!holds.lets_start(at(40).ticks), "one of ours tries still");
    }

    #[test]
    fn what_is_wrong_with_this_worker_alone_is_waited_out_first() {
        for cause in [HoldCause::Configuration, HoldCause::Disk] {
            let (mut holds, marie) = (Holds::default(), "marie".parse().unwrap());
            holds.begin(holding(cause, None), at(0));
            for word in [Some(word(HoldCause::Outage, 1)), None] {
                holds.heed(word.as_ref(), &marie);
                assert_eq!(holds.holding().map(|it| it.cause), Some(cause));
            }
        }
    }

    #[test]
    fn runs_that_come_back_together_count_once() {
        let mut holds = Holds::default();
        for _ in 0..5 {
            holds.begin(holding(HoldCause::Outage, None), at(0));
        }
        assert_eq!(holds.until(at(0)), Some(at(5).wall));
    }

    #[test]
    fn a_long_fault_is_tried_every_few_minutes() {
        assert_eq!(pause(HoldCause::Auth, 40), Duration::from_mins(5));
        assert_eq!(pause(HoldCause::Outage, 40), Duration::from_mins(1));
    }
}
