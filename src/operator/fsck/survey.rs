//! Looking at the whole tree, without a lock. Thin: what it means is for [`super::judge`].
//!
//! The order matters, since tasks move while we look: the runs are listed first, so that a run that begins meanwhile is
//! not one without a task; the places are gone through the way a task goes, so that it is met at least once; the journals
//! are read last, since they are written before the move that they tell of.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde_json::Value;

use super::seen::{EntrySeen, RecordSeen, ResultSeen, Survey, TaskSeen, What, WorkerSeen};
use crate::layout::Layout;
use crate::operator::error::OperatorError;
use crate::operator::look;
use crate::os::durable::Durability;
use crate::os::lock;
use crate::spool::found::FILE_LIMIT;
use crate::spool::input::Input;
use crate::spool::{Disk, suitable};
use crate::task::{FileName, Place, RunId, TaskFile, TaskState, WorkerName};
use crate::telemetry::journal::{Event, Line};

/// Looks at everything of `workers` below the root.
pub(super) fn survey(layout: &Layout, workers: &[WorkerName]) -> Result<Survey, OperatorError> {
    let mut survey = Survey::default();
    for worker in workers {
        survey.workers.insert(worker.clone(), self::worker(layout, worker));
        for wrong in suitable::standing(layout, worker) {
            if !survey.shape.contains(&wrong) {
                survey.shape.push(wrong);
            }
        }
    }
    for dir in [layout.artifacts(), layout.workspaces()] {
        let runs = list(&dir)?.into_iter().filter_map(|(name, path)| Some((run_of(&name)?, path)));
        survey.runs.extend(runs);
    }
    for (path, meta) in free_locks(layout, workers)? {
        survey.free_locks.push((path, (meta.dev(), meta.ino())));
    }
    for (worker, place) in look::all_places(workers) {
        for (name, path) in list(&look::dir_of(layout, worker.as_ref(), place))? {
            survey.entries.extend(entry(layout, (worker.as_ref(), place), name, &path));
        }
    }
    for worker in workers {
        journals(layout, worker, &mut survey)?;
    }
    Ok(survey)
}

fn worker(layout: &Layout, worker: &WorkerName) -> WorkerSeen {
    WorkerSeen {
        is_held: lock::is_held(&layout.worker(worker)).unwrap_or(true),
        resumes: layout.resume(worker).exists(),
        told_since: None,
    }
}

/// The names in a folder; none where it is missing or no folder, which its shape tells.
fn list(dir: &Path) -> Result<Vec<(String, std::path::PathBuf)>, OperatorError> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries
            .flatten()
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
            .collect()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(OperatorError::io("look into", dir)(error)),
    }
}

fn run_of(name: &str) -> Option<RunId> {
    name.parse().ok().map(RunId)
}

/// The lock files of tasks and watchers that nobody holds. The supervisor's stays when it ends.
pub(in crate::operator) fn free_locks(
    layout: &Layout,
    workers: &[WorkerName],
) -> Result<Vec<(std::path::PathBuf, fs::Metadata)>, OperatorError> {
    let is_a_workers = |name: &str| {
        name.as_bytes().ends_with(b".lock")
            && workers.iter().any(|worker| name.starts_with(&format!("{worker}_")))
    };
    let locks =
        list(&layout.locks())?.into_iter().filter(|(name, _)| is_a_workers(name)).map(|(_, path)| path);
    let free = locks.filter(|path| matches!(lock::is_held(path), Ok(false)));
    Ok(free.filter_map(|path| path.symlink_metadata().ok().map(|meta| (path, meta))).collect())
}

