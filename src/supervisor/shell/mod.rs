//! The loop of the supervisor: waits for whatever can happen, asks the core, has the hands do what it says.
//!
//! It wakes for signals, exits, free locks and the kernel's hints. Besides that it looks at everything once in a few
//! seconds, since hints can be lost, and since a watcher that hangs gives none.

mod rounds;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::aftermath::Aftermath;
use super::banner::Places;
use super::core::{Core, Effect, Event, Moment, Rules};
use super::door::Door;
use super::ears::{Ears, Woke, listen_to_files};
use super::face::SupervisorFace;
use super::facts::Ward;
use super::hands::{Hands, Later};
use super::notice::{Notice, Weight};
use super::restart::Policy;
use super::resume::auto::Ramps;
use super::single::Single;
use super::state::{Actual, Worker};
use super::telling::Telling;
use super::up::Again;
use super::waiter::{AGAIN, Heard, Waited, Waiters};
use super::{launch, look};
use crate::clock::{SharedClock, Ticks};
use crate::config::{Changes, Environment, RestartBy, SupervisorConfig};
use crate::layout::Layout;
use crate::os::lock;
use crate::os::manager::Manager;
use crate::os::signals::Signal;
use crate::os::watch::Hint;
use crate::task::{Place, WorkerName};
use crate::telemetry::face::Hosts;
use crate::telemetry::log::LogHandle;
use crate::telemetry::metrics::MetricsError;
use crate::telemetry::state_file::WorkerStatus;

/// How often everything is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while somebody is about to take a lock.
const LOOK_WHILE_STARTING: Duration = Duration::from_millis(250);
/// How many looks fit into the time in which a watcher may show no progress.
const LOOKS: u32 = 4;

/// What the supervisor cannot run without.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// A part that could not be started.
    #[error("could not start {what}")]
    Start {
        /// Which.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The numbers.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// How the supervisor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Somebody asked, and everything is over.
    Asked,
    /// Another supervisor acts for this root.
    Displaced,
}

/// What there was before the shell.
pub(super) struct Given {
    /// Signals, listened to since we began.
    pub(super) signals: mpsc::UnboundedReceiver<Signal>,
    /// The lock of the one acting supervisor.
    pub(super) single: Single,
    /// Whether another acted before us, and we stood by.
    pub(super) took_over: bool,
    /// The log, where there is one.
    pub(super) log: Option<LogHandle>,
    /// The service manager.
    pub(super) manager: Manager,
    /// Reads the configuration again.
    pub(super) again: Again,
}

/// The doing half of the supervisor.
pub(super) struct Shell {
    workers: Vec<WorkerName>,
    by: RestartBy,
    layout: Layout,
    clock: SharedClock,
    core: Core,
    hands: Hands,
    waiters: Waiters,
    ears: Option<Ears>,
    telling: Telling,
    face: Arc<SupervisorFace>,
    aftermath: Aftermath,
    ramps: Ramps,
    door: Door,
    ward: Ward,
    single: Single,
    log: Option<LogHandle>,
    manager: Manager,
    again: Again,
    look_every: Duration,
    looked: Ticks,
    over: Option<Ended>,
}

impl Shell {
    /// Puts everything in place and greets the person.
    pub(super) fn start(
        config: SupervisorConfig,
        env: &Environment,
        clock: SharedClock,
        given: Given,
    ) -> Result<Self, ShellError> {
        let failed = |what| move |source| ShellError::Start { what, source };
        let watcher = launch::beside_us("watcher").map_err(failed("looking for the watcher"))?;
        let layout = Layout::new(&config.root);
        let places = Places::new(&config.root, watcher.parent().unwrap_or(Path::new("/")), env.cwd());
        let face = Arc::new(SupervisorFace::new(&config.workers, &clock)?);
        let (door, unserved) = Door::open((config.metrics_addr, Hosts::new(&config.allowed_hosts)), &face);
        let mut telling =
            Telling::start(&config, places, door.at(), clock.wall()).map_err(failed("the speaker"))?;
        if let Some(why) = unserved {
            telling.warn(&why);
        }
        let (exited, exits) = mpsc::unbounded_channel();
        let (tell, told) = mpsc::unbounded_channel();
        let (waiters, waits) = Waiters::new();
        let hints = listen_to_files(&layout, &config.workers);
        if hints.is_none() {
            telling.warn("no file events here (inotify): looking every few seconds instead");
        }
        let aftermath = Aftermath::start(&config, env, &clock);
        let ramps = Ramps::new(layout.clone(), config.durability, Arc::clone(&clock), config.window);
        let look_every = LOOK_EVERY.min(config.hung_after / LOOKS);
        Ok(Self {
            workers: config.workers.iter().map(|worker| worker.name.clone()).collect(),
            by: config.restart,
            core: Core::new(workers(&config), rules(&config, &given)),
            ears: Some(Ears { signals: given.signals, exits, told, waits, hints }),
            ward: Ward::new(layout.clone(), config.hung_after, look_every),
            hands: Hands::new(config, watcher, Arc::clone(&clock), Later { exited, told: tell }),
            layout,
            waiters,
            telling,
            face,
            aftermath,
            ramps,
            door,
            single: given.single,
            log: given.log,
            manager: given.manager,
            again: given.again,
            look_every,
            looked: clock.ticks(),
            clock,
            over: None,
        })
    }

