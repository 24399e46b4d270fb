//! Before an agent is started: where it works, what it is told, whether the task can be run at all.

use std::path::{Path, PathBuf};

use super::Run;
use super::workdir::Workdir;
use crate::agent::disposition::{Disposition, Holding};
use crate::agent::message;
use crate::agent::{Invocation, RunEnv, SessionStart, argv, env, transcript};
use crate::config::AgentKind;
use crate::os::durable::{DIR_MODE, make_dir};
use crate::pack;
use crate::task::prompt::{self, PromptError};
use crate::task::{AttemptOutcome, ErrorCode, Outcome, Requeue, Usage};

/// What an agent is started with.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    pub(super) cwd: Workdir,
    pub(super) first: Vec<u8>,
    pub(super) begins: SessionStart,
}

pub(super) type Refused = Box<Disposition>;

impl Run {
    /// Everything for the start; or what becomes of the task when it cannot be started.
    pub(super) fn prepare(&mut self) -> Result<Prepared, Refused> {
        self.take_pack()?;
        self.check_limit()?;
        let cwd = self.working_directory()?;
        let program = self.ctx.program().map_err(deferred)?;
        let scratch = self.ctx.scratch.join(self.lease.run.to_string());
        make_private(&scratch).map_err(|error| no_room(&scratch, &error))?;
        let begins = self.session_start()?;
        let first = self.first_message(begins)?;
        self.stamp()?;
        Ok(Prepared {
            program,
            arguments: self.arguments(begins),
            environment: self.environment(scratch),
            cwd,
            first: first.into_bytes(),
            begins,
        })
    }

    /// The task's own directory, if it is allowed; else the run's workspace.
    fn working_directory(&self) -> Result<Workdir, Refused> {
        if let Some(wanted) = self.wanted_directory()? {
            return Ok(wanted);
        }
        let workspace = self.ctx.layout().workspace(&self.lease.run);
        make_dir(&workspace, DIR_MODE).map_err(|error| no_room(&workspace, &error))?;
        Ok(Workdir::own(workspace))
    }

    /// A session goes on while its transcript exists; without one the same id begins again. Where that cannot be found
    /// out nothing is begun: what was done would be done and paid for once more.
    fn session_start(&self) -> Result<SessionStart, Refused> {
        let session = self.lease.attempt().map(|it| it.session_id);
        let Some((id, dir)) = session.zip(self.ctx.config_dir()) else { return Ok(SessionStart::New) };
        match transcript::exists(&dir, id) {
            Ok(true) => Ok(SessionStart::Resume),
            Ok(false) => Ok(SessionStart::New),
            Err(error) => {
                let what = format!("could not look for the session {id} in `{}`", dir.display());
                Err(deferred(Holding::of_disk(what, &error)))
            }
        }
    }

    fn first_message(&self, begins: SessionStart) -> Result<String, Refused> {
        let record = &self.lease.task.record;
        let text = match begins {
            SessionStart::New => self.prompt()?,
            SessionStart::Resume => {
                message::resume_message(record.failure_reason.as_deref().unwrap_or("the worker was stopped"))
            }
        };
        Ok(message::user_message(&text))
    }

    /// What is asked, in the words of the pack where it has some.
    fn prompt(&self) -> Result<String, Refused> {
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
            max_cost_usd: self.pack.pack.cost_usd(spec.max_cost_usd),
        });
        if self.ctx.config.agent == AgentKind::Echo {
            arguments.insert(0, "echo-agent".to_owned());
        }
        arguments
    }

    fn environment(&self, scratch: PathBuf) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        let run = RunEnv {
            run: self.lease.run,
            task: self.lease.name.clone(),
            worker: self.lease.worker.clone(),
            scratch,
            pipe: self.lease.paths(self.ctx.layout()).agent_pipe(),
            traceparent: self.ctx.traceparent(&self.lease),
        };
        let outer = self.ctx.environment.vars().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let extra = self.pack.pack.environment.as_ref().unwrap_or(&self.ctx.config.agent_env);
        env::environment(outer, extra, &run)
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

fn make_private(dir: &Path) -> std::io::Result<()> {
    make_dir(dir, 0o700)
}
