//! Moments as people say them: a time of day, or how long ago.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::parse_duration;

/// A moment, which may be meant from now on backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This one.
    At(Timestamp),
    /// So long ago.
    Ago(Duration),
}

impl Moment {
    /// The moment itself, said at `now`.
    pub(super) fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(age) => jiff::SignedDuration::try_from(age)
                .ok()
                .and_then(|age| now.checked_sub(age).ok())
                .unwrap_or(Timestamp::MIN),
        }
    }
}

/// Reads `10m`, `2026-01-31T06:00:00Z`, or the latter without an offset in the local time zone.
pub(super) fn past(text: &str) -> Result<Moment, String> {
    let age = parse_duration(text).map(Moment::Ago);
    age.or_else(|_| at(text).map(Moment::At))
        .map_err(|_: String| "takes an age such as 10m, or a moment such as 2026-01-31T06:00:00Z".to_owned())
}

/// Reads a moment: RFC 3339, or without an offset in the local time zone.
pub(super) fn at(text: &str) -> Result<Timestamp, String> {
    let local = || {
        let civil: jiff::civil::DateTime = text.parse()?;
        civil.to_zoned(jiff::tz::TimeZone::system()).map(|zoned| zoned.timestamp())
    };
    text.parse().or_else(|_| local()).map_err(|_: jiff::Error| {
        "takes a moment such as 2026-01-31T06:00:00Z or 2026-01-31T06:00".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_an_age_or_a_time_of_day() {
        let now: Timestamp = "2026-01-31T06:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("10m", Some("2026-01-31T05:50:00Z")),
            ("90", Some("2026-01-31T05:58:30Z")),
            ("2026-01-30T00:00:00Z", Some("2026-01-30T00:00:00Z")),
            ("100000000d", Some("-009999-01-02T01:59:59Z")),
            ("yesterday", None),
            ("", None),
        ] {
            let seen = past(text).ok().map(|moment| moment.seen_from(now));
            assert_eq!(seen, expected.map(|at| at.parse().unwrap()), "{text}");
        }
    }
}
