//! `agentctl status`: one screen that tells everything, and what to type next.

use clap::Args;
use serde_json::{Value, json};

use crate::clock::{Timestamp, epoch_seconds};
use crate::config::Exit;
use crate::os::holder::{Holder, Role};
use crate::os::process::identity::boot_id;
use crate::os::space::{self, Reserve};
use crate::recovery::ramp::{Phase, Record};
use crate::task::{Place, TaskFile, WorkerName};
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::state_file::{State, WorkerStatus};
use crate::telemetry::vital::{self, Vital};

use super::desk::{Desk, spoken};
use super::error::OperatorError;
use super::list::{about, as_json, state_cell};
use super::look::{self, Seen};
use super::packs;
use super::report::{Cell, Tone};

/// How many failures are shown.
const FAILURES: usize = 5;
/// For how many seconds a crash is told.
const CRASH_IS_NEWS: f64 = 86_400.0;

/// How to show it.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl status
  agentctl status --json | jq '.workers[] | {worker, alive, status}'")]
pub struct StatusArgs {
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
}

/// What is known about one worker.
struct WorkerView {
    name: WorkerName,
    /// Who holds its lock; `None`: nobody.
    held_by: Option<Role>,
    /// `state.json`; `None` before the first start.
    state: Option<State>,
    /// Why it cannot be read, if that is so.
    unread: Option<String>,
    /// What the last heartbeat says; the state is not written on a full disk.
    beat: Option<WorkerStatus>,
    vital: Vital,
    /// Seconds since the last beat.
    beat_s: Option<u64>,
    /// A gradual resume, and whether somebody leads it.
    resume: Option<(Box<Record>, bool)>,
    pid: Option<i32>,
    depths: Vec<(Place, usize)>,
    running: Vec<Running>,
}

/// A task in `active/`.
struct Running {
    seen: Seen,
    elapsed_s: u64,
    /// Seconds since its agent last wrote anything.
    silent_s: Option<u64>,
}

/// Everything on the screen.
struct Screen {
    workers: Vec<WorkerView>,
    supervised: bool,
    inbox: usize,
    failures: Vec<Seen>,
}

/// Shows the status.
pub fn run(desk: &Desk, args: &StatusArgs) -> Result<Exit, OperatorError> {
    look::check_root(&desk.layout)?;
    let screen = survey(desk)?;
    // On a full disk no worker can write down how it is.
    if let Some((trouble, what)) =
        space::of(desk.layout.root()).ok().and_then(|it| it.scarce(&Reserve::USUAL))
    {
        let root = desk.layout.root().display();
        let remedy = trouble.remedy();
        desk.report.warn(&format!("{what} below {root}: workers claim nothing until that is over; {remedy}"));
    }
    if args.json {
        desk.report.json(&screen_json(desk, &screen));
        return Ok(Exit::Done);
    }
    desk.report.data(&heading(desk, &screen));
    desk.report.data(&worker_table(desk, &screen.workers));
    desk.report.data(&resumes(desk, &screen.workers));
    desk.report.data(&troubles(desk, &screen.workers));
    let barred = screen.workers.iter().filter_map(|it| it.state.as_ref()).flat_map(|it| &it.packs);
    desk.report.data(&packs::waiting(desk, barred));
    desk.report.data(&running_table(desk, &screen.workers));
    desk.report.data(&failure_table(desk, &screen.failures));
    desk.report.data(&next_steps(desk, &screen));
    Ok(Exit::Done)
}

fn survey(desk: &Desk) -> Result<Screen, OperatorError> {
    let names = look::workers(&desk.layout)?;
    let failures = latest_failures(desk, &names)?;
    let workers = names.into_iter().map(|name| view(desk, name)).collect::<Result<_, _>>()?;
    Ok(Screen {
        workers,
        supervised: crate::os::lock::is_held(&desk.layout.supervisor_lock()).unwrap_or(false),
        inbox: look::depth(&desk.layout, None, Place::Inbox)?,
        failures,
    })
}

fn view(desk: &Desk, name: WorkerName) -> Result<WorkerView, OperatorError> {
    let depths = Place::OF_WORKER
        .into_iter()
        .map(|place| Ok((place, look::depth(&desk.layout, Some(&name), place)?)))
        .collect::<Result<_, OperatorError>>()?;
    let beat = Heartbeat::read(&desk.layout.heartbeat(&name));
    let (state, unread) = match State::read(&desk.layout.state(&name)) {
        Ok(state) => (state, None),
        Err(error) => (Some(State::default()), Some(error.to_string())),
    };
    let held_by = held_by(desk, &name);
    let signs = vital::look(&desk.layout, &name, &*desk.clock);
    Ok(WorkerView {
        held_by,
        state,
        unread,
        vital: vital::judge(&signs, vital::STALE),
        beat: beat.as_ref().map(|beat| beat.status),
        resume: resume(desk, &name),
        beat_s: beat.as_ref().map(|beat| beat_age_s(desk, beat)),
        pid: beat.map(|beat| beat.pid),
        depths,
        running: running(desk, &name)?,
        name,
    })
}

