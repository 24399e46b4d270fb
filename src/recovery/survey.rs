//! Looking: what a dead watcher left behind. Changes nothing.

use std::io;
use std::path::PathBuf;

use super::witness::{Testimony, Witness};
use crate::os::lock;
use crate::spool::found::FILE_LIMIT;
use crate::spool::input::{Input, is_believed};
use crate::spool::{Spool, Store};
use crate::task::{FileName, Place, TaskFile};

/// The numbered names of one task that are looked at.
const NUMBERS: u32 = 1000;

/// A file in `active/`.
#[derive(Debug)]
pub struct ActiveFile {
    /// Its name.
    pub file: FileName,
    /// Where it stands.
    pub path: PathBuf,
    /// Its content, or why it has none.
    pub task: Result<TaskFile, String>,
    /// Whether its record is ours.
    pub believed: bool,
    /// Where the same run is filed already.
    pub filed: Option<PathBuf>,
    /// What is known of its open attempt.
    pub testimony: Option<Testimony>,
}

/// Everything that a plan is made from.
#[derive(Debug)]
pub struct Survey {
    /// The files in `active/`, by name.
    pub active: Vec<ActiveFile>,
    /// Second homes of tasks that are worked on or filed: what a power cut brought back.
    pub ghosts: Vec<PathBuf>,
    /// Temporary files in `active/`.
    pub temps: Vec<PathBuf>,
    /// Lock files that nobody holds.
    pub stale_locks: Vec<PathBuf>,
}

/// Looks at everything of the spool's worker.
pub fn survey<S: Store>(spool: &Spool<S>, witness: &impl Witness) -> io::Result<Survey> {
    let mut files = spool.list(Place::Active)?;
    files.sort();
    let active: Vec<_> = files.into_iter().map(|file| look_at(spool, witness, file)).collect();
    let ghosts = ghosts(spool, &active)?;
    Ok(Survey { active, ghosts, temps: temps(spool)?, stale_locks: stale_locks(spool)? })
}

/// Looks at one file in `active/`.
pub fn look_at<S: Store>(spool: &Spool<S>, witness: &impl Witness, file: FileName) -> ActiveFile {
    let path = spool.path(Place::Active, &file);
    let task = match spool.store().read(&path, FILE_LIMIT) {
        Ok((bytes, _)) => TaskFile::parse(&bytes).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let Ok(content) = &task else {
        return ActiveFile { file, path, task, believed: false, filed: None, testimony: None };
    };
    let believed = is_believed(spool.store(), spool.layout(), &file, content);
    let filed = if believed { filed_twin(spool, &file, content) } else { None };
    let testimony = match (believed, content.record.run_id, content.record.open_attempt()) {
        (true, Some(run), Some(attempt)) => Some(witness.testify(run, attempt)),
        _ => None,
    };
    ActiveFile { file, path, task, believed, filed, testimony }
}

/// Where the same run rests already, under this name or a numbered one.
fn filed_twin<S: Store>(spool: &Spool<S>, file: &FileName, task: &TaskFile) -> Option<PathBuf> {
    Place::TERMINAL.iter().find_map(|place| {
        std::iter::once(file.clone())
            .chain((2..NUMBERS).map(|n| file.numbered(n)))
            .map(|name| spool.path(*place, &name))
            .take_while(|path| spool.store().identity(path).is_ok())
            .find(|path| read_task(spool, path).is_some_and(|it| it.record.run_id == task.record.run_id))
    })
}

/// Names in a queue that are second homes: of a run in `active/`, or of a dropped file that was claimed.
fn ghosts<S: Store>(spool: &Spool<S>, active: &[ActiveFile]) -> io::Result<Vec<PathBuf>> {
    let mut ghosts = Vec::new();
    for place in Place::QUEUES {
        for file in spool.list(place)? {
            let path = spool.path(place, &file);
            let worked = active.iter().find(|it| it.file == file).and_then(|it| it.task.as_ref().ok());
            if worked.is_some_and(|task| is_same(spool, &path, &file, task)) || is_filed(spool, &path, &file)
            {
                ghosts.push(path);
            }
        }
    }
    Ok(ghosts)
}

fn is_filed<S: Store>(spool: &Spool<S>, path: &std::path::Path, file: &FileName) -> bool {
    Place::TERMINAL.iter().any(|place| {
        let filed = spool.path(*place, file);
        spool.store().identity(&filed).is_ok()
            && read_task(spool, &filed).is_some_and(|task| is_dropped_again(spool, path, &task))
    })
}

/// Whether the queued `path` is the same run as `task`, or the drop that it was claimed from.
fn is_same<S: Store>(spool: &Spool<S>, path: &std::path::Path, file: &FileName, task: &TaskFile) -> bool {
    let same_inode =
        match (spool.store().identity(path), spool.store().identity(&spool.path(Place::Active, file))) {
            (Ok(queued), Ok(active)) => queued.is_same_inode(&active),
            _ => false,
        };
    let run = task.record.run_id;
    same_inode
        || (run.is_some() && read_task(spool, path).is_some_and(|queued| queued.record.run_id == run))
        || is_dropped_again(spool, path, task)
}

/// Whether `path` is the very version of the very inode that the run of `task` was claimed from.
fn is_dropped_again<S: Store>(spool: &Spool<S>, path: &std::path::Path, task: &TaskFile) -> bool {
    let Some(run) = task.record.run_id else { return false };
    let Some(input) = Input::read(spool.store(), spool.layout(), run) else { return false };
    input.origin(spool.layout()) == path && spool.store().identity(path).is_ok_and(|it| it == input.dropped)
}

fn read_task<S: Store>(spool: &Spool<S>, path: &std::path::Path) -> Option<TaskFile> {
    let (bytes, _) = spool.store().read(path, FILE_LIMIT).ok()?;
    TaskFile::parse(&bytes).ok()
}

fn temps<S: Store>(spool: &Spool<S>) -> io::Result<Vec<PathBuf>> {
    let entries = spool.store().list(&spool.layout().place(spool.worker(), Place::Active))?;
    let is_temp = |name: &str| name.starts_with('.') && name.strip_suffix(".tmp").is_some();
    Ok(entries.into_iter().filter(|entry| is_temp(&entry.name)).map(|entry| entry.path).collect())
}

fn stale_locks<S: Store>(spool: &Spool<S>) -> io::Result<Vec<PathBuf>> {
    let ours = format!("{}_", spool.worker());
    let is_lock = |name: &str| name.starts_with(&ours) && name.strip_suffix(".lock").is_some();
    let mut locks: Vec<_> = spool
        .store()
        .list(&spool.layout().locks())?
        .into_iter()
        .filter(|entry| is_lock(&entry.name))
        .map(|entry| entry.path)
        .filter(|path| !lock::is_held(path).unwrap_or(true))
        .collect();
    locks.sort();
    Ok(locks)
}
