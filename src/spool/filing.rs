//! Where a task goes from `active/`: filed with its outcome, or back into a queue; and what is no task, to `failed/`.

use std::io;
use std::path::{Path, PathBuf};

use super::found::FILE_LIMIT;
use super::lease::Lease;
use super::papers;
use super::queue::Spool;
use super::steps::{self, Content, Homecoming, Papers, Step, Wave};
use super::store::{StepError, Store};
use crate::task::acceptance::Acceptance;
use crate::task::{ErrorCode, FileName, Misfit, Outcome, Place, Requeue, RunId, TaskFile, Usage, WorkerName};

impl<S: Store> Spool<S> {
    /// Makes an outcome durable and files the task; where it went. It may be repeated after an error: the
    /// first outcome stays, and a task that was moved already is not made again.
    ///
    /// `note` is called when the outcome is durable and before the move: killed in between, the task is found in
    /// `active/` and noted once more; noted after the move, a kill would lose the line. Its error stops the move.
    pub fn conclude(
        &self,
        lease: &mut Lease,
        (outcome, usage): (&Outcome, Usage),
        answer: Option<&[u8]>,
        note: impl FnOnce(&Lease) -> io::Result<()>,
    ) -> Result<PathBuf, StepError> {
        lease.task.conclude(outcome, usage, self.clock.wall());
        if let Some(place) = lease.task.record.state.and_then(crate::task::TaskState::terminal_place)
            && let Some(filed) = self.moved(place, &lease.file, &lease.task)?
        {
            self.settle()?;
            return Ok(filed);
        }
        let mut before = Papers::default();
        if let Some(answer) = answer {
            before.files.push((lease.paths(&self.layout).output(), answer.to_vec()));
        }
        let active = lease.active(&self.layout);
        let after = Papers { files: self.result_paper(&lease.file, &lease.task).into_iter().collect() };
        self.store.perform_all(&steps::judge(&active, lease.task.to_bytes(), before, after))?;
        noted(&active, note(lease))?;
        self.drop_copies(lease)?;
        self.file_with(&lease.file, &lease.task, None)
    }

    /// Removes what somebody queued of an attempt that ends now: once it has ended, a copy that does not know it would
    /// be worked on again.
    fn drop_copies(&self, lease: &Lease) -> Result<(), StepError> {
        for place in [Place::Inbox, Place::Pending, Place::Staged] {
            let path = self.path(place, &lease.file);
            // What cannot be read there is somebody else's matter, and keeps nobody's end waiting.
            let Ok((bytes, _)) = self.store.read(&path, FILE_LIMIT) else { continue };
            let Ok(copy) = TaskFile::parse(&bytes) else { continue };
            if copy.record.run_id != Some(lease.run) || copy.record.open_attempt().is_none() {
                continue;
            }
            // Never the only one that is left: whoever copied it may have removed it from active/.
            if self.store.find(&lease.active(&self.layout))?.is_none() {
                self.restore(lease)?;
            }
            self.drop_ghost(&path)?;
        }
        Ok(())
    }

    /// Files a task whose outcome is durable in `active/`; where it went.
    pub fn file(&self, file: &FileName, task: &TaskFile) -> Result<PathBuf, StepError> {
        self.file_with(file, task, self.result_paper(file, task))
    }

    /// The outcome for programs, and where it belongs.
    fn result_paper(&self, file: &FileName, task: &TaskFile) -> Option<(PathBuf, Vec<u8>)> {
        let run = task.record.run_id?;
        let changes = task.record.changes.as_ref().and_then(|_| self.changes_of(run));
        let beside = (self.acceptance(run, task), changes);
        let result = papers::result(&self.worker, (file, task), beside, self.clock.wall());
        Some((self.layout.run(&run).result(), result))
    }

    /// The same with a `result`, or with one that has its name already.
    fn file_with(
        &self,
        file: &FileName,
        task: &TaskFile,
        result: Option<(PathBuf, Vec<u8>)>,
    ) -> Result<PathBuf, StepError> {
        let place =
            task.record.state.and_then(crate::task::TaskState::terminal_place).unwrap_or(Place::Failed);
        let name = self.free_name(place, file)?;
        let run = task.record.run_id.filter(|_| result.is_none());
        let named = run.map(|run| self.layout.run(&run).dir().to_owned()).into_iter().collect();
        let mut papers = Papers { files: result.into_iter().collect() };
        if place == Place::Failed {
            let reason = papers::reason(&self.worker, (file, &name), task, self.clock.wall());
            papers.files.push((self.layout.reason(&self.worker, &name), reason));
        }
        let filed = self.path(place, &name);
        self.store.perform_all(&steps::file(&self.path(Place::Active, file), &filed, papers, named))?;
        Ok(filed)
    }

