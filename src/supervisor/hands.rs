//! What the supervisor does to watchers and to their hosts: start, ask, wait, signal, sweep.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal as Number;
use tokio::sync::mpsc;

use super::aftermath::by_host;
use super::core::Event;
use super::host::{Refusal, ask_all, hear};
use super::notice::Force;
use super::restarter::{asks, question};
use super::state::{Actual, Sweep, Swept, Worker};
use super::sweep::sweep;
use super::{launch, look};
use crate::clock::SharedClock;
use crate::config::{RestartBy, SupervisorConfig};
use crate::layout::Layout;
use crate::os::holder::Role;
use crate::os::process::identity::pid_ns;
use crate::os::process::{self, Exit, ProcessId, Reaper, ending};
use crate::os::trouble::Trouble;
use crate::task::WorkerName;

/// How long a watcher may take from its lock's release to its exit, before we go without having seen it.
const LAST_BREATH: Duration = Duration::from_secs(1);
/// How long a host may take to say how a watcher ended: the restart waits for it.
const QUESTION: Duration = Duration::from_secs(3);
/// Docker may still call a container running whose lock is free already, on a busy machine for a second or two: it is asked
/// again after each of these.
const UNTIL_IT_KNOWS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// The hands.
#[derive(Debug)]
pub(super) struct Hands {
    config: SupervisorConfig,
    layout: Layout,
    watcher: PathBuf,
    clock: SharedClock,
    reaper: Arc<Reaper>,
    exited: mpsc::UnboundedSender<(WorkerName, Exit)>,
    told: mpsc::UnboundedSender<(WorkerName, Event)>,
    signalled: Vec<(WorkerName, ProcessId)>,
}

/// Where the hands tell what came of it later.
#[derive(Debug)]
pub(super) struct Later {
    /// The exits of children.
    pub(super) exited: mpsc::UnboundedSender<(WorkerName, Exit)>,
    /// What hosts and sweeps have to say.
    pub(super) told: mpsc::UnboundedSender<(WorkerName, Event)>,
}

/// What a start came to, and where the watcher prints.
pub(super) type Started = (Event, Option<PathBuf>);

impl Hands {
    pub(super) fn new(config: SupervisorConfig, watcher: PathBuf, clock: SharedClock, later: Later) -> Self {
        let Later { exited, told } = later;
        let (layout, reaper) = (Layout::new(&config.root), Arc::new(Reaper::default()));
        Self { config, layout, watcher, clock, reaper, exited, told, signalled: Vec::new() }
    }

    /// Puts aside what watchers have printed beyond its bound; what could not be.
    pub(super) fn bound_what_is_printed(&self) -> Vec<String> {
        let workers = self.config.workers.iter().map(|worker| &worker.name);
        let bounded = workers.map(|name| (name, launch::bound(&self.config, name)));
        let refused = bounded.filter_map(|(name, done)| Some((name, done.err()?)));
        refused.map(|(name, why)| format!("{name}: what it printed could not be put aside: {why}")).collect()
    }

    /// Collects children that have ended.
    pub(super) fn reap(&self) {
        self.reaper.reap();
    }

    /// Starts a watcher, or asks its host to.
    pub(super) fn start(&self, worker: &WorkerName) -> Started {
        match self.config.restart {
            RestartBy::Exec => self.spawn(worker),
            RestartBy::Systemd | RestartBy::Docker => (self.ask(worker), None),
            RestartBy::Nobody => (Event::Unstartable("--restart none starts nobody".to_owned()), None),
        }
    }

    fn spawn(&self, worker: &WorkerName) -> Started {
        match self.try_spawn(worker) {
            Ok((process, printed)) => (Event::Spawned(process), Some(printed)),
            Err(error) => (not_spawned(&self.watcher, &error), None),
        }
    }

    fn try_spawn(&self, worker: &WorkerName) -> io::Result<(ProcessId, PathBuf)> {
        let spec =
            self.config.workers.iter().find(|spec| spec.name == *worker).ok_or(io::ErrorKind::NotFound)?;
        let printed = launch::printed(&self.config, worker)?;
        let mut command = launch::command(&self.watcher, &self.config, spec, &printed)?;
        let child = self.reaper.spawn(&mut command)?;
        let (exited, name) = (self.exited.clone(), worker.clone());
        tokio::spawn(async move {
            if let Ok(exit) = child.exit.await {
                exited.send((name, exit)).ok();
            }
        });
        Ok((child.id, printed.path))
    }

