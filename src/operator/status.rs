//! `agentctl status`: one screen that tells everything, and what to type next.

use clap::Args;
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::config::Exit;
use crate::os::holder::{Holder, Role};
use crate::task::{Place, TaskFile, WorkerName};

use super::desk::{Desk, spoken};
use super::error::OperatorError;
use super::list::{about, as_json, state_cell};
use super::look::{self, Seen};
use super::report::{Cell, Tone};

/// How many failures are shown.
const FAILURES: usize = 5;

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
    /// `state.json` as it stands there.
    state: Value,
    /// Seconds since the last beat.
    beat_s: Option<u64>,
    pid: Option<i64>,
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
    if args.json {
        desk.report.json(&screen_json(desk, &screen));
        return Ok(Exit::Done);
    }
    desk.report.data(&heading(desk, &screen));
    desk.report.data(&worker_table(desk, &screen.workers));
    desk.report.data(&troubles(desk, &screen.workers));
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
    let beat = read_json(&desk.layout.heartbeat(&name));
    let beat_at: Option<Timestamp> = beat["timestamp"].as_str().and_then(|text| text.parse().ok());
    Ok(WorkerView {
        held_by: held_by(desk, &name),
        state: read_json(&desk.layout.state(&name)),
        beat_s: beat_at.map(|at| desk.age_s(at)),
        pid: beat["pid"].as_i64(),
        depths,
        running: running(desk, &name)?,
        name,
    })
}

/// A file that others write: whatever cannot be read is as good as absent.
fn read_json(path: &std::path::Path) -> Value {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
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
    fn word(&self) -> (String, Tone) {
        let status = self.state["status"].as_str();
        match (self.held_by, status) {
            (None, Some("stopped")) => ("stopped".to_owned(), Tone::Warn),
            (None, None) => ("never started".to_owned(), Tone::Faint),
            (None, Some(_)) => ("dead".to_owned(), Tone::Bad),
            (Some(Role::Recovery | Role::Supervisor | Role::Operator), _) => {
                ("held for recovery".to_owned(), Tone::Warn)
            }
            (Some(Role::Watcher), Some("running")) => ("running".to_owned(), Tone::Good),
            (Some(Role::Watcher), Some("degraded")) => ("degraded".to_owned(), Tone::Bad),
            (Some(Role::Watcher), Some(other)) => (other.to_owned(), Tone::Warn),
            (Some(Role::Watcher), None) => ("alive".to_owned(), Tone::Good),
        }
    }

    const fn is_alive(&self) -> bool {
        matches!(self.held_by, Some(Role::Watcher))
    }

    /// Why it takes no tasks, and what to do.
    fn trouble(&self) -> Option<(String, Option<String>)> {
        let hold = &self.state["hold"];
        let reason = hold["reason"].as_str().or_else(|| hold["cause"].as_str())?;
        let until =
            hold["until"].as_str().map(|until| format!(" (tries again at {until})")).unwrap_or_default();
        let code = hold["error_code"].as_str().map(|code| format!("{code} ")).unwrap_or_default();
        self.is_alive()
            .then(|| (format!("{code}{reason}{until}"), hold["remedy"].as_str().map(str::to_owned)))
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
            row.push(Cell::plain(worker.state["recovery_count"].as_u64().unwrap_or(0).to_string()));
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
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn running_table(desk: &Desk, workers: &[WorkerView]) -> String {
    let rows: Vec<Vec<Cell>> = workers
        .iter()
        .flat_map(|worker| &worker.running)
        .map(|running| {
            let sign = running.silent_s.map_or_else(|| "-".to_owned(), |s| format!("{} ago", spoken(s)));
            vec![
                Cell::plain(running.seen.full_name()),
                state_cell(running.seen.state()),
                Cell::plain(spoken(running.elapsed_s)),
                Cell::plain(sign),
                Cell::toned(about(&running.seen), Tone::Faint),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", desk.report.table(&["RUNNING", "STATE", "FOR", "LAST SIGN", "ABOUT"], &rows))
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
    let mut steps = Vec::new();
    let nobody = !screen.workers.iter().any(WorkerView::is_alive);
    if nobody {
        steps.push(format!("supervisor up --root {root}"));
    }
    for worker in screen.workers.iter().filter(|worker| !nobody && worker.held_by.is_none()) {
        if worker.state["status"].as_str().is_some_and(|status| status != "stopped") {
            steps.push(format!("supervisor recover {} --dry-run --root {root}", worker.name));
        }
    }
    if let Some(running) = screen.workers.iter().find_map(|worker| worker.running.first()) {
        steps.push(format!("agentctl logs -f {}", running.seen.full_name()));
    }
    if let Some(failed) = screen.failures.first() {
        steps.push(format!("agentctl show {}", failed.full_name()));
    }
    if steps.is_empty() {
        steps.push("agentctl submit 'say hello' --wait".to_owned());
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
        "hold": worker.state.get("hold"),
        "last_crash": worker.state.get("last_crash"),
        "recovery_count": worker.state["recovery_count"].as_u64().unwrap_or(0),
        "heartbeat_age_s": worker.beat_s,
        "pid": worker.pid,
        "depths": depths,
        "running": running,
    })
}
