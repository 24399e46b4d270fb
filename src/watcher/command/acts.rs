//! What is done to a task that waits or has ended, and how a new one comes; off the loop.
//!
//! Each act is noted in the journal before its move, by the spool's verbs.

use std::io;
use std::sync::Arc;

use serde_json::json;

use super::super::board::Board;
use super::super::ctx::{Ctx, append_durably};
use super::super::effects::Told;
use super::super::herald::Herald;
use super::super::look;
use super::REASON_MAX;
use super::desk::Found;
use crate::clock::SharedClock;
use crate::config::{Durability, Exit};
use crate::pipe::reply::Reply;
use crate::pipe::words::Request;
use crate::recovery::owed;
use crate::spool::fresh::{Fresh, FreshError, file_name};
use crate::spool::{ClaimError, Disk, Spool, StepError, Store, WaitingError};
use crate::task::outcome::head;
use crate::task::{FileName, Held, Place, TaskFile, TaskState, Usage};
use crate::telemetry::journal::{Event as Noted, Journal, Line};
use crate::telemetry::metrics::Metrics;
use crate::text::redact::Redactor;

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A new task.
    Submit,
    /// End one that waits.
    Cancel(Place, FileName),
    /// Hold it back.
    Hold(Place, FileName),
    /// Let it be taken.
    Release(Place, FileName),
    /// Do not wait for its moment.
    TryNow(Place, FileName),
    /// Begin a new life of one that has ended.
    Renew(Place, FileName),
}

impl Act {
    /// Whose file nobody else may take meanwhile.
    pub(super) const fn takes(&self) -> Option<(Place, &FileName)> {
        match self {
            Self::Submit | Self::Renew(..) => None,
            Self::Cancel(place, file)
            | Self::Hold(place, file)
            | Self::Release(place, file)
            | Self::TryNow(place, file) => Some((*place, file)),
        }
    }
}

/// Looks for a task that the core does not know: in the queues, then among the ended ones.
pub(super) fn look_for(spool: &Spool<Disk>, name: &str) -> Found {
    let by_file = format!("{name}.json").parse::<FileName>().ok();
    let stands = |place: Place| {
        by_file.clone().filter(|file| spool.store().identity(&spool.path(place, file)).is_ok())
    };
    // A name in the folder costs one look; whose `id` is meant is only in the files.
    let named = |place: Place| {
        let files = spool.list(place).unwrap_or_default();
        files.into_iter().find(|file| {
            let read = spool.store().read(&spool.path(place, file), crate::spool::found::FILE_LIMIT);
            let task = read.ok().and_then(|(bytes, _)| TaskFile::parse(&bytes).ok());
            task.is_some_and(|task| task.name(file).as_str() == name)
        })
    };
    let ended = [Place::Failed, Place::Cancelled, Place::Completed];
    let search = |look: &dyn Fn(Place) -> Option<FileName>, ended: &[Place]| {
        let waiting = Place::QUEUES.into_iter().find_map(|at| Some(Found::Waiting(at, look(at)?)));
        waiting.or_else(|| ended.iter().find_map(|at| Some(Found::Ended(*at, look(*at)?))))
    };
    // What ended well may be a hundred thousand files, and nothing is done to it.
    search(&stands, &ended).or_else(|| search(&named, &ended[..2])).unwrap_or(Found::Nowhere)
}

/// Who does it.
pub(super) struct Clerk {
    journal: Journal,
    herald: Herald,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    redactor: Redactor,
    clock: SharedClock,
    durability: Durability,
    is_ours: Box<dyn Fn() -> bool + Send>,
}

/// What was done, or why it was not.
type Done = Result<(Reply, Vec<Told>), Box<Reply>>;

impl Clerk {
    pub(super) fn new(ctx: &Ctx) -> Self {
        Self {
            journal: ctx.journal.clone(),
            herald: ctx.herald.clone(),
            board: Arc::clone(&ctx.board),
            metrics: Arc::clone(&ctx.metrics),
            redactor: ctx.redactor.clone(),
            clock: Arc::clone(&ctx.clock),
            durability: ctx.config.durability,
            is_ours: Box::new(ctx.ours()),
        }
    }

    /// Does it: the answer, and what the loop should know.
    pub(super) fn perform(
        &self,
        spool: &Arc<Spool<Disk>>,
        act: &Act,
        request: &Request,
    ) -> (Reply, Vec<Told>) {
        if !(self.is_ours)() {
            let why = "the worker's folder was moved away or replaced";
            return (Reply::refused(Exit::TryAgain.code(), why), Vec::new());
        }
        let done = match act {
            Act::Submit => submit(spool, request),
            Act::Cancel(place, file) => self.cancel(spool, (*place, file), request),
            Act::Hold(place, file) => self.hold(spool, (*place, file), request),
            Act::Release(place, file) => self.release(spool, (*place, file), request),
            Act::TryNow(place, file) => self.try_now(spool, (*place, file), request),
            Act::Renew(place, file) => self.renew(spool, (*place, file), request),
        };
        done.unwrap_or_else(|reply| (*reply, Vec::new()))
    }

