//! The hands of the supervisor: waits for whatever can happen, asks the core, does what it says.
//!
//! It wakes for signals, exits, free locks and the kernel's hints, and besides that once in a few seconds, since
//! hints can be lost.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal as Number;
use tokio::sync::mpsc;

use super::aftermath::Aftermath;
use super::banner::Places;
use super::core::{Core, Effect, Event, Moment};
use super::ears::{Ears, Woke, listen_to_files};
use super::face::SupervisorFace;
use super::notice::{Force, Notice, Weight};
use super::restart::Policy;
use super::state::{Actual, Worker};
use super::telling::Telling;
use super::waiter::{Waited, Waiters};
use super::{launch, look};
use crate::clock::SharedClock;
use crate::config::{Environment, SupervisorConfig};
use crate::layout::Layout;
use crate::os::holder::Role;
use crate::os::lock;
use crate::os::process::{self, Exit, ProcessId, Reaper, ending};
use crate::os::signals::{self, Signal};
use crate::os::trouble::Trouble;
use crate::os::watch::{Hint, Hints};
use crate::task::WorkerName;
use crate::telemetry::face::Face;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::metrics::MetricsError;
use crate::telemetry::state_file::{State, WorkerStatus};

/// How often we look without a hint.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while a child has not been seen holding its lock.
const LOOK_WHILE_STARTING: Duration = Duration::from_millis(250);

/// How long a watcher may take from its lock's release to its exit, before we go without having seen it.
const LAST_BREATH: Duration = Duration::from_secs(1);

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

/// The doing half of the supervisor.
pub(super) struct Shell {
    config: SupervisorConfig,
    layout: Layout,
    watcher: PathBuf,
    clock: SharedClock,
    core: Core,
    reaper: Reaper,
    exited: mpsc::UnboundedSender<(WorkerName, Exit)>,
    waiters: Waiters,
    ears: Option<Ears>,
    _hints: Option<Hints>,
    telling: Telling,
    face: Arc<SupervisorFace>,
    aftermath: Aftermath,
    _served: Option<Face>,
    signalled: Vec<ProcessId>,
}

impl Shell {
    /// Puts everything in place and greets the person.
    pub(super) fn start(
        config: SupervisorConfig,
        env: &Environment,
        clock: SharedClock,
    ) -> Result<Self, ShellError> {
        let failed = |what| move |source| ShellError::Start { what, source };
        signals::clean().map_err(failed("clean signals"))?;
        let signals = signals::listen().map_err(failed("listening to signals"))?;
        let watcher = launch::beside_us("watcher").map_err(failed("looking for the watcher"))?;
        let layout = Layout::new(&config.root);
        let places = Places::new(&config.root, watcher.parent().unwrap_or(Path::new("/")), env.cwd());
        let face = Arc::new(SupervisorFace::new(&config.workers, &clock)?);
        let (served, unserved) = serve(&config, &face);
        let at = served.as_ref().map(Face::addr);
        let mut telling = Telling::start(&config, places, at, clock.wall()).map_err(failed("the speaker"))?;
        if let Some(why) = unserved {
            telling.warn(&why);
        }
        let (exited, exits) = mpsc::unbounded_channel();
        let (waiters, waits) = Waiters::new();
        let (hints, told) = listen_to_files(&layout, &config.workers).unzip();
        if hints.is_none() {
            telling.warn("no file events here (inotify): looking every few seconds instead");
        }
        let policy =
            Policy { max_restarts: config.max_restarts, cooldown: config.cooldown, window: config.window };
        let aftermath = Aftermath::start(&config, env, &clock);
        let names = config.workers.iter().map(|worker| worker.name.clone());
        Ok(Self {
            core: Core::new(names, policy, config.grace),
            ears: Some(Ears { signals, exits, waits, hints: told }),
            _hints: hints,
            reaper: Reaper::default(),
            config,
            layout,
            watcher,
            clock,
            exited,
            waiters,
            telling,
            face,
            aftermath,
            _served: served,
            signalled: Vec::new(),
        })
    }

    /// Works until the core says that everything is over.
    pub(super) async fn run(mut self) -> Result<(), ShellError> {
        let Some(mut ears) = self.ears.take() else { return Ok(()) };
        let mut over = self.perform(self.core.start());
        while !over {
            self.face.turned(self.core.workers(), self.status());
            let woke = ears.listen(self.patience()).await;
            over = self.woken(woke);
            let due = self.core.due(self.moment());
            over |= self.perform(due);
        }
        self.await_the_last_breath();
        self.telling.news(self.clock.wall());
        self.telling.farewell();
        Ok(())
    }

    /// A watcher taken over has let its lock go by now, and may be about to exit still.
    fn await_the_last_breath(&self) {
        for process in &self.signalled {
            ending::wait_for(process, LAST_BREATH, self.clock.as_ref());
        }
    }

    fn patience(&self) -> Duration {
        let look = if self.core.is_anyone_starting() { LOOK_WHILE_STARTING } else { LOOK_EVERY };
        let now = self.clock.ticks();
        self.core.next_due().map_or(look, |due| due.since(now).min(look))
    }

