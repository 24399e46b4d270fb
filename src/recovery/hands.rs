//! The hands of recovery in the real world: processes, lock files, scratch, the journal, a person who looks on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::apply::{Change, Hands};
use super::locks;
use super::plan::Action;
use super::survey::look_at;
use super::witness::{SystemWitness, strays};
use crate::clock::SharedClock;
use crate::layout::{self, Layout};
use crate::os::lock;
use crate::os::process::ProcessId;
use crate::os::process::ending::{Patience, end_all};
use crate::os::trouble::Trouble;
use crate::spool::{Disk, Spool};
use crate::task::{FileName, RunId, TaskFile, WorkerName};
use crate::telemetry::journal::{self, Event, Journal, Line, owed};

/// How long the strays of one task may take to end.
const PATIENCE: Patience = Patience { grace: Duration::from_secs(2), total: Duration::from_secs(12) };

/// Hands that act.
pub struct SystemHands<'a> {
    /// Whose queue it is.
    pub spool: Arc<Spool<Disk>>,
    /// Time.
    pub clock: SharedClock,
    /// Where the agents' scratch is.
    pub scratch: PathBuf,
    /// The lock file that says who recovers: it goes last, by whoever wrote it.
    pub own_lock: Option<PathBuf>,
    /// Who is told.
    pub say: &'a dyn Fn(&str),
}

impl std::fmt::Debug for SystemHands<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemHands").field("scratch", &self.scratch).finish_non_exhaustive()
    }
}

impl SystemHands<'_> {
    fn layout(&self) -> &Layout {
        self.spool.layout()
    }

    fn worker(&self) -> &WorkerName {
        self.spool.worker()
    }

    /// Whether a folder of this name is the scratch of an agent that lives: by its lock, since a runbook may have
    /// moved its task to any place.
    fn is_living(&self, name: &std::ffi::OsStr) -> bool {
        let Some(run) = name.to_str().and_then(|name| name.parse().ok()).map(RunId) else { return false };
        let paths = self.layout().run(&run);
        // By what is there: a fault that lasts for weeks counts attempts by the thousand.
        let Ok(entries) = std::fs::read_dir(paths.dir()) else { return paths.dir().exists() };
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("attempt-"))
            .any(|entry| lock::is_held(&layout::stream_in(&entry.path())).unwrap_or(true))
    }

    /// The lines that a killed watcher owes.
    fn owed(&self, file: &FileName, task: &TaskFile) -> io::Result<Vec<Line>> {
        let Some(run) = task.record.run_id else { return Ok(Vec::new()) };
        let history = journal::read(&self.layout().run(&run).history())?;
        Ok(owed(self.worker(), file, task, &history))
    }

    /// Lines that the disk refuses stop recovery until it is over. What else may be wrong with the journal, whose it is
    /// for instance, stops nobody: then the lines stand in the log.
    fn write(&self, lines: &[Line]) -> io::Result<()> {
        let journal = Journal::new(self.layout().clone(), self.worker().clone());
        match journal.append_durably(lines, self.spool.store().durability()) {
            Err(error) if Trouble::of(&error).is_some_and(Trouble::is_of_the_disk) => Err(error),
            Err(error) => {
                tracing::warn!(error = %error, lines = ?lines, "could not write the journal");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn line(&self, action: &Action, file: &FileName, task: Option<&TaskFile>) -> Line {
        let mut line = Line::new(self.clock.wall(), self.worker().clone(), event(action));
        if let Some(task) = task {
            line = line.about(task.name(file), file, task.record.run_id);
            line.to = task.record.state;
            line.attempt = task.record.attempts.last().map(|it| it.number);
            line.error_code = task.record.error_code;
            line.correlation_id.clone_from(&task.spec.correlation_id);
        }
        line.reason = Some(action.to_string());
        if let Action::Requeue { charged, .. } = action {
            line.charged = Some(*charged);
        }
        line.identified()
    }
}

impl Hands for SystemHands<'_> {
    fn end(&self, file: &FileName, processes: &[ProcessId]) -> Vec<ProcessId> {
        let looking = || {
            let witness = SystemWitness::new(self.layout().clone());
            // Those of the plan, and whoever they brought up since: looked for again at each turn.
            let alive = |process: &&ProcessId| process.is_alive() == Some(true);
            let mut left: Vec<ProcessId> = processes.iter().filter(alive).cloned().collect();
            let active = look_at(&self.spool, &witness, file.clone());
            let run = active.task.as_ref().ok().and_then(|task| task.record.run_id);
            let agent = active
                .task
                .as_ref()
                .ok()
                .and_then(|task| task.record.open_attempt())
                .and_then(super::witness::process_of);
            left.extend(run.map(|run| strays(run, agent.as_ref())).unwrap_or_default());
            left.sort_by_key(|it| it.pid);
            left.dedup();
            left
        };
        end_all(looking, PATIENCE, &*self.clock).left
    }

    fn remove_lock(&self, path: &Path) {
        if self.own_lock.as_deref() == Some(path) {
            return;
        }
        if let Err(error) = locks::remove_stale(path) {
            (self.say)(&format!("Could not remove {}: {error}", path.display()));
        }
    }

    fn clear_scratch(&self) {
        let Ok(entries) = std::fs::read_dir(&self.scratch) else { return };
        for entry in entries.flatten() {
            if self.is_living(&entry.file_name()) {
                continue;
            }
            let path = entry.path();
            // Links are removed, never followed.
            let removed = if entry.file_type().is_ok_and(|it| it.is_dir()) {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            if let Err(error) = removed {
                (self.say)(&format!("Could not remove {}: {error}", path.display()));
            }
        }
    }

    fn note(&self, changes: &[Change<'_>]) -> io::Result<()> {
        let mut lines = Vec::new();
        for (action, task) in changes {
            let Some(file) = action.file() else { continue };
            if let Some(task) = task {
                lines.extend(self.owed(file, task)?);
            }
            lines.push(self.line(action, file, *task));
        }
        self.write(&lines)
    }

    fn say(&self, line: &str) {
        (self.say)(line);
    }
}

const fn event(action: &Action) -> Event {
    match action {
        Action::File { .. } | Action::Conclude { .. } | Action::Reject { .. } => Event::Concluded,
        Action::Requeue { .. } | Action::PutBack { .. } | Action::MoveBack { .. } => Event::Requeued,
        Action::Adopt { .. }
        | Action::Leave { .. }
        | Action::End { .. }
        | Action::DropGhost { .. }
        | Action::RemoveTemp { .. }
        | Action::RemoveLock { .. }
        | Action::ClearScratch => Event::Recovered,
    }
}
