//! From a snapshot of a worker to the answers of `/health…`. Pure: tables in, answers out.
//!
//! | what is seen | verdict | HTTP |
//! |---|---|---|
//! | loop stood still for more than [`LOOP_STALE`] | failing | 503 |
//! | the worker's lock is lost | failing | 503 |
//! | claiming impossible through a fault: disk, auth, billing, configuration, outage, no agent, no artifacts | failing | 503 |
//! | held by a rate limit, or while memory is short: it ends by itself | degraded | 200 |
//! | paused, draining, starting, recovering | ok, with the reason | 200 |
//! | something in the queue is no task and cannot be moved away | degraded | 200 |
//! | a worker of a supervisor is down, hangs or claims nothing, and that may mend by itself | degraded | 200 |
//! | one is set aside, wrongly configured or not to be ended: somebody has to act | failing | 503 |
//! | all of them are down | failing | 503 |
//!
//! Invariant: every verdict but a plain `ok` names its reason. It deliberately does not know who asks, and it
//! looks at nothing but the snapshot.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::task::WorkerName;

use super::state_file::{Hold, HoldCause, QueueDepths, WorkerStatus};

/// How long the work loop may stand still before the worker is said to hang.
pub const LOOP_STALE: Duration = Duration::from_secs(30);

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Alive, not quite as it should be; will mend by itself or partly works.
    Degraded,
    /// Somebody has to act.
    Failing,
}

impl Verdict {
    /// The HTTP status that goes with it.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Ok | Self::Degraded => 200,
            Self::Failing => 503,
        }
    }
}

/// One thing that was looked at beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// In order.
    #[default]
    Ok,
    /// Not quite, and why; the work goes on.
    Degraded(String),
    /// Not, and why.
    Failing(String),
}

/// One worker as its supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSeen {
    /// Its name.
    pub name: WorkerName,
    /// Whether its watcher lives.
    pub up: bool,
    /// How well it is.
    pub verdict: Verdict,
    /// What there is to say about it.
    pub reason: Option<String>,
}

/// Everything the answers are made from.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When the answer is given.
    pub at: Timestamp,
    /// What the worker is doing.
    pub status: WorkerStatus,
    /// What keeps it from claiming.
    pub hold: Option<Hold>,
    /// How long ago the work loop last turned.
    pub loop_age: Duration,
    /// Whether the lock on the worker's folder is still ours.
    pub lock_held: bool,
    /// How many tasks lie where.
    pub queues: QueueDepths,
    /// How long the oldest pending task has waited.
    pub oldest_pending: Option<Duration>,
    /// Whether the queue's directories can be worked with.
    pub queue: Check,
    /// Whether results can be stored.
    pub artifacts: Check,
    /// Whether the agent's program and its packs are there.
    pub registry: Check,
    /// The workers of a supervisor; `None` for a worker itself.
    pub workers: Option<Vec<WorkerSeen>>,
}

impl Snapshot {
    /// A healthy one, to be changed where it is not.
    pub fn healthy(at: Timestamp) -> Self {
        Self {
            at,
            status: WorkerStatus::Running,
            hold: None,
            loop_age: Duration::ZERO,
            lock_held: true,
            queues: QueueDepths::default(),
            oldest_pending: None,
            queue: Check::Ok,
            artifacts: Check::Ok,
            registry: Check::Ok,
            workers: None,
        }
    }
}

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `/health`: everything together.
    All,
    /// `/health/worker`: the loop, the lock, the status and the hold.
    Worker,
    /// `/health/queue`.
    Queue,
    /// `/health/artifacts`.
    Artifacts,
    /// `/health/registry`: the agent and its packs.
    Registry,
    /// `/health/orchestrator`: a supervisor and its workers.
    Orchestrator,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    reason: String,
}

/// An answer to a health question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// How well it is.
    pub verdict: Verdict,
    /// What is said about it.
    pub body: Value,
}

/// The answer to a question about `part`; `None` where there is no such part here.
pub fn answer(part: Part, snapshot: &Snapshot) -> Option<Answer> {
    if part == Part::Orchestrator && snapshot.workers.is_none() {
        return None;
    }
    let findings = findings(part, snapshot);
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    let reasons: Vec<_> = findings.into_iter().map(|finding| finding.reason).collect();
    let mut body = json!({ "status": verdict, "timestamp": snapshot.at, "reasons": reasons });
    describe(part, snapshot, &mut body);
    Some(Answer { verdict, body })
}

