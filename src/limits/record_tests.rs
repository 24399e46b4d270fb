//! The table of states, and a day of outages on a hand-turned clock.

use super::*;

const DAY: i64 = 86_400;

fn at(second: u64) -> Moment {
    let ticks = Ticks(Duration::from_secs(1_000 + second));
    Moment { wall: Timestamp::from_second(1_000_000 + second.cast_signed()).unwrap(), ticks }
}

fn fresh() -> Record {
    Record::fresh("https://api.example", "boot")
}

fn news(cause: HoldCause, told: Option<Timestamp>) -> News {
    let by = "marie".parse().unwrap();
    News { cause, reason: "r".to_owned(), remedy: "m".to_owned(), told, by, tried: false }
}

fn tried(news: News) -> News {
    News { tried: true, ..news }
}

fn word(record: &Record, now: Moment) -> &'static str {
    match record.standing(now.ticks) {
        Standing::Closed => "closed",
        Standing::Open(_) => "open",
        Standing::HalfOpen(_) => "half-open",
    }
}

#[test]
fn a_minute_has_so_many_requests_and_they_come_back_one_by_one() {
    let mut record = fresh();
    let taken = (0..200).filter(|_| record.take(50, at(0).ticks).is_ok()).count();
    assert_eq!((taken, record.left(at(0).ticks)), (50, Some(0)));
    assert_eq!(record.take(50, at(0).ticks), Err(at(0).ticks.plus(Duration::from_millis(1200))));
    assert!(record.take(50, at(0).ticks.plus(Duration::from_millis(1200))).is_ok());
    assert_eq!(record.left(at(3).ticks), Some(1));
    assert_eq!(record.left(at(10_000).ticks), Some(50), "never more than a minute's");
}

#[test]
fn in_any_minute_no_more_than_twice_the_rate_and_over_a_day_the_rate() {
    let mut record = fresh();
    let taken = (0..3_600).filter(|second| record.take(50, at(*second).ticks).is_ok()).count();
    assert_eq!(taken, 50 + 50 * 60 - 1, "what there was, and what came back up to the last second");
}

#[test]
fn a_request_that_was_not_used_is_given_back_and_no_more_than_that() {
    let mut record = fresh();
    record.give_back(2);
    assert_eq!(record.take(2, at(0).ticks).and(record.take(2, at(0).ticks)), Ok(()));
    assert!(record.take(2, at(0).ticks).is_err());
    record.give_back(2);
    assert!(record.take(2, at(0).ticks).is_ok());
    assert!(record.take(2, at(0).ticks).is_err());
}

#[test]
fn without_a_rate_everything_is_let_through_and_a_forged_account_lasts_a_minute() {
    let mut record = fresh();
    assert!((0..10_000).all(|_| record.take(0, at(0).ticks).is_ok()));
    assert_eq!((record.left(at(0).ticks), record.empty_until(at(0).ticks)), (None, None));
    record.spent_until_ns = u64::MAX;
    let next = record.take(60, at(0).ticks).unwrap_err();
    assert!(next <= at(1).ticks, "{next:?}");
}

#[test]
fn two_workers_with_different_rates_share_one_account() {
    let mut record = fresh();
    assert!((0..10).all(|_| record.take(10, at(0).ticks).is_ok()));
    assert!(record.take(10, at(0).ticks).is_err());
    assert!(record.take(60, at(0).ticks).is_err(), "a minute is spent, whatever it is divided into");
    assert!(record.take(60, at(1).ticks).is_ok());
}

