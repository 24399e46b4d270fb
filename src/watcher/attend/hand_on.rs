//! An agent hands a task on: to a colleague's `pending/`, or into the inbox.
//!
//! Invariants:
//! - it is noted, durably, before the task is there: so that no crash makes the bound on their number wider;
//! - the answer comes when the task is durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Run;
use crate::agent::handing::{self, Bounds};
use crate::pack::DEFAULT;
use crate::pipe::reply::Reply;
use crate::spool::fresh::{Fresh, file_name};
use crate::task::text::shown;
use crate::task::{Place, TaskFile};
use crate::telemetry::journal::{self, Event as Noted};

impl Run {
    /// Hands on what `spec` asks for.
    pub(super) async fn hand_on(&mut self, spec: &Map<String, Value>) -> Reply {
        let config = &self.ctx.config;
        let pack = Some(self.pack.name.as_str()).filter(|it| !it.is_empty()).unwrap_or(DEFAULT);
        let may_hand_to = self.pack.pack.may_hand_to.as_deref().unwrap_or_default();
        let bounds = Bounds { submits: config.agent_submits, depth: config.agent_depth, pack, may_hand_to };
        let handed = match self.handed() {
            Ok(handed) => handed,
            Err(error) => return Reply::refused(75, format!("the run's history cannot be read: {error}")),
        };
        let task = match handing::task_of(spec, (self.lease.run, &self.lease.task), handed, bounds) {
            Ok(task) => task,
            Err(error) => {
                tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, reason = %error, "a task that the agent hands on was refused");
                return Reply::refused(error.code(), error.to_string()).hinting(error.hint());
            }
        };
        let Some(dir) = self.folder_for(&task) else {
            let worker = task.spec.worker.map(|it| it.to_string()).unwrap_or_default();
            let why = format!("there is no worker `{}`", shown(&worker, 80));
            return Reply::refused(65, why).hinting("leave `worker` out: any worker takes it then");
        };
        if !self.ctx.is_ours() {
            return Reply::refused(75, "the worker's folder is not the one that is locked")
                .hinting("try again later");
        }
        self.handed = Some(handed + 1);
        self.put(task, dir).await
    }

    async fn put(&self, task: TaskFile, dir: PathBuf) -> Reply {
        let to = task.spec.worker.as_ref().map_or("inbox", |it| it.as_str()).to_owned();
        let file = file_name(&task.spec, Path::new(""));
        let noted = format!("{to}/{}", file.stem());
        let note = self.ctx.noter(Noted::HandedOn, move |line| line.reason = Some(noted));
        let (spool, lease) = (Arc::clone(&self.ctx.spool), self.lease.clone());
        let put = move || {
            note(&lease).map_err(|error| error.to_string())?;
            let fresh = Fresh { dir: &dir, file, can_be_renamed: true, task: &task };
            fresh.drop_into(spool.store(), |_| false).map_err(|error| {
                let cause = std::error::Error::source(&error).map(|it| format!(": {it}")).unwrap_or_default();
                format!("{error}{cause}")
            })
        };
        match tokio::task::spawn_blocking(put).await.map_err(|error| error.to_string()).flatten() {
            Ok(file) => {
                tracing::info!(task = %self.lease.name, run_id = %self.lease.run, to = %to, file = %file, "the agent handed a task on");
                Reply::done(format!("handed on to {to}"))
                    .with(json!({"task": file.stem(), "worker": to, "file": file.as_str()}))
            }
            Err(error) => {
                tracing::error!(task = %self.lease.name, run_id = %self.lease.run, error = %error, "a task that the agent hands on could not be written");
                Reply::refused(75, format!("it could not be written: {error}")).hinting("try again later")
            }
        }
    }

    /// How many tasks this run has handed on, as its history tells: also before this watcher started.
    fn handed(&self) -> std::io::Result<u32> {
        if let Some(handed) = self.handed {
            return Ok(handed);
        }
        let history = journal::read(&self.lease.paths(self.ctx.layout()).history())?;
        let handed = history.iter().filter(|line| line.event == Noted::HandedOn).count();
        Ok(u32::try_from(handed).unwrap_or(u32::MAX))
    }

    /// Where it goes; `None`: to a worker that is not there.
    fn folder_for(&self, task: &TaskFile) -> Option<PathBuf> {
        let layout = self.ctx.layout();
        let Some(worker) = &task.spec.worker else { return Some(layout.tasks()) };
        let dir = layout.place(worker, Place::Pending);
        dir.is_dir().then_some(dir)
    }
}