    fn cancel(&self, spool: &Arc<Spool<Disk>>, (place, file): (Place, &FileName), request: &Request) -> Done {
        let (by, why) = (self.said(request.by.as_deref()), self.said(request.reason.as_deref()));
        let reason = cancelled(by.as_deref(), why.as_deref());
        let spent = |task: &TaskFile| owed::spent(spool.layout(), task);
        let note = |file: &FileName, task: &TaskFile, usage: Usage| {
            let line = self.line(spool, (Noted::Concluded, Some(&reason), by), file, Some(task));
            self.write(&line.spending(task, usage), Some(task))?;
            self.metrics.spent(task.spec.kind.as_deref().unwrap_or(crate::pack::DEFAULT), usage);
            Ok(())
        };
        let filed = spool.cancel((place, file), &reason, spent, note).map_err(|error| waiting(&error))?;
        self.board.filed(Place::Cancelled);
        tracing::info!(file = %file, filed = %filed.display(), reason = %reason, "task cancelled");
        Ok((Reply::done("cancelled; it had not begun"), Vec::new()))
    }

    fn hold(&self, spool: &Arc<Spool<Disk>>, (place, file): (Place, &FileName), request: &Request) -> Done {
        let (by, reason) = (self.said(request.by.as_deref()), self.said(request.reason.as_deref()));
        let held = Held { since: Some(self.clock.wall()), by: by.clone(), reason };
        let why = held.reason.as_ref().map_or_else(|| "held".to_owned(), |why| format!("held: {why}"));
        let told = self.amend(spool, (place, file), (&why, by), |task| task.hold(held))?;
        Ok((Reply::done("held: it is not taken until `release`"), told))
    }

    fn release(
        &self,
        spool: &Arc<Spool<Disk>>,
        (place, file): (Place, &FileName),
        request: &Request,
    ) -> Done {
        let by = self.said(request.by.as_deref());
        let told = self.amend(spool, (place, file), ("released", by), |task| {
            task.release();
        })?;
        Ok((Reply::done("released: it waits for its turn"), told))
    }

    fn try_now(
        &self,
        spool: &Arc<Spool<Disk>>,
        (place, file): (Place, &FileName),
        request: &Request,
    ) -> Done {
        let (mut waited, mut has_moment, by) = (false, false, self.said(request.by.as_deref()));
        let told = self.amend(spool, (place, file), ("to be tried now", by), |task| {
            (waited, has_moment) = (task.try_now(), task.spec.not_before.is_some());
        })?;
        let said = if waited {
            "it is tried as soon as there is a free slot"
        } else if has_moment {
            "it waited for its own `not_before`, and still does"
        } else {
            "it waits for its turn, and for nothing else"
        };
        Ok((if waited { Reply::done(said) } else { Reply::refused(Exit::Unavailable.code(), said) }, told))
    }

    fn amend(
        &self,
        spool: &Arc<Spool<Disk>>,
        (place, file): (Place, &FileName),
        (why, by): (&str, Option<String>),
        change: impl FnOnce(&mut TaskFile),
    ) -> Result<Vec<Told>, Box<Reply>> {
        let mut changed = None;
        let name = spool
            .amend(place, file, None, |task| {
                change(task);
                changed = Some(task.clone());
            })
            .map_err(|error| waiting(&error))?;
        // Nothing is lost with this line: the file says the same.
        self.note(spool, (Noted::Amended, Some(why), by), &name, changed.as_ref()).ok();
        tracing::info!(file = %name, "{why}");
        Ok(vec![Told::Looked(look::look_at(spool, vec![(place, name)]))])
    }

    fn renew(&self, spool: &Arc<Spool<Disk>>, (place, file): (Place, &FileName), request: &Request) -> Done {
        let goes_on = request.text.is_some();
        let by = self.said(request.by.as_deref());
        let what =
            if goes_on { "queued again, to go on where it ended" } else { "queued again, for a new life" };
        let why = goes_on.then_some(what);
        let note = |task: Option<&TaskFile>| self.note(spool, (Noted::Retried, why, by), file, task);
        let renewed = if goes_on { spool.go_on(place, file, note) } else { spool.renew(place, file, note) };
        let name = renewed.map_err(|error| disk(&error))?;
        self.board.left(place);
        tracing::info!(file = %file, from = %place, "{what}");
        let looked = look::look_at(spool, vec![(Place::Pending, name.clone())]);
        let result =
            json!({ "task": name.stem(), "file": format!("tasks/{}/pending/{name}", spool.worker()) });
        Ok((Reply::done(what).with(result), vec![Told::Looked(looked)]))
    }

    fn note(
        &self,
        spool: &Arc<Spool<Disk>>,
        said: (Noted, Option<&str>, Option<String>),
        file: &FileName,
        task: Option<&TaskFile>,
    ) -> io::Result<()> {
        self.write(&self.line(spool, said, file, task), task)
    }

    fn write(&self, line: &Line, task: Option<&TaskFile>) -> io::Result<()> {
        append_durably(&self.journal, line, self.durability)?;
        self.herald.note(line, task.map(|it| &it.record));
        Ok(())
    }

