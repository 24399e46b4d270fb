//! The lines that a killed writer did not come to write, made again from the record in the task file. Pure.
//!
//! The moves of a task at its end are noted before they are made, so only what happens to a task that stays in
//! `active/` can be missing: its claim, the start of its agent, and what ended an earlier attempt.

use std::collections::HashSet;

use super::{Event, Line};
use crate::task::{Attempt, FileName, TaskFile, TaskState, WorkerName};

/// The lines about `task` that its record tells of and its `history` does not have.
pub fn owed(worker: &WorkerName, file: &FileName, task: &TaskFile, history: &[Line]) -> Vec<Line> {
    let known: HashSet<String> = history.iter().filter_map(|line| line.clone().identified().id).collect();
    let attempts = &task.record.attempts;
    let earlier = attempts.len().saturating_sub(1);
    let told_from = told_from(history);
    let lines =
        attempts.iter().enumerate().filter(|(_, it)| it.number >= told_from).flat_map(|(n, attempt)| {
            let ended = if n < earlier { requeued(attempt) } else { None };
            [Some(claimed(attempt)), started(attempt), ended]
                .into_iter()
                .flatten()
                .map(move |told| (attempt, told))
        });
    let about = |(attempt, told): (&Attempt, Told)| {
        let mut line =
            Line::new(told.at, worker.clone(), told.event).about(task.name(file), file, task.record.run_id);
        line.attempt = Some(attempt.number);
        (line.from, line.to) = (Some(told.from), Some(told.to));
        line.correlation_id.clone_from(&task.spec.correlation_id);
        if told.event == Event::Started {
            line.pid = attempt.pid;
            line.session_id = Some(attempt.session_id);
        }
        if told.event == Event::Requeued {
            line.reason.clone_from(&attempt.reason);
            line.charged = Some(attempt.charged);
            line = line.spending(task, attempt.usage());
        }
        line.identified()
    };
    lines.map(about).filter(|line| line.id.as_ref().is_some_and(|id| !known.contains(id))).collect()
}

/// The first attempt of which a history still tells everything: what was left out of a long one is not owed again.
fn told_from(history: &[Line]) -> u32 {
    let Some(folded) = history.iter().rposition(|line| line.event == Event::Folded) else { return 0 };
    history[folded..].iter().filter_map(|line| line.attempt).min().map_or(0, |first| first + 1)
}

struct Told {
    event: Event,
    at: crate::clock::Timestamp,
    from: TaskState,
    to: TaskState,
}

const fn claimed(attempt: &Attempt) -> Told {
    let (from, to) = (TaskState::Pending, TaskState::Initializing);
    Told { event: Event::Claimed, at: attempt.started_at, from, to }
}

/// Its process is recorded when it was started; when exactly, nobody wrote down.
fn started(attempt: &Attempt) -> Option<Told> {
    attempt.pid?;
    let (from, to) = (TaskState::Initializing, TaskState::Running);
    Some(Told { event: Event::Started, at: attempt.started_at, from, to })
}

fn requeued(attempt: &Attempt) -> Option<Told> {
    let (from, to) = (TaskState::Running, TaskState::Pending);
    Some(Told { event: Event::Requeued, at: attempt.ended_at?, from, to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{AttemptOutcome, RunId, SessionId};

    #[test]
    fn what_the_record_tells_and_the_history_does_not_have_is_owed_once() {
        let (worker, file): (WorkerName, FileName) = ("marie".parse().unwrap(), "t.json".parse().unwrap());
        let at = |second| crate::clock::Timestamp::from_second(second).unwrap();
        let mut task = TaskFile::parse(br#"{"prompt":"x"}"#).unwrap();
        task.begin_run(RunId::mint(), &"t".parse().unwrap(), at(0));
        for (number, pid) in [(1, Some(7)), (2, None)] {
            let mut attempt = Attempt::open(number, SessionId::mint(), at(number.into()));
            attempt.pid = pid;
            task.begin_attempt(attempt);
            if number == 1 {
                let first = task.record.open_attempt_mut().unwrap();
                first.close(AttemptOutcome::Crashed, Some("it died".to_owned()), at(9));
            }
        }
        let all = owed(&worker, &file, &task, &[]);
        let told: Vec<_> = all.iter().map(|line| (line.attempt.unwrap(), line.event)).collect();
        assert_eq!(
            told,
            [(1, Event::Claimed), (1, Event::Started), (1, Event::Requeued), (2, Event::Claimed)],
            "the second attempt is still open, and its agent was never recorded"
        );
        assert_eq!(owed(&worker, &file, &task, &all), [], "once");
        let but_one = [all[0].clone(), all[1].clone(), all[3].clone()];
        assert_eq!(owed(&worker, &file, &task, &but_one), [all[2].clone()]);
        // A line of a version without ids counts by what it says; a resumed session is a start.
        let old = Line { id: None, event: Event::Resumed, ..all[1].clone() };
        assert_eq!(owed(&worker, &file, &task, &[old]).len(), 3);
    }
}
