//! Tables: which rung comes next.

use std::convert::Infallible;

use jiff::Timestamp;

use super::*;
use crate::task::AttemptOutcome as O;

/// Conversations by a letter.
fn id(letter: char) -> SessionId {
    SessionId(uuid::Uuid::from_u128(u128::from(u32::from(letter))))
}

/// `"a new crashed"`, `"b fork:a lost"`: a conversation, how it began, and how it ended.
fn attempts(story: &[&str]) -> Vec<Attempt> {
    let attempt = |(n, line): (usize, &&str)| {
        let words: Vec<&str> = line.split(' ').collect();
        let session = id(words[0].chars().next().unwrap());
        let mut attempt = Attempt::open(u32::try_from(n).unwrap() + 1, session, Timestamp::UNIX_EPOCH);
        attempt.began = match words[1] {
            "new" => Some(Began::New),
            "resumed" => Some(Began::Resumed),
            "told" => Some(Began::Told),
            "?" => None,
            fork => {
                attempt.forked_from = fork.strip_prefix("fork:").and_then(|it| it.chars().next()).map(id);
                Some(Began::Forked)
            }
        };
        let outcome = match words[2] {
            "crashed" => O::Crashed,
            "lost" => O::SessionLost,
            "deferred" => O::Deferred,
            "unstarted" => O::NotStarted,
            "late" => O::TimedOut,
            other => panic!("{other}"),
        };
        attempt.close(outcome, None, Timestamp::UNIX_EPOCH);
        attempt
    };
    story.iter().enumerate().map(attempt).collect()
}

fn letter(session: SessionId) -> char {
    char::from_u32(u32::try_from(session.0.as_u128()).unwrap()).unwrap()
}

/// What `there` says of a conversation: `a` is there, `-a` cannot be written, `!a` is in use, `?a` is none of ours.
fn look(there: &str, session: SessionId) -> Transcript {
    let word = there.split(' ').find(|word| word.ends_with(letter(session)));
    match word.and_then(|word| word.chars().next()) {
        None => Transcript::Gone,
        Some('-') => Transcript::ReadOnly,
        Some('!') => Transcript::InUse,
        Some('?') => Transcript::Foreign,
        Some(_) => Transcript::There,
    }
}

/// The next rung in the same words.
fn next(story: &[&str], there: &str) -> String {
    let earlier = attempts(story);
    let look = |session| Ok::<_, Infallible>(look(there, session));
    let Ok(rung) = going_on(&earlier, id('z'), look);
    let rung = rung.unwrap_or_else(|| {
        let Ok(rung) = anew(&earlier, id('z'), look, Began::Told);
        rung
    });
    let from = rung.forked_from.map(|from| format!(":{}", letter(from))).unwrap_or_default();
    format!("{} {}{from}", letter(rung.session), rung.began.as_str())
}

#[test]
fn the_best_rung_that_has_not_failed_is_taken() {
    for (story, there, expected) in [
        (&["a new crashed"][..], "a", "a resumed"),
        (&["a new crashed", "a resumed unstarted"], "a", "a resumed"),
        (&["a new crashed", "a resumed deferred"], "a", "a resumed"),
        // Refused, then the copy too, then it is told.
        (&["a new crashed", "a resumed lost"], "a", "z forked:a"),
        (&["a new crashed", "a resumed lost", "b fork:a lost"], "a", "z told"),
        // The copy lives: it is gone on with.
        (&["a new crashed", "a resumed lost", "b fork:a crashed"], "a b", "b resumed"),
        // It died before it had a transcript of its own: the old one is copied again.
        (&["a new crashed", "a resumed lost", "b fork:a crashed"], "a", "z forked:a"),
        // The copy was lost later, the original is there.
        (&["a new crashed", "a resumed lost", "b fork:a crashed", "b resumed lost"], "a b", "z forked:b"),
        (&["a new crashed", "b fork:a crashed", "b resumed lost", "c fork:b lost"], "a b", "a resumed"),
        // Gone: the same identifier, which the CLI has never seen.
        (&["a new crashed"], "", "a told"),
        (&["a new crashed", "a told crashed"], "", "a told"),
        (&["a new crashed", "a told crashed"], "a", "a resumed"),
        // Gone for the CLI alone: not the same identifier.
        (&["a new crashed", "a resumed lost"], "", "z told"),
        // It cannot be written: a copy; where that is refused, as it is.
        (&["a new crashed"], "-a", "z forked:a"),
        (&["a new crashed", "b fork:a lost"], "-a", "a resumed"),
        (&["a new crashed", "b fork:a lost", "a resumed lost"], "-a", "z told"),
        // Somebody has it open: never twice.
        (&["a new crashed"], "!a", "z forked:a"),
        (&["a new crashed", "b fork:a lost"], "!a", "z told"),
        // Another task's: neither gone on with nor begun under its identifier.
        (&["a new crashed"], "?a", "z told"),
        // What was told and goes on.
        (&["a new crashed", "a resumed lost", "b fork:a lost", "c told crashed"], "a c", "c resumed"),
        (&["a new crashed", "a resumed lost", "b fork:a lost", "c told crashed"], "a", "z told"),
        // Refused whatever it was asked: the CLI's fault, and nothing is lost by it.
        (&["a new crashed", "a resumed lost", "b fork:a lost", "c told deferred"], "a", "a resumed"),
        (&["a new crashed", "a resumed lost", "b fork:a lost", "c told unstarted"], "a", "z told"),
        // Before it was known how attempts began.
        (&["a ? crashed"], "a", "a resumed"),
        (&["a ? lost"], "a", "z told"),
        // The pack starts over: never back.
        (&["a new late", "b new crashed"], "a", "b told"),
        (&["a new late", "b new crashed"], "a b", "b resumed"),
    ] {
        assert_eq!(next(story, there), expected, "{story:?} with {there:?}");
    }
}

#[test]
fn where_nothing_was_done_there_is_nothing_to_tell() {
    let earlier = attempts(&["a new unstarted"]);
    let nothing = |session| Ok::<_, Infallible>(look("", session));
    assert_eq!(anew(&earlier, id('z'), nothing, Began::New), Ok(Rung::new(id('a'))));
    assert_eq!(anew(&[], id('z'), nothing, Began::New), Ok(Rung::new(id('z'))));
}

#[test]
fn a_ladder_has_an_end_whatever_the_cli_refuses() {
    let mut earlier = attempts(&["a new crashed"]);
    let mut refused = 0;
    loop {
        let there = |session| Ok::<_, Infallible>(look("a", session));
        let fresh = id(char::from(b'b' + refused));
        let Ok(rung) = going_on(&earlier, fresh, there);
        let Some(rung) = rung else { break };
        let mut attempt = Attempt::open(u32::from(refused) + 2, rung.session, Timestamp::UNIX_EPOCH);
        rung.stamp(&mut attempt);
        attempt.close(O::SessionLost, None, Timestamp::UNIX_EPOCH);
        earlier.push(attempt);
        refused += 1;
    }
    assert_eq!(refused, 2, "once resumed, once forked");
}
