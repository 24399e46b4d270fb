//! The hands of recovery in the real world: processes, lock files, scratch, the journal, a person who looks on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::apply::{Change, Hands};
use super::groups;
use super::locks;
use super::plan::Action;
use super::survey::look_at;
use super::witness::{SystemWitness, process_of, strays};
use crate::checkout::collect::Ending;
use crate::checkout::{self, Git};
use crate::clock::SharedClock;
use crate::layout::{self, Layout};
use crate::os::durable::Durability;
use crate::os::lock;
use crate::os::process::ProcessId;
use crate::os::process::ending::{Patience, end_all};
use crate::os::trouble::Trouble;
use crate::spool::{Disk, Lease, Spool};
use crate::task::{FileName, RunId, TaskFile, TaskState, WorkerName};
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
    /// What looks at repositories.
    pub git: Git,
    /// Whether a power cut counts.
    pub durability: Durability,
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
            if let Some(ended) = task.record.attempts.last().filter(|it| !it.is_open()) {
                line = line.spending(task, ended.usage());
            }
        }
        if matches!(line.event, Event::Concluded | Event::Requeued) {
            let changes = task.and_then(|it| it.record.changes.as_ref());
            line.changes = changes.map(ToString::to_string);
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
        let witness = SystemWitness::new(self.layout().clone());
        let active = look_at(&self.spool, &witness, file.clone());
        let record = active.task.as_ref().ok().filter(|_| active.believed).map(|task| &task.record);
        let attempt = record.and_then(|it| it.open_attempt());
        let run = record.and_then(|it| it.run_id);
        let agent = attempt.and_then(process_of);
        let group = run.zip(attempt).and_then(|(run, attempt)| groups::recorded(run, attempt));
        let looking = || {
            // Those of the plan, and whoever they brought up since: looked for again at each turn.
            let alive = |process: &&ProcessId| process.is_of_this_boot() && process.is_alive() != Some(false);
            let mut left: Vec<ProcessId> = processes.iter().filter(alive).cloned().collect();
            let strays = run.map(|run| strays(run, agent.as_ref(), group.as_ref())).transpose()?;
            left.extend(strays.unwrap_or_default());
            left.sort_by_key(|it| it.pid);
            left.dedup();
            Ok(left)
        };
        let ended = end_all(looking, group.as_ref(), PATIENCE, &*self.clock);
        // Nobody has proved them gone.
        if ended.is_unseen { processes.to_vec() } else { ended.left }
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

    fn collect(&self, lease: &mut Lease, state: Option<TaskState>) {
        let ending = Ending {
            run: lease.run,
            task: lease.name.clone(),
            paths: lease.paths(self.layout()),
            number: lease.number(),
            state,
            durability: self.durability,
        };
        match checkout::collect(&self.git, &ending) {
            Ok(None) => {}
            Ok(Some(report)) => {
                let brief = report.brief();
                (self.say)(&format!("{}: {brief}", lease.file));
                lease.task.record.changes = Some(brief);
            }
            Err(error) => {
                (self.say)(&format!("Could not write down what {} changed: {error}", lease.file));
            }
        }
    }

    /// Its control group too, and not before: what the kernel counted in it tells why the agent died.
    fn tidy(&self, lease: &Lease) {
        let last = lease.task.record.attempts.last();
        if let Some(group) = last.and_then(|attempt| groups::recorded(lease.run, attempt))
            && let Err(error) = group.remove()
        {
            // Whoever makes the next one tries it again.
            tracing::debug!(path = %group.path().display(), error = %error, "could not remove a control group");
        }
        let Some(state) = lease.task.record.state.filter(|it| it.is_terminal()) else { return };
        let paths = lease.paths(self.layout());
        let stays = checkout::tidy(&self.git, &paths, lease.number(), state);
        if let Some(why) = stays {
            (self.say)(&format!("The worktree of {} stays: {why}", lease.file));
        }
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
        | Action::TakeUp { .. }
        | Action::Leave { .. }
        | Action::End { .. }
        | Action::DropGhost { .. }
        | Action::RemoveTemp { .. }
        | Action::RemoveLock { .. }
        | Action::ClearScratch => Event::Recovered,
    }
}
