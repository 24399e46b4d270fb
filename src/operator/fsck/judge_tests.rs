//! Every kind of damage in a value, and what is none.

use super::*;
use crate::operator::fsck::seen::WorkerSeen;

fn marie() -> WorkerName {
    "marie".parse().unwrap()
}

fn run(n: u8) -> RunId {
    RunId(uuid::Uuid::from_bytes([n; 16]))
}

fn entry(place: Place, name: &str, what: What) -> EntrySeen {
    let worker = (place != Place::Inbox).then(marie);
    let path = format!("/s/{place}/{name}").into();
    // Each name is a file of its own, unless a row says otherwise.
    let inode = name
        .bytes()
        .chain(place.as_str().bytes())
        .fold(7u64, |n, b| n.wrapping_mul(31).wrapping_add(u64::from(b)));
    EntrySeen { worker, place, name: name.to_owned(), path, stamp: (1, inode), mode: 0o640, what }
}

fn task(place: Place, name: &str, n: u8, state: Option<TaskState>, record: RecordSeen) -> EntrySeen {
    let file: FileName = name.parse().unwrap();
    let seen = TaskSeen {
        task: file.stem().parse().unwrap(),
        file,
        run: (n > 0).then(|| run(n)),
        state,
        ended: Some("2026-03-02".to_owned()),
        record,
    };
    entry(place, name, What::Task(Box::new(seen)))
}

fn ours(state: TaskState) -> RecordSeen {
    RecordSeen::Ours(ResultSeen::State(state))
}

fn done(name: &str, n: u8) -> EntrySeen {
    task(Place::Completed, name, n, Some(TaskState::Completed), ours(TaskState::Completed))
}

/// A tree whose worker is at work.
fn held(entries: Vec<EntrySeen>) -> Survey {
    let mut survey = free(entries);
    survey.workers.values_mut().for_each(|it| it.is_held = true);
    survey
}

/// A tree that nobody works on.
fn free(entries: Vec<EntrySeen>) -> Survey {
    let seen = WorkerSeen { is_held: false, resumes: false, told_since: Some("2026-03-01".to_owned()) };
    let concluded = (1..=9).map(run).collect();
    Survey { workers: [(marie(), seen)].into(), entries, concluded, ..Survey::default() }
}

fn found(survey: &Survey) -> Vec<(Severity, Damage)> {
    judge(survey).iter().map(|it| (it.severity, it.damage)).collect()
}

use Damage as D;
use Severity::{Broken, Damaged, Note};

