//! What is to be done to one task, by whom, and whether it is possible. Pure.

use std::fmt;

use crate::clock::Timestamp;
use crate::config::Exit;
use crate::pipe::words::{CONTINUE, Op, Request};
use crate::task::{FileName, Place, TaskState, WorkerName};

use super::super::error::OperatorError;
use super::super::look::Seen;
use super::waits;

/// What a person wants of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) enum Deed {
    /// To end it for good.
    Cancel {
        /// Why.
        reason: Option<String>,
    },
    /// To try it again.
    Retry {
        /// Also where it ended well.
        force: bool,
        /// With the conversation that it had.
        goes_on: bool,
    },
    /// Not to have it taken.
    Hold {
        /// Why.
        reason: Option<String>,
    },
    /// To have it taken after all.
    Release,
    /// To say something to its agent.
    Tell {
        /// What.
        text: String,
    },
    /// To end what its agent is doing.
    Interrupt {
        /// What it goes on with.
        text: Option<String>,
    },
}

impl Deed {
    /// The word on the pipe, which is the verb's too.
    pub(in crate::operator) const fn word(&self) -> &'static str {
        self.op().as_str()
    }

    const fn op(&self) -> Op {
        match self {
            Self::Cancel { .. } => Op::Cancel,
            Self::Retry { .. } => Op::Retry,
            Self::Hold { .. } => Op::Hold,
            Self::Release => Op::Release,
            Self::Tell { .. } => Op::Tell,
            Self::Interrupt { .. } => Op::Interrupt,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The task, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Target {
    /// As a person calls it without a doubt.
    pub(in crate::operator) full: String,
    /// Its file.
    pub(in crate::operator) file: FileName,
    /// In which folder.
    pub(in crate::operator) place: Place,
    /// How far it has come.
    pub(in crate::operator) state: TaskState,
    /// Whether it is held.
    pub(in crate::operator) is_held: bool,
    /// When it is tried again by itself.
    pub(in crate::operator) retry_at: Option<Timestamp>,
    /// Whether it has had a conversation.
    pub(in crate::operator) has_session: bool,
}

impl Target {
    /// What was seen of it.
    pub(in crate::operator) fn of(seen: &Seen) -> Self {
        let task = seen.task.as_ref().ok();
        Self {
            full: seen.full_name(),
            file: seen.entry.file.clone(),
            place: seen.entry.place,
            state: seen.state(),
            is_held: task.is_some_and(crate::task::TaskFile::is_held),
            retry_at: task.and_then(|task| task.record.retry_at),
            has_session: task.is_some_and(|task| task.record.attempts.iter().any(|it| it.pid.is_some())),
        }
    }
}

/// By whom it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) enum Via {
    /// The watcher of this worker, through its pipe.
    Worker(WorkerName),
    /// We, on the files, under the lock of this worker.
    Files(WorkerName),
}

impl Via {
    /// Whose pipe, or whose lock.
    pub(in crate::operator) const fn worker(&self) -> &WorkerName {
        match self {
            Self::Worker(worker) | Self::Files(worker) => worker,
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(worker) => write!(f, "through the watcher of {worker}"),
            Self::Files(worker) => write!(f, "on the files, under the lock of {worker}"),
        }
    }
}

/// What is done on the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operator) enum Change {
    /// It is filed as cancelled.
    Cancel,
    /// It goes back into the queue, for a new life.
    Renew,
    /// It does not wait for its retry.
    TryNow,
    /// It is held.
    Hold,
    /// It is not held any more.
    Release,
    /// Only its agent can do it.
    Agent,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Act {
    /// What was asked for.
    pub(in crate::operator) deed: Deed,
    /// To what.
    pub(in crate::operator) target: Target,
    /// By whom.
    pub(in crate::operator) via: Via,
    /// What that means for its file.
    pub(in crate::operator) change: Change,
}

impl Act {
    /// Whether it cannot be undone: an agent's work ends unfinished.
    pub(in crate::operator) fn is_final(&self) -> bool {
        matches!(self.deed, Deed::Cancel { .. }) && self.target.place == Place::Active
    }

    /// Whether it needs no agent.
    pub(in crate::operator) fn can_be_done_on_files(&self) -> bool {
        self.change != Change::Agent && self.target.place != Place::Active
    }

    /// The command for the worker's pipe.
    pub(in crate::operator) fn request(&self, by: &str) -> Request {
        let mut request = Request::new(self.deed.op()).about(self.target.file.as_str());
        request.by = Some(by.to_owned());
        match &self.deed {
            Deed::Cancel { reason } | Deed::Hold { reason } => request.reason.clone_from(reason),
            Deed::Tell { text } => request.text = Some(text.clone()),
            Deed::Interrupt { text } => request.text.clone_from(text),
            Deed::Retry { goes_on: true, .. } => request.text = Some(CONTINUE.to_owned()),
            Deed::Retry { goes_on: false, .. } | Deed::Release => {}
        }
        request
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deed, target, via, .. } = self;
        write!(f, "{deed} {} ({}) {via}", target.full, target.place)
    }
}

