//! The end of a run: its task is filed, or queued again. It may take many tries on a full disk; nothing is lost
//! meanwhile, since the outcome stands here and the task in `active/`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Order, Run};
use crate::agent::disposition::{Disposition, Holding, Terms, dispose};
use crate::agent::verdict::Judgement;
use crate::config::OnRateLimit;
use crate::spool::{Lease, StepError};
use crate::task::{ErrorCode, Outcome, Place, Requeue, TaskState, Usage};
use crate::telemetry::journal::{Event as Noted, Line};
use crate::watcher::core::Event;
use crate::watcher::ctx::Ctx;
use crate::watcher::effects::Told;
use crate::watcher::trace::Tracer;

/// Between two tries on a disk that refuses.
const AGAIN: Duration = Duration::from_secs(2);

impl Run {
    /// What becomes of the task after `judgement`.
    pub(super) fn dispose(&self, judgement: &Judgement, took: Duration) -> Disposition {
        let metrics = &self.ctx.metrics;
        metrics.used(judgement.tokens);
        if let Some(ms) = judgement.api_ms {
            metrics.runbook().api_request(Duration::from_millis(ms));
        }
        metrics.runbook().agent_ran(took);
        let (max_retries, most_retries) = self.retries(judgement);
        let terms = Terms {
            max_retries,
            most_retries,
            continues: self.pack.pack.continues(),
            now: self.ctx.clock.wall(),
            jitter: Ctx::jitter(),
            fails_at_limit: self.ctx.config.on_rate_limit == OnRateLimit::Fail,
            redactor: &self.ctx.redactor,
        };
        dispose(judgement, &self.lease.task, &terms)
    }

    /// Carries it out; whether the worker should hold.
    pub(super) async fn settle(&mut self, disposition: Disposition) -> Option<Holding> {
        self.clear_scratch().await;
        match disposition {
            Disposition::Conclude { outcome, answer, usage } => {
                if self.conclude(outcome, answer, usage).await.is_some() {
                    self.remove_group().await;
                }
                self.tidy().await;
                None
            }
            Disposition::Requeue { entry, hold } => {
                if self.requeue(entry).await.is_some() {
                    self.remove_group().await;
                }
                hold
            }
        }
    }

    /// `None` if it is left to recovery, here and below.
    async fn conclude(&mut self, outcome: Outcome, answer: Option<String>, usage: Usage) -> Option<()> {
        let answer = answer.map(String::into_bytes);
        let (filed, lease) = self
            .until_done(move |run| {
                let (spool, mut lease) = (Arc::clone(&run.ctx.spool), run.lease.clone());
                let (outcome, answer) = (outcome.clone(), answer.clone());
                let (code, reason) = (outcome.error_code, outcome.failure_reason.clone());
                let by = run.ended_by().filter(|_| outcome.state == TaskState::Cancelled);
                let note = run.note_once(Noted::Concluded, move |line| {
                    line.from = Some(TaskState::Completing);
                    line.by = by;
                    (line.error_code, line.reason) = (code, reason);
                    (line.cost_usd, line.tokens) = (usage.cost_usd, usage.tokens);
                });
                move || {
                    let filed = spool.conclude(&mut lease, (&outcome, usage), answer.as_deref(), note)?;
                    Ok((filed, lease))
                }
            })
            .await?;
        self.lease = lease;
        self.concluded(&filed, usage);
        Some(())
    }

    fn concluded(&self, filed: &std::path::Path, usage: Usage) {
        let record = &self.lease.task.record;
        let state = record.state.unwrap_or(TaskState::Failed);
        let metrics = &self.ctx.metrics;
        metrics.runbook().run_ended(state);
        metrics.packs().run_ended(self.lease.task.spec.kind.as_deref(), state);
        let place = state.terminal_place().unwrap_or(Place::Failed);
        if place == Place::Failed {
            metrics.runbook().task_failed();
        }
        self.spent(usage);
        self.ctx.board.filed(place);
        let trace_id = Tracer::new(&self.ctx).ended(&self.lease, &self.models);
        tracing::info!(
            task = %self.lease.name,
            run_id = %self.lease.run,
            correlation_id = self.lease.task.spec.correlation_id.as_deref(),
            error_code = record.error_code.map(ErrorCode::as_str),
            reason = record.failure_reason.as_deref(),
            filed = %filed.display(),
            trace_id,
            "task {state}"
        );
    }

    async fn requeue(&mut self, entry: Requeue) -> Option<()> {
        let entry_again = entry.clone();
        self.lease = self
            .until_done(move |run| {
                let (spool, mut lease) = (Arc::clone(&run.ctx.spool), run.lease.clone());
                let entry = entry_again.clone();
                let told = entry.clone();
                let note = run.note_once(Noted::Requeued, move |line| {
                    line.from = Some(TaskState::Running);
                    line.error_code = told.error_code;
                    line.reason = Some(told.reason);
                    line.charged = Some(told.charged);
                    (line.cost_usd, line.tokens) = (told.usage.cost_usd, told.usage.tokens);
                });
                move || spool.requeue(&mut lease, &entry, note).map(|()| lease)
            })
            .await?;
        self.requeued(&entry);
        Some(())
    }

