//! What an operator does to a task that waits: it is cancelled, or its content is changed.
//!
//! Both take it into `active/` first, as a claim does, since content is never replaced in a queue, where others may act
//! at the same time. What a cut leaves there is brought home by recovery: filed where the outcome is durable, else put
//! back into the queue uncharged.
//!
//! Whoever calls holds the worker's lock, and sees to it that nobody else of the same process takes the file.

use std::io;
use std::path::PathBuf;

use super::belief::Belief;
use super::claim::{ClaimError, Taken};
use super::input::Input;
use super::queue::Spool;
use super::steps;
use super::store::{Identity, StepError, Store};
use crate::task::{FileName, Outcome, ParseError, Place, RunId, TaskFile, TaskState, Usage, WorkerName};

/// Why nothing was done to a task that waits.
#[derive(Debug, thiserror::Error)]
pub enum WaitingError {
    /// It could not be taken.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// It is no task.
    #[error("`{file}` is not a task")]
    NotATask {
        /// The file.
        file: FileName,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// Nobody has recorded the end of its last attempt.
    #[error("nobody has recorded how the last attempt of `{0}` ended; its worker looks after that first")]
    Open(FileName),
    /// Another worker has its run.
    #[error("`{file}` belongs to a run that {worker} has in its hands")]
    Elsewhere {
        /// The file.
        file: FileName,
        /// Who.
        worker: WorkerName,
    },
    /// It was taken, and could not be brought where it belongs: it stands in `active/`, and recovery goes on.
    #[error("could not bring `{file}` where it belongs")]
    Unfinished {
        /// The file.
        file: FileName,
        /// The step that failed.
        #[source]
        source: StepError,
    },
}

/// A waiting task that was read.
struct Waiting {
    bytes: Vec<u8>,
    identity: Identity,
    task: TaskFile,
    /// What its run has in `input.json` from now on, where that changes.
    left: Option<Input>,
    /// Whether its run goes on.
    goes_on: bool,
}

impl<S: Store> Spool<S> {
    /// Ends a task that waits: it is taken, CANCELLED is made durable, `note` is called, and it is filed; where it went.
    /// `spent` tells what an agent used whose attempt is still open, and its error leaves the task where it is; `note` is
    /// told the same.
    pub fn cancel(
        &self,
        (place, file): (Place, &FileName),
        reason: &str,
        spent: impl FnOnce(&TaskFile) -> io::Result<Usage>,
        note: impl FnOnce(&FileName, &TaskFile, Usage) -> io::Result<()>,
    ) -> Result<PathBuf, WaitingError> {
        let file = &self.own_name(place, file)?;
        let Waiting { bytes, identity, mut task, left, goes_on } = self.waiting(place, file)?;
        let usage = spent(&task).map_err(|source| ClaimError::Unreadable { file: file.clone(), source })?;
        let (from, active) = (self.path(place, file), self.path(Place::Active, file));
        let input = if goes_on { left } else { Some(self.begin(&mut task, file, &from, (&bytes, identity))) };
        let run = task.record.run_id.unwrap_or_else(RunId::mint);
        task.conclude(&Outcome::cancelled(reason), usage, self.clock.wall());
        let input_path = self.layout.run(&run).input();
        let steps = steps::claim(steps::Claim {
            from: &from,
            active: &active,
            identity,
            input: input.map(|it| (input_path.as_path(), it.to_bytes())),
            stamped: task.to_bytes(),
        });
        let taken = Taken { from: &from, active: &active, file, content: Some((&bytes, identity)) };
        let begun = (!goes_on).then_some(run);
        self.store.perform_all(&steps).map_err(|error| self.unbegun(begun, self.unclaim(error, &taken)))?;
        let unfinished = |source| WaitingError::Unfinished { file: file.clone(), source };
        super::filing::noted(&active, note(file, &task, usage)).map_err(unfinished)?;
        self.file(file, &task).map_err(unfinished)
    }