    fn ask(&self, worker: &WorkerName) -> Event {
        let (told, name, reaper) = (self.told.clone(), worker.clone(), Arc::clone(&self.reaper));
        let (asks, deadline) = (asks(self.config.restart, worker), self.config.host_deadline);
        let (layout, clock, by) = (self.layout.clone(), Arc::clone(&self.clock), self.config.restart);
        let question = question(by, worker);
        tokio::spawn(async move {
            // A unit that was started again tells of its new life only.
            for pause in UNTIL_IT_KNOWS {
                let Some(question) = &question else { break };
                tokio::time::sleep(pause).await;
                let Some(text) = hear(&reaper, question, deadline.min(QUESTION)).await else { break };
                if let Some(verdict) = by_host(&layout, &name, (by, &text), clock.wall()) {
                    tracing::warn!(worker = %name, reason = %verdict.reason, "{}", verdict.text);
                }
                if !text.contains(r#""Running":true"#) {
                    break;
                }
            }
            match ask_all(reaper, asks, deadline).await {
                // Whether a watcher came of it, its lock tells.
                Ok(()) => {}
                Err(Refusal::NoProgram(why)) => drop(told.send((name, Event::Unstartable(why)))),
                Err(Refusal::Failed(why)) => drop(told.send((name, Event::SpawnFailed(why)))),
            }
        });
        Event::Asked
    }

    /// Sweeps on a thread of its own: ending strays takes its time.
    pub(super) fn sweep(&self, worker: &WorkerName, what: Sweep) {
        let (config, clock) = (self.config.recovery_of(worker), Arc::clone(&self.clock));
        let (told, name, reaper) = (self.told.clone(), worker.clone(), Arc::clone(&self.reaper));
        let thread = std::thread::Builder::new().name(format!("sweep-{worker}"));
        let spawned = thread.spawn(move || {
            // Nobody listens any more when the program is about to end.
            told.send((name, Event::Swept(sweep(&config, &clock, what, &reaper)))).ok();
        });
        if let Err(error) = spawned {
            let swept = Swept { trouble: Some(format!("no thread for it: {error}")), ..Swept::default() };
            self.told.send((worker.clone(), Event::Swept(swept))).ok();
        }
    }

    /// Signals a watcher; why that could not be, where it could not.
    pub(super) fn end(&mut self, worker: &Worker, force: Force) -> Result<(), String> {
        let named = || look::holder(&self.layout, &worker.name).filter(|it| it.role == Role::Watcher);
        // Whoever holds the lock by now need not be the one that hung and was asked.
        let asked = || self.signalled.iter().rev().find(|(name, _)| *name == worker.name);
        let asked = asked().filter(|_| matches!(worker.actual, Actual::Ousting { killed: true, .. }));
        let known = worker.child.clone().or_else(|| asked.map(|(_, process)| process.clone()));
        let process = known.or_else(|| named().map(|it| it.process)).ok_or_else(|| {
            format!("`{}` does not say who it is", self.layout.watcher_lock(&worker.name).display())
        })?;
        if process.pid_ns != pid_ns() {
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
                self.signalled.push((worker.name.clone(), process));
                Ok(())
            }
        }
    }

    /// A watcher taken over has let its lock go by now, and may be about to exit still.
    pub(super) fn await_the_last_breath(&self) {
        for (_, process) in &self.signalled {
            ending::wait_for(process, LAST_BREATH, self.clock.as_ref());
        }
    }
}

/// What a start that was refused means for the worker: whether it helps to try again, and whether anybody is at fault.
fn not_spawned(watcher: &Path, error: &io::Error) -> Event {
    use io::ErrorKind::{NotFound, PermissionDenied};
    let why = format!("could not start `{}`: {error}", watcher.display());
    match (Trouble::of(error), error.kind()) {
        (Some(trouble), _) => Event::SpawnDelayed(format!("{why}; {}", trouble.remedy())),
        (None, NotFound | PermissionDenied) => Event::Unstartable(why),
        (None, _) => Event::SpawnFailed(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_gives_no_process_now_is_no_failed_start() {
        use nix::libc::{EACCES, EAGAIN, EINTR, EMFILE, ENOENT, ENOEXEC, ENOMEM};
        let refused = |errno| not_spawned(Path::new("watcher"), &io::Error::from_raw_os_error(errno));
        for errno in [EAGAIN, EINTR, EMFILE, ENOMEM] {
            assert!(matches!(refused(errno), Event::SpawnDelayed(_)), "{errno}");
        }
        for errno in [ENOENT, EACCES] {
            assert!(matches!(refused(errno), Event::Unstartable(_)), "{errno}");
        }
        assert!(matches!(refused(ENOEXEC), Event::SpawnFailed(_)));
    }
}
