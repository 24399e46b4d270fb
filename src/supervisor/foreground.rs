//! How the life of the workers reads to the person in front of `supervisor up` (pure).
//!
//! Invariants:
//! - one line per event, whatever an agent said: control characters never reach the terminal;
//! - a condition is told once when it comes, once when it changes, once when it goes.
//!
//! It deliberately does not read journals: lines and answers are handed in.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::notice::{Weight, seconds};
use crate::clock::Timestamp;
use crate::layout::Layout;
use crate::task::{FileName, RunId, TaskState, WorkerName};
use crate::telemetry::journal::{Event, Line};
use crate::telemetry::state_file::{Hold, State, WorkerStatus};
use crate::text::escape::is_hidden;

/// How many characters of an answer or a reason are shown.
const SHOWN_CHARS: usize = 100;
/// The same of what is to be typed: ours, and of no use when it is cut.
const REMEDY_CHARS: usize = 1000;
/// Runs whose start is remembered; more than ever run at once.
const STARTS_MAX: usize = 10_000;

/// One line for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The text, without control characters.
    pub text: String,
    /// How much it asks of the person.
    pub weight: Weight,
}

/// Turns events into lines, and remembers what it has told.
#[derive(Debug)]
pub struct Foreground {
    /// The tree, seen from where the person is.
    layout: Layout,
    zone: TimeZone,
    starts: HashMap<RunId, Timestamp>,
    conditions: HashMap<WorkerName, Condition>,
}

/// What keeps a worker from working, as far as it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Condition {
    status: Option<WorkerStatus>,
    hold: Option<(String, Option<String>)>,
}

impl Foreground {
    /// Paths are shown below the root of `layout`, times in `zone`.
    pub fn new(layout: Layout, zone: TimeZone) -> Self {
        Self { layout, zone, starts: HashMap::new(), conditions: HashMap::new() }
    }

