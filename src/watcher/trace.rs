//! The span of an attempt, and the context that its agent hears of.
//!
//! The span is made when the attempt is over, from what the task file records; its identity follows from the run and
//! the attempt's number. So a watcher that took up a living agent ends the span that its predecessor had announced.
//! Its attributes besides our own are those of the semantic conventions for an agent that is invoked
//! (`gen_ai.operation.name` = `invoke_agent`).

use std::sync::Arc;

use super::ctx::Ctx;
use crate::clock::{SharedClock, Timestamp};
use crate::config::Environment;
use crate::spool::Lease;
use crate::task::{Attempt, AttemptOutcome, ErrorCode, TaskFile, TaskState, Tokens};
use crate::telemetry::traces::Traces;
use crate::telemetry::traces::span::{Carried, Context, Span, Status, Value};

/// Which models a run had to do with, as far as it was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Models {
    /// The one that was asked.
    pub(super) asked: Option<String>,
    /// The one that answered last.
    pub(super) answered: Option<String>,
}

/// What is to be known for the spans of attempts, on whichever thread they end.
#[derive(Clone, Debug)]
pub(super) struct Tracer {
    traces: Traces,
    /// What the watcher itself was told to hang on.
    outer: Option<Carried>,
    provider: &'static str,
    clock: SharedClock,
}

impl Tracer {
    pub(super) fn new(ctx: &Ctx) -> Self {
        let environment = &ctx.environment;
        let parent = environment.text("TRACEPARENT");
        Self {
            traces: ctx.traces.clone(),
            outer: parent.and_then(|it| Carried::parse(it, environment.text("TRACESTATE"))),
            provider: provider(environment),
            clock: Arc::clone(&ctx.clock),
        }
    }

    /// What the agent is told to hang its own spans on (`TRACEPARENT`, `TRACESTATE`): the span of its attempt where
    /// traces are sent; else what the task itself brought.
    pub(super) fn handed(&self, lease: &Lease) -> Option<(String, Option<String>)> {
        if self.traces.are_alone() {
            return None;
        }
        if self.traces.are_on() {
            let parent = self.parent(&lease.task);
            let context = self.context(lease, lease.number(), parent.as_ref());
            return Some((context.header(), parent.and_then(|it| it.state)));
        }
        own_parent(&lease.task).map(|it| (it.context.header(), it.state))
    }

    /// The task's own parent wins over the watcher's.
    fn parent(&self, task: &TaskFile) -> Option<Carried> {
        if self.traces.are_alone() { None } else { own_parent(task).or_else(|| self.outer.clone()) }
    }

    fn context(&self, lease: &Lease, number: u32, parent: Option<&Carried>) -> Context {
        let parent = parent.map(|it| it.context);
        self.traces.decide(Context::of_attempt(lease.run, number, parent), parent)
    }

    /// Sends the span of the attempt that is over now; the trace, where it is recorded.
    pub(super) fn ended(&self, lease: &Lease, models: &Models) -> Option<String> {
        if !self.traces.are_on() {
            return None;
        }
        let attempt = lease.task.record.attempts.last()?;
        let parent = self.parent(&lease.task);
        let context = self.context(lease, attempt.number, parent.as_ref());
        let mut span = execute(lease, attempt, context, self.clock.wall())?;
        span = generative(span, attempt, models).with("gen_ai.provider.name", self.provider);
        span.parent = parent.as_ref().map(|it| it.context.span);
        span.state = parent.and_then(|it| it.state);
        self.traces.send(span);
        context.sampled.then(|| context.trace_id())
    }
}

fn own_parent(task: &TaskFile) -> Option<Carried> {
    let state = task.foreign("tracestate");
    let state = state.as_ref().and_then(|it| it.as_str());
    Carried::parse(task.foreign("traceparent")?.as_str()?, state)
}

/// The span of an attempt; none if its agent was never started.
fn execute(lease: &Lease, attempt: &Attempt, context: Context, now: Timestamp) -> Option<Span> {
    if attempt.outcome == Some(AttemptOutcome::NotStarted) {
        return None;
    }
    let record = &lease.task.record;
    let success = record.state == Some(TaskState::Completed);
    let mut span = Span::new("agent.execute", context, attempt.started_at, attempt.ended_at.unwrap_or(now))
        .with("agent.name", lease.worker.as_str())
        .with("gen_ai.agent.name", lease.worker.as_str())
        .with("task.id", lease.name.as_str())
        .with("result.success", Value::Flag(success))
        .with("run.id", lease.run.to_string().as_str())
        .with("attempt.number", Value::Number(attempt.number.into()));
    if let Some(correlation) = &lease.task.spec.correlation_id {
        span = span.with("correlation.id", correlation.as_str());
    }
    if let Some(usd) = attempt.cost_usd {
        span = span.with("cost.usd", Value::Amount(usd));
    }
    if success {
        span.status = Status::Good;
        return Some(span);
    }
    let code = record.error_code.map(ErrorCode::as_str);
    if let Some(code) = code {
        span = span.with("error.code", code);
    }
    span = span.with("error.type", code.or(attempt.outcome.map(word)).unwrap_or("_OTHER"));
    let why = attempt.reason.clone().or_else(|| record.failure_reason.clone());
    span.status = Status::Bad(why.unwrap_or_default());
    Some(span)
}