fn resume(desk: &Desk, name: &WorkerName) -> Option<(Box<Record>, bool)> {
    let path = desk.layout.resume(name);
    let record = Record::read(&path)?;
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

fn running(desk: &Desk, name: &WorkerName) -> Result<Vec<Running>, OperatorError> {
    let mut found = Vec::new();
    for entry in look::entries(&desk.layout, Some(name), Place::Active)? {
        let Some(seen) = entry.read()? else { continue };
        let last = seen.task.as_ref().ok().and_then(|task| task.record.attempts.last());
        let since = last.map_or(seen.entry.mtime, |attempt| attempt.started_at);
        let silent_s = seen.task.as_ref().ok().and_then(|task| silence(desk, task));
        found.push(Running { elapsed_s: desk.age_s(since), silent_s, seen });
    }
    found.sort_by_key(|running| std::cmp::Reverse(running.elapsed_s));
    Ok(found)
}

/// How long the agent has written nothing: every line of its stream is a sign of life.
fn silence(desk: &Desk, task: &TaskFile) -> Option<u64> {
    let number = task.record.attempts.last()?.number;
    let stream = desk.layout.run(&task.record.run_id?).stream(number);
    let written = stream.metadata().ok()?.modified().ok()?;
    Some(desk.age_s(Timestamp::try_from(written).ok()?))
}

fn latest_failures(desk: &Desk, workers: &[WorkerName]) -> Result<Vec<Seen>, OperatorError> {
    let mut entries = Vec::new();
    for worker in workers {
        entries.extend(look::entries(&desk.layout, Some(worker), Place::Failed)?);
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.mtime));
    entries.truncate(FAILURES);
    let mut seen = Vec::new();
    for entry in entries {
        seen.extend(entry.read()?);
    }
    Ok(seen)
}

impl WorkerView {
    /// What it is doing, in a word: a file that says `running` while nobody holds the lock is a crash.
    fn word(&self) -> (&'static str, Tone) {
        match (self.held_by, self.state.as_ref().map(|state| state.status)) {
            (None, None) => ("never started", Tone::Faint),
            _ if self.set_aside().is_some() => ("set aside", Tone::Bad),
            (None, Some(WorkerStatus::Stopped)) => ("stopped", Tone::Warn),
            (None, Some(_)) => ("dead", Tone::Bad),
            (Some(Role::Recovery | Role::Supervisor | Role::Operator), _) => {
                ("held for recovery", Tone::Warn)
            }
            (Some(Role::Watcher), state) => self.alive_word(state),
        }
    }

    fn alive_word(&self, state: Option<WorkerStatus>) -> (&'static str, Tone) {
        match (&self.vital, self.beat.or(state)) {
            (Vital::Dead | Vital::Starting | Vital::Beating, None) => ("alive", Tone::Good),
            (Vital::Dead | Vital::Starting | Vital::Beating, Some(status)) => {
                (status.as_str(), tone_of(status))
            }
            (vital, _) => (vital.as_str(), Tone::Bad),
        }
    }

    const fn is_alive(&self) -> bool {
        matches!(self.held_by, Some(Role::Watcher))
    }

    /// Since when nobody restarts it any more.
    fn set_aside(&self) -> Option<Timestamp> {
        self.state.as_ref().filter(|_| !self.is_alive())?.set_aside
    }

    /// Why it takes no tasks, and what to do.
    fn trouble(&self) -> Option<(String, Option<&str>)> {
        if let Some(since) = self.set_aside() {
            let reason = format!("set aside since {since:.0}: it died and is not restarted any more");
            return Some((
                reason,
                Some("find out why (its log), then SIGHUP to the supervisor, or start it"),
            ));
        }
        if let Some((what, remedy)) = self.vital.trouble() {
            return Some((what, Some(remedy)));
        }
        if let Some(error) = &self.unread {
            return Some((format!("its state.json cannot be read: {error}"), None));
        }
        let hold = self.state.as_ref()?.hold.as_ref().filter(|_| self.is_alive())?;
        let until = hold.until.map(|until| format!(" (tries again at {until:.0})")).unwrap_or_default();
        let code = hold.error_code.map(|code| format!("{code} ")).unwrap_or_default();
        let cause = hold.cause.as_str();
        Some((format!("{code}{cause}: {}{until}", hold.reason), hold.remedy.as_deref()))
    }

    /// Whether it left without a word.
    fn has_died(&self) -> bool {
        let said = self.state.as_ref().map(|state| state.status);
        self.held_by.is_none() && said.is_some_and(|status| status != WorkerStatus::Stopped)
    }