    /// `21:04:05`, as the clock on the person's wall.
    pub fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }

    /// The line about an event, if it is one that a person follows; `answer` is the beginning of what the agent
    /// said in a run that completed.
    pub fn task(&mut self, line: &Line, answer: Option<&str>) -> Option<Told> {
        if let Some(weight) = remark_weight(line.event) {
            return self.remark(line, weight);
        }
        let (text, weight) = self.happened(line, answer)?;
        // What was no task has no name but its file's.
        let task = line.task.as_ref().map(ToString::to_string);
        let name = task.or_else(|| line.file.as_deref().map(plain))?;
        let text = format!("{} {:<7} {name}  {text}", self.time(line.time), line.worker);
        Some(Told { text, weight })
    }

    /// What a worker has to say about itself, and goes on.
    fn remark(&self, line: &Line, weight: Weight) -> Option<Told> {
        let said = plain_to(line.reason.as_deref()?, REMEDY_CHARS);
        let text = format!("{} {:<7} {said}", self.time(line.time), line.worker);
        Some(Told { text, weight })
    }

    fn happened(&mut self, line: &Line, answer: Option<&str>) -> Option<(String, Weight)> {
        let again = line.attempt.filter(|n| *n > 1).map(|n| format!(" (attempt {n})")).unwrap_or_default();
        let why = line.reason.as_deref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
        Some(match line.event {
            Event::Claimed => ("claimed".to_owned(), Weight::Plain),
            Event::Started => {
                self.remember(line);
                (format!("started{again}"), Weight::Plain)
            }
            Event::Resumed => {
                self.remember(line);
                (format!("goes on where it was{again}"), Weight::Plain)
            }
            Event::Adopted => {
                self.remember(line);
                ("taken up again: its agent had lived on".to_owned(), Weight::Plain)
            }
            Event::Requeued => (format!("back in the queue{why}"), Weight::Warning),
            Event::Retried => ("to be tried anew".to_owned(), Weight::Plain),
            Event::Amended => (format!("changed while it waits{why}"), Weight::Plain),
            Event::Recovered => (format!("recovered{why}"), Weight::Warning),
            Event::Told => (format!("was told{why}"), Weight::Plain),
            Event::Interrupted => (format!("was interrupted{why}"), Weight::Plain),
            Event::HandedOn => (format!("handed a task on{why}"), Weight::Plain),
            Event::Verifying => (format!("verifying{why}"), Weight::Plain),
            Event::Verified => (format!("verified{why}"), Weight::Plain),
            Event::LaidBy => (format!("waits with its answer{why}"), Weight::Warning),
            Event::Concluded => self.concluded(line, answer),
            Event::Turn
            | Event::Held
            | Event::Released
            | Event::Budget
            | Event::WorkerStatus
            | Event::Pruned
            | Event::Folded
            | Event::ResumeStarted
            | Event::ResumeBatch
            | Event::ResumeHeld
            | Event::ResumeStopped
            | Event::ResumeCompleted
            | Event::ResumeAbandoned => {
                return None;
            }
        })
    }

    fn remember(&mut self, line: &Line) {
        if self.starts.len() >= STARTS_MAX {
            self.starts.clear();
        }
        if let Some(run) = line.run_id {
            self.starts.entry(run).or_insert(line.time);
        }
    }

    fn concluded(&mut self, line: &Line, answer: Option<&str>) -> (String, Weight) {
        let began = line.run_id.and_then(|run| self.starts.remove(&run));
        let took = began
            .and_then(|began| std::time::Duration::try_from(line.time.duration_since(began)).ok())
            .map(|took| format!(" in {}", seconds(took)))
            .unwrap_or_default();
        let cost =
            line.cost_usd.filter(|cost| *cost > 0.0).map(|cost| format!(" · ${cost:.4}")).unwrap_or_default();
        match line.to {
            Some(TaskState::Completed) => {
                let answer = answer.map(|text| format!(" · {}", plain(text))).unwrap_or_default();
                (format!("completed{took}{cost}{answer}"), Weight::Plain)
            }
            Some(TaskState::Cancelled) => (format!("cancelled{took}{cost}"), Weight::Plain),
            Some(TaskState::Timeout) => (self.failed("TIMED OUT", &took, &cost, line), Weight::Alarm),
            Some(TaskState::Failed) => (self.failed("FAILED", &took, &cost, line), Weight::Alarm),
            Some(
                TaskState::Pending | TaskState::Initializing | TaskState::Running | TaskState::Completing,
            )
            | None => (format!("ended{took}{cost}"), Weight::Plain),
        }
    }

    fn failed(&self, word: &str, took: &str, cost: &str, line: &Line) -> String {
        let code = line.error_code.map(|code| format!(" {code}")).unwrap_or_default();
        let why = line.reason.as_deref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
        let file: Option<FileName> = line.file.as_deref().and_then(|file| file.parse().ok());
        let reason = file
            .map(|file| format!(" · why: {}", self.layout.reason(&line.worker, &file).display()))
            .unwrap_or_default();
        format!("{word}{code}{took}{cost}{why}{reason}")
    }

    /// The line about a worker's condition, if it has changed since the last one.
    pub fn condition(&mut self, worker: &WorkerName, state: &State, at: Timestamp) -> Option<Told> {
        // Whoever stops takes nothing either way; that it stopped is told by who noticed it.
        if state.status == WorkerStatus::Stopped {
            return None;
        }
        let new = Condition::of(state);
        let old = self.conditions.insert(worker.clone(), new.clone()).unwrap_or_default();
        if new == old {
            return None;
        }
        let (text, weight) = match (&state.hold, new.status) {
            (Some(hold), _) => (self.held(hold), Weight::Alarm),
            (None, Some(WorkerStatus::Degraded)) => ("DEGRADED: it takes no tasks".to_owned(), Weight::Alarm),
            (None, Some(status)) => (format!("{status}: it takes no new tasks"), Weight::Warning),
            (None, None) => ("takes tasks again".to_owned(), Weight::Plain),
        };
        Some(Told { text: format!("{} {worker:<7} {text}", self.time(at)), weight })
    }

    fn held(&self, hold: &Hold) -> String {
        let code = hold.error_code.map(|code| format!(" {code}")).unwrap_or_default();
        let until = hold.until.map(|at| format!(" · tries again at {}", self.time(at))).unwrap_or_default();
        let remedy = hold
            .remedy
            .as_deref()
            .map(|text| format!("\n    do: {}", plain_to(text, REMEDY_CHARS)))
            .unwrap_or_default();
        format!(
            "HOLDS ({}){code}: {} · its tasks wait and are not charged{until}{remedy}",
            hold.cause.as_str(),
            plain(&hold.reason)
        )
    }
}

