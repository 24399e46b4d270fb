//! Who leads: whoever holds the lock on `resume.json` itself.
//!
//! The file is replaced whole, and a lock goes with the inode; so each new version is locked before it gets the name,
//! and there is no instant at which nobody leads. Whoever takes the file away ends the resume: its leader sees that
//! the name does not mean its file any more.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::record::{Phase, Record};
use crate::clock::SharedClock;
use crate::os::durable::{beside, parent};
use crate::os::lock::{self, Lock};
use crate::spool::{Spool, StepError, Store, steps};

/// How long somebody who only asks whether the file is led may be in the way.
const IN_THE_WAY: Duration = Duration::from_millis(500);
/// Between two tries.
const TRY: Duration = Duration::from_millis(10);

/// What stands there already.
#[derive(Debug)]
pub enum Approach {
    /// Nothing.
    Free,
    /// Somebody leads; what the file says, if it can be understood.
    Led(Option<Box<Record>>),
    /// Nobody leads any more, and we do now.
    Orphaned(Box<Record>, Leader),
    /// It stopped, and is ours to end or to begin anew.
    Stopped(Box<Record>, Leader),
    /// A file that is none of ours, locked by us.
    Nonsense(Leader),
}

/// The right to write `resume.json`.
#[derive(Debug)]
pub struct Leader {
    path: PathBuf,
    /// `None` before the first version.
    lock: Option<Lock>,
}

/// Why the record could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// Somebody took the file away, or began another resume.
    #[error("`{0}` is not ours any more")]
    Lost(PathBuf),
    /// The disk refused.
    #[error("could not write `{path}`")]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StepError,
    },
    /// The new version could not be locked.
    #[error("could not lock `{path}`")]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Looks who leads the resume at `path`, and takes the lead where nobody does. What cannot be read is left alone.
pub fn approach(path: &Path, clock: &SharedClock) -> io::Result<Approach> {
    let began = clock.ticks();
    loop {
        let held = match Lock::try_exclusive(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Approach::Free),
            other => other?,
        };
        if let Some(held) = held {
            if held.is_still(path) {
                return found(path, held);
            }
        } else if clock.ticks().since(began) >= IN_THE_WAY {
            return Ok(Approach::Led(Record::read(path).ok().flatten().map(Box::new)));
        }
        lock::pause(TRY);
    }
}

fn found(path: &Path, held: Lock) -> io::Result<Approach> {
    let leader = Leader { path: path.to_owned(), lock: Some(held) };
    Ok(match Record::read(path)?.map(Box::new) {
        Some(record) if record.state == Phase::Stopped => Approach::Stopped(record, leader),
        Some(record) => Approach::Orphaned(record, leader),
        None => Approach::Nonsense(leader),
    })
}

impl Leader {
    /// One who is about to begin at `path`, where nothing stands.
    pub const fn first(path: PathBuf) -> Self {
        Self { path, lock: None }
    }

    /// Whether the file is still ours; true before there is one.
    pub fn leads(&self) -> bool {
        self.lock.as_ref().is_none_or(|lock| lock.is_still(&self.path))
    }

    /// Makes a new version of the record durable.
    pub fn publish<S: Store>(&mut self, spool: &Spool<S>, record: &Record) -> Result<(), LeaderError> {
        let disk = |source| LeaderError::Disk { path: self.path.clone(), source };
        let draft = beside(&self.path);
        spool.store().perform_all(&steps::draft(&draft, record.to_bytes())).map_err(disk)?;
        let announced = self.announce(spool, &draft);
        if announced.is_err() {
            spool.store().perform_all(&steps::drop_temp(&draft)).ok();
        }
        announced
    }

    fn announce<S: Store>(&mut self, spool: &Spool<S>, draft: &Path) -> Result<(), LeaderError> {
        let lost = || LeaderError::Lost(self.path.clone());
        let locked = Lock::try_exclusive(draft)
            .map_err(|source| LeaderError::Lock { path: draft.to_owned(), source })?
            .ok_or_else(lost)?;
        if !self.leads() {
            return Err(lost());
        }
        let steps = if self.lock.is_none() {
            steps::begin(draft, &self.path)
        } else {
            steps::announce(draft, &self.path)
        };
        let done = spool.store().perform_all(&steps).map_err(|source| {
            if source.is_occupied() { lost() } else { LeaderError::Disk { path: self.path.clone(), source } }
        });
        // Only now is the old version let go; the new one is ours also where only its sync failed.
        if locked.is_still(&self.path) {
            self.lock = Some(locked);
        }
        done
    }

    /// Ends the resume: from now on the worker takes everything.
    pub fn retire<S: Store>(&self, spool: &Spool<S>) -> Result<(), StepError> {
        if self.lock.is_none() || !self.leads() {
            return Ok(());
        }
        spool.store().perform_all(&steps::drop_temp(&self.path))
    }

