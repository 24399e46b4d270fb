//! Tells on `<worker>.out` what happens, and answers commands.
//!
//! Invariants:
//! - what the journal notes of a task is told here from the same line, so that the two never differ;
//! - each command is answered once: an [`Asker`] that is dropped says by itself that nothing came of it;
//! - nobody who tells waits for a reader, on whichever thread.
//!
//! It deliberately does not know who listens.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::clock::{SharedClock, Timestamp};
use crate::config::WatcherConfig;
use crate::layout::Layout;
use crate::pipe::answer::Callers;
use crate::pipe::event::{Event, Kind, Teller};
use crate::pipe::framing::Unfit;
use crate::pipe::outlet::{self, Listener, Outlet};
use crate::pipe::place::{Notice, Place, PlaceError};
use crate::pipe::reply::Reply;
use crate::pipe::words::{Op, Refusal, Request};
use crate::spool::Lease;
use crate::task::Record;
use crate::telemetry::journal::{Event as Noted, Line};
use crate::telemetry::metrics::Metrics;
use crate::text::redact::Redactor;

/// Who tells. Cloning shares the pipe.
#[derive(Clone, Debug)]
pub(super) struct Herald {
    outlet: Arc<Mutex<Outlet>>,
    callers: Arc<Mutex<Callers>>,
    layout: Layout,
    metrics: Arc<Metrics>,
    clock: SharedClock,
}

impl Herald {
    pub(super) fn new(
        config: &WatcherConfig,
        layout: &Layout,
        (metrics, redactor): (Arc<Metrics>, Redactor),
        clock: SharedClock,
    ) -> Self {
        let place = Place::new(layout.root(), &layout.events(&config.worker), config.pipes.to_read());
        let teller = Teller::new(&config.worker, uuid::Uuid::now_v7(), redactor);
        let outlet = Arc::new(Mutex::new(Outlet::new(place, teller)));
        let callers = Arc::new(Mutex::new(callers_in(layout, layout.pipes())));
        Self { outlet, callers, layout: layout.clone(), metrics, clock }
    }

    /// Sees that the pipe stands where it should, and whether somebody new reads; to be asked every second.
    pub(super) fn look(&self, notices: &mut Vec<Notice>) -> Result<Listener, PlaceError> {
        let mut outlet = self.outlet();
        let seen = outlet.look(notices);
        self.callers().forget();
        self.metrics.set_pipe_dropped(outlet.lost());
        seen
    }

    /// Waits until the reader has left; for ever, if there is none.
    pub(super) async fn left(&self) {
        let pipe = self.outlet().pipe();
        outlet::left(pipe.as_deref()).await;
        self.outlet().close(pipe.as_ref());
    }

    /// Tells of something; `data` is asked for only if somebody listens.
    pub(super) fn tell(&self, kind: Kind, subject: Option<&str>, data: impl FnOnce() -> Value) {
        let event = || Event::new(kind, subject.map(str::to_owned), self.clock.wall(), data());
        self.outlet().tell(event);
    }

    /// Tells something of a run.
    pub(super) fn tell_of(&self, kind: Kind, lease: &Lease, data: impl FnOnce() -> Value) {
        self.tell(kind, Some(lease.name.as_str()), || {
            let mut data = data();
            data["run_id"] = json!(lease.run);
            data["attempt"] = json!(lease.number());
            data
        });
    }

    /// Tells what the journal notes.
    pub(super) fn note(&self, line: &Line, record: Option<&Record>) {
        let Some(kind) = kind_of(line.event) else { return };
        let event = || {
            let subject = line.task.as_ref().map(ToString::to_string);
            Event::new(kind, subject, line.time, data_of(line, record))
        };
        self.outlet().tell(event);
    }

    /// Something that somebody should look at.
    pub(super) fn warn(&self, message: &str, remedy: Option<&str>) {
        self.tell(Kind::Warning, None, || json!({ "message": message, "remedy": remedy }));
    }

    /// The same in the log too; `file` is what it is about.
    pub(super) fn caution(&self, file: Option<&str>, message: &str, remedy: Option<&str>) {
        tracing::warn!(file, remedy, "{message}");
        let told = file.map_or_else(|| message.to_owned(), |file| format!("{file}: {message}"));
        self.warn(&told, remedy);
    }

    /// Whoever asked this, to be answered.
    pub(super) fn asker(&self, request: &Request) -> Asker {
        self.asker_at(request, None)
    }

    /// The same where the caller's pipe stands in `dir`.
    pub(super) fn asker_in(&self, request: &Request, dir: PathBuf) -> Asker {
        self.asker_at(request, Some(dir))
    }

    fn asker_at(&self, request: &Request, dir: Option<PathBuf>) -> Asker {
        let (id, reply_to) = (request.id.clone(), request.reply_to.clone());
        Asker { herald: self.clone(), op: Some(request.op), id, reply_to, dir, is_answered: false }
    }

    /// Answers a line that was not understood.
    pub(super) fn refuse(&self, refusal: &Refusal) {
        self.refuse_at(refusal, None);
    }

    /// The same where the caller's pipe stands in `dir`.
    pub(super) fn refuse_in(&self, refusal: &Refusal, dir: PathBuf) {
        self.refuse_at(refusal, Some(dir));
    }