/// How much a line asks of the person that is about a worker and about no task.
const fn remark_weight(event: Event) -> Option<Weight> {
    match event {
        Event::WorkerStatus | Event::Budget | Event::ResumeHeld | Event::ResumeAbandoned => {
            Some(Weight::Warning)
        }
        Event::ResumeStarted | Event::ResumeBatch | Event::ResumeCompleted => Some(Weight::Plain),
        Event::ResumeStopped => Some(Weight::Alarm),
        Event::Claimed
        | Event::Started
        | Event::Adopted
        | Event::Resumed
        | Event::Turn
        | Event::Told
        | Event::Interrupted
        | Event::HandedOn
        | Event::Verifying
        | Event::Verified
        | Event::LaidBy
        | Event::Requeued
        | Event::Retried
        | Event::Amended
        | Event::Concluded
        | Event::Recovered
        | Event::Held
        | Event::Released
        | Event::Pruned
        | Event::Folded => None,
    }
}

impl Condition {
    /// What of `state` is worth telling: a hold, or else a status in which nothing is claimed. When it tries again is
    /// left out, since it moves with every try.
    fn of(state: &State) -> Self {
        let status = match state.status {
            WorkerStatus::Degraded | WorkerStatus::Paused | WorkerStatus::Draining => Some(state.status),
            WorkerStatus::Starting
            | WorkerStatus::Running
            | WorkerStatus::Stopped
            | WorkerStatus::Recovering => None,
        };
        match &state.hold {
            Some(hold) => Self { status: None, hold: Some((hold.reason.clone(), hold.remedy.clone())) },
            None => Self { status, hold: None },
        }
    }
}

/// Text of others as one harmless line: white space collapsed, what could steer a terminal escaped, cut.
pub fn plain(text: &str) -> String {
    plain_to(text, SHOWN_CHARS)
}

