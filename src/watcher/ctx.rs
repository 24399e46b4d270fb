//! What all rooms of the worker share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::board::Board;
use crate::agent::disposition::Holding;
use crate::agent::transcript;
use crate::agent::trouble::Program;
use crate::clock::SharedClock;
use crate::config::{AgentKind, Environment, WatcherConfig};
use crate::layout::Layout;
use crate::os::lock::Lock;
use crate::os::process::Reaper;
use crate::spool::{Disk, Lease, Spool};
use crate::task::{HoldCause, TaskState};
use crate::telemetry::journal::{Event, Journal, Line};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::text::redact::Redactor;

/// Shared by every room; nothing in it is exclusive.
#[derive(Debug)]
pub(super) struct Ctx {
    pub(super) config: WatcherConfig,
    pub(super) environment: Environment,
    pub(super) redactor: Redactor,
    pub(super) clock: SharedClock,
    pub(super) spool: Arc<Spool<Disk>>,
    pub(super) reaper: Arc<Reaper>,
    pub(super) journal: Journal,
    pub(super) metrics: Arc<Metrics>,
    pub(super) board: Arc<Board>,
    pub(super) scratch: PathBuf,
    pub(super) traces: Traces,
    pub(super) lock: Arc<Lock>,
    /// Whether changes may come without a kernel event.
    pub(super) remote: bool,
}

impl Ctx {
    /// Whether the worker is still ours: asked right before anything of it is changed.
    pub(super) fn is_ours(&self) -> bool {
        self.lock.is_still(&self.layout().worker(&self.config.worker))
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
            return match Program::look(path) {
                Program::Absent => Err(missing(&format!("`{}` is not there", path.display()))),
                Program::Directory => Err(missing(&format!("`{}` is a directory", path.display()))),
                Program::Plain | Program::Script { .. } | Program::Binary => Ok(path.clone()),
            };
        }
        let found =
            self.environment.search_path().into_iter().map(|dir| dir.join("claude")).find(|it| it.is_file());
        found.ok_or_else(|| missing("no `claude` in PATH"))
    }

    /// Notes a change of a task's state, in the journal and in the run's history.
    pub(super) fn note(&self, event: Event, lease: &Lease, detail: impl FnOnce(&mut Line)) {
        let mut line = Line::new(self.clock.wall(), lease.worker.clone(), event).about(
            lease.name.clone(),
            &lease.file,
            Some(lease.run),
        );
        line.attempt = Some(lease.number());
        line.correlation_id.clone_from(&lease.task.spec.correlation_id);
        line.to = lease.task.record.state;
        detail(&mut line);
        self.write_note(&line);
    }

    /// Notes what concerns the worker itself.
    pub(super) fn note_worker(&self, event: Event, reason: &str) {
        let mut line = Line::new(self.clock.wall(), self.config.worker.clone(), event);
        line.reason = Some(reason.to_owned());
        self.write_note(&line);
    }

    fn write_note(&self, line: &Line) {
        // What a full disk keeps out of the journal is in the log, and in the task file itself.
        if let Err(error) = self.journal.append(line) {
            tracing::warn!(error = %error, "could not write the journal");
        }
    }

    /// A number from 0 to 1 that two workers do not share.
    #[expect(clippy::cast_precision_loss, reason = "a thousandth is fine enough")]
    pub(super) fn jitter() -> f64 {
        (uuid::Uuid::new_v4().as_u128() % 1000) as f64 / 1000.0
    }
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
