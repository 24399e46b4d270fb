//! Each row a sentence: what keeps a task, what is said of it, and when it is over.

use super::*;
use crate::task::Held;

fn at(time: &str) -> Timestamp {
    format!("2026-03-01T{time}Z").parse().unwrap()
}

fn worker(name: &str) -> WorkerName {
    name.parse().unwrap()
}

/// A worker with nothing to do.
fn idle(name: &str) -> Taker {
    Taker {
        name: worker(name),
        absent: None,
        conditions: Vec::new(),
        folders: Vec::new(),
        resume: None,
        slots: Some(2),
        runs: Vec::new(),
        namesake: None,
        ahead: 0,
    }
}

/// A task that nothing keeps.
fn free() -> Waiting {
    Waiting {
        place: Place::Pending,
        folder: Some(worker("marie")),
        unsettled: None,
        held: None,
        pack: None,
        directory: None,
        not_before: None,
        retry_at: None,
        failed: (0, None),
        pinned: None,
        agent_lives: false,
        takers: vec![idle("marie")],
    }
}

fn ask(stage: Stage) -> Answer {
    answer(&Facts {
        name: "marie/hello".to_owned(),
        agentctl: "agentctl".to_owned(),
        now: at("10:00:00"),
        stage,
    })
}

fn condition(word: &'static str, until: Option<Timestamp>) -> Condition {
    Condition { word, what: format!("is {word}"), until, remedy: Some("act".to_owned()), is_yours: false }
}

fn run(task: &str, until: &str) -> (String, Option<Timestamp>) {
    (task.to_owned(), Some(at(until)))
}

fn barred(why: &str, until: Option<Timestamp>) -> Barred {
    Barred { why: why.to_owned(), remedy: "enable it".to_owned(), until }
}

/// What is changed on a task that nothing keeps, the words of the reasons, the earliest moment.
type Row = (fn(&mut Waiting), &'static [&'static str], Option<&'static str>);

const ROWS: &[Row] = &[
    (|_| {}, &[], None),
    (|it| it.unsettled = Some(("EOF".to_owned(), Some(at("10:00:07")))), &["settling"], Some("10:00:07")),
    (|it| it.held = Some(Word::default()), &["held"], None),
    (|it| it.not_before = Some(at("11:00:00")), &["not_before"], Some("11:00:00")),
    (|it| it.not_before = Some(at("09:00:00")), &[], None),
    (|it| it.retry_at = Some(at("10:01:00")), &["backoff"], Some("10:01:00")),
    (|it| it.pinned = Some(worker("marie")), &[], None),
    (
        |it| {
            it.pinned = Some(worker("anga"));
            it.takers.clear();
        },
        &["wrong_folder"],
        None,
    ),
    (
        |it| {
            (it.folder, it.place, it.pinned) = (None, Place::Inbox, Some(worker("bob")));
            it.takers.clear();
        },
        &["unknown_worker"],
        None,
    ),
    (
        |it| {
            (it.folder, it.place) = (None, Place::Inbox);
            it.takers.clear();
        },
        &["no_worker"],
        None,
    ),
    (|it| it.pack = Some(barred("disabled", None)), &["pack"], None),
    (|it| it.pack = Some(barred("used up", Some(at("10:09:00")))), &["pack"], Some("10:09:00")),
    (|it| it.agent_lives = true, &["agent_lives"], None),
    (|it| it.takers[0].absent = Some("stopped"), &["no_watcher"], None),
    (
        |it| {
            it.takers[0].absent = Some("dead");
            it.takers[0].conditions = vec![condition("dead", None)];
        },
        &["dead"],
        None,
    ),
    (|it| it.takers[0].conditions = vec![condition("paused", None)], &["paused"], None),
    (
        |it| it.takers[0].conditions = vec![condition("rate_limit", Some(at("12:00:00")))],
        &["rate_limit"],
        Some("12:00:00"),
    ),
    (|it| it.takers[0].conditions = vec![condition("unreadable", None)], &[], None),
    (|it| it.takers[0].folders = vec![("a link".to_owned(), "remove it".to_owned())], &["folder"], None),
    (|it| it.takers[0].resume = Some("5/12".to_owned()), &["resume"], None),
    (
        |it| {
            it.place = Place::Staged;
            it.takers[0].resume = Some("5/12".to_owned());
        },
        &[],
        None,
    ),
    (|it| it.takers[0].namesake = Some("marie/hello is at work".to_owned()), &["namesake"], None),
    (|it| it.takers[0].runs = vec![run("a", "10:30:00")], &[], None),
    (
        |it| it.takers[0].runs = vec![run("a", "10:30:00"), run("b", "10:20:00")],
        &["no_slot"],
        Some("10:20:00"),
    ),
    (
        |it| {
            it.takers[0].runs = vec![run("a", "10:30:00"), run("b", "10:20:00")];
            it.takers[0].ahead = 1;
        },
        &["no_slot"],
        None,
    ),
    (|it| it.takers[0].ahead = 1, &[], None),
    (|it| it.takers[0].ahead = 2, &["behind"], None),
    (|it| (it.takers[0].slots, it.takers[0].ahead) = (None, 9), &[], None),
    // All reasons are told, and the last one to pass decides.
    (
        |it| {
            it.not_before = Some(at("11:00:00"));
            it.retry_at = Some(at("10:01:00"));
            it.takers[0].conditions = vec![condition("rate_limit", Some(at("12:00:00")))];
        },
        &["not_before", "backoff", "rate_limit"],
        Some("12:00:00"),
    ),
    // One worker of several is enough.
    (
        |it| {
            (it.folder, it.place) = (None, Place::Inbox);
            it.takers[0].absent = Some("stopped");
            it.takers.push(idle("anga"));
        },
        &[],
        None,
    ),
    // Who is free first decides.
    (
        |it| {
            (it.folder, it.place) = (None, Place::Inbox);
            it.takers[0].conditions = vec![condition("rate_limit", Some(at("12:00:00")))];
            it.takers.push(idle("anga"));
            it.takers[1].conditions = vec![condition("outage", Some(at("10:00:30")))];
            it.takers.push(idle("fabien"));
            it.takers[2].conditions = vec![condition("auth", None)];
        },
        &["rate_limit", "outage", "auth"],
        Some("10:00:30"),
    ),
];