fn plain_to(text: &str, max: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().take(max).collect();
    let joined = words.join(" ");
    let mut shown = String::new();
    let mut chars = joined.chars();
    for c in chars.by_ref().take(max) {
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::ErrorCode;
    use crate::telemetry::state_file::HoldCause;

    fn foreground() -> Foreground {
        Foreground::new(Layout::new("./shared"), TimeZone::UTC)
    }

    fn line(time: &str, event: Event) -> Line {
        let file: FileName = "hello.json".parse().unwrap();
        let run: RunId = serde_json::from_str("\"019a0000-0000-7000-8000-000000000001\"").unwrap();
        Line::new(time.parse().unwrap(), "marie".parse().unwrap(), event).about(
            "hello".parse().unwrap(),
            &file,
            Some(run),
        )
    }

    fn concluded(state: TaskState) -> Line {
        Line { to: Some(state), cost_usd: Some(0.0012), ..line("2026-03-01T21:04:06.2Z", Event::Concluded) }
    }

    #[test]
    fn a_task_is_followed_from_claim_to_answer() {
        let mut it = foreground();
        let mut told = |line: &Line, answer| it.task(line, answer).map(|told| told.text);
        for (line, answer, expected) in [
            (line("2026-03-01T21:04:05Z", Event::Claimed), None, Some("21:04:05 marie   hello  claimed")),
            (line("2026-03-01T21:04:05Z", Event::Started), None, Some("21:04:05 marie   hello  started")),
            (line("2026-03-01T21:04:05Z", Event::Turn), None, None),
            (
                concluded(TaskState::Completed),
                Some("Hello,\n\n  world"),
                Some("21:04:06 marie   hello  completed in 1.2 s · $0.0012 · Hello, world"),
            ),
            (concluded(TaskState::Cancelled), None, Some("21:04:06 marie   hello  cancelled · $0.0012")),
        ] {
            assert_eq!(told(&line, answer).as_deref(), expected);
        }
    }

    #[test]
    fn a_failure_says_its_code_its_reason_and_where_the_rest_is() {
        let line = Line {
            error_code: Some(ErrorCode::E002),
            reason: Some("not JSON \u{1b}[31m".to_owned()),
            ..concluded(TaskState::Failed)
        };
        let told = foreground().task(&line, None).unwrap();
        assert_eq!(
            told.text,
            "21:04:06 marie   hello  FAILED E002 · $0.0012: not JSON \\u{1b}[31m · why: ./shared/tasks/marie/failed/hello.json.reason"
        );
        assert_eq!(told.weight, Weight::Alarm);
    }

    #[test]
    fn what_a_worker_remarks_is_told_whole() {
        let at = "2026-03-01T21:04:05Z".parse().unwrap();
        let mut line = Line::new(at, "marie".parse().unwrap(), Event::WorkerStatus);
        assert_eq!(foreground().task(&line, None), None, "a line without a word");
        line.reason = Some("the port is taken".to_owned());
        let told = foreground().task(&line, None).unwrap();
        assert_eq!(
            told,
            Told { text: "21:04:05 marie   the port is taken".to_owned(), weight: Weight::Warning }
        );
    }

    #[test]
    fn a_condition_is_told_when_it_comes_changes_and_goes() {
        let mut it = foreground();
        let at: Timestamp = "2026-03-01T21:04:05Z".parse().unwrap();
        let worker: WorkerName = "marie".parse().unwrap();
        let hold = |reason: &str, until: &str| State {
            status: WorkerStatus::Degraded,
            hold: Some(Hold {
                cause: HoldCause::Auth,
                reason: reason.to_owned(),
                remedy: Some(format!("claude auth login {}, or", "x".repeat(2 * SHOWN_CHARS))),
                until: Some(until.parse().unwrap()),
                error_code: Some(ErrorCode::E005),
            }),
            ..State::default()
        };
        let running = State { status: WorkerStatus::Running, ..State::default() };
        let mut told = |state: &State| it.condition(&worker, state, at).map(|told| told.text);
        assert_eq!(told(&running), None, "nothing to tell at the start");
        let first = told(&hold("401", "2026-03-01T21:05:00Z")).unwrap();
        for part in ["HOLDS (auth) E005: 401", "do: claude auth login", ", or", "tries again at 21:05:00"] {
            assert!(first.contains(part), "{first}");
        }
        assert_eq!(told(&hold("401", "2026-03-01T21:06:00Z")), None, "the next try is no change");
        assert!(told(&hold("403", "2026-03-01T21:06:00Z")).is_some());
        let ending = |status| State { status, ..hold("403", "2026-03-01T21:06:00Z") };
        assert_eq!(told(&ending(WorkerStatus::Draining)), None, "the same hold, while it ends");
        assert_eq!(told(&State { status: WorkerStatus::Stopped, ..State::default() }), None);
        assert_eq!(told(&running).as_deref(), Some("21:04:05 marie   takes tasks again"));
        assert_eq!(told(&running), None);
    }

    #[test]
    fn what_others_say_is_one_harmless_line() {
        for (text, shown) in [
            ("a\tb\r\nc", "a b c"),
            ("\u{1b}]0;x\u{7}", "\\u{1b}]0;x\\u{7}"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("größer", "größer"),
        ] {
            assert_eq!(plain(text), shown);
        }
        let long = plain(&"x".repeat(5000));
        assert_eq!(long.chars().count(), SHOWN_CHARS + 1);
        assert!(long.ends_with('…'));
    }
}
