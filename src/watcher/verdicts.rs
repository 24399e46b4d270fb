//! What is done with drops that are no tasks: one after the other on one thread, so that a thousand of them cost what one costs.
//!
//! What cannot be moved stays where it is and is shown in the health of the queue; it is said once, and tried again at
//! each look at everything.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::board::Board;
use super::core::Sentence;
use super::effects::{Errands, Told};
use super::herald::Herald;
use super::look::{self, Slot};
use crate::clock::Clock;
use crate::spool::{Disk, Examined, Spool, StepError};
use crate::task::text::shown;
use crate::task::{ErrorCode, FileName, Misfit, Place, TaskState, WorkerName};
use crate::telemetry::journal::{Event, Journal, Line};
use crate::telemetry::metrics::Metrics;
use crate::text::redact::Redactor;

/// What is to be filed.
#[derive(Debug)]
pub(super) enum Verdict {
    /// A file that is no task.
    NoTask(Sentence),
    /// A file whose name is no task file's.
    NoName(PathBuf, Misfit),
    /// A copy of a task that this worker has: it is removed.
    Copy(Slot, WorkerName),
}

impl Verdict {
    fn path(&self, spool: &Spool<Disk>) -> PathBuf {
        match self {
            Self::NoTask(it) => spool.path(it.place, &it.file),
            Self::NoName(path, _) => path.clone(),
            Self::Copy((place, file), _) => spool.path(*place, file),
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
    pub(super) fn done(&mut self, errands: &Errands) {
        self.is_busy = false;
        self.go(errands);
    }

    /// Begins a round, if there is anything to do and none is under way.
    pub(super) fn go(&mut self, errands: &Errands) {
        if self.is_busy || self.waiting.is_empty() {
            return;
        }
        self.is_busy = true;
        let round = std::mem::take(&mut self.waiting);
        let ctx = &errands.ctx;
        let (metrics, board) = (Arc::clone(&ctx.metrics), Arc::clone(&ctx.board));
        let (journal, clock) = (ctx.journal.clone(), Arc::clone(&ctx.clock));
        let worker = ctx.config.worker.clone();
        let (redactor, herald) = (ctx.redactor.clone(), ctx.herald.clone());
        let clerk = Clerk { metrics, board, redactor, journal, herald, clock, worker };
        let ours = ctx.ours();
        errands.go_on(move |spool, tell| {
            // Without the lock they are another watcher's to file.
            if !ours() {
                return tell(Told::Judged);
            }
            round.into_values().filter_map(|it| clerk.file(spool, &it)).for_each(tell);
            tell(Told::Judged);
        });
    }
}

/// Who files, off the loop.
struct Clerk {
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    redactor: Redactor,
    journal: Journal,
    herald: Herald,
    clock: Arc<dyn Clock>,
    worker: WorkerName,
}

impl Clerk {
    fn file(&self, spool: &Arc<Spool<Disk>>, verdict: &Verdict) -> Option<Told> {
        match verdict {
            Verdict::NoTask(sentence) => self.no_task(spool, sentence),
            Verdict::NoName(path, misfit) => {
                let done = spool.reject_misfit(path, misfit);
                self.say(path, (ErrorCode::E002, &misfit.why), done);
                None
            }
            Verdict::Copy((place, file), owner) => {
                match spool.drop_foreign_copy(*place, file, owner) {
                    Ok(true) => {
                        let what = format!(
                            "removed a copy of a task that another worker has, from {place}/: {owner} has it"
                        );
                        self.herald.caution(Some(file.as_str()), &what, None);
                    }
                    Ok(false) => {}
                    Err(error) => {
                        let what =
                            format!("could not remove a copy of a task that another worker has: {error}");
                        self.herald.caution(Some(file.as_str()), &what, None);
                    }
                }
                None
            }
        }
    }

    fn no_task(&self, spool: &Arc<Spool<Disk>>, sentence: &Sentence) -> Option<Told> {
        let slot = vec![(sentence.place, sentence.file.clone())];
        let looked = look::look_at(spool, slot.clone());
        if looked.iter().any(|(_, found)| is_another(found, sentence)) {
            // Its writer was slower than our patience, and faster than we.
            return Some(Told::Looked(looked));
        }
        // Two names, since whoever moved it to staged was killed in between.
        if spool.mend(&sentence.file).unwrap_or(false) {
            return Some(Told::Looked(look::look_at(spool, slot)));
        }
        // What is wrong with a file is said with words out of it.
        let why = self.redactor.redact(&sentence.why);
        let done = spool.reject(sentence.place, &sentence.file, sentence.code, &why);
        let path = spool.path(sentence.place, &sentence.file);
        let is_over = self.say(&path, (sentence.code, &why), done);
        // What is still there is tried at the next look at everything: asked now, it would be without a pause.
        is_over.then(|| Told::Looked(look::look_at(spool, slot)))
    }

    /// Whoever follows the journal is told of it as of a task that failed: it was dropped as one.
    fn note(&self, file: &FileName, code: ErrorCode, why: &str) {
        let mut line = Line::new(self.clock.wall(), self.worker.clone(), Event::Concluded);
        (line.task, line.file) = (file.task_name(), Some(file.as_str().to_owned()));
        line.to = Some(TaskState::Failed);
        line.error_code = Some(code);
        line.reason = Some(why.to_owned());
        if let Err(error) = self.journal.append(&line) {
            tracing::warn!(error = %error, "could not write the journal; the line waits in memory");
        }
        self.herald.note(&line, None);
    }

    /// Says what came of it; whether it is over.
    fn say(&self, path: &Path, (code, why): (ErrorCode, &str), done: Result<FileName, StepError>) -> bool {
        let file = shown(&path.file_name().unwrap_or_default().to_string_lossy(), 255);
        match done {
            Ok(name) => {
                self.board.moved(path);
                self.metrics.runbook().task_failed();
                self.board.filed(Place::Failed);
                self.note(&name, code, why);
                let what = format!("not a task; moved to failed/{name}: {code} {why}");
                self.herald.caution(Some(&file), &what, Some("mend it, and drop it again"));
                true
            }
            // Another worker was faster with what lay in the inbox.
            Err(error) if error.is_gone() => {
                self.board.moved(path);
                tracing::debug!(file = %file, "gone before it could be filed");
                true
            }
            Err(error) => {
                if self.board.immovable(path.to_owned(), why.to_owned()) {
                    let what =
                        format!("could not move what is no task to failed: {error}: {}; {why}", error.source);
                    let remedy =
                        Some("remove it by hand; it is tried again every few seconds, and said once");
                    self.herald.caution(Some(&file), &what, remedy);
                }
                false
            }
        }
    }
}

/// Whether there is something else now than what was judged.
fn is_another(found: &Examined, judged: &Sentence) -> bool {
    match found {
        Examined::Unsettled { identity, .. } => judged.settled.is_some() && *identity != judged.settled,
        Examined::Invalid { .. } => false,
        Examined::Task(_) | Examined::Gone | Examined::Elsewhere { .. } | Examined::Copy { .. } => true,
    }
}
