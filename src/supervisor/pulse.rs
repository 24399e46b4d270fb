//! Whether a watcher makes progress, on the supervisor's own clock (pure).
//!
//! A sign of progress is any change of the heartbeat since the last look; its times are never compared with ours, so a
//! clock that is set means nothing.
//!
//! Invariants:
//! - it takes two looks in a row to be overdue;
//! - time in which nobody looked does not count: a machine that was suspended, a supervisor that was stopped or had no
//!   processor give the watcher one full period anew.

use std::time::Duration;

use crate::clock::Ticks;
use crate::os::process::ProcessId;

/// What can change when a watcher works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sign {
    /// The number of the heartbeat.
    pub seq: u64,
    /// When the watcher wrote it, on its clock, in nanoseconds.
    pub boottime_ns: u64,
    /// When the file was changed, in nanoseconds: on a full disk only that moves.
    pub mtime_ns: i128,
}

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a watcher may show no progress.
    pub silence: Duration,
    /// How long one may take that has never beaten: it cleans up first.
    pub start: Duration,
    /// Two looks further apart than this were not taken on time.
    pub look: Duration,
}

/// The progress of one worker's watcher.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    of: Option<ProcessId>,
    sign: Option<Sign>,
    since: Ticks,
    looked: Option<Ticks>,
    moved: bool,
    late: u32,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Felt {
    /// How long there has been no progress, as far as we looked.
    pub silent: Duration,
    /// Whether this watcher was seen to beat.
    pub has_beaten: bool,
    /// Whether two looks in a row were beyond the limit.
    pub is_overdue: bool,
}

impl Pulse {
    /// Takes in a look at `now`. `is_its` says that the heartbeat names the watcher that holds the lock, where that is
    /// known otherwise than by having seen it change.
    pub fn look(
        &mut self,
        of: Option<ProcessId>,
        (sign, is_its): (Option<Sign>, bool),
        now: Ticks,
        limits: &Limits,
    ) -> Felt {
        if self.looked.is_none() || (of.is_some() && of != self.of) {
            *self = Self { of, sign: sign.clone(), since: now, ..Self::default() };
        }
        if self.looked.is_some_and(|last| now.since(last) > limits.look) {
            self.since = now;
            self.late = 0;
        }
        if sign != self.sign {
            self.sign = sign;
            self.since = now;
            self.moved = true;
        }
        self.looked = Some(now);
        let silent = now.since(self.since);
        let has_beaten = self.moved || is_its;
        let limit = if has_beaten { limits.silence } else { limits.start };
        self.late = if silent >= limit { self.late.saturating_add(1) } else { 0 };
        Felt { silent, has_beaten, is_overdue: self.late >= 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        silence: Duration::from_mins(1),
        start: Duration::from_mins(5),
        look: Duration::from_secs(15),
    };

    fn at(second: u64) -> Ticks {
        Ticks(Duration::from_secs(second))
    }

    fn sign(seq: u64) -> Sign {
        Sign { seq, ..Sign::default() }
    }

    fn process(pid: i32) -> ProcessId {
        ProcessId { pid, start_ticks: 1, boot_id: "b".to_owned(), pid_ns: 1 }
    }

    /// The seconds at which looks every five seconds found it overdue, where it beats until `last`.
    fn overdue(last: u64, until: u64) -> Vec<u64> {
        let mut pulse = Pulse::default();
        let looks = (0..=until).step_by(5);
        looks
            .filter(|second| {
                let seen = (Some(sign((*second).min(last))), true);
                pulse.look(Some(process(7)), seen, at(*second), &LIMITS).is_overdue
            })
            .collect()
    }

    #[test]
    fn whoever_beats_is_never_overdue_and_whoever_ends_is_after_two_looks() {
        assert_eq!(overdue(10_000, 10_000), [0; 0]);
        assert_eq!(overdue(100, 170), [165, 170], "60 s since the look at 100, and one look more");
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let mut pulse = Pulse::default();
        let mut look = |second| pulse.look(Some(process(7)), (Some(sign(1)), true), at(second), &LIMITS);
        look(0);
        for second in [100_000, 100_005, 100_055] {
            assert!(!look(second).is_overdue, "{second}: one full period of grace");
        }
        for second in (100_060..100_110).step_by(10) {
            look(second);
        }
        assert!(!look(100_115).is_overdue, "one look is none");
        assert!(look(100_125).is_overdue, "then it is");
        assert!(!look(200_000).is_overdue, "and not after the next sleep");
    }

    #[test]
    fn wall_clocks_that_jump_are_signs_of_life_or_nothing() {
        // The heartbeat's own time and its file's go back a day with each beat: only that they change counts.
        let mut pulse = Pulse::default();
        for n in 0..100u64 {
            let sign = Sign { seq: n, boottime_ns: 1_000_000 - n, mtime_ns: -(i128::from(n) * 86_400) };
            let felt = pulse.look(Some(process(7)), (Some(sign), true), at(n * 5), &LIMITS);
            assert_eq!((felt.silent, felt.is_overdue), (Duration::ZERO, false));
        }
    }

    #[test]
    fn a_start_has_its_own_limit_and_a_new_watcher_begins_anew() {
        let mut pulse = Pulse::default();
        for second in (0..300).step_by(5) {
            let felt = pulse.look(Some(process(7)), (Some(sign(9)), false), at(second), &LIMITS);
            assert!(!felt.is_overdue && !felt.has_beaten, "{second}");
        }
        pulse.look(Some(process(7)), (Some(sign(9)), false), at(300), &LIMITS);
        let felt = pulse.look(Some(process(7)), (Some(sign(9)), false), at(305), &LIMITS);
        assert!(felt.is_overdue, "a start that never ends");
        let felt = pulse.look(Some(process(8)), (Some(sign(9)), false), at(310), &LIMITS);
        assert_eq!(felt, Felt { silent: Duration::ZERO, has_beaten: false, is_overdue: false });
        let felt = pulse.look(Some(process(8)), (Some(sign(10)), false), at(315), &LIMITS);
        assert!(felt.has_beaten, "it was seen to beat, whatever its times say");
    }

    #[test]
    fn a_mirror_that_is_gone_for_a_moment_changes_nothing() {
        let mut pulse = Pulse::default();
        pulse.look(Some(process(7)), (Some(sign(1)), true), at(0), &LIMITS);
        let felt = pulse.look(None, (Some(sign(1)), true), at(10), &LIMITS);
        assert_eq!(felt.silent, Duration::from_secs(10));
        let felt = pulse.look(Some(process(7)), (Some(sign(1)), true), at(20), &LIMITS);
        assert_eq!(felt.silent, Duration::from_secs(20));
    }
}