/// What stands at a name; `None` if it has moved on.
fn entry(
    layout: &Layout,
    (worker, place): (Option<&WorkerName>, Place),
    name: String,
    path: &Path,
) -> Option<EntrySeen> {
    let meta = path.symlink_metadata().ok()?;
    let is_temp = name.starts_with('.') && name.as_bytes().ends_with(b".tmp");
    let kind = meta.file_type();
    let what = if place == Place::Inbox && kind.is_dir() {
        name.parse::<WorkerName>().err().map(|_| What::Foreign("a folder whose name no worker can have"))?
    } else if let (true, Ok(file)) = (kind.is_file(), name.parse::<FileName>()) {
        task(layout, file, path)?
    } else if place == Place::Failed && name.ends_with(".reason") {
        What::Reason(
            fs::read(path)
                .is_ok_and(|text| serde_json::from_slice::<Value>(&text).is_ok_and(|it| it.is_object())),
        )
    } else if is_temp && kind.is_file() {
        What::Temp
    } else if let Ok(file) = name.parse::<FileName>() {
        What::NoTask(file, kind_word(kind).to_owned())
    } else if name.starts_with('.') || [".tmp", "~", ".part"].iter().any(|end| name.ends_with(end)) {
        // Somebody's, on its way to become a task.
        return None;
    } else {
        What::Foreign("not a task's file")
    };
    let stamp = (meta.dev(), meta.ino());
    Some(EntrySeen {
        worker: worker.cloned(),
        place,
        name,
        path: path.to_owned(),
        stamp,
        mode: meta.mode() & 0o7777,
        what,
    })
}

fn kind_word(kind: fs::FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a symbolic link, which is never followed"
    } else if kind.is_fifo() {
        "a named pipe"
    } else {
        "no regular file"
    }
}

/// The task in a file. It is read here and not through the spool, which refuses a file that has two names.
fn task(layout: &Layout, file: FileName, path: &Path) -> Option<What> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(What::NoTask(file, error.to_string())),
    };
    Some(match TaskFile::parse(&bytes) {
        Err(error) => What::NoTask(file, error.to_string()),
        Ok(task) => {
            let last = task.record.attempts.last();
            What::Task(Box::new(TaskSeen {
                task: task.name(&file),
                run: task.record.run_id,
                state: task.record.state,
                ended: last.and_then(|it| it.ended_at).map(|at| at.strftime("%Y-%m-%d").to_string()),
                record: record(layout, &file, &task),
                file,
            }))
        }
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than a task's file can be"));
    }
    Ok(bytes)
}

fn record(layout: &Layout, file: &FileName, task: &TaskFile) -> RecordSeen {
    let Some(run) = task.record.run_id else { return RecordSeen::Gone };
    let paths = layout.run(&run);
    if !paths.dir().is_dir() {
        return RecordSeen::Gone;
    }
    let disk = Disk::new(layout.root(), Durability::None);
    let is_ours = |it: &Input| it.run_id == run && it.task == task.name(file) && it.is_of(file);
    match Input::read(&disk, layout, run) {
        Ok(Some(input)) if is_ours(&input) => RecordSeen::Ours(result(&paths.result())),
        _ => RecordSeen::NotOurs,
    }
}

fn result(path: &Path) -> ResultSeen {
    #[derive(serde::Deserialize)]
    struct Result {
        state: TaskState,
    }
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => ResultSeen::Missing,
        Err(_) => ResultSeen::Unreadable,
        Ok(bytes) => serde_json::from_slice::<Result>(&bytes)
            .map_or(ResultSeen::Unreadable, |it| ResultSeen::State(it.state)),
    }
}

fn journals(layout: &Layout, worker: &WorkerName, survey: &mut Survey) -> Result<(), OperatorError> {
    let mut files = list(&layout.journal_dir(worker))?;
    files.retain(|(name, _)| name.ends_with(".ndjson"));
    files.sort();
    let is_held = survey.is_held(Some(worker));
    if let Some(seen) = survey.workers.get_mut(worker) {
        seen.told_since = files.first().and_then(|(name, _)| name.strip_suffix(".ndjson")).map(str::to_owned);
    }
    for (_, path) in files {
        // A day that is pruned meanwhile is none.
        let Ok(text) = fs::read(&path) else { continue };
        let whole = text.ends_with(b"\n");
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let last = lines.len().saturating_sub(1);
        let mut torn = 0;
        for (n, line) in lines.into_iter().enumerate() {
            match serde_json::from_slice::<Line>(line) {
                Ok(line) if line.event == Event::Concluded => survey.concluded.extend(line.run_id),
                Ok(_) => {}
                // The last one may be being written.
                Err(_) if n == last && !whole && is_held => {}
                // One of an event that we do not know is whole all the same.
                Err(_) => {
                    torn +=
                        usize::from(!serde_json::from_slice::<Value>(line).is_ok_and(|it| it.is_object()));
                }
            }
        }
        if torn > 0 {
            survey.torn.push((worker.clone(), path, torn));
        }
    }
    Ok(())
}