    /// Why its watcher last died, while that is news.
    fn crash(&self, now: f64) -> Option<(u64, String)> {
        let state = self.state.as_ref()?;
        let age = state.last_crash.map(|at| now - at).filter(|age| (0.0..CRASH_IS_NEWS).contains(age))?;
        let (word, text) = (state.last_crash_reason.as_ref()?, state.last_crash_detail.as_deref());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a day at most")]
        Some((age as u64, format!("{word}: {}", text.unwrap_or_default())))
    }

    fn crashes(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.recovery_count)
    }
}

const fn tone_of(status: WorkerStatus) -> Tone {
    match status {
        WorkerStatus::Running => Tone::Good,
        WorkerStatus::Degraded => Tone::Bad,
        WorkerStatus::Starting
        | WorkerStatus::Paused
        | WorkerStatus::Draining
        | WorkerStatus::Stopped
        | WorkerStatus::Recovering => Tone::Warn,
    }
}

fn heading(desk: &Desk, screen: &Screen) -> String {
    let root = desk.layout.root().display().to_string();
    let alive = screen.workers.iter().filter(|worker| worker.is_alive()).count();
    let supervisor = if screen.supervised { "supervised" } else { "no supervisor" };
    let line = desk.report.line(&[
        Cell::toned(root, Tone::Strong),
        Cell::plain(format!("{alive} of {} workers alive,", screen.workers.len())),
        Cell::plain(format!("{supervisor},")),
        Cell::plain(format!("{} in the inbox", screen.inbox)),
    ]);
    format!("{line}\n")
}

fn worker_table(desk: &Desk, workers: &[WorkerView]) -> String {
    if workers.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<Cell>> = workers
        .iter()
        .map(|worker| {
            let (word, tone) = worker.word();
            let beat = worker.beat_s.map_or_else(|| "-".to_owned(), |s| format!("{} ago", spoken(s)));
            let mut row = vec![Cell::plain(worker.name.as_str()), Cell::toned(word, tone), Cell::plain(beat)];
            row.extend(worker.depths.iter().map(|(place, depth)| depth_cell(*place, *depth)));
            row.push(Cell::plain(worker.crashes().to_string()));
            row
        })
        .collect();
    let heading =
        ["WORKER", "STATUS", "BEAT", "PENDING", "STAGED", "ACTIVE", "DONE", "FAILED", "CANCELLED", "CRASHES"];
    format!("\n{}", desk.report.table(&heading, &rows))
}

fn depth_cell(place: Place, depth: usize) -> Cell {
    let tone = match place {
        _ if depth == 0 => Tone::Faint,
        Place::Failed => Tone::Bad,
        Place::Active => Tone::Strong,
        Place::Inbox | Place::Pending | Place::Staged | Place::Completed | Place::Cancelled => Tone::Plain,
    };
    Cell::toned(depth.to_string(), tone)
}

