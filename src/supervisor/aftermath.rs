//! What follows a death besides the restart: why it died, said and left for the next watcher, and the trace of the
//! recovery.
//!
//! It hears the same notices as the person, and changes nothing of what the core decides.

use std::collections::HashMap;
use std::sync::mpsc;

use super::notice::Notice;
use super::recovery_trace::Recoveries;
use crate::clock::{SharedClock, Timestamp};
use crate::config::{Environment, RestartBy, SupervisorConfig};
use crate::layout::Layout;
use crate::os::holder::Holder;
use crate::os::oom::Counter;
use crate::os::process::Exit;
use crate::recovery::crash::host::{from_docker, from_systemd};
use crate::recovery::crash::{CrashReason, Dead, Evidence, Verdict, decide, gather, note};
use crate::task::WorkerName;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::traces::{Traces, TracesGuard};

/// What is remembered of one worker's latest watcher.
#[derive(Debug, Default)]
struct Remembered {
    pid: Option<i32>,
    counter: Option<Counter>,
    said: String,
    /// Why we ended it ourselves, if we did.
    ended_for: Option<String>,
}

/// Looks into deaths.
#[derive(Debug)]
pub(super) struct Aftermath {
    layout: Layout,
    clock: SharedClock,
    workers: HashMap<WorkerName, Remembered>,
    recoveries: Recoveries,
    traces: Traces,
    _sending: TracesGuard,
    complaints: mpsc::Receiver<String>,
}

impl Aftermath {
    /// Nobody has died yet.
    pub(super) fn start(config: &SupervisorConfig, env: &Environment, clock: &SharedClock) -> Self {
        let (complain, complaints) = mpsc::channel();
        let say = move |line: &str| {
            // Whoever listened is gone only if the program ends.
            complain.send(line.to_owned()).ok();
        };
        let (traces, sending) = Traces::start(
            config.traces_exporter.as_deref(),
            config.otlp_endpoint.as_deref(),
            env,
            "supervisor",
            Box::new(say),
        );
        Self {
            layout: Layout::new(&config.root),
            clock: SharedClock::clone(clock),
            workers: HashMap::new(),
            recoveries: Recoveries::default(),
            traces,
            _sending: sending,
            complaints,
        }
    }

