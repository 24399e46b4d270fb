//! Hands that also send the spans of the attempts that they end: the watcher that had begun them could not.

use std::io;
use std::path::Path;

use super::trace::{Models, Tracer};
use crate::os::process::ProcessId;
use crate::recovery::{Action, Change, Hands, SystemHands};
use crate::spool::Lease;
use crate::task::{FileName, TaskState, WorkerName};

pub(super) struct Homecoming<'a> {
    pub(super) worker: WorkerName,
    pub(super) tracer: Tracer,
    pub(super) hands: SystemHands<'a>,
}

impl Hands for Homecoming<'_> {
    fn end(&self, file: &FileName, processes: &[ProcessId]) -> Vec<ProcessId> {
        self.hands.end(file, processes)
    }

    fn remove_lock(&self, path: &Path) {
        self.hands.remove_lock(path);
    }

    fn clear_scratch(&self) {
        self.hands.clear_scratch();
    }

    fn note(&self, changes: &[Change<'_>]) -> io::Result<()> {
        self.hands.note(changes)?;
        for (action, task) in changes {
            if let (Action::Requeue { file, .. } | Action::Conclude { file, .. }, Some(task)) = (action, task)
                && let Some(lease) = Lease::of(&self.worker, file, (*task).clone())
            {
                self.tracer.ended(&lease, &Models::default());
            }
        }
        Ok(())
    }

    fn collect(&self, lease: &mut Lease, state: Option<TaskState>) {
        self.hands.collect(lease, state);
    }

    fn tidy(&self, lease: &Lease) {
        self.hands.tidy(lease);
    }

    fn say(&self, line: &str) {
        self.hands.say(line);
    }
}
