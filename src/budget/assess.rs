//! How much of a budget is used, and when it eases. Pure.
//!
//! | used | tier |
//! |---|---|
//! | from 75 % | near |
//! | from 90 % | close |
//! | from 100 % | spent |

use super::buckets::{Buckets, Spent, micro};
use crate::clock::Timestamp;
use crate::config::Allowance;

/// Over which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// The last 60 minutes.
    Hour,
    /// The last 24 hours.
    Day,
}

impl Window {
    /// In minutes.
    pub const fn minutes(self) -> i64 {
        match self {
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// In what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Dollars; the numbers are millionths.
    Usd,
    /// Tokens.
    Tokens,
}

impl Unit {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usd => "usd",
            Self::Tokens => "tokens",
        }
    }

    const fn of(self, spent: Spent) -> u64 {
        match self {
            Self::Usd => spent.micro_usd,
            Self::Tokens => spent.tokens,
        }
    }
}

/// How much is used, as people are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Three quarters.
    Near,
    /// Nine tenths.
    Close,
    /// All: nothing more is started.
    Spent,
}

impl Tier {
    /// From which share on, in hundredths.
    pub const fn percent(self) -> u64 {
        match self {
            Self::Near => 75,
            Self::Close => 90,
            Self::Spent => 100,
        }
    }
}

/// One bound, and what is used of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Over which time.
    pub window: Window,
    /// In what.
    pub unit: Unit,
    /// What was used.
    pub used: u64,
    /// What may be.
    pub limit: u64,
    /// Where all is used: when it is not any more, if nothing more is spent, and what has left the window until then.
    pub eases: Option<(Timestamp, u64)>,
}

impl Use {
    /// The share that is used, in hundredths.
    pub fn percent(&self) -> u64 {
        let percent = u128::from(self.used) * 100 / u128::from(self.limit.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    /// The share that is used; 1 is all.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is exact enough")]
    pub fn share(&self) -> f64 {
        self.used as f64 / self.limit.max(1) as f64
    }

    /// How far it has come.
    pub fn tier(&self) -> Option<Tier> {
        let percent = self.percent();
        [Tier::Spent, Tier::Close, Tier::Near].into_iter().find(|tier| percent >= tier.percent())
    }

    /// Whether nothing more is to be started.
    pub fn is_spent(&self) -> bool {
        self.tier() == Some(Tier::Spent)
    }
}

/// Every bound of `allowance`, with what was used of it by `now` (a minute) without what was spent up to `forgiven`.
pub fn assess(allowance: &Allowance, spent: &Buckets, now: i64, forgiven: Option<i64>) -> Vec<Use> {
    let bounds = [
        (Window::Hour, Unit::Usd, allowance.usd_per_hour.map(micro)),
        (Window::Day, Unit::Usd, allowance.usd_per_day.map(micro)),
        (Window::Hour, Unit::Tokens, allowance.tokens_per_hour),
        (Window::Day, Unit::Tokens, allowance.tokens_per_day),
    ];
    let bounded = bounds.into_iter().filter_map(|(window, unit, limit)| {
        let limit = limit?.max(1);
        let used = unit.of(spent.sum(window.minutes(), now, forgiven));
        let mut it = Use { window, unit, used, limit, eases: None };
        if it.is_spent() {
            it.eases = eases(&it, spent, now, forgiven);
        }
        Some(it)
    });
    bounded.collect()
}

/// When enough has left the window.
fn eases(it: &Use, spent: &Buckets, now: i64, forgiven: Option<i64>) -> Option<(Timestamp, u64)> {
    let mut left = 0;
    for (minute, spent) in spent.within(it.window.minutes(), now, forgiven) {
        left += it.unit.of(spent);
        if it.used.saturating_sub(left) < it.limit {
            let at = minute.saturating_add(it.window.minutes()).saturating_mul(60);
            return Some((Timestamp::from_second(at).ok()?, left));
        }
    }
    None
}

/// The bound to tell of: of those that are used up the one that eases last, else the one of which most is used.
pub fn most_pressing(uses: &[Use]) -> Option<&Use> {
    let spent = uses.iter().filter(|it| it.is_spent()).max_by_key(|it| it.eases.map(|(at, _)| at));
    spent.or_else(|| uses.iter().max_by_key(|it| it.percent()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Allowance = Allowance {
        usd_per_hour: Some(10.0),
        usd_per_day: None,
        tokens_per_hour: None,
        tokens_per_day: None,
    };

    fn spent(minutes: &[(i64, f64)]) -> Buckets {
        let mut buckets = Buckets::default();
        for (minute, usd) in minutes {
            buckets.add(*minute, i64::MAX, Spent { micro_usd: micro(*usd), tokens: 100 });
        }
        buckets
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    #[test]
    fn tiers_are_reached_at_their_shares() {
        for (usd, tier) in [
            (0.0, None),
            (7.49, None),
            (7.5, Some(Tier::Near)),
            (8.99, Some(Tier::Near)),
            (9.0, Some(Tier::Close)),
            (9.999_999, Some(Tier::Close)),
            (10.0, Some(Tier::Spent)),
            (25.0, Some(Tier::Spent)),
        ] {
            let uses = assess(&HOUR, &spent(&[(100, usd)]), 100, None);
            assert_eq!(uses[0].tier(), tier, "{usd}");
        }
    }

    #[test]
    fn it_eases_when_enough_has_left_the_window_and_not_before() {
        let buckets = spent(&[(100, 3.0), (110, 4.0), (120, 5.0)]);
        let told = assess(&HOUR, &buckets, 130, None)[0];
        assert_eq!((told.used, told.eases), (12_000_000, Some((at(160), 3_000_000))));
        for (now, is_spent) in [(130, true), (159, true), (160, false)] {
            assert_eq!(assess(&HOUR, &buckets, now, None)[0].is_spent(), is_spent, "{now}");
        }
        let one = assess(&HOUR, &spent(&[(100, 30.0)]), 130, None)[0];
        assert_eq!(one.eases, Some((at(160), 30_000_000)));
        assert!(!assess(&HOUR, &buckets, 130, Some(100))[0].is_spent(), "what was spent before was forgiven");
    }

    #[test]
    fn each_bound_is_judged_by_itself_and_the_last_to_ease_is_told() {
        let allowance = Allowance {
            usd_per_day: Some(10.0),
            tokens_per_hour: Some(200),
            tokens_per_day: Some(1000),
            ..HOUR
        };
        let uses = assess(&allowance, &spent(&[(0, 8.0), (1000, 3.0), (1010, 1.0)]), 1020, None);
        let told: Vec<_> =
            uses.iter().map(|it| (it.window.as_str(), it.unit.as_str(), it.percent())).collect();
        assert_eq!(
            told,
            [("hour", "usd", 40), ("day", "usd", 120), ("hour", "tokens", 100), ("day", "tokens", 30)]
        );
        let pressing = most_pressing(&uses).unwrap();
        assert_eq!((pressing.window, pressing.unit), (Window::Day, Unit::Usd));
        assert_eq!(most_pressing(&[]), None);
        assert!(assess(&Allowance::default(), &spent(&[(0, 8.0)]), 0, None).is_empty());
    }

    #[test]
    fn what_makes_up_a_budget_in_tenths_uses_it_up() {
        let tenths: Vec<(i64, f64)> = (0..100).map(|n| (n % 50, 0.1)).collect();
        assert!(assess(&HOUR, &spent(&tenths), 50, None)[0].is_spent());
    }
}
