//! Whose a directory is: one run at a time works in it, across all workers of a root.
//!
//! A directory lies in a repository or in none; what is locked is the top of the repository, so that two tasks in two folders
//! of one never meet. `directories/<device>-<inode>.json` says who had it last. It is had by that run
//! - as long as somebody holds the flock on that file: the watcher that started it;
//! - after that watcher's death, as long as the task of the run stands in `active/`, or its agent holds its stream.
//!
//! So an agent that outlives its watcher keeps its directory, and a run that was filed or put back never does, whatever was
//! killed. Two tops of which one lies in the other, without a repository around them, are two.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::layout::Layout;
use crate::os::durable::{DIR_MODE, make_dir};
use crate::os::lock::{self, Lock};
use crate::os::trouble::if_there;
use crate::task::{FileName, Place, RunId, TaskName, WorkerName};

/// The longest record.
const MAX_BYTES: u64 = 64 * 1024;
/// Workers of one root may be of one group.
const MODE: u32 = 0o660;

/// Who works in a directory, or did last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sitter {
    /// The directory, or the top of its repository.
    pub directory: PathBuf,
    /// Whose task.
    pub worker: WorkerName,
    /// Its name.
    pub task: TaskName,
    /// Its file.
    pub file: FileName,
    /// Its run.
    pub run_id: RunId,
    /// Which attempt of it.
    pub attempt: u32,
    /// Since when.
    pub since: Timestamp,
}

impl Sitter {
    /// The task with its worker.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.worker, self.task)
    }
}

/// The right to work in a directory; dropping it lets go.
#[derive(Debug)]
#[must_use = "a dropped seat is free"]
pub struct Seat {
    lock: Lock,
    /// The directory, or the top of its repository.
    pub directory: PathBuf,
}

/// Whether it was to be had.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Ours(Seat),
    /// Another run has it; who, unless nobody wrote that down yet.
    Busy(PathBuf, Option<Box<Sitter>>),
}

/// The top of the repository around `dir`, by its `.git`, or `dir` itself.
pub fn top_of(dir: &Path) -> &Path {
    dir.ancestors().find(|it| fs::symlink_metadata(it.join(".git")).is_ok()).unwrap_or(dir)
}

/// Takes `dir`, a path without links, for `run`, where the task has one already.
pub fn take(layout: &Layout, dir: &Path, run: Option<RunId>) -> io::Result<Taken> {
    let top = top_of(dir).to_owned();
    let path = file_of(layout, &top)?;
    make_dir(&layout.directories(), DIR_MODE)?;
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .custom_flags(flags)
        .open(path)?;
    let Some(lock) = Lock::try_exclusive_on(file.try_clone()?)? else {
        let sitter = read(&file)?;
        return Ok(Taken::Busy(top, sitter.map(Box::new)));
    };
    match read(&file)?.filter(|it| Some(it.run_id) != run && works(layout, it)) {
        Some(sitter) => Ok(Taken::Busy(top, Some(Box::new(sitter)))),
        None => Ok(Taken::Ours(Seat { lock, directory: top })),
    }
}

/// Who works in `dir` now. Changes nothing.
pub fn look(layout: &Layout, dir: &Path) -> io::Result<Option<Sitter>> {
    let path = file_of(layout, top_of(dir))?;
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = if_there(File::options().read(true).custom_flags(flags).open(&path))?;
    let sitter = file.map(|file| read(&file)).transpose()?.flatten();
    Ok(sitter.filter(|it| works(layout, it)))
}

impl Seat {
    /// Writes down who has it: before the agent is started, since an agent outlives its watcher.
    pub fn sit(&self, sitter: &Sitter) -> io::Result<()> {
        let Some(mut file) = self.lock.file() else { return Ok(()) };
        let bytes = serde_json::to_vec(sitter)?;
        file.seek(SeekFrom::Start(0))?;
        file.set_len(0)?;
        file.write_all(&bytes)
    }
}

fn file_of(layout: &Layout, top: &Path) -> io::Result<PathBuf> {
    let meta = fs::metadata(top)?;
    Ok(layout.directories().join(format!("{}-{}.json", meta.dev(), meta.ino())))
}

fn read(mut file: &File) -> io::Result<Option<Sitter>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes).ok())
}

/// Whether its run is under way. What cannot be asked is taken for a yes: two at once is worse than none.
fn works(layout: &Layout, sitter: &Sitter) -> bool {
    let active = layout.task(&sitter.worker, Place::Active, &sitter.file);
    let is_active = match if_there(fs::read(&active)) {
        Ok(None) => false,
        Ok(Some(bytes)) => {
            let task: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
            task.is_some_and(|task| task["run_id"].as_str() == Some(sitter.run_id.to_string().as_str()))
        }
        Err(_) => true,
    };
    is_active || lock::is_held(&layout.run(&sitter.run_id).stream(sitter.attempt)).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::durable::write_new;

    fn ours(taken: io::Result<Taken>) -> Option<Seat> {
        match taken.unwrap() {
            Taken::Ours(seat) => Some(seat),
            Taken::Busy(..) => None,
        }
    }

    #[test]
    fn a_repository_is_one_run_s_until_its_watcher_let_go_and_its_task_has_left() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("shared"));
        let repo = dir.path().join("repo");
        fs::create_dir_all(repo.join(".git")).unwrap();
        fs::create_dir_all(repo.join("a/b")).unwrap();
        let sitter = Sitter {
            directory: repo.clone(),
            worker: "marie".parse().unwrap(),
            task: "x".parse().unwrap(),
            file: "x.json".parse().unwrap(),
            run_id: RunId::mint(),
            attempt: 1,
            since: Timestamp::from_second(1).unwrap(),
        };
        let seat = ours(take(&layout, &repo, None)).unwrap();
        assert_eq!(seat.directory, repo);
        assert!(ours(take(&layout, &repo.join("a/b"), None)).is_none(), "the same repository");
        assert!(ours(take(&layout, dir.path(), None)).is_some(), "another directory");
        seat.sit(&sitter).unwrap();
        let active = layout.task(&sitter.worker, Place::Active, &sitter.file);
        make_dir(active.parent().unwrap(), DIR_MODE).unwrap();
        write_new(&active, format!(r#"{{"run_id":"{}"}}"#, sitter.run_id).as_bytes(), None).unwrap();
        // Its watcher is killed; the run is not over.
        drop(seat);
        assert!(matches!(take(&layout, &repo, None).unwrap(), Taken::Busy(_, Some(it)) if *it == sitter));
        assert_eq!(look(&layout, &repo.join("a")).unwrap(), Some(sitter.clone()));
        assert!(ours(take(&layout, &repo, Some(sitter.run_id))).is_some(), "itself goes on");
        // Moved away by hand; the agent lives.
        fs::remove_file(&active).unwrap();
        let stream = layout.run(&sitter.run_id).stream(1);
        make_dir(stream.parent().unwrap(), DIR_MODE).unwrap();
        write_new(&stream, b"", None).unwrap();
        let agent = Lock::try_exclusive(&stream).unwrap();
        assert!(ours(take(&layout, &repo, None)).is_none());
        drop(agent);
        assert!(ours(take(&layout, &repo, None)).is_some());
        assert_eq!(look(&layout, &repo).unwrap(), None);
    }
}
