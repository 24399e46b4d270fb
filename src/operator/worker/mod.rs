//! One worker as anybody sees it from outside: who holds its lock, what its files say, what waits and what runs.
//!
//! It deliberately does not know what becomes of it: [`judge`] makes words of it, and its readers a screen.

mod judge;

use crate::clock::Timestamp;
use crate::limits::store::Found;
use crate::limits::{Record, Store, Warning};
use crate::os::holder::{Holder, Role};
use crate::os::process::identity::boot_id;
use crate::recovery::ramp;
use crate::task::{Place, RunId, TaskFile, WorkerName};
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::state_file::{RunningTask, State, WantedMode, WorkerStatus};
use crate::telemetry::vital::{self, Vital};

use super::desk::Desk;
use super::error::OperatorError;
use super::look::{self, Seen};
use super::word::Word;

pub(super) use judge::Condition;

/// How many tasks lie in each place.
type Depths = Vec<(Place, usize)>;

/// What is known about one worker.
pub(super) struct WorkerView {
    pub(super) name: WorkerName,
    /// Whether a supervisor is at work, who would restart it.
    pub(super) supervised: bool,
    /// Who holds its lock; `None`: nobody.
    pub(super) held_by: Option<Role>,
    /// `state.json`; `None` before the first start.
    pub(super) state: Option<State>,
    /// Why it cannot be read, if that is so.
    pub(super) unread: Option<String>,
    /// What the last heartbeat says; the state is not written on a full disk.
    pub(super) beat: Option<WorkerStatus>,
    pub(super) vital: Vital,
    /// Seconds since the last beat.
    pub(super) beat_s: Option<u64>,
    /// A gradual resume, and whether somebody leads it.
    pub(super) resume: Option<(Box<ramp::Record>, bool)>,
    pub(super) pid: Option<i32>,
    pub(super) depths: Depths,
    /// For how many seconds the oldest has waited that nobody holds.
    pub(super) oldest_s: Option<u64>,
    /// What waits and is held, the oldest first.
    pub(super) held: Vec<Seen>,
    pub(super) running: Vec<Running>,
    /// Until when its account has no request left.
    pub(super) paced: Option<Timestamp>,
    /// What the API said before its limit, while that is news.
    pub(super) warning: Option<Warning>,
}

/// A task in `active/`.
pub(super) struct Running {
    pub(super) seen: Seen,
    pub(super) elapsed_s: u64,
    /// Seconds since its agent last wrote anything.
    pub(super) silent_s: Option<u64>,
    /// How many seconds one attempt may take.
    pub(super) limit_s: Option<u64>,
    /// What the agent says of its progress.
    pub(super) progress: Option<String>,
    /// What it uses of the memory with all that it started, as its worker last weighed it.
    pub(super) memory_bytes: Option<u64>,
}

/// Whether a supervisor is at work.
pub(super) fn is_supervised(desk: &Desk) -> bool {
    crate::os::lock::is_held(&desk.layout.supervisor_lock()).unwrap_or(false)
}

/// Looks at a worker.
pub(super) fn view(desk: &Desk, name: WorkerName) -> Result<WorkerView, OperatorError> {
    let (depths, Waits { oldest_s, held, .. }) = depths(desk, &name)?;
    let beat = Heartbeat::read(&desk.layout.heartbeat(&name));
    let (state, unread) = match State::read(&desk.layout.state(&name)) {
        Ok(state) => (state, None),
        Err(error) => (Some(State::default()), Some(error.to_string())),
    };
    let held_by = held_by(desk, &name);
    let known = account(desk, state.as_ref());
    let signs = vital::look(&desk.layout, &name, &*desk.clock);
    Ok(WorkerView {
        supervised: is_supervised(desk),
        held_by,
        unread,
        vital: vital::judge(&signs, vital::STALE),
        beat: beat.as_ref().map(|beat| beat.status),
        resume: resume(desk, &name),
        beat_s: beat.as_ref().map(|beat| beat_age_s(desk, beat)),
        pid: beat.map(|beat| beat.pid),
        depths,
        oldest_s,
        held,
        running: running(desk, &name, state.as_ref())?,
        paced: known.as_ref().and_then(|known| paced(desk, known)),
        warning: known.and_then(|known| known.warning).filter(|it| is_news(desk, it)),
        state,
        name,
    })
}

/// What is known of the account of a worker.
fn account(desk: &Desk, state: Option<&State>) -> Option<Record> {
    match Store::new(desk.layout.limits()).read(state?.account.as_deref()?) {
        Ok(Found::Record(record)) if record.boot_id == boot_id() => Some(*record),
        Ok(_) | Err(_) => None,
    }
}

fn paced(desk: &Desk, known: &Record) -> Option<Timestamp> {
    let wait = known.empty_until(desk.clock.ticks())?.since(desk.clock.ticks());
    desk.clock.wall().checked_add(jiff::SignedDuration::try_from(wait).ok()?).ok()
}

/// Until the window begins anew; without a word about that, for an hour.
fn is_news(desk: &Desk, warning: &Warning) -> bool {
    match warning.resets_at {
        Some(at) => at > desk.clock.wall(),
        None => desk.age_s(warning.at) < 3600,
    }
}

