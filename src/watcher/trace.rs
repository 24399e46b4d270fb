//! The span of an attempt, and the context that its agent hears of.
//!
//! The span is made when the attempt is over, from what the task file records; its identity follows from the run and
//! the attempt's number. So a watcher that took up a living agent ends the span that its predecessor had announced.

use super::ctx::Ctx;
use crate::clock::Timestamp;
use crate::spool::Lease;
use crate::task::{Attempt, AttemptOutcome, ErrorCode, TaskFile, TaskState};
use crate::telemetry::traces::span::{Context, Span, Status, Value};

impl Ctx {
    /// What the agent is told to hang its own spans on: the span of its attempt where traces are sent; else what
    /// the task itself brought.
    pub(super) fn traceparent(&self, lease: &Lease) -> Option<String> {
        if self.traces.are_on() {
            return Some(Context::of_attempt(lease.run, lease.number(), self.parent(&lease.task)).header());
        }
        own_parent(&lease.task).map(|context| context.header())
    }

    /// The task's own parent wins over the watcher's.
    fn parent(&self, task: &TaskFile) -> Option<Context> {
        own_parent(task).or_else(|| Context::parse(self.environment.text("TRACEPARENT")?))
    }

    /// Sends the span of the attempt that is over now.
    pub(super) fn trace_attempt(&self, lease: &Lease) {
        if !self.traces.are_on() {
            return;
        }
        let span = lease
            .task
            .record
            .attempts
            .last()
            .and_then(|attempt| execute(lease, attempt, self.parent(&lease.task), self.clock.wall()));
        if let Some(span) = span {
            self.traces.send(span);
        }
    }
}

fn own_parent(task: &TaskFile) -> Option<Context> {
    Context::parse(task.foreign("traceparent")?.as_str()?)
}

/// The span of an attempt; none if its agent was never started.
fn execute(lease: &Lease, attempt: &Attempt, parent: Option<Context>, now: Timestamp) -> Option<Span> {
    if attempt.outcome == Some(AttemptOutcome::NotStarted) {
        return None;
    }
    let record = &lease.task.record;
    let context = Context::of_attempt(lease.run, attempt.number, parent);
    let success = record.state == Some(TaskState::Completed);
    let mut span = Span::new("agent.execute", context, attempt.started_at, attempt.ended_at.unwrap_or(now))
        .with("agent.name", lease.worker.as_str())
        .with("task.id", lease.name.as_str())
        .with("result.success", Value::Flag(success))
        .with("run.id", lease.run.to_string().as_str())
        .with("attempt.number", Value::Number(attempt.number.into()));
    span.parent = parent.map(|it| it.span);
    if let Some(usd) = attempt.cost_usd {
        span = span.with("cost.usd", Value::Amount(usd));
    }
    if let Some(code) = record.error_code.filter(|_| !success) {
        span = span.with("error.code", ErrorCode::as_str(code));
    }
    span.status = if success {
        Status::Good
    } else {
        Status::Bad(attempt.reason.clone().or_else(|| record.failure_reason.clone()).unwrap_or_default())
    };
    Some(span)
}