#[test]
fn closed_open_half_open() {
    for (cause, first, second) in [
        (HoldCause::Outage, 5, 10),
        (HoldCause::Auth, 15, 30),
        (HoldCause::Billing, 15, 30),
        (HoldCause::RateLimit, 60, 120),
    ] {
        let mut record = fresh();
        record.learn(news(cause, None), at(0), 0.0);
        assert_eq!(word(&record, at(first - 1)), "open", "{cause:?}");
        assert_eq!(word(&record, at(first)), "half-open", "{cause:?}");
        record.learn(tried(news(cause, None)), at(first), 0.0);
        assert_eq!(word(&record, at(first + second - 1)), "open", "{cause:?}: a try in vain doubles it");
        assert_eq!(word(&record, at(first + second)), "half-open", "{cause:?}");
        record.answered(at(first + second).ticks);
        assert_eq!(word(&record, at(first + second)), "closed", "{cause:?}");
    }
}

#[test]
fn those_that_come_back_together_count_once_and_shorten_nothing() {
    let mut record = fresh();
    record.learn(news(HoldCause::RateLimit, Some(at(3_600).wall)), at(0), 0.0);
    for second in 1..5 {
        record.learn(news(HoldCause::RateLimit, None), at(second), 0.5);
    }
    let stop = record.rate_limit.as_ref().unwrap();
    assert_eq!((stop.times, stop.until), (1, at(3_600).wall));
    assert_eq!(word(&record, at(3_599)), "open");
    record.learn(news(HoldCause::RateLimit, Some(at(900).wall)), at(6), 0.0);
    assert_eq!(word(&record, at(900)), "half-open", "the latest that the API said counts");
}

#[test]
fn what_began_before_is_no_proof() {
    let mut record = fresh();
    record.learn(news(HoldCause::Outage, None), at(10), 0.0);
    record.answered(at(9).ticks);
    assert_eq!(word(&record, at(11)), "open");
    record.answered(at(10).ticks);
    assert_eq!(word(&record, at(11)), "closed");
}

#[test]
fn of_two_faults_the_longer_one_tells_and_an_answer_ends_both() {
    let mut record = fresh();
    record.learn(news(HoldCause::RateLimit, Some(at(100).wall)), at(0), 0.0);
    record.learn(news(HoldCause::Outage, None), at(0), 0.0);
    assert!(
        matches!(record.standing(at(50).ticks), Standing::Open(stop) if stop.cause == HoldCause::RateLimit)
    );
    record.answered(at(100).ticks);
    assert_eq!(word(&record, at(100)), "closed");
}

#[test]
fn jitter_only_makes_a_pause_longer_and_never_what_was_told() {
    for jitter in [0.0, 0.5, 1.0] {
        let mut record = fresh();
        record.learn(news(HoldCause::Outage, None), at(0), jitter);
        let due = record.breaker.as_ref().unwrap().due();
        assert!(due >= at(5).ticks && due <= at(6).ticks, "{jitter}: {due:?}");
        record.learn(news(HoldCause::RateLimit, Some(at(77).wall)), at(0), jitter);
        assert_eq!(record.rate_limit.as_ref().unwrap().due(), at(77).ticks);
    }
}

#[test]
fn a_wall_clock_that_is_set_changes_nothing_but_what_is_shown() {
    for by in [-DAY, 0, DAY] {
        let stepped = |second: u64| Moment {
            wall: Timestamp::from_second(at(second).wall.as_second() + by).unwrap(),
            ..at(second)
        };
        let mut record = fresh();
        record.learn(news(HoldCause::RateLimit, Some(at(500).wall)), at(0), 0.0);
        assert_eq!(record.take(1, stepped(10).ticks), Ok(()));
        let record = record.in_boot("boot", stepped(10));
        assert_eq!((word(&record, stepped(499)), word(&record, stepped(500))), ("open", "half-open"), "{by}");
        assert_eq!(record.left(stepped(69).ticks), Some(0), "{by}");
    }
}

#[test]
fn after_a_boot_what_was_shown_decides() {
    let mut record = fresh();
    record.learn(news(HoldCause::RateLimit, Some(at(500).wall)), at(0), 0.0);
    assert!(record.take(1, at(0).ticks).is_ok());
    let booted = Moment { wall: at(400).wall, ticks: Ticks(Duration::from_secs(3)) };
    let mut record = record.in_boot("another", booted);
    assert_eq!(record.left(booted.ticks), Some(1));
    let later = |seconds| Moment { ticks: booted.ticks.plus(Duration::from_secs(seconds)), ..booted };
    assert_eq!((word(&record, later(99)), word(&record, later(100))), ("open", "half-open"));
    record.answered(later(101).ticks);
    assert_eq!(word(&record, later(101)), "closed");
}

