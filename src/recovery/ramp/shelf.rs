//! Which tasks are let go next: those of `pending/` that may start now, in the order in which they would be claimed.
//!
//! A backlog is read once; after that only what changed is.

use std::collections::{HashMap, HashSet};
use std::io;

use super::fate::dropped_at;
use super::record::{Record, Ticket};
use crate::clock::Timestamp;
use crate::spool::belief::Belief;
use crate::spool::found::FILE_LIMIT;
use crate::spool::{Examined, Head, Identity, Queue, Spool, Store};
use crate::task::{FileName, Place, TaskFile};

/// What waits, as far as it has been read.
#[derive(Debug, Default)]
pub struct Shelf {
    queue: Queue,
    seen: HashMap<FileName, Identity>,
    /// The names of the tasks that the latest look was not shown: what is called the same waits for them too.
    hidden: HashSet<String>,
}

impl Shelf {
    /// The next tasks, `count` at most. Those that failed in this resume wait until it is over; those that came back
    /// unharmed go last. None only if none waits: where the disk did not show some, or they moved meanwhile, that is an
    /// error, and it is looked again.
    pub fn pick<S: Store>(
        &mut self,
        spool: &Spool<S>,
        record: &Record,
        count: usize,
        now: Timestamp,
    ) -> io::Result<Vec<Ticket>> {
        self.look(spool, now)?;
        let busy = busy(spool)?;
        let mut picked: Vec<Ticket> = Vec::new();
        for with_deferred in [false, true] {
            while picked.len() < count {
                let fits = |head: &Head| {
                    head.special().pinned.as_ref().is_none_or(|pinned| pinned == spool.worker())
                        && !record.set_back.contains(&head.file)
                        && (with_deferred || !record.deferred.contains(&head.file))
                        && !busy.contains(head.file.base())
                        && !self.hidden.contains(head.file.base())
                        && !picked.iter().any(|it| it.file.base() == head.file.base())
                };
                let Some(file) = self.queue.next(now, fits).map(|head| head.file.clone()) else { break };
                match ticket(spool, &file) {
                    Ok(Some(ticket)) => picked.push(ticket),
                    // It is not what it was any more: the next look reads it anew.
                    Ok(None) => self.forget(&file),
                    Err(_) => self.hide(&file),
                }
            }
        }
        if picked.is_empty() && !self.hidden.is_empty() {
            return Err(io::Error::other(format!("{} of its tasks could not be read", self.hidden.len())));
        }
        Ok(picked)
    }

    fn look<S: Store>(&mut self, spool: &Spool<S>, now: Timestamp) -> io::Result<()> {
        let files = spool.list(Place::Pending)?;
        self.hidden.clear();
        let present: HashSet<_> = files.iter().cloned().collect();
        let gone: Vec<_> = self.seen.keys().filter(|file| !present.contains(*file)).cloned().collect();
        for file in gone {
            self.forget(&file);
        }
        for file in files {
            let identity = spool.store().identity(&spool.path(Place::Pending, &file)).ok();
            if identity.is_some() && self.seen.get(&file) == identity.as_ref() {
                continue;
            }
            self.forget(&file);
            match spool.examine(Place::Pending, &file) {
                Examined::Task(head) => {
                    self.seen.insert(file, head.identity);
                    self.queue.put(head, now);
                }
                Examined::Gone => self.hide(&file),
                Examined::Unsettled { .. }
                | Examined::Invalid { .. }
                | Examined::Elsewhere { .. }
                | Examined::Copy { .. } => {}
            }
        }
        Ok(())
    }

    fn forget(&mut self, file: &FileName) {
        self.seen.remove(file);
        self.queue.remove(Place::Pending, file);
    }

    /// Nothing is known of it until the next look.
    fn hide(&mut self, file: &FileName) {
        self.forget(file);
        self.hidden.insert(file.base().to_owned());
    }
}

/// The names at work or let go already: what is called the same waits for them.
fn busy<S: Store>(spool: &Spool<S>) -> io::Result<HashSet<String>> {
    let mut names = spool.list(Place::Staged)?;
    names.extend(spool.list(Place::Active)?);
    Ok(names.into_iter().map(|file| file.base().to_owned()).collect())
}

