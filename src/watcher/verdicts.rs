//! Filing what is no task: one after the other on one thread, so that a thousand of them cost what one costs.
//!
//! What cannot be moved stays where it is and is shown in the health of the queue; it is said once, and tried again at
//! each look at everything.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::board::Board;
use super::core::Sentence;
use super::effects::{Errands, Told};
use super::look;
use crate::spool::{Disk, Examined, Spool, StepError};
use crate::task::{ErrorCode, FileName, Misfit, Place};
use crate::telemetry::metrics::Metrics;

/// What is to be filed.
#[derive(Debug)]
pub(super) enum Verdict {
    /// A file that is no task.
    NoTask(Sentence),
    /// A file whose name is no task file's.
    NoName(PathBuf, Misfit),
}

impl Verdict {
    fn path(&self, spool: &Spool<Disk>) -> PathBuf {
        match self {
            Self::NoTask(it) => spool.path(it.place, &it.file),
            Self::NoName(path, _) => path.clone(),
        }
    }
}

/// The verdicts that wait, one for each file: it may be looked at often before its turn comes.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    waiting: HashMap<PathBuf, Verdict>,
    is_busy: bool,
}

impl Verdicts {
    /// One more.
    pub(super) fn add(&mut self, verdict: Verdict, spool: &Spool<Disk>) {
        self.waiting.insert(verdict.path(spool), verdict);
    }

    /// The last round is over.
    pub(super) fn done(&mut self) {
        self.is_busy = false;
    }

    /// Begins a round, if there is anything to do and none is under way.
    pub(super) fn go(&mut self, errands: &Errands) {
        if self.is_busy || self.waiting.is_empty() {
            return;
        }
        self.is_busy = true;
        let round = std::mem::take(&mut self.waiting);
        let clerk =
            Clerk { metrics: Arc::clone(&errands.ctx.metrics), board: Arc::clone(&errands.ctx.board) };
        errands.go(move |spool| {
            let mut told: Vec<_> = round.into_values().filter_map(|it| clerk.file(spool, &it)).collect();
            told.push(Told::Judged);
            told
        });
    }
}

/// Who files, off the loop.
struct Clerk {
    metrics: Arc<Metrics>,
    board: Arc<Board>,
}

impl Clerk {
    fn file(&self, spool: &Arc<Spool<Disk>>, verdict: &Verdict) -> Option<Told> {
        let slot = match verdict {
            Verdict::NoTask(sentence) => Some(vec![(sentence.place, sentence.file.clone())]),
            Verdict::NoName(..) => None,
        };
        let looked = slot.clone().map(|slot| look::look_at(spool, slot)).unwrap_or_default();
        if looked.iter().any(|(_, found)| is_another(found, verdict)) {
            // Its writer was slower than our patience, and faster than we.
            return Some(Told::Looked(looked));
        }
        let done = match verdict {
            Verdict::NoTask(it) => spool.reject(it.place, &it.file, it.code, &it.why),
            Verdict::NoName(path, misfit) => spool.reject_misfit(path, misfit),
        };
        self.filed(spool, verdict, done).then(|| Told::Looked(look::look_at(spool, slot.unwrap_or_default())))
    }

    /// Says what came of it; whether it should be looked at again.
    fn filed(&self, spool: &Spool<Disk>, verdict: &Verdict, done: Result<FileName, StepError>) -> bool {
        let path = verdict.path(spool);
        let (code, why) = match verdict {
            Verdict::NoTask(it) => (it.code, &it.why),
            Verdict::NoName(_, misfit) => (ErrorCode::E002, &misfit.why),
        };
        let file = crate::task::text::shown(&path.file_name().unwrap_or_default().to_string_lossy(), 255);
        match done {
            Ok(name) => {
                self.board.moved(&path);
                self.metrics.runbook().task_failed();
                self.board.filed(Place::Failed);
                tracing::warn!(file = %file, filed = %name, error_code = %code, reason = %why, "not a task; moved to failed");
                true
            }
            // Another worker was faster with what lay in the inbox.
            Err(error) if error.is_gone() => {
                self.board.moved(&path);
                tracing::debug!(file = %file, "gone before it could be filed");
                true
            }
            Err(error) => {
                let said = format!("could not move what is no task to failed: {error}: {}", error.source);
                if self.board.immovable(path, why.clone()) {
                    tracing::warn!(file = %file, reason = %why, remedy = "remove it by hand; it is tried again every few seconds, and said once", "{said}");
                }
                // The next look at everything tries again: asked now, it would be tried without a pause.
                false
            }
        }
    }
}

/// Whether there is something else now than what was judged.
fn is_another(found: &Examined, verdict: &Verdict) -> bool {
    match (found, verdict) {
        (Examined::Unsettled { identity, .. }, Verdict::NoTask(it)) => {
            it.settled.is_some() && *identity != it.settled
        }
        (Examined::Invalid { .. } | Examined::Unsettled { .. }, _) => false,
        (Examined::Task(_) | Examined::Gone | Examined::Elsewhere { .. } | Examined::Copy { .. }, _) => true,
    }
}
