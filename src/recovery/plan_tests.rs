//! Tables: what becomes of a file in `active/`, and what is told of it.

use super::*;
use crate::agent::verdict::{Judgement, Verdict};
use crate::pack::Stamp;
use crate::task::{Attempt, SessionId, Tokens};

fn policy() -> Policy {
    Policy {
        max_retries: 2,
        living: LivingAgents::Adopt,
        now: Timestamp::UNIX_EPOCH,
        jitter: 0.0,
        failure: "worker_crash",
        unstarted: false,
        redactor: Redactor::default(),
    }
}

fn file() -> FileName {
    "x.json".parse().unwrap()
}

/// A task of ours with an open attempt.
fn working() -> TaskFile {
    let mut task = TaskFile::parse(br#"{"prompt":"x"}"#).unwrap();
    task.begin_run(RunId::mint(), &"x".parse().unwrap(), Timestamp::UNIX_EPOCH);
    task.begin_attempt(Attempt::open(1, SessionId::mint(), Timestamp::UNIX_EPOCH));
    task
}

fn seen(task: Result<TaskFile, String>) -> ActiveFile {
    ActiveFile {
        file: file(),
        path: "/s/active/x.json".into(),
        task,
        unread: None,
        believed: true,
        filed: None,
        is_linked: false,
        testimony: None,
    }
}

fn testimony(liveness: Liveness) -> Testimony {
    let (strays, pack) = (Vec::new(), Box::<Stamp>::default());
    Testimony { liveness, heard: None, tokens: None, strays, is_oom_killed: false, pack, owed: None }
}

fn answer() -> Judgement {
    Judgement {
        verdict: Verdict::Done { answer: "42".to_owned() },
        needs_more: false,
        cost_usd: None,
        tokens: Tokens::default(),
        session_id: None,
        num_turns: None,
        model: None,
        answered_by: None,
        api_ms: None,
        denied: Vec::new(),
    }
}

/// The actions in a word each, as the operator's JSON names them.
fn words(actions: &[Action]) -> Vec<String> {
    actions.iter().map(|it| serde_json::json!(it)["action"].as_str().unwrap().to_owned()).collect()
}

fn decided(active: &ActiveFile) -> Vec<String> {
    words(&decide(active, &policy()))
}

#[test]
fn a_file_in_active_is_what_its_record_says_and_nothing_is_touched_that_cannot_be_read() {
    let no_task = || seen(Err("it is no JSON".to_owned()));
    let filed = ActiveFile { filed: Some("/s/completed/x.json".into()), ..no_task() };
    assert_eq!(decided(&filed), ["drop_ghost"]);
    let silent = ActiveFile { unread: Some("EIO".to_owned()), ..no_task() };
    assert_eq!(decided(&silent), ["leave"]);
    assert_eq!(decided(&no_task()), ["reject"]);
    assert_eq!(decided(&ActiveFile { is_linked: true, ..no_task() }), ["move_back"]);
    assert_eq!(decided(&seen(Ok(working()))), ["put_back"], "nobody knows of an attempt");
    let foreign = ActiveFile { believed: false, ..seen(Ok(working())) };
    assert_eq!(decided(&foreign), ["move_back"], "its record is not ours");
    let unbegun = TaskFile::parse(br#"{"prompt":"x"}"#).unwrap();
    assert_eq!(decided(&seen(Ok(unbegun))), ["move_back"]);
    let mut done = working();
    done.conclude(&Outcome::completed("42", None), Usage::default(), Timestamp::UNIX_EPOCH);
    assert_eq!(decided(&seen(Ok(done))), ["file"]);
    let mut cancelled = TaskFile::parse(br#"{"prompt":"x"}"#).unwrap();
    cancelled.conclude(&Outcome::completed("42", None), Usage::default(), Timestamp::UNIX_EPOCH);
    assert_eq!(decided(&seen(Ok(cancelled))), ["file"], "it ended without an attempt");
}

#[test]
fn an_attempt_that_was_cut_short_is_adopted_judged_or_tried_again() {
    use Liveness::{Dead, Lives};
    use LivingAgents::{Adopt, End};
    let owed = Some(Owed::Verification);
    for (liveness, heard, owed, living, expected) in [
        (Lives, false, None, Adopt, &["adopt"][..]),
        (Lives, false, None, End, &["end", "requeue"]),
        (Dead, false, None, Adopt, &["requeue"]),
        (Dead, true, None, Adopt, &["conclude"]),
        (Dead, true, None, End, &["conclude"]),
        (Dead, true, owed, Adopt, &["take_up"]),
        (Dead, true, owed, End, &["put_back"]),
    ] {
        let heard = heard.then(answer);
        let testimony = Testimony { heard, owed, ..testimony(liveness) };
        let active = ActiveFile { testimony: Some(testimony), ..seen(Ok(working())) };
        let actions = decide(&active, &Policy { living, ..policy() });
        assert_eq!(words(&actions), expected, "{liveness:?} {owed:?} {living:?}");
        assert!(actions.iter().all(|it| it.file() == Some(&file())));
    }
}

#[test]
fn who_was_left_is_ended_before_the_task_goes_back() {
    let stray = ProcessId::current();
    let left = Testimony { strays: vec![stray.clone()], ..testimony(Liveness::Dead) };
    let active = ActiveFile { testimony: Some(left), ..seen(Ok(working())) };
    let actions = decide(&active, &policy());
    assert!(matches!(&actions[0], Action::End { pids, .. } if *pids == [stray.pid]), "{actions:?}");
    assert_eq!(words(&actions), ["end", "requeue"]);
}

#[test]
fn only_a_death_is_charged_and_its_cause_is_told() {
    let found = |testimony: Testimony, policy: &Policy| {
        let active = ActiveFile { testimony: Some(testimony), ..seen(Ok(working())) };
        let last = decide(&active, policy).pop();
        let Some(Action::Requeue { charged, reason, entry, .. }) = last else { panic!("{last:?}") };
        (charged, reason, entry.outcome)
    };
    let (charged, reason, outcome) = found(testimony(Liveness::Dead), &policy());
    assert_eq!((charged, reason.as_str(), outcome), (true, "worker_crash", AttemptOutcome::Crashed));
    let oom = Testimony { is_oom_killed: true, ..testimony(Liveness::Dead) };
    assert_eq!(found(oom, &policy()).1, CrashReason::OomKilled.failure());
    let asked = found(testimony(Liveness::Lives), &Policy { living: LivingAgents::End, ..policy() });
    assert_eq!((asked.0, asked.2), (false, AttemptOutcome::Interrupted));
    assert!(asked.1.contains("ended by the operator"), "{}", asked.1);
    let never = found(testimony(Liveness::Dead), &Policy { unstarted: true, ..policy() });
    assert_eq!((never.0, never.2), (false, AttemptOutcome::NotStarted), "no agent ran");
}

#[test]
fn what_was_used_before_the_end_is_recorded_whoever_brought_it_about() {
    let tokens = Some(Tokens { input: 900, output: 50, ..Tokens::default() });
    let recorded = |task: TaskFile, liveness, living| {
        let testimony = Testimony { tokens, ..testimony(liveness) };
        let active = ActiveFile { testimony: Some(testimony), ..seen(Ok(task)) };
        match decide(&active, &Policy { living, ..policy() }).pop() {
            Some(Action::Requeue { entry, .. }) => (entry.outcome, entry.usage),
            Some(Action::Conclude { usage, .. }) => (AttemptOutcome::Failed, usage),
            other => panic!("{other:?}"),
        }
    };
    let used = Usage { cost_usd: None, tokens };
    let died = recorded(working(), Liveness::Dead, LivingAgents::Adopt);
    assert_eq!(died, (AttemptOutcome::Crashed, used));
    let ended = recorded(working(), Liveness::Lives, LivingAgents::End);
    assert_eq!(ended, (AttemptOutcome::Interrupted, used));
    let mut last = working();
    last.spec.max_retries = Some(0);
    let gave_up = recorded(last, Liveness::Dead, LivingAgents::Adopt);
    assert_eq!(gave_up, (AttemptOutcome::Failed, used));
}

#[test]
fn what_lies_about_is_cleared_away_and_told_by_its_name() {
    let seen = Surroundings {
        ghosts: vec!["/s/ghost.json".into()],
        temps: vec!["/s/.x.tmp".into()],
        stale_locks: vec!["/s/locks/a.lock".into()],
    };
    let (first, last) = clear(seen);
    assert_eq!(words(&first), ["drop_ghost", "remove_temp"], "no task is queued beside its second home");
    assert_eq!(words(&last), ["remove_lock", "clear_scratch"]);
    let plan = Plan { worker: "marie".parse().unwrap(), actions: first.into_iter().chain(last).collect() };
    let said = plan.to_string();
    assert!(said.contains("Removing a temporary file: .x.tmp\n"), "{said}");
    assert!(said.contains("Removing stale lock: a.lock\n"), "{said}");
    assert!(!plan.found_work() && !plan.actions.iter().any(Action::is_homecoming));
    assert!(plan.actions.iter().all(|it| it.file().is_none()));
    let actions = vec![Action::PutBack { file: file() }];
    let plan = Plan { actions, ..plan };
    assert!(plan.found_work() && plan.actions[0].is_homecoming());
    let actions = vec![Action::Reject { file: file(), reason: String::new() }];
    assert!(!Plan { actions, ..plan }.found_work(), "it was no task");
}