fn findings(part: Part, snapshot: &Snapshot) -> Vec<Finding> {
    let mut found = Vec::new();
    match part {
        Part::All => {
            found.extend(worker(snapshot));
            found.extend(check("queue", &snapshot.queue));
            found.extend(check("artifacts", &snapshot.artifacts));
            found.extend(check("registry", &snapshot.registry));
            found.extend(orchestrator(snapshot));
        }
        Part::Worker => found.extend(worker(snapshot)),
        Part::Queue => found.extend(check("queue", &snapshot.queue)),
        Part::Artifacts => {
            found.extend(check("artifacts", &snapshot.artifacts));
            found.extend(hold_of(snapshot, HoldCause::Disk));
        }
        Part::Registry => {
            found.extend(check("registry", &snapshot.registry));
            found.extend(hold_of(snapshot, HoldCause::Configuration));
        }
        Part::Orchestrator => found.extend(liveness(snapshot).into_iter().chain(orchestrator(snapshot))),
    }
    found
}

fn worker(snapshot: &Snapshot) -> Vec<Finding> {
    let mut found = liveness(snapshot);
    found.extend(snapshot.hold.as_ref().map(held));
    found.extend(stance(snapshot));
    found
}

fn liveness(snapshot: &Snapshot) -> Vec<Finding> {
    let mut found = Vec::new();
    if snapshot.loop_age > LOOP_STALE {
        let seconds = snapshot.loop_age.as_secs();
        found.push(failing(format!("the work loop has stood still for {seconds} s")));
    }
    if !snapshot.lock_held {
        found.push(failing("the lock on the worker's folder is lost".to_owned()));
    }
    found
}

/// A hold is a fault, except where it ends by itself at a known moment and needs nobody.
fn held(hold: &Hold) -> Finding {
    let verdict = match hold.cause {
        HoldCause::RateLimit | HoldCause::Budget | HoldCause::Memory => Verdict::Degraded,
        HoldCause::Auth
        | HoldCause::Billing
        | HoldCause::Outage
        | HoldCause::Configuration
        | HoldCause::Disk
        | HoldCause::Resume => Verdict::Failing,
    };
    let code = hold.error_code.map_or_else(String::new, |code| format!("{code} "));
    let until = hold.until.map_or_else(String::new, |until| format!("; next try at {until}"));
    let remedy = hold.remedy.as_ref().map_or_else(String::new, |remedy| format!("; {remedy}"));
    let reason = format!("{code}{}: {}{until}{remedy}", hold.cause.as_str(), hold.reason);
    Finding { verdict, reason }
}

fn hold_of(snapshot: &Snapshot, cause: HoldCause) -> Option<Finding> {
    snapshot.hold.as_ref().filter(|hold| hold.cause == cause).map(held)
}

/// What the status itself says: an operator's wish is no illness, and a hold has already been named.
fn stance(snapshot: &Snapshot) -> Option<Finding> {
    let status = snapshot.status;
    match status {
        WorkerStatus::Running => None,
        WorkerStatus::Starting
        | WorkerStatus::Paused
        | WorkerStatus::Draining
        | WorkerStatus::Stopped
        | WorkerStatus::Recovering => {
            Some(Finding { verdict: Verdict::Ok, reason: format!("the worker is {status}") })
        }
        WorkerStatus::Degraded if snapshot.hold.is_some() => None,
        WorkerStatus::Degraded => {
            Some(Finding { verdict: Verdict::Degraded, reason: "the worker is degraded".to_owned() })
        }
    }
}

fn check(name: &str, check: &Check) -> Option<Finding> {
    match check {
        Check::Ok => None,
        Check::Degraded(why) => {
            Some(Finding { verdict: Verdict::Degraded, reason: format!("{name}: {why}") })
        }
        Check::Failing(why) => Some(failing(format!("{name}: {why}"))),
    }
}