    /// What the acceptance command came to in the last attempt. It is told to programs; nobody's end waits for it.
    pub(super) fn acceptance(&self, run: RunId, task: &TaskFile) -> Option<Acceptance> {
        let number = task.record.attempts.last()?.number;
        let (bytes, _) = self.store.read(&self.layout.run(&run).verify(number), FILE_LIMIT).ok()?;
        Acceptance::parse(&bytes)
    }

    /// What the run changed in its repository, as it was written down.
    pub(super) fn changes_of(&self, run: RunId) -> Option<serde_json::Value> {
        let read = self.store.read(&self.layout.run(&run).changes(), FILE_LIMIT);
        read.ok().and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok())
    }

    /// Puts a task back into `pending/` with what happened to it; `note` as in [`Spool::conclude`].
    pub fn requeue(
        &self,
        lease: &mut Lease,
        why: &Requeue,
        note: impl FnOnce(&Lease) -> io::Result<()>,
    ) -> Result<(), StepError> {
        lease.task.requeue(why, self.clock.wall());
        let lease = &*lease;
        self.drop_copies(lease)?;
        self.bring_home(&[(&lease.file, Some(&lease.task))], || note(lease))
    }

    /// Puts a task whose attempt is not over back into `pending/`, as the lease has it: it goes on from there. `note` as in
    /// [`Spool::conclude`].
    pub fn lay_by(
        &self,
        lease: &Lease,
        note: impl FnOnce(&Lease) -> io::Result<()>,
    ) -> Result<(), StepError> {
        // What an earlier try moved is no copy.
        if self.store.find(&lease.active(&self.layout))?.is_some() {
            self.drop_copies(lease)?;
        }
        self.bring_home(&[(&lease.file, Some(&lease.task))], || note(lease))
    }

    /// The task with what happened to it, as it goes back into the queue.
    pub fn requeued(&self, mut task: TaskFile, why: &Requeue) -> TaskFile {
        task.requeue(why, self.clock.wall());
        task
    }

    /// Puts a file from `active/` back into `pending/` with the record as it is.
    pub fn put_back(&self, file: &FileName, task: &TaskFile) -> Result<(), StepError> {
        self.bring_home(&[(file, Some(task))], || Ok(()))
    }

    /// Moves a file from `active/` back into `pending/` untouched.
    pub fn move_back(&self, file: &FileName) -> Result<(), StepError> {
        self.bring_home(&[(file, None)], || Ok(()))
    }

    /// Puts files from `active/` back into `pending/`, in one wave: with the record as it is, or untouched where there
    /// is none. What was moved by an earlier try is not made again. `note` as in [`Spool::conclude`], once for all.
    pub fn bring_home(
        &self,
        files: &[(&FileName, Option<&TaskFile>)],
        note: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), StepError> {
        let mut tasks = Vec::new();
        let mut moved = false;
        for (file, task) in files {
            if let Some(task) = task
                && self.moved(Place::Pending, file, task)?.is_some()
            {
                moved = true;
                continue;
            }
            let queue = self.path(Place::Pending, file);
            self.make_room(&queue, file)?;
            tasks.push(Homecoming {
                active: self.path(Place::Active, file),
                queue,
                stamped: task.map(TaskFile::to_bytes),
                mtime: task.and_then(|it| it.record.submitted_at).map(std::time::SystemTime::from),
            });
        }
        if let Some(first) = tasks.first().map(|task| task.active.clone()) {
            let Wave { records, moves } = steps::bring_home(tasks);
            self.store.perform_all(&records)?;
            noted(&first, note())?;
            self.store.perform_all(&moves)?;
        }
        if moved { self.settle() } else { Ok(()) }
    }

    /// Hands a queued task on to whoever takes it first: from this worker's folder into the inbox; its name there.
    pub fn hand_on(&self, place: Place, file: &FileName) -> Result<FileName, StepError> {
        let name = self.free_name(Place::Inbox, file)?;
        let (from, to) = (self.path(place, file), self.path(Place::Inbox, &name));
        self.shift(&from, &to, &steps::transfer(&from, &to)).map(|()| name)
    }

    /// Puts the file of a running task back into `active/` if it vanished from there.
    pub fn restore(&self, lease: &Lease) -> Result<(), StepError> {
        self.store.perform_all(&steps::restore(&lease.active(&self.layout), lease.task.to_bytes()))
    }

    /// Makes the folder of a run again that somebody removed, so that its end can be written down.
    pub fn restore_record(&self, lease: &Lease) -> Result<(), StepError> {
        self.store.perform_all(&[Step::MakeDir(lease.paths(&self.layout).dir().to_owned())])
    }

    /// Removes a queued copy of `run`, unless another drop took its name since it was seen.
    pub fn drop_copy(&self, path: &Path, run: RunId) -> Result<(), StepError> {
        let found = self.run_at(path).map_err(|source| StepError::unseen(path, source))?;
        if found == Some(run) { self.drop_ghost(path) } else { Ok(()) }
    }

    /// Removes a queued copy of a task that another worker has, if still both are so; whether it was.
    pub fn drop_foreign_copy(
        &self,
        place: Place,
        file: &FileName,
        worker: &WorkerName,
    ) -> Result<bool, StepError> {
        let path = self.path(place, file);
        let unseen = |source| StepError::unseen(&path, source);
        let Some(run) = self.run_at(&path).map_err(unseen)? else { return Ok(false) };
        let Some(home) = self.home(worker, file, run).map_err(unseen)? else { return Ok(false) };
        self.store.perform_all(&steps::drop_copy(&path, &home))?;
        Ok(true)
    }

    /// Files a drop whose name cannot be a task file's, under another and untouched.
    pub fn reject_misfit(&self, from: &Path, misfit: &Misfit) -> Result<FileName, StepError> {
        self.reject_at(from, &misfit.substitute, (ErrorCode::E002, &misfit.why))
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
        self.reject_at(&self.path(place, file), file, (code, why))
    }

    fn reject_at(&self, from: &Path, file: &FileName, why: (ErrorCode, &str)) -> Result<FileName, StepError> {
        let name = self.free_name(Place::Failed, file)?;
        let reason = papers::rejection(&self.worker, &name, why, self.clock.wall());
        let papers = Papers { files: vec![(self.layout.reason(&self.worker, &name), reason)] };
        let to = self.path(Place::Failed, &name);
        let paper = self.layout.reason(&self.worker, &name);
        let content = match self.store.read(from, FILE_LIMIT) {
            Ok(_) => Content::Readable,
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Content::Readable,
            Err(_) => Content::Opaque,
        };
        let done = self.shift(from, &to, &steps::reject(from, &to, content, papers));
        if done.is_err() && matches!(self.store.find(&to), Ok(None)) {
            // Another worker took it first: a reason without its file would mislead.
            self.store.perform(&Step::Remove(paper)).ok();
        }
        done.map(|()| name)
    }

    /// Makes durable what can be seen now, so that no later power cut brings back what a dead watcher moved.
    ///
    /// Where names came to is synced before where they came from. Out of the terminal places only a renewal moves, and
    /// marks that it does; between `active/` and the queues names go both ways, and what stands in `active/` came from a
    /// queue; so it is between `staged/` and `pending/`.
    pub fn settle(&self) -> Result<(), StepError> {
        let mark = self.layout.renewal(&self.worker);
        let is_renewal = self.store.find(&mark)?.is_some();
        if is_renewal {
            self.forget_reason(&mark);
        }
        let holds = |place| {
            let listed = self.list(place).map(|files| !files.is_empty());
            listed.map_err(|source| StepError::unseen(&self.layout.place(&self.worker, place), source))
        };
        let works = holds(Place::Active)?;
        let dir = |place: &Place| self.layout.place(&self.worker, *place);
        let taken_back = [Place::Pending, Place::Inbox, Place::Staged];
        let queues = if holds(Place::Staged)? { Place::QUEUES } else { taken_back };
        let active = [Place::Active];
        let (first, then) = if works { (&active[..], &queues[..]) } else { (&queues[..], &active[..]) };
        if is_renewal {
            self.store.perform_all(&steps::settle(vec![dir(&Place::Pending)]))?;
        }
        let dirs = Place::TERMINAL.iter().chain(first).chain(then).map(dir);
        let mut there = Vec::new();
        for dir in dirs {
            // One that does not answer is none that is not there.
            if self.store.find(&dir)?.is_some() {
                there.push(dir);
            }
        }
        self.store.perform_all(&steps::settle(there))?;
        if is_renewal { self.store.perform_all(&steps::drop_temp(&mark)) } else { Ok(()) }
    }

    /// A reason without its file would mislead: it goes where a renewal was killed between the two.
    fn forget_reason(&self, mark: &Path) {
        let named = self.store.read(mark, FILE_LIMIT).ok();
        let file = named.and_then(|(bytes, _)| String::from_utf8(bytes).ok()?.parse::<FileName>().ok());
        if let Some(file) = file
            && matches!(self.store.find(&self.path(Place::Failed, &file)), Ok(None))
        {
            self.store.perform(&Step::Remove(self.layout.reason(&self.worker, &file))).ok();
        }
    }

    /// Does the steps of a move that cannot be repeated as a whole: once it is done, only its syncs are. Where the name was
    /// taken, or it cannot be told whether the old one is gone, it is not done.
    pub(super) fn shift(&self, from: &Path, to: &Path, steps: &[Step]) -> Result<(), StepError> {
        self.store.perform_all(steps).or_else(|error| {
            let is_done = !error.is_occupied()
                && matches!(self.store.find(from), Ok(None))
                && matches!(self.store.find(to), Ok(Some(_)));
            if is_done { self.settle() } else { Err(error) }
        })
    }
}

