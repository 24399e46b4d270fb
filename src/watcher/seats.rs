//! The directories that this worker's runs work in. A task whose directory another run has is not claimed: nothing is
//! written into it, and it keeps its place.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::core::Site as Waits;
use super::herald::Herald;
use crate::checkout::seat::{Seat, Sitter, Taken, take};
use crate::checkout::{Git, GitError};
use crate::clock::{SharedClock, Ticks};
use crate::layout::Layout;
use crate::pack::{Found, Shelf, Site, site};
use crate::spool::found::FILE_LIMIT;
use crate::spool::{Disk, Spool, Store};
use crate::task::{FileName, Place, RunId, TaskFile, WorkdirMode};

/// How long a task waits before its directory is asked for again. One that a run of this worker lets go is asked for at once.
const AGAIN: Duration = Duration::from_secs(2);
/// The same for what only a person can mend, and how long that is not said again.
const MENDED: Duration = Duration::from_secs(30);
const SAID: Duration = Duration::from_mins(10);

/// A task that has to wait.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) site: Waits,
    pub(super) until: Ticks,
}

/// The seats of this worker's runs, by file.
#[derive(Debug)]
pub(super) struct Seats {
    layout: Layout,
    packs: Arc<Shelf>,
    git: Git,
    clock: SharedClock,
    herald: Herald,
    held: Mutex<HashMap<FileName, Seat>>,
    said: Mutex<Option<Ticks>>,
}

impl Seats {
    /// Nobody works anywhere yet.
    pub(super) fn new(
        layout: Layout,
        packs: Arc<Shelf>,
        git: Git,
        (clock, herald): (SharedClock, Herald),
    ) -> Self {
        Self { layout, packs, git, clock, herald, held: Mutex::default(), said: Mutex::default() }
    }

    /// Takes the directory of a task that is to be claimed, where it works in one. What is wrong with it is found again, and
    /// told, when the task is prepared. To be called off the loop.
    pub(super) fn reserve(
        &self,
        spool: &Spool<Disk>,
        (place, file): (Place, &FileName),
        roots: &[PathBuf],
    ) -> Result<(), Wait> {
        if roots.is_empty() {
            return Ok(());
        }
        let read = spool.store().read(&spool.path(place, file), FILE_LIMIT);
        let Some(task) = read.ok().and_then(|(bytes, _)| TaskFile::parse(&bytes).ok()) else { return Ok(()) };
        let Found::Ready { name, loaded, .. } = self.packs.find(task.spec.kind.as_deref()) else {
            return Ok(());
        };
        let wait = |pause| {
            let spec = &task.spec;
            let site = (spec.kind.clone(), spec.workdir.clone(), spec.workdir_mode);
            Err(Wait { site, until: self.clock.ticks().plus(pause) })
        };
        match site(name.as_str(), &loaded.pack, &task.spec) {
            Ok(Site::Named(WorkdirMode::Worktree, _)) if !self.git.is_there() => {
                self.say_no_git();
                wait(MENDED)
            }
            Ok(Site::Named(WorkdirMode::Dir, path)) => {
                let Ok(dir) = path.canonicalize() else { return Ok(()) };
                if !is_below(&dir, roots) {
                    return Ok(());
                }
                match take(&self.layout, &dir, task.record.run_id) {
                    Ok(Taken::Ours(seat)) => {
                        self.held().insert(file.clone(), seat);
                        Ok(())
                    }
                    Ok(Taken::Busy(..)) => wait(AGAIN),
                    // What the disk refuses is told where it is used.
                    Err(_) => Ok(()),
                }
            }
            Ok(Site::Named(WorkdirMode::Worktree | WorkdirMode::Empty, _) | Site::Own) | Err(_) => Ok(()),
        }
    }

    /// Takes the directory for good, with the name of who has it; or says who else does.
    pub(super) fn sit(&self, dir: &Path, sitter: &Sitter) -> io::Result<Option<String>> {
        let mut held = self.held();
        let top = crate::checkout::seat::top_of(dir);
        if held.get(&sitter.file).is_none_or(|seat| seat.directory != top) {
            held.remove(&sitter.file);
            match take(&self.layout, dir, Some(sitter.run_id))? {
                Taken::Ours(seat) => drop(held.insert(sitter.file.clone(), seat)),
                Taken::Busy(top, who) => {
                    let who = who.map_or_else(|| "another run".to_owned(), |it| it.full_name());
                    return Ok(Some(format!("{who} works in `{}`", top.display())));
                }
            }
        }
        let Some(seat) = held.get(&sitter.file) else { return Ok(None) };
        seat.sit(&Sitter { directory: seat.directory.clone(), ..sitter.clone() }).map(|()| None)
    }

    /// The run of this file is over, or never began.
    pub(super) fn release(&self, file: &FileName) {
        self.held().remove(file);
    }

    fn say_no_git(&self) {
        let now = self.clock.ticks();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| now.since(at) >= SAID) {
            *said = Some(now);
            let message = format!("tasks that want a worktree wait: {}", GitError::Missing);
            self.herald.caution(
                None,
                &message,
                Some("install git where the worker finds it; the tasks go on by themselves"),
            );
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<FileName, Seat>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_below(dir: &Path, roots: &[PathBuf]) -> bool {
    roots.iter().filter_map(|root| root.canonicalize().ok()).any(|root| dir.starts_with(root))
}

/// A run as the one who has a directory.
pub(super) fn sitter(lease: &crate::spool::Lease, now: crate::clock::Timestamp) -> Sitter {
    let run_id: RunId = lease.run;
    Sitter {
        directory: PathBuf::new(),
        worker: lease.worker.clone(),
        task: lease.name.clone(),
        file: lease.file.clone(),
        run_id,
        attempt: lease.number(),
        since: now,
    }
}
