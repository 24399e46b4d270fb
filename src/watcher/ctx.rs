//! What all rooms of the worker share.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::board::Board;
use super::budgets::Budgets;
use super::cli::Cli;
use super::command::said;
use super::disks::{Disks, Seen};
use super::fence::Fence;
use super::groups::Groups;
use super::herald::Herald;
use super::live::Live;
use super::machine::Machine;
use super::scale::Scale;
use super::seats::Seats;
use crate::agent::disposition::Holding;
use crate::agent::transcript;
use crate::checkout::Git;
use crate::clock::{SharedClock, Ticks, Timestamp};
use crate::config::{AgentKind, Environment};
use crate::layout::Layout;
use crate::limits::Limiter;
use crate::os::durable::Durability;
use crate::os::lock::Lock;
use crate::os::process::{Reaper, Starters};
use crate::os::trouble::Trouble;
use crate::pack::Shelf;
use crate::pipe::event::Kind;
use crate::spool::{Disk, Lease, Spool};
use crate::task::{HoldCause, TaskState};
use crate::telemetry::journal::{self, Event, Journal, Line, owed};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::text::redact::Redactor;

/// What a worker has from the moment on at which its lock is its own.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) lock: Arc<Lock>,
    /// Whether changes may come without a kernel event.
    pub(super) remote: bool,
}

/// Shared by every room; nothing in it is exclusive.
#[derive(Debug)]
pub(super) struct Ctx {
    pub(super) config: Live,
    pub(super) environment: Environment,
    pub(super) redactor: Redactor,
    pub(super) clock: SharedClock,
    pub(super) spool: Arc<Spool<Disk>>,
    pub(super) reaper: Arc<Reaper>,
    pub(super) starters: Starters,
    pub(super) journal: Journal,
    pub(super) metrics: Arc<Metrics>,
    pub(super) board: Arc<Board>,
    pub(super) scratch: PathBuf,
    pub(super) disks: Disks,
    pub(super) machine: Machine,
    pub(super) scale: Arc<Scale>,
    pub(super) groups: Arc<Groups>,
    pub(super) fence: Fence,
    pub(super) cli: Cli,
    pub(super) traces: Traces,
    pub(super) herald: Herald,
    /// What all workers of the account know; an agent that costs nothing has no account.
    pub(super) limits: Option<Arc<Limiter>>,
    pub(super) packs: Arc<Shelf>,
    pub(super) git: Git,
    pub(super) seats: Arc<Seats>,
    pub(super) budgets: Budgets,
    /// What it has once it is in; until then it waits.
    pub(super) entered: OnceCell<Entered>,
}

impl Ctx {
    /// Whether the worker is still ours: asked right before anything of it is changed.
    pub(super) fn is_ours(&self) -> bool {
        self.ours()()
    }

    /// The same question, to be asked off the loop.
    pub(super) fn ours(&self) -> impl Fn() -> bool + Send + use<> {
        let lock = self.entered.get().map(|it| Arc::clone(&it.lock));
        let folder = self.layout().worker(&self.config.worker);
        move || lock.as_ref().is_some_and(|lock| lock.is_still(&folder))
    }

    /// Where everything is.
    pub(super) fn layout(&self) -> &Layout {
        self.spool.layout()
    }

    /// Where the CLI keeps its transcripts.
    pub(super) fn config_dir(&self) -> Option<PathBuf> {
        let given = self.environment.get("CLAUDE_CONFIG_DIR").map(Path::new);
        transcript::config_dir(given, self.environment.get("HOME").map(Path::new))
    }

    /// Looks at the disks; what there is to remember is on the board then.
    pub(super) fn look_at_disks(&self) -> Seen {
        let seen = self.disks.look(&self.metrics);
        if let Some(why) = &seen.out {
            self.board.show().out = Some((self.clock.ticks(), why.clone()));
        }
        seen
    }

    /// Whether a disk was seen to be full since `began`.
    pub(super) fn was_out_since(&self, began: Ticks) -> bool {
        self.board.show().out.as_ref().is_some_and(|(at, _)| *at >= began)
    }

    /// Why somebody who wrote since `began` may have met a full disk.
    pub(super) fn out_since(&self, began: Ticks) -> Option<String> {
        self.look_at_disks();
        let shown = self.board.show();
        shown.out.as_ref().filter(|(at, _)| *at >= began).map(|(_, why)| why.clone())
    }

    /// The agent's program, looked for anew each time: it may be installed or updated while we run.
    pub(super) fn program(&self) -> Result<PathBuf, Holding> {
        match self.config.agent {
            AgentKind::Echo => {
                std::env::current_exe().map_err(|error| missing(&format!("cannot find myself: {error}")))
            }
            AgentKind::Claude => self.claude(),
        }
    }

