//! What became of a task that was let go: looked for where it can be, in the direction in which tasks move.
//!
//! A task is told from another of its name by the moment when it was dropped: the age of its file until it is
//! claimed, a field of its record from then on.

use std::cmp::Ordering;
use std::path::Path;

use super::record::Ticket;
use crate::clock::Timestamp;
use crate::os::trouble::is_no_answer;
use crate::pack::DEFAULT;
use crate::spool::found::FILE_LIMIT;
use crate::spool::{Identity, Spool, Store};
use crate::task::{Place, TaskFile};

/// Where a task of a batch is, and what that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It waits in `staged/`.
    Staged,
    /// It lies in `staged/`, and somebody holds it, or nothing is started with its pack: nobody waits for it.
    Held,
    /// It is being worked on.
    Works,
    /// It is in `pending/`, and was charged since.
    Charged,
    /// It is in `pending/` as it was.
    Back,
    /// It ended well.
    Done,
    /// It ended badly.
    Failed,
    /// It was cancelled, or somebody took it away.
    Gone,
    /// The disk did not say.
    Unknown,
}

/// A file of the ticket's name, read.
enum Sight {
    Ours { charges: u32, is_held: bool },
    Another,
    Unreadable,
}

/// What became of the task of `ticket`, while the worker starts nothing with the packs `barred` (`*`: any but `default`).
pub fn fate<S: Store>(spool: &Spool<S>, ticket: &Ticket, barred: &[String]) -> Fate {
    // It may have moved from where we had not looked yet to where we had.
    let found = look(spool, ticket, barred);
    if found == Fate::Gone { look(spool, ticket, barred) } else { found }
}

fn look<S: Store>(spool: &Spool<S>, ticket: &Ticket, barred: &[String]) -> Fate {
    let mut is_unread = false;
    for place in
        [Place::Staged, Place::Active, Place::Completed, Place::Failed, Place::Cancelled, Place::Pending]
    {
        let names: Vec<_> = if Place::TERMINAL.contains(&place) {
            match spool.taken(place, &ticket.file) {
                Ok(names) => names,
                Err(_) => return Fate::Unknown,
            }
        } else {
            vec![spool.path(place, &ticket.file)]
        };
        for path in names {
            match see(spool, &path, ticket, barred) {
                Some(Sight::Ours { is_held: true, .. }) if place == Place::Staged => return Fate::Held,
                Some(Sight::Ours { charges, .. }) => return meaning(place, charges.cmp(&ticket.charges)),
                Some(Sight::Unreadable) => is_unread = true,
                Some(Sight::Another) | None => {}
            }
        }
    }
    if is_unread { Fate::Unknown } else { Fate::Gone }
}

const fn meaning(place: Place, charges: Ordering) -> Fate {
    match place {
        Place::Staged => Fate::Staged,
        Place::Active => Fate::Works,
        Place::Completed => Fate::Done,
        Place::Failed => Fate::Failed,
        Place::Cancelled => Fate::Gone,
        Place::Pending | Place::Inbox if matches!(charges, Ordering::Greater) => Fate::Charged,
        Place::Pending | Place::Inbox => Fate::Back,
    }
}

fn see<S: Store>(spool: &Spool<S>, path: &Path, ticket: &Ticket, barred: &[String]) -> Option<Sight> {
    match spool.store().read(path, FILE_LIMIT) {
        Ok((bytes, identity)) => Some(compare(&bytes, identity, ticket, barred)),
        Err(error) if is_no_answer(&error) => Some(Sight::Unreadable),
        // A pipe or a link is filed as it is; its name has an age too.
        Err(_) => {
            let dropped_at = dropped_at(spool.store().identity(path).ok()?);
            let ours = dropped_at == ticket.dropped_at;
            Some(if ours { Sight::Ours { charges: ticket.charges, is_held: false } } else { Sight::Another })
        }
    }
}

fn compare(bytes: &[u8], identity: Identity, ticket: &Ticket, barred: &[String]) -> Sight {
    let task = TaskFile::parse(bytes).ok();
    let is_held = task.as_ref().is_some_and(|task| task.is_held() || is_barred(task, barred));
    let record = task.map(|task| task.record);
    let submitted = record.as_ref().and_then(|record| record.submitted_at);
    if submitted != Some(ticket.dropped_at) && dropped_at(identity) != ticket.dropped_at {
        return Sight::Another;
    }
    Sight::Ours { charges: record.and_then(|record| record.retry_count).unwrap_or(0), is_held }
}

