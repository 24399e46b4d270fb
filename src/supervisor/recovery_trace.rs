//! The trace of a recovery: from the moment in which a death is known to the first beat of the next watcher. Pure:
//! it is told what happened and when, and gives spans.
//!
//! `worker_recovery` spans the whole; its parts are `check_crash_reason` (looking for why it died), `restart_worker`
//! (from the decision to the new watcher's lock), `clean_state` (from the lock to the first beat: the new watcher
//! recovers before it beats) and `verify_health` (until that beat was seen here).

use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::recovery::crash::Verdict;
use crate::task::WorkerName;
use crate::telemetry::traces::span::{Context, Event, Span, Status};

/// One recovery under way.
#[derive(Debug)]
struct Recovery {
    context: Context,
    died: Timestamp,
    examined: Timestamp,
    why: Verdict,
    restarting: Option<Timestamp>,
    up: Option<(Timestamp, Option<i32>)>,
}

/// The recoveries under way.
#[derive(Debug, Default)]
pub(super) struct Recoveries {
    open: HashMap<WorkerName, Recovery>,
}

impl Recoveries {
    /// A watcher died at `died`; `why` was known at `examined`.
    pub(super) fn died(
        &mut self,
        worker: &WorkerName,
        died: Timestamp,
        why: &Verdict,
        examined: Timestamp,
    ) -> Vec<Span> {
        let given_up = self.given_up(worker, "it died again before it was at work", died);
        let recovery = Recovery {
            context: Context::fresh(),
            died,
            examined,
            why: why.clone(),
            restarting: None,
            up: None,
        };
        self.open.insert(worker.clone(), recovery);
        given_up
    }

    /// It is being started again.
    pub(super) fn restarting(&mut self, worker: &WorkerName, at: Timestamp) {
        if let Some(recovery) = self.open.get_mut(worker) {
            recovery.restarting.get_or_insert(at);
        }
    }

    /// A watcher has its lock since `since`; its pid, where it is known.
    pub(super) fn up(&mut self, worker: &WorkerName, pid: Option<i32>, since: Timestamp) {
        if let Some(recovery) = self.open.get_mut(worker) {
            recovery.up = Some((since, pid));
        }
    }

    /// The heart of `pid` beat, and that was seen at `seen`: the recovery is over, if that is its watcher.
    pub(super) fn beat(
        &mut self,
        worker: &WorkerName,
        pid: i32,
        beat: Timestamp,
        seen: Timestamp,
    ) -> Vec<Span> {
        let is_its = |it: &Recovery| it.up.is_some_and(|(_, own)| own.is_none_or(|own| own == pid));
        if !self.open.get(worker).is_some_and(is_its) {
            return Vec::new();
        }
        let Some(recovery) = self.open.remove(worker) else { return Vec::new() };
        let mut spans = recovery.parts();
        if let Some((since, _)) = recovery.up {
            let clean = beat.max(since);
            spans.push(recovery.part("clean_state", since, clean));
            spans.push(recovery.part("verify_health", clean, seen));
        }
        let mut whole = recovery.whole(worker, seen);
        whole.events.push(Event { name: "recovery_completed", at: seen });
        whole.status = Status::Good;
        spans.push(whole);
        spans
    }

    /// Nobody restarts it any more.
    pub(super) fn given_up(&mut self, worker: &WorkerName, why: &str, at: Timestamp) -> Vec<Span> {
        let Some(recovery) = self.open.remove(worker) else { return Vec::new() };
        let mut spans = recovery.parts();
        let mut whole = recovery.whole(worker, at);
        whole.status = Status::Bad(why.to_owned());
        spans.push(whole);
        spans
    }
}

impl Recovery {
    fn whole(&self, worker: &WorkerName, ended: Timestamp) -> Span {
        Span::new("worker_recovery", self.context, self.died, ended)
            .with("worker.name", worker.as_str())
            .with("recovery.type", "crash")
            .with("recovery.timestamp", self.died.to_string().as_str())
            .with("crash.reason", self.why.reason.to_string().as_str())
    }

    fn part(&self, name: &'static str, began: Timestamp, ended: Timestamp) -> Span {
        let mut span = Span::new(name, self.context.child(), began, ended);
        span.parent = Some(self.context.span);
        span
    }

    /// The parts that are over in any case.
    fn parts(&self) -> Vec<Span> {
        let check = self
            .part("check_crash_reason", self.died, self.examined)
            .with("crash.reason", self.why.reason.to_string().as_str())
            .with("crash.detail", self.why.text.as_str());
        let restart = self.up.map(|(since, _)| {
            self.part("restart_worker", self.restarting.unwrap_or(self.examined).min(since), since)
        });
        std::iter::once(check).chain(restart).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::crash::CrashReason;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn why() -> Verdict {
        Verdict { reason: CrashReason::Signalled(9), text: "killed".to_owned() }
    }

    fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
        spans.iter().find(|it| it.name == name).unwrap()
    }

    #[test]
    fn a_recovery_is_one_trace_with_its_parts_in_their_times() {
        let (mut recoveries, marie) = (Recoveries::default(), "marie".parse().unwrap());
        assert_eq!(recoveries.died(&marie, at(10), &why(), at(11)), []);
        recoveries.restarting(&marie, at(12));
        assert_eq!(recoveries.beat(&marie, 7, at(12), at(12)), [], "nobody has the lock");
        recoveries.up(&marie, Some(8), at(14));
        assert_eq!(recoveries.beat(&marie, 7, at(15), at(15)), [], "the dead one's heart");
        let spans = recoveries.beat(&marie, 8, at(15), at(16));
        let whole = named(&spans, "worker_recovery");
        assert_eq!((whole.parent, &whole.status), (None, &Status::Good));
        assert_eq!(whole.events, [Event { name: "recovery_completed", at: at(16) }]);
        for (name, began, ended) in [
            ("worker_recovery", 10, 16),
            ("check_crash_reason", 10, 11),
            ("restart_worker", 12, 14),
            ("clean_state", 14, 15),
            ("verify_health", 15, 16),
        ] {
            let span = named(&spans, name);
            assert_eq!((span.began, span.ended), (at(began), at(ended)), "{name}");
            assert_eq!(span.context.trace, whole.context.trace, "{name}");
            assert_eq!(span.parent.is_none(), name == "worker_recovery");
            assert!(span.parent.is_none_or(|parent| parent == whole.context.span), "{name}");
        }
        assert_eq!(recoveries.beat(&marie, 8, at(17), at(17)), [], "once");
    }

    #[test]
    fn one_that_does_not_come_to_its_end_is_told_with_the_reason() {
        let (mut recoveries, marie) = (Recoveries::default(), "marie".parse().unwrap());
        recoveries.died(&marie, at(10), &why(), at(11));
        let spans = recoveries.died(&marie, at(20), &why(), at(21));
        assert!(
            matches!(&named(&spans, "worker_recovery").status, Status::Bad(why) if why.contains("again"))
        );
        let spans = recoveries.given_up(&marie, "set aside", at(30));
        assert_eq!(named(&spans, "worker_recovery").began, at(20));
        assert!(named(&spans, "worker_recovery").events.is_empty());
        assert_eq!(recoveries.given_up(&marie, "set aside", at(31)), []);
    }
}
