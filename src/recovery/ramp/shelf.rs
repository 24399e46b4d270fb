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
}

impl Shelf {
    /// The next tasks, `count` at most; none, if nothing of what waits may start. Those that failed in this resume wait until
    /// it is over; those that came back unharmed go last.
    ///
    /// An error is a disk that did not show what waits, or a task that went away while it was looked at: whoever took that
    /// for nothing would let all go. One such file among others keeps nobody.
    pub fn pick<S: Store>(
        &mut self,
        spool: &Spool<S>,
        record: &Record,
        count: usize,
        now: Timestamp,
    ) -> io::Result<Vec<Ticket>> {
        let mut unseen = self.look(spool, now)?;
        let busy = busy(spool)?;
        let mut taken: Vec<Head> = Vec::new();
        for with_deferred in [false, true] {
            while taken.len() < count {
                let fits = |head: &Head| {
                    head.special().pinned.as_ref().is_none_or(|pinned| pinned == spool.worker())
                        && !record.set_back.contains(&head.file)
                        && (with_deferred || !record.deferred.contains(&head.file))
                        && !busy.contains(head.file.base())
                        && !taken.iter().any(|it| it.file.base() == head.file.base())
                };
                let Some(head) = self.queue.next(now, fits).cloned() else { break };
                taken.push(head);
            }
        }
        let mut tickets = Vec::new();
        for head in &taken {
            match ticket(spool, head) {
                Ok(ticket) => tickets.extend(ticket),
                Err(error) => unseen = Some(error),
            }
        }
        match unseen {
            Some(error) if tickets.is_empty() => Err(error),
            _ => Ok(tickets),
        }
    }

    /// Looks at what waits; why one of it could not be seen.
    fn look<S: Store>(&mut self, spool: &Spool<S>, now: Timestamp) -> io::Result<Option<io::Error>> {
        let mut unseen = None;
        let files = spool.list(Place::Pending)?;
        let present: HashSet<_> = files.iter().cloned().collect();
        let gone: Vec<_> = self.seen.keys().filter(|file| !present.contains(*file)).cloned().collect();
        for file in gone {
            self.seen.remove(&file);
            self.queue.remove(Place::Pending, &file);
        }
        for file in files {
            let identity = match spool.store().identity(&spool.path(Place::Pending, &file)) {
                Ok(identity) => identity,
                Err(error) => {
                    unseen = Some(error);
                    continue;
                }
            };
            if self.seen.get(&file) == Some(&identity) {
                continue;
            }
            self.queue.remove(Place::Pending, &file);
            match spool.examine(Place::Pending, &file) {
                Examined::Task(head) => {
                    self.seen.insert(file, head.identity);
                    self.queue.put(head, now);
                }
                Examined::Gone => unseen = Some(io::Error::other(format!("`{file}` could not be read"))),
                Examined::Unsettled { .. }
                | Examined::Invalid { .. }
                | Examined::Elsewhere { .. }
                | Examined::Copy { .. } => {}
            }
        }
        Ok(unseen)
    }
}

/// The names at work or let go already: what is called the same waits for them.
fn busy<S: Store>(spool: &Spool<S>) -> io::Result<HashSet<String>> {
    let mut names = spool.list(Place::Staged)?;
    names.extend(spool.list(Place::Active)?);
    Ok(names.into_iter().map(|file| file.base().to_owned()).collect())
}