fn resumes(desk: &Desk, workers: &[WorkerView]) -> String {
    let mut text = String::new();
    for worker in workers {
        let Some((record, is_led)) = &worker.resume else { continue };
        let (word, tone) = match (record.state, is_led) {
            (Phase::Stopped, _) => ("stopped".to_owned(), Tone::Bad),
            (Phase::Moving | Phase::Waiting, true) => {
                (format!("led by pid {}", record.leader.pid), Tone::Plain)
            }
            (Phase::Moving | Phase::Waiting, false) => ("nobody leads it".to_owned(), Tone::Warn),
        };
        text += &desk.report.line(&[
            Cell::toned(format!("{} resuming", worker.name), Tone::Strong),
            Cell::plain(format!("{},", record.summary())),
            Cell::toned(word, tone),
        ]);
        text.push('\n');
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn troubles(desk: &Desk, workers: &[WorkerView]) -> String {
    let mut text = String::new();
    for worker in workers {
        let Some((reason, remedy)) = worker.trouble() else { continue };
        let line = [Cell::toned(format!("{} takes no tasks:", worker.name), Tone::Bad), Cell::plain(reason)];
        text += &desk.report.line(&line);
        text.push('\n');
        if let Some(remedy) = remedy {
            text += &desk.report.line(&[Cell::plain("  remedy:"), Cell::plain(remedy)]);
            text.push('\n');
        }
    }
    for worker in workers {
        let Some((ago, why)) = worker.crash(epoch_seconds(desk.clock.wall())) else { continue };
        let head = format!("{} died {} ago:", worker.name, spoken(ago));
        text += &desk.report.line(&[Cell::toned(head, Tone::Warn), Cell::plain(why)]);
        text.push('\n');
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn running_table(desk: &Desk, workers: &[WorkerView]) -> String {
    let rows: Vec<Vec<Cell>> = workers
        .iter()
        .flat_map(|worker| worker.running.iter().map(move |running| (worker, running)))
        .map(|(worker, running)| {
            let sign = running.silent_s.map_or_else(|| "-".to_owned(), |s| format!("{} ago", spoken(s)));
            vec![
                Cell::plain(running.seen.full_name()),
                state_cell(running.seen.state()),
                Cell::plain(spoken(running.elapsed_s)),
                Cell::plain(sign),
                Cell::toned(progress(worker, running).unwrap_or_else(|| about(&running.seen)), Tone::Faint),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", desk.report.table(&["RUNNING", "STATE", "FOR", "LAST SIGN", "ABOUT"], &rows))
}

/// What its agent reports.
fn progress(worker: &WorkerView, running: &Running) -> Option<String> {
    let name = running.seen.name();
    let tasks = worker.state.iter().flat_map(|state| &state.running);
    tasks.filter(|it| it.task.as_str() == name).find_map(|it| it.progress.clone())
}

fn failure_table(desk: &Desk, failures: &[Seen]) -> String {
    let rows: Vec<Vec<Cell>> = failures
        .iter()
        .map(|seen| {
            vec![
                Cell::plain(seen.full_name()),
                state_cell(seen.state()),
                Cell::plain(format!("{} ago", spoken(desk.age_s(seen.entry.mtime)))),
                Cell::plain(about(seen)),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", desk.report.table(&["FAILED OF LATE", "STATE", "WHEN", "WHY"], &rows))
}

/// The commands that are most likely typed next.
fn next_steps(desk: &Desk, screen: &Screen) -> String {
    let root = desk.layout.root().display();
    let agentctl = desk.agentctl();
    let mut steps = Vec::new();
    let nobody = !screen.workers.iter().any(WorkerView::is_alive);
    if nobody {
        steps.push(format!("supervisor up --root {root}"));
    }
    for worker in screen.workers.iter().filter(|worker| !nobody && worker.has_died()) {
        steps.push(format!("supervisor recover {} --dry-run --root {root}", worker.name));
    }
    if let Some(running) = screen.workers.iter().find_map(|worker| worker.running.first()) {
        steps.push(format!("{agentctl} logs -f {}", running.seen.full_name()));
    }
    if let Some(failed) = screen.failures.first() {
        steps.push(format!("{agentctl} show {}", failed.full_name()));
    }
    if steps.is_empty() {
        steps.push(format!("{agentctl} submit 'say hello' --wait"));
    }
    let label = desk.report.line(&[Cell::toned("next:", Tone::Faint)]);
    format!("\n{label} {}", super::report::one_line(&steps.join(" · ")))
}

fn screen_json(desk: &Desk, screen: &Screen) -> Value {
    json!({
        "root": desk.layout.root(),
        "supervised": screen.supervised,
        "inbox": screen.inbox,
        "workers": screen.workers.iter().map(|worker| worker_json(desk, worker)).collect::<Vec<_>>(),
        "failures": screen.failures.iter().map(|seen| as_json(desk, seen)).collect::<Vec<_>>(),
    })
}

fn worker_json(desk: &Desk, worker: &WorkerView) -> Value {
    let running: Vec<Value> = worker
        .running
        .iter()
        .map(|running| {
            let mut value = as_json(desk, &running.seen);
            value["elapsed_s"] = running.elapsed_s.into();
            value["silent_s"] = running.silent_s.into();
            value
        })
        .collect();
    let depths: serde_json::Map<String, Value> =
        worker.depths.iter().map(|(place, depth)| (place.as_str().to_owned(), (*depth).into())).collect();
    json!({
        "worker": worker.name,
        "alive": worker.is_alive(),
        "held_by": worker.held_by,
        "status": worker.word().0,
        "set_aside": worker.set_aside(),
        "resume": worker.resume.as_ref().map(|(record, is_led)| json!({
            "state": record.state,
            "led": is_led,
            "leader": record.leader.pid,
            "found": record.found,
            "released": record.released,
            "done": record.done,
            "failed": record.failed,
            "batch": record.batch,
            "reason": record.reason,
        })),
        "hold": worker.state.as_ref().and_then(|state| state.hold.as_ref()),
        "packs": worker.state.as_ref().map_or(&[][..], |state| &state.packs),
        "last_crash": worker.state.as_ref().and_then(|state| state.last_crash),
        "last_crash_reason": worker.state.as_ref().and_then(|state| state.last_crash_reason.as_ref()),
        "last_crash_detail": worker.state.as_ref().and_then(|state| state.last_crash_detail.as_ref()),
        "recovery_count": worker.crashes(),
        "heartbeat_age_s": worker.beat_s,
        "vital": worker.vital.as_str(),
        "trouble": worker.trouble().map(|(what, _)| what),
        "pid": worker.pid,
        "depths": depths,
        "running": running,
    })
}