/// What it is, what lies there, and what is found.
type Row = (&'static str, Vec<EntrySeen>, Vec<(Severity, Damage)>);

const MISSING: RecordSeen = RecordSeen::Ours(ResultSeen::Missing);

fn completed(state: TaskState, record: RecordSeen) -> Vec<EntrySeen> {
    vec![task(Place::Completed, "x.json", 1, Some(state), record)]
}

fn failed(n: u8, record: RecordSeen) -> EntrySeen {
    task(Place::Failed, "x.json", n, Some(TaskState::Failed), record)
}

fn reason(what: What) -> EntrySeen {
    entry(Place::Failed, "x.json.reason", what)
}

fn no_task(place: Place) -> Vec<EntrySeen> {
    vec![entry(place, "x.json", What::NoTask("x.json".parse().unwrap(), "bad".to_owned()))]
}

fn in_active(record: RecordSeen) -> EntrySeen {
    task(Place::Active, "x.json", 1, Some(TaskState::Running), record)
}

fn of_what_has_ended() -> Vec<Row> {
    let (done_well, failed_well) = (ours(TaskState::Completed), ours(TaskState::Failed));
    let good = reason(What::Reason(true));
    let bad = reason(What::Reason(false));
    let mut open = done("x.json", 1);
    open.mode = 0o666;
    vec![
        ("all is well", vec![done("x.json", 1), failed(2, failed_well), good.clone()], vec![]),
        ("its record went after its time", completed(TaskState::Completed, RecordSeen::Gone), vec![]),
        ("no result", completed(TaskState::Completed, MISSING), vec![(Broken, D::NoResult)]),
        ("another result", completed(TaskState::Completed, failed_well), vec![(Broken, D::OtherResult)]),
        ("wrong folder", completed(TaskState::Timeout, done_well), vec![(Broken, D::WrongFolder)]),
        ("no outcome", completed(TaskState::Running, MISSING), vec![(Damaged, D::NoOutcome)]),
        ("unreadable", no_task(Place::Completed), vec![(Damaged, D::Unreadable)]),
        ("no reason", vec![failed(1, failed_well)], vec![(Broken, D::NoReason)]),
        ("rejected, no reason", no_task(Place::Failed), vec![(Broken, D::NoReason)]),
        ("a bad reason", vec![failed(1, failed_well), bad], vec![(Broken, D::BadReason)]),
        ("a reason alone", vec![good], vec![(Broken, D::ReasonAlone)]),
        ("untold", vec![done("x.json", 10)], vec![(Broken, D::Untold)]),
        ("open to all", vec![open], vec![(Broken, D::OpenToAll)]),
        ("two ends of one run", vec![done("x.json", 1), done("y.json", 1)], vec![(Damaged, D::TwoHomes)]),
    ]
}

fn of_the_rest() -> Vec<Row> {
    let drop = |place| vec![task(place, "x.json", 0, None, RecordSeen::Gone)];
    let home = in_active(MISSING);
    let mut link = task(Place::Pending, "x.json", 1, Some(TaskState::Pending), MISSING);
    link.stamp = home.stamp;
    let temp = entry(Place::Failed, ".x.1.0.tmp", What::Temp);
    let notes = entry(Place::Completed, "notes.txt", What::Foreign("x"));
    vec![
        ("a drop", drop(Place::Pending), vec![]),
        ("staged", drop(Place::Staged), vec![(Broken, D::StagedLeft)]),
        ("left by a dead watcher", vec![home.clone()], vec![(Note, D::Unrecovered)]),
        ("no record", vec![in_active(RecordSeen::Gone)], vec![(Broken, D::NoRecord)]),
        ("a temporary file", vec![temp], vec![(Broken, D::TempLeft)]),
        ("foreign", vec![notes], vec![(Note, D::Foreign)]),
        ("one file, two names", vec![link, home], vec![(Broken, D::TwoHomes), (Note, D::Unrecovered)]),
    ]
}

#[test]
fn each_damage_is_that_finding_and_no_other() {
    for (what, entries, expected) in of_what_has_ended().into_iter().chain(of_the_rest()) {
        assert_eq!(found(&free(entries)), expected, "{what}");
    }
}

#[test]
fn what_the_holder_of_the_lock_may_be_doing_is_no_finding() {
    let active =
        task(Place::Active, "x.json", 1, Some(TaskState::Failed), RecordSeen::Ours(ResultSeen::Missing));
    let mut busy = held(vec![
        active,
        entry(Place::Failed, "x.json.reason", What::Reason(true)),
        entry(Place::Active, ".x.json.1.0.tmp", What::Temp),
        entry(Place::Pending, "y.json", What::NoTask("y.json".parse().unwrap(), "half".to_owned())),
    ]);
    busy.free_locks =
        vec![("/s/locks/marie_task_x.lock".into(), (1, 1)), ("/s/locks/marie_watcher.lock".into(), (1, 2))];
    assert_eq!(found(&busy), []);
    busy.workers.get_mut(&marie()).unwrap().is_held = false;
    assert_eq!(
        found(&busy).iter().map(|it| it.1).collect::<Vec<_>>(),
        [D::TempLeft, D::ReasonAlone, D::FreeLock, D::FreeLock, D::Unrecovered, D::Foreign]
    );
}

#[test]
fn a_task_that_was_put_back_by_hand_begins_a_new_life_and_has_one_home() {
    let again = task(Place::Pending, "x.json", 2, Some(TaskState::Failed), ours(TaskState::Failed));
    let failed = task(Place::Failed, "x.json", 2, Some(TaskState::Failed), ours(TaskState::Failed));
    let reason = entry(Place::Failed, "x.json.reason", What::Reason(true));
    assert_eq!(found(&held(vec![again, failed, reason])), []);
}

#[test]
fn a_copy_is_for_a_person_and_a_second_name_for_recovery() {
    let home =
        task(Place::Active, "x.json", 1, Some(TaskState::Running), RecordSeen::Ours(ResultSeen::Missing));
    let mut copy = task(Place::Pending, "x.json", 1, Some(TaskState::Pending), ours(TaskState::Completed));
    let repair = |it: &EntrySeen| judge(&held(vec![it.clone(), home.clone()]))[0].repair.clone();
    assert!(matches!(repair(&copy), Repair::ByHand { .. }));
    copy.stamp = home.stamp;
    assert_eq!(repair(&copy), Repair::Recover { worker: marie() });
}

#[test]
fn a_run_without_a_task_is_only_noted() {
    let mut seen = held(vec![done("x.json", 1)]);
    seen.runs = vec![(run(1), "/s/artifacts/1".into()), (run(2), "/s/artifacts/2".into())];
    assert_eq!(found(&seen), [(Note, D::Orphan)]);
}

#[test]
fn what_no_journal_can_tell_any_more_is_not_missed() {
    let mut seen = held(vec![done("x.json", 10)]);
    for (since, expected) in [(Some("2026-03-03"), 0), (None, 0), (Some("2026-03-02"), 1)] {
        seen.workers.get_mut(&marie()).unwrap().told_since = since.map(str::to_owned);
        assert_eq!(found(&seen).len(), expected, "{since:?}");
    }
}
