//! `agentctl watch`: what happens to tasks and workers, as it happens, from the journals.
//!
//! Any number may watch, and nobody misses anything: the journal is read, and not the pipe, whose lines go to one
//! reader only.

use std::collections::VecDeque;

use clap::Args;
use jiff::Timestamp;

use crate::config::{Exit, nearest};
use crate::task::WorkerName;
use crate::telemetry::journal::Event;

use super::desk::Desk;
use super::error::OperatorError;
use super::gazette::{From, Gazette};
use super::moment::{Moment, past};
use super::telling::Told;
use super::vigil::Vigil;
use super::{find, look};

/// How many state changes are remembered, so that one that was written twice is told once.
const REMEMBERED: usize = 4096;

/// What to watch.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Ends with Ctrl-C, or with the reader of its output.

Examples:
  agentctl watch                          everything that happens, on all workers
  agentctl watch marie --since 1h         from an hour ago on
  agentctl watch --task hello --event concluded,requeued
  agentctl watch --since 1d --no-follow --json | jq -r 'select(.event==\"concluded\") | .cost_usd'")]
pub struct WatchArgs {
    /// Only these workers
    #[arg(value_name = "WORKER")]
    pub workers: Vec<String>,
    /// Only what is about this task, by its name or worker/name; can be repeated
    #[arg(long, short, value_name = "TASK")]
    pub task: Vec<String>,
    /// Only these events, as the journal names them; can be repeated
    #[arg(long, short, value_name = "EVENT", value_delimiter = ',', value_parser = event)]
    pub event: Vec<String>,
    /// From then on: an age such as 10m, or a moment [default: from now on]
    #[arg(long, value_name = "WHEN", value_parser = past)]
    pub since: Option<Moment>,
    /// Only what is there already, and no more
    #[arg(long, requires = "since")]
    pub no_follow: bool,
    /// The lines as they stand in the journal, one JSON object each
    #[arg(long)]
    pub json: bool,
}

/// Reads an event as the journal names it.
fn event(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase().replace('-', "_");
    let Err(error) = serde_json::from_value::<Event>(text.clone().into()) else { return Ok(text) };
    // The types know the words; their error names them.
    let said = error.to_string();
    let words: Vec<&str> = said.split('`').skip(3).step_by(2).collect();
    let near = nearest(&text, words.iter().copied()).map(|near| format!("did you mean `{near}`? "));
    Err(format!("{}there are {}", near.unwrap_or_default(), words.join(", ")))
}

/// Watches.
pub fn run(desk: &Desk, args: &WatchArgs) -> Result<Exit, OperatorError> {
    look::check_root(&desk.layout)?;
    let named: Vec<WorkerName> =
        args.workers.iter().map(|called| find::worker(desk, called)).collect::<Result<_, _>>()?;
    let workers = || if named.is_empty() { look::workers(&desk.layout) } else { Ok(named.clone()) };
    let since = args.since.map(|moment| moment.seen_from(desk.clock.wall()));
    let from = since.map_or(From::Now, |at| From::Day(at.strftime("%Y-%m-%d").to_string()));
    // First of all it is settled what is old: whoever sees us listen counts on hearing what comes next.
    let mut gazette = Gazette::open(&desk.layout, from, &workers()?)?;
    let mut vigil = Vigil::start()?;
    let mut teller = Teller { desk, args, since, known: VecDeque::new() };
    if !args.no_follow {
        desk.report.talk("watching; Ctrl-C ends it");
    }
    loop {
        let workers = workers()?;
        vigil.listen(gazette.folders(&workers));
        let goes_on = gazette.drain(&workers, &mut |line| teller.tell(line))?;
        if !goes_on || args.no_follow {
            return Ok(Exit::Done);
        }
        vigil.wait(None);
    }
}

/// Tells what is wanted.
struct Teller<'a> {
    desk: &'a Desk,
    args: &'a WatchArgs,
    since: Option<Timestamp>,
    known: VecDeque<String>,
}

impl Teller<'_> {
    /// Prints a line, if it is wanted; `false` once nobody reads any more.
    fn tell(&mut self, line: &[u8]) -> bool {
        let Some(told) = Told::parse(line).filter(|told| self.is_wanted(told)) else { return true };
        if self.args.json {
            return self.desk.report.raw(line);
        }
        if told.id().is_some_and(|id| self.was_told(id)) {
            return true;
        }
        self.desk.report.data(&self.desk.report.line(&told.cells()))
    }

    fn is_wanted(&self, told: &Told) -> bool {
        let is_late_enough = self.since.is_none_or(|since| told.time().is_none_or(|time| time >= since));
        let events = &self.args.event;
        let is_event = events.is_empty() || events.iter().any(|event| event == told.event());
        is_late_enough && is_event && (self.args.task.is_empty() || self.is_about_a_task(told))
    }

    fn is_about_a_task(&self, told: &Told) -> bool {
        self.args.task.iter().any(|called| match called.split_once('/') {
            Some((worker, task)) => told.worker() == Some(worker) && told.task() == Some(task),
            None => told.task() == Some(called.as_str()),
        })
    }

    /// Whether this state change was told before.
    fn was_told(&mut self, id: &str) -> bool {
        if self.known.iter().any(|known| known == id) {
            return true;
        }
        if self.known.len() == REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back(id.to_owned());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_as_in_the_journal_and_a_slip_is_recognised() {
        assert_eq!(event("concluded").as_deref(), Ok("concluded"));
        assert_eq!(event("Worker-Status").as_deref(), Ok("worker_status"));
        let slip = event("conclude").unwrap_err();
        assert!(slip.starts_with("did you mean `concluded`? there are claimed, started,"), "{slip}");
    }
}
