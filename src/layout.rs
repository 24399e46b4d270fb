//! Every path under the root. Nothing else in the program joins one.
//!
//! The tree is described in `shared-layout/`, and `tests/layout.rs` keeps the two in agreement. This module
//! deliberately does not touch the disk: it only knows names.

use std::path::{Path, PathBuf};

use crate::task::{FileName, Place, RunId, TaskName, WorkerName};

/// The tree under one root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The tree under `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `tasks/`, which is also the inbox.
    pub fn tasks(&self) -> PathBuf {
        self.root.join("tasks")
    }

    /// The directory of `place` for `worker`; the inbox is everybody's.
    pub fn place(&self, worker: &WorkerName, place: Place) -> PathBuf {
        match place {
            Place::Inbox => self.tasks(),
            Place::Pending
            | Place::Staged
            | Place::Active
            | Place::Completed
            | Place::Failed
            | Place::Cancelled => self.tasks().join(worker.as_str()).join(place.as_str()),
        }
    }

    /// A task's file in `place`.
    pub fn task(&self, worker: &WorkerName, place: Place, file: &FileName) -> PathBuf {
        self.place(worker, place).join(file.as_str())
    }

    /// Why a task failed, beside it in `failed/`; never `*.json`, which the runbooks count.
    pub fn reason(&self, worker: &WorkerName, file: &FileName) -> PathBuf {
        self.place(worker, Place::Failed).join(format!("{}.reason", file.as_str()))
    }

    /// `workers/`.
    pub fn workers(&self) -> PathBuf {
        self.root.join("workers")
    }

    /// There while a task goes from where it had ended back into the queue.
    pub fn renewal(&self, worker: &WorkerName) -> PathBuf {
        self.place(worker, Place::Pending).join(".renewal.tmp")
    }

    /// `workers/<worker>/`, the folder whose flock says that the watcher lives.
    pub fn worker(&self, worker: &WorkerName) -> PathBuf {
        self.workers().join(worker.as_str())
    }

    /// The sign of progress.
    pub fn heartbeat(&self, worker: &WorkerName) -> PathBuf {
        self.worker(worker).join("heartbeat.json")
    }

    /// What the worker is doing and how often it crashed.
    pub fn state(&self, worker: &WorkerName) -> PathBuf {
        self.worker(worker).join("state.json")
    }

    /// How the last watcher died, as the supervisor found.
    pub fn death(&self, worker: &WorkerName) -> PathBuf {
        self.worker(worker).join("death.json")
    }

    /// A gradual resume under way.
    pub fn resume(&self, worker: &WorkerName) -> PathBuf {
        self.worker(worker).join("resume.json")
    }

    /// The folder of the daily journals.
    pub fn journal_dir(&self, worker: &WorkerName) -> PathBuf {
        self.worker(worker).join("journal")
    }

    /// The journal of one day, `YYYY-MM-DD` in UTC.
    pub fn journal(&self, worker: &WorkerName, day: &str) -> PathBuf {
        self.journal_dir(worker).join(format!("{day}.ndjson"))
    }

    /// `locks/`: mirrors for people and runbooks.
    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// The mirror of a watcher's lock.
    pub fn watcher_lock(&self, worker: &WorkerName) -> PathBuf {
        self.locks().join(format!("{worker}_watcher.lock"))
    }

    /// The mirror of a running task's lock.
    pub fn task_lock(&self, worker: &WorkerName, task: &TaskName) -> PathBuf {
        self.locks().join(format!("{worker}_task_{task}.lock"))
    }

    /// Held by the one acting supervisor.
    pub fn supervisor_lock(&self) -> PathBuf {
        self.locks().join("supervisor.lock")
    }

    /// `logs/`: what watchers print, where the log directory is not ours to write.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// `pipes/`.
    pub fn pipes(&self) -> PathBuf {
        self.root.join("pipes")
    }

    /// What is said to a worker, one line each.
    pub fn commands(&self, worker: &WorkerName) -> PathBuf {
        self.pipes().join(format!("{worker}.in"))
    }

    /// What is said to a running agent, one line each.
    pub fn task_pipe(&self, worker: &WorkerName, task: &TaskName) -> PathBuf {
        self.pipes().join(format!("{worker}_{task}.in"))
    }

    /// From which the events of a worker are read.
    pub fn events(&self, worker: &WorkerName) -> PathBuf {
        self.pipes().join(format!("{worker}.out"))
    }

    /// `limits/`: what workers of one account know together. Made by the first that learns something.
    pub fn limits(&self) -> PathBuf {
        self.root.join("limits")
    }

    /// `directories/`: who works in which directory. Made by the first that works in one.
    pub fn directories(&self) -> PathBuf {
        self.root.join("directories")
    }

    /// `packs/`, which is its owner's alone.
    pub fn packs(&self) -> PathBuf {
        self.root.join("packs")
    }

    /// `artifacts/`.
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// The record of one run.
    pub fn run(&self, run: &RunId) -> RunPaths {
        RunPaths { dir: self.artifacts().join(run.to_string()) }
    }

    /// `workspaces/`.
    pub fn workspaces(&self) -> PathBuf {
        self.root.join("workspaces")
    }

    /// The agent's working directory.
    pub fn workspace(&self, run: &RunId) -> PathBuf {
        self.workspaces().join(run.to_string())
    }

    /// The worktree that the agent works in, where it works in one.
    pub fn tree(&self, run: &RunId) -> PathBuf {
        tree_in(&self.workspace(run))
    }

    /// Where scratch goes when nothing else is said: `/tmp/<worker>` for the root `/shared`, else below the root.
    pub fn default_scratch(&self, worker: &WorkerName) -> PathBuf {
        if self.root == Path::new("/shared") {
            Path::new("/tmp").join(worker.as_str())
        } else {
            self.root.join("scratch").join(worker.as_str())
        }
    }

    /// The directories that belong to everybody.
    pub fn common_dirs(&self) -> Vec<PathBuf> {
        vec![self.tasks(), self.workers(), self.locks(), self.pipes(), self.artifacts(), self.workspaces()]
    }

    /// The directories of one worker.
    pub fn worker_dirs(&self, worker: &WorkerName) -> Vec<PathBuf> {
        let mut dirs: Vec<_> = Place::OF_WORKER.iter().map(|place| self.place(worker, *place)).collect();
        dirs.push(self.worker(worker));
        dirs.push(self.journal_dir(worker));
        dirs
    }
}