    /// Changes a task that waits, and puts it back where it was, with its age; the name it has there. With a `version`
    /// only that one is changed.
    pub fn amend(
        &self,
        place: Place,
        file: &FileName,
        version: Option<Identity>,
        change: impl FnOnce(&mut TaskFile),
    ) -> Result<FileName, WaitingError> {
        let file = &self.own_name(place, file)?;
        let Waiting { bytes, identity, mut task, goes_on, .. } = self.waiting(place, file)?;
        if version.is_some_and(|it| it != identity) {
            return Err(ClaimError::Changed(file.clone()).into());
        }
        if !goes_on {
            // It begins a new life when it is claimed; with the outcome of the last one it would be filed by a recovery.
            task.forget_record();
        }
        change(&mut task);
        let (from, active) = (self.path(place, file), self.path(Place::Active, file));
        let amend = steps::Amend {
            from: &from,
            active: &active,
            identity,
            stamped: task.to_bytes(),
            mtime: identity.mtime(),
        };
        let taken = Taken { from: &from, active: &active, file, content: Some((&bytes, identity)) };
        let (there, back) = steps::amend(amend);
        self.store.perform_all(&there).map_err(|error| self.unclaim(error, &taken))?;
        self.go_back(place, file, &back)
            .map_err(|source| WaitingError::Unfinished { file: file.clone(), source })?;
        Ok(file.clone())
    }

    /// Moves what was changed back under its name; whoever dropped another one there meanwhile waits for it.
    fn go_back(&self, place: Place, file: &FileName, back: &[steps::Step]) -> Result<(), StepError> {
        let (from, active) = (self.path(place, file), self.path(Place::Active, file));
        for _ in 0..TRIES {
            if self.store.find(&from)?.is_some() {
                self.aside(&from, place, file)?;
            }
            match self.shift(&active, &from, back) {
                Err(error) if error.is_occupied() => {}
                done => return done,
            }
        }
        self.shift(&active, &from, back)
    }

    /// The name under which it can be taken: one that is being worked on is given another first, as the worker does.
    fn own_name(&self, place: Place, file: &FileName) -> Result<FileName, WaitingError> {
        let disk = |source| ClaimError::Disk { file: file.clone(), source, undone: true };
        if self.store.find(&self.path(place, file)).map_err(disk)?.is_none() {
            return Err(ClaimError::Gone(file.clone()).into());
        }
        if self.store.find(&self.path(Place::Active, file)).map_err(disk)?.is_none() {
            return Ok(file.clone());
        }
        Ok(self.rename_aside(place, file).map_err(disk)?)
    }

    fn waiting(&self, place: Place, file: &FileName) -> Result<Waiting, WaitingError> {
        let path = self.path(place, file);
        let (bytes, identity) = self.read(&path, file)?;
        let task = TaskFile::parse(&bytes)
            .map_err(|source| WaitingError::NotATask { file: file.clone(), source })?;
        let belief = self
            .belief(file, &task)
            .map_err(|source| ClaimError::Unreadable { file: file.clone(), source })?;
        let (ours, left) = match belief {
            Belief::Ours => (true, None),
            Belief::Not | Belief::Over => (false, None),
            Belief::Left(input) => (true, Some(Input { worker: self.worker.clone(), ..*input })),
            Belief::Elsewhere(worker) | Belief::Copy(worker, _) => {
                return Err(WaitingError::Elsewhere { file: file.clone(), worker });
            }
        };
        if ours && task.record.open_attempt().is_some() && !self.is_laid_by(&task) {
            return Err(WaitingError::Open(file.clone()));
        }
        let goes_on = ours && task.record.outcome().is_none();
        Ok(Waiting { bytes, identity, task, left, goes_on })
    }

    /// Whether its agent has come to its end and the task waits with its attempt open ([`Spool::lay_by`]), so that nobody
    /// works on it.
    fn is_laid_by(&self, task: &TaskFile) -> bool {
        let open = task.record.open_attempt().zip(task.record.run_id);
        let is_free = open.is_some_and(|(attempt, run)| {
            matches!(self.store.is_held(&self.layout.run(&run).stream(attempt.number)), Ok(false))
        });
        task.record.state == Some(TaskState::Pending) && is_free
    }

    /// Begins a new life of a task that has ended, or of what was filed as none: back into `pending/`, by one rename; its
    /// name there. `note` is called before the move, and its error stops it.
    pub fn renew(
        &self,
        place: Place,
        file: &FileName,
        note: impl FnOnce(Option<&TaskFile>) -> io::Result<()>,
    ) -> Result<FileName, StepError> {
        self.start_over(place, file)?;
        self.begin_again(place, file, note)
    }

