//! Before an agent is started: where it works, what it is told, whether the task can be run at all.

use std::path::{Path, PathBuf};

use super::Run;
use super::workdir::{Workdir, allowed};
use crate::agent::disposition::{Disposition, Holding};
use crate::agent::message;
use crate::agent::{Invocation, RunEnv, SessionStart, argv, env, transcript};
use crate::config::AgentKind;
use crate::os::durable::{DIR_MODE, make_dir};
use crate::task::prompt::{self, PromptError};
use crate::task::text::shown;
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

type Refused = Box<Disposition>;

impl Run {
    /// Everything for the start; or what becomes of the task when it cannot be started.
    pub(super) fn prepare(&self) -> Result<Prepared, Refused> {
        self.check_pack()?;
        let cwd = self.working_directory()?;
        let program = self.ctx.program().map_err(deferred)?;
        let scratch = self.ctx.scratch.join(self.lease.run.to_string());
        make_private(&scratch).map_err(|error| no_room(&scratch, &error))?;
        let begins = self.session_start()?;
        let first =
            self.first_message(begins).map_err(|error| refuse(code_of(&error), &error.to_string()))?;
        Ok(Prepared {
            program,
            arguments: self.arguments(begins),
            environment: self.environment(scratch),
            cwd,
            first: first.into_bytes(),
            begins,
        })
    }

    fn check_pack(&self) -> Result<(), Refused> {
        match self.lease.task.spec.kind.as_deref() {
            None | Some("default") => Ok(()),
            Some(other) => Err(refuse(
                ErrorCode::E001,
                &format!("there is no pack `{}`; the built-in one is `default`", shown(other, 80)),
            )),
        }
    }

    /// The task's own directory, if it is allowed; else the run's workspace.
    fn working_directory(&self) -> Result<Workdir, Refused> {
        let Some(wanted) = self.lease.task.spec.workdir.as_deref() else {
            let workspace = self.ctx.layout().workspace(&self.lease.run);
            make_dir(&workspace, DIR_MODE).map_err(|error| no_room(&workspace, &error))?;
            return Ok(Workdir::own(workspace));
        };
        allowed(Path::new(wanted), &self.ctx.config.workdir_roots)
            .map_err(|why| refuse(ErrorCode::E002, &why))
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

    fn first_message(&self, begins: SessionStart) -> Result<String, PromptError> {
        let record = &self.lease.task.record;
        let text = match begins {
            SessionStart::New => prompt::compose(&self.lease.task.spec)?,
            SessionStart::Resume => {
                message::resume_message(record.failure_reason.as_deref().unwrap_or("the worker was stopped"))
            }
        };
        Ok(message::user_message(&text))
    }

    fn arguments(&self, begins: SessionStart) -> Vec<String> {
        let spec = &self.lease.task.spec;
        let Some(attempt) = self.lease.attempt() else { return Vec::new() };
        let mut arguments = argv::arguments(&Invocation {
            session: attempt.session_id,
            start: begins,
            model: None,
            max_turns: spec.max_turns,
            max_cost_usd: spec.max_cost_usd,
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
        env::environment(outer, &self.ctx.config.agent_env, &run)
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
fn refuse(code: ErrorCode, why: &str) -> Refused {
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