fn no<T>(exit: Exit, why: impl Into<String>, hint: Option<&str>) -> Result<T, OperatorError> {
    Err(OperatorError::NotPossible { why: why.into(), hint: hint.map(str::to_owned), exit })
}

/// What `deed` comes to for `target`.
pub(super) fn decide(deed: &Deed, target: &Target, via: Via) -> Result<Act, OperatorError> {
    let change = match deed {
        Deed::Cancel { .. } => cancel(target, &via)?,
        Deed::Retry { goes_on: true, .. } if !target.has_session => no(
            Exit::Unavailable,
            "there is no session to go on with: its agent never started",
            Some("without --continue it begins a new life from its prompt on"),
        )?,
        Deed::Retry { force: true, .. } if target.place == Place::Completed => once_more(&via)?,
        Deed::Retry { .. } => retry(target)?,
        Deed::Hold { .. } => hold(target)?,
        Deed::Release => release(target)?,
        Deed::Tell { .. } | Deed::Interrupt { .. } => steer(target, &via)?,
    };
    Ok(Act { deed: deed.clone(), target: target.clone(), via, change })
}

fn cancel(target: &Target, via: &Via) -> Result<Change, OperatorError> {
    match (target.place, via) {
        (place, _) if waits(place) => Ok(Change::Cancel),
        (Place::Active, Via::Worker(_)) => Ok(Change::Agent),
        (Place::Active, Via::Files(worker)) => no(
            Exit::Unavailable,
            format!("it is at work, and no watcher of {worker} lives that could end its agent"),
            Some(&format!(
                "`supervisor recover {worker} --end-agents` ends what is left and puts it back; then cancel it"
            )),
        ),
        _ => no(Exit::Unavailable, format!("it has ended already: {}", target.state), None),
    }
}

fn retry(target: &Target) -> Result<Change, OperatorError> {
    match target.place {
        Place::Failed | Place::Cancelled => Ok(Change::Renew),
        Place::Completed => {
            no(Exit::Unavailable, "it has ended well", Some("--force if you mean to pay for it once more"))
        }
        Place::Active => no(Exit::Unavailable, "it is at work", None),
        Place::Inbox | Place::Pending | Place::Staged if target.is_held => {
            no(Exit::Unavailable, "it is held", Some("`agentctl release` lets it go"))
        }
        Place::Inbox | Place::Pending | Place::Staged if target.retry_at.is_some() => Ok(Change::TryNow),
        Place::Inbox | Place::Pending | Place::Staged => {
            no(Exit::Unavailable, "it waits for its turn, and for no retry", None)
        }
    }
}

fn once_more(via: &Via) -> Result<Change, OperatorError> {
    match via {
        Via::Files(_) => Ok(Change::Renew),
        Via::Worker(_) => no(
            Exit::Unavailable,
            "it has ended well, and its worker does not do that again",
            Some("`agentctl submit --file` with its file in completed/ hands the same in as a new task"),
        ),
    }
}

fn hold(target: &Target) -> Result<Change, OperatorError> {
    match target.place {
        Place::Inbox | Place::Pending | Place::Staged => Ok(Change::Hold),
        Place::Active => no(
            Exit::Unavailable,
            "it is at work already",
            Some("`agentctl interrupt` without a text ends its agent, puts it back and holds it"),
        ),
        Place::Completed | Place::Failed | Place::Cancelled => {
            no(Exit::Unavailable, format!("it has ended: {}", target.state), None)
        }
    }
}