    fn moment(&self) -> Moment {
        // Any byte of a random id will do: this only keeps workers from coming back in step.
        let jitter = f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 255.0;
        Moment { now: self.clock.ticks(), jitter }
    }

    fn woken(&mut self, woke: Woke) -> bool {
        match woke {
            Woke::Signal(Signal::Child) => {
                self.reaper.reap();
                false
            }
            Woke::Signal(Signal::Stop) => {
                self.telling.interrupted();
                let effects = self.core.stop(self.moment());
                self.perform(effects)
            }
            // A terminal that was closed, or a word meant for watchers: neither is a reason to stop.
            Woke::Signal(Signal::Reload) => false,
            Woke::Exited(worker, exit) => {
                let said = self.telling.last_words(&worker);
                self.aftermath.exited(&worker, &said);
                self.tell_core(&worker, Event::ChildExited(exit, said))
            }
            Woke::Waited(waited) => self.waited(&waited),
            Woke::Hint(hint) => self.hinted(&hint),
            Woke::Time => {
                for line in self.aftermath.complaints() {
                    self.telling.warn(&line);
                }
                self.telling.news(self.clock.wall());
                for worker in self.names() {
                    self.condition(&worker);
                    self.heart(&worker);
                }
                self.look_around()
            }
        }
    }

    fn tell_core(&mut self, worker: &WorkerName, event: Event) -> bool {
        let effects = self.core.handle(worker, event, self.moment());
        self.perform(effects)
    }

    fn waited(&mut self, waited: &Waited) -> bool {
        let worker = &waited.worker;
        self.waiters.is_over(worker);
        if let Err(error) = &waited.result {
            self.telling.warn(&format!("{worker}: its folder could not be waited for: {error}"));
        }
        // Held again: a restarter that is not us was faster, or nobody can tell. Either way nobody died here.
        if lock::is_held(&self.layout.worker(worker)).unwrap_or(false) {
            return self.perform(vec![Effect::Await(worker.clone())]);
        }
        self.tell_core(worker, Event::Freed(look::left(&self.layout, worker)))
    }

    fn hinted(&mut self, hint: &Hint) -> bool {
        let Hint::Changed(path) = hint else {
            self.telling.news(self.clock.wall());
            return self.look_around();
        };
        let (dir, file) = (path.parent(), path.file_name().and_then(|name| name.to_str()));
        let dir_name = dir.and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        match (dir, file) {
            (Some(dir), _) if dir == self.layout.locks() => return self.look_around(),
            (Some(_), _) if dir_name == "journal" => self.telling.news(self.clock.wall()),
            (Some(_), Some(file @ ("state.json" | "heartbeat.json"))) => {
                if let Ok(worker) = dir_name.parse() {
                    if file == "state.json" { self.condition(&worker) } else { self.heart(&worker) }
                }
            }
            (Some(_) | None, _) => {}
        }
        false
    }

    fn names(&self) -> Vec<WorkerName> {
        self.config.workers.iter().map(|worker| worker.name.clone()).collect()
    }

    /// What a worker says about itself is told and shown.
    fn condition(&mut self, worker: &WorkerName) {
        // One that cannot be read now says nothing new.
        let Ok(state) = State::read(&self.layout.state(worker)) else { return };
        let state = state.unwrap_or_default();
        if !self.core.is_stopping() {
            self.telling.condition(worker, &state, self.clock.wall());
        }
        self.face.says(worker, state);
    }

    fn heart(&mut self, worker: &WorkerName) {
        let path = self.layout.heartbeat(worker);
        if let Some(at) = Heartbeat::last_sign(&path) {
            self.face.beat(worker, at);
        }
        if let Some(beat) = Heartbeat::read(&path) {
            self.aftermath.beat(worker, &beat);
        }
    }

    fn status(&self) -> WorkerStatus {
        if self.core.is_stopping() { WorkerStatus::Draining } else { WorkerStatus::Running }
    }

    /// Looks at every worker that is not known to be up, and waits for those for whom no thread could be had.
    fn look_around(&mut self) -> bool {
        let effects = self.core.workers().iter().filter_map(|worker| self.look_worth(worker)).collect();
        self.perform(effects)
    }

    /// Where a child of ours is starting, its lock is left alone until the mirror names it, so that our look does
    /// not stand in its way.
    fn look_worth(&self, worker: &Worker) -> Option<Effect> {
        let name = &worker.name;
        let holder = || look::holder(&self.layout, name).map(|it| it.process);
        let look = match worker.actual {
            Actual::Starting { .. } => holder().is_some_and(|it| worker.child.as_ref() == Some(&it)),
            Actual::Resting(_) | Actual::Occupied | Actual::Cooling { .. } => holder().is_some(),
            Actual::Up { .. } if !self.waiters.is_waiting(name) => return Some(Effect::Await(name.clone())),
            Actual::Absent | Actual::Refused | Actual::Up { .. } | Actual::Ending { .. } => false,
        };
        look.then(|| Effect::Look(name.clone()))
    }

