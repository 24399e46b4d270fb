//! What can be done from the screen, and the door through which it is done.
//!
//! It deliberately does not know how a worker is reached, nor what it answers: whoever acts says how it went, in words.

use crate::task::WorkerName;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The worker takes no new tasks.
    Pause(WorkerName),
    /// It takes tasks again.
    Resume(WorkerName),
    /// The task is ended for good.
    Cancel(String),
    /// The task, which failed or waits for its next try, is tried again.
    Retry(String),
    /// A message to the agent of the task.
    Tell(String, String),
    /// Its agent leaves what it is doing, and goes on with the text if there is one.
    Interrupt(String, Option<String>),
}

impl Deed {
    /// What is being done, to be shown until the answer is there.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Pause(worker) => format!("pause {worker}"),
            Self::Resume(worker) => format!("resume {worker}"),
            Self::Cancel(task) => format!("cancel {task}"),
            Self::Retry(task) => format!("retry {task}"),
            Self::Tell(task, _) => format!("tell {task}"),
            Self::Interrupt(task, _) => format!("interrupt {task}"),
        }
    }
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Whether it was done.
    pub(super) is_done: bool,
    /// In words.
    pub(super) text: String,
}

impl Said {
    /// It was done.
    pub(super) fn done(text: impl Into<String>) -> Self {
        Self { is_done: true, text: text.into() }
    }

    /// It was not.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self { is_done: false, text: text.into() }
    }
}

/// Whoever acts. Each call may wait for an answer, so it is made beside the screen.
pub(super) trait Acts: Send + Sync {
    /// See [`Deed::Pause`].
    fn pause(&self, worker: &WorkerName) -> Said;
    /// See [`Deed::Resume`].
    fn resume(&self, worker: &WorkerName) -> Said;
    /// See [`Deed::Cancel`].
    fn cancel(&self, task: &str) -> Said;
    /// See [`Deed::Retry`].
    fn retry(&self, task: &str) -> Said;
    /// See [`Deed::Tell`].
    fn tell(&self, task: &str, text: &str) -> Said;
    /// See [`Deed::Interrupt`].
    fn interrupt(&self, task: &str, text: Option<&str>) -> Said;
}

/// Does it.
pub(super) fn perform(acts: &dyn Acts, deed: &Deed) -> Said {
    match deed {
        Deed::Pause(worker) => acts.pause(worker),
        Deed::Resume(worker) => acts.resume(worker),
        Deed::Cancel(task) => acts.cancel(task),
        Deed::Retry(task) => acts.retry(task),
        Deed::Tell(task, text) => acts.tell(task, text),
        Deed::Interrupt(task, text) => acts.interrupt(task, text.as_deref()),
    }
}
