//! Before an agent is started: where it works, what it is told, whether the task can be run at all.

use std::path::{Path, PathBuf};

use super::choose::Chosen;
use super::workdir::Workdir;
use super::{Order, Run};
use crate::agent::child::not_spawned;
use crate::agent::disposition::{Disposition, Holding};
use crate::agent::{Invocation, RunEnv, SessionStart, argv, env};
use crate::config::AgentKind;
use crate::os::confine::Confinement;
use crate::os::durable::make_dir;
use crate::os::process::Starter;
use crate::pack;
use crate::task::prompt::{self, PromptError};
use crate::task::{AttemptOutcome, ErrorCode, Outcome, Requeue, Usage};
use crate::watcher::cli;
use crate::watcher::core::Wanted;
use crate::watcher::trace::Tracer;

/// What an agent is started with.
#[derive(Debug)]
pub(super) struct Prepared {
    /// From where, and what all may write to.
    pub(super) starter: (Starter, Option<Confinement>),
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    pub(super) cwd: Workdir,
    pub(super) scratch: PathBuf,
    pub(super) first: Vec<u8>,
    pub(super) begins: SessionStart,
}

pub(super) type Refused = Box<Disposition>;

impl Run {
    /// Waits until it is known whether the CLI will do; or what becomes of the task if it will not, or if the worker stops
    /// meanwhile.
    pub(super) async fn wait_for_the_cli(&mut self) -> Result<(), Refused> {
        let settled = cli::settled(&self.ctx, &self.tell);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                biased;
                fit = &mut settled => return fit.map_err(deferred),
                order = self.orders.recv() => match order {
                    Some(Order::Stop) => {
                        self.wanted = Wanted::Stop;
                        return Err(Box::new(put_back()));
                    }
                    Some(Order::Kill) | None => {
                        (self.wanted, self.hurry) = (Wanted::StopNow, true);
                        return Err(Box::new(put_back()));
                    }
                    // For the agent, once it can hear.
                    Some(order) => self.early.push(order),
                },
            }
        }
    }

    /// Everything for the start; or what becomes of the task when it cannot be started. `chosen` is how it
    /// begins.
    pub(super) async fn prepare(&mut self, chosen: &Chosen) -> Result<Prepared, Refused> {
        let wanted = self.wanted_directory()?;
        let program = self.ctx.program().map_err(deferred)?;
        // Where git has nothing to do it begins while the rest is made ready.
        let early = wanted.is_none().then(|| self.starter_of(&program)).transpose()?;
        let scratch = self.ctx.scratch.join(self.lease.run.to_string());
        make_private(&scratch).map_err(|error| no_room(&scratch, &error))?;
        let begins = self.lease.attempt().map_or(SessionStart::New, SessionStart::of);
        let first = self.first_message(chosen)?;
        let cwd = self.working_directory(wanted, &chosen.origin).await?;
        if let Some(why) = self.lacks_verifier(&cwd.path) {
            return Err(self.not_now(why));
        }
        self.stamp()?;
        Ok(Prepared {
            starter: early.map_or_else(|| self.starter_of(&program), Ok)?,
            program,
            arguments: self.arguments(begins),
            environment: self.environment(scratch.clone()),
            cwd,
            scratch,
            first: first.into_bytes(),
            begins,
        })
    }

    fn starter_of(&mut self, program: &Path) -> Result<(Starter, Option<Confinement>), Refused> {
        self.group = self.ctx.groups.make(self.lease.run, self.limits().memory);
        self.starter().map_err(|error| self.not_started(&not_spawned(error, program, Path::new("/"))))
    }

    /// What is asked, in the words of the pack where it has some.
    pub(super) fn prompt(&self) -> Result<String, Refused> {
        let spec = &self.lease.task.spec;
        let too_much = |error: PromptError| refuse(code_of(&error), &error.to_string());
        let Some(template) = &self.pack.pack.prompt else { return prompt::compose(spec).map_err(too_much) };
        let filled = pack::fill(template, spec, &self.lease.name, &self.lease.worker);
        let text = filled.map_err(|missing| refuse(ErrorCode::E002, &missing.to_string()))?;
        prompt::check(&text).map_err(too_much)?;
        Ok(text)
    }

    fn arguments(&self, begins: SessionStart) -> Vec<String> {
        let spec = &self.lease.task.spec;
        let Some(attempt) = self.lease.attempt() else { return Vec::new() };
        let mut arguments = argv::arguments(&Invocation {
            session: attempt.session_id,
            start: begins,
            manner: self.manner(),
            max_turns: self.pack.pack.turns(spec.max_turns),
            max_cost_usd: self.usd_left(),
        });
        if self.ctx.config.agent == AgentKind::Echo {
            arguments.insert(0, "echo-agent".to_owned());
        }
        arguments
    }

    /// The names that are let through besides the usual ones.
    pub(super) fn let_through(&self) -> &[String] {
        self.pack.pack.environment.as_ref().unwrap_or(&self.ctx.config.agent_env)
    }

    pub(super) fn environment(&self, scratch: PathBuf) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        let run = RunEnv {
            run: self.lease.run,
            task: self.lease.name.clone(),
            worker: self.lease.worker.clone(),
            scratch,
            pipe: self.lease.paths(self.ctx.layout()).agent_pipe(),
            trace: Tracer::new(&self.ctx).handed(&self.lease),
        };
        let outer = self.ctx.environment.vars().map(|(name, value)| (name.to_owned(), value.to_owned()));
        env::environment(outer, self.let_through(), &run)
    }
}

/// The disk refused: not the task's fault.
pub(super) fn no_room(path: &Path, error: &std::io::Error) -> Refused {
    deferred(Holding::of_disk(format_args!("could not make `{}`", path.display()), error))
}

/// The task goes back uncharged, and the worker holds.
pub(super) fn deferred(holding: Holding) -> Refused {
    let entry = Requeue {
        outcome: AttemptOutcome::NotStarted,
        charged: false,
        reason: holding.reason.clone(),
        error_code: Some(holding.cause.code()),
        retry_at: None,
        usage: Usage::default(),
    };
    Box::new(Disposition::Requeue { entry, hold: Some(holding) })
}

/// The worker stops before the agent was started.
pub(super) fn put_back() -> Disposition {
    Disposition::Requeue {
        entry: Requeue {
            outcome: AttemptOutcome::NotStarted,
            charged: false,
            reason: "the worker was stopped".to_owned(),
            error_code: None,
            retry_at: None,
            usage: Usage::default(),
        },
        hold: None,
    }
}

/// The task can never be run as it is.
pub(super) fn refuse(code: ErrorCode, why: &str) -> Refused {
    Box::new(Disposition::Conclude {
        outcome: Outcome::failed(code, why),
        answer: None,
        usage: Usage::default(),
    })
}

const fn code_of(error: &PromptError) -> ErrorCode {
    match error {
        PromptError::TooLong { .. } => ErrorCode::E004,
        PromptError::Empty => ErrorCode::E002,
    }
}

pub(super) fn make_private(dir: &Path) -> std::io::Result<()> {
    make_dir(dir, 0o700)
}
