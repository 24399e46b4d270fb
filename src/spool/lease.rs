//! A task that this worker works on: what it is, and where its file stands.

use std::path::PathBuf;

use crate::layout::{Layout, RunPaths};
use crate::task::{Attempt, FileName, Place, RunId, TaskFile, TaskName, WorkerName};

/// A claimed task. The file in `active/` is only a copy of what stands here while the lease lasts.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Who works on it.
    pub worker: WorkerName,
    /// The file's name, which it keeps.
    pub file: FileName,
    /// The task's name.
    pub name: TaskName,
    /// This life of it.
    pub run: RunId,
    /// The file's content.
    pub task: TaskFile,
    attempt: u32,
}

impl Lease {
    /// A lease on a stamped task; `None` if it has no run or no attempt yet.
    pub fn of(worker: &WorkerName, file: &FileName, task: TaskFile) -> Option<Self> {
        let run = task.record.run_id?;
        let attempt = task.record.attempts.last()?.number;
        Some(Self { worker: worker.clone(), file: file.clone(), name: task.name(file), run, task, attempt })
    }

    /// The number of the attempt under way, from 1.
    pub const fn number(&self) -> u32 {
        self.attempt
    }

    /// The attempt under way, while nobody recorded its end.
    pub fn attempt(&self) -> Option<&Attempt> {
        self.task.record.open_attempt()
    }

    /// Its file in `active/`.
    pub fn active(&self, layout: &Layout) -> PathBuf {
        layout.task(&self.worker, Place::Active, &self.file)
    }

    /// The record of its run.
    pub fn paths(&self, layout: &Layout) -> RunPaths {
        layout.run(&self.run)
    }
}
