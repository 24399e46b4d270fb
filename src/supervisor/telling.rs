//! Everything that is told to the person: the supervisor's notices, the workers' news, the greeting, the farewell.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::banner::{Places, banner, quoted};
use super::follow::{Tail, answer};
use super::foreground::{Foreground, Told};
use super::level::Level;
use super::notice::{Notice, Typed, Weight};
use super::speaker::Speaker;
use super::{launch, look};
use crate::clock::Timestamp;
use crate::config::{RestartBy, SupervisorConfig};
use crate::layout::Layout;
use crate::task::{Place, TaskState, WorkerName};
use crate::telemetry::state_file::State;

/// Who tells.
#[derive(Debug)]
pub(super) struct Telling {
    config: SupervisorConfig,
    layout: Layout,
    places: Places,
    tails: Vec<Tail>,
    printed: HashMap<WorkerName, PathBuf>,
    foreground: Foreground,
    speaker: Speaker,
}

impl Telling {
    /// Greets the person, and begins to follow the journals.
    pub(super) fn start(
        config: &SupervisorConfig,
        places: Places,
        served: Option<SocketAddr>,
        now: Timestamp,
    ) -> io::Result<Self> {
        let layout = Layout::new(&config.root);
        let mut speaker = Speaker::start()?;
        speaker.say(&banner(config, &places, served), Weight::Plain);
        Ok(Self {
            tails: config.workers.iter().map(|it| Tail::from_now(&layout, &it.name, now)).collect(),
            printed: HashMap::new(),
            foreground: Foreground::new(places.layout(), TimeZone::system()),
            config: config.clone(),
            layout,
            places,
            speaker,
        })
    }

    /// Says that something does not work as it should.
    pub(super) fn warn(&mut self, text: &str) {
        tracing::warn!("{text}");
        self.speaker.say(text, Weight::Warning);
    }

    /// Somebody pressed Ctrl-C: the terminal has shown that on the line where the next word would stand.
    pub(super) fn interrupted(&mut self) {
        self.speaker.leave_line();
    }

    /// Remembers where a watcher prints.
    pub(super) fn prints_to(&mut self, worker: &WorkerName, path: PathBuf) {
        self.printed.insert(worker.clone(), path);
    }

    /// What the latest watcher printed last.
    pub(super) fn last_words(&self, worker: &WorkerName) -> String {
        self.printed.get(worker).map(|path| launch::last_words(path)).unwrap_or_default()
    }

    /// Tells what the core has to say.
    pub(super) fn notice(&mut self, notice: &Notice, now: Timestamp) {
        let text = notice.text(&|worker| self.typed(worker));
        log(notice, &text);
        let time = self.foreground.time(now);
        let text = if notice.is_of_the_runbook() { text } else { format!("{time} {text}") };
        self.speaker.say(&text, notice.weight());
    }

    /// Adds to what was told.
    pub(super) fn say(&mut self, text: &str, weight: Weight, now: Timestamp) {
        tracing::warn!("{text}");
        self.speaker.say(&format!("{} {text}", self.foreground.time(now)), weight);
    }

    fn typed(&self, worker: &WorkerName) -> Typed {
        let unknown = || PathBuf::from("its log");
        let log = self.printed.get(worker).cloned().unwrap_or_else(unknown);
        let spec = self.config.workers.iter().find(|spec| spec.name == *worker);
        let args = spec.map(|spec| self.config.watcher_args(spec)).unwrap_or_default();
        let args: Vec<String> = args.iter().map(|arg| quoted(Path::new(arg))).collect();
        Typed {
            log: match self.config.restart {
                RestartBy::Exec => format!("tail -n 50 {}", quoted(&log)),
                RestartBy::Systemd | RestartBy::Nobody => {
                    format!("journalctl -u agent-worker-{worker} -n 100")
                }
                RestartBy::Docker => format!("docker logs {worker} --tail 100"),
            },
            start: match self.config.restart {
                RestartBy::Exec | RestartBy::Nobody => {
                    format!("{} {}", self.places.program("watcher"), args.join(" "))
                }
                RestartBy::Systemd => format!("systemctl start agent-worker-{worker}"),
                RestartBy::Docker => format!("docker start {worker}"),
            },
            pid: look::holder(&self.layout, worker).map(|it| it.process.pid),
        }
    }

    /// Tells what the journals say since the last look.
    pub(super) fn news(&mut self, now: Timestamp) {
        for tail in &mut self.tails {
            for line in tail.news(&self.layout, now) {
                let completed = line.to == Some(TaskState::Completed);
                let answer = line.run_id.filter(|_| completed).and_then(|run| answer(&self.layout, &run));
                if let Some(Told { text, weight }) = self.foreground.task(&line, answer.as_deref()) {
                    self.speaker.say(&text, weight);
                }
            }
        }
    }

    /// Tells what has changed in a worker's condition.
    pub(super) fn condition(&mut self, worker: &WorkerName, state: &State, now: Timestamp) {
        if let Some(Told { text, weight }) = self.foreground.condition(worker, state, now) {
            self.speaker.say(&text, weight);
        }
    }

    /// Says where the tasks are that are not done.
    pub(super) fn farewell(&mut self) {
        let shown = self.places.layout();
        let mut lines = Vec::new();
        let inbox = look::tasks_in(&self.layout.tasks());
        if inbox > 0 {
            lines.push(format!("{inbox} waiting in {}", shown.tasks().display()));
        }
        for worker in &self.config.workers {
            for place in [Place::Active, Place::Staged, Place::Pending] {
                let n = look::tasks_in(&self.layout.place(&worker.name, place));
                if n > 0 {
                    lines.push(format!("{n} in {}", shown.place(&worker.name, place).display()));
                }
            }
        }
        let text = if lines.is_empty() {
            "No task is left undone.".to_owned()
        } else {
            format!("Tasks that are not done, and go on at the next start:\n  {}", lines.join("\n  "))
        };
        self.speaker.say(&text, Weight::Plain);
    }
}

/// The same for programs, where there is a log: `severity` says how far a trouble has gone.
fn log(notice: &Notice, text: &str) {
    let worker = notice.worker().map(WorkerName::as_str);
    let severity = notice.level().map(Level::as_str);
    match notice.weight() {
        Weight::Plain => tracing::info!(worker, severity, "{text}"),
        Weight::Warning => tracing::warn!(worker, severity, "{text}"),
        Weight::Alarm => tracing::error!(worker, severity, "{text}"),
    }
}