    /// Works until the core says that everything is over.
    pub(super) async fn run(mut self) -> Result<Ended, ShellError> {
        let Some(mut ears) = self.ears.take() else { return Ok(Ended::Asked) };
        self.perform(self.core.start());
        while self.over.is_none() {
            self.face.turned(self.core.workers(), self.status());
            self.tell_manager();
            let woke = ears.listen(self.patience()).await;
            self.woken(woke);
            self.look_after_resumes();
            if self.clock.ticks().since(self.looked) >= self.look_every {
                self.look_at_everything();
            }
            let due = self.core.due(self.moment());
            self.perform(due);
        }
        self.manager.stopping();
        self.hands.await_the_last_breath();
        self.telling.news(self.clock.wall());
        self.telling.farewell();
        Ok(self.over.unwrap_or(Ended::Asked))
    }

    fn patience(&self) -> Duration {
        let now = self.clock.ticks();
        let look = self.looked.plus(self.look_every).since(now);
        let look = if self.core.is_anyone_starting() { look.min(LOOK_WHILE_STARTING) } else { look };
        self.core.next_due().map_or(look, |due| due.since(now).min(look))
    }

    fn moment(&self) -> Moment {
        // Any byte of a random id will do: this only keeps workers from coming back in step.
        let jitter = f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 255.0;
        Moment { now: self.clock.ticks(), jitter }
    }

    fn woken(&mut self, woke: Woke) {
        match woke {
            Woke::Signal(Signal::Child) => self.hands.reap(),
            Woke::Signal(Signal::Stop) => {
                self.telling.interrupted();
                let effects = self.core.stop(self.moment());
                self.perform(effects);
            }
            Woke::Signal(Signal::Reload) => {
                if let Some(log) = &self.log {
                    log.reopen();
                }
                self.read_again();
                let effects = self.core.anew();
                self.perform(effects);
            }
            Woke::Exited(worker, exit) => {
                let said = self.telling.last_words(&worker);
                self.aftermath.exited(&worker, &said);
                self.tell_core(&worker, Event::ChildExited(exit, said));
            }
            Woke::Told(worker, event) => self.tell_core(&worker, event),
            Woke::Waited(waited) => self.waited(&waited),
            Woke::Hint(hint) => self.hinted(&hint),
            Woke::Time => {
                self.telling.news(self.clock.wall());
                self.look_around();
            }
        }
    }

    /// Nothing of it is taken over: the watchers read what is theirs themselves.
    fn read_again(&mut self) {
        let (said, weight) = match (self.again)() {
            Ok(changes) if changes == Changes::default() => return,
            Ok(Changes { at_once, with_a_start }) => {
                let all = Changes { at_once: Vec::new(), with_a_start: [at_once, with_a_start].concat() };
                (format!("The configuration was read again; for the supervisor it {all}"), Weight::Plain)
            }
            Err(error) => {
                (format!("The configuration is wrong, and nothing of it is used: {error}"), Weight::Warning)
            }
        };
        self.telling.say(&said, weight, self.clock.wall());
    }

    fn tell_core(&mut self, worker: &WorkerName, event: Event) {
        let effects = self.core.handle(worker, event, self.moment());
        self.perform(effects);
    }

    fn waited(&mut self, waited: &Waited) {
        let worker = &waited.worker;
        let held = lock::is_held(&self.layout.worker(worker));
        let heard = waited.heard(&held);
        let is_news = self.waiters.is_over(worker, heard);
        if let Some(error) = waited.result.as_ref().err().or(held.as_ref().err())
            && (is_news || heard != Heard::Nothing)
        {
            self.telling.warn(&format!("{worker}: its folder could not be waited for: {error}"));
        }
        match heard {
            // Nobody is dead for that: whoever holds it is waited for again.
            Heard::Nothing => self.wait(worker, AGAIN),
            // A restarter that is not us was faster: nobody died here.
            Heard::HeldAgain if !self.is_awaited(worker) => self.wait(worker, Duration::ZERO),
            Heard::Free | Heard::HeldAgain => {
                self.tell_core(worker, Event::Freed(look::left(&self.layout, worker)));
            }
        }
    }