/// The worktree in the workspace of a run.
pub fn tree_in(workspace: &Path) -> PathBuf {
    workspace.join("tree")
}

/// The agent's stdout in the folder of an attempt.
pub fn stream_in(attempt: &Path) -> PathBuf {
    attempt.join("stream.ndjson")
}

/// The files of one run, under `artifacts/<run_id>/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPaths {
    dir: PathBuf,
}

impl RunPaths {
    /// The run's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What was dropped, and where it came from: the proof that a `run_id` is ours.
    pub fn input(&self) -> PathBuf {
        self.dir.join("input.json")
    }

    /// Every state change of this run, the same lines as the journal.
    pub fn history(&self) -> PathBuf {
        self.dir.join("history.ndjson")
    }

    /// The outcome, for programs.
    pub fn result(&self) -> PathBuf {
        self.dir.join("result.json")
    }

    /// The whole answer.
    pub fn output(&self) -> PathBuf {
        self.dir.join("output.txt")
    }

    /// The agent's stdin, a named pipe.
    pub fn stdin(&self) -> PathBuf {
        self.dir.join("stdin")
    }

    /// The agent's own pipes: the one folder here that it writes to.
    pub fn pipes(&self) -> PathBuf {
        self.dir.join("pipes")
    }

    /// What the agent says to its worker, a named pipe.
    pub fn agent_pipe(&self) -> PathBuf {
        self.pipes().join("agent.in")
    }

    /// A named pipe that the agent made and reads an answer from.
    pub fn answers(&self, name: &FileName) -> PathBuf {
        self.pipes().join(name.as_str())
    }

    /// Says that the next life of its task goes on with the conversation of this one.
    pub fn continued(&self) -> PathBuf {
        self.dir.join("continue")
    }

    /// The folder of attempt `number`, counted from 1.
    pub fn attempt(&self, number: u32) -> PathBuf {
        self.dir.join(format!("attempt-{number}"))
    }

    /// The agent's stdout; its flock is the fact that the agent lives.
    pub fn stream(&self, number: u32) -> PathBuf {
        stream_in(&self.attempt(number))
    }

    /// What the pack said that the attempt was started with; there is none without a pack of one's own.
    pub fn pack(&self, number: u32) -> PathBuf {
        self.attempt(number).join("pack.json")
    }

    /// What the acceptance command printed.
    pub fn verify_log(&self, number: u32) -> PathBuf {
        self.attempt(number).join("verify.log")
    }

    /// What it came to.
    pub fn verify(&self, number: u32) -> PathBuf {
        self.attempt(number).join("verify.json")
    }

    /// In which repository the attempt works, how, and what was there before.
    pub fn checkout(&self, number: u32) -> PathBuf {
        self.attempt(number).join("checkout.json")
    }

    /// What the run changed there, for programs.
    pub fn changes(&self) -> PathBuf {
        self.dir.join("changes.json")
    }

    /// The same as a patch.
    pub fn patch(&self) -> PathBuf {
        self.dir.join("changes.patch")
    }

    /// The files as they were before and after, as git keeps them; gone when the run has ended.
    pub fn snapshot(&self) -> PathBuf {
        self.dir.join("snapshot")
    }

    /// The agent's stderr.
    pub fn stderr(&self, number: u32) -> PathBuf {
        self.attempt(number).join("stderr.log")
    }
}