/// What is written of it in the record; `None` if it is another worker's now, or a copy.
fn ticket<S: Store>(spool: &Spool<S>, head: &Head) -> io::Result<Option<Ticket>> {
    let (bytes, identity) = spool.store().read(&spool.path(Place::Pending, &head.file), FILE_LIMIT)?;
    let task = TaskFile::parse(&bytes).map_err(io::Error::other)?;
    let goes_on = match spool.belief(&head.file, &task)? {
        Belief::Ours | Belief::Left(_) => true,
        Belief::Not | Belief::Over => false,
        Belief::Elsewhere(_) | Belief::Copy(..) => return Ok(None),
    };
    // One that has ended begins a new life, and so does one whose record is not ours.
    let record = Some(&task.record).filter(|record| goes_on && record.outcome().is_none());
    Ok(Some(Ticket {
        file: head.file.clone(),
        dropped_at: record.and_then(|it| it.submitted_at).unwrap_or_else(|| dropped_at(identity)),
        charges: record.and_then(|it| it.retry_count).unwrap_or(0),
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use super::super::record::Terms;
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::layout::Layout;
    use crate::os::durable::{Durability, write_new};
    use crate::os::process::ProcessId;
    use crate::spool::Disk;

    fn spool(root: &std::path::Path) -> Spool<Disk> {
        let (layout, worker) = (Layout::new(root), "marie".parse().unwrap());
        for folder in layout.worker_dirs(&worker) {
            std::fs::create_dir_all(folder).unwrap();
        }
        Spool::new(layout, worker, Disk::new(root, Durability::None), Arc::new(SystemClock))
    }

    fn record() -> Record {
        let terms = Terms {
            batch_size: 5,
            delay_s: 30.0,
            max_failure_rate: 0.5,
            adaptive: false,
            leaderless_s: 60.0,
        };
        Record::begin(terms, 12, ProcessId::current(), SystemClock.wall())
    }

    /// A task that waits, `second` seconds after the first.
    fn drop_into(spool: &Spool<Disk>, place: Place, name: &str, (second, more): (u64, &str)) {
        let age = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second);
        let path = spool.path(place, &format!("{name}.json").parse().unwrap());
        write_new(&path, format!(r#"{{"prompt":"x"{more}}}"#).as_bytes(), Some(age)).unwrap();
    }

    /// A disk that does not let a file of some name be read.
    struct Refusing {
        disk: Disk,
        about: &'static str,
    }

    impl Store for Refusing {
        fn list(&self, dir: &std::path::Path) -> io::Result<Vec<crate::spool::store::Entry>> {
            self.disk.list(dir)
        }
        fn read(&self, path: &std::path::Path, limit: u64) -> io::Result<(Vec<u8>, Identity)> {
            let refused = io::Error::from_raw_os_error(nix::libc::EMFILE);
            if path.ends_with(self.about) { Err(refused) } else { self.disk.read(path, limit) }
        }
        fn identity(&self, path: &std::path::Path) -> io::Result<Identity> {
            self.disk.identity(path)
        }
        fn perform(&self, step: &crate::spool::steps::Step) -> io::Result<()> {
            self.disk.perform(step)
        }
    }

    #[test]
    fn what_cannot_be_read_now_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let seen = spool(dir.path());
        drop_into(&seen, Place::Pending, "x", (0, ""));
        let pick = |about| {
            let disk = Disk::new(dir.path(), Durability::None);
            let store = Refusing { disk, about };
            let (layout, worker) = (Layout::new(dir.path()), "marie".parse().unwrap());
            let spool = Spool::new(layout, worker, store, Arc::new(SystemClock));
            Shelf::default().pick(&spool, &record(), 1, SystemClock.wall()).map(|picked| picked.len())
        };
        assert!(pick("x.json").is_err());
        assert_eq!(pick("other.json").unwrap(), 1);
        drop_into(&seen, Place::Pending, "y", (1, ""));
        assert_eq!(pick("x.json").unwrap(), 1, "one keeps no other");
    }

    /// It was shown, and is gone or another before its ticket is written.
    #[test]
    fn what_goes_away_meanwhile_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        drop_into(&spool, Place::Pending, "x", (0, ""));
        let Examined::Task(head) = spool.examine(Place::Pending, &"x.json".parse().unwrap()) else {
            panic!("it is a task")
        };
        spool
            .store()
            .perform(&crate::spool::steps::Step::Remove(spool.path(Place::Pending, &head.file)))
            .unwrap();
        assert!(ticket(&spool, &head).is_err());
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