/// `None` for one that another worker has. An error is a task that the disk did not show, or that was changed.
fn ticket<S: Store>(spool: &Spool<S>, file: &FileName) -> io::Result<Option<Ticket>> {
    let (bytes, identity) = spool.store().read(&spool.path(Place::Pending, file), FILE_LIMIT)?;
    let task = TaskFile::parse(&bytes).map_err(io::Error::other)?;
    let goes_on = match spool.belief(file, &task)? {
        Belief::Ours | Belief::Left(_) => true,
        Belief::Not | Belief::Over => false,
        Belief::Elsewhere(_) | Belief::Copy(..) => return Ok(None),
    };
    // One that has ended begins a new life, and so does one whose record is not ours.
    let record = Some(&task.record).filter(|record| goes_on && record.outcome().is_none());
    Ok(Some(Ticket {
        file: file.clone(),
        dropped_at: record.and_then(|it| it.submitted_at).unwrap_or_else(|| dropped_at(identity)),
        charges: record.and_then(|it| it.retry_count).unwrap_or(0),
    }))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use super::super::record::Terms;
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::layout::Layout;
    use crate::os::durable::{Durability, write_new};
    use crate::os::process::ProcessId;
    use crate::spool::{Disk, steps::Step, store::Entry};

    /// A disk that answers so many reads of each kind, and then refuses all.
    struct Refusing {
        disk: Disk,
        reads: RefCell<usize>,
        looks: RefCell<usize>,
    }

    fn spend(left: &RefCell<usize>) -> io::Result<()> {
        let mut left = left.borrow_mut();
        *left = left.checked_sub(1).ok_or_else(|| io::Error::from_raw_os_error(nix::libc::EIO))?;
        Ok(())
    }

    impl Store for Refusing {
        fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
            self.disk.list(dir)
        }
        fn read(&self, path: &Path, limit: u64) -> io::Result<(Vec<u8>, Identity)> {
            spend(&self.reads)?;
            self.disk.read(path, limit)
        }
        fn identity(&self, path: &Path) -> io::Result<Identity> {
            spend(&self.looks)?;
            self.disk.identity(path)
        }
        fn perform(&self, step: &Step) -> io::Result<()> {
            self.disk.perform(step)
        }
    }

    #[test]
    fn what_the_disk_does_not_show_is_not_taken_for_nothing_and_is_found_later() {
        let dir = tempfile::tempdir().unwrap();
        let whole = spool(dir.path());
        let now = SystemClock.wall();
        assert!(Shelf::default().pick(&whole, &record(), 5, now).unwrap().is_empty(), "nothing waits");
        drop_into(&whole, Place::Pending, "a", (1, ""));
        drop_into(&whole, Place::Pending, "b", (2, ""));
        drop_into(&whole, Place::Pending, "b~2", (3, ""));
        let (layout, worker) = (whole.layout().clone(), whole.worker().clone());
        let store = Refusing {
            disk: Disk::new(dir.path(), Durability::None),
            reads: RefCell::new(0),
            looks: RefCell::new(0),
        };
        let spool = Spool::new(layout, worker, store, Arc::new(SystemClock));
        let mut shelf = Shelf::default();
        // Of three tasks, the last of which waits for the second: none is read; all, and no ticket; one ticket; and so on.
        for (reads, looks, picked) in [
            (0, 3, 0),
            (3, 3, 0),
            (3, 3, 1),
            (1, 3, 0),
            (1, 1, 0),
            (0, 0, 0),
            (5, 3, 2),
            (2, 3, 2),
            (1, 3, 1),
        ] {
            (*spool.store().reads.borrow_mut(), *spool.store().looks.borrow_mut()) = (reads, looks);
            let found = shelf.pick(&spool, &record(), 5, now);
            assert_eq!(found.as_ref().map_or(0, Vec::len), picked, "{reads} reads, {looks} looks: {found:?}");
            assert_eq!(found.is_err(), picked == 0, "{reads} reads, {looks} looks: {found:?}");
        }
    }

    fn spool(root: &Path) -> Spool<Disk> {
        let (layout, worker) = (Layout::new(root), "marie".parse().unwrap());
        for folder in layout.worker_dirs(&worker) {
            std::fs::create_dir_all(folder).unwrap();
        }
        Spool::new(layout, worker, Disk::new(root, Durability::None), Arc::new(SystemClock))
    }

    fn record() -> Record {
        let terms = Terms::usual();
        Record::begin(terms, 12, ProcessId::current(), SystemClock.wall())
    }

    /// A task that waits, `second` seconds after the first.
    fn drop_into(spool: &Spool<Disk>, place: Place, name: &str, (second, more): (u64, &str)) {
        let age = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second);
        let path = spool.path(place, &format!("{name}.json").parse().unwrap());
        write_new(&path, format!(r#"{{"prompt":"x"{more}}}"#).as_bytes(), Some(age)).unwrap();
    }

    #[test]
    fn those_that_may_start_come_in_the_order_of_claims() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        for (name, second, more) in [
            ("c-third", 30, ""),
            ("b-second", 20, ""),
            ("z-urgent", 40, r#","priority":9"#),
            ("later", 1, r#","not_before":"2099-01-01T00:00:00Z""#),
            ("elsewhere", 2, r#","worker":"anga""#),
            ("here", 10, r#","worker":"marie""#),
            ("set-back", 3, ""),
            ("deferred", 4, ""),
            ("busy~2", 5, ""),
            ("twin", 50, ""),
            ("twin~2", 6, ""),
        ] {
            drop_into(&spool, Place::Pending, name, (second, more));
        }
        drop_into(&spool, Place::Active, "busy", (0, ""));
        write_new(&spool.path(Place::Pending, &"half.json".parse().unwrap()), b"{", None).unwrap();
        let mut record = record();
        record.set_back.push("set-back.json".parse().unwrap());
        record.deferred.push("deferred.json".parse().unwrap());
        let mut shelf = Shelf::default();
        let now = SystemClock.wall();
        let mut pick = |count| -> Vec<String> {
            let picked = shelf.pick(&spool, &record, count, now).unwrap();
            picked.into_iter().map(|ticket| ticket.file.stem().to_owned()).collect()
        };
        let all = ["z-urgent", "here", "b-second", "c-third", "twin", "deferred"];
        assert_eq!(pick(9), all);
        assert_eq!(pick(2), all[..2]);
        // What is let go is not picked again; what is new is seen.
        for name in ["z-urgent", "here", "twin"] {
            spool.stage(&format!("{name}.json").parse().unwrap()).unwrap();
        }
        drop_into(&spool, Place::Pending, "new", (0, ""));
        assert_eq!(pick(9), ["new", "b-second", "c-third", "deferred"], "twin~2 waits for twin");
    }

    #[test]
    fn a_forged_record_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        let forged = r#","run_id":"019a0000-0000-7000-8000-000000000001","retry_count":-3,"submitted_at":"2000-01-01T00:00:00Z""#;
        drop_into(&spool, Place::Pending, "x", (0, forged));
        let picked = Shelf::default().pick(&spool, &record(), 5, SystemClock.wall()).unwrap();
        assert_eq!((picked[0].charges, picked[0].dropped_at.as_second()), (0, 1_700_000_000));
    }
}