    fn refuse_at(&self, refusal: &Refusal, dir: Option<PathBuf>) {
        let (id, reply_to) = (refusal.id.clone(), refusal.reply_to.clone());
        let asker = Asker { herald: self.clone(), op: refusal.op, id, reply_to, dir, is_answered: false };
        asker.answer(Reply::not_understood(refusal));
    }

    /// Says that a line was passed over: nobody knows whose it was.
    pub(super) fn pass_over(&self, unfit: Unfit) {
        self.reply(&Reply::refused(64, unfit.to_string()), (None, None));
    }

    fn reply(&self, reply: &Reply, (dir, reply_to): (Option<&PathBuf>, Option<&str>)) {
        self.metrics.pipe_command();
        let data = || serde_json::to_value(reply).unwrap_or_default();
        let event = || Event::new(Kind::Reply, None, self.clock.wall(), data());
        let Some(name) = reply_to else {
            self.outlet().tell(event);
            return;
        };
        let line = self.outlet().tell_all(event());
        let done = match dir {
            Some(dir) => callers_in(&self.layout, dir.clone()).answer(name, &line),
            None => self.callers().answer(name, &line),
        };
        if let Err(error) = done {
            tracing::debug!(reply_to = %crate::task::text::shown(name, 100), error = %error, "could not answer the caller; the command was carried out");
        }
    }

    fn callers(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outlet(&self) -> MutexGuard<'_, Outlet> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits for the answer to a command.
#[derive(Debug)]
pub(super) struct Asker {
    herald: Herald,
    op: Option<Op>,
    id: Option<String>,
    reply_to: Option<String>,
    /// Where that pipe stands, if not where those of all callers do.
    dir: Option<PathBuf>,
    is_answered: bool,
}

impl Asker {
    /// Answers.
    pub(super) fn answer(mut self, reply: Reply) {
        self.send(reply);
    }

    fn send(&mut self, reply: Reply) {
        self.is_answered = true;
        let op = self.op.map(|op| op.as_str().to_owned());
        let to = (self.dir.as_ref(), self.reply_to.as_deref());
        self.herald.reply(&Reply { op, id: self.id.take(), ..reply }, to);
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if !self.is_answered {
            self.send(
                Reply::refused(75, "the worker left before this could be done")
                    .hinting("ask again when it is back"),
            );
        }
    }
}

fn callers_in(layout: &Layout, dir: PathBuf) -> Callers {
    Callers::new(layout.root().to_owned(), dir)
}

fn kind_of(event: Noted) -> Option<Kind> {
    match event {
        Noted::Claimed => Some(Kind::Claimed),
        Noted::Started | Noted::Resumed => Some(Kind::Started),
        Noted::Adopted => Some(Kind::Adopted),
        Noted::Requeued => Some(Kind::Requeued),
        Noted::Concluded => Some(Kind::Concluded),
        // Each answer of an agent is told as it comes, also of a run to which nothing was said; a hold is in the status.
        Noted::Turn
        | Noted::Told
        | Noted::Interrupted
        | Noted::HandedOn
        | Noted::Verifying
        | Noted::Verified
        | Noted::LaidBy
        | Noted::Held
        | Noted::Released
        | Noted::Budget
        | Noted::WorkerStatus
        | Noted::Retried
        | Noted::Amended
        | Noted::Recovered
        | Noted::Pruned
        | Noted::Folded
        | Noted::ResumeStarted
        | Noted::ResumeBatch
        | Noted::ResumeHeld
        | Noted::ResumeStopped
        | Noted::ResumeCompleted
        | Noted::ResumeAbandoned => None,
    }
}

fn data_of(line: &Line, record: Option<&Record>) -> Value {
    let ended = line.event == Noted::Concluded;
    let retry_at: Option<Timestamp> =
        record.and_then(|it| it.retry_at).filter(|_| line.event == Noted::Requeued);
    let started = matches!(line.event, Noted::Started | Noted::Resumed);
    json!({
        "run_id": line.run_id,
        "attempt": line.attempt,
        "pid": line.pid,
        "session_id": line.session_id,
        "resumed": started.then_some(line.event == Noted::Resumed),
        "state": line.to.filter(|_| ended),
        "reason": line.reason,
        "error_code": line.error_code,
        "charged": line.charged,
        "retry_at": retry_at,
        "cost_usd": line.cost_usd,
        "changes": line.changes,
        "output": record.and_then(|it| it.output.as_ref()).filter(|_| ended),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_what_the_journal_says() {
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        let mut line = Line::new(time, "marie".parse().unwrap(), Noted::Concluded);
        line.to = Some(crate::task::TaskState::Failed);
        line.reason = Some("why".to_owned());
        line.attempt = Some(2);
        let record = Record { output: Some("artifacts/x/output.txt".to_owned()), ..Record::default() };
        let event = Event::new(Kind::Concluded, None, time, data_of(&line, Some(&record)));
        assert_eq!(
            Value::Object(event.data),
            json!({"attempt": 2, "state": "FAILED", "reason": "why", "output": "artifacts/x/output.txt"})
        );
        line.event = Noted::Resumed;
        assert_eq!(data_of(&line, Some(&record))["resumed"], true);
        assert_eq!(data_of(&line, Some(&record))["output"], Value::Null);
    }
}