    /// Whether a lock that is held again is another's: where the end of a hung one is waited for, and where the host
    /// restarts by itself, as fast as it may be.
    fn is_awaited(&self, worker: &WorkerName) -> bool {
        if self.by == RestartBy::Nobody {
            return true;
        }
        let worker = self.core.workers().iter().find(|it| it.name == *worker);
        worker.is_some_and(|it| {
            matches!(it.actual, Actual::Asked { freed: false, .. } | Actual::Ousting { .. })
        })
    }

    fn hinted(&mut self, hint: &Hint) {
        let (Hint::Changed(path) | Hint::Gone(path)) = hint else {
            self.telling.news(self.clock.wall());
            return self.look_around();
        };
        let (dir, file) = (path.parent(), path.file_name().and_then(|name| name.to_str()));
        let dir_name = dir.and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        match (dir, file) {
            (Some(dir), _) if dir == self.layout.locks() => self.look_around(),
            (Some(_), _) if dir_name == "journal" => self.telling.news(self.clock.wall()),
            (Some(_), Some(file @ ("state.json" | "heartbeat.json"))) => {
                if let Ok(worker) = dir_name.parse() {
                    if file == "state.json" { self.what_it_says(&worker) } else { self.heart(&worker) }
                }
            }
            (Some(_) | None, _) => {}
        }
    }

    fn status(&self) -> WorkerStatus {
        if self.core.is_stopping() { WorkerStatus::Draining } else { WorkerStatus::Running }
    }

    fn tell_manager(&mut self) {
        let up = self.core.workers().iter().filter(|it| matches!(it.actual, Actual::Up { .. })).count();
        let status = format!("{}: {up} of {} workers up", self.status().as_str(), self.workers.len());
        self.manager.turned(&status, self.clock.ticks());
    }

    /// Performs effects and those that follow from them.
    fn perform(&mut self, effects: Vec<Effect>) {
        let mut queue: std::collections::VecDeque<Effect> = effects.into();
        while let Some(effect) = queue.pop_front() {
            if let Some((worker, event)) = self.perform_one(effect) {
                queue.extend(self.core.handle(&worker, event, self.moment()));
            }
        }
    }

    fn perform_one(&mut self, effect: Effect) -> Option<(WorkerName, Event)> {
        match effect {
            Effect::Look(worker) => {
                let looked = self.look(&worker);
                return Some((worker, looked));
            }
            Effect::Spawn(worker) => {
                self.ramps.before_start(&worker);
                let (event, prints) = self.hands.start(&worker);
                if let Some(path) = prints {
                    self.telling.prints_to(&worker, path);
                }
                return Some((worker, event));
            }
            Effect::End(worker, force) => {
                let known = self.core.workers().iter().find(|it| it.name == worker)?.clone();
                let refused = self.hands.end(&known, force).err()?;
                return Some((worker, Event::Unreachable(refused)));
            }
            Effect::Await(worker) => self.wait(&worker, Duration::ZERO),
            Effect::Sweep(worker, what) => self.hands.sweep(&worker, what),
            Effect::Say(notice) => {
                self.say(&notice);
                self.ramps.told(&notice);
            }
            Effect::Finish => self.over = Some(Ended::Asked),
        }
        None
    }

    fn say(&mut self, notice: &Notice) {
        if let Notice::Died { worker, .. } = notice {
            let left = look::tasks_in(&self.layout.place(worker, Place::Active));
            self.face.left_at_work(worker, left);
        }
        self.face.told(notice);
        self.telling.notice(notice, self.clock.wall());
        if let Some(why) = self.aftermath.told(notice) {
            self.telling.say(&why, Weight::Warning, self.clock.wall());
        }
    }

    fn look(&self, worker: &WorkerName) -> Event {
        match look::found(&self.layout, worker) {
            Ok(found) => Event::Looked(found),
            Err(error) => look::refused(&self.layout.worker(worker), &error),
        }
    }

    fn wait(&mut self, worker: &WorkerName, pause: Duration) {
        if let Err(error) = self.waiters.wait(worker, self.layout.worker(worker), pause) {
            let text = format!("{worker}: no thread to wait for its death: {error}");
            self.telling.warn(&text);
        }
    }
}

fn workers(config: &SupervisorConfig) -> impl Iterator<Item = Worker> + '_ {
    config.workers.iter().map(|worker| {
        let name = worker.name.clone();
        if config.backups.contains(&name) { Worker::backup(name) } else { Worker::new(name) }
    })
}

fn rules(config: &SupervisorConfig, given: &Given) -> Rules {
    Rules {
        by: config.restart,
        policy: Policy {
            max_restarts: config.max_restarts,
            cooldown: config.cooldown,
            window: config.window,
        },
        grace: config.grace,
        host_deadline: config.host_deadline,
        keep_stopped: given.took_over || config.restart != RestartBy::Exec,
    }
}