    fn line(
        &self,
        spool: &Arc<Spool<Disk>>,
        (event, reason, by): (Noted, Option<&str>, Option<String>),
        file: &FileName,
        task: Option<&TaskFile>,
    ) -> Line {
        let mut line = Line::new(self.clock.wall(), spool.worker().clone(), event);
        line.file = Some(file.as_str().to_owned());
        (line.reason, line.by) = (reason.map(str::to_owned), by);
        if let Some(task) = task {
            line = line.about(task.name(file), file, task.record.run_id);
            line.attempt = task.record.attempts.last().map(|it| it.number);
            line.correlation_id.clone_from(&task.spec.correlation_id);
            line.from = (event == Noted::Concluded).then_some(TaskState::Pending);
            line.to = task.record.state.filter(|_| event == Noted::Concluded);
        }
        line.identified()
    }

    fn said(&self, text: Option<&str>) -> Option<String> {
        text.map(|it| head(&self.redactor.redact(it), REASON_MAX).to_owned())
    }
}

/// Why a task ended that somebody cancelled.
pub(in crate::watcher) fn cancelled(by: Option<&str>, why: Option<&str>) -> String {
    let by = by.unwrap_or("an operator");
    why.map_or_else(|| format!("cancelled by {by}"), |why| format!("cancelled by {by}: {why}"))
}

/// Drops a new task, as `agentctl submit --worker` does.
fn submit(spool: &Arc<Spool<Disk>>, request: &Request) -> Done {
    let data = |why: String| Reply::refused(Exit::Data.code(), why);
    let spec = serde_json::to_vec(&request.spec).unwrap_or_default();
    let mut task = TaskFile::parse(&spec).map_err(|error| Box::new(data(error.to_string())))?;
    task.forget_record();
    let worker = spool.worker();
    if let Some(other) = task.spec.worker.as_ref().filter(|it| *it != worker) {
        let why = format!("this is the pipe of {worker}, and the task is for {other}");
        let hint = format!("write it to {other}.in, or into tasks/{other}/pending/");
        return Err(Box::new(data(why).hinting(hint)));
    }
    task.spec.worker = Some(worker.clone());
    let dir = spool.layout().place(worker, Place::Pending);
    let file = file_name(&task.spec, "".as_ref());
    let can_be_renamed = task.spec.id.is_none();
    if !can_be_renamed && let Some(path) = live(spool, &file) {
        let path = path.display();
        return Err(Box::new(data(format!("there is a task `{}` already: `{path}`", file.stem()))));
    }
    let is_known = |file: &FileName| {
        let all = Place::OF_WORKER.into_iter().chain([Place::Inbox]);
        all.into_iter().any(|place| stands(spool, place, file))
    };
    let fresh = Fresh { dir: &dir, file, can_be_renamed, task: &task };
    let file = fresh.drop_into(spool.store(), is_known).map_err(|error| match error {
        FreshError::Taken { .. } => Box::new(data(error.to_string()).hinting("give another `id`, or none")),
        FreshError::Disk(error) => disk(&error),
    })?;
    let name = task.name(&file);
    tracing::info!(task = %name, file = %file, "submitted by the pipe");
    let result = json!({ "task": name, "file": format!("tasks/{worker}/pending/{file}") });
    let looked = look::look_at(spool, vec![(Place::Pending, file)]);
    Ok((Reply::done(format!("submitted as {name}")).with(result), vec![Told::Looked(looked)]))
}

fn stands(spool: &Spool<Disk>, place: Place, file: &FileName) -> bool {
    spool.store().identity(&spool.path(place, file)).is_ok()
}

/// Where a task of this file waits or is worked on.
fn live(spool: &Spool<Disk>, file: &FileName) -> Option<std::path::PathBuf> {
    let places = Place::QUEUES.into_iter().chain([Place::Active]);
    places.into_iter().find(|place| stands(spool, *place, file)).map(|place| spool.path(place, file))
}

fn disk(error: &StepError) -> Box<Reply> {
    let exit = if error.is_gone() { Exit::TryAgain } else { Exit::of_io(&error.source) };
    Box::new(Reply::refused(exit.code(), format!("could not {}: {}", error.step, error.source)))
}

fn waiting(error: &WaitingError) -> Box<Reply> {
    let exit = match error {
        WaitingError::NotATask { .. } => Exit::Data,
        WaitingError::Elsewhere { .. } => Exit::Unavailable,
        WaitingError::Claim(ClaimError::Disk { source, .. }) | WaitingError::Unfinished { source, .. } => {
            Exit::of_io(&source.source)
        }
        WaitingError::Claim(ClaimError::Unreadable { source, .. }) => Exit::of_io(source),
        WaitingError::Claim(ClaimError::Gone(_) | ClaimError::Changed(_) | ClaimError::Live(_))
        | WaitingError::Open(_) => Exit::TryAgain,
    };
    let reply = Reply::refused(exit.code(), super::super::enter::with_causes(error));
    Box::new(if exit == Exit::TryAgain { reply.hinting("ask again in a moment") } else { reply })
}