#[test]
fn every_reason_is_told_and_the_moment_when_they_are_over() {
    for (n, (change, words, earliest)) in ROWS.iter().enumerate() {
        let mut waiting = free();
        change(&mut waiting);
        let answer = ask(Stage::Waits(Box::new(waiting)));
        let told: Vec<&str> = answer.reasons.iter().map(|reason| reason.word).collect();
        assert_eq!(&told, words, "row {n}");
        assert_eq!(answer.runs_now, words.is_empty(), "row {n}");
        assert_eq!(answer.earliest, earliest.map(at), "row {n}: {:?}", answer.reasons);
    }
}

#[test]
fn what_a_person_can_change_comes_with_how() {
    let mut waiting = free();
    waiting.held = Some(Word::from(&Held { by: Some("ann".to_owned()), ..Held::default() }));
    waiting.retry_at = Some(at("10:01:00"));
    waiting.failed = (2, Some("api down".to_owned()));
    let told = ask(Stage::Waits(Box::new(waiting))).reasons;
    assert_eq!((told[0].text.as_str(), told[0].worker.as_ref()), ("it is held by ann", None));
    assert_eq!(told[0].remedy.as_deref(), Some("agentctl release marie/hello"));
    assert_eq!(told[1].text, "it failed 2 times and waits before the next try: api down");
    let mut waiting = free();
    waiting.takers[0].runs = vec![run("marie/a", "10:30:00"), run("marie/b", "10:20:00")];
    waiting.takers[0].ahead = 3;
    let told = ask(Stage::Waits(Box::new(waiting))).reasons;
    assert_eq!(
        told[0].text,
        "marie runs 2 at a time, and has no slot free; at the latest marie/b reaches its time limit; 3 others go before it"
    );
}

fn at_work() -> Running {
    Running {
        worker: worker("marie"),
        conditions: Vec::new(),
        watched: true,
        agent_lives: true,
        state: TaskState::Running,
        attempt: Some((2, at("09:50:00"))),
        limit_s: Some(1800),
        idle_limit_s: Some(600),
        silent_s: Some(3),
        cost_usd: 0.5,
        progress: Some("3 of 7".to_owned()),
        last: Some("→ Bash ls".to_owned()),
    }
}

#[test]
fn a_running_one_says_what_it_does_and_how_long_it_may() {
    let answer = ask(Stage::Runs(Box::new(at_work())));
    let texts: Vec<&str> = answer.reasons.iter().map(|reason| reason.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "attempt 2 has taken 10m of at most 30m",
            "it last gave a sign 3s ago, and is ended after 10m of silence",
            "it says of itself: 3 of 7",
            "its last: → Bash ls",
            "it has cost $0.5000 so far",
        ]
    );
    assert_eq!((answer.runs_now, answer.reasons[0].until), (true, Some(at("10:20:00"))));
    let alone = Running { watched: false, conditions: vec![condition("dead", None)], ..at_work() };
    let answer = ask(Stage::Runs(Box::new(alone)));
    assert!(!answer.runs_now && answer.reasons[0].text.contains("its agent lives"), "{answer:?}");
    let unborn = Running { attempt: None, silent_s: None, state: TaskState::Initializing, ..at_work() };
    assert!(ask(Stage::Runs(Box::new(unborn))).reasons[0].text.contains("not started yet"));
}

#[test]
fn an_ended_one_says_why() {
    let failed = Ended {
        state: TaskState::Failed,
        code: Some(ErrorCode::E006),
        why: Some("api down".to_owned()),
        unreadable: None,
        charges: 4,
        max_retries: Some(3),
        attempts: 4,
        cost_usd: 0.25,
    };
    let texts = |ended: Ended| {
        let answer = ask(Stage::Ended(Box::new(ended)));
        answer.reasons.into_iter().map(|reason| reason.text).collect::<Vec<_>>()
    };
    assert_eq!(
        texts(failed.clone()),
        [
            "E006 (external API or refusal): api down",
            "it was charged 4 times, and 3 retries are allowed",
            "4 attempts, $0.2500: `agentctl show marie/hello`",
        ]
    );
    let wrong = Ended { code: Some(ErrorCode::E002), attempts: 0, ..failed.clone() };
    assert_eq!(texts(wrong)[1], "E002 is not tried again: it would fail again");
    let done = Ended { state: TaskState::Completed, code: None, why: None, attempts: 1, ..failed };
    assert_eq!(texts(done)[0], "its agent answered");
}
