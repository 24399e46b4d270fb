//! From facts to reasons. Pure.
//!
//! | the task | the answer |
//! |---|---|
//! | waits | every reason why it is not running now, those of its own before those of its workers; none: it is taken now |
//! | runs | what it does, its limits, its last sign |
//! | has ended | why it ended so |
//!
//! A task in the inbox runs as soon as one worker has no reason against it; a pinned one waits for its worker alone.
//! It deliberately does not know where a fact comes from.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::task::{ErrorCode, Place, TaskState, WorkerName};

use super::super::desk::spoken;
use super::super::packs::Barred;
use super::super::word::Word;
use super::super::worker::Condition;

/// What there is to know.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// What the task is called.
    pub(super) name: String,
    /// How a person calls `agentctl` here.
    pub(super) agentctl: String,
    pub(super) now: Timestamp,
    pub(super) stage: Stage,
}

/// How far the task has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// In a queue.
    Waits(Box<Waiting>),
    /// In `active/`.
    Runs(Box<Running>),
    /// Where it rests for good.
    Ended(Box<Ended>),
}

/// A task that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) place: Place,
    /// Whose queue it is; `None` in the inbox.
    pub(super) folder: Option<WorkerName>,
    /// Why the file is no task, so far or for good, and until when it has time.
    pub(super) unsettled: Option<(String, Option<Timestamp>)>,
    pub(super) held: Option<Word>,
    /// Why nothing is started with its pack.
    pub(super) pack: Option<Barred>,
    /// Who works in its directory, where that is to be had by one at a time: `marie/x works in /srv/repo`.
    pub(super) directory: Option<String>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) retry_at: Option<Timestamp>,
    /// How often it failed, and why it last did.
    pub(super) failed: (u32, Option<String>),
    pub(super) pinned: Option<WorkerName>,
    /// Whether the agent of its last attempt lives.
    pub(super) agent_lives: bool,
    /// Those who may take it.
    pub(super) takers: Vec<Taker>,
}

/// A worker that may take it.
#[derive(Clone, Debug)]
pub(super) struct Taker {
    pub(super) name: WorkerName,
    /// Why nobody takes anything for it, where its lock is free or somebody else's: `stopped`, `never started`.
    pub(super) absent: Option<&'static str>,
    /// What is told about it.
    pub(super) conditions: Vec<Condition>,
    /// What is wrong with its folders, and what to do.
    pub(super) folders: Vec<(String, String)>,
    /// How far a gradual resume has come that it follows.
    pub(super) resume: Option<String>,
    /// How many agents it runs at a time, where it says so.
    pub(super) slots: Option<u64>,
    /// What it runs, and when each ends at the latest.
    pub(super) runs: Vec<(String, Option<Timestamp>)>,
    /// What is at work, or waits first, under the task's own name: `marie/x is at work`.
    pub(super) namesake: Option<String>,
    /// How many are taken before it.
    pub(super) ahead: u64,
}

/// A task in `active/`.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) worker: WorkerName,
    /// What is wrong with its worker.
    pub(super) conditions: Vec<Condition>,
    /// Whether the watcher lives.
    pub(super) watched: bool,
    /// Whether its agent does.
    pub(super) agent_lives: bool,
    pub(super) state: TaskState,
    pub(super) attempt: Option<(u32, Timestamp)>,
    pub(super) limit_s: Option<u64>,
    pub(super) idle_limit_s: Option<u64>,
    pub(super) silent_s: Option<u64>,
    /// What it has cost, attempts before this one included.
    pub(super) cost_usd: f64,
    pub(super) progress: Option<String>,
    /// What it said or did last.
    pub(super) last: Option<String>,
}

/// A task that has ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) state: TaskState,
    pub(super) code: Option<ErrorCode>,
    pub(super) why: Option<String>,
    /// Why the file cannot be read, if so.
    pub(super) unreadable: Option<String>,
    pub(super) charges: u32,
    pub(super) max_retries: Option<u32>,
    pub(super) attempts: usize,
    pub(super) cost_usd: f64,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// In a word, for programs.
    pub(super) word: &'static str,
    /// The worker whose reason it is.
    pub(super) worker: Option<WorkerName>,
    /// In a sentence.
    pub(super) text: String,
    /// When it passes.
    pub(super) until: Option<Timestamp>,
    /// What to do.
    pub(super) remedy: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Whether it runs, or is taken now.
    pub(super) runs_now: bool,
    /// In a few words, to go after the task's state.
    pub(super) verdict: String,
    pub(super) reasons: Vec<Reason>,
    /// When it can begin, where every reason has its time.
    pub(super) earliest: Option<Timestamp>,
}