#[test]
fn who_mended_it_need_not_wait() {
    let mut record = fresh();
    record.learn(news(HoldCause::Auth, None), at(0), 0.0);
    record.try_now(at(1));
    assert_eq!(word(&record, at(1)), "half-open", "it is tried, and not taken for over");
}

#[test]
fn what_is_no_record_of_this_version_is_none() {
    let mut record = fresh();
    record.learn(news(HoldCause::RateLimit, None), at(0), 0.0);
    let bytes = serde_json::to_vec(&record).unwrap();
    assert_eq!(Record::parse(&bytes), Some(record.clone()));
    record.version = VERSION + 1;
    let future = serde_json::to_vec(&record).unwrap();
    for broken in [&b""[..], b"{", b"null", b"[]", br#"{"version":1}"#, &bytes[..bytes.len() / 2], &future] {
        assert_eq!(Record::parse(broken), None, "{}", String::from_utf8_lossy(broken));
    }
}

/// Three outages of different lengths and a rate limit in one day, and workers that would start something each second.
#[test]
fn a_day_of_outages_costs_a_few_dozen_tries() {
    let down = |second: u64| {
        (3_600..5_400).contains(&second)
            || (20_000..20_030).contains(&second)
            || (60_000..67_200).contains(&second)
    };
    let limited = |second: u64| (40_000..43_600).contains(&second);
    let (mut record, mut probe, mut started, mut refused) = (fresh(), None, 0_u32, 0_u32);
    let mut longest_blind = 0;
    let mut over_since = None;
    for second in 0..86_400_u64 {
        let now = at(second);
        // A run takes two seconds to be answered or refused.
        if let Some((began, ends)) = probe.filter(|(_, ends)| *ends == second) {
            probe = None;
            if down(ends) {
                refused += 1;
                record.learn(tried(news(HoldCause::Outage, None)), now, 0.5);
            } else if limited(ends) {
                refused += 1;
                record.learn(tried(news(HoldCause::RateLimit, Some(at(43_600).wall))), now, 0.5);
            } else {
                record.answered(at(began).ticks);
            }
        }
        let over = !down(second) && !limited(second) && word(&record, now) != "closed";
        over_since = if over { over_since.or(Some(second)) } else { None };
        longest_blind = longest_blind.max(over_since.map_or(0, |since| second - since));
        if probe.is_none() && word(&record, now) != "open" && record.take(50, now.ticks).is_ok() {
            started += 1;
            probe = Some((second, second + 2));
        }
    }
    assert!((100..250).contains(&refused), "each minute of an outage costs about one try: {refused}");
    assert!(started > 30_000, "{started}");
    assert!(longest_blind <= 80, "what is over is noticed within a pause: {longest_blind} s");
}

#[test]
fn what_two_learned_who_could_not_tell_each_other_is_known_to_both() {
    let (mut mine, mut theirs) = (fresh(), fresh());
    mine.learn(news(HoldCause::Outage, None), at(0), 0.0);
    assert!(mine.take(2, at(0).ticks).is_ok());
    theirs.learn(news(HoldCause::RateLimit, Some(at(500).wall)), at(1), 0.0);
    theirs.learn(news(HoldCause::Auth, None), at(2), 0.0);
    for joined in [mine.clone().join(&theirs), theirs.clone().join(&mine)] {
        assert_eq!(joined.rate_limit, theirs.rate_limit);
        assert_eq!(joined.breaker, theirs.breaker, "what was learned last");
        assert_eq!(joined.spent_until_ns, mine.spent_until_ns);
    }
}