/// A class of error that is no error code.
const fn word(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::TimedOut => "timeout",
        AttemptOutcome::Crashed => "crash",
        AttemptOutcome::Interrupted => "interrupted",
        AttemptOutcome::Cancelled => "cancelled",
        AttemptOutcome::Deferred => "deferred",
        AttemptOutcome::SessionLost => "session_lost",
        AttemptOutcome::NeedsMore => "needs_more",
        AttemptOutcome::Failed => "failed",
        AttemptOutcome::Completed | AttemptOutcome::NotStarted => "_OTHER",
    }
}

/// What is known of the conversation with the model.
fn generative(span: Span, attempt: &Attempt, models: &Models) -> Span {
    let mut span = span
        .with("gen_ai.operation.name", "invoke_agent")
        .with("gen_ai.conversation.id", attempt.session_id.to_string().as_str());
    for (name, model) in
        [("gen_ai.request.model", &models.asked), ("gen_ai.response.model", &models.answered)]
    {
        if let Some(model) = model {
            span = span.with(name, model.as_str());
        }
    }
    let Some(Tokens { input, output, cache_read, cache_write }) = attempt.tokens else { return span };
    // All that went in, as the conventions count it: the API tells what came from the cache apart.
    let input = input.saturating_add(cache_read).saturating_add(cache_write);
    for (name, tokens) in [
        ("gen_ai.usage.input_tokens", input),
        ("gen_ai.usage.output_tokens", output),
        ("gen_ai.usage.cache_read.input_tokens", cache_read),
        ("gen_ai.usage.cache_creation.input_tokens", cache_write),
    ] {
        span = span.with(name, Value::Number(i64::try_from(tokens).unwrap_or(i64::MAX)));
    }
    span
}

/// Who serves the model: a cloud, where the agent was told so.
fn provider(environment: &Environment) -> &'static str {
    let clouds = [
        ("CLAUDE_CODE_USE_BEDROCK", "aws.bedrock"),
        ("CLAUDE_CODE_USE_VERTEX", "gcp.vertex_ai"),
        ("CLAUDE_CODE_USE_FOUNDRY", "azure.ai.inference"),
    ];
    let is_on = |name: &str| environment.text(name).is_some_and(|value| value != "0");
    clouds.iter().find(|(name, _)| is_on(name)).map_or("anthropic", |(_, provider)| provider)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::SessionId;

    #[test]
    fn the_tokens_that_went_in_are_counted_as_the_conventions_do() {
        let mut attempt = Attempt::open(1, SessionId::mint(), Timestamp::UNIX_EPOCH);
        attempt.tokens = Some(Tokens { input: 10, output: 7, cache_read: 100, cache_write: 1000 });
        let span = || Span::new("x", Context::fresh(), Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let models = Models { asked: Some("opus".to_owned()), answered: None };
        let told = generative(span(), &attempt, &models).attributes;
        let said = |name: &str| told.iter().find(|(have, _)| *have == name).map(|(_, value)| value.clone());
        for (name, number) in [
            ("gen_ai.usage.input_tokens", 1110),
            ("gen_ai.usage.output_tokens", 7),
            ("gen_ai.usage.cache_read.input_tokens", 100),
            ("gen_ai.usage.cache_creation.input_tokens", 1000),
        ] {
            assert_eq!(said(name), Some(Value::Number(number)), "{name}");
        }
        assert_eq!(said("gen_ai.request.model"), Some("opus".into()));
        assert_eq!(said("gen_ai.response.model"), None);
        attempt.tokens = None;
        let untold = generative(span(), &attempt, &models).attributes;
        assert!(!untold.iter().any(|(name, _)| name.contains("usage")), "what is not known is not 0");
    }

    #[test]
    fn the_provider_is_who_serves_the_model() {
        for (set, provider_is) in [
            (vec![], "anthropic"),
            (vec![("CLAUDE_CODE_USE_BEDROCK", "1")], "aws.bedrock"),
            (vec![("CLAUDE_CODE_USE_BEDROCK", "0"), ("CLAUDE_CODE_USE_VERTEX", "1")], "gcp.vertex_ai"),
        ] {
            assert_eq!(provider(&Environment::of(&set)), provider_is, "{set:?}");
        }
    }
}