fn orchestrator(snapshot: &Snapshot) -> Vec<Finding> {
    let Some(workers) = &snapshot.workers else { return Vec::new() };
    // A backup that waits is not missed.
    let mut missed = workers.iter().filter(|worker| worker.up || worker.verdict > Verdict::Ok).peekable();
    let none_up = missed.peek().is_some() && missed.all(|worker| !worker.up);
    let least = if none_up { Verdict::Failing } else { Verdict::Ok };
    let ill = workers.iter().filter(|worker| worker.verdict > Verdict::Ok);
    ill.map(|worker| {
        let how = if worker.up { "is not well" } else { "is down" };
        let why = worker.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        Finding { verdict: worker.verdict.max(least), reason: format!("{} {how}{why}", worker.name) }
    })
    .collect()
}

const fn failing(reason: String) -> Finding {
    Finding { verdict: Verdict::Failing, reason }
}

/// The numbers that belong to the part.
fn describe(part: Part, snapshot: &Snapshot, body: &mut Value) {
    match part {
        Part::All | Part::Worker => {
            body["worker_status"] = json!(snapshot.status);
            body["loop_age_seconds"] = json!(snapshot.loop_age.as_secs_f64());
        }
        Part::Queue => {
            let queues = &snapshot.queues;
            body["depth"] = json!(queues.inbox + queues.pending + queues.staged);
            body["queues"] = json!(queues);
            body["oldest_pending_seconds"] = json!(snapshot.oldest_pending.map(|age| age.as_secs_f64()));
        }
        Part::Artifacts | Part::Registry => {}
        Part::Orchestrator => {
            let workers = snapshot.workers.iter().flatten();
            let up: serde_json::Map<_, _> =
                workers.map(|worker| (worker.name.to_string(), json!(worker.up))).collect();
            body["workers"] = Value::Object(up);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Snapshot {
        Snapshot::healthy("2026-01-02T03:04:05Z".parse().unwrap())
    }

    fn hold(cause: HoldCause) -> Hold {
        Hold { cause, reason: "so it is".to_owned(), remedy: None, until: None, error_code: None }
    }

    fn verdict(part: Part, change: impl FnOnce(&mut Snapshot)) -> (Verdict, String) {
        let mut snapshot = healthy();
        change(&mut snapshot);
        let answer = answer(part, &snapshot).unwrap();
        (answer.verdict, answer.body["reasons"].to_string())
    }

    #[test]
    fn a_healthy_worker_says_ok_with_a_time_and_no_reasons() {
        let answer = answer(Part::All, &healthy()).unwrap();
        assert_eq!(answer.verdict.http_status(), 200);
        assert_eq!(answer.body["status"], "ok");
        assert_eq!(answer.body["timestamp"], "2026-01-02T03:04:05Z");
        assert_eq!(answer.body["reasons"], json!([]));
    }

    #[test]
    fn a_fault_that_prevents_claiming_is_503_and_a_rate_limit_is_not() {
        for (cause, expected) in [
            (HoldCause::Auth, 503),
            (HoldCause::Billing, 503),
            (HoldCause::Outage, 503),
            (HoldCause::Configuration, 503),
            (HoldCause::Disk, 503),
            (HoldCause::Resume, 503),
            (HoldCause::RateLimit, 200),
            (HoldCause::Budget, 200),
            (HoldCause::Memory, 200),
        ] {
            let (verdict, reasons) = verdict(Part::All, |snapshot| {
                snapshot.hold = Some(hold(cause));
                snapshot.status = WorkerStatus::Degraded;
            });
            assert_eq!(verdict.http_status(), expected, "{cause:?}");
            assert!(verdict > Verdict::Ok && reasons.contains(cause.as_str()), "{reasons}");
        }
    }

    #[test]
    fn a_wish_of_the_operator_is_200_with_its_reason() {
        for status in [
            WorkerStatus::Starting,
            WorkerStatus::Paused,
            WorkerStatus::Draining,
            WorkerStatus::Stopped,
            WorkerStatus::Recovering,
        ] {
            let (verdict, reasons) = verdict(Part::Worker, |snapshot| snapshot.status = status);
            assert_eq!(verdict, Verdict::Ok);
            assert!(reasons.contains(status.as_str()), "{reasons}");
        }
    }

    #[test]
    fn a_loop_is_stale_only_after_its_limit() {
        let at = |age| verdict(Part::Worker, |snapshot| snapshot.loop_age = age).0;
        assert_eq!(at(LOOP_STALE), Verdict::Ok);
        assert_eq!(at(LOOP_STALE + Duration::from_millis(1)), Verdict::Failing);
    }

    #[test]
    fn a_lost_lock_and_a_failed_check_are_503_where_they_belong() {
        type Row = (Part, fn(&mut Snapshot));
        let rows: [Row; 4] = [
            (Part::Worker, |snapshot| snapshot.lock_held = false),
            (Part::Queue, |snapshot| snapshot.queue = Check::Failing("gone".to_owned())),
            (Part::Artifacts, |snapshot| snapshot.artifacts = Check::Failing("gone".to_owned())),
            (Part::Registry, |snapshot| snapshot.registry = Check::Failing("gone".to_owned())),
        ];
        for (part, change) in rows {
            assert_eq!(verdict(part, change).0, Verdict::Failing, "{part:?}");
            assert_eq!(verdict(Part::All, change).0, Verdict::Failing, "{part:?} in all");
            let others = rows.iter().filter(|(other, _)| *other != part);
            for (other, _) in others {
                assert_eq!(verdict(*other, change).0, Verdict::Ok, "{part:?} is not {other:?}");
            }
        }
    }

    #[test]
    fn a_full_disk_shows_in_artifacts_and_a_missing_agent_in_the_registry() {
        let disk = |part| verdict(part, |snapshot| snapshot.hold = Some(hold(HoldCause::Disk))).0;
        assert_eq!((disk(Part::Artifacts), disk(Part::Registry)), (Verdict::Failing, Verdict::Ok));
        let agent = |part| verdict(part, |snapshot| snapshot.hold = Some(hold(HoldCause::Configuration))).0;
        assert_eq!((agent(Part::Artifacts), agent(Part::Registry)), (Verdict::Ok, Verdict::Failing));
    }

    #[test]
    fn a_hold_says_its_code_its_end_and_its_remedy() {
        let (_, reasons) = verdict(Part::All, |snapshot| {
            snapshot.hold = Some(Hold {
                cause: HoldCause::Auth,
                reason: "the key was refused".to_owned(),
                remedy: Some("run `claude auth login`".to_owned()),
                until: Some("2026-01-02T04:00:00Z".parse().unwrap()),
                error_code: Some(crate::task::ErrorCode::E005),
            });
        });
        for word in ["E005", "auth", "refused", "2026-01-02T04:00:00Z", "auth login"] {
            assert!(reasons.contains(word), "{word} in {reasons}");
        }
    }

    #[test]
    fn a_supervisor_is_degraded_while_some_are_down_and_failing_when_somebody_has_to_act() {
        let seen =
            |name: &str, (up, verdict)| WorkerSeen { name: name.parse().unwrap(), up, verdict, reason: None };
        let (well, ill) = ((true, Verdict::Ok), (true, Verdict::Degraded));
        let (down, given_up) = ((false, Verdict::Degraded), (false, Verdict::Failing));
        let in_reserve = (false, Verdict::Ok);
        for (two, expected) in [
            ([well, well], Verdict::Ok),
            ([well, in_reserve], Verdict::Ok),
            ([well, ill], Verdict::Degraded),
            ([ill, ill], Verdict::Degraded),
            ([well, down], Verdict::Degraded),
            ([well, given_up], Verdict::Failing),
            ([down, down], Verdict::Failing),
            ([down, in_reserve], Verdict::Failing),
        ] {
            let workers = Some(vec![seen("marie", two[0]), seen("anga", two[1])]);
            for part in [Part::Orchestrator, Part::All] {
                let found = verdict(part, |snapshot| snapshot.workers.clone_from(&workers)).0;
                assert_eq!(found, expected, "{two:?}");
            }
        }
        assert_eq!(answer(Part::Orchestrator, &healthy()), None, "a worker has no workers");
    }

    #[test]
    fn the_queue_tells_its_depth() {
        let mut snapshot = healthy();
        snapshot.queues =
            QueueDepths { inbox: 1, pending: 2, staged: 4, active: 8, ..QueueDepths::default() };
        let answer = answer(Part::Queue, &snapshot).unwrap();
        assert_eq!(answer.body["depth"], 7);
        assert_eq!(answer.body["queues"]["active"], 8);
    }
}