/// Whether nothing is started with its pack now.
fn is_barred(task: &TaskFile, barred: &[String]) -> bool {
    let pack = task.spec.kind.as_deref().unwrap_or(DEFAULT);
    barred.iter().any(|it| it == pack || it == "*" && pack != DEFAULT)
}

/// The age of a file, as a moment.
pub fn dropped_at(identity: Identity) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(identity.mtime_ns)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::clock::SystemClock;
    use crate::layout::Layout;
    use crate::os::durable::{Durability, write_new};
    use crate::spool::Disk;

    /// When the task was dropped, in seconds since 1970.
    const DROPPED: u64 = 1_700_000_000;

    fn world() -> (tempfile::TempDir, Spool<Disk>, Ticket) {
        let dir = tempfile::tempdir().unwrap();
        let (layout, worker) = (Layout::new(dir.path()), "marie".parse().unwrap());
        for folder in layout.worker_dirs(&worker) {
            std::fs::create_dir_all(folder).unwrap();
        }
        let spool =
            Spool::new(layout, worker, Disk::new(dir.path(), Durability::None), Arc::new(SystemClock));
        let dropped_at = Timestamp::from_second(i64::try_from(DROPPED).unwrap()).unwrap();
        (dir, spool, Ticket { file: "x.json".parse().unwrap(), dropped_at, charges: 1 })
    }

    /// A file of that name, which was claimed before unless it has no count.
    fn put(spool: &Spool<Disk>, place: Place, name: &str, (dropped, charges): (u64, Option<u32>)) {
        let at = Timestamp::from_second(i64::try_from(dropped).unwrap()).unwrap();
        let task = charges.map_or_else(
            || r#"{"prompt":"x"}"#.to_owned(),
            |n| format!(r#"{{"prompt":"x","submitted_at":"{at}","retry_count":{n}}}"#),
        );
        // One that was claimed has another age than its file.
        let age = SystemTime::UNIX_EPOCH + Duration::from_secs(if charges.is_some() { 5 } else { dropped });
        let path = spool.path(place, &name.parse().unwrap());
        write_new(&path, task.as_bytes(), Some(age)).unwrap();
    }

    #[test]
    fn a_task_is_found_wherever_it_went_and_told_from_another_of_its_name() {
        let ours = |charges| (DROPPED, charges);
        let others = (DROPPED + 1, Some(9));
        for (what, files, expected) in [
            ("waits as it was dropped", vec![(Place::Staged, "x.json", ours(None))], Fate::Staged),
            ("is taken and not stamped yet", vec![(Place::Active, "x.json", ours(None))], Fate::Works),
            ("works", vec![(Place::Active, "x.json", ours(Some(1)))], Fate::Works),
            ("ended well", vec![(Place::Completed, "x.json", ours(Some(1)))], Fate::Done),
            (
                "ended badly, under another name",
                vec![(Place::Failed, "x.json", others), (Place::Failed, "x~2.json", ours(Some(2)))],
                Fate::Failed,
            ),
            ("was cancelled", vec![(Place::Cancelled, "x.json", ours(Some(1)))], Fate::Gone),
            ("is back unharmed", vec![(Place::Pending, "x.json", ours(Some(1)))], Fate::Back),
            ("is back and was charged", vec![(Place::Pending, "x.json", ours(Some(2)))], Fate::Charged),
            (
                "is not it",
                vec![(Place::Completed, "x.json", others), (Place::Staged, "x.json", others)],
                Fate::Gone,
            ),
            (
                "is not the new drop of its name",
                vec![
                    (Place::Pending, "x.json", (DROPPED + 9, None)),
                    (Place::Active, "x.json", ours(Some(1))),
                ],
                Fate::Works,
            ),
            ("was no task", vec![], Fate::Gone),
        ] {
            let (_dir, spool, ticket) = world();
            for (place, name, whose) in files {
                put(&spool, place, name, whose);
            }
            assert_eq!(fate(&spool, &ticket, &[]), expected, "it {what}");
        }
    }

    #[test]
    fn one_whose_pack_is_barred_is_not_waited_for() {
        for (barred, expected) in [
            (&[][..], Fate::Staged),
            (&["review"], Fate::Staged),
            (&["*"], Fate::Staged),
            (&["review", "default"], Fate::Held),
        ] {
            let (_dir, spool, ticket) = world();
            put(&spool, Place::Staged, "x.json", (DROPPED, None));
            let barred: Vec<String> = barred.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(fate(&spool, &ticket, &barred), expected, "{barred:?}");
        }
    }
}
