//! `supervisor monitor W`: what a worker's metrics say, every ten seconds, for as long as a recovery is watched.
//!
//! The lines are the runbook's, word for word, so that whoever reads them with a script goes on doing so. At a
//! terminal a line below them shows the worker's condition, once a second.
//!
//! It looks only: at the metrics page over HTTP, and at the files below the root.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::{SharedClock, Ticks, Timestamp};
use crate::config::{Exit, MonitorConfig, default_metrics_addr};
use crate::layout::Layout;
use crate::os::process::identity::boot_id;
use crate::os::signals::{self, Signal};
use crate::telemetry::fetch::{self, Answer, FetchError};
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::state_file::State;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at the condition, at a terminal.
const REDRAW: Duration = Duration::from_secs(1);

/// Why nothing is watched.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// Nobody says where the metrics are.
    #[error("nobody says where the metrics of `{0}` are served")]
    Nowhere(String),
    /// Signals, or time.
    #[error("could not prepare this process")]
    Process(#[source] std::io::Error),
}

impl MonitorError {
    /// The exit status for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Nowhere(_) => Exit::Usage,
            Self::Process(_) => Exit::Internal,
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Nowhere(_) => Some("say it with --metrics-addr HOST:PORT"),
            Self::Process(_) => None,
        }
    }
}

/// Where the lines go. Each answers whether anybody still reads.
pub trait Audience {
    /// One line, for good.
    fn line(&self, text: &str) -> bool;
    /// The last line, to be overwritten; empty to take it away.
    fn below(&self, text: &str) -> bool;
    /// Whether a person looks on.
    fn is_person(&self) -> bool;
}

/// Watches for as long as was asked, or until Ctrl-C.
pub fn run(config: &MonitorConfig, to: &dyn Audience, clock: &SharedClock) -> Result<(), MonitorError> {
    let layout = Layout::new(&config.root);
    let mut signals = signals::listen().map_err(MonitorError::Process)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(MonitorError::Process)?;
    let watch = Watch { config, layout, clock };
    // Found out before anything is said.
    watch.addr()?;
    let (began, seconds) = (clock.ticks(), config.duration.as_secs_f64());
    let mut reading = to.line(&format!("Monitoring {} recovery for {seconds}s", config.worker));
    let over = began.plus(config.duration);
    let mut next = began;
    while reading && clock.ticks() < over {
        if clock.ticks() >= next {
            next = clock.ticks().plus(config.interval);
            reading = to.below("") && watch.look()?.iter().all(|line| to.line(line));
        }
        reading = reading && (!to.is_person() || to.below(&watch.condition(over)));
        let until = if to.is_person() { next.min(clock.ticks().plus(REDRAW)) } else { next }.min(over);
        let pause = until.since(clock.ticks());
        let stopped = runtime.block_on(async {
            tokio::time::timeout(pause, async {
                while signals.recv().await.is_some_and(|signal| signal != Signal::Stop) {}
            })
            .await
        });
        if stopped.is_ok() {
            to.below("");
            return Ok(());
        }
    }
    if reading && to.below("") {
        to.line("Monitoring completed");
    }
    Ok(())
}

struct Watch<'a> {
    config: &'a MonitorConfig,
    layout: Layout,
    clock: &'a SharedClock,
}

impl Watch<'_> {
    /// Where to ask: what was said, what the worker's state says, what is usual. Looked up each time, since a
    /// restarted watcher may have moved.
    fn addr(&self) -> Result<String, MonitorError> {
        let said = || State::read(&self.layout.state(&self.config.worker)).ok()??.metrics_addr;
        let usual = || Some(default_metrics_addr(&self.config.worker)).filter(|it| *it != "none");
        let addr = self.config.addr.clone().or_else(said).or_else(|| usual().map(str::to_owned));
        addr.ok_or_else(|| MonitorError::Nowhere(self.config.worker.to_string()))
    }

    fn look(&self) -> Result<Vec<String>, MonitorError> {
        let answer = fetch::get(&self.addr()?, "/metrics", PATIENCE, self.clock.as_ref());
        let time = hour(self.clock.wall());
        Ok(lines(&answer).into_iter().map(|line| format!("[{time}] {line}")).collect())
    }

    fn condition(&self, over: Ticks) -> String {
        let worker = &self.config.worker;
        let state = State::read(&self.layout.state(worker)).ok().flatten().unwrap_or_default();
        let beat = Heartbeat::read(&self.layout.heartbeat(worker));
        let left = over.since(self.clock.ticks());
        let age = beat.and_then(|beat| beat.age(self.clock.ticks(), &boot_id()));
        let held = crate::os::lock::is_held(&self.layout.worker(worker)).unwrap_or(false);
        let word = if held { state.status.as_str() } else { "no watcher" };
        condition(&state, word, age, left)
    }
}

/// What the runbook prints about an answer.
fn lines(answer: &Result<Answer, FetchError>) -> Vec<String> {
    match answer {
        Ok(answer) if answer.status == 200 => answer
            .body
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter(|line| line.contains("active_tasks") || line.contains("task_failed_total"))
            .map(|line| line.trim().escape_debug().to_string().replace("\\\"", "\""))
            .collect(),
        Ok(answer) => vec![format!("Metrics endpoint returned {}", answer.status)],
        Err(error) => vec![format!("Failed to reach metrics: {error}")],
    }
}

fn condition(state: &State, word: &str, beat: Option<Duration>, left: Duration) -> String {
    let beat = beat.map_or_else(|| "never".to_owned(), |age| format!("{:.0} s ago", age.as_secs_f64()));
    let why = state.last_crash_reason.as_ref().map(|it| format!(", last crash {it}")).unwrap_or_default();
    let queues = &state.queues;
    format!(
        "{word}: {} active, {} staged, {} pending, {} failed; last beat {beat}{why}; {} s left",
        queues.active,
        queues.staged,
        queues.pending,
        queues.failed,
        left.as_secs()
    )
}

/// The time of day where we are.
fn hour(now: Timestamp) -> String {
    now.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::state_file::QueueDepths;

    fn page(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned() }
    }

    #[test]
    fn the_lines_are_those_of_the_runbook() {
        let body = "# HELP active_tasks x\n# TYPE active_tasks gauge\nactive_tasks 3\nother 1\ntask_failed_total 0\n";
        assert_eq!(lines(&Ok(page(200, body))), ["active_tasks 3", "task_failed_total 0"]);
        assert_eq!(lines(&Ok(page(503, body))), ["Metrics endpoint returned 503"]);
        let error = FetchError::Garbage { addr: "marie:9091".to_owned() };
        assert_eq!(lines(&Err(error)), ["Failed to reach metrics: marie:9091 does not speak HTTP"]);
        let forged = "active_tasks{a=\"b\"} 1\u{1b}[2J\n";
        assert_eq!(lines(&Ok(page(200, forged))), ["active_tasks{a=\"b\"} 1\\u{1b}[2J"]);
    }

    #[test]
    fn the_condition_is_one_line() {
        let queues = QueueDepths { active: 3, pending: 2, failed: 1, ..QueueDepths::default() };
        let state = State { queues, ..State::default() };
        let (beat, left) = (Some(Duration::from_millis(400)), Duration::from_secs(9));
        assert_eq!(
            condition(&state, "running", beat, left),
            "running: 3 active, 0 staged, 2 pending, 1 failed; last beat 0 s ago; 9 s left"
        );
        assert!(condition(&state, "no watcher", None, left).starts_with("no watcher: 3 active"));
    }
}
