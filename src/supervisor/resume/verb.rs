//! `supervisor resume W`: lets the backlog of a worker go in batches.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use super::bar::Bar;
use super::lead::{Lead, Told};
use super::plan;
use crate::clock::SharedClock;
use crate::config::{Exit, ResumeConfig};
use crate::layout::Layout;
use crate::os::signals::{self, Signal};
use crate::recovery::ramp::lines::remedy;
use crate::recovery::ramp::{Approach, End, Leader, LeaderError, Line, Record, Terms, approach};
use crate::spool::{Disk, Spool};
use crate::task::Place;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// What is wanted of a resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Only the plan.
    Plan,
    /// To lead it to its end.
    Lead,
    /// To end one before its time.
    Abandon,
}

/// How it looks to the person.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Hears every line.
    pub say: &'a dyn Fn(&str),
    /// Hears what does not work.
    pub warn: &'a dyn Fn(&str),
    /// Whether there is a terminal to draw a bar on.
    pub is_terminal: bool,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("is_terminal", &self.is_terminal).finish_non_exhaustive()
    }
}

/// How it ended, or what it would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resumed {
    /// Whose tasks.
    pub worker: String,
    /// `planned`, `completed`, `stopped`, `interrupted` or `abandoned`.
    pub state: &'static str,
    /// Why it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many tasks waited.
    pub found: usize,
    /// How many were let go.
    pub released: usize,
    /// How many of them ended well so far.
    pub done: usize,
    /// How many of them failed.
    pub failed: usize,
    /// How many batches there were.
    pub batches: u32,
    /// The files of each batch, of a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<Vec<String>>>,
}

impl Resumed {
    /// With what the program ends.
    pub fn exit(&self) -> Exit {
        match self.state {
            "stopped" => Exit::TaskFailed,
            "interrupted" => Exit::TryAgain,
            _ => Exit::Done,
        }
    }

    pub(super) fn of(config: &ResumeConfig, state: &'static str, record: Option<&Record>) -> Self {
        Self {
            worker: config.worker.to_string(),
            state,
            reason: record.and_then(|it| it.reason.clone()),
            found: record.map_or(0, |it| it.found),
            released: record.map_or(0, |it| it.released),
            done: record.map_or(0, |it| it.done),
            failed: record.map_or(0, |it| it.failed),
            batches: record.map_or(0, |it| it.batch),
            plan: None,
        }
    }
}

/// Why there was no resume.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// There is no such worker here.
    #[error("there is no worker `{worker}` below `{root}`")]
    Unknown {
        /// The name.
        worker: String,
        /// The root.
        root: PathBuf,
    },
    /// Somebody leads it.
    #[error("a gradual resume of {worker} is led already{who}")]
    Led {
        /// The worker.
        worker: String,
        /// By whom, and how far it is.
        who: String,
    },
    /// A folder or the file could not be looked at.
    #[error("could not look at `{path}`")]
    Look {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The record could not be written.
    #[error("could not begin")]
    Begin(#[source] LeaderError),
    /// This process could not be prepared.
    #[error("could not prepare this process")]
    Process(#[source] std::io::Error),
}

impl ResumeError {
    /// The exit status for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unknown { .. } => Exit::Data,
            Self::Led { .. } | Self::Begin(_) => Exit::TryAgain,
            Self::Look { source, .. } => Exit::of_io(source),
            Self::Process(_) => Exit::Internal,
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Led { .. } => Some("let it lead, or end the resume with --abandon"),
            Self::Begin(_) => Some("nothing was moved; run it again when the disk takes it"),
            Self::Unknown { .. } => {
                Some("`agentctl status` names the workers of a root; --root says which root")
            }
            Self::Look { .. } | Self::Process(_) => None,
        }
    }
}

/// Resumes a worker's backlog gradually, or says what that would do.
pub fn run(
    config: &ResumeConfig,
    wish: Wish,
    clock: &SharedClock,
    view: View<'_>,
) -> Result<Resumed, ResumeError> {
    let layout = Layout::new(&config.root);
    if !layout.worker(&config.worker).is_dir() {
        let (worker, root) = (config.worker.to_string(), config.root.clone());
        return Err(ResumeError::Unknown { worker, root });
    }
    let disk = Disk::new(&config.root, config.durability);
    let spool = Arc::new(Spool::new(layout, config.worker.clone(), disk, Arc::clone(clock)));
    match wish {
        Wish::Plan => plan::plan(config, &spool, view),
        Wish::Abandon => plan::abandon(config, &spool, view),
        Wish::Lead => lead(config, &spool, view),
    }
}

/// How many tasks wait in `pending/`.
pub(super) fn backlog(spool: &Spool<Disk>) -> Result<usize, ResumeError> {
    let path = spool.layout().place(spool.worker(), Place::Pending);
    spool.list(Place::Pending).map(|files| files.len()).map_err(|source| ResumeError::Look { path, source })
}