    /// Removes what leaders left that died while they wrote.
    pub fn sweep<S: Store>(&self, spool: &Spool<S>) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_draft = |it: &std::ffi::OsStr| {
            let it = it.to_str().unwrap_or_default();
            it.starts_with(&format!(".{name}.")) && it.strip_suffix(".tmp").is_some()
        };
        for entry in spool.store().list(parent(&self.path)).unwrap_or_default() {
            if is_draft(&entry.name) {
                spool.store().perform_all(&steps::drop_temp(&entry.path)).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::record::Terms;
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::layout::Layout;
    use crate::os::durable::Durability;
    use crate::os::process::ProcessId;
    use crate::spool::Disk;

    fn world() -> (tempfile::TempDir, Spool<Disk>, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let worker = "marie".parse().unwrap();
        let path = layout.resume(&worker);
        std::fs::create_dir_all(layout.worker(&worker)).unwrap();
        let spool =
            Spool::new(layout, worker, Disk::new(dir.path(), Durability::None), Arc::new(SystemClock));
        (dir, spool, path)
    }

    fn record() -> Record {
        let terms = Terms::usual();
        Record::begin(terms, 12, ProcessId::current(), SystemClock.wall())
    }

    #[test]
    fn one_leads_at_a_time_through_all_versions_and_a_successor_follows() {
        let (_dir, spool, path) = world();
        let clock = SystemClock::shared();
        assert!(matches!(approach(&path, &clock), Ok(Approach::Free)));
        let (mut first, mut second) = (Leader::first(path.clone()), Leader::first(path.clone()));
        let mut record = record();
        first.publish(&spool, &record).unwrap();
        assert!(matches!(second.publish(&spool, &record), Err(LeaderError::Lost(_))), "the first was first");
        for batch in 1..4 {
            record.batch = batch;
            first.publish(&spool, &record).unwrap();
            assert!(lock::is_held(&path).unwrap());
        }
        assert!(matches!(approach(&path, &clock), Ok(Approach::Led(Some(it))) if it.batch == 3));
        drop(first);
        let Ok(Approach::Orphaned(found, mut next)) = approach(&path, &clock) else { panic!("nobody leads") };
        assert_eq!(*found, record);
        record.state = Phase::Stopped;
        next.publish(&spool, &record).unwrap();
        drop(next);
        let Ok(Approach::Stopped(_, last)) = approach(&path, &clock) else { panic!("it stopped") };
        last.retire(&spool).unwrap();
        assert!(matches!(approach(&path, &clock), Ok(Approach::Free)));
        assert_eq!(std::fs::read_dir(parent(&path)).unwrap().count(), 0, "no draft is left");
    }

    #[test]
    fn whoever_takes_the_file_away_ends_it() {
        let (_dir, spool, path) = world();
        let mut leader = Leader::first(path.clone());
        leader.publish(&spool, &record()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!leader.leads());
        assert!(matches!(leader.publish(&spool, &record()), Err(LeaderError::Lost(_))));
        assert!(!path.exists(), "it does not come back");
        leader.retire(&spool).unwrap();
    }

    #[test]
    fn nonsense_and_the_drafts_of_the_dead_are_swept_away() {
        let (_dir, spool, path) = world();
        crate::os::durable::write_new(&path, b"{", None).unwrap();
        crate::os::durable::write_new(&beside(&path), b"{", None).unwrap();
        let Ok(Approach::Nonsense(mut leader)) = approach(&path, &SystemClock::shared()) else {
            panic!("it is nonsense")
        };
        leader.sweep(&spool);
        leader.publish(&spool, &record()).unwrap();
        assert_eq!(std::fs::read_dir(parent(&path)).unwrap().count(), 1);
        assert_eq!(Record::read(&path).unwrap().map(|it| it.found), Some(12));
    }

    /// A disk that gives no new name.
    struct Refusing(Disk);

    impl Store for Refusing {
        fn list(&self, dir: &Path) -> io::Result<Vec<crate::spool::store::Entry>> {
            self.0.list(dir)
        }
        fn read(&self, path: &Path, limit: u64) -> io::Result<(Vec<u8>, crate::spool::Identity)> {
            self.0.read(path, limit)
        }
        fn identity(&self, path: &Path) -> io::Result<crate::spool::Identity> {
            self.0.identity(path)
        }
        fn perform(&self, step: &steps::Step) -> io::Result<()> {
            if matches!(step, steps::Step::Replace { .. }) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.perform(step)
        }
    }

    #[test]
    fn who_leads_goes_on_leading_when_the_disk_refuses_a_new_version() {
        let (dir, spool, path) = world();
        let mut leader = Leader::first(path.clone());
        leader.publish(&spool, &record()).unwrap();
        let full = Refusing(Disk::new(dir.path(), Durability::None));
        let worker = "marie".parse().unwrap();
        let full = Spool::new(Layout::new(dir.path()), worker, full, Arc::new(SystemClock));
        assert!(matches!(leader.publish(&full, &record()), Err(LeaderError::Disk { .. })));
        assert!(leader.leads() && lock::is_held(&path).unwrap());
    }
}
