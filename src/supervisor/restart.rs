//! The restart rule: how often a worker that died is started again, and when it is enough.
//!
//! Invariants:
//! - the first restart of a healthy worker is immediate;
//! - two restarts are at least a cooldown apart, and no window holds more than `max_restarts` of them;
//! - what is added to the cooldown is drawn from the whole of a span that doubles with each restart (full jitter),
//!   so that workers that died together do not come back together, and never shortens the cooldown;
//! - a worker that lived for the healthy time is believed again: its tally begins anew, so that three crashes
//!   in a year never add up.
//!
//! It deliberately does not know why a worker died, nor how one is started: it only counts. Time is handed in.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Ticks;

/// How patient the supervisor is with one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many restarts one window may hold; 0: a dead worker stays dead.
    pub max_restarts: u32,
    /// The least time between two restarts.
    pub cooldown: Duration,
    /// The time in which restarts are counted.
    pub window: Duration,
}

impl Policy {
    /// How long a worker has to live until its past is forgotten.
    pub fn healthy(&self) -> Duration {
        self.window / 2
    }
}

/// What became of a worker's latest life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// When that life began.
    pub began: Ticks,
    /// When it ended.
    pub died: Ticks,
}

/// The restarts of one worker that still count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    restarts: VecDeque<Ticks>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// At once.
    Now,
    /// Not before this moment.
    At(Ticks),
    /// Not any more, until somebody has looked.
    SetAside,
}

impl Tally {
    /// How many restarts count at the moment.
    pub fn count(&self) -> usize {
        self.restarts.len()
    }
}

/// The span from which the addition to the pause before restart `n` is drawn doubles so often at most.
const DOUBLINGS_MAX: usize = 4;

/// The pause between restart `n - 1` and restart `n`, counted from 1: the cooldown, and a part of a span that begins
/// with one more cooldown and doubles each time. `jitter` is from 0 to 1.
fn pause(cooldown: Duration, n: usize, jitter: f64) -> Duration {
    let doublings = n.saturating_sub(2).min(DOUBLINGS_MAX);
    let span = cooldown.saturating_mul(1 << doublings);
    cooldown.saturating_add(span.mul_f64(jitter.clamp(0.0, 1.0)))
}

/// Decides about a worker that died, and counts the restart if there is to be one. `jitter` is from 0 to 1.
pub fn decide(tally: &mut Tally, death: Death, now: Ticks, policy: &Policy, jitter: f64) -> Restart {
    if death.died.since(death.began) >= policy.healthy() {
        tally.restarts.clear();
    }
    tally.restarts.retain(|at| now.since(*at) < policy.window);
    if tally.restarts.len() >= usize::try_from(policy.max_restarts).unwrap_or(usize::MAX) {
        return Restart::SetAside;
    }
    let pause = pause(policy.cooldown, tally.restarts.len() + 1, jitter);
    let at = tally.restarts.back().map_or(now, |last| last.plus(pause)).max(now);
    tally.restarts.push_back(at);
    if at == now { Restart::Now } else { Restart::At(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { max_restarts: 3, cooldown: Duration::from_mins(1), window: Duration::from_mins(10) };

    fn at(seconds: u64) -> Ticks {
        Ticks(Duration::from_secs(seconds))
    }

    /// What is decided at each death, given as (began, died) in seconds.
    fn decided(policy: &Policy, lives: &[(u64, u64)]) -> Vec<Restart> {
        let mut tally = Tally::default();
        lives
            .iter()
            .map(|(began, died)| {
                let death = Death { began: at(*began), died: at(*died) };
                decide(&mut tally, death, at(*died), policy, 0.0)
            })
            .collect()
    }

    #[test]
    fn restarts_are_given_out_and_run_out() {
        use Restart::{At, Now, SetAside};
        for (why, lives, expected) in [
            ("the first one is at once", vec![(0, 5)], vec![Now]),
            (
                "a crash loop is slowed down, then ended",
                vec![(0, 1), (1, 2), (61, 62), (121, 122)],
                vec![Now, At(at(61)), At(at(121)), SetAside],
            ),
            ("after the cooldown there is nothing to wait for", vec![(0, 1), (1, 100)], vec![Now, Now]),
            (
                "whoever lived long enough is believed again",
                vec![(0, 1), (1, 2), (61, 62), (121, 421), (421, 422)],
                vec![Now, At(at(61)), At(at(121)), Now, At(at(481))],
            ),
            (
                "a second less does not count as healthy",
                vec![(0, 1), (1, 2), (61, 62), (121, 420)],
                vec![Now, At(at(61)), At(at(121)), SetAside],
            ),
            (
                "what is older than the window no longer counts",
                vec![(0, 1), (1, 200), (200, 400), (400, 601)],
                vec![Now, Now, Now, Now],
            ),
        ] {
            assert_eq!(decided(&POLICY, &lives), expected, "{why}");
        }
    }

    #[test]
    fn none_are_given_where_none_are_allowed() {
        let policy = Policy { max_restarts: 0, ..POLICY };
        assert_eq!(decided(&policy, &[(0, 1000)]), [Restart::SetAside]);
    }

    #[test]
    fn without_a_cooldown_only_the_count_ends_it() {
        let policy = Policy { cooldown: Duration::ZERO, ..POLICY };
        let (now, aside) = (Restart::Now, Restart::SetAside);
        assert_eq!(decided(&policy, &[(0, 1), (1, 2), (2, 3), (3, 4)]), [now, now, now, aside]);
    }

    #[test]
    fn jitter_never_shortens_the_pause_and_its_span_doubles() {
        for (jitter, second, third) in
            [(0.0, 61, 122), (0.5, 91, 212), (1.0, 121, 302), (7.0, 121, 302), (-1.0, 61, 122)]
        {
            let mut tally = Tally::default();
            let mut die = |second: u64| {
                let death = Death { began: at(second - 1), died: at(second) };
                decide(&mut tally, death, at(second), &POLICY, jitter)
            };
            assert_eq!(die(1), Restart::Now, "the first one is at once, whatever the dice say");
            assert_eq!(die(2), Restart::At(at(second)), "{jitter}");
            // It dies a second after it came back.
            assert_eq!(die(second + 1), Restart::At(at(third - 1)), "{jitter}");
        }
    }
}
