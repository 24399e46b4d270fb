//! The verbs of the queue: examine, claim, update, conclude, requeue, reject. Nobody above knows that a
//! queue is made of files.

use std::io;
use std::path::{Path, PathBuf};

use super::found::{self, Examined, FILE_LIMIT};
use super::input::{Input, is_believed};
use super::lease::Lease;
use super::papers;
use super::steps::{self, Content, Papers, Step};
use super::store::{Entry, Identity, StepError, Store};
use crate::clock::{SharedClock, Timestamp};
use crate::layout::Layout;
use crate::task::{
    Attempt, ErrorCode, FileName, Outcome, Place, Requeue, RunId, TaskFile, Usage, WorkerName,
};

/// The numbered names of one task that are looked at.
const NUMBERS: u32 = 1000;

/// Why a task was not claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Somebody else took it, or its owner took it away.
    #[error("`{0}` is gone")]
    Gone(FileName),
    /// A task of the same file name is being worked on.
    #[error("`{0}` is being worked on under the same name")]
    Live(FileName),
    /// It was being written while it was taken; it is back where it was.
    #[error("`{0}` changed while it was taken")]
    Changed(FileName),
    /// The disk refused.
    #[error("could not claim `{file}`")]
    Disk {
        /// The file.
        file: FileName,
        /// The step that failed.
        #[source]
        source: StepError,
    },
    /// The file could not be read.
    #[error("could not read `{file}`")]
    Unreadable {
        /// The file.
        file: FileName,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a claim came to.
#[derive(Debug)]
pub enum Claimed {
    /// The task is ours and stamped: the agent may be started.
    Lease(Box<Lease>),
    /// It came back from a queue with an attempt that nobody ended: it stands in `active/` again, and recovery
    /// decides.
    Open(FileName),
}

/// A file on its way into `active/`, and what was read of it.
struct Taken<'a> {
    from: &'a Path,
    active: &'a Path,
    file: &'a FileName,
    content: Option<(&'a [u8], Identity)>,
}

/// The queue of one worker.
#[derive(Clone, Debug)]
pub struct Spool<S> {
    layout: Layout,
    worker: WorkerName,
    store: S,
    clock: SharedClock,
}

impl<S: Store> Spool<S> {
    /// The queue of `worker` under the root of `layout`.
    pub fn new(layout: Layout, worker: WorkerName, store: S, clock: SharedClock) -> Self {
        Self { layout, worker, store, clock }
    }

    /// Where everything is.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whose queue it is.
    pub const fn worker(&self) -> &WorkerName {
        &self.worker
    }

    /// Time.
    pub fn clock(&self) -> SharedClock {
        SharedClock::clone(&self.clock)
    }

    /// The disk.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Where a file of `place` stands.
    pub fn path(&self, place: Place, file: &FileName) -> PathBuf {
        self.layout.task(&self.worker, place, file)
    }

    /// The task files in `place`, by name only.
    pub fn list(&self, place: Place) -> io::Result<Vec<FileName>> {
        let entries = self.store.list(&self.layout.place(&self.worker, place))?;
        Ok(entries.into_iter().filter_map(|Entry { name, .. }| name.parse().ok()).collect())
    }

    /// Looks at one name in a queue.
    pub fn examine(&self, place: Place, file: &FileName) -> Examined {
        found::examine(&self.store, &self.layout, &self.path(place, file), (place, file))
    }

    /// Takes a task. `plan` makes the attempt that is stamped into it, before anything is started.
    pub fn claim(
        &self,
        place: Place,
        file: &FileName,
        plan: impl FnOnce(&TaskFile, RunId) -> Attempt,
    ) -> Result<Claimed, ClaimError> {
        let from = self.path(place, file);
        let active = self.path(Place::Active, file);
        let (bytes, identity) = self.read(&from, file)?;
        let drop = Taken { from: &from, active: &active, file, content: Some((&bytes, identity)) };
        let mut task = TaskFile::parse(&bytes).map_err(|_| ClaimError::Changed(file.clone()))?;
        let ours = is_believed(&self.store, &self.layout, file, &task)
            .map_err(|source| ClaimError::Unreadable { file: file.clone(), source })?;
        if ours && task.record.open_attempt().is_some() {
            return self.take_back(&from, &active, file);
        }
        // A run that has ended, or that is not ours, is no run: this is a new life.
        let goes_on = ours && task.record.outcome().is_none();
        let input = (!goes_on).then(|| self.begin(&mut task, file, &from, (&bytes, identity)));
        let run = task.record.run_id.unwrap_or_else(RunId::mint);
        let attempt = plan(&task, run);
        task.begin_attempt(attempt);
        let input_path = self.layout.run(&run).input();
        let steps = steps::claim(steps::Claim {
            from: &from,
            active: &active,
            identity,
            input: input.map(|input| (input_path.as_path(), input.to_bytes())),
            stamped: task.to_bytes(),
        });
        self.store.perform_all(&steps).map_err(|error| self.unclaim(error, &drop))?;
        let lease = Lease::of(&self.worker, file, task).ok_or_else(|| ClaimError::Changed(file.clone()))?;
        Ok(Claimed::Lease(Box::new(lease)))
    }

    /// A new life; its `input.json`.
    fn begin(
        &self,
        task: &mut TaskFile,
        file: &FileName,
        from: &Path,
        (bytes, dropped): (&[u8], Identity),
    ) -> Input {
        task.forget_record();
        let run = RunId::mint();
        let mtime = Timestamp::from_nanosecond(i128::from(dropped.mtime_ns)).unwrap_or_default();
        let name = task.name(file);
        task.begin_run(run, &name, mtime);
        Input {
            run_id: run,
            task: name,
            worker: self.worker.clone(),
            file: file.to_string(),
            claimed_at: self.clock.wall(),
            dropped_at: from.strip_prefix(self.layout.root()).unwrap_or(from).display().to_string(),
            dropped,
            content: serde_json::from_slice(bytes).unwrap_or_default(),
        }
    }

    fn take_back(&self, from: &Path, active: &Path, file: &FileName) -> Result<Claimed, ClaimError> {
        let open = Taken { from, active, file, content: None };
        self.store.perform_all(&steps::transfer(from, active)).map_err(|error| self.unclaim(error, &open))?;
        Ok(Claimed::Open(file.clone()))
    }

    /// Puts back what a failed claim had already moved; if that fails too, the next survey of `active/` does it.
    fn unclaim(&self, error: StepError, taken: &Taken<'_>) -> ClaimError {
        let file = taken.file.clone();
        if error.is_gone() {
            return ClaimError::Gone(file);
        }
        if error.is_occupied() {
            return ClaimError::Live(file);
        }
        if self.store.identity(taken.from).is_err() {
            self.store.perform_all(&self.way_back(taken, &error)).ok();
        }
        if error.is_changed() { ClaimError::Changed(file) } else { ClaimError::Disk { file, source: error } }
    }

    /// The steps that undo a claim. A stamp goes too, since nothing was started and nothing is to be charged.
    fn way_back(&self, taken: &Taken<'_>, why: &StepError) -> Vec<Step> {
        match taken.content {
            Some((bytes, identity)) if !why.is_changed() && !self.is_still(taken.active, identity) => {
                steps::requeue(taken.active, taken.from, bytes.to_vec(), Some(identity.mtime()))
            }
            Some(_) | None => steps::transfer(taken.active, taken.from),
        }
    }

    fn is_still(&self, path: &Path, identity: Identity) -> bool {
        self.store.identity(path).is_ok_and(|it| it == identity)
    }

    /// Writes the record of a task under way.
    pub fn update(&self, lease: &Lease) -> Result<(), StepError> {
        self.store.perform_all(&steps::put(&lease.active(&self.layout), lease.task.to_bytes(), None))
    }

    /// Makes an outcome durable and files the task; where it went. It may be repeated after an error: the
    /// first outcome stays, and a task that was moved already is not made again.
    pub fn conclude(
        &self,
        lease: &mut Lease,
        outcome: &Outcome,
        usage: Usage,
        answer: Option<&[u8]>,
    ) -> Result<PathBuf, StepError> {
        lease.task.conclude(outcome, usage, self.clock.wall());
        let place = lease.task.record.state.and_then(crate::task::TaskState::terminal_place);
        if let Some(filed) = place.and_then(|place| self.moved(place, &lease.file, &lease.task)) {
            self.settle()?;
            return Ok(filed);
        }
        let mut before = Papers::default();
        if let Some(answer) = answer {
            before.files.push((lease.paths(&self.layout).output(), answer.to_vec()));
        }
        let active = lease.active(&self.layout);
        self.store.perform_all(&steps::judge(&active, lease.task.to_bytes(), before))?;
        self.file(&lease.file, &lease.task)
    }

    /// Files a task whose outcome is durable in `active/`; where it went.
    pub fn file(&self, file: &FileName, task: &TaskFile) -> Result<PathBuf, StepError> {
        let place =
            task.record.state.and_then(crate::task::TaskState::terminal_place).unwrap_or(Place::Failed);
        let name = self.free_name(place, file);
        let mut papers = Papers::default();
        if let Some(run) = task.record.run_id {
            let result = papers::result(&self.worker, file, task, self.clock.wall());
            papers.files.push((self.layout.run(&run).result(), result));
        }
        if place == Place::Failed {
            let reason = papers::reason(&self.worker, file, task, self.clock.wall());
            papers.files.push((self.layout.reason(&self.worker, &name), reason));
        }
        let filed = self.path(place, &name);
        self.store.perform_all(&steps::file(&self.path(Place::Active, file), &filed, papers))?;
        Ok(filed)
    }

    /// Puts a task back into `pending/` with what happened to it.
    pub fn requeue(&self, lease: &mut Lease, why: &Requeue) -> Result<(), StepError> {
        lease.task.requeue(why, self.clock.wall());
        self.put_back(&lease.file, &lease.task)
    }

    /// Puts a file from `active/` back into `pending/` with the record as it is.
    pub fn put_back(&self, file: &FileName, task: &TaskFile) -> Result<(), StepError> {
        if self.moved(Place::Pending, file, task).is_some() {
            return self.settle();
        }
        let age = task.record.submitted_at.map(std::time::SystemTime::from);
        let queue = self.path(Place::Pending, file);
        self.make_room(&queue, file)?;
        let steps = steps::requeue(&self.path(Place::Active, file), &queue, task.to_bytes(), age);
        self.store.perform_all(&steps)
    }

    /// Moves a file from `active/` back into `pending/` untouched.
    pub fn move_back(&self, file: &FileName) -> Result<(), StepError> {
        let queue = self.path(Place::Pending, file);
        self.make_room(&queue, file)?;
        self.store.perform_all(&steps::transfer(&self.path(Place::Active, file), &queue))
    }

    /// Puts the file of a running task back into `active/` if it vanished from there.
    pub fn restore(&self, lease: &Lease) -> Result<(), StepError> {
        self.store.perform_all(&steps::restore(&lease.active(&self.layout), lease.task.to_bytes()))
    }

    /// Removes the second home of a task.
    pub fn drop_ghost(&self, path: &Path) -> Result<(), StepError> {
        self.store.perform_all(&steps::drop_ghost(path))
    }

    /// Removes what a write that was cut left behind.
    pub fn drop_temp(&self, path: &Path) -> Result<(), StepError> {
        self.store.perform_all(&steps::drop_temp(path))
    }

    /// Files a drop that is no task, untouched, with its reason; its name there.
    pub fn reject(
        &self,
        place: Place,
        file: &FileName,
        code: ErrorCode,
        why: &str,
    ) -> Result<FileName, StepError> {
        let name = self.free_name(Place::Failed, file);
        let reason = papers::rejection(&self.worker, file, (code, why), self.clock.wall());
        let papers = Papers { files: vec![(self.layout.reason(&self.worker, &name), reason)] };
        let (from, to) = (self.path(place, file), self.path(Place::Failed, &name));
        let paper = self.layout.reason(&self.worker, &name);
        let content = match self.store.read(&from, FILE_LIMIT) {
            Ok(_) => Content::Readable,
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Content::Readable,
            Err(_) => Content::Opaque,
        };
        let done = self.shift(&from, &to, &steps::reject(&from, &to, content, papers));
        if done.is_err() && self.store.identity(&to).is_err() {
            // Another worker took it first: a reason without its file would mislead.
            self.store.perform(&Step::Remove(paper)).ok();
        }
        done.map(|()| name)
    }

    /// Makes durable what can be seen now, so that no later power cut brings back what a dead watcher moved.
    ///
    /// Where names came to is synced before where they came from. Nobody moves out of the terminal places;
    /// between `active/` and the queues names go both ways, and what stands in `active/` came from a queue.
    pub fn settle(&self) -> Result<(), StepError> {
        let works = self.list(Place::Active).is_ok_and(|files| !files.is_empty());
        let dir = |place: &Place| self.layout.place(&self.worker, *place);
        let (active, queues) = ([Place::Active], Place::QUEUES);
        let (first, then) = if works { (&active[..], &queues[..]) } else { (&queues[..], &active[..]) };
        let dirs = Place::TERMINAL.iter().chain(first).chain(then).map(dir);
        let there = dirs.filter(|dir| self.store.identity(dir).is_ok()).collect();
        self.store.perform_all(&steps::settle(there))
    }

    /// Renames a drop whose name is being worked on, so that the next drop of that name does not replace it;
    /// its new name.
    pub fn rename_aside(&self, place: Place, file: &FileName) -> Result<FileName, StepError> {
        let from = self.path(place, file);
        self.aside(&from, place, file)
    }

    /// Does the steps of a move that cannot be repeated as a whole: once it is done, only its syncs are.
    fn shift(&self, from: &Path, to: &Path, steps: &[Step]) -> Result<(), StepError> {
        self.store.perform_all(steps).or_else(|error| {
            let is_done = self.store.identity(from).is_err() && self.store.identity(to).is_ok();
            if is_done { self.settle() } else { Err(error) }
        })
    }

    /// Makes sure that nothing stands where a task is to go back to.
    fn make_room(&self, queue: &Path, file: &FileName) -> Result<(), StepError> {
        if self.store.identity(queue).is_ok() {
            self.aside(queue, Place::Pending, file)?;
        }
        Ok(())
    }

    fn aside(&self, from: &Path, place: Place, file: &FileName) -> Result<FileName, StepError> {
        let free = |name: &FileName| {
            Place::QUEUES
                .iter()
                .chain(&[Place::Active])
                .all(|at| self.store.identity(&self.path(*at, name)).is_err())
        };
        let name = numbered(file, free);
        let to = self.path(place, &name);
        self.shift(from, &to, &steps::transfer(from, &to))?;
        Ok(name)
    }

    /// The names in `place` that are taken: the file's own, and the numbered ones.
    pub fn taken<'a>(&'a self, place: Place, file: &'a FileName) -> impl Iterator<Item = PathBuf> + 'a {
        std::iter::once(file.clone())
            .chain((2..NUMBERS).map(|n| file.numbered(n)))
            .map(move |name| self.path(place, &name))
            .take_while(|path| self.store.identity(path).is_ok())
    }

    /// Where a task went from `active/`, if only the syncs after its move failed.
    fn moved(&self, place: Place, file: &FileName, task: &TaskFile) -> Option<PathBuf> {
        if self.store.identity(&self.path(Place::Active, file)).is_ok() {
            return None;
        }
        let run = task.record.run_id?;
        let is_it = |path: &PathBuf| {
            let bytes = self.store.read(path, FILE_LIMIT).map(|(bytes, _)| bytes).unwrap_or_default();
            TaskFile::parse(&bytes).is_ok_and(|it| it.record.run_id == Some(run))
        };
        self.taken(place, file).find(is_it)
    }

    fn free_name(&self, place: Place, file: &FileName) -> FileName {
        let free = |name: &FileName| self.store.identity(&self.path(place, name)).is_err();
        if free(file) { file.clone() } else { numbered(file, free) }
    }

    fn read(&self, path: &Path, file: &FileName) -> Result<(Vec<u8>, Identity), ClaimError> {
        self.store.read(path, FILE_LIMIT).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                ClaimError::Gone(file.clone())
            } else {
                ClaimError::Unreadable { file: file.clone(), source }
            }
        })
    }
}

/// The first of `x~2.json`, `x~3.json` … that is `free`.
fn numbered(file: &FileName, free: impl Fn(&FileName) -> bool) -> FileName {
    (2..u32::MAX).map(|n| file.numbered(n)).find(free).unwrap_or_else(|| file.numbered(u32::MAX))
}