impl Reason {
    fn new(word: &'static str, text: impl Into<String>) -> Self {
        Self { word, worker: None, text: text.into(), until: None, remedy: None }
    }

    fn until(self, at: Option<Timestamp>) -> Self {
        Self { until: at, ..self }
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// Answers.
pub(super) fn answer(facts: &Facts) -> Answer {
    match &facts.stage {
        Stage::Waits(waiting) => waits(facts, waiting),
        Stage::Runs(running) => runs(facts, running),
        Stage::Ended(ended) => Answer {
            runs_now: false,
            verdict: "has ended".to_owned(),
            reasons: ends(facts, ended),
            earliest: None,
        },
    }
}

fn waits(facts: &Facts, waiting: &Waiting) -> Answer {
    let own = own_reasons(facts, waiting);
    let of_takers: Vec<Vec<Reason>> =
        waiting.takers.iter().map(|taker| taker_reasons(facts, waiting, taker)).collect();
    let is_free = of_takers.iter().any(Vec::is_empty);
    let runs_now = own.is_empty() && is_free;
    let earliest = earliest(&own, &of_takers).filter(|_| !runs_now);
    let mut reasons = own;
    // One worker that would take it makes the reasons of the others none of the task's.
    if !is_free {
        reasons.extend(of_takers.into_iter().flatten());
    }
    let verdict = if runs_now { "nothing keeps it: it is taken now" } else { "does not run now" };
    Answer { runs_now, verdict: verdict.to_owned(), reasons, earliest }
}

/// When it can begin: after its own reasons, and those of the worker that is free first.
fn earliest(own: &[Reason], of_takers: &[Vec<Reason>]) -> Option<Timestamp> {
    let all = |reasons: &[Reason]| -> Option<Option<Timestamp>> {
        let times: Option<Vec<Timestamp>> = reasons.iter().map(|reason| reason.until).collect();
        times.map(|times| times.into_iter().max())
    };
    let own = all(own)?;
    let takers: Vec<Option<Timestamp>> = of_takers.iter().filter_map(|reasons| all(reasons)).collect();
    own.max(takers.into_iter().min()?)
}

/// The reasons that hold whoever takes it.
fn own_reasons(facts: &Facts, waiting: &Waiting) -> Vec<Reason> {
    let Facts { name, agentctl, now, .. } = facts;
    let mut reasons = Vec::new();
    if let Some((why, until)) = &waiting.unsettled {
        let text =
            format!("the file is no task so far, and goes to failed/ if it does not become one: {why}");
        reasons.push(Reason::new("settling", text).until(*until));
    }
    if let Some(held) = &waiting.held {
        let held = Reason::new("held", format!("it is held{}", held.tail()));
        reasons.push(held.remedy(format!("{agentctl} release {name}")));
    }
    if let Some(Barred { why, remedy, until }) = &waiting.pack {
        let pack = Reason::new("pack", format!("nothing is started with its pack: {why}"));
        reasons.push(pack.until(*until).remedy(remedy.clone()));
    }
    if let Some(who) = &waiting.directory {
        reasons.push(Reason::new("directory", format!("{who}; one run at a time does")));
    }
    if let Some(at) = waiting.not_before.filter(|at| at > now) {
        reasons.push(Reason::new("not_before", "its not_before is not reached").until(Some(at)));
    }
    if let Some(at) = waiting.retry_at.filter(|at| at > now) {
        let (times, why) = &waiting.failed;
        let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let text = format!("it failed {} and waits before the next try{why}", times_in_words(*times));
        let retry = Reason::new("backoff", text).until(Some(at));
        reasons.push(retry.remedy(format!("{agentctl} retry {name} tries it now")));
    }
    if waiting.agent_lives {
        let text =
            "the agent of its last attempt lives: the task is taken back into active/ and goes on with it";
        reasons.push(Reason::new("agent_lives", text));
    }
    reasons.extend(misplaced(facts, waiting));
    reasons
}

fn times_in_words(times: u32) -> String {
    match times {
        0 => "without being charged".to_owned(),
        1 => "once".to_owned(),
        times => format!("{times} times"),
    }
}

/// Where nobody may take it from where it lies.
fn misplaced(facts: &Facts, waiting: &Waiting) -> Option<Reason> {
    let name = &facts.name;
    match (&waiting.pinned, &waiting.folder) {
        (Some(pinned), Some(folder)) if pinned != folder => Some(
            Reason::new(
                "wrong_folder",
                format!("it lies in a folder of {folder} and is pinned to {pinned}: neither takes it"),
            )
            .remedy(format!("move its file to tasks/{pinned}/pending/, or take `worker` out of it ({name})")),
        ),
        (Some(pinned), None) if waiting.takers.is_empty() => Some(
            Reason::new("unknown_worker", format!("it is pinned to {pinned}, and there is no such worker"))
                .remedy(format!("start `watcher --worker {pinned}`, or change `worker` in its file")),
        ),
        (None, None) if waiting.takers.is_empty() => Some(
            Reason::new("no_worker", "there is no worker under this root")
                .remedy("supervisor up starts some"),
        ),
        _ => None,
    }
}

/// The reasons of one worker.
fn taker_reasons(facts: &Facts, waiting: &Waiting, taker: &Taker) -> Vec<Reason> {
    let name = &taker.name;
    let mut reasons = Vec::new();
    if let Some(word) = taker.absent.filter(|_| taker.conditions.is_empty()) {
        let reason = Reason::new("no_watcher", format!("no watcher of {name} is at work ({word})"));
        reasons.push(reason.remedy(format!("watcher --worker {name}, or supervisor up")));
    }
    // A state that cannot be read tells nothing of what its worker does, and a warning keeps it from nothing.
    let tells = |it: &&Condition| !matches!(it.word, "unreadable" | "limit_near");
    for it in taker.conditions.iter().filter(tells) {
        let text = format!("{name} {}", it.what);
        let reason = Reason::new(it.word, text).until(it.until.filter(|at| *at > facts.now));
        reasons.push(Reason { remedy: it.remedy.clone(), ..reason });
    }
    for (what, remedy) in &taker.folders {
        reasons.push(Reason::new("folder", format!("{name} claims nothing: {what}")).remedy(remedy));
    }
    if let Some(resume) = taker.resume.as_ref().filter(|_| waiting.place != Place::Staged) {
        let text = format!("{name} resumes gradually ({resume}): only what is in staged/ is taken");
        reasons.push(Reason::new("resume", text));
    }
    if let Some(other) = &taker.namesake {
        reasons.push(Reason::new("namesake", format!("{other} under the same name, and goes first")));
    }
    if reasons.is_empty() {
        reasons.extend(no_room(taker));
    }
    for reason in &mut reasons {
        reason.worker = Some(name.clone());
    }
    reasons
}

/// Why a worker that takes tasks does not take this one.
fn no_room(taker: &Taker) -> Option<Reason> {
    let (name, slots) = (&taker.name, taker.slots?);
    let free = slots.saturating_sub(taker.runs.len() as u64);
    let others = |n: u64| if n == 1 { "1 other goes".to_owned() } else { format!("{n} others go") };
    if free > taker.ahead {
        return None;
    }
    if free > 0 {
        let text = format!("{} before it, by age and priority", others(taker.ahead));
        return Some(Reason::new("behind", text));
    }
    let first = taker.runs.iter().filter_map(|(task, at)| Some((at.as_ref()?, task))).min();
    let first_words =
        first.map(|(_, task)| format!("; at the latest {task} reaches its time limit")).unwrap_or_default();
    let behind = if taker.ahead > 0 { format!("; {} before it", others(taker.ahead)) } else { String::new() };
    let text = format!("{name} runs {slots} at a time, and has no slot free{first_words}{behind}");
    let until = first.map(|(at, _)| *at).filter(|_| taker.ahead == 0);
    Some(Reason::new("no_slot", text).until(until))
}

fn runs(facts: &Facts, running: &Running) -> Answer {
    let worker = &running.worker;
    let mut reasons: Vec<Reason> = Vec::new();
    if !running.watched {
        let agent = if running.agent_lives {
            "its agent lives, and is adopted by the next one"
        } else {
            "its agent has ended, and the next one files or queues it"
        };
        let text = format!("no watcher of {worker} is at work: {agent}");
        let reason = Reason::new("no_watcher", text);
        reasons.push(reason.remedy(format!("watcher --worker {worker}, or supervisor up")));
    }
    for it in running.conditions.iter().filter(|it| it.word != "dead") {
        let reason = Reason::new(it.word, format!("{worker} {}", it.what)).until(it.until);
        reasons.push(Reason { remedy: it.remedy.clone(), ..reason });
    }
    reasons.extend(course(facts.now, running));
    let said = |word, text: &Option<String>| text.as_ref().map(|text| Reason::new(word, text.clone()));
    reasons.extend(said(
        "progress",
        &running.progress.as_ref().map(|text| format!("it says of itself: {text}")),
    ));
    reasons.extend(said("last", &running.last.as_ref().map(|text| format!("its last: {text}"))));
    if running.cost_usd > 0.0 {
        reasons.push(Reason::new("cost", format!("it has cost ${:.4} so far", running.cost_usd)));
    }
    for reason in &mut reasons {
        reason.worker = Some(worker.clone());
    }
    let verdict = if running.watched { "runs" } else { "is left over" };
    Answer { runs_now: running.watched, verdict: verdict.to_owned(), reasons, earliest: None }
}

/// How long it has run, and how long it may.
fn course(now: Timestamp, running: &Running) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some((number, began)) = running.attempt {
        let elapsed = u64::try_from(now.as_second() - began.as_second()).unwrap_or(0);
        let of = running.limit_s.map(|limit| format!(" of at most {}", spoken(limit))).unwrap_or_default();
        let text = format!("attempt {number} has taken {}{of}", spoken(elapsed));
        reasons
            .push(Reason::new("attempt", text).until(running.limit_s.and_then(|limit| after(began, limit))));
    } else {
        let text = format!("it was claimed, and its agent is not started yet ({})", running.state);
        reasons.push(Reason::new("attempt", text));
    }
    if let Some(silent) = running.silent_s {
        let of = running
            .idle_limit_s
            .map(|limit| format!(", and is ended after {}", spoken(limit)))
            .unwrap_or_default();
        reasons
            .push(Reason::new("sign", format!("it last gave a sign {} ago{of} of silence", spoken(silent))));
    }
    reasons
}

/// The moment `seconds` after another.
pub(super) fn after(at: Timestamp, seconds: u64) -> Option<Timestamp> {
    at.checked_add(jiff::SignedDuration::try_from(Duration::from_secs(seconds)).ok()?).ok()
}

fn ends(facts: &Facts, ended: &Ended) -> Vec<Reason> {
    let Facts { name, agentctl, .. } = facts;
    let mut reasons = Vec::new();
    if let Some(why) = &ended.unreadable {
        reasons.push(Reason::new("unreadable", format!("its file cannot be read: {why}")));
    }
    let usual = if ended.state == TaskState::Completed {
        "its agent answered"
    } else if ended.state == TaskState::Cancelled {
        "an operator cancelled it"
    } else {
        "no reason was recorded"
    };
    let why = ended.why.as_deref().unwrap_or(usual);
    let code = ended.code.map(|code| format!("{code} ({}): ", code.meaning())).unwrap_or_default();
    let mut first = Reason::new("ended", format!("{code}{why}"));
    if ended.state != TaskState::Completed {
        first = first.remedy(format!("{agentctl} retry {name}"));
    }
    reasons.push(first);
    reasons.extend(ended.code.filter(|_| ended.state != TaskState::Completed).map(|code| tries(code, ended)));
    if ended.attempts > 0 {
        let plural = if ended.attempts == 1 { "attempt" } else { "attempts" };
        let text = format!("{} {plural}, ${:.4}: `{agentctl} show {name}`", ended.attempts, ended.cost_usd);
        reasons.push(Reason::new("attempts", text));
    }
    reasons
}

/// Whether it was tried again, and why not any more.
fn tries(code: ErrorCode, ended: &Ended) -> Reason {
    if !code.is_retried() {
        return Reason::new("not_retried", format!("{code} is not tried again: it would fail again"));
    }
    let of = ended.max_retries.map(|max| format!(", and {max} retries are allowed")).unwrap_or_default();
    Reason::new("tries", format!("it was charged {}{of}", times_in_words(ended.charges)))
}

#[cfg(test)]
#[path = "reasons_tests.rs"]
mod tests;
