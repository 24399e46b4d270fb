//! Doing it as the verbs do: through the worker's watcher where it lives, else on the files under its lock.

use crate::task::WorkerName;

use super::super::act::{self, Deed, in_words};
use super::super::desk::Desk;
use super::super::{find, pause};
use super::acts::{Acts, Said};

/// The operator's hands at the screen.
pub(super) struct Hands {
    desk: Desk,
}

impl Hands {
    /// Hands that say nothing beside the screen.
    pub(super) fn new(desk: &Desk) -> Self {
        Self { desk: Desk { report: desk.report.silent(), ..desk.clone() } }
    }

    fn task(&self, called: &str, deed: &Deed) -> Said {
        match find::find(&self.desk, called) {
            Ok(seen) => said(called, act::one(&self.desk, deed, &seen)),
            Err(error) => Said::refused(in_words(&error)),
        }
    }
}

impl Acts for Hands {
    fn pause(&self, worker: &WorkerName) -> Said {
        said(worker.as_str(), pause::pause_one(&self.desk, worker))
    }

    fn resume(&self, worker: &WorkerName) -> Said {
        said(worker.as_str(), pause::resume_one(&self.desk, worker))
    }

    fn cancel(&self, task: &str) -> Said {
        self.task(task, &Deed::Cancel { reason: None })
    }

    fn retry(&self, task: &str) -> Said {
        self.task(task, &Deed::Retry { force: false, goes_on: false })
    }

    fn tell(&self, task: &str, text: &str) -> Said {
        self.task(task, &Deed::Tell { text: text.to_owned() })
    }

    fn interrupt(&self, task: &str, text: Option<&str>) -> Said {
        self.task(task, &Deed::Interrupt { text: text.map(str::to_owned) })
    }
}

fn said(whom: &str, done: Result<String, String>) -> Said {
    match done {
        Ok(text) => Said::done(format!("{whom}: {text}")),
        Err(text) => Said::refused(format!("{whom}: {text}")),
    }
}
