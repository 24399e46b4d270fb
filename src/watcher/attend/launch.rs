//! Starting the agent, or taking up one that lives.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::Run;
use super::ears::Ears;
use super::listen::Live;
use super::memory::Weighing;
use super::prepare::{Prepared, deferred, no_room};
use crate::agent::SessionStart;
use crate::agent::child::{self, Launch, LaunchError, not_spawned};
use crate::agent::course::Course;
use crate::agent::disposition::{Disposition, Holding};
use crate::agent::tail::Tail;
use crate::agent::trouble::{self, is_scarcity};
use crate::agent::verdict::Exit;
use crate::clock::Ticks;
use crate::os::durable::{DIR_MODE, make_dir};
use crate::os::lock::{self, Lock};
use crate::os::process::ProcessId;
use crate::os::process::ending::wait_until_gone;
use crate::recovery::groups;
use crate::recovery::witness::{find_agent, process_of};
use crate::task::HoldCause;
use crate::telemetry::journal::Event as Noted;
use crate::telemetry::state_file::RunningTask;
use crate::watcher::ctx::WORKING;

impl Run {
    /// Starts the agent and records its process; else what becomes of the task, or nothing where it is left to the next
    /// watcher.
    pub(super) async fn launch(&mut self, prepared: Prepared) -> Result<Live, Option<Box<Disposition>>> {
        let paths = self.lease.paths(self.ctx.layout());
        let number = self.lease.number();
        let (starter, usual) = prepared.starter;
        let confined = usual.map(|usual| self.confined(usual, &prepared.cwd, &prepared.scratch));
        // What its entrance leads to is held open until the agent is in it, and goes with whoever starts it.
        let (cwd, entrance) = (prepared.cwd.path.clone(), prepared.cwd.entrance());
        let (program, held) = (prepared.program.clone(), prepared.cwd);
        let launch = Launch {
            program: prepared.program,
            arguments: prepared.arguments,
            environment: prepared.environment,
            confined,
            cwd: entrance.clone(),
            paths: paths.clone(),
            number,
            first: prepared.first,
            group: self.group.clone(),
        };
        make_dir(&paths.pipes(), DIR_MODE).map_err(|error| no_room(&paths.pipes(), &error))?;
        let mut ears = Ears::of(self);
        ears.open_own(self.ctx.clock.ticks());
        let reaper = Arc::clone(&self.ctx.reaper);
        let start = starter.run(move |apart| {
            let launched = child::launch(apart, &reaper, launch);
            drop(held);
            launched
        });
        let Some(launched) = self.while_it_starts(&program, start).await else { return Err(None) };
        let agent = launched.unwrap_or_else(|error| Err(not_spawned(error, &program, &entrance)));
        let agent = agent.map_err(|error| {
            ears.close();
            self.not_started(&error)
        })?;
        self.put_first(&agent.child);
        if let Some((group, error)) = self.group.take_if(|_| agent.outside.is_some()).zip(agent.outside) {
            self.ctx.groups.refused(&group, &error);
        }
        let mut live = Live {
            process: Some(agent.child.id.clone()),
            exit: Box::pin(async move { agent.child.exit.await.ok() }),
            tail: Tail::of(agent.stream),
            stderr: paths.stderr(number),
            stdin: sender(agent.stdin),
            outbox: agent.unsent,
            course: Course::new(self.limits(), self.ctx.clock.ticks()),
            ears,
            is_replay: false,
            weighing: Weighing::of(self, Some(&agent.child.id)),
        };
        self.record_start(&agent.child.id, &cwd);
        let event = match prepared.begins {
            SessionStart::New => Noted::Started,
            SessionStart::Resume | SessionStart::Fork(_) => Noted::Resumed,
        };
        self.announce(event, &mut live).await;
        Ok(live)
    }

    /// Takes up an agent that lives: its stream is read from the start, its stdin is lost, and its end is told by
    /// its process, or by its lock where its process cannot be seen. One that has answered and is gone is over at once.
    pub(super) fn take_up(&mut self) -> std::io::Result<Live> {
        let stream = self.lease.paths(self.ctx.layout()).stream(self.lease.number());
        self.group = self.lease.attempt().and_then(|attempt| groups::recorded(self.lease.run, attempt));
        if let Some(group) = &self.group {
            self.ctx.groups.bound(group, self.limits().memory);
        }
        let found = self.agent_found();
        let process = found.clone().filter(|it| it.is_of_this_boot() && it.is_alive() != Some(false));
        let is_held = lock::is_held(&stream).unwrap_or(true);
        let gone = wait_gone(found, stream.clone())?;
        let now = self.ctx.clock.ticks();
        let course = Course::taken_up(self.limits(), self.worked(process.as_ref(), now), now);
        let weighing = Weighing::of(self, process.as_ref());
        let live = Live {
            process,
            exit: Box::pin(async move { gone.await.ok().and(None) }),
            tail: Tail::open(&stream)?,
            stderr: self.lease.paths(self.ctx.layout()).stderr(self.lease.number()),
            stdin: None,
            outbox: Vec::new(),
            course,
            ears: Ears::of(self),
            is_replay: true,
            weighing,
        };
        self.ctx.note_owed(&self.lease);
        if live.process.is_none() && !is_held {
            tracing::info!(task = %self.lease.name, run_id = %self.lease.run, "took up a run whose agent has answered");
        } else {
            self.ctx.metrics.adopted();
            let pid = live.process.as_ref().map(|it| it.pid);
            self.ctx.note(Noted::Adopted, &self.lease, |line| line.pid = pid);
            tracing::info!(task = %self.lease.name, run_id = %self.lease.run, "adopted a living agent");
        }
        self.show();
        Ok(live)
    }

