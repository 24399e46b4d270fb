//! Which runs are needed: those that a task file outside `completed/` and `cancelled/` names, whoever's it is.
//!
//! A run that goes on with the conversation of its task's last life needs that one too: its agent works in the workspace of it.
//!
//! Files move while we look, from a queue to `active/` and back, so the folders are gone through from the queues to
//! `active/` and once more through the queues: a file that moves once is met before or after its move. One that moves
//! twice within a look has written into its run's record, which [`super::plan::FRESH`] heeds.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::layout::Layout;
use crate::os::trouble::is_no_answer;
use crate::spool::continuing::lives_before;
use crate::spool::found::FILE_LIMIT;
use crate::spool::{Disk, Identity, Store};
use crate::task::{Place, RunId, TaskFile};

/// A run with as many attempts has forgotten some, and their folders can go.
const MANY_ATTEMPTS: usize = 50;

/// The runs that are needed.
#[derive(Clone, Debug, Default)]
pub(super) struct Needed {
    /// By a task that waits or works, or that lies where we do not know what it is for.
    pub(super) live: HashSet<RunId>,
    /// By a task in `failed/`.
    pub(super) failed: HashSet<RunId>,
    /// The attempts that the record of a live run names, where those may not be all.
    pub(super) attempts: HashMap<RunId, Vec<u32>>,
}

/// Who needs a run.
#[derive(Clone, Copy, Debug)]
enum By {
    Live,
    Failed,
}

/// What a task file says of its run.
#[derive(Clone, Debug, Default)]
struct Said {
    run: Option<RunId>,
    /// Those that it goes on with.
    before: Vec<RunId>,
    attempts: Option<Vec<u32>>,
}

/// Looks at the queues, and remembers what it read: most files are the same at the next look.
#[derive(Debug)]
pub(super) struct Looker {
    layout: Layout,
    disk: Disk,
    known: HashMap<PathBuf, (Identity, Said)>,
}

impl Looker {
    pub(super) fn new(layout: Layout, disk: Disk) -> Self {
        Self { layout, disk, known: HashMap::new() }
    }

    /// The runs that are needed now. An error is a folder or a file that did not answer.
    pub(super) fn look(&mut self) -> io::Result<Needed> {
        let mut needed = Needed::default();
        let known = std::mem::take(&mut self.known);
        let mut again = HashMap::new();
        let (queues, active, failed) = self.folders()?;
        let live =
            |dirs: &'_ Vec<PathBuf>| dirs.iter().map(|dir| (dir.clone(), By::Live)).collect::<Vec<_>>();
        let dead = failed.iter().map(|dir| (dir.clone(), By::Failed));
        for (dir, by) in live(&queues).into_iter().chain(live(&active)).chain(dead).chain(live(&queues)) {
            for path in files(&dir)? {
                let Some((identity, said)) = self.said(&path, &known, &again)? else { continue };
                needed.add(&said, by);
                again.insert(path, (identity, said));
            }
        }
        self.known = again;
        Ok(needed)
    }

    /// The queues; `active/` and every other folder of a worker that we know nothing of; `failed/`.
    fn folders(&self) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>, Vec<PathBuf>)> {
        let (mut queues, mut active, mut failed) = (vec![self.layout.tasks()], Vec::new(), Vec::new());
        for worker in folders_in(&self.layout.tasks())? {
            for dir in folders_in(&worker)? {
                let named = |place: Place| dir.ends_with(place.as_str());
                if named(Place::Pending) || named(Place::Staged) {
                    queues.push(dir);
                } else if named(Place::Failed) {
                    failed.push(dir);
                } else if !named(Place::Completed) && !named(Place::Cancelled) {
                    active.push(dir);
                }
            }
        }
        Ok((queues, active, failed))
    }

    fn said(
        &self,
        path: &Path,
        known: &HashMap<PathBuf, (Identity, Said)>,
        again: &HashMap<PathBuf, (Identity, Said)>,
    ) -> io::Result<Option<(Identity, Said)>> {
        let identity = match self.disk.identity(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let same = again.get(path).or_else(|| known.get(path)).filter(|(it, _)| *it == identity);
        if let Some(same) = same {
            return Ok(Some(same.clone()));
        }
        match self.disk.read(path, FILE_LIMIT) {
            Ok((bytes, identity)) => {
                let said = Said::of(&bytes);
                let lives = said.run.map(|run| lives_before(&self.disk, &self.layout, run)).transpose()?;
                Ok(Some((identity, Said { before: lives.unwrap_or_default(), ..said })))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // A file with two names is on its way from one to the other where a move is a link and an unlink.
            Err(error) if is_no_answer(&error) || is_moving(&error, path) => Err(error),
            // A link, a pipe, what is not ours to read: no task of ours, which we wrote ourselves.
            Err(_) => Ok(None),
        }
    }
}

impl Said {
    fn of(bytes: &[u8]) -> Self {
        let Ok(task) = TaskFile::parse(bytes) else { return Self::default() };
        let attempts = &task.record.attempts;
        let many = attempts.len() >= MANY_ATTEMPTS;
        Self {
            run: task.record.run_id,
            before: Vec::new(),
            attempts: many.then(|| attempts.iter().map(|it| it.number).collect()),
        }
    }
}

impl Needed {
    fn add(&mut self, said: &Said, by: By) {
        let Some(run) = said.run else { return };
        let runs = said.before.iter().copied().chain([run]);
        match by {
            By::Live => self.live.extend(runs),
            By::Failed => self.failed.extend(runs),
        }
        if let Some(attempts) = &said.attempts {
            self.attempts.insert(run, attempts.clone());
        }
    }
}

fn is_moving(error: &io::Error, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let linked = || path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.nlink() > 1);
    error.kind() == io::ErrorKind::InvalidInput && linked()
}

/// The task files in a folder.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    listed(dir, |entry| {
        let name = entry.file_name();
        // Everything that might be one: what an operator parked under another name is a task still.
        (name.to_str().is_some_and(|name| name.contains(".json"))).then(|| entry.path())
    })
}

fn folders_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    listed(dir, |entry| entry.file_type().is_ok_and(|it| it.is_dir()).then(|| entry.path()))
}

fn listed(dir: &Path, take: impl Fn(&std::fs::DirEntry) -> Option<PathBuf>) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    entries.filter_map(|entry| entry.map(|entry| take(&entry)).transpose()).collect()
}