pub(super) fn noted(active: &Path, done: io::Result<()>) -> Result<(), StepError> {
    let step = Step::Note(active.to_owned());
    #[cfg(feature = "test-support")]
    super::kill_point::passed(&step);
    done.map_err(|source| StepError { step, index: 0, source })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "lays files as people do")]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::layout::Layout;
    use crate::os::durable::Durability;
    use crate::spool::Disk;
    use crate::spool::store::{Entry, Identity};

    /// A disk that does not answer about one path, and on which others may be faster.
    struct Deaf {
        disk: Disk,
        about: PathBuf,
        /// Whether somebody takes what is to be moved, in the moment in which its new name is found to be taken.
        is_late: bool,
    }

    impl Deaf {
        fn asked(&self, path: &Path) -> io::Result<()> {
            if path == self.about { Err(io::Error::from_raw_os_error(nix::libc::EIO)) } else { Ok(()) }
        }
    }

    impl Store for Deaf {
        fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
            self.asked(dir).and_then(|()| self.disk.list(dir))
        }
        fn read(&self, path: &Path, limit: u64) -> io::Result<(Vec<u8>, Identity)> {
            self.disk.read(path, limit)
        }
        fn identity(&self, path: &Path) -> io::Result<Identity> {
            self.asked(path).and_then(|()| self.disk.identity(path))
        }
        fn perform(&self, step: &Step) -> io::Result<()> {
            let done = self.disk.perform(step);
            if let Step::Move { from, .. } = step
                && self.is_late
            {
                std::fs::remove_file(from)?;
            }
            done
        }
    }

    fn deaf(root: &Path, about: &str) -> Spool<Deaf> {
        let store = Deaf {
            disk: Disk::new(root, Durability::None),
            about: root.join(about),
            is_late: about.is_empty(),
        };
        let spool = Spool::new(Layout::new(root), "marie".parse().unwrap(), store, SystemClock::shared());
        for dir in spool.layout().worker_dirs(spool.worker()) {
            std::fs::create_dir_all(dir).unwrap();
        }
        spool
    }

    #[test]
    fn a_folder_that_does_not_answer_is_not_taken_for_one_that_needs_no_sync() {
        for folder in ["tasks/marie/active", "tasks/marie/staged", "tasks/marie/completed"] {
            let root = tempfile::tempdir().unwrap();
            let spool = deaf(root.path(), folder);
            assert!(spool.settle().is_err(), "{folder}");
        }
    }

    #[test]
    fn a_move_is_not_done_where_the_name_was_taken_or_the_old_one_cannot_be_asked_for() {
        let [from, to] = ["tasks/marie/pending/x.json", "tasks/marie/staged/x.json"];
        for about in [from, ""] {
            let root = tempfile::tempdir().unwrap();
            let spool = deaf(root.path(), about);
            let [from, to] = [from, to].map(|it| root.path().join(it));
            std::fs::write(&to, "somebody else's").unwrap();
            if about.is_empty() {
                std::fs::write(&from, "ours").unwrap();
            }
            let moved = spool.shift(&from, &to, &[Step::Move { from: from.clone(), to: to.clone() }]);
            assert!(moved.is_err(), "{about}");
        }
    }
}