    pub(super) fn begin_again(
        &self,
        place: Place,
        file: &FileName,
        note: impl FnOnce(Option<&TaskFile>) -> io::Result<()>,
    ) -> Result<FileName, StepError> {
        let (from, mark) = (self.path(place, file), self.layout.renewal(&self.worker));
        let task = self.store.read(&from, super::found::FILE_LIMIT).ok();
        let task = task.and_then(|(bytes, _)| TaskFile::parse(&bytes).ok());
        let name = self.new_name(file)?;
        let to = self.path(Place::Pending, &name);
        if self.store.find(&mark)?.is_some() {
            // Somebody was killed in the middle of another one.
            self.settle()?;
        }
        super::filing::noted(&from, note(task.as_ref()))?;
        // Filing syncs the other folder first: whoever makes this move durable after a kill must know.
        self.store.perform_all(&steps::mark(&mark, (place == Place::Failed).then_some(file)))?;
        let done = self.shift(&from, &to, &steps::transfer(&from, &to));
        let reason = steps::Step::Remove(self.layout.reason(&self.worker, file));
        let is_over = done.is_err() || place != Place::Failed || self.store.insist(&reason).is_ok();
        // Else whoever settles next removes the reason by the mark.
        if is_over {
            self.store.perform_all(&steps::drop_temp(&mark))?;
        }
        done.map(|()| name)
    }

    /// A name for `pending/` that no task has that waits or is worked on.
    fn new_name(&self, file: &FileName) -> Result<FileName, StepError> {
        let is_free = |name: &FileName| self.is_free(name);
        if is_free(file)? { Ok(file.clone()) } else { super::names::numbered(file, is_free) }
    }
}

/// How often a place is made free that others fill at the same time.
const TRIES: usize = 8;

/// Whether a task that ended so may be renewed without being asked twice.
pub const fn ended_badly(state: TaskState) -> bool {
    matches!(state, TaskState::Failed | TaskState::Timeout | TaskState::Cancelled)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::clock::SystemClock;
    use crate::layout::Layout;
    use crate::os::durable::{Durability, write_new};
    use crate::spool::{Disk, Examined};
    use crate::task::Held;

    const PLACES: [Place; 3] = Place::QUEUES;

    fn spool(root: &Path) -> Spool<Disk> {
        let (layout, worker) = (Layout::new(root), "marie".parse().unwrap());
        for dir in layout.worker_dirs(&worker) {
            std::fs::create_dir_all(dir).unwrap();
        }
        std::fs::create_dir_all(layout.artifacts()).unwrap();
        Spool::new(layout, worker, Disk::new(root, Durability::None), Arc::new(SystemClock))
    }

    fn x() -> FileName {
        "x.json".parse().unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "what tells of a usage may fail")]
    fn nothing(_: &TaskFile) -> io::Result<Usage> {
        Ok(Usage::default())
    }

    fn drop_into(spool: &Spool<Disk>, place: Place, text: &str) -> SystemTime {
        let age = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        write_new(&spool.path(place, &x()), text.as_bytes(), Some(age)).unwrap();
        age
    }

    fn task(spool: &Spool<Disk>, place: Place, file: &str) -> TaskFile {
        TaskFile::parse(&std::fs::read(spool.path(place, &file.parse().unwrap())).unwrap()).unwrap()
    }