    fn requeued(&self, entry: &Requeue) {
        self.ctx.metrics.retried();
        self.spent(entry.usage);
        let trace_id = Tracer::new(&self.ctx).ended(&self.lease, &self.models);
        tracing::warn!(
            task = %self.lease.name,
            run_id = %self.lease.run,
            correlation_id = self.lease.task.spec.correlation_id.as_deref(),
            error_code = entry.error_code.map(ErrorCode::as_str),
            reason = %entry.reason,
            charged = entry.charged,
            retry_count = self.lease.task.record.retry_count.unwrap_or(0),
            retry_at = entry.retry_at.map(|at| at.to_string()),
            trace_id,
            "task back to pending"
        );
    }

    fn spent(&self, usage: Usage) {
        let pack = self.lease.task.spec.kind.as_deref().unwrap_or(crate::pack::DEFAULT);
        self.ctx.metrics.spent(pack, usage);
    }

    /// Tries until the disk takes it. Only a worker that is told to leave at once gives up: the outcome is still in
    /// the agent's own stream, where recovery finds it.
    pub(super) async fn until_done<T, J, M>(&mut self, make: M) -> Option<T>
    where
        T: Send + 'static,
        J: FnOnce() -> Result<T, StepError> + Send + 'static,
        M: Fn(&Self) -> J,
    {
        loop {
            let tried = if self.ctx.is_ours() {
                tokio::task::spawn_blocking(make(self)).await.map(Some)
            } else {
                // Another watcher may hold this worker by now, and file the task.
                Ok(None)
            };
            let tried = tried.map(Option::transpose);
            match tried {
                Ok(Ok(Some(done))) => return Some(done),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    if self.restored(&error).await {
                        continue;
                    }
                    if self.lost {
                        return None;
                    }
                    self.disk_fault(&error);
                }
                Err(error) => {
                    tracing::error!(task = %self.lease.name, error = %error, "filing a task failed inside");
                    return None;
                }
            }
            if self.hurry {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                order = self.orders.recv() => self.hurry = matches!(order, Some(Order::Kill) | None),
            }
        }
    }

    /// What notes the one end of this run, however often the move after it has to be tried.
    pub(super) fn note_once<D: FnOnce(&mut Line) + Send + 'static>(
        &self,
        event: Noted,
        detail: D,
    ) -> impl FnOnce(&Lease) -> std::io::Result<()> + Send + use<D> {
        let (note, noted) = (self.ctx.noter(event, detail), Arc::clone(&self.noted));
        move |lease| {
            if !noted.load(Ordering::Relaxed) {
                note(lease)?;
                noted.store(true, Ordering::Relaxed);
            }
            Ok(())
        }
    }

    /// If somebody took the task's file or the record of its run away from us, it is put back. Only what is known to be
    /// gone is made again.
    async fn restored(&mut self, error: &StepError) -> bool {
        if error.source.kind() != std::io::ErrorKind::NotFound {
            return false;
        }
        let active = !self.is_gone();
        let record = !matches!(self.lease.paths(self.ctx.layout()).dir().try_exists(), Ok(false));
        if active && record || self.is_taken_over() {
            return false;
        }
        let (spool, lease, noted) =
            (Arc::clone(&self.ctx.spool), self.lease.clone(), Arc::clone(&self.noted));
        let put_back = move || {
            if !record {
                noted.store(false, Ordering::Relaxed);
                spool.restore_record(&lease)?;
            }
            if active { Ok(()) } else { spool.restore(&lease) }
        };
        matches!(tokio::task::spawn_blocking(put_back).await, Ok(Ok(())))
    }

    fn disk_fault(&self, error: &StepError) {
        let holding = Holding::of_disk(error.to_string(), &error.source);
        tracing::error!(task = %self.lease.name, error = %error, cause = %error.source, "the outcome is kept in memory and written as soon as the disk takes it");
        self.tell.send(Told::Core(Event::Refused(holding))).ok();
    }

    /// Once its end is recorded, and not before: what the kernel counted in it tells why the agent died.
    pub(super) async fn remove_group(&mut self) {
        if let Some(group) = self.group.take()
            && let Ok(Err(error)) = tokio::task::spawn_blocking(move || group.remove()).await
        {
            tracing::debug!(task = %self.lease.name, error = %error, "could not remove its control group; the next start does");
        }
    }

    /// What the run had on this machine besides its files. Off the loop: agents leave whole builds there.
    pub(super) async fn clear_scratch(&self) {
        let scratch: PathBuf = self.ctx.scratch.join(self.lease.run.to_string());
        let path = scratch.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(path)).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(path = %scratch.display(), error = %error, "could not empty the scratch");
        }
    }
}