    fn claude(&self) -> Result<PathBuf, Holding> {
        if let Some(path) = &self.config.claude_bin {
            return match std::fs::metadata(path) {
                Ok(meta) if meta.is_dir() => Err(missing(&format!("`{}` is a directory", path.display()))),
                Ok(_) => Ok(path.clone()),
                Err(_) => Err(missing(&format!("`{}` is not there", path.display()))),
            };
        }
        let found =
            self.environment.search_path().into_iter().map(|dir| dir.join("claude")).find(|it| it.is_file());
        found.ok_or_else(|| missing("no `claude` in PATH"))
    }

    /// Notes a change of a task's state, in the journal and in the run's history.
    pub(super) fn note(&self, event: Event, lease: &Lease, detail: impl FnOnce(&mut Line)) {
        let mut line = line_about(event, lease, self.clock.wall());
        detail(&mut line);
        self.write_note(&line);
        self.herald.note(&line, Some(&lease.task.record));
    }

    /// Notes what a watcher before us did to a task that lives on, and did not come to note.
    pub(super) fn note_owed(&self, lease: &Lease) {
        let history = journal::read(&lease.paths(self.layout()).history()).unwrap_or_default();
        for line in owed(&lease.worker, &lease.file, &lease.task, &history) {
            self.write_note(&line);
        }
    }

    /// Notes what concerns the worker itself.
    pub(super) fn note_worker(&self, event: Event, reason: &str) {
        self.note_asked(event, reason.to_owned(), None);
    }

    /// The same, with who asked for it.
    pub(super) fn note_asked(&self, event: Event, reason: String, by: Option<String>) {
        let mut line = Line::new(self.clock.wall(), self.config.worker.clone(), event);
        (line.reason, line.by) = (Some(reason), by);
        self.write_note(&line);
    }

    /// Says how the worker is, on the pipe for events. To be called by nobody who looks at the board.
    pub(super) fn tell_status(&self) {
        self.herald.tell(Kind::Status, None, || said::event(&self.board.show()));
    }

    fn write_note(&self, line: &Line) {
        if let Err(error) = self.journal.append(line) {
            tracing::warn!(error = %error, "could not write the journal; the line waits in memory");
        }
    }

    /// What notes a move in the journal before it is made; to be called off the loop. A disk that refuses stops the
    /// move, which is tried again as a whole; for whatever else is wrong with the journal nobody waits.
    pub(super) fn noter<D: FnOnce(&mut Line) + Send + 'static>(
        &self,
        event: Event,
        detail: D,
    ) -> impl FnOnce(&Lease) -> std::io::Result<()> + Send + use<D> {
        let (journal, clock, herald) = (self.journal.clone(), Arc::clone(&self.clock), self.herald.clone());
        let durability = self.config.durability;
        move |lease| {
            let mut line = line_about(event, lease, clock.wall());
            detail(&mut line);
            append_durably(&journal, &line, durability)?;
            herald.note(&line, Some(&lease.task.record));
            Ok(())
        }
    }

    /// A number from 0 to 1 that two workers do not share.
    #[expect(clippy::cast_precision_loss, reason = "a thousandth is fine enough")]
    pub(super) fn jitter() -> f64 {
        (uuid::Uuid::new_v4().as_u128() % 1000) as f64 / 1000.0
    }
}

/// A disk that refuses is an error; whatever else is wrong with the journal costs a warning.
pub(super) fn append_durably(journal: &Journal, line: &Line, durability: Durability) -> std::io::Result<()> {
    match journal.append_durably(std::slice::from_ref(line), durability) {
        Err(error) if Trouble::of(&error).is_some_and(Trouble::is_of_the_disk) => Err(error),
        Err(error) => {
            tracing::warn!(error = %error, "could not write the journal; the line waits in memory");
            journal.append(line).ok();
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn line_about(event: Event, lease: &Lease, now: Timestamp) -> Line {
    let mut line =
        Line::new(now, lease.worker.clone(), event).about(lease.name.clone(), &lease.file, Some(lease.run));
    line.attempt = Some(lease.number());
    line.correlation_id.clone_from(&lease.task.spec.correlation_id);
    line.pack.clone_from(&lease.task.spec.kind);
    line.to = lease.task.record.state;
    if matches!(event, Event::Concluded | Event::Requeued) {
        line.changes = lease.task.record.changes.as_ref().map(ToString::to_string);
    }
    line.identified()
}

fn missing(what: &str) -> Holding {
    Holding {
        cause: HoldCause::Configuration,
        reason: format!("the agent cannot be started: {what}"),
        remedy: "install it with `npm install -g @anthropic-ai/claude-code`, or name it with --claude-bin or CLAUDE_BIN; \
                 `--agent echo` tries everything else out without it"
            .to_owned(),
        until: None,
    }
}

/// The states of a task on its way, for the journal.
pub(super) const WORKING: TaskState = TaskState::Running;