fn release(target: &Target) -> Result<Change, OperatorError> {
    match target.place {
        place if waits(place) && target.is_held => Ok(Change::Release),
        place if waits(place) => no(Exit::Unavailable, "nobody holds it", None),
        _ => no(Exit::Unavailable, format!("it does not wait: {}", target.state), None),
    }
}

fn steer(target: &Target, via: &Via) -> Result<Change, OperatorError> {
    match (target.place, via) {
        (Place::Active, Via::Worker(_)) => Ok(Change::Agent),
        (Place::Active, Via::Files(worker)) => no(
            Exit::Unavailable,
            format!("its agent cannot hear: no watcher of {worker} lives"),
            Some(&format!("start one, such as with `watcher --worker {worker}`")),
        ),
        _ => no(Exit::Unavailable, format!("no agent works on it: {}", target.state), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(place: Place) -> Target {
        Target {
            full: "marie/x".to_owned(),
            file: "x.json".parse().unwrap(),
            place,
            state: TaskState::Pending,
            is_held: false,
            retry_at: None,
            has_session: false,
        }
    }

    fn watched() -> Via {
        Via::Worker("marie".parse().unwrap())
    }

    fn alone() -> Via {
        Via::Files("marie".parse().unwrap())
    }

    #[test]
    fn what_can_be_done_depends_on_where_the_task_is_and_who_lives() {
        use Change::{Agent, Cancel, Hold, Release, Renew, TryNow};
        let cancel = || Deed::Cancel { reason: None };
        let retry = || Deed::Retry { force: false, goes_on: false };
        let force = || Deed::Retry { force: true, goes_on: false };
        let goes_on = || Deed::Retry { force: false, goes_on: true };
        let begun = |place| Target { has_session: true, ..target(place) };
        let hold = || Deed::Hold { reason: None };
        let tell = || Deed::Tell { text: "t".to_owned() };
        let kept = |place| Target { is_held: true, ..target(place) };
        let waiting = |place| Target { retry_at: Timestamp::from_second(9).ok(), ..target(place) };
        for (deed, target, lives, expected) in [
            (cancel(), target(Place::Inbox), false, Some(Cancel)),
            (cancel(), target(Place::Pending), true, Some(Cancel)),
            (cancel(), target(Place::Active), true, Some(Agent)),
            (cancel(), target(Place::Active), false, None),
            (cancel(), target(Place::Failed), true, None),
            (retry(), target(Place::Failed), false, Some(Renew)),
            (retry(), target(Place::Cancelled), true, Some(Renew)),
            (retry(), target(Place::Completed), false, None),
            (force(), target(Place::Completed), false, Some(Renew)),
            (force(), target(Place::Completed), true, None),
            (goes_on(), begun(Place::Failed), true, Some(Renew)),
            (goes_on(), target(Place::Failed), true, None),
            (retry(), waiting(Place::Pending), false, Some(TryNow)),
            (retry(), target(Place::Pending), false, None),
            (retry(), target(Place::Active), true, None),
            (hold(), target(Place::Staged), false, Some(Hold)),
            (hold(), target(Place::Active), true, None),
            (Deed::Release, kept(Place::Pending), true, Some(Release)),
            (Deed::Release, target(Place::Pending), true, None),
            (tell(), target(Place::Active), true, Some(Agent)),
            (tell(), target(Place::Active), false, None),
            (tell(), target(Place::Pending), true, None),
        ] {
            let decided = decide(&deed, &target, if lives { watched() } else { alone() });
            let what = format!("{deed} in {} with a watcher: {lives}", target.place);
            assert_eq!(decided.as_ref().ok().map(|it| it.change), expected, "{what}");
            if let Err(error) = decided {
                assert_eq!(error.exit(), Exit::Unavailable, "{what}");
            }
        }
    }

    #[test]
    fn a_plan_reads_as_what_is_done() {
        let act =
            decide(&Deed::Release, &Target { is_held: true, ..target(Place::Pending) }, alone()).unwrap();
        assert_eq!(act.to_string(), "release marie/x (pending) on the files, under the lock of marie");
        let line = act.request("ana").to_line();
        assert_eq!(line, "{\"op\":\"release\",\"by\":\"ana\",\"task\":\"x.json\"}\n");
    }
}
