//! Whose run a file belongs to, as far as its own fields may be believed.
//!
//! Whoever may drop a file may write any `run_id` into it. It is believed only where the record of that run names this
//! task, by name and by file, and where the run goes on: the papers of one that has ended are never written again.
//!
//! A run belongs to the worker that claimed it last (`worker` in its `input.json`). Where its file turns up with
//! another worker, somebody moved or copied it by hand:
//!
//! | the owner | the file here |
//! |---|---|
//! | has the task in a folder of its own | is a copy, and removed |
//! | lives, and the agent works or its end is being filed | is left alone: the owner puts its own back |
//! | neither | is taken over, and the run with it |
//!
//! It deliberately does not know which fields a run has left behind.

use std::io;
use std::path::{Path, PathBuf};

use super::input::Input;
use super::queue::Spool;
use super::store::Store;
use crate::os::trouble::if_there;
use crate::task::{FileName, Place, RunId, TaskFile, WorkerName};

/// The numbered names of a task under which its owner is expected to have it.
const NAMES: u32 = 20;

/// What is believed of the record in a file.
#[derive(Clone, Debug)]
pub enum Belief {
    /// The run is this worker's.
    Ours,
    /// Nothing: it is forged.
    Not,
    /// The run has ended, which the file does not say: a copy of an earlier state, or forged. In a queue it is nothing;
    /// in `active/`, which is nobody else's, it is what a power cut brought back.
    Over,
    /// Another worker has the run in its hands.
    Elsewhere(WorkerName),
    /// Another worker has the very task; this is a copy.
    Copy(WorkerName, RunId),
    /// Another worker began the run and has nothing of it any more.
    Left(Box<Input>),
}

impl<S: Store> Spool<S> {
    /// What is believed of `task`, found under the name `file`. An error is a disk that did not answer: a run that was
    /// taken for forged then would be begun a second time.
    pub fn belief(&self, file: &FileName, task: &TaskFile) -> io::Result<Belief> {
        let Some(run) = task.record.run_id else { return Ok(Belief::Not) };
        let Some(input) = Input::read(&self.store, &self.layout, run)? else { return Ok(Belief::Not) };
        let is_named = input.run_id == run && input.task == task.name(file) && input.is_of(file);
        if !is_named {
            return Ok(Belief::Not);
        }
        // An outcome in the file is another matter: it is filed, or begins a new life.
        if task.record.outcome().is_none()
            && if_there(self.store.identity(&self.layout.run(&run).result()))?.is_some()
        {
            return Ok(Belief::Over);
        }
        if input.worker == self.worker || task.record.outcome().is_some() {
            return Ok(Belief::Ours);
        }
        if self.home(&input.worker, file, run)?.is_some() {
            return Ok(Belief::Copy(input.worker, run));
        }
        if self.holds(&input, task) {
            return Ok(Belief::Elsewhere(input.worker));
        }
        Ok(Belief::Left(Box::new(input)))
    }

    /// Who claimed a run last; `None` where that cannot be read.
    pub fn owner(&self, run: RunId) -> Option<WorkerName> {
        Input::read(&self.store, &self.layout, run).ok().flatten().map(|input| input.worker)
    }

    /// Where `worker` has the task of `run` in a folder of its own. An error is a disk that did not answer: the task
    /// may be there.
    pub(super) fn home(
        &self,
        worker: &WorkerName,
        file: &FileName,
        run: RunId,
    ) -> io::Result<Option<PathBuf>> {
        let first: Option<FileName> = format!("{}.json", file.base()).parse().ok();
        let names: Vec<_> = first.into_iter().chain((2..NAMES).map(|n| file.numbered(n))).collect();
        let paths = Place::OF_WORKER
            .iter()
            .flat_map(|place| names.iter().map(|name| self.layout.task(worker, *place, name)));
        for path in paths {
            if self.run_at(&path)? == Some(run) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Whether the owner lives and works on the run: its agent holds the stream, or it is about to file the end.
    fn holds(&self, input: &Input, task: &TaskFile) -> bool {
        // What cannot be asked is taken for held.
        let is_held = |path: &Path| self.store.is_held(path).unwrap_or(true);
        let Some(attempt) = task.record.open_attempt() else { return false };
        is_held(&self.layout.worker(&input.worker))
            && (is_held(&self.layout.run(&input.run_id).stream(attempt.number))
                || is_held(&self.layout.task_lock(&input.worker, &input.task)))
    }
}