    /// What there is to say about the traces.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.complaints.try_iter().collect()
    }

    /// A child of ours was reaped; what it said last.
    pub(super) fn exited(&mut self, worker: &WorkerName, said: &str) {
        said.clone_into(&mut self.workers.entry(worker.clone()).or_default().said);
    }

    /// Hears what the person is told; what there is to add to it.
    pub(super) fn told(&mut self, notice: &Notice) -> Option<String> {
        let now = self.clock.wall();
        match notice {
            Notice::Up { worker, pid, .. } | Notice::TakenOver { worker, pid } => self.up(worker, *pid),
            Notice::Died { worker, exit, .. } => {
                let verdict = self.examine(worker, *exit);
                let spans = self.recoveries.died(worker, now, &verdict, self.clock.wall());
                self.send(spans);
                return Some(format!("{worker}: {verdict}"));
            }
            Notice::Restarting { worker, .. } | Notice::Awaited { worker, .. } => {
                self.recoveries.restarting(worker, now);
            }
            Notice::SetAside { worker, .. } => self.give_up(worker, "it died too often and is set aside"),
            Notice::Hung { worker, silent } => {
                let why = format!("it showed no progress for {} s", silent.as_secs());
                self.workers.entry(worker.clone()).or_default().ended_for = Some(why);
            }
            Notice::NotBack { worker, .. } => self.give_up(worker, "nobody brought it back"),
            Notice::Misconfigured { worker, why } => self.give_up(worker, why),
            Notice::StoppedByItself { worker } | Notice::Ended { worker, .. } => {
                self.give_up(worker, "it was stopped");
            }
            Notice::Occupied { .. }
            | Notice::NotStarted { .. }
            | Notice::Cooldown { .. }
            | Notice::Stuck { .. }
            | Notice::Moves { .. }
            | Notice::Swept { .. }
            | Notice::Anew { .. }
            | Notice::Called { .. }
            | Notice::Retiring { .. }
            | Notice::InReserve { .. }
            | Notice::Leaving { .. }
            | Notice::Stopping { .. }
            | Notice::Hurrying
            | Notice::Killing
            | Notice::NotEnded { .. } => {}
        }
        None
    }

    fn up(&mut self, worker: &WorkerName, pid: Option<i32>) {
        let holder = Holder::read(&self.layout.watcher_lock(worker));
        // In another container its pid means somebody else here.
        let is_near = holder.as_ref().is_none_or(|it| it.process.is_of_this_boot());
        let since = holder.map(|it| it.since);
        let counter = pid.filter(|_| is_near).and_then(Counter::of);
        self.workers.insert(worker.clone(), Remembered { pid, counter, ..Remembered::default() });
        self.recoveries.up(worker, pid, since.unwrap_or_else(|| self.clock.wall()));
        // Its heart may have beaten before its lock was seen here.
        if let Some(beat) = Heartbeat::read(&self.layout.heartbeat(worker)) {
            self.beat(worker, &beat);
        }
    }

    /// A worker's heart beat.
    pub(super) fn beat(&mut self, worker: &WorkerName, beat: &Heartbeat) {
        let remembered = self.workers.get_mut(worker).filter(|it| it.pid == Some(beat.pid));
        if let Some(counter) = remembered.and_then(|it| it.counter.as_mut()) {
            // Whatever the kernel ended before this beat was not this watcher.
            counter.kills += counter.risen().unwrap_or(0);
        }
        let spans = self.recoveries.beat(worker, beat.pid, beat.timestamp, self.clock.wall());
        self.send(spans);
    }

    /// Why it died; left for the next watcher.
    fn examine(&mut self, worker: &WorkerName, exit: Option<Exit>) -> Verdict {
        let Remembered { pid, counter, said, ended_for } = self.workers.remove(worker).unwrap_or_default();
        // A child that never had the lock did not write itself down: the mirror is about an earlier one.
        let dead = Dead::find(&self.layout, worker).filter(|dead| pid == Some(dead.process.pid));
        let known = Evidence {
            pid,
            exit,
            said,
            ended_for,
            cgroup_kills: counter.and_then(|it| it.risen()),
            ..Evidence::default()
        };
        let verdict = decide(&gather(&self.layout, worker, dead.as_ref(), known));
        if let Some(dead) = dead {
            // The unit of the watcher may have been quicker, and knows how it ended.
            let told = note::read(&self.layout.death(worker), &dead.process);
            if let Some(told) = told.filter(|_| verdict.reason == CrashReason::Unknown) {
                return told;
            }
            // Without it the next watcher looks for itself, and knows no exit status.
            note::write(&self.layout.death(worker), &dead.process, &verdict, self.clock.wall()).ok();
        }
        verdict
    }

    fn give_up(&mut self, worker: &WorkerName, why: &str) {
        let spans = self.recoveries.given_up(worker, why, self.clock.wall());
        self.send(spans);
    }

    fn send(&self, spans: Vec<crate::telemetry::traces::span::Span>) {
        for mut span in spans {
            // They are all of one trace, which begins here.
            span.context = self.traces.decide(span.context, None);
            self.traces.send(span);
        }
    }
}

/// The host has told how a watcher ended. If nothing was known so far, the next watcher is left what it makes of that.
pub(super) fn by_host(
    layout: &Layout,
    worker: &WorkerName,
    (by, text): (RestartBy, &str),
    now: Timestamp,
) -> Option<Verdict> {
    let dead = Dead::find(layout, worker)?;
    let path = layout.death(worker);
    let known = note::read(&path, &dead.process).map(|verdict| verdict.reason);
    if known.is_some_and(|reason| reason != CrashReason::Unknown) {
        return None;
    }
    let host = match by {
        RestartBy::Systemd => from_systemd(text, Some(dead.process.pid)),
        RestartBy::Docker => from_docker(text, worker.as_str()),
        RestartBy::Exec | RestartBy::Nobody => None,
    };
    let known = Evidence { host: Some(host?), ..Evidence::default() };
    let verdict = decide(&gather(layout, worker, Some(&dead), known));
    // Without it the next watcher looks for itself.
    note::write(&path, &dead.process, &verdict, now).ok();
    Some(verdict)
}