/// How many tasks lie in each place of a worker, and what waits in all its queues.
fn depths(desk: &Desk, name: &WorkerName) -> Result<(Depths, Waits), OperatorError> {
    let (mut depths, mut all) = (Vec::new(), Waits::default());
    for place in Place::OF_WORKER {
        if Place::QUEUES.contains(&place) {
            let waits = waiting(desk, Some(name), place)?;
            depths.push((place, waits.depth));
            all.oldest_s = all.oldest_s.max(waits.oldest_s);
            all.held.extend(waits.held);
        } else {
            depths.push((place, look::depth(&desk.layout, Some(name), place)?));
        }
    }
    Ok((depths, all))
}

/// What waits in a queue.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// How many tasks.
    pub(super) depth: usize,
    /// For how many seconds the oldest has that nobody holds.
    pub(super) oldest_s: Option<u64>,
    /// Those that are held, the oldest first.
    pub(super) held: Vec<Seen>,
}

/// How many files of a queue are opened, the oldest first, to see whether they are held: a screen must come at once,
/// also where a hundred thousand wait.
const OPENED: usize = 500;

/// Looks at a queue.
pub(super) fn waiting(
    desk: &Desk,
    worker: Option<&WorkerName>,
    place: Place,
) -> Result<Waits, OperatorError> {
    let mut entries = look::entries(&desk.layout, worker, place)?;
    entries.sort_by_key(|entry| entry.mtime);
    let mut waits = Waits { depth: entries.len(), ..Waits::default() };
    for (n, entry) in entries.into_iter().enumerate() {
        let mtime = entry.mtime;
        if n < OPENED
            && let Some(seen) = entry.read()?.filter(|seen| seen.held().is_some())
        {
            waits.held.push(seen);
        } else {
            waits.oldest_s = waits.oldest_s.or_else(|| Some(desk.age_s(mtime)));
        }
        if n >= OPENED {
            break;
        }
    }
    Ok(waits)
}

fn resume(desk: &Desk, name: &WorkerName) -> Option<(Box<ramp::Record>, bool)> {
    let path = desk.layout.resume(name);
    let record = ramp::Record::read(&path).ok().flatten()?;
    Some((Box::new(record), crate::os::lock::is_held(&path).unwrap_or(true)))
}

/// The boot clock tells it exactly; a beat of another boot only has its time of day.
fn beat_age_s(desk: &Desk, beat: &Heartbeat) -> u64 {
    beat.age(desk.clock.ticks(), &boot_id()).map_or_else(|| desk.age_s(beat.timestamp), |age| age.as_secs())
}

/// Who holds the worker's lock. The lock is the fact; the role is what its mirror says, a watcher unless it
/// says otherwise.
fn held_by(desk: &Desk, name: &WorkerName) -> Option<Role> {
    let said = || Holder::read(&desk.layout.watcher_lock(name)).map_or(Role::Watcher, |holder| holder.role);
    look::is_alive(&desk.layout, name).then(said)
}

fn running(desk: &Desk, name: &WorkerName, state: Option<&State>) -> Result<Vec<Running>, OperatorError> {
    let usual = state.and_then(|state| state.limits).map(|limits| limits.agent_timeout_s);
    let mut found = Vec::new();
    for entry in look::entries(&desk.layout, Some(name), Place::Active)? {
        let Some(seen) = entry.read()? else { continue };
        let last = seen.task.as_ref().ok().and_then(|task| task.record.attempts.last());
        let since = last.map_or(seen.entry.mtime, |attempt| attempt.started_at);
        let task = seen.task.as_ref().ok();
        found.push(Running {
            elapsed_s: desk.age_s(since),
            silent_s: task.and_then(|task| silence(desk, task)),
            limit_s: task.and_then(|task| task.spec.timeout_s).map(u64::from).or(usual),
            progress: task.and_then(|task| progress(state?, &task.record.run_id?)),
            memory_bytes: task.and_then(|task| shown(state?, &task.record.run_id?)?.memory_bytes),
            seen,
        });
    }
    found.sort_by_key(|running| std::cmp::Reverse(running.elapsed_s));
    Ok(found)
}

impl WorkerView {
    /// Who wants it paused, whether it works now or not.
    pub(super) fn paused(&self) -> Option<Word> {
        let wanted = self.state.as_ref()?.wanted.as_ref();
        wanted.filter(|wanted| wanted.mode == WantedMode::Pause).map(Word::from)
    }

    /// What the agent of a run says of its progress.
    pub(super) fn progress(&self, run: &RunId) -> Option<String> {
        progress(self.state.as_ref()?, run)
    }
}

fn progress(state: &State, run: &RunId) -> Option<String> {
    shown(state, run)?.progress.clone()
}

/// What its watcher shows of a run.
fn shown<'a>(state: &'a State, run: &RunId) -> Option<&'a RunningTask> {
    state.running.iter().find(|it| it.run_id == *run)
}

/// For how many seconds the agent has written nothing: every line of its stream is a sign of life.
pub(super) fn silence(desk: &Desk, task: &TaskFile) -> Option<u64> {
    let number = task.record.attempts.last()?.number;
    let stream = desk.layout.run(&task.record.run_id?).stream(number);
    let written = stream.metadata().ok()?.modified().ok()?;
    Some(desk.age_s(Timestamp::try_from(written).ok()?))
}