    #[test]
    fn a_renewal_that_was_killed_leaves_no_reason_of_a_file_that_is_gone() {
        for (is_there, leaves) in [(false, false), (true, true)] {
            let dir = tempfile::tempdir().unwrap();
            let spool = spool(dir.path());
            if is_there {
                drop_into(&spool, Place::Failed, r#"{"prompt":"a"}"#);
            }
            let reason = spool.layout.reason(&spool.worker, &x());
            let mark = spool.layout.renewal(&spool.worker);
            write_new(&reason, b"{}", None).unwrap();
            spool.store.perform_all(&steps::mark(&mark, Some(&x()))).unwrap();
            spool.settle().unwrap();
            assert_eq!((reason.exists(), mark.exists()), (leaves, false), "the file is there: {is_there}");
        }
    }

    #[test]
    fn what_waits_is_cancelled_wherever_it_waits() {
        for place in PLACES {
            let dir = tempfile::tempdir().unwrap();
            let spool = spool(dir.path());
            drop_into(&spool, place, r#"{"prompt":"a","mine":[1.0],"held":{}}"#);
            let mut noted = None;
            let note = |_: &FileName, task: &TaskFile, _: Usage| {
                noted = task.record.state;
                Ok(())
            };
            let filed = spool.cancel((place, &x()), "not needed", nothing, note).unwrap();
            assert_eq!(filed, spool.path(Place::Cancelled, &x()));
            assert_eq!(noted, Some(TaskState::Cancelled), "told before it is moved");
            let task = task(&spool, Place::Cancelled, "x.json");
            assert_eq!(task.record.failure_reason.as_deref(), Some("not needed"));
            assert!(!task.is_held() && task.record.attempts.is_empty());
            let result = std::fs::read(spool.layout().run(&task.record.run_id.unwrap()).result()).unwrap();
            assert!(String::from_utf8(result).unwrap().contains("CANCELLED"));
            assert!(spool.list(place).unwrap().is_empty() && spool.list(Place::Active).unwrap().is_empty());
        }
    }

    #[test]
    fn what_waits_is_changed_and_keeps_its_place_its_name_and_its_age() {
        for place in PLACES {
            let dir = tempfile::tempdir().unwrap();
            let spool = spool(dir.path());
            let age = drop_into(&spool, place, r#"{"prompt":"a", "mine":[1.50]}"#);
            let name = spool.amend(place, &x(), None, |task| task.hold(Held::default())).unwrap();
            let path = spool.path(place, &name);
            assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), age);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(r#""mine": [1.50]"#) && text.contains("held"), "{text}");
            let found = spool.examine(place, &x());
            let Examined::Task(head) = found else { panic!("{found:?}") };
            assert!(head.is_held && head.special().run.is_none());
        }
    }

    #[test]
    fn only_the_version_that_was_meant_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        drop_into(&spool, Place::Pending, r#"{"prompt":"a"}"#);
        let other = Identity { dev: 0, inode: 0, size: 0, mtime_ns: 0 };
        let refused = spool.amend(Place::Pending, &x(), Some(other), |_| {});
        assert!(matches!(refused, Err(WaitingError::Claim(ClaimError::Changed(_)))), "{refused:?}");
        let gone = spool.amend(Place::Inbox, &x(), None, |_| {});
        assert!(matches!(gone, Err(WaitingError::Claim(ClaimError::Gone(_)))), "{gone:?}");
    }

    #[test]
    fn a_namesake_at_work_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        drop_into(&spool, Place::Active, r#"{"prompt":"works"}"#);
        drop_into(&spool, Place::Pending, r#"{"prompt":"waits"}"#);
        let name = spool.amend(Place::Pending, &x(), None, |task| task.hold(Held::default())).unwrap();
        assert_eq!(name.as_str(), "x~2.json");
        let filed = spool.cancel((Place::Pending, &name), "no", nothing, |_, _, _| Ok(())).unwrap();
        assert!(filed.ends_with("cancelled/x~2.json"), "{filed:?}");
        assert_eq!(task(&spool, Place::Active, "x.json").spec.prompt.as_deref(), Some("works"));
    }

    #[test]
    fn what_ended_begins_a_new_life_under_a_free_name_and_without_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        drop_into(&spool, Place::Pending, "no task");
        spool.reject(Place::Pending, &x(), crate::task::ErrorCode::E002, "no task").unwrap();
        drop_into(&spool, Place::Pending, r#"{"prompt":"another"}"#);
        let name = spool.renew(Place::Failed, &x(), |_| Ok(())).unwrap();
        assert_eq!(name.as_str(), "x~2.json");
        let left = std::fs::read_dir(spool.layout().place(spool.worker(), Place::Failed)).unwrap().count();
        assert_eq!(left, 0, "the file and its reason went");
        let gone = spool.renew(Place::Failed, &x(), |_| Ok(())).unwrap_err();
        assert!(gone.is_gone(), "{gone}");
        let places = spool.store().list(&spool.layout().place(spool.worker(), Place::Pending)).unwrap();
        assert_eq!(places.len(), 2, "no mark is left: {places:?}");
    }
}
