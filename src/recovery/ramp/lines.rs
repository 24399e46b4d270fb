//! What a gradual resume tells, as values and as lines; the runbook's stand word for word (pure).

use std::time::Duration;

use crate::task::WorkerName;
use crate::telemetry::journal::Event;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// How much waits.
    Found(usize),
    /// Somebody else had begun it.
    Following {
        /// Who.
        pid: i32,
        /// Its latest batch.
        batch: u32,
        /// How many tasks it had let go.
        released: usize,
        /// Of how many.
        found: usize,
    },
    /// A batch goes.
    Batch {
        /// Counted from 1.
        number: u32,
        /// How many tasks.
        size: usize,
    },
    /// It is given time.
    Waiting(Duration),
    /// There is no watcher.
    NoWatcher,
    /// The watcher does not know of the resume.
    Deaf,
    /// The watcher is there.
    Watcher,
    /// The worker holds, for a reason that is no task's.
    Held(String),
    /// It holds no more.
    Released,
    /// Too much failed.
    TooManyFailures(String),
    /// All are let go.
    Completed,
    /// Somebody took the file away.
    Abandoned,
}

impl Line {
    /// The line for a person and for the runbooks' greps.
    pub fn text(&self, worker: &WorkerName) -> String {
        match self {
            Self::Found(tasks) => format!("Found {tasks} pending tasks"),
            Self::Following { pid, batch, released, found } => {
                format!(
                    "Going on with the gradual resume that pid {pid} began: batch {batch}, {released} of {found} let go"
                )
            }
            Self::Batch { number, size } => format!("Processing batch {number}: {size} tasks"),
            Self::Waiting(delay) => format!("Waiting {}s for batch to process...", delay.as_secs_f64()),
            Self::NoWatcher => {
                format!("The watcher of {worker} is not running: waiting for it, nothing is let go meanwhile")
            }
            Self::Deaf => {
                format!(
                    "The watcher of {worker} has not answered yet (an older version, or it may not read resume.json): nothing is let go meanwhile"
                )
            }
            Self::Watcher => format!("The watcher of {worker} is there"),
            Self::Held(reason) => {
                format!(
                    "{worker} holds ({reason}): no batch until that is over, and nothing counts as a failure"
                )
            }
            Self::Released => format!("{worker} holds no more: the delay begins anew"),
            Self::TooManyFailures(_) => "High failure rate detected, stopping gradual resume".to_owned(),
            Self::Completed => "Gradual resume completed".to_owned(),
            Self::Abandoned => {
                format!(
                    "Gradual resume abandoned: resume.json was taken away; {worker} takes everything again"
                )
            }
        }
    }

    /// The event under which the journal keeps it, if it does.
    pub const fn event(&self) -> Option<Event> {
        match self {
            Self::Found(_) | Self::Following { .. } => Some(Event::ResumeStarted),
            Self::Batch { .. } => Some(Event::ResumeBatch),
            Self::Held(_) | Self::NoWatcher => Some(Event::ResumeHeld),
            Self::TooManyFailures(_) => Some(Event::ResumeStopped),
            Self::Completed => Some(Event::ResumeCompleted),
            Self::Abandoned => Some(Event::ResumeAbandoned),
            Self::Waiting(_) | Self::Watcher | Self::Deaf | Self::Released => None,
        }
    }

    /// Why, where the line itself does not say it.
    pub fn reason(&self) -> Option<&str> {
        if let Self::TooManyFailures(reason) = self { Some(reason) } else { None }
    }
}

/// What to do about a resume that stopped: the same words for the state file, the health page and the terminal.
pub fn remedy(worker: &WorkerName) -> String {
    format!(
        "look why they failed (`agentctl status`, tasks/{worker}/failed/*.reason); then `supervisor resume {worker}` \
         begins again, or `supervisor resume {worker} --abandon` lets everything go; one task moved by hand into \
         tasks/{worker}/staged/ is tried at once"
    )
}

/// What a worker says that ended a resume by itself.
pub fn leaderless(worker: &WorkerName, seconds: f64) -> String {
    format!(
        "nobody has led the gradual resume for {seconds} s: ended; {worker} takes everything again, staged first"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_runbook_are_there_word_for_word() {
        let worker: WorkerName = "marie".parse().unwrap();
        for (line, text) in [
            (Line::Found(12), "Found 12 pending tasks"),
            (Line::Batch { number: 2, size: 5 }, "Processing batch 2: 5 tasks"),
            (Line::Waiting(Duration::from_secs(30)), "Waiting 30s for batch to process..."),
            (Line::Waiting(Duration::from_millis(250)), "Waiting 0.25s for batch to process..."),
            (
                Line::TooManyFailures("3 of 5".to_owned()),
                "High failure rate detected, stopping gradual resume",
            ),
            (Line::Completed, "Gradual resume completed"),
        ] {
            assert_eq!(line.text(&worker), text);
        }
    }

    #[test]
    fn only_a_resume_that_came_to_its_end_says_completed() {
        let worker: WorkerName = "marie".parse().unwrap();
        for line in [Line::TooManyFailures(String::new()), Line::Abandoned, Line::NoWatcher, Line::Deaf] {
            assert!(!line.text(&worker).contains("completed"), "{line:?}");
        }
    }
}
