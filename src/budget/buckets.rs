//! What was spent, minute by minute, for a day and an hour back. Pure.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::task::Usage;

/// The minutes that are kept: a day, and an hour for a clock that is set back a little.
pub(super) const KEPT: i64 = 25 * 60;

/// Dollars and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Millionths of a US dollar: whole numbers, so that a sum does not depend on its order.
    pub micro_usd: u64,
    /// Tokens, without what was read from the prompt cache.
    pub tokens: u64,
}

impl Spent {
    /// What an attempt used, as far as it is known.
    pub fn of(usage: Usage) -> Self {
        Self {
            micro_usd: usage.cost_usd.map_or(0, micro),
            tokens: usage.tokens.map_or(0, crate::task::Tokens::counted),
        }
    }

    /// Whether it is nothing.
    pub const fn is_none(self) -> bool {
        self.micro_usd == 0 && self.tokens == 0
    }

    /// In US dollars.
    #[expect(clippy::cast_precision_loss, reason = "millions of dollars are exact to the millionth")]
    pub fn usd(self) -> f64 {
        self.micro_usd as f64 / 1e6
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            micro_usd: self.micro_usd.saturating_add(other.micro_usd),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }
}

/// Dollars as millionths; what is no positive number is nothing.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
pub(super) fn micro(usd: f64) -> u64 {
    if usd.is_finite() && usd > 0.0 { (usd * 1e6).round() as u64 } else { 0 }
}

/// The minute of a moment, counted from 1970.
pub fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// What was spent in each minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    minutes: BTreeMap<i64, Spent>,
}

impl Buckets {
    /// Something was spent at `minute`. What is told of a time ahead of `now` was spent now: its clock was set since.
    pub fn add(&mut self, minute: i64, now: i64, spent: Spent) {
        let entry = self.minutes.entry(minute.min(now)).or_default();
        *entry = entry.plus(spent);
    }

    /// Takes in what others counted.
    pub fn merge(&mut self, other: &Self) {
        for (minute, spent) in &other.minutes {
            self.add(*minute, i64::MAX, *spent);
        }
    }

    /// Forgets what no window reaches any more.
    pub fn forget(&mut self, now: i64) {
        while let Some(first) = self.minutes.first_entry().filter(|it| *it.key() <= now.saturating_sub(KEPT))
        {
            first.remove();
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.minutes.is_empty()
    }

    /// What was spent in the last `length` minutes, without what was spent up to `forgiven`.
    pub fn sum(&self, length: i64, now: i64, forgiven: Option<i64>) -> Spent {
        self.within(length, now, forgiven).fold(Spent::default(), |sum, (_, spent)| sum.plus(spent))
    }

    /// The minutes that count, oldest first.
    pub(super) fn within(
        &self,
        length: i64,
        now: i64,
        forgiven: Option<i64>,
    ) -> impl Iterator<Item = (i64, Spent)> {
        let after = now.saturating_sub(length).max(forgiven.unwrap_or(i64::MIN));
        self.minutes.range(after.saturating_add(1)..).map(|(minute, spent)| (*minute, *spent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn usd(micro_usd: u64) -> Spent {
        Spent { micro_usd, tokens: 1 }
    }

    #[test]
    fn a_window_slides_by_the_minute() {
        let mut buckets = Buckets::default();
        for minute in [0, 30, 59, 60] {
            buckets.add(minute, minute, usd(1));
        }
        for (now, sum) in [(60, 3), (61, 3), (89, 3), (90, 2), (119, 1), (120, 0)] {
            assert_eq!(buckets.sum(60, now, None).micro_usd, sum, "{now}");
        }
        assert_eq!(buckets.sum(1440, 120, None).micro_usd, 4);
        assert_eq!(buckets.sum(1440, 120, Some(59)).micro_usd, 1, "what was forgiven");
    }

    #[test]
    fn what_is_ahead_was_spent_now_and_leaves_the_window_like_anything_else() {
        let mut buckets = Buckets::default();
        buckets.add(1_000_000, 10, usd(5));
        assert_eq!(buckets.sum(60, 10, None).micro_usd, 5);
        assert_eq!(buckets.sum(60, 70, None).micro_usd, 0);
    }

    #[test]
    fn what_no_window_reaches_is_forgotten() {
        let mut buckets = Buckets::default();
        for minute in 0..10_000 {
            buckets.add(minute, minute, usd(1));
            buckets.forget(minute);
        }
        assert_eq!(i64::try_from(buckets.minutes.len()).unwrap(), KEPT);
        assert_eq!(buckets.sum(1440, 9_999, None).micro_usd, 1440);
    }

    #[test]
    fn dollars_are_whole_millionths() {
        let spent = |cost_usd| Spent::of(Usage { cost_usd, tokens: None }).micro_usd;
        assert_eq!([spent(Some(0.00375)), spent(Some(10.0)), spent(None)], [3750, 10_000_000, 0]);
        for none in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(spent(Some(none)), 0, "{none}");
        }
    }
}