    /// Performs effects and those that follow from them; whether everything is over.
    fn perform(&mut self, effects: Vec<Effect>) -> bool {
        let mut queue: std::collections::VecDeque<Effect> = effects.into();
        let mut over = false;
        while let Some(effect) = queue.pop_front() {
            let told = match effect {
                Effect::Look(worker) => Some((self.look(&worker), worker)),
                Effect::Spawn(worker) => Some((self.spawn(&worker), worker)),
                Effect::End(worker, force) => {
                    self.end(&worker, force).err().map(|why| (Event::Unreachable(why), worker))
                }
                Effect::Await(worker) => {
                    self.wait(&worker);
                    None
                }
                Effect::Say(notice) => {
                    self.say(&notice);
                    None
                }
                Effect::Finish => {
                    over = true;
                    None
                }
            };
            if let Some((event, worker)) = told {
                queue.extend(self.core.handle(&worker, event, self.moment()));
            }
        }
        over
    }

    fn say(&mut self, notice: &Notice) {
        self.face.told(notice);
        self.telling.notice(notice, self.clock.wall());
        if let Some(why) = self.aftermath.told(notice) {
            self.telling.say(&why, Weight::Warning, self.clock.wall());
        }
    }

    fn look(&self, worker: &WorkerName) -> Event {
        match look::found(&self.layout, worker) {
            Ok(found) => Event::Looked(found),
            Err(error) => {
                let folder = self.layout.worker(worker);
                Event::Unstartable(format!("its folder `{}` cannot be locked: {error}", folder.display()))
            }
        }
    }

    fn spawn(&mut self, worker: &WorkerName) -> Event {
        match self.try_spawn(worker) {
            Ok(process) => Event::Spawned(process),
            Err(error) => {
                let why = format!("could not start `{}`: {error}", self.watcher.display());
                let hopeless =
                    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
                match Trouble::of(&error) {
                    Some(trouble) => Event::SpawnDelayed(format!("{why}; {}", trouble.remedy())),
                    None if hopeless => Event::Unstartable(why),
                    None => Event::SpawnFailed(why),
                }
            }
        }
    }

    fn try_spawn(&mut self, worker: &WorkerName) -> io::Result<ProcessId> {
        let spec =
            self.config.workers.iter().find(|spec| spec.name == *worker).ok_or(io::ErrorKind::NotFound)?;
        let printed = launch::printed(&self.config, worker)?;
        let mut command = launch::command(&self.watcher, &self.config, spec, &printed)?;
        let child = self.reaper.spawn(&mut command)?;
        self.telling.prints_to(worker, printed.path);
        let (exited, name) = (self.exited.clone(), worker.clone());
        tokio::spawn(async move {
            if let Ok(exit) = child.exit.await {
                exited.send((name, exit)).ok();
            }
        });
        Ok(child.id)
    }

    fn wait(&mut self, worker: &WorkerName) {
        if let Err(error) = self.waiters.wait(worker, self.layout.worker(worker)) {
            let text = format!("{worker}: no thread to wait for its death: {error}");
            self.telling.warn(&text);
        }
    }

    fn end(&mut self, worker: &WorkerName, force: Force) -> Result<(), String> {
        let child = self.core.workers().iter().find(|it| it.name == *worker).and_then(|it| it.child.clone());
        let named = || look::holder(&self.layout, worker).filter(|it| it.role == Role::Watcher);
        let process = child.or_else(|| named().map(|it| it.process)).ok_or_else(|| {
            format!("`{}` does not say who it is", self.layout.watcher_lock(worker).display())
        })?;
        if process.is_alive().is_none() {
            return Err(format!("pid {} lives in another PID namespace (a container)", process.pid));
        }
        let number = match force {
            Force::Ask => Number::TERM,
            Force::Kill => Number::KILL,
        };
        match process::signal(&process, number) {
            // Gone already: its lock or its exit tells.
            Err(error) if error.raw_os_error() != Some(nix::libc::ESRCH) => {
                Err(format!("pid {} cannot be signalled: {error}", process.pid))
            }
            Ok(()) | Err(_) => {
                // One that was stopped hears it only when it goes on.
                process::signal(&process, Number::CONT).ok();
                self.signalled.push(process);
                Ok(())
            }
        }
    }
}

/// Serves the supervisor's face where that was asked for; what there is to say if it cannot be.
fn serve(config: &SupervisorConfig, face: &Arc<SupervisorFace>) -> (Option<Face>, Option<String>) {
    let Some(addr) = config.metrics_addr else { return (None, None) };
    match Face::start(addr, Arc::<SupervisorFace>::clone(face)) {
        Ok(served) => (Some(served), None),
        Err(error) => (
            None,
            Some(format!(
                "{error}: the supervisor works on without its own metrics and health; another port: --metrics-addr"
            )),
        ),
    }
}