/// What was asked for on the command line.
pub(super) fn terms(config: &ResumeConfig) -> Terms {
    Terms {
        batch_size: config.batch_size,
        delay_s: config.delay.as_secs_f64(),
        max_failure_rate: config.max_failure_rate,
        adaptive: config.adaptive,
        leaderless_s: config.leaderless.as_secs_f64(),
    }
}

fn lead(config: &ResumeConfig, spool: &Arc<Spool<Disk>>, view: View<'_>) -> Result<Resumed, ResumeError> {
    let signals = signals::listen().map_err(ResumeError::Process)?;
    if let Some(lead) = take(config, spool)? {
        return lead_on(config, lead, signals, view);
    }
    for line in [Line::Found(0), Line::Completed] {
        (view.say)(&line.text(&config.worker));
    }
    Ok(Resumed::of(config, "completed", None))
}

/// Takes the lead; `None` if there is nothing to do.
fn take(config: &ResumeConfig, spool: &Arc<Spool<Disk>>) -> Result<Option<Lead>, ResumeError> {
    let path = spool.layout().resume(&config.worker);
    let approached =
        approach(&path, &spool.clock()).map_err(|source| ResumeError::Look { path: path.clone(), source })?;
    let leader = match approached {
        Approach::Led(record) => return Err(led(config, record.as_deref())),
        Approach::Orphaned(record, leader) => {
            let followed = Lead::follow(Arc::clone(spool), leader, *record);
            return followed.map(Some).map_err(ResumeError::Begin);
        }
        Approach::Free => Leader::first(path.clone()),
        Approach::Stopped(_, leader) | Approach::Nonsense(leader) => leader,
    };
    let found = backlog(spool)?;
    if found == 0 {
        leader.sweep(spool);
        leader.retire(spool).map_err(|source| ResumeError::Begin(LeaderError::Disk { path, source }))?;
        return Ok(None);
    }
    match Lead::begin(Arc::clone(spool), leader, terms(config), found) {
        // Another was faster.
        Err(LeaderError::Lost(path)) => Err(led(config, Record::read(&path).ok().flatten().as_ref())),
        other => other.map(Some).map_err(ResumeError::Begin),
    }
}

fn led(config: &ResumeConfig, record: Option<&Record>) -> ResumeError {
    let far = |it: &Record| format!(" by pid {} ({})", it.leader.pid, it.summary());
    ResumeError::Led { worker: config.worker.to_string(), who: record.map(far).unwrap_or_default() }
}

fn lead_on(
    config: &ResumeConfig,
    mut lead: Lead,
    mut signals: mpsc::UnboundedReceiver<Signal>,
    view: View<'_>,
) -> Result<Resumed, ResumeError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(ResumeError::Process)?;
    let bar = if view.is_terminal { Bar::drawn() } else { Bar::absent() };
    let mut tell = |told: Told, _: &Record| {
        bar.aside(|| match told {
            Told::Line(line) => (view.say)(&line.text(&config.worker)),
            Told::Trouble(why) => (view.warn)(&format!("{why}; it is tried again")),
        });
    };
    let end = runtime.block_on(async {
        loop {
            if let Some(end) = lead.turn(&mut tell) {
                return Some(end);
            }
            bar.show(lead.record());
            let stopped = async {
                while let Some(signal) = signals.recv().await {
                    if signal == Signal::Stop {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                () = stopped => return None,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    });
    drop(bar);
    let record = lead.record().clone();
    drop(lead);
    let state = match end {
        Some(End::Completed) => "completed",
        Some(End::Stopped) => "stopped",
        Some(End::Abandoned) => "abandoned",
        None => "interrupted",
    };
    for line in last_words(config, end, &record) {
        (view.say)(&line);
    }
    Ok(Resumed::of(config, state, Some(&record)))
}

/// What a person has to know when it did not come to its end.
fn last_words(config: &ResumeConfig, end: Option<End>, record: &Record) -> Vec<String> {
    let worker = &config.worker;
    let left = record.found.saturating_sub(record.released);
    match end {
        Some(End::Completed | End::Abandoned) => Vec::new(),
        Some(End::Stopped) => vec![
            format!("Stopped: {}", record.reason.as_deref().unwrap_or("too much failed")),
            format!("{left} tasks stay in pending/, and {worker} takes none of them, nor of the inbox"),
            format!("do: {}", remedy(worker)),
        ],
        None => vec![format!(
            "Interrupted after batch {}: {left} tasks stay in pending/. `supervisor resume {worker}` goes on, and so \
             does a running `supervisor up`; if nobody does for {} s, {worker} takes everything again",
            record.batch, record.terms.leaderless_s
        )],
    }
}