    /// How long an agent has worked, by the boot clock: the time of day in its record may be that of a clock that was
    /// set since. One that nobody can see begins anew.
    fn worked(&self, process: Option<&ProcessId>, now: Ticks) -> Duration {
        let recorded = || self.lease.attempt().and_then(process_of);
        process
            .cloned()
            .or_else(recorded)
            .and_then(|it| it.began())
            .map_or(Duration::ZERO, |it| now.since(it))
    }

    /// The agent of a run that was taken up; its process is recorded where it was not.
    fn agent_found(&mut self) -> Option<ProcessId> {
        // One that cannot be looked for now is told by its lock.
        let agent = find_agent(self.lease.run, self.lease.attempt()?).ok()?.agent()?;
        self.record_process(&agent);
        Some(agent)
    }

    fn record_start(&mut self, process: &ProcessId, cwd: &std::path::Path) {
        let config_dir = self.ctx.config_dir().map(|dir| dir.display().to_string());
        self.lease.task.record.state = Some(WORKING);
        self.record_process(process);
        if let Some(attempt) = self.lease.task.record.open_attempt_mut() {
            attempt.cwd = Some(cwd.display().to_string());
            attempt.cgroup = self.group.as_ref().map(|it| it.path().display().to_string());
            attempt.config_dir = config_dir;
        }
    }

    fn record_process(&mut self, process: &ProcessId) {
        if let Some(attempt) = self.lease.task.record.open_attempt_mut() {
            attempt.pid = Some(process.pid);
            attempt.start_ticks = Some(process.start_ticks);
            attempt.boot_id = Some(process.boot_id.clone());
            attempt.pid_ns = Some(process.pid_ns);
        }
    }

    /// Writes the start down and tells everybody. The agent works meanwhile: if the disk refuses, its lock still
    /// says that it lives.
    async fn announce(&mut self, event: Noted, live: &mut Live) {
        let (spool, lease) = (Arc::clone(&self.ctx.spool), self.lease.clone());
        let written = tokio::task::spawn_blocking(move || spool.update(&lease)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(task = %self.lease.name, error = %error, "could not record the agent's process");
        }
        let session = self.lease.attempt().map(|it| it.session_id);
        self.ctx.note(event, &self.lease, |line| {
            line.pid = live.process.as_ref().map(|it| it.pid);
            line.session_id = session;
        });
        tracing::info!(
            task = %self.lease.name,
            run_id = %self.lease.run,
            correlation_id = self.lease.task.spec.correlation_id.as_deref(),
            attempt = self.lease.number(),
            pid = live.process.as_ref().map_or(0, |it| it.pid),
            resumed = event == Noted::Resumed,
            "the agent is at work"
        );
        self.show();
    }

    /// Puts the run on the board.
    pub(super) fn show(&self) {
        let record = &self.lease.task.record;
        let attempt = self.lease.attempt();
        let now = self.ctx.clock.wall();
        let running = RunningTask {
            task: self.lease.name.clone(),
            run_id: self.lease.run,
            attempt: self.lease.number(),
            state: record.state.unwrap_or(WORKING),
            pid: attempt.and_then(|it| it.pid),
            started_at: attempt.map_or(now, |it| it.started_at),
            last_sign_at: Some(now),
            correlation_id: self.lease.task.spec.correlation_id.clone(),
            progress: None,
            memory_bytes: None,
        };
        self.ctx.board.show().running.insert(self.lease.file.clone(), running);
    }

    /// What becomes of a task whose agent could not be started: nothing was spent, and it is not its fault.
    pub(super) fn not_started(&self, error: &LaunchError) -> Box<Disposition> {
        let source = std::error::Error::source(error).map(|it| format!(" ({it})")).unwrap_or_default();
        tracing::error!(task = %self.lease.name, error = %error, cause = %source, "the agent could not be started");
        let configuration = || Holding::of(HoldCause::Configuration, format!("{error}{source}"));
        let with = |trouble: trouble::Trouble| Holding { remedy: trouble.remedy, ..configuration() };
        deferred(match error {
            LaunchError::Prepare { path, source } if is_scarcity(source) => {
                with(trouble::explain(source, path, path))
            }
            LaunchError::Prepare { source, .. } => Holding::of_disk(error, source),
            LaunchError::Occupied(_) => configuration(),
            LaunchError::Spawn { trouble, .. } => with(trouble.clone()),
        })
    }
}

fn sender(stdin: File) -> Option<pipe::Sender> {
    pipe::Sender::from_file(stdin)
        .inspect_err(|error| tracing::warn!(error = %error, "the agent's stdin is lost"))
        .ok()
}

/// Answers when the agent is gone; waits blocked on a thread of its own.
fn wait_gone(
    process: Option<ProcessId>,
    stream: std::path::PathBuf,
) -> std::io::Result<oneshot::Receiver<Option<Exit>>> {
    let (tell, gone) = oneshot::channel();
    std::thread::Builder::new().name("adopted".to_owned()).spawn(move || {
        match process.filter(ProcessId::is_of_this_boot) {
            // When it is gone, a stray may hold its lock still.
            Some(process) => wait_until_gone(&process),
            None => drop(Lock::wait_shared(&stream)),
        }
        tell.send(None).ok();
    })?;
    Ok(gone)
}
