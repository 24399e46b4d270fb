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
    /// The next tasks, `count` at most. Those that failed in this resume wait until it is over; those that came back
    /// unharmed go last.
    pub fn pick<S: Store>(
        &mut self,
        spool: &Spool<S>,
        record: &Record,
        count: usize,
        now: Timestamp,
    ) -> io::Result<Vec<Ticket>> {
        self.look(spool, now)?;
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
        Ok(taken.iter().filter_map(|head| ticket(spool, head)).collect())
    }

    fn look<S: Store>(&mut self, spool: &Spool<S>, now: Timestamp) -> io::Result<()> {
        let files = spool.list(Place::Pending)?;
        let present: HashSet<_> = files.iter().cloned().collect();
        let gone: Vec<_> = self.seen.keys().filter(|file| !present.contains(*file)).cloned().collect();
        for file in gone {
            self.seen.remove(&file);
            self.queue.remove(Place::Pending, &file);
        }
        for file in files {
            let identity = spool.store().identity(&spool.path(Place::Pending, &file)).ok();
            if identity.is_some() && self.seen.get(&file) == identity.as_ref() {
                continue;
            }
            self.queue.remove(Place::Pending, &file);
            if let Examined::Task(head) = spool.examine(Place::Pending, &file) {
                self.seen.insert(file, head.identity);
                self.queue.put(head, now);
            }
        }
        Ok(())
    }
}

/// The names at work or let go already: what is called the same waits for them.
fn busy<S: Store>(spool: &Spool<S>) -> io::Result<HashSet<String>> {
    let mut names = spool.list(Place::Staged)?;
    names.extend(spool.list(Place::Active)?);
    Ok(names.into_iter().map(|file| file.base().to_owned()).collect())
}

fn ticket<S: Store>(spool: &Spool<S>, head: &Head) -> Option<Ticket> {
    let (bytes, identity) = spool.store().read(&spool.path(Place::Pending, &head.file), FILE_LIMIT).ok()?;
    let task = TaskFile::parse(&bytes).ok()?;
    let goes_on = match spool.belief(&head.file, &task).ok()? {
        Belief::Ours | Belief::Left(_) => true,
        Belief::Not | Belief::Over => false,
        Belief::Elsewhere(_) | Belief::Copy(..) => return None,
    };
    // One that has ended begins a new life, and so does one whose record is not ours.
    let record = Some(&task.record).filter(|record| goes_on && record.outcome().is_none());
    Some(Ticket {
        file: head.file.clone(),
        dropped_at: record.and_then(|it| it.submitted_at).unwrap_or_else(|| dropped_at(identity)),
        charges: record.and_then(|it| it.retry_count).unwrap_or(0),
    })
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
